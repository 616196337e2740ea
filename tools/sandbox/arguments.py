"""bubblewrap's arguments: the whole isolation on one page, decided without touching anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.sandbox.interpreter import INSIDE, Interpreter
from tools.sandbox.sandbox import MEBIBYTE, Limits

WORK = "/work"
WRITABLE = ("/dev/shm", "/tmp", WORK)  # noqa: S108 - the sandbox's own
SHARED_MEMORY_BYTES = 8 * MEBIBYTE

# What programs of the system need to run; not /etc, /home, /root, /var, /srv, /opt, /usr/src.
_SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/share/zoneinfo")
_MERGED = ("/bin", "/lib", "/lib64", "/lib32")


PACKAGES = "/opt/packages"
"""Where the guest's own packages are mounted, read-only."""
# Room for what libraries reserve and never touch; what they hold is counted elsewhere.
_ADDRESS_SPACE = 4096 * MEBIBYTE
_RESERVE = 32 * MEBIBYTE
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where a guest that may ask hosts finds whom to trust."""
AHEAD = ("numpy", "pandas", "matplotlib.pyplot")
"""What a kernel imports before anybody waits for it."""


def environment(interpreter: Interpreter) -> dict[str, str]:
    """All that code inside sees of an environment."""
    values = {
        "HOME": WORK,
        "LANG": "C.UTF-8",
        "LOGNAME": "user",
        "PATH": "/usr/bin:/bin",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "USER": "user",
        # Each arena reserves 128 MB of the address space that counts against the limit.
        "MALLOC_ARENA_MAX": "2",
    }
    if interpreter.prefix is not None:
        values["LD_LIBRARY_PATH"] = f"{INSIDE}/lib"
    return values


def kernel_environment(interpreter: Interpreter, *, proxy: int | None = None) -> dict[str, str]:
    """What a kernel sees: caches stay out of the work folder, libraries start few threads, and
    where hosts may be asked, the port of their ``proxy``."""
    temporary = "/tmp"  # noqa: S108 - the sandbox's own
    asking = {}
    if proxy is not None:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        asking = dict.fromkeys(names, f"http://127.0.0.1:{proxy}")
        trusting = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        asking |= dict.fromkeys(trusting, CERTIFICATES)
    return (
        asking
        | environment(interpreter)
        | {
            "HOME": temporary,
            "IPYTHONDIR": f"{temporary}/.ipython",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": f"{temporary}/.matplotlib",
            "OMP_NUM_THREADS": "2",
            "OPENBLAS_NUM_THREADS": "2",
        }
    )


def _system_folders() -> list[str]:
    arguments: list[str] = []
    for folder in _SYSTEM:
        arguments += ["--ro-bind-try", folder, folder]
    for folder in _MERGED:
        path = Path(folder)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), folder]
        else:
            arguments += ["--ro-bind-try", folder, folder]
    return [*arguments, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]


def _installed_packages(interpreter: Interpreter) -> list[str]:
    """Where the machine's own packages lie: covered, since they are not for this code."""
    folders = [Path("/usr/lib/python3/dist-packages")]
    for library in ("/usr/lib", "/usr/lib64"):
        folders += sorted(Path(library).glob("python3.*/*-packages"))
    inside = [str(folder) for folder in folders if folder.is_dir()]
    if interpreter.prefix is not None:
        for folder in sorted((interpreter.prefix / "lib").glob("python3*/*-packages")):
            inside.append(f"{INSIDE}/{folder.relative_to(interpreter.prefix)}")
    return inside


def arguments(
    interpreter: Interpreter,
    *,
    limits: Limits,
    variables: Mapping[str, str],
    packages: Path | None,
    seccomp_fd: int | None,
    certificates_fd: int | None,
    info_fd: int,
    block_fd: int,
) -> list[str]:
    """Everything for ``bwrap --args`` except the command."""
    isolated = ["--unshare-all", "--unshare-user", "--disable-userns"]
    isolated += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    isolated += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]

    tree = _system_folders()
    if interpreter.prefix is not None:
        tree += ["--ro-bind", str(interpreter.prefix / "lib"), f"{INSIDE}/lib"]
        tree += ["--ro-bind", str(interpreter.executable), interpreter.inside]
    for folder in _installed_packages(interpreter):
        tree += ["--size", "4096", "--perms", "0555", "--tmpfs", folder, "--remount-ro", folder]
    tree += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    for folder, size in zip(
        WRITABLE, (SHARED_MEMORY_BYTES, limits.disk_bytes, limits.disk_bytes), strict=True
    ):
        tree += ["--size", str(size), "--tmpfs", folder]
    if packages is not None:
        tree += ["--ro-bind", str(packages), PACKAGES]
    if certificates_fd is not None:
        tree += ["--ro-bind-data", str(certificates_fd), CERTIFICATES]
    tree += ["--remount-ro", "/", "--chdir", WORK]

    named = ["--clearenv"]
    for name, value in variables.items():
        named += ["--setenv", name, value]

    wires = ["--info-fd", str(info_fd), "--block-fd", str(block_fd)]
    if seccomp_fd is not None:
        wires += ["--seccomp", str(seccomp_fd)]
    return [*isolated, *tree, *named, *wires]


def command(interpreter: Interpreter, *, program: str, limits: Limits) -> Sequence[str]:
    """The program inside: isolated from environment, user site and site-packages."""
    python = (interpreter.inside, "-I", "-S", "-B", "-u", "-X", "utf8", "-c", program)
    # In the order of the runner: core, file size, open files, CPU seconds, processes, memory.
    values = (
        0,
        limits.disk_bytes,
        limits.open_files,
        int(limits.seconds) + 1,
        limits.processes,
        limits.memory_bytes,
    )
    return (*python, *map(str, values))


def kernel_command(
    interpreter: Interpreter,
    *,
    program: str,
    limits: Limits,
    answers: int,
    door: int | None,
    packages: bool,
) -> Sequence[str]:
    """The kernel inside, which answers on the descriptor ``answers`` and hands out on ``door``
    what the proxy listens to."""
    python = (interpreter.inside, "-I", "-S", "-B", "-X", "utf8", "-c", program)
    # In the order of the kernel: core, file size, open files, processes, data, address space.
    values = (
        0,
        limits.disk_bytes,
        limits.open_files,
        limits.processes,
        # A reserve of the kernel's own is in it.
        limits.memory_bytes + _RESERVE,
        limits.memory_bytes + _ADDRESS_SPACE,
    )
    ahead = (PACKAGES, *AHEAD) if packages else ("",)
    return (*python, str(answers), *map(str, values), str(door or ""), *ahead)


def packed(values: Sequence[str]) -> bytes:
    """NUL-separated, as ``--args`` reads them: the command line then names no path of ours."""
    return b"".join(value.encode() + b"\0" for value in values)


def message(code: bytes, *, files: Mapping[str, bytes]) -> list[bytes]:
    """What the runner reads from stdin, in pieces."""
    pieces = [b"%d\n" % len(code), code]
    for name, content in files.items():
        pieces += [b"%d %s\n" % (len(content), name.encode()), content]
    return pieces
