"""OpenAI's chat completions as JSON, read into pieces. Pure: no IO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from models import written_json
from models.pieces import CallPiece, Piece, Usage

_EMPTY = Piece()
_ABOUT = (("model", "model_name"), ("system_fingerprint",) * 2, ("service_tier",) * 2)


class BadFrame(Exception):  # noqa: N818  (says what happened)
    """What came is no frame of a chat completion."""


class ProviderError(Exception):
    """The provider says in place of a frame that it failed."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


def read(data: bytes) -> Piece:
    """One frame of a stream; raises ``BadFrame`` and ``ProviderError``."""
    try:
        frame = _loads(data)
        choices = frame.get("choices")
        if not choices:
            return _without_choice(frame)
        choice = choices[0]
        delta = choice.get("delta") or {}
        content = delta.get("content")
        finish = choice.get("finish_reason")
        usage = frame.get("usage")
        # The frame of one more token has nothing else, and there are many of them.
        if (
            type(content) is str
            and len(delta) == 1
            and finish is None
            and not usage
            and not choice.get("logprobs")
            and not frame.get("error")
        ):
            return Piece(content) if content else _EMPTY
        _raise_error(frame)
        return _piece(frame, choice, delta)
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        raise BadFrame from error


def whole(data: bytes) -> Piece:
    """A reply that came as one JSON object, since the server does not stream."""
    try:
        frame = _loads(data)
        if not frame.get("choices"):
            _raise_error(frame)
            raise BadFrame
        choice = frame["choices"][0]
        return _piece(frame, choice, choice["message"])
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        raise BadFrame from error


def problem_in(body: bytes) -> ProviderError | None:
    """What the body of a failed request says in the provider's own words."""
    try:
        return _error(orjson.loads(body))
    except (AttributeError, ValueError):
        return None


def _loads(data: bytes) -> Any:
    """A frame; half of a surrogate pair, where a server has cut between both, becomes U+FFFD."""
    try:
        return orjson.loads(data)
    except ValueError:
        return written_json.loads(data.decode())


def _without_choice(frame: Mapping[str, Any]) -> Piece:
    _raise_error(frame)
    return Piece(usage=_usage(frame.get("usage")))


def _piece(frame: Mapping[str, Any], choice: Mapping[str, Any], delta: Mapping[str, Any]) -> Piece:
    finish = choice.get("finish_reason") or None
    about: dict[str, Any] = {}
    if finish:
        about = {ours: frame[theirs] for theirs, ours in _ABOUT if frame.get(theirs)}
    if logprobs := choice.get("logprobs"):
        about["logprobs"] = logprobs
    if refusal := delta.get("refusal"):
        about["refusal"] = str(refusal)
    return Piece(
        text=_text(delta.get("content")),
        reasoning=_text(delta.get("reasoning_content") or delta.get("reasoning")),
        calls=[
            _call(call, position) for position, call in enumerate(delta.get("tool_calls") or ())
        ],
        finish=finish,
        usage=_usage(frame.get("usage")),
        about=about or None,
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return ""


def _call(call: Mapping[str, Any], position: int) -> CallPiece:
    function = call.get("function") or {}
    args = function.get("arguments")
    if args is None:
        args = ""
    elif not isinstance(args, str):
        args = orjson.dumps(args).decode()
    index = call.get("index")
    return CallPiece(
        number=position if index is None else int(index),
        id=str(call.get("id") or ""),
        name=str(function.get("name") or ""),
        args=args,
    )


def _usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if not usage:
        return None
    return Usage(
        int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), usage
    )


def _raise_error(frame: Mapping[str, Any]) -> None:
    if frame.get("error") or frame.get("object") == "error":
        raise _error(frame) or ProviderError("it does not say why")


def _error(body: Any) -> ProviderError | None:
    """Reads ``{"error": {...}}``, ``{"error": "..."}``, ``{"message"}`` and ``{"detail"}``."""
    if isinstance(body, Sequence) and not isinstance(body, str) and body:
        body = body[0]
    said: Any = body.get("error") or body
    if isinstance(said, Mapping):
        code = said.get("code")
        said = said.get("message") or said.get("detail")
    else:
        code = None
    if not said:
        return None
    text = said if isinstance(said, str) else orjson.dumps(said).decode()
    return ProviderError(text, code=None if code is None else str(code))
