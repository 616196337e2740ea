"""The sandbox as the settings say: for the house, the doctor and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from server.settings import Settings
from tools.sandbox.egress import Egress
from tools.sandbox.find import Sizes, Unavailable, open_sandbox
from tools.sandbox.interpreter import is_root
from tools.sandbox.sandbox import MEBIBYTE, Limits, Sandbox, SandboxError
from tools.tool import Effect, Tool

ADDS = "`counterpoint sandbox install` adds numpy, pandas, matplotlib and others"
_LIBRARIES = (
    "numpy, pandas, matplotlib, scipy, sklearn, sympy, openpyxl, pyarrow and pypdf are installed"
)
_E2B_LIBRARIES = "numpy, pandas, matplotlib and other usual packages are installed"
E2B = "e2b"
_SYSTEM = Path("/var/lib/counterpoint")
_PACKAGES = "sandbox-packages"
_FILES = "sandbox-files"


def limits_of(settings: Settings) -> Limits:
    """What one execution may use."""
    return Limits(seconds=settings.sandbox_seconds, memory_bytes=settings.sandbox_memory * MEBIBYTE)


def packages_folder(settings: Settings) -> Path:
    """Where packages lie that code may import; `counterpoint sandbox install` fills it."""
    if settings.sandbox.folder is not None:
        return settings.sandbox.folder.absolute()
    # A data folder of root's is closed to the user that code runs as.
    return (_SYSTEM if is_root() else settings.data_dir) / _PACKAGES


def files_folder(settings: Settings) -> Path:
    """Where files of sleeping sessions lie."""
    return settings.data_dir / _FILES


def reaching(tool: Tool, hosts: Sequence[str]) -> Tool:
    """The tool that runs code, as it is where code may ask ``hosts``: what it does there cannot be
    taken back, and is not done again by itself."""
    if not hosts:
        return tool
    words = f"whose network is HTTP and HTTPS to {', '.join(hosts)} alone"
    return replace(
        tool,
        effect=Effect.WRITES_ONCE,
        description=tool.description.replace("without network", words),
    )


def told(sandbox: Sandbox) -> str:
    """What code runs in, for people, and how it gets more to import."""
    more = "" if libraries(sandbox) else f"; {ADDS}"
    return f"run in {sandbox.describe().kind}{more}"


def libraries(sandbox: Sandbox) -> str:
    """What code may import beside the standard library, in a phrase for a model; empty where that
    is nothing."""
    isolation = sandbox.describe()
    if isolation.kind == E2B:
        return _E2B_LIBRARIES
    details = {one.name: one.detail for one in isolation.guarantees}
    return _LIBRARIES if "packages in" in details.get("python", "") else ""


async def opened(settings: Settings, *, warm: int = 0) -> Sandbox | Unavailable:
    """The sandbox that is configured, or why there is none; ``warm`` kernels will be kept ready."""
    match kind_of(settings):
        case "none":
            return Unavailable(
                reason="code is not to be run here (sandbox.kind is none)",
                remedy='set sandbox.kind = "auto"',
            )
        case "e2b":
            return _e2b(settings)
        case _:
            return await _local(settings, warm=warm)


def kind_of(settings: Settings) -> str:
    """``local``, ``e2b`` or ``none``."""
    kind = settings.sandbox.kind
    if kind == "auto":
        return "local" if settings.sandbox.e2b_key is None else "e2b"
    return kind


def _e2b(settings: Settings) -> Sandbox | Unavailable:
    chosen = settings.sandbox
    if find_spec("e2b_code_interpreter") is None:
        return Unavailable(
            reason="E2B is to run code, and its client is not installed",
            remedy=".venv/bin/pip install -c constraints.txt -e '.[e2b]' in Counterpoint's folder, "
            'or set sandbox.kind = "local"',
        )
    # Late: its client takes as long to import as half of all the rest.
    from tools.sandbox.e2b_machine import Access
    from tools.sandbox.e2b_sandbox import E2BSandbox

    assert chosen.e2b_key is not None
    limits = limits_of(settings)
    return E2BSandbox(
        Access(key=chosen.e2b_key, domain=chosen.e2b_domain, template=chosen.e2b_template),
        limits=limits,
        sessions=chosen.kernels + 1,
        # Whoever looks for idle ones comes a little late.
        life=chosen.idle_seconds + limits.seconds + 120,
        hosts=chosen.hosts,
    )


async def complaint(sandbox: Sandbox) -> str:
    """What is wrong with a sandbox that was opened without a trial; empty where nothing is."""
    check = getattr(sandbox, "check", None)
    if check is None:
        return ""
    try:
        await check()
    except SandboxError as error:
        return str(error)
    return ""


def egress_of(settings: Settings) -> Egress | None:
    """Which hosts code may ask; None: none."""
    chosen = settings.sandbox
    if not chosen.hosts:
        return None
    return Egress(patterns=chosen.hosts, ports=frozenset(chosen.ports), opened=chosen.opened())


async def _local(settings: Settings, *, warm: int) -> Sandbox | Unavailable:
    return await open_sandbox(
        bwrap=settings.bubblewrap,
        limits=limits_of(settings),
        # One more than may be awake: while one is put to sleep the next begins.
        sizes=Sizes(kernels=settings.sandbox.kernels + 1, warm=warm),
        packages=packages_folder(settings),
        strict=settings.sandbox.strict,
        egress=egress_of(settings),
    )
