"""The program inside the sandbox: takes code from stdin, sets limits, runs it like a notebook cell.

It is read as text and given to the sandbox's own interpreter, so it may use the standard library
alone and nothing newer than Python 3.9, and imports little, since each run waits for it. Its
arguments are the limits; stdin holds the code's size on a line, the code, and for each file a line
with size and name, then its bytes.
"""

import _ast
import linecache
import os
import resource
import sys
import types

CELL = "<code>"
FRAMES_SHOWN = 8
_LIMITED = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_CPU,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_AS,
)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _receive() -> str:
    """The code; the files are written on the way."""
    with os.fdopen(0, "rb", closefd=False) as stream:
        code = stream.read(int(stream.readline())).decode("utf-8", "replace")
        while announced := stream.readline():
            size, _, name = announced.decode().rstrip("\n").partition(" ")
            folder = os.path.dirname(name)  # noqa: PTH120 - pathlib takes 5 ms to import
            if folder:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            with open(name, "wb") as file:  # noqa: PTH123
                file.write(stream.read(int(size)))
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.closerange(3, 1024)
    return code


def _run(code: str, module: types.ModuleType) -> None:
    tree = compile(code, CELL, "exec", _ast.PyCF_ONLY_AST)
    assert isinstance(tree, _ast.Module)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
    exec(compile(tree, CELL, "exec"), module.__dict__)  # noqa: S102 - running code is the purpose
    if isinstance(last, _ast.Expr):
        value = eval(compile(_ast.Expression(last.value), CELL, "eval"), module.__dict__)  # noqa: S307
        if value is not None:
            print(repr(value))


def _explain(error: BaseException, own_frames: int) -> None:
    import traceback

    place = error.__traceback__
    for _ in range(own_frames):
        place = place.tb_next if place is not None else None
    lines = traceback.format_exception(type(error), error, place, limit=-FRAMES_SHOWN)
    print("".join(lines), end="", file=sys.stderr)


def main() -> int:
    code = _receive()
    os.nice(5)  # the server's own work goes first
    for kind, value in zip(_LIMITED, sys.argv[1:]):  # noqa: B905 - Python 3.9 has no strict
        _limit(kind, int(value))
    linecache.cache[CELL] = (len(code), None, code.splitlines(keepends=True), CELL)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [CELL]
    try:
        _run(code, module)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its result
        _explain(error, 2)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
