"""A request that comes again under its Idempotency-Key: the same run, if it is the same request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from server.errors import Invalid
from server.runs.asked import Asked
from server.runs.record import RunRecord

HEADER = "Idempotency-Key"


def repeated(
    record: RunRecord, asked: Asked, *, thread_id: str | None, with_files: bool = False
) -> RunRecord:
    """The run that was found under a key, for whoever asks this now.

    The files of a request are named anew each time, so ``with_files`` its input is not compared.
    Raises Invalid where it was another request.
    """
    elsewhere = thread_id is not None and record.thread_id != thread_id
    if elsewhere or _body(record.asked, with_files) != _body(asked, with_files):
        raise Invalid(
            f"{HEADER}: it was sent with another request before, which made run {record.run_id}; "
            "use a new one",
            param=HEADER,
        )
    return record


def _body(asked: Asked, with_files: bool) -> bytes:  # noqa: FBT001 - as it came in
    """What the caller sent, and nothing of what the server made of it since."""
    kwargs: Mapping[str, Any] = asked.kwargs
    if with_files:
        kwargs = {name: value for name, value in kwargs.items() if name != "input"}
    told = (asked.assistant_id, asked.temporary, asked.metadata, asked.multitask, kwargs)
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
