"""A worker process that stops itself (SIGSTOP) between its look at the target and its first write.

``python -m tests.support.stopping_worker BROKER PREFIX ROOT``; it ends after its first task.
"""

import os
import signal
import sys

from streamzarr.flow import Stop
from streamzarr.jobs import execute
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.worker import Unsupervised, run_worker

SESSION_SECONDS = 2.0


def main(broker: str, prefix: str, root: str) -> None:
    stop = Stop()
    write, carry_out = execute.Array.write_chunk, execute.TaskExecutor.__call__
    stops = iter([signal.SIGSTOP])

    def write_late(self, index, block, **condition):
        for number in stops:
            os.kill(os.getpid(), number)
        return write(self, index, block, **condition)

    def carry_out_one(self, *arguments, **options):
        try:
            return carry_out(self, *arguments, **options)
        finally:
            stop.drain(10.0)

    execute.Array.write_chunk = write_late
    execute.TaskExecutor.__call__ = carry_out_one
    options = WorkerOptions(broker=broker, roots=(root,), prefix=prefix, session_timeout=SESSION_SECONDS)
    run_worker(options, Unsupervised("stopped"), stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
