"""The kernel inside the sandbox: cells that share variables, driven over pipes of its own.

It is read as text and given to the sandbox's own interpreter, so it may use the standard library
alone and nothing newer than Python 3.9; IPython runs the cells where the packages have it. Its
arguments: the descriptor to answer on, six limits, the one to hand out a proxy's socket on ("" for
none), the packages' folder ("" for none), then what to import ahead. Requests come on stdin, which
the cells never see. `frames.py` has the other end.
"""

from __future__ import annotations

import _ast
import base64
import contextlib
import fcntl
import gc
import io
import json
import linecache
import os
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any, Protocol

HEAD = struct.Struct(">cI")
PUT_HEAD = struct.Struct(">QH")
FRAMES_SHOWN = 8
TEXT_LIMIT = 64 * 1024
ERROR_LIMIT = 8 * 1024
RESERVE = 32 * 1024 * 1024
END_SECONDS = 10.0
PROXY_PORT = 3128
LIMITS = {
    "text/plain": TEXT_LIMIT,
    "text/html": 512 * 1024,
    "image/png": 4 * 1024 * 1024,
    "image/svg+xml": 4 * 1024 * 1024,
}
_LIMITED = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_DATA,
    resource.RLIMIT_AS,
)

Show = Callable[[str, "dict[str, Any]"], None]


class Wire:
    """Requests in, answers out; both ends closed to what cells start."""

    def __init__(self, answers: int) -> None:
        self._in = os.fdopen(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3), "rb")
        self._out = fcntl.fcntl(answers, fcntl.F_DUPFD_CLOEXEC, 3)
        os.close(answers)
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def request(self) -> tuple[bytes, bytes] | None:
        """Kind and body; None when the server is gone."""
        head = self._in.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        kind, length = HEAD.unpack(head)
        return kind, self._in.read(length)

    def send(self, kind: bytes, body: bytes) -> None:
        data = memoryview(HEAD.pack(kind, len(body)) + body)
        while data:
            data = data[os.write(self._out, data) :]

    def tell(self, kind: bytes, **values: Any) -> None:
        self.send(kind, json.dumps(values).encode())

    def show(self, nonce: str, kind: str, forms: dict[str, Any]) -> None:
        """An output in the forms that are known and fit."""
        parts, contents, left_out = [], [], []
        for media_type, limit in LIMITS.items():
            value = forms.get(media_type)
            if value is None:
                continue
            if isinstance(value, str):
                binary = media_type == "image/png"
                content = base64.b64decode(value) if binary else value.encode("utf-8", "replace")
            else:
                content = bytes(value)
            if len(content) > limit and media_type == "text/plain":
                content = content[:limit]
                left_out.append("text cut")
            if len(content) > limit:
                left_out.append(f"{media_type} of {len(content):,} bytes: {limit:,} at most")
                continue
            parts.append([media_type, len(content)])
            contents.append(content)
        told = {"id": nonce, "kind": kind, "parts": parts, "left_out": left_out}
        self.send(b"O", json.dumps(told).encode() + b"\n" + b"".join(contents))


class Cells(Protocol):
    """What runs cells."""

    name: str

    def run(self, code: str) -> BaseException | None:
        """The error that the cell ended with, or None."""


class Plain:
    """Cells by the standard library alone."""

    name = "python"

    def __init__(self, show: Show) -> None:
        self._show = show
        self._module = types.ModuleType("__main__")
        sys.modules["__main__"] = self._module
        self._count = 0

    def run(self, code: str) -> BaseException | None:
        """The error that the cell ended with, or None."""
        self._count += 1
        name = f"<cell {self._count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        space = self._module.__dict__
        try:
            tree = compile(code, name, "exec", _ast.PyCF_ONLY_AST)
            assert isinstance(tree, _ast.Module)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
            exec(compile(tree, name, "exec"), space)  # noqa: S102 - running code is the purpose
            if isinstance(last, _ast.Expr):
                value = eval(compile(_ast.Expression(last.value), name, "eval"), space)  # noqa: S307
                if value is not None:
                    space["_"] = value
                    self._show("result", {"text/plain": repr(value)})
        except BaseException as error:  # noqa: BLE001 - whatever the code raises is its result
            return error
        return None


