"""What stands under an answer, and that it is taken off again."""

from __future__ import annotations

from typing import Any

import pytest

from graphs import events
from server.wire import sections
from server.wire.messages import plain

PNG = events.Artifact(id="u1.a", name="a [1].png", media_type="image/png", bytes=10)
CSV = events.Artifact(id="u1.b", name="out/b.csv", media_type="text/csv", bytes=2048)
CELLS = [
    events.Cell(code="x = 1\n", output=""),
    events.Cell(code="fails(", ok=False),
    events.Cell(code="print('``` x')", output="``` x"),
]


def url(artifact_id: str) -> str:
    return f"http://h/artifacts/{artifact_id}"


def finished(**more: Any) -> events.RunFinished:
    told = {"answer": "It is 1.", "stop_reason": "answered", "usage": events.Usage(), **more}
    return events.RunFinished(**told)


def test_files_are_links_and_images_and_code_is_a_block() -> None:
    end = finished(artifacts=[PNG, CSV], cells=CELLS)
    assert sections.under(end, url=url) == (
        "\n\nFiles:\n"
        "![a \\[1\\].png](http://h/artifacts/u1.a)\n"
        "- [out/b.csv](http://h/artifacts/u1.b) (2.0 KiB)"
        "\n\nCode:\n````python\nx = 1\n\nprint('``` x')\n````"
    )
    assert sections.under(finished()) == ""


@pytest.mark.parametrize("artifacts", [[], [PNG, CSV], [CSV] * 30])
@pytest.mark.parametrize("cells", [[], CELLS])
@pytest.mark.parametrize("sources", ["", "\n\nSources:\n[1] a.md: “x”\n[2] b.md: “y”"])
def test_what_comes_back_is_the_answer_alone(
    artifacts: list[events.Artifact], cells: list[events.Cell], sources: str
) -> None:
    end = finished(artifacts=artifacts, cells=cells)
    shown = end.answer + sections.under(end, url=url) + sources
    sent = [{"role": "user", "content": "?"}, {"role": "assistant", "content": shown}]
    assert plain(sent)[1]["content"] == "It is 1."


@pytest.mark.parametrize(
    "text",
    ["", "Files:\n- [a](b)", "x\n\nFiles:\nnone", "x\n\nCode:\n```python\nopen", "x\n\nSources:\n"],
)
def test_an_answer_that_speaks_of_files_keeps_its_words(text: str) -> None:
    assert sections.without(text) == text


def test_long_code_is_shown_from_its_end() -> None:
    text = sections.program([events.Cell(code="\n".join(f"x{n}" for n in range(100)))])
    assert text.splitlines()[0] == "# ... 60 lines before"
    assert text.splitlines()[-1] == "x99"


def test_links_to_our_files_can_be_followed_from_elsewhere() -> None:
    assert sections.absolute("![a](/artifacts/u1.a) [b](/x)", [PNG], url=url) == (
        "![a](http://h/artifacts/u1.a) [b](/x)"
    )
