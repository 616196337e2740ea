"""Runs: their records in Redis, the queue that carries their ids, the worker that advances them.

From the outside in:

- ``service.Runs``      what every surface calls: create, follow, cancel, resume, repair
- ``asked``, ``record`` what a caller asked, what is stored of it, and all errors
- ``transitions``       which state may follow which; pure
- ``records``           every move of a record, one script each (``record_scripts``, ``moves``)
- ``admission``         whose run is next: threads in order, tenants in turn; part of every script
- ``leases``            who holds what, and what was lost (``lease_scripts``, ``reaper``)
- ``durability``        when a word to a caller outlives a crash
- ``queue``             the engine: says "advance run X", at least once, and is never the truth
- ``worker``            claims, works, stores the end (``held``, ``emitter``, ``endings``)
- ``telling``           an end or a pause reaches the log; what is taken back (``told_scripts``)
- ``ledger``            what a run may still spend
- ``explain``           why a run is where it is

A run's life: CREATE stores it and lets it in if its thread and tenant are free; the queue delivers
its id; CLAIM counts the attempt and sets the thread's fence; every write of the work carries that
stamp; MOVE stores the end, lets the next one in and drops the fence; the log tells it. Whoever dies
in between leaves a mark in an index (leases, dispatched, due, untold, cancels) that a reaper reads.
"""
