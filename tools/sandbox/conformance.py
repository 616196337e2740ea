"""What every sandbox does for ordinary code: for `sandbox check`, on whatever is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tools.sandbox.sandbox import Limits, Listener, Outcome, Sandbox, SandboxError, Session


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Whether a promise was kept here; ``detail`` says what came instead."""

    name: str
    holds: bool
    detail: str = ""


Promise = Callable[[Session, Limits], Awaitable[None]]


def _must(holds: bool, told: object = "") -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise AssertionError(told)


async def _variables(session: Session, limits: Limits) -> None:
    await session.run("x = 40 + 2; print('set')")
    told = await session.run("x")
    _must([one.text for one in told.outputs] == ["42"], told)


async def _output(session: Session, limits: Limits) -> None:
    pieces: list[str] = []
    told = await session.run("print('on'); 5", listener=Listener(stdout=pieces.append))
    _must((told.stdout, "".join(pieces)) == ("on\n", "on\n"), told)


async def _error(session: Session, limits: Limits) -> None:
    told = await session.run("1 / 0")
    _must(told.outcome is Outcome.FAILED, told)
    _must(told.stderr.rstrip().endswith("ZeroDivisionError: division by zero"), told)
    _must((await session.run("import sys; sys.exit(3)")).exit_code == 3)
    _must((await session.run("1")).outcome is Outcome.FINISHED)


async def _cap(session: Session, limits: Limits) -> None:
    told = await session.run(f"print('x' * {2 * limits.output_bytes})")
    _must(told.output_truncated)
    _must(len(told.stdout) <= limits.output_bytes)


async def _files(session: Session, limits: Limits) -> None:
    await session.put({"in/a.csv": b"1,2"})
    await session.run("n = open('b.csv', 'w').write(open('in/a.csv').read() * 2)")
    found = {entry.path: entry.size for entry in await session.files()}
    _must(found.get("b.csv") == 6 and found.get("in/a.csv") == 3, found)
    _must(await session.get("b.csv") == b"1,21,2")
    for missing, expected in (("none", FileNotFoundError), ("../up", ValueError)):
        try:
            await session.get(missing)
        except expected:
            continue
        raise AssertionError(f"{missing} was given out")


async def _interrupt(session: Session, limits: Limits) -> None:
    await session.run("x = 1")
    begun = asyncio.Event()
    code = "print('on', flush=True)\nwhile True: pass"
    listener = Listener(stdout=lambda text: begun.set())
    running = asyncio.create_task(session.run(code, listener=listener))
    await asyncio.wait({running, asyncio.create_task(begun.wait())}, return_when="FIRST_COMPLETED")
    await session.interrupt()
    told = await running
    _must(told.outcome is Outcome.INTERRUPTED, told)
    _must([one.text for one in (await session.run("x")).outputs] == ["1"])


async def _reset(session: Session, limits: Limits) -> None:
    await session.put({"kept": b"1"})
    await session.run("x = 1")
    await session.reset()
    told = await session.run("'x' in globals(), open('kept').read()")
    _must([one.text for one in told.outputs] == ["(False, '1')"], told)


async def _closed(session: Session, limits: Limits) -> None:
    await session.close()
    try:
        await session.run("1")
    except SandboxError:
        return
    raise AssertionError("a closed session ran code")


# The last one ends the session.
PROMISES: Mapping[str, Promise] = {
    "cells share variables": _variables,
    "output is told while it comes": _output,
    "an error is a result": _error,
    "output is capped": _cap,
    "files go in and come out": _files,
    "an interrupt keeps variables": _interrupt,
    "a reset keeps files": _reset,
    "a closed session does nothing": _closed,
}


async def kept(sandbox: Sandbox, *, limits: Limits) -> list[Kept]:
    """Each promise in turn, tried in one session."""
    found = []
    session = await sandbox.create()
    try:
        for name, promise in PROMISES.items():
            try:
                await promise(session, limits)
            except (AssertionError, SandboxError, OSError) as error:
                words = " ".join(str(error).split())[:300]
                found.append(Kept(name=name, holds=False, detail=words or type(error).__name__))
            else:
                found.append(Kept(name=name, holds=True))
    finally:
        await session.close()
    return found
