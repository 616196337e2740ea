"""Questions about a user's files: the coder works on them, and what it makes is in the answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from graphs import events, filing, making
from guardrails import links
from models.scripted import Scripted, ScriptedModel
from tests.graphs.team_house import House, passage
from tools.file_preview import NamedFiles
from tools.sandbox.sandbox import Execution, Output, OutputKind
from tools.sandbox.scripted import ScriptedSandbox, Step, failed, finished
from tools.tool import ToolResult
from tools.uploads import MemoryUploads, Upload

SALES = {"sales.csv": b"region,amount\nnorth,1\n"}
QUESTION = "What is the sum of amount in sales.csv?"
BEGINS = finished(json.dumps([{"name": "sales.csv", "text": "2 line ends\nregion,amount"}]))
FIGURE = Output(kind=OutputKind.DISPLAY, text="<Figure>", png=b"png")


def runs(code: str, *, contains: str = "") -> Scripted:
    return Scripted(
        agent="coder",
        contains=contains,
        tools=("run_python",),
        calls=(("run_python", {"code": code}),),
    )


def says(text: str, *, contains: str = "") -> Scripted:
    return Scripted(agent="coder", contains=contains, answer=text)


def sandboxed(*steps: Execution | Step) -> ScriptedSandbox:
    return ScriptedSandbox([BEGINS, *steps])


async def test_the_coder_is_told_how_the_files_begin_and_no_document_is_searched() -> None:
    with ScriptedModel(
        steps=[
            runs("print(total)", contains="sales.csv (22 bytes)\n  2 line ends\n  region,amount"),
            says("The sum of amount is 1234.5.", contains="1234.5"),
        ]
    ) as model:
        house = House(model, sandbox=sandboxed(finished("1234.5\n")), uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The sum of amount is 1234.5."
    assert house.asked == []
    assert outcome.cells == [events.Cell(code="print(total)", output="1234.5")]


async def test_an_error_is_read_and_mended_and_earlier_outputs_count() -> None:
    with ScriptedModel(
        steps=[
            runs("print(len(rows))"),
            runs("total(", contains="22 rows"),
            runs("print(total)", contains="SyntaxError"),
            says("It has 22 rows, and they sum up to 7.", contains="7"),
        ]
    ) as model:
        steps = (finished("22 rows\n"), failed("SyntaxError: '(' was never closed"), finished("7"))
        house = House(model, sandbox=sandboxed(*steps), uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "It has 22 rows, and they sum up to 7."
    assert [cell.ok for cell in outcome.cells] == [True, False, True]


@pytest.mark.parametrize("rows", [600, 4_000])
async def test_a_total_below_a_long_table_may_be_stated(rows: int) -> None:
    table = "".join(f"row {number}\n" for number in range(rows)) + "total 987654\n"
    with ScriptedModel(
        steps=[
            runs("print(table, total)"),
            runs("print(mean)", contains="987654"),
            says("The total is 987654, the mean 7."),
        ]
    ) as model:
        sandbox = sandboxed(finished(table), finished("7\n"))
        house = House(model, sandbox=sandbox, uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The total is 987654, the mean 7."


async def test_a_number_that_no_code_printed_is_not_in_the_answer() -> None:
    with ScriptedModel(steps=[runs("print(total)"), says("It is 99.")]) as model:
        house = House(model, sandbox=sandboxed(finished("7\n")), uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The result is 7."


async def test_figures_and_files_are_told_and_listed_and_links_lead_to_them() -> None:
    with ScriptedModel(
        steps=[
            runs("plt.show()"),
            says("Here it is: ![sales](sandbox:/mnt/data/out.png), see [x](https://evil.example)."),
        ]
    ) as model:
        drawn = Step(execution=finished(outputs=(FIGURE,)), files={"out.png": b"another"})
        house = House(model, sandbox=sandboxed(drawn), uploads=SALES)
        outcome = await house.answered("Plot sales.csv")
    figure, file = outcome.artifacts
    assert (figure.name[:7], figure.media_type, figure.bytes) == ("figure-", "image/png", 3)
    assert (file.name, house.artifacts.kept[file.id]) == ("out.png", b"another")
    assert outcome.answer == (
        f"Here it is: ![sales](/artifacts/{file.id}), see x (link to evil[.]example removed)."
    )
    made = [one for one in house.events if isinstance(one, events.ArtifactMade)]
    assert [one.artifact for one in made] == [figure, file]


async def test_a_figure_takes_nothing_back_of_what_was_printed_before() -> None:
    with ScriptedModel(
        steps=[runs("print(total)"), runs("plt.show()"), says("The sum is 7; see the figure.")]
    ) as model:
        steps = (finished("7\n"), finished(outputs=(FIGURE,)))
        house = House(model, sandbox=sandboxed(*steps), uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The sum is 7; see the figure."
    assert len(outcome.artifacts) == 1


async def test_a_small_model_needs_no_plan_and_its_program_is_the_answer() -> None:
    code = "```python\nprint(7)\n```"
    with ScriptedModel(
        steps=[says(f"The column is summed up.\n{code}", contains="region,amount")], plain=True
    ) as model:
        house = House(model, sandbox=sandboxed(finished("7\n")), uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The column is summed up. The result is 7."


async def test_a_small_models_figure_is_an_answer() -> None:
    with ScriptedModel(steps=[says("```python\nplt.show()\n```")], plain=True) as model:
        house = House(model, sandbox=sandboxed(finished(outputs=(FIGURE,))), uploads=SALES)
        outcome = await house.answered("Plot sales.csv")
    assert outcome.answer == "The result is in the files below."
    assert len(outcome.artifacts) == 1


async def test_a_question_that_names_no_file_is_the_planners_to_place() -> None:
    planned = Scripted(
        agent="coordinator",
        contains="[files that the user gave: sales.csv]",
        answer={"move": "data", "text": "", "tasks": ["Which region sells most?"]},
    )
    with ScriptedModel(
        steps=[planned, runs("print(best)", contains="Which region sells most?"), says("north")]
    ) as model:
        house = House(model, sandbox=sandboxed(finished("north\n")), uploads=SALES)
        outcome = await house.answered("Which region sells most?")
    assert outcome.answer == "north"


async def test_a_question_for_the_documents_still_goes_there() -> None:
    planned = Scripted(
        agent="coordinator",
        answer={"move": "research", "text": "", "tasks": ["How long is the notice?"]},
    )
    found = {"": [passage("The notice is 30 days.", chunk_id="n")]}
    with ScriptedModel(
        steps=[
            planned,
            Scripted(agent="researcher", answer="The notice is 30 days [1]."),
            Scripted(agent="critic", answer={"reason": "", "supported": True}),
        ]
    ) as model:
        house = House(model, found=found, sandbox=ScriptedSandbox([]), uploads=SALES)
        outcome = await house.answered("How long is the notice?")
    assert outcome.answer == "The notice is 30 days [1]."


async def test_what_cannot_be_worked_out_is_not_looked_for_in_documents() -> None:
    with ScriptedModel(steps=[says("NOT FOUND")]) as model:
        house = House(model, sandbox=sandboxed(), uploads=SALES)
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The result could not be calculated from that."
    assert house.asked == []


FILES = [Upload(id="1", name="Sales 2024.csv", bytes=1), Upload(id="2", name="q3.xlsx", bytes=1)]


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("Sum up sales 2024.csv", True),
        ("What do the sales 2024 say?", True),
        ("How many rows are there?", True),
        ("[attached: q3.xlsx]\nWhat is in there?", True),
        ("Draw a histogram", True),
        ("How long is the notice period?", False),
        ("How much is the refund?", False),
    ],
)
def test_a_question_is_about_files_that_it_names(question: str, about: bool) -> None:
    assert filing.is_about(question, FILES) is about
    assert not filing.is_about(question, [])


PAPERS = [Upload(id="3", name="report.pdf", bytes=1), Upload(id="4", name="notes.md", bytes=1)]


@pytest.mark.parametrize(
    ("question", "files", "about"),
    [
        ("What does report.pdf say about refunds?", PAPERS, False),
        ("What does the attached file say?\n[attached: report.pdf]", PAPERS, False),
        ("How long is the notice?\n\nFiles given: report.pdf, notes.md", PAPERS, False),
        ("What do the amounts of the table in report.pdf sum up to?", PAPERS, True),
        ("What does the report say?\n[attached: report.pdf]\n[attached: q3.xlsx]", None, False),
        ("Add it up\n[attached: report.pdf]\n[attached: q3.xlsx]", None, True),
    ],
)
def test_text_documents_are_looked_up_and_tables_are_worked_with(
    question: str, files: list[Upload] | None, about: bool
) -> None:
    assert filing.is_about(question, files or [*PAPERS, *FILES]) is about


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("How long?\n[attached: a.pdf]\n[attached: b.pdf]", "How long?"),
        ("How long?\n\nFiles given: a.pdf, b.pdf", "How long?"),
        ("[attached: a.pdf]", "[attached: a.pdf]"),
        ("How long?", "How long?"),
    ],
)
def test_what_is_looked_for_is_the_question_without_its_files(said: str, left: str) -> None:
    assert filing.without_names(said) == left


async def test_a_question_about_a_text_document_is_looked_up_by_its_own_words() -> None:
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": []}),
            Scripted(agent="researcher", answer="The notice is 30 days [1]."),
            Scripted(agent="critic", answer={"reason": "", "supported": True}),
        ]
    ) as model:
        found = {"": [passage("The notice is 30 days.", chunk_id="notice")]}
        house = House(model, found=found, sandbox=ScriptedSandbox([]), uploads={"a.pdf": b"%PDF"})
        outcome = await house.answered("How long is the notice?\n[attached: a.pdf]")
    assert outcome.answer == "The notice is 30 days [1]."
    assert house.asked == ["How long is the notice?"]


def _named(name: str, artifact_id: str = "u1.x") -> dict[str, Any]:
    return {"id": artifact_id, "name": name, "media_type": "image/png", "bytes": 1}


@pytest.mark.parametrize("to", ["a.png", "./a.png", "sandbox:/mnt/data/a.png", "/work/a.png"])
def test_links_as_models_write_them_lead_to_the_artifact(to: str) -> None:
    text = making.linked(f"![A]({to}) and [b](b.png)", [_named("a.png")])
    assert text == "![A](/artifacts/u1.x) and [b](b.png)"
    # Our own address stays alive behind the guardrail.
    assert links.disarm(text).text == text


def test_of_one_name_the_latest_counts() -> None:
    old, new, other = _named("a.png", "1"), _named("a.png", "2"), _named("b.png", "3")
    assert making.joined([old, other], [new]) == [new, other]


def test_what_was_not_kept_is_not_listed() -> None:
    data = {
        "outputs": [{"artifacts": [_named("f.png")]}],
        "files": [{"name": "big", "bytes": 9, "left_out": "too large"}, _named("a.csv", "2")],
    }
    assert [one["name"] for one in making.made([ToolResult(content="", data=data)])] == [
        "f.png",
        "a.csv",
    ]


async def test_files_are_told_by_name_where_no_session_is_free_in_time() -> None:
    class Waits(NamedFiles):
        async def shown(self, *, tenant: str, thread_id: str) -> str:
            await asyncio.Event().wait()
            return ""

    given = MemoryUploads({("default", "thread"): SALES})
    with ScriptedModel(steps=[says("NOT FOUND", contains="sales.csv (22 bytes)")]) as model:
        house = House(
            model, sandbox=sandboxed(), uploads=SALES, seen=Waits(given), tool_seconds=0.05
        )
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "The result could not be calculated from that."
