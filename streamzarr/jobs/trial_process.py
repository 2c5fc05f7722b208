"""The process of one trial (:mod:`streamzarr.jobs.trial`), run by path: a pipe says where streamzarr lies."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

# Nothing of streamzarr up here: where it lies is only known once the order is read.

BEGUN, ENDED = b"+", b"-"
"""Begin the lines said before and after each step of the work, with the number of its chunk if it is one.

What comes before the first step is no part of the work.
"""
LONGEST = 4000
"""Characters of an error's text."""


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
    """Carry out the task; say an :class:`~streamzarr.jobs.trial_child.Ending` of each chunk as it comes."""
    from contextlib import closing, contextmanager

    import msgspec

    from streamzarr.errors import message_of, name_of
    from streamzarr.jobs.execute import TaskExecutor
    from streamzarr.jobs.options import WorkerOptions
    from streamzarr.jobs.topics import JobTopics
    from streamzarr.jobs.transforms import load_transforms
    from streamzarr.jobs.trial_child import Ending
    from streamzarr.jobs.wanted import Wanted
    from streamzarr.jobs.wire import decode_task, encode
    from streamzarr.queue import open_broker
    from streamzarr.queue.retry import is_transient

    lock, ourselves = threading.Lock(), os.getpid()

    def say(line: bytes) -> None:
        if os.getpid() != ourselves:  # a fork that came back from the work it was made in
            os._exit(os.EX_SOFTWARE)
        with lock:
            mouth.write(line + b"\n")
            mouth.flush()

    def lost(number: int | None, error: BaseException) -> Ending:
        text = message_of(error, LONGEST)
        return Ending(number, error=name_of(error), text=text, transient=is_transient(error))

    def tell(number: int, end: int | BaseException) -> None:
        say(encode(Ending(number, end) if isinstance(end, int) else lost(number, end)))

    @contextmanager
    def in_flight(chunks: Sequence[int]) -> Iterator[None]:
        step = b"%d" % chunks[0] if len(chunks) == 1 else b""
        say(BEGUN + step)
        try:
            yield
        finally:
            say(ENDED + step)

    try:
        options = msgspec.convert(order["options"], WorkerOptions)
        load_transforms(options.transforms)
        task, numbers = decode_task(order["task"].encode()), order["numbers"]
        with (
            open_broker(options.broker) as broker,
            closing(Wanted(broker, JobTopics(options.prefix))) as wanted,
        ):
            execute = TaskExecutor(
                options.roots,
                is_wanted=wanted.certainly,
                goes_on=wanted.lately,
                max_bytes=options.max_bytes,
            )
            for part in [[number] for number in numbers] if order["singly"] else [numbers]:
                if not execute(task, part, tell, in_flight):
                    say(encode(Ending()))
                    return
    except BaseException as error:  # noqa: BLE001 - judged by the worker, as one of its own would be
        say(encode(lost(None, error)))


if __name__ == "__main__":
    main(sys.argv[1:])
