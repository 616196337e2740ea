"""The example questions put to a stand-in for the command line, and the record of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from evals import transcript
from evals.first_answer import attempts
from evals.product import Product, ProductError, events, finished, running
from evals.questions import Question, load
from evals.transcript import Attempt
from graphs.events import (
    EVENT,
    AgentFinished,
    AgentStarted,
    LimitReached,
    ModelCalled,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    Source,
    ToolFinished,
    ToolStarted,
    Usage,
    Verdict,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = load(EXAMPLES / "questions.json")

# Writes down every call; `up` waits for SIGINT like the real one.
STAND_IN = """
import pathlib, signal, sys
log = pathlib.Path(__file__).with_name("calls")
with log.open("a") as file:
    print(*sys.argv[1:], sep="|", file=file)
if sys.argv[1] == "up":
    if {broken}:
        sys.exit("port in use")
    signal.signal(signal.SIGINT, lambda *_: (log.open("a").write("stopped\\n"), sys.exit(0)))
    print("Fetching https://models.example/a.gguf", flush=True)
    print("Ready: http://127.0.0.1:4321/v1", flush=True)
    while True:
        signal.pause()
if sys.argv[1] == "ask":
    print("not an event")
    print(pathlib.Path(__file__).with_name("events").read_text(), flush=True)
    if {hangs}:
        signal.pause()
