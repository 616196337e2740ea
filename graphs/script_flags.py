"""What a script does at a Redis that is full (its ``maxmemory`` reached, ``noeviction``).

A move is made whole or not at all: a full Redis refuses what begins something, and takes what ends
or deletes it, for that makes room. One of these is a script's first line.
"""

from __future__ import annotations

BEGINS = "#!lua"
ENDS = "#!lua flags=allow-oom"
