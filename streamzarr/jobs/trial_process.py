"""The process of one trial (:mod:`streamzarr.jobs.trial`), run by path: a pipe says where streamzarr lies."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
from typing import Any, BinaryIO

# Nothing of streamzarr up here: where it lies is only known once the order is read.

BEGUN, ENDED = b"+", b"-"
"""Begin the lines said before and after each step of the work, with the number of its chunk if it is one.

What comes before the first step is no part of the work.
"""


def main(arguments: list[str]) -> None:
    """Carry out the task of the order on standard input; say what becomes of it to the descriptor given."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # its worker is told, and ends it in time
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    out = int(arguments[0])
    os.set_inheritable(out, False)
    order = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = order["path"]
    threading.Thread(target=_end_with_worker, daemon=True).start()
    with open(out, "wb") as mouth:
        _carry_out(order, mouth)
    # All is said and durable; threads and exit handlers of the transform have no part in it.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _end_with_worker() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock the end of the interpreter would trip over
        pass
    os._exit(os.EX_TEMPFAIL)


def _carry_out(order: dict[str, Any], mouth: BinaryIO) -> None:
    """Carry out the task; write what is said of it as lines."""
    from streamzarr.jobs.trial_work import carry_out

    lock, ourselves = threading.Lock(), os.getpid()

    def say(line: bytes) -> None:
        if os.getpid() != ourselves:  # a fork that came back from the work it was made in
            os._exit(os.EX_SOFTWARE)
        with lock:
            mouth.write(line + b"\n")
            mouth.flush()

    carry_out(order, say)


if __name__ == "__main__":
    main(sys.argv[1:])
