"""`counterpoint ask`: from a folder of documents and a question to the answer with its sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphs import events
from models.schema import ANSWER
from server import render
from server.commands.ask import folder_collection
from tests.doubles.openai_endpoint import Call, Fails, OpenAIEndpoint, Says
from tests.server.cli.program import Program
from tests.tools.sandbox.conftest import required
from tools.sandbox.find import open_sandbox
from tools.sandbox.sandbox import Limits

QUESTION = "How many days do I have to return an annual plan?"
PLANS = (
    "# Plans\n\n## Money back\n\nAn annual plan can be returned within 45 days of the payment.\n"
)


def typed(answer: object) -> Says:
    """A native model gives a typed answer as one more tool."""
    return Says(calls=(Call(name=ANSWER, args=json.dumps(answer)),), usage=(50, 10))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "plans.md").write_text(PLANS)
    (folder / "old.md").write_text("Nobody may keep a hamster in the office.")
    return folder


async def test_a_question_about_a_folder_is_answered_with_numbered_sources(
    program: Program, openai_endpoint: OpenAIEndpoint, docs: Path
) -> None:
    """Twice: as people see it, and as JSON lines that are the run's events and nothing else."""
    for _ in range(2):
        openai_endpoint.will(
            typed({"move": "research", "text": "", "tasks": [QUESTION]}),
            Says(text="Within 45 days of the payment [1]."),
            typed({"reason": "the passage says so", "supported": True}),
        )
    async with program.up() as running:
        await running.ready()
        told = await program.run("ask", QUESTION, "--docs", str(docs))
        assert told.code == 0, told.err
        assert "researcher: searching documents" in told.out
        assert "50 tokens in, 10 out" in told.out
        answer = told.out.index("Within 45 days of the payment [1].")
        assert told.out.index("[1] handbook/plans.md, Money back", answer)
        assert "An annual plan can be returned within 45 days" in told.out[answer:]
        assert "3 model calls, 150 tokens in, 30 out" in told.out.splitlines()[-1]
        assert "added 2, unchanged 0" in told.err

        (docs / "old.md").unlink()
        again = await program.run(
            "ask", "-", "--docs", str(docs), "--json", stdin=QUESTION.encode()
        )
        assert again.code == 0, again.err
        found = [events.EVENT.validate_json(line) for line in again.out.splitlines()]
        assert isinstance(found[0], events.RunStarted)
        assert isinstance(found[-1], events.RunFinished)
        assert [source.source for source in found[-1].sources] == ["handbook/plans.md"]
        assert "added 0, unchanged 1, updated 0, deleted 1" in again.err
        assert "deleted handbook/old.md: its file is gone" in again.err


async def test_a_file_is_worked_on_by_code_and_what_that_makes_is_saved(
    program: Program, openai_endpoint: OpenAIEndpoint, tmp_path: Path
) -> None:
    await required(await open_sandbox(limits=Limits(seconds=60.0))).close()
    (tmp_path / "sales.csv").write_text("region,amount\nnorth,40\nsouth,2\n")
    code = (
        "import csv\n"
        "rows = list(csv.DictReader(open('sales.csv')))\n"
        "total = sum(int(row['amount']) for row in rows)\n"
        "open('out.txt', 'w').write(f'{total}')\n"
        "print(total)"
    )
    openai_endpoint.will(
        Says(calls=(Call(name="run_python", args=json.dumps({"code": code})),)),
        Says(text="The amounts sum up to 42, see [out.txt](sandbox:/out.txt)."),
    )
    asked = ("ask", "What do the amounts sum up to?", "--file", str(tmp_path / "sales.csv"))
    told = await program.run(*asked, "--save", str(tmp_path / "saved"), alone=True)
    assert told.code == 0, told.err
    assert "The amounts sum up to 42, see [out.txt](/artifacts/" in told.out
    assert "    total = sum(int(row['amount']) for row in rows)" in told.out
    assert "    out.txt (2 bytes, text/plain)" in told.out
    assert (tmp_path / "saved" / "out.txt").read_text() == "42"
    sent = openai_endpoint.requests[0].body["messages"][-1]["content"]
    assert "sales.csv (" in sent
    assert "region,amount" in sent


async def test_a_run_that_fails_is_one_line_with_the_remedy(
    program: Program, openai_endpoint: OpenAIEndpoint
) -> None:
    """Without a server, so that the command opens one of its own."""
    openai_endpoint.will(Fails(status=401, message="no such key"))
    ended = await program.run("ask", QUESTION, "--json", alone=True)
    assert ended.code == 1
    said = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "COUNTERPOINT_MODEL_KEY" in said[0] or "key" in said[0]
    kinds = [json.loads(line)["type"] for line in ended.out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("run.started", "run.failed")


def test_each_folder_has_a_collection_of_its_own(docs: Path, tmp_path: Path) -> None:
    assert folder_collection([docs]) == folder_collection([docs / ".." / "handbook"])
    assert folder_collection([docs]) != folder_collection([tmp_path])


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("answered", "2 model calls"),
        ("max_steps", "Stopped at max_steps"),
        ("not_found", "No answer was found. "),
    ],
)
def test_the_last_line_says_why_it_ended_and_what_it_took(reason: str, words: str) -> None:
    usage = events.Usage(model_calls=2, input_tokens=1_234, output_tokens=5, cost=0.5, seconds=2)
    finished = events.RunFinished(answer="x", stop_reason=reason, usage=usage)
    *_, last = render.answer(finished)
    assert last.startswith(words)
    assert last.endswith("2 model calls, 1,234 tokens in, 5 out, $0.5000, 2.0 s")


def test_an_answer_cannot_take_over_the_terminal() -> None:
    finished = events.RunFinished(
        answer="a\x1b[2Jb\r\nc", stop_reason="answered", usage=events.Usage()
    )
    shown = "\n".join(render.answer(finished))
    assert "\x1b" not in shown
    assert "\r" not in shown
