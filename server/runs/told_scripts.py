"""What follows in the run record from an end or a pause that the event log has.

KEYS and ARGV as in ``record_scripts``, where nothing else is said.
"""

from __future__ import annotations

from graphs.script_flags import ENDS
from server.runs.admission import ADMISSION

# ARGV[4]: retention. The end of the run is in the event log; what was to be taken back is.
CLOSED = (
    ENDS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
redis.call('ZREM', UNTOLD, id)
if run and run.undo then
  redis.call('DEL', run_key(id), ledger_key(id))
  redis.call('ZREM', ALL, id)
  redis.call('ZREM', thread_runs_key(run.q, run.h), id)
  leave(id, run)
end
return queued()
"""
)

# KEYS: the runs whose end or pause may not be told, the run. ARGV: run, the state that was told,
# how often the run had been resumed then, the end as it is kept where that differs, or ''. What it
# came to since has still to be told.
TOLD = """
local found = redis.call('HMGET', KEYS[2], 'status', 'resumes')
local as_told = found[1] == ARGV[2] and (found[2] or '0') == ARGV[3]
if not found[1] or as_told then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
if as_told and ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], 'end', ARGV[4])
end
return 1
"""