def notebook(show: Show) -> Cells:
    """Cells by IPython.

    Raises:
        ImportError: it is not among the packages.
    """
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Hook(DisplayHook):  # type: ignore[misc]
        def start_displayhook(self) -> None:
            pass

        write_output_prompt = finish_displayhook = start_displayhook

        def write_format_data(self, format_dict: dict[str, Any], md_dict: Any = None) -> None:
            show("result", format_dict)

    class Publisher(DisplayPublisher):  # type: ignore[misc]
        def publish(self, data: dict[str, Any], *_: Any, **__: Any) -> None:
            show("display", data)

        def clear_output(self, *_: Any, **__: Any) -> None:
            pass

    class Shell(InteractiveShell):  # type: ignore[misc]
        problem: BaseException | None = None

        def showtraceback(self, *_: Any, **__: Any) -> None:
            # What fails after the cell, such as drawing its figures, comes here alone.
            self.problem = sys.exc_info()[1]

        showsyntaxerror = showtraceback

        def _format_exception_for_storage(self, *_: Any, **__: Any) -> dict[str, Any]:
            # Nobody reads it, and making it takes longer than all the rest.
            return {"ename": "", "evalue": "", "traceback": []}

        def ask_exit(self) -> None:
            raise SystemExit(0)

    Shell.displayhook_class = Hook
    Shell.display_pub_class = Publisher
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryAccessor.enabled = False
    shell = Shell.instance(config=config)
    shell.compile.get_code_name = lambda raw, code, number: f"<cell {number}>"
    sys.modules["__main__"] = shell.user_module
    warnings.filterwarnings("ignore", "To exit: use", UserWarning)
    # What the first error imports is there before anybody waits for it.
    explained(shell.run_cell("1 / 0", store_history=False).error_in_exec)

    class Notebook:
        name = "ipython"

        def run(self, code: str) -> BaseException | None:
            shell.problem = None
            result = shell.run_cell(code, store_history=True)
            error: BaseException | None = result.error_before_exec or result.error_in_exec
            return error or shell.problem

    return Notebook()


