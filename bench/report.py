"""The page that the server's bench writes."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.baseline import Baseline
    from bench.server import Growth, Load

_HEAD = """# Performance

What a run costs in the server itself. Made by `python -m bench.server --write docs/performance.md`
({machine}; Python {python}, langgraph {langgraph}; load average {load:.1f}).
Absolute figures belong to that machine; the ratios to the baseline of the same session tell more.

One run of the team: five streamed model calls (a plan, two researchers, a writer, a critic) against
an endpoint that answers at once, four searches in the documents, every step checkpointed, streamed
to its client (`values`, `messages-tuple`, `custom`). CPU is that of all processes of the server,
Redis and the document engine included, without endpoint and clients, which share the same cores.

Baseline, in one process without a server: the five model calls alone {calls:.1f} ms, the same graph
with an in-memory saver and a search that costs nothing {flat:.1f} ms of CPU a run.
"""


_NOTES = """
## Where the time goes

What asks no model and only reads has no step of its own (unless somebody stops between nodes): a
run is 7 checkpoints, its input among them, and 8 writes of tasks, where each node's own step was 11
and 14. That took 17 % off the CPU of a run, old and new measured in turns on one busy machine. A
checkpoint still stands before each call of a model, and before and after each tool that writes.

Events of the team go from its nodes to the log at once, not by LangGraph's stream writer, which
wakes the loop with a system call for each: 22 fewer of these a run, and 21 % fewer callbacks of
the loop in the graph's own process.

What a run reads it reads once. The texts of an event are searched for secrets together, and taken
apart only where there may be one; what the critic counts in a passage is remembered (512 texts); a
passage is held against the patterns of an order only where it has a word of theirs, a fifth of the
time; the schema of an answer is inlined once; which files a thread has is asked by a script, on the
line that all scripts share, a third of the time; and a run that has heard itself answer does not
read its state back from Redis. Together these are 22 % of the function calls of the graph's own
process (39,600 a run to 30,900) and 15 % of its CPU (11 to 23 %, five times in turns on a very busy
machine); of a whole server's CPU a run it was 8 % (31.2 ms to 28.8, medians), with LangGraph's
chunks searched for secrets, which they were not before. Tried and left out: calling a script
without redis-py's own object for it (a tenth of a call, half a percent of a run).

Around the graph: the event loop is uvloop for root too, where it was asyncio's (33.0 ms a run to
30.1, measured by itself; the sandbox's child, which changes its user, is started past the loop).
Garbage is looked for less often once the server is up: 2.3 ms a run became 1.0, each over some 100
runs on a busy machine, and the pauses of tens of milliseconds, one in 40 runs, are rare. What a
route depends on is found without a thread (four a request before). Short reads and writes share the
line to Redis that scripts take: 22 writes to Redis a run where there were 33, 2 tasks for them
where there were 13. That line is read and written by a protocol of our own, over the connection
that the Redis client has opened, and packed by hiredis: a call costs 43 microseconds of CPU where
it was 75, and 15 where it was 27 beside seven others (some 60 calls a run). A process that writes a
thread does not read it back; its readers wait by one timer, and a stream's heartbeat is a timer
too. Events within 5 ms go into the log together (10 ms showed no gain, three rounds in turns). What
all of these save together is not shown: three comparisons in turns of the final code, at load
averages of 25 to 90, gave 2 % and 3 % less CPU a run and 4 % more (medians), within their noise.

Where another process keeps the documents, a search costs who asks for it 0.7 ms of CPU where it
was 2.3 (16 at once, old and new in turns): httpx asked the kernel of every idle connection whether
it was closed, each time; searches go over aiohttp's connections now. A run of the team makes four.

A run is answered when it is on disk, and put on the queue with nobody waiting for that: in `up` the
worker beside it began, and the answer waited for the loop. With a third of a second between runs
the first event came after 12 to 16 ms, and now after 7 to 8 (medians of 60, five times in turns);
whole runs took as long as before. What is asked of Redis before that is asked together.

What is left is flat. As py-spy saw `up`'s process at 8 at once on a busy machine, the largest part
is the system call that writes to a socket (10 to 20 %: to readers, to Redis, to the models, in this
order), then LangGraph with its callbacks, the way to Redis, the client of the models, uvicorn and
the streams, the nodes of the team; pydantic, dataclasses, checks for secrets, the search and the
queue's engine are 1 to 3 % each. In the graph's own process a third is LangGraph with LangChain's
callbacks under it, a quarter the client of the models.

