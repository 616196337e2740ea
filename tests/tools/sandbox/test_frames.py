"""The wire to a kernel, whatever comes over it."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.sandbox import frames
from tools.sandbox.frames import FRAME_BYTES, Frame, FrameReader, ProtocolError
from tools.sandbox.sandbox import OutputKind

KINDS = [frames.HELLO, frames.OUTPUT, frames.DONE, frames.WRITTEN]


def _png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)


def _output(*parts: tuple[str, bytes], **told: object) -> bytes:
    head = {"parts": [[name, len(content)] for name, content in parts], **told}
    return json.dumps(head).encode() + b"\n" + b"".join(content for _, content in parts)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=40))), st.data())
def test_frames_come_whole_however_they_are_cut(
    sent: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(b"".join(frames.packed(kind, body)) for kind, body in sent)
    reader, got = FrameReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == [Frame(kind=kind, body=body) for kind, body in sent]


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_whatever_comes_is_frames_or_an_error(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            for frame in reader.feed(piece):
                for read in (frames.hello, frames.done, frames.output, frames.written):
                    try:
                        read(frame.body)
                    except ProtocolError:
                        continue
    except ProtocolError:
        return


def test_half_a_character_is_told_by_its_number() -> None:
    body = json.dumps({"text": "\ud800", "error": "\udcff", "left_out": ["\ud800"], "parts": []})
    assert frames.done(body.encode()).text == "\\ud800"
    assert frames.written(body.encode()) == "\\udcff"
    assert frames.output(body.encode()).left_out == ("\\ud800",)


@pytest.mark.parametrize("head", [(b"D", FRAME_BYTES + 1), (b"?", 1)])
def test_a_frame_too_long_or_unknown_is_refused_at_its_head(head: tuple[bytes, int]) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(frames.HEAD.pack(*head))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000], ids=range(7)
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        frames.done(body)


def test_an_output_has_its_forms() -> None:
    image = _png(2, 3)
    shown = frames.output(
        _output(
            ("text/plain", b"t\xff"), ("text/html", b"<b>"), ("image/png", image), kind="result"
        )
    )
    assert (shown.kind, shown.text, shown.html, shown.png) == (
        OutputKind.RESULT,
        "t\N{REPLACEMENT CHARACTER}",
        "<b>",
        image,
    )
    assert shown.left_out == ()


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (("image/png", b"GIF89a"), "image/png that is none"),
        (("image/png", _png(100_000, 100_000)), "pixels at most"),
        (("image/png", _png(1, 1) + bytes(frames.IMAGE_BYTES)), "at most"),
        (("image/svg+xml", bytes(frames.IMAGE_BYTES + 1)), "at most"),
        (("text/html", bytes(frames.HTML_BYTES + 1)), "at most"),
    ],
    ids=["no image", "a bomb", "a large image", "a large drawing", "a large table"],
)
def test_a_form_that_does_not_fit_is_left_out_and_said(part: tuple[str, bytes], why: str) -> None:
    shown = frames.output(_output(("text/plain", b"here"), part))
    assert (shown.text, shown.png, shown.svg, shown.html) == ("here", b"", "", "")
    (said,) = shown.left_out
    assert why in said


@pytest.mark.parametrize(
    "parts", [1, [1], [["text/plain", "1"]], [["text/plain", 5]], [["text/plain", -1]]]
)
def test_an_output_with_wrong_sizes_is_refused(parts: object) -> None:
    with pytest.raises(ProtocolError):
        frames.output(json.dumps({"parts": parts}).encode() + b"\nabc")
