"""Worker processes: start, watch, restart, drain, resize (design §12).

A parent starts N workers, each a fresh interpreter with its own consumer, threads and clients; payload
never crosses a process. This layer knows nothing of what the workers do::

    Supervisor   supervisor.py    the public handle: start, wait, run, stop, resize, status
      Monitor    monitor.py       one thread that owns every worker and decides for the pool
        Worker   worker.py        one place in the pool: its life, its restarts, its end
          Process  process.py     one child process: spawn, signals, output, reaping
    ------------------------------ the fork-exec line ------------------------------
    child.py        first code of a worker: import path, target, exit code
    lifeline.py     signals, the parent's commands, the parent's death, the hard deadline
    supervision.py  what the target is given: beat, in-flight register, stop request

Both sides share :mod:`board` (heartbeat, in-flight register and crash table in shared memory).
Pure decisions are in :mod:`blame` (whose fault a death was), :mod:`budget` (when to start again) and
:mod:`watch` (hung, late, too large).
"""

from streamzarr.supervisor.budget import Restart, RestartBudget, RestartPolicy
from streamzarr.supervisor.options import SupervisionOptions
from streamzarr.supervisor.report import Report, WorkerReport, WorkerStatus
from streamzarr.supervisor.spec import WorkerSpec
from streamzarr.supervisor.supervision import Supervision
from streamzarr.supervisor.supervisor import Supervisor

__all__ = [
    "Report",
    "Restart",
    "RestartBudget",
    "RestartPolicy",
    "Supervision",
    "SupervisionOptions",
    "Supervisor",
    "WorkerReport",
    "WorkerSpec",
    "WorkerStatus",
]
