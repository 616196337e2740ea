"""Our errors for what a provider answers, the same whichever client asked it. No IO."""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

from models.errors import (
    BadKey,
    ContextTooLong,
    ModelError,
    ModelFailed,
    ModelNotFound,
    ModelRefused,
    ModelTimeout,
    ModelUnreachable,
    RateLimited,
    StreamCut,
)
from models.registry import ModelSpec

_CONTEXT_WORDS = ("context length", "context size", "context window", "context_length", "too long")


def for_status(
    spec: ModelSpec,
    status: int,
    *,
    said: str,
    code: str | None = None,
    retry_after: str | None = None,
) -> ModelError:
    """For a status that is not 2xx: what the provider said, its error code, its header."""
    name, detail = spec.name, tidy(spec, said)
    if status in (401, 403):
        return BadKey(
            f"the key for model '{name}' was refused ({status}); set COUNTERPOINT_MODEL_KEY",
            model=name,
        )
    if status == 404:
        return ModelNotFound(
            f"no model '{spec.model}' at {spec.place} (404); set COUNTERPOINT_MODEL to one that "
            "it serves, and COUNTERPOINT_MODEL_URL to its full base URL (mostly ending in /v1)",
            model=name,
        )
    if status == 429:
        return _rate_limited(spec, exhausted=code == "insufficient_quota", after=retry_after)
    if status == 408:
        return timed_out(spec)
    if status >= 500:
        return ModelFailed(
            f"model '{name}' at {spec.place} failed ({status}): {detail}",
            model=name,
            retry_after=_seconds(retry_after),
            away=status in (502, 503),
        )
    if status == 413 or _is_about_context(detail):
        return _too_long(spec, detail)
    return ModelRefused(f"model '{name}' refused the request ({status}): {detail}", model=name)


def within_reply(spec: ModelSpec, said: str) -> ModelError:
    """For an error that came in place of the rest of a reply."""
    detail = tidy(spec, said)
    if _is_about_context(detail):
        return _too_long(spec, detail)
    return ModelFailed(f"model '{spec.name}' failed while it replied: {detail}", model=spec.name)


def unreachable(spec: ModelSpec, how: str) -> ModelUnreachable:
    """``how`` completes the sentence "model URL X …"."""
    remedy = "start it again" if spec.local else "start it or set COUNTERPOINT_MODEL_URL"
    return ModelUnreachable(f"model URL {spec.place} {how}; {remedy}", model=spec.name)


def timed_out(spec: ModelSpec) -> ModelTimeout:
    return ModelTimeout(
        f"model '{spec.name}' gave no complete reply within {spec.timeout:g} s; "
        "raise COUNTERPOINT_MODEL_TIMEOUT (`timeout` of a named model) or choose a faster one",
        model=spec.name,
    )


def cut(spec: ModelSpec) -> StreamCut:
    return StreamCut(
        f"model '{spec.name}' at {spec.place} ended the connection before its reply was complete; "
        "see the server's log",
        model=spec.name,
    )


def no_stream(spec: ModelSpec) -> StreamCut:
    """For a 200 whose body has nothing of a reply in it."""
    return StreamCut(_unreadable(spec), model=spec.name)


def unreadable(spec: ModelSpec) -> ModelFailed:
    """For a reply that breaks the format in its middle."""
    return ModelFailed(_unreadable(spec), model=spec.name)


def tidy(spec: ModelSpec, said: str) -> str:
    """A provider's message on one line, short and without the key."""
    text = " ".join(said.split())
    if spec.key and (key := spec.key.get_secret_value()):
        text = text.replace(key, "***")
    return text[:200]


def _unreadable(spec: ModelSpec) -> str:
    return (
        f"model '{spec.name}' at {spec.place} sent what is no OpenAI-compatible reply; "
        "check COUNTERPOINT_MODEL_URL"
    )


def _seconds(after: str | None) -> float | None:
    """A ``Retry-After``, a number or a date, in seconds from now; None for nonsense."""
    try:
        seconds = float(after or "nan")
    except ValueError:
        seconds = _until(after or "")
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(date: str) -> float:
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time()


def _rate_limited(spec: ModelSpec, *, exhausted: bool, after: str | None) -> RateLimited:
    seconds = _seconds(after)
    if exhausted:
        remedy = "its quota is spent; raise it at the provider or choose another model"
    else:
        remedy = f"try again in {seconds:g} s" if seconds is not None else "try again later"
    return RateLimited(
        f"model '{spec.name}' is rate-limited (429): {remedy}",
        model=spec.name,
        retry_after=seconds,
        exhausted=exhausted,
    )


def _too_long(spec: ModelSpec, detail: str) -> ContextTooLong:
    return ContextTooLong(
        f"the prompt does not fit the context of model '{spec.name}': {detail}", model=spec.name
    )


def _is_about_context(detail: str) -> bool:
    return any(words in detail.lower() for words in _CONTEXT_WORDS)
