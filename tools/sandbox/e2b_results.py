"""What E2B says of a cell, as an execution of ours. Pure, within our limits."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from tools.sandbox import frames
from tools.sandbox.pipes import Capture
from tools.sandbox.sandbox import Limits, Listener, Outcome, Output, OutputKind

ERROR_LIMIT = 8 * 1024
ENDED = frozenset({"ContextRestarting", "UnexpectedEndOfExecution", "WebSocketError"})
"""Errors of the interpreter's own: the kernel is not what it was."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SHOWN = {
    "text/plain": "text",
    "text/html": "html",
    "image/svg+xml": "svg",
    "image/png": "png",
}
_NOT_SHOWN = ("jpeg", "pdf")


@dataclass(kw_only=True, eq=False)
class Heard:
    """What a cell has said so far."""

    out: Capture
    err: Capture
    listener: Listener
    outputs: list[Output] = field(default_factory=list)
    size: int = 0
    left_out: bool = False

    @classmethod
    def of(cls, limits: Limits, listener: Listener | None) -> Heard:
        told = listener or Listener()
        return cls(
            out=Capture(limits.output_bytes, tell=told.stdout),
            err=Capture(limits.output_bytes, tell=told.stderr),
            listener=told,
        )

    def take_out(self, message: Any) -> None:
        self.out.feed(str(message.line).encode("utf-8", "replace"))

    def take_err(self, message: Any) -> None:
        self.err.feed(str(message.line).encode("utf-8", "replace"))

    def take(self, result: Any) -> None:
        """Keep a rich output while there is room for it."""
        shown = output(result)
        size = frames.size_of(shown)
        if len(self.outputs) >= frames.OUTPUTS or size > frames.OUTPUTS_BYTES - self.size:
            self.left_out = True
            return
        self.outputs.append(shown)
        self.size += size
        self.listener.output(shown)

    @property
    def cut(self) -> bool:
        return self.out.cut or self.err.cut or self.left_out


def output(result: Any) -> Output:
    """A result of the SDK's in the forms that we show."""
    forms: dict[str, bytes] = {}
    left_out = [f"image/{name}: not shown" for name in _NOT_SHOWN if getattr(result, name, None)]
    for media_type, name in _SHOWN.items():
        value = getattr(result, name, None)
        if not isinstance(value, str) or not value:
            continue
        content = value.encode("utf-8", "replace")
        if name == "png":
            try:
                content = base64.b64decode(content)
            except (binascii.Error, ValueError):
                left_out.append("image/png that is none")
                continue
        if media_type == "text/plain" and len(content) > frames.TEXT_BYTES:
            content = content[: frames.TEXT_BYTES]
            left_out.append("text cut")
        if complaint := frames.unfit(media_type, content):
            left_out.append(complaint)
        else:
            forms[name] = content
    texts = {
        name: forms.get(name, b"").decode("utf-8", "replace") for name in ("text", "html", "svg")
    }
    kind = OutputKind.RESULT if result.is_main_result else OutputKind.DISPLAY
    return Output(kind=kind, png=forms.get("png", b""), left_out=tuple(left_out), **texts)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a cell ended: ``text`` is for its stderr."""

    outcome: Outcome
    exit_code: int | None
    text: str = ""


def end_of(error: Any) -> End:
    """How a cell ended that the interpreter followed to its end; ``error`` is the SDK's, or
    None."""
    if error is None:
        return End(outcome=Outcome.FINISHED, exit_code=0)
    name, value = frames.words(error.name), frames.words(error.value)
    if name == "SystemExit":
        code = int(value) if value.lstrip("-").isdigit() and len(value) < 10 else int(bool(value))
        if value in {"", "None", "0"}:
            return End(outcome=Outcome.FINISHED, exit_code=0)
        said = "" if value.lstrip("-").isdigit() else f"{value[-ERROR_LIMIT:]}\n"
        return End(outcome=Outcome.FAILED, exit_code=code, text=said)
    text = explained(name, value, frames.words(error.traceback))
    if name in ENDED:
        return End(outcome=Outcome.KILLED, exit_code=None, text=text)
    outcome = Outcome.OUT_OF_MEMORY if name == "MemoryError" else Outcome.FAILED
    return End(outcome=outcome, exit_code=1, text=text)


def explained(name: str, value: str, traceback: str) -> str:
    """A traceback without colours, ``ERROR_LIMIT`` characters at most, that ends with its error."""
    text = _COLOURS.sub("", traceback[-8 * ERROR_LIMIT :]).strip("\n")
    last = f"{name}: {value}" if value else name
    if not text.endswith(last):
        text = f"{text}\n{last}" if text else last
    if len(text) > ERROR_LIMIT:
        text = text[: ERROR_LIMIT // 4] + "\n[...]\n" + text[-ERROR_LIMIT * 3 // 4 :]
    return text + "\n"
