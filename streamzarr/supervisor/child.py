"""First code of a worker process. Run by path, not imported: the import path comes with the specification."""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys

# Nothing of streamzarr up here: where it lies is only known once the specification is read.


def main(arguments: list[str]) -> int:
    """Take over what was inherited, run the target, and return the exit code.

    `arguments` are the worker's name and index, the supervisor's pid, and the descriptors of the channel, the
    slot, the crash table and the specification.
    """
    name, *numbers = arguments
    index, parent, *inherited = map(int, numbers)
    for fd in inherited:  # ours alone: what the target starts must not hold them open
        os.set_inheritable(fd, False)
    channel, slot, table, spec_fd = inherited
    spec = json.loads(os.pread(spec_fd, os.fstat(spec_fd).st_size, 0))
    os.close(spec_fd)
    sys.path[:] = spec["path"]
    faulthandler.enable()

    from streamzarr.supervisor.board import CrashTable, Slot
    from streamzarr.supervisor.lifeline import Lifeline
    from streamzarr.supervisor.protocol import EXIT_TERMINATED
    from streamzarr.supervisor.supervision import Supervision
    from streamzarr.supervisor.target import run_target

    lifeline = Lifeline(socket.socket(fileno=channel), parent, spec["drain"])
    supervision = Supervision(
        *(name, index, Slot(slot), CrashTable(table), lifeline.say),
        task_timeout=spec["task_timeout"],
        max_memory=spec["max_memory"],
    )
    os.close(slot)
    os.close(table)
    lifeline.start(supervision)
    try:
        exit_code = run_target(spec["target"], spec["config"], supervision, lifeline.say)
    finally:  # also after sys.exit() on this thread: the target's own decision, and an orderly end
        lifeline.leave()
    return EXIT_TERMINATED if exit_code == 0 and lifeline.terminated else exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
