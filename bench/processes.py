"""What processes use, read from /proc: CPU time and memory of a whole tree."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(*roots: int) -> set[int]:
    """The processes and all that descend from them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_ms(*roots: int) -> float:
    """CPU time of the trees so far, with what their ended children used, in milliseconds."""
    total = 0.0
    for pid in tree(*roots):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(word) for word in fields[11:15]) * _TICK_MS
    return total


def cpu_by_name(*roots: int) -> dict[str, float]:
    """The same, apart by the name of the program."""
    found: dict[str, float] = {}
    for pid in tree(*roots):
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[name] = found.get(name, 0.0) + sum(int(w) for w in fields[11:15]) * _TICK_MS
    return found


def memory(pid: int) -> int:
    """Resident bytes that are the process's own: what it shares with files is left out."""
    size, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    del size
    return (int(resident) - int(shared)) * _PAGE
