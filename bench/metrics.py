"""What counting costs: the events of a run, and one scrape.

``python -m bench.metrics`` prints microseconds for the events of a run with three agents, and
milliseconds for the text of a scrape. Set against the processor time of a run of the team by
script (``python -m bench``), which is some hundred milliseconds.
"""

from __future__ import annotations

import time
from typing import Any

from graphs import events
from server.runs.record import RunRecord
from server.telemetry.hearing import Heard, Left, Listeners
from server.telemetry.metrics import Metrics
from server.telemetry.metrics_heard import MetricsListener

RUNS = 2_000
PIECES = 200


def of_a_run() -> list[Heard]:
    """What a run of three agents tells, with an answer that is read as it is written."""
    where: dict[str, Any] = {"agent": "researcher", "task_id": "1"}
    tool: dict[str, Any] = {**where, "call_id": "c", "tool": "search_documents"}
    called = events.ModelCalled(
        **where, model="big", input_tokens=900, output_tokens=80, cost=0.001, seconds=1.5,
        first_token_seconds=0.3, step=1,
    )  # fmt: skip
    piece = events.ModelDelta(**where, message_id="m", text="word ")
    agent: list[Heard] = [
        events.AgentStarted(**where, instruction="Find it"),
        called,
        events.ToolStarted(**tool, args={}),
        events.RetrievalQuery(**where, query="it"),
        events.ToolFinished(**tool, ok=True, summary="5 passages", seconds=0.02),
        called.model_copy(update={"step": 2}),
        events.AgentFinished(**where, summary="found", seconds=3.0),
    ]
    return [
        events.RunStarted(run_id="r", thread_id="t"),
        called,
        *agent * 3,
        *[piece] * PIECES,
        events.Verdict(supported=True),
        events.RunFinished(answer="Yes.", stop_reason="answered", usage=events.Usage()),
        Left(ended=True),
    ]


def main() -> None:
    metrics, record, told = Metrics(), RunRecord(run_id="r", thread_id="t"), of_a_run()
    counting = MetricsListener(
        metrics, models={"big"}, tools={"search_documents"}, agents={"team", "researcher"}
    )
    heard = Listeners([counting])
    started = time.process_time()
    for _ in range(RUNS):
        for event in told:
            heard.hear(record, event, at=0.0)
    each = (time.process_time() - started) / RUNS * 1e6
    print(f"{len(told)} events of a run: {each:.0f} µs")
    started = time.process_time()
    for _ in range(50):
        text = metrics.text()
    print(f"a scrape of {len(text):,} bytes: {(time.process_time() - started) / 50 * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