"""


def recorded(answer: str, *files: str) -> tuple[RunEvent, ...]:
    sources = [
        Source(
            number=number,
            document_id="d",
            chunk_id="c",
            title="t",
            source=f"examples/handbook/{name}",
            page=2,
            heading="Money back",
            text="within 45 days\nof the *payment*",
        )
        for number, name in enumerate(files, start=1)
    ]
    return (
        RunStarted(run_id="r", thread_id="t"),
        AgentStarted(agent="researcher", task_id="1", instruction="Find the period | of refund"),
        ModelCalled(
            agent="researcher",
            task_id="1",
            model="small-model",
            input_tokens=512,
            output_tokens=40,
            cost=0.0,
            seconds=3.14,
        ),
        ToolStarted(
            agent="researcher", task_id="1", call_id="x", tool="search", args={"query": "refund"}
        ),
        ToolFinished(
            agent="researcher",
            task_id="1",
            call_id="x",
            tool="search",
            ok=True,
            summary="4 passages",
            seconds=0.1,
        ),
        AgentFinished(agent="researcher", task_id="1", summary="found it", seconds=4.0),
        Verdict(supported=False, problems=["30 is not in the evidence"]),
        LimitReached(limit="steps", used=12, maximum=12),
        RunFinished(
            answer=answer,
            sources=sources,
            stop_reason="steps",
            usage=Usage(model_calls=3, input_tokens=900, output_tokens=80),
        ),
    )


def attempt(
    question: Question, *, answer: str | None = None, seconds: float = 12.0, cite: bool = True
) -> Attempt:
    said = question.answer if answer is None else answer
    files = question.sources if cite else ()
    return Attempt(question=question, events=recorded(said, *files), seconds=seconds)


def stand_in(folder: Path, *, broken: bool = False, hangs: bool = False) -> tuple[str, ...]:
    script = folder / "counterpoint.py"
    script.write_text(STAND_IN.format(broken=broken, hangs=hangs))
    rows = (EVENT.dump_json(event) for event in recorded("45 days [1].", "plans-and-refunds.md"))
    (folder / "events").write_bytes(b"\n".join(rows))
    return (sys.executable, str(script))


def gone(folder: str) -> bool:
    return not Path(folder).exists()


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


async def test_a_server_is_started_filled_asked_and_stopped(tmp_path: Path) -> None:
    done = await attempts(
        QUESTIONS[:2], docs=Path("some/docs"), command=stand_in(tmp_path), url=None
    )
    assert [one.right for one in done] == [True, False]
    up, ingest, first, second, stopped = calls(tmp_path)
    assert up.startswith("up|--port|0|--data-dir|")
    folder = up.rsplit("|", 1)[1]
    assert ingest == f"ingest|some/docs|--data-dir|{folder}"
    assert first == f"ask|{QUESTIONS[0].question}|--json|--data-dir|{folder}"
    assert second.startswith(f"ask|{QUESTIONS[1].question}|")
    assert stopped == "stopped"
    assert gone(folder)


async def test_a_running_server_is_asked_where_it_is(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1"
    await attempts(QUESTIONS[:1], docs=Path("d"), command=stand_in(tmp_path), url=url)
    assert [call.split("|")[0] for call in calls(tmp_path)] == ["ingest", "ask"]
    assert all(call.endswith(f"|--url|{url}") for call in calls(tmp_path))


async def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="did not start: port in use"):
        async with running(stand_in(tmp_path, broken=True), data_dir=tmp_path):
            pytest.fail("it was taken for ready")


async def test_an_answer_that_never_ends_is_given_up_and_its_steps_are_kept(
    tmp_path: Path,
) -> None:
    command = stand_in(tmp_path, hangs=True)
    (tmp_path / "events").write_bytes(EVENT.dump_json(recorded("")[1]))
    product = Product(command=command, where=(), patience=3.0)
    found = await product.ask(QUESTIONS[0])
    assert found.failure == "no end after 3 s"
    assert [event.type for event in found.events] == ["agent.started"]
    assert not found.right


def test_lines_that_are_no_events_are_passed_over() -> None:
    out = b'hello\n{"type":"new.kind"}\n' + EVENT.dump_json(recorded("")[0]) + b"\n\n"
    assert [event.type for event in events(out)] == ["run.started"]


def test_ten_of_ten_holds_and_so_does_seven() -> None:
    done = [attempt(question) for question in QUESTIONS]
    assert transcript.outcome(done).problems == ()
    for place in range(3):
        done[place] = attempt(QUESTIONS[place], answer="I am not sure.")
    assert transcript.outcome(done) == transcript.Outcome(right=7, asked=10, problems=())


def test_six_of_ten_does_not_hold() -> None:
    done = [attempt(question, cite=place >= 4) for place, question in enumerate(QUESTIONS)]
    assert transcript.outcome(done).problems == ("6 of 10 right, 7 needed",)


def test_one_slow_answer_does_not_hold_even_if_all_are_right() -> None:
    done = [attempt(question) for question in QUESTIONS]
    done[0] = attempt(QUESTIONS[0], seconds=90.0)
    assert transcript.outcome(done).problems == ("annual-return took 90 s, 90 s allowed",)


def test_one_invented_rule_does_not_hold_even_if_all_others_are_right() -> None:
    done = [attempt(question) for question in QUESTIONS]
    done[-1] = attempt(QUESTIONS[-1], answer="You get 28 days.")
    (problem,) = transcript.outcome(done).problems
    assert problem == "parental-leave has no answer in the documents: invents a rule: 28 days"


def test_nothing_asked_does_not_hold() -> None:
    assert transcript.outcome([]).problems


def test_the_record_shows_every_step_and_shows_wrong_answers_like_right_ones() -> None:
    failed = RunFailed(error="model_unreachable", message="The model refuses; start it.")
    done = [
        attempt(QUESTIONS[0]),
        attempt(QUESTIONS[1], answer="Within 6 hours.\n# Not a heading", cite=False),
        Attempt(question=QUESTIONS[2], events=(failed,), seconds=1.0, failure=failed.message),
    ]
    text = transcript.document(done, machine="two cores")
    for row in (
        "Model: small-model. Machine: two cores.",
        "**1 of 3 answered rightly with a right source, in under 90 s.**",
        "| annual-return | lookup | right | right | 12.0 | 3 | 900 | 80 |",
        "| high-priority | lookup | **wrong** | **missing** | 12.0 | 3 | 900 | 80 |",
        "> How many days do I have to return an annual plan?",
        "- **researcher**: Find the period \\| of refund",
        "  - researcher asked the model: 512 tokens in, 40 out, 3.1 s",
        '  - researcher called search `{"query": "refund"}`',
        "  - search: 4 passages (0.1 s)",
        "- **verdict**: not supported: 30 is not in the evidence",
        "- **limit**: steps at 12, 12 allowed",
        "Stopped because: steps.",
        "- [1] `plans-and-refunds.md`, page 2, Money back: within 45 days of the \\*payment\\*",
        "> # Not a heading",
        "- **failed**: model_unreachable: The model refuses; start it.",
        "> The model refuses; start it.",
        "**Right.** 12.0 s.",
        "**Wrong**: The model refuses; start it. 1.0 s.",
    ):
        assert row in text, row
    assert text.count("\n## ") == 3
    assert "\n# Not" not in text


def test_the_result_for_machines_says_the_same() -> None:
    result = transcript.as_json([attempt(QUESTIONS[0], cite=False)])
    assert (result["right"], result["asked"]) == (0, 1)
    (row,) = result["attempts"]
    assert (row["correct"], row["source_ok"]) == (True, False)
    assert row["reason"] == "no right source: plans-and-refunds.md"


def test_an_evaluation_that_is_told_to_stop_ends_as_by_ctrl_c() -> None:
    cleaned = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        finished(work())
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before
