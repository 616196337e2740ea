"""Starts a kernel in a sandbox of its own and waits until it takes cells."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from tools.sandbox import arguments, egress, memory
from tools.sandbox.launch import Descriptors, Parts, Wanted, launch
from tools.sandbox.live_kernel import LiveKernel
from tools.sandbox.sandbox import Limits, SandboxError


async def start(
    parts: Parts,
    *,
    limits: Limits,
    user: int | None,
    group: memory.ControlGroup | None,
    freed: Callable[[], None],
) -> LiveKernel:
    """A kernel that is ready. ``group`` is closed and ``freed`` called at its end.

    Raises:
        SandboxError: it could not be started.
    """
    try:
        kernel, channel = await _launched(parts, limits=limits, user=user, group=group, freed=freed)
    except BaseException:
        if group is not None:
            await asyncio.shield(group.close())
        freed()
        raise
    try:
        try:
            await kernel.ready()
            if parts.egress is not None and channel is not None:
                kernel.open_door(egress.received(channel), parts.egress)
        finally:
            if channel is not None:
                channel.close()
    except BaseException:
        await asyncio.shield(kernel.end())
        if kernel.work is not None:
            kernel.work.close()
        raise
    return kernel


async def _launched(
    parts: Parts,
    *,
    limits: Limits,
    user: int | None,
    group: memory.ControlGroup | None,
    freed: Callable[[], None],
) -> tuple[LiveKernel, socket.socket | None]:
    """The kernel, and where it hands out what its proxy listens to."""
    asks = parts.egress is not None
    with Descriptors() as ours:
        requests_read, requests = ours.pipe()
        out, out_write = ours.pipe()
        err, err_write = ours.pipe()
        answers, answers_write = ours.pipe()
        channel, door = ours.sockets() if asks else (None, None)
        wanted = Wanted(
            command=arguments.kernel_command(
                parts.interpreter,
                program=parts.kernel,
                limits=limits,
                answers=answers_write,
                door=door,
                packages=parts.packages is not None,
            ),
            variables=arguments.kernel_environment(
                parts.interpreter, proxy=egress.PORT if asks else None
            ),
            streams=(requests_read, out_write, err_write),
            kept=(answers_write,) if door is None else (answers_write, door),
            packages=parts.packages,
            certificates=parts.egress.certificates if parts.egress is not None else b"",
            tcp=asks,
        )
        try:
            tree = await launch(parts, wanted, limits=limits, user=user, group=group)
        except SandboxError as error:
            os.set_blocking(err, False)
            with contextlib.suppress(BlockingIOError):
                words = os.read(err, 2048).decode("utf-8", "replace").strip()
                if words:
                    raise SandboxError(words.splitlines()[-1]) from error
            raise
        ours.release(requests, out, err, answers)
        if channel is not None:
            ours.release(channel)
    kernel = LiveKernel(
        tree,
        limits=limits,
        group=group,
        watch=parts.watch,
        requests=requests,
        streams=(out, err, answers),
        freed=freed,
    )
    return kernel, None if channel is None else socket.socket(fileno=channel)