What is aimed at: the first event within 5 ms of an idle server, tokens within 20 ms (p99) at 16
streams and 30 ms at 100 readers, no memory for a finished or a paused run, all of which the page's
machine reaches; and 60 runs a second at 8 at once with 20 ms of CPU a run, which it does not: the
graph alone takes three quarters of that. CPU and latencies depend on what else the cores do; the
load average is said above.

## What the figures hold

- A run is answered when it is on disk. Our own Redis syncs at once for that. That of the second
  table syncs each write (`appendfsync always`), as [deployment.md](deployment.md) advises; one that
  syncs every second makes each first event wait up to a second.
- All runs of the table ask the same, so that the vectors of their four searches are remembered;
  the line about new questions has the embedding too, which is done in the server's process. What
  the critic counts in their passages is remembered likewise.
- The endpoint is faster than any model, so tokens arrive together; what arrives together is told
  together. At 50 tokens a second each is an event of its own, as in the lines about delays.
- Each figure of the table is the better of two rounds, latencies with it. `--profile DIR` writes
  what py-spy saw of each process, `bench.profiling.shares` sums it up.
- Which Python it is matters: the graph alone took 17 to 21 ms of CPU a run on Debian's 3.13, and 22
  to 30 on the 3.11 of this page, which was built without optimizations (in turns, on a busy
  machine).
- Memory in Redis is the thread with its checkpoints and events, which are kept as configured.
"""


@dataclass(frozen=True, kw_only=True)
class Readers:
    """Delay of a token for those who read a run already, and when each had its first event."""

    delay: tuple[float, float] | None
    joined: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Everything measured of one installation; latencies as (p50, p99) in milliseconds."""

    name: str
    loads: Sequence[Load]
    unseen: Load
    token_delay: tuple[float, float] | None
    readers: Readers
    finished: Growth
    paused: Growth


def page(rows: Sequence[Row], *, flat: Baseline) -> str:
    """The whole page, Markdown."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    parts = [
        _HEAD.format(
            machine=machine,
            python=platform.python_version(),
            load=os.getloadavg()[1],
            langgraph=version("langgraph"),
            calls=flat.calls,
            flat=flat.flat,
        )
    ]
    for row in rows:
        parts.append(f"\n## {row.name[0].upper()}{row.name[1:]}\n")
        parts.append(
            "| at once | runs/s | CPU ms a run | × the baseline | first event ms, p50 / p99 "
            "| first token | whole run |"
        )
        parts.append("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        parts += [_load(one, flat=flat) for one in row.loads]
        shown = max(row.loads, key=lambda one: one.at_once == 8)
        apart = ", ".join(f"{name} {ms:.1f}" for name, ms in sorted(shown.by_name.items()))
        new = f"{row.unseen.cpu:.1f} ms of CPU a run, {row.unseen.rate:.1f} runs/s"
        parts += [
            "",
            f"- CPU ms a run at {shown.at_once} at once, by program: {apart}",
            f"- With questions that were not asked before: {new}",
            f"- Delay of a token, 16 streams of 50 tokens a second: {_pair(row.token_delay)}",
            f"- Delay of a token, 100 readers of one run: {_pair(row.readers.delay)}",
            f"- First event of 100 readers who come at once: {_pair(row.readers.joined)}",
            f"- Memory a finished run: {_held(row.finished)}",
            f"- Memory a paused run: {_held(row.paused)}",
        ]
    parts.append(_NOTES)
    return "\n".join(parts)


def _load(one: Load, *, flat: Baseline) -> str:
    cells = [
        f"{one.at_once}",
        f"{one.rate:.1f}",
        f"{one.cpu:.1f}",
        f"{one.cpu / flat.flat:.1f}",
        _pair(one.first_event, unit=""),
        _pair(one.first_token, unit=""),
        _pair(one.whole, unit=""),
    ]
    return f"| {' | '.join(cells)} |"


def _held(growth: Growth) -> str:
    return f"server {growth.server:+.1f} KiB, Redis {growth.redis:+.1f} KiB"


def _pair(found: tuple[float, float] | None, *, unit: str = " ms (p50 / p99)") -> str:
    return "none seen" if found is None else f"{found[0]:.1f} / {found[1]:.1f}{unit}"
