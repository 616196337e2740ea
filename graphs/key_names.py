"""The names of Redis keys for scripts that find more of them while they work."""

from __future__ import annotations

# The same names for the scripts of the runs, which find more keys while they work: KEYS[1] is the
# prefix, `q` and `h` are tenant and thread as `Keys.quoted` gives them.
RUN_NAMES = """
local PREFIX = KEYS[1]
local RUNS = PREFIX .. '{runs}:'
local ALL, DUE, LEASES = RUNS .. 'all', RUNS .. 'due', RUNS .. 'leases'
local DISPATCHED, UNTOLD, PARKED = RUNS .. 'dispatched', RUNS .. 'untold', RUNS .. 'parked'
local DEAD, TURNS, CAPACITY = RUNS .. 'dead', RUNS .. 'turns', RUNS .. 'capacity'
local WORKERS, SLOTS, CANCELS = RUNS .. 'workers', RUNS .. 'slots', RUNS .. 'cancels'
local LASTS = RUNS .. 'lasts'
local CANCELLED = RUNS .. 'cancelled'
local TURN, ORDER, TENANTS = RUNS .. 'turn', RUNS .. 'order', PREFIX .. 'tenants'
local LEAVING, LIVING = PREFIX .. 'threads-leaving', PREFIX .. 'threads-expiring'
local function run_key(run) return RUNS .. 'run:' .. run end
local function ledger_key(run) return RUNS .. 'ledger:' .. run end
local function running_key(q) return RUNS .. 'tenant:' .. q .. ':running' end
local function waiting_key(q) return RUNS .. 'tenant:' .. q .. ':waiting' end
local function thread_runs_key(q, h) return RUNS .. 'thread:' .. q .. ':' .. h end
local function record_key(q, h) return PREFIX .. 'thread:{' .. q .. ':' .. h .. '}:record' end
local function queue_key(q, h) return PREFIX .. 'thread:{' .. q .. ':' .. h .. '}:queue' end
local function fence_key(q, h) return PREFIX .. 'fence:{' .. q .. '%3A' .. h .. '}' end
local function threads_key(q) return PREFIX .. 'threads:' .. q end
local function updated_key(q) return PREFIX .. 'threads:' .. q .. ':updated' end
local function threads_by(q) return PREFIX .. 'threads:' .. q .. ':by:' end
"""

# The names of approvals and of the audit log, for scripts that have RUN_NAMES before them.
APPROVAL_NAMES = """
local APPROVALS = PREFIX .. '{approvals}:'
local EXPIRING, RESUMING = APPROVALS .. 'expiring', APPROVALS .. 'resuming'
local OPEN, OVER = APPROVALS .. 'open', APPROVALS .. 'over'
local function approval_key(id) return APPROVALS .. 'approval:' .. id end
local function asked_by_key(run) return APPROVALS .. 'run:' .. run end
local function asked_in_key(q, h) return APPROVALS .. 'thread:' .. q .. ':' .. h end
local function asked_key(q) return APPROVALS .. 'tenant:' .. q .. ':all' end
local function state_key(q, state) return APPROVALS .. 'tenant:' .. q .. ':' .. state end
local function changes_key(q) return APPROVALS .. 'tenant:' .. q .. ':changes' end
local function audit_key(q) return PREFIX .. 'audit:{' .. q .. '}:log' end
local function audit_head_key(q) return PREFIX .. 'audit:{' .. q .. '}:head' end
"""
