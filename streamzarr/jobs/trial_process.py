"""The process of one trial (:mod:`streamzarr.jobs.trial`), run by path: a pipe says where streamzarr lies."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
from typing import Any

# Nothing of streamzarr up here: where it lies is only known once the order is read.

BEGUN = b"+"
"""Said before the task is begun: what comes before is no part of it."""
LONGEST = 4000
"""Characters of an error's text: an ending fits into a pipe, and can be said before anybody listens."""


def main(arguments: list[str]) -> None:
    """Carry out the task of the order on standard input, and say the outcome to the descriptor given."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # its worker is told, and ends it in time
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    out = int(arguments[0])
    os.set_inheritable(out, False)
    order = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = order["path"]
    threading.Thread(target=_end_with_worker, daemon=True).start()
    os.write(out, _outcome(order, out))
    # All is said and durable; threads and exit handlers of the transform have no part in it.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _end_with_worker() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock the end of the interpreter would trip over
        pass
    os._exit(os.EX_TEMPFAIL)


def _outcome(order: dict[str, Any], out: int) -> bytes:
    """Carry out the task; return the encoded :class:`~streamzarr.jobs.trial.Ending`."""
    from contextlib import closing

    import msgspec

    from streamzarr.errors import message_of, name_of
    from streamzarr.jobs.execute import TaskExecutor
    from streamzarr.jobs.options import WorkerOptions
    from streamzarr.jobs.topics import JobTopics
    from streamzarr.jobs.transforms import load_transforms
    from streamzarr.jobs.trial import Ending
    from streamzarr.jobs.wanted import Wanted
    from streamzarr.jobs.wire import decode_task, encode
    from streamzarr.queue import open_broker
    from streamzarr.queue.retry import is_transient

    try:
        options = msgspec.convert(order["options"], WorkerOptions)
        load_transforms(options.transforms)
        task = decode_task(order["task"].encode())
        with (
            open_broker(options.broker) as broker,
            closing(Wanted(broker, JobTopics(options.prefix))) as wanted,
        ):
            execute = TaskExecutor(options.roots, is_wanted=wanted.certainly, max_bytes=options.max_bytes)
            os.write(out, BEGUN)
            ending = Ending(nbytes=execute(task))
    except BaseException as error:  # noqa: BLE001 - judged by the worker, as one of its own would be
        text = message_of(error, LONGEST)
        ending = Ending(error=name_of(error), text=text, transient=is_transient(error))
    return encode(ending)


if __name__ == "__main__":
    main(sys.argv[1:])
