"""``make stack``: two APIs and two workers behind one proxy, with Redis, documents and a model.

Everything listens on loopback and is started again when it ends; Ctrl-C stops all, in order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from models import catalogue
from models.artifacts import WeightsError
from models.fetch import fetch
from scripts.stack.supervisor import StackError, Supervisor
from scripts.stack.topology import Plan, Ports, needed, program
from server import house_models, lock, progress, settings


def main() -> int:
    """Run until a signal; 0 after a stop, 2 for a setting, 3 where something cannot be had."""
    asked = _asked()
    try:
        return asyncio.run(_watched(asked))
    except (settings.ConfigurationError, lock.DataFolderBusy, lock.DataFolderUnusable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (StackError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


async def _watched(asked: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await _run(asked)
    except asyncio.CancelledError:
        print("Stopped", flush=True)
    return 0


async def _run(asked: argparse.Namespace) -> None:
    configured = settings.load()
    folder = (asked.data_dir or configured.data_dir / "stack").absolute()
    with lock.owned(folder):
        plan = await _plan(configured, folder=folder, port=asked.port or configured.port)
        plan.write()
        began = time.monotonic()
        print(f"Starting the stack; its data is in {folder}, its logs in {plan.logs}", flush=True)
        async with Supervisor(plan.rows(), logs=plan.logs, tell=_tell):
            live = lock.LiveServer(pid=os.getpid(), url=plan.url, started=time.time())
            with lock.announcement(folder, live):
                _tell(f"the stack is ready at {plan.url} ({time.monotonic() - began:.1f} s)")
                if plan.prometheus is None:
                    _tell("no prometheus on this machine (apt-get install prometheus): not started")
                _tell("Ctrl-C stops it")
                await asyncio.Event().wait()


async def _plan(configured: settings.Settings, *, folder: Path, port: int) -> Plan:
    if configured.knowledge_url is not None:
        raise settings.ConfigurationError(
            "knowledge_url: the stack keeps the documents itself; unset it"
        )
    redis, haproxy = needed()
    return Plan(
        folder=folder,
        ports=Ports.free(proxy=port),
        weights=await _weights(configured),
        key_file=_key(folder),
        owner=configured.qdrant_url is None,
        redis=redis,
        haproxy=haproxy,
        prometheus=program("prometheus"),
    )


async def _weights(configured: settings.Settings) -> Path | None:
    """The built-in model's file; None where the configuration names a model."""
    if house_models.configured(configured) is not None:
        return None
    return await fetch(
        catalogue.CHAT,
        configured.models_dir,
        progress=progress.for_console(Console()),
        from_folder=configured.models_from,
        offline=configured.offline,
    )


def _key(folder: Path) -> Path:
    """What the local model is asked with."""
    path = folder / "model.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), "utf-8")
    return path


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.stack", description=__doc__)
    parser.add_argument("--port", type=int, help="the proxy's  [COUNTERPOINT_PORT, default 8000]")
    parser.add_argument("--data-dir", type=Path, help="default: `stack` in the data folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