def explained(error: BaseException) -> str:
    """A short traceback: the frames from the cell on, ``FRAMES_SHOWN`` at most."""
    place = error.__traceback__
    while place is not None and not place.tb_frame.f_code.co_filename.startswith("<cell"):
        place = place.tb_next
    lines = traceback.format_exception(type(error), error, place, limit=-FRAMES_SHOWN)
    text = "".join(lines)
    if len(text) > ERROR_LIMIT:
        text = text[: ERROR_LIMIT // 4] + "\n[...]\n" + text[-ERROR_LIMIT * 3 // 4 :]
    return text


def end_of(error: BaseException | None) -> dict[str, Any]:
    """How a cell ended, as the answer tells it."""
    if error is None:
        return {"ok": True}
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or code == 0:
            return {"ok": True}
        text = "" if isinstance(code, int) else f"{code}\n"[-ERROR_LIMIT:]
        return {"ok": False, "exit": code if isinstance(code, int) else 1, "text": text}
    return {
        "ok": False,
        "exit": 1,
        "text": explained(error),
        "memory": isinstance(error, MemoryError),
        "interrupted": isinstance(error, KeyboardInterrupt),
    }


class Kernel:
    """One request after the other, until the server is gone."""

    def __init__(self, wire: Wire, packages: str, ahead: list[str]) -> None:
        self._wire = wire
        self._nonce = ""
        self._own = os.getpid()
        self._cells: Cells = self._shell(packages)
        for name in ahead:
            with contextlib.suppress(Exception):  # a cell that wants it says so
                __import__(name)

    def _shell(self, packages: str) -> Cells:
        if packages:
            sys.path.append(packages)
            with contextlib.suppress(FileNotFoundError):
                shutil.copytree(f"{packages}/.fonts", "/tmp/.matplotlib")  # noqa: S108
            try:
                return notebook(self._show)
            except ImportError:
                pass
        return Plain(self._show)

    def _show(self, kind: str, forms: dict[str, Any]) -> None:
        if os.getpid() == self._own:
            self._wire.show(self._nonce, kind, forms)

    def serve(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        version = ".".join(map(str, sys.version_info[:2]))
        self._wire.tell(b"H", kernel=self._cells.name, python=version)
        while True:
            request = self._wire.request()
            if request is None:
                return
            kind, body = request
            self._nonce = body[:16].hex()
            if kind == b"C":
                self._cell(body[16:].decode("utf-8", "replace"))
            else:
                self._put(body[16:])

    def _cell(self, code: str) -> None:
        end: dict[str, Any] = {"ok": False, "exit": 1, "interrupted": True}
        try:
            try:
                self._grant(0)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                self._wire.tell(b"B", id=self._nonce)
                error = self._cells.run(code)
                self._grant(RESERVE)
                end = end_of(error)
            finally:
                self._turn_deaf()
                self._grant(RESERVE)
                if os.getpid() != self._own:
                    os._exit(0)  # a fork of the cell's that came back here
        except BaseException as error:  # noqa: BLE001 - it may come between any two lines of ours
            if not isinstance(error, KeyboardInterrupt):
                end = {"ok": False, "exit": 1, "text": f"{type(error).__name__}\n"}
                end["memory"] = isinstance(error, MemoryError)
        if end.get("memory"):
            gc.collect()
        # What fails here is the cell's own doing, such as the last of its memory taken.
        for tidy in (sys.stdout.flush, sys.stderr.flush, self._end_others):
            with contextlib.suppress(Exception):
                tidy()
        self._wire.tell(b"D", id=self._nonce, **end)

    def _grant(self, more: int) -> None:
        """A cell that took all memory leaves some for what has to be said of it."""
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard - RESERVE + more, hard))

    def _turn_deaf(self) -> None:
        while True:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            except KeyboardInterrupt:
                continue
            return

    def _end_others(self) -> None:
        """Processes end with the cell that started them."""
        pause, until = 0.0002, time.monotonic() + END_SECONDS
        while True:
            try:
                os.kill(-1, signal.SIGKILL)
            except OSError:
                return  # nobody is left; the dead count as long as nobody has buried them
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if time.monotonic() > until:
                os._exit(1)  # what starts them faster than they end, ends with this process
            time.sleep(pause)
            pause = min(2 * pause, 0.01)

    def _put(self, body: bytes) -> None:
        modified, length = PUT_HEAD.unpack_from(body)
        begin = PUT_HEAD.size + length
        name = body[PUT_HEAD.size : begin].decode()
        target = os.path.join("/work", name)  # noqa: PTH118
        # Whole or not at all: half of a table has other sums.
        part = os.path.join(os.path.dirname(target), ".part-" + self._nonce)  # noqa: PTH118, PTH120
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            with open(part, "wb") as file:  # noqa: PTH123
                file.write(memoryview(body)[begin:])
            os.utime(part, ns=(modified or time.time_ns(),) * 2)
            os.replace(part, target)  # noqa: PTH105
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(part)  # noqa: PTH108
            self._wire.tell(b"W", id=self._nonce, error=f"{name}: {error.strerror}")
        else:
            self._wire.tell(b"W", id=self._nonce, error="")


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def hand_out(door: int) -> None:
    """Give the server a socket that listens here: what connects to it is served outside."""
    import socket

    with socket.socket(fileno=door) as channel, socket.socket() as listener:
        listener.bind(("127.0.0.1", PROXY_PORT))
        listener.listen(128)
        socket.send_fds(channel, [b"L"], [listener.fileno()])


def main() -> None:
    wire = Wire(int(sys.argv[1]))
    os.nice(5)  # the server's own work goes first
    for kind, value in zip(_LIMITED, sys.argv[2:8]):  # noqa: B905 - Python 3.9 has no strict
        _limit(kind, int(value))
    if sys.argv[8]:
        hand_out(int(sys.argv[8]))
    packages, ahead = sys.argv[9], sys.argv[10:]
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(errors="replace", line_buffering=True)
    Kernel(wire, packages, ahead).serve()


if __name__ == "__main__":
    main()
