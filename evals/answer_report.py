"""The figures of whole answers as a table, written between two marks of a page. Pure but for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evals.answer_judge import Figures, Result, figures
from evals.answer_sets import SETS

BEGIN: Final = "<!-- figures: written by `python -m evals.answers --write`, do not edit -->"
END: Final = "<!-- figures end -->"
_TEXT: Final = 200
_COLUMNS: Final = (
    "Set",
    "Questions",
    "Failed",
    "Right",
    "Token F1 (95 %)",
    "Cited sources that are gold",
    "Answers that cite gold",
    "Refused, answerable",
    "Refused, unanswerable",
    "Unsupported claims",
    "Seconds",
    "Model calls",
)


class NoMarksError(Exception):
    """A page without the two marks that the figures stand between."""


def section(results: Sequence[Result], *, seed: int, asked: int, machine: str, model: str) -> str:
    """The figures, then each question on a line. ``asked`` is how many were to be asked."""
    partial = (
        f" **{len(results)} of {asked} questions: the run was bounded.**"
        if len(results) < asked
        else ""
    )
    lines = [
        f"Model: {model}. Machine: {machine}. Seed {seed}.{partial}",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "| --- " + "| ---: " * 11 + "|",
    ]
    for name in SETS:
        rows = [one for one in results if one.set == name]
        if rows:
            lines.append(_row(name, figures(rows, seed=seed)))
    if len({one.set for one in results}) > 1:
        lines.append(_row("all", figures(results, seed=seed)))
    lines += [
        "",
        "<details><summary>Each question</summary>",
        "",
        "| Set | Question | Answer | F1 | Gold cited | Seconds |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for one in results:
        told = one.failure and f"failed: {one.failure}"
        gold = f"{one.gold_cited} of {len(one.cited)}" if one.answerable else ""
        lines.append(
            f"| {one.set} | {_cell(one.question)} | {_cell(told or one.answer)} "
            f"| {'' if not one.answerable else format(one.f1, '.2f')} | {gold} "
            f"| {one.seconds:.0f} |"
        )
    return "\n".join([*lines, "", "</details>"])


def written(page: str, text: str) -> str:
    """The page with the text between its marks.

    Raises:
        NoMarksError: the page has none.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarksError(f"has no lines {BEGIN!r} and {END!r}; add them where the figures go")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def write(path: Path, text: str) -> None:
    """Put the text between a page's marks, whole or not at all.

    Raises:
        NoMarksError: the page has none.
        OSError: it cannot be read or written.
    """
    try:
        page = written(path.read_text("utf-8"), text)
    except NoMarksError as error:
        raise NoMarksError(f"{path} {error}") from None
    new = path.with_name(f".{path.name}.new")
    new.write_text(page, encoding="utf-8")
    new.replace(path)


def _row(name: str, of: Figures) -> str:
    right = f"{of.right[0]} of {of.right[1]}" if of.right else "–"
    f1 = "–" if of.f1 is None else f"{of.f1:.3f}"
    if of.f1_low is not None and of.f1_high is not None:
        f1 += f" ({of.f1_low:.3f}–{of.f1_high:.3f})"
    shares = (
        of.gold_share,
        of.gold_answers,
        of.refused_answerable,
        of.refused_unanswerable,
        of.unsupported,
    )
    told = " | ".join("–" if one is None else f"{100 * one:.0f} %" for one in shares)
    seconds = "–" if of.seconds is None else f"{of.seconds:.1f}"
    calls = "–" if of.model_calls is None else f"{of.model_calls:.1f}"
    return f"| {name} | {of.asked} | {of.failed} | {right} | {f1} | {told} | {seconds} | {calls} |"


def _cell(text: str) -> str:
    line = " ".join(text.split())
    if len(line) > _TEXT:
        line = line[:_TEXT].rsplit(" ", 1)[0] + " …"
    for sign in "\\`*_<|#":
        line = line.replace(sign, "\\" + sign)
    return line
