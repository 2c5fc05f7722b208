"""Who is alive, and how to wake it: small files beside the database, one directory for all.

``<name>.bell``  A FIFO that its owner keeps open for reading. Whoever has written records or changed a
                 group writes a byte to every bell, so a waiting consumer sleeps in ``poll(2)`` until there
                 is something to see. The kernel closes it with its owner, however that ends: opening it
                 for writing then fails with ``ENXIO``, which is how a killed member is noticed.
``<name>.beat``  A file whose modification time a member's heartbeat thread sets to the monotonic clock
                 (the same for all processes of a machine, and never set back): how a stopped one is
                 noticed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import weakref
from functools import partial
from pathlib import Path
from typing import Final

from streamzarr.errors import QueueError
from streamzarr.runtime import Runtime

_BELL: Final = ".bell"
_BEAT: Final = ".beat"

RECHECK: Final = 0.25
"""Seconds between looks at the other members while waiting: how long a killed one can go unnoticed."""


class Doorbell:
    """A FIFO on which this process waits. Owned by one thread."""

    def __init__(self, directory: str, name: str) -> None:
        self._fd = -1
        self._path = Path(directory, name + _BELL)
        unready = Path(directory, f".{name}")
        try:
            Path(directory).mkdir(exist_ok=True)
            os.mkfifo(unready)
            # Read-write, so that it never reports end of file while nobody rings.
            self._fd = os.open(unready, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise QueueError(f"{directory}: cannot hold a FIFO to wait on: {error.strerror}") from error
        unready.rename(self._path)  # only now: a bell by its final name has a reader, or its owner is dead
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        _open_here.add(self)

    def wait(self, timeout: float) -> None:
        """Return when it has rung since the last `wait`, or after `timeout` seconds."""
        if self._poll.poll(max(0.0, timeout) * 1000):
            # One ring and a thousand say the same: look again. A pipe holds 64 KiB.
            with contextlib.suppress(BlockingIOError):
                os.read(self._fd, 1 << 16)

    def close(self) -> None:
        """Remove the FIFO. Idempotent."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            self.forget()

    __del__ = close

    def forget(self) -> None:
        """Close the descriptor and leave the file: it is somebody else's, or will be collected."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def ring(directory: str) -> None:
    """Wake everybody who waits, and remove the files of the dead.

    Never fails: what has changed is stored already, and who was not woken looks within `RECHECK` seconds.
    """
    with contextlib.suppress(OSError):  # too many open files, say
        for bell in Path(directory).glob(f"[!.]*{_BELL}"):
            if not _reach(bell, ring=True):
                collect(directory, bell.stem)


def _reach(bell: Path, *, ring: bool) -> bool:
    """Tell whether somebody holds this bell, and ring it if asked to.

    Other failures (too many open files, say) are no news about the owner, who looks for itself anyway
    every `RECHECK` seconds.
    """
    try:
        fd = os.open(bell, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.ENOENT)
    try:
        if ring:
            os.write(fd, b"\0")
    except BlockingIOError:
        pass  # full: it will wake anyway
    except BrokenPipeError:
        return False
    finally:
        os.close(fd)
    return True


class Heartbeat:
    """A daemon thread that says "alive" for a member, several times per session timeout.

    It falls silent when the member has not polled for `max_poll_interval` seconds, so that a consumer
    whose loop hangs loses its partitions although its process lives, as Kafka's does (KIP-62).
    """

    def __init__(
        self, directory: str, name: str, session_timeout: float, max_poll_interval: float, runtime: Runtime
    ) -> None:
        self._path = Path(directory, name + _BEAT)
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError as error:
            raise QueueError(f"{self._path}: cannot be made: {error.strerror}") from error
        self._max_poll_interval = max_poll_interval
        self._now = runtime.now
        self._stop = runtime.event()
        self.polled = runtime.now()
        self._beat()
        _open_here.add(self)
        self._thread = runtime.thread(partial(self._run, session_timeout / 5), f"streamzarr-heartbeat-{name}")
        self._thread.start()

    def _run(self, interval: float) -> None:
        while not self._stop.wait(interval):
            if self._now() - self.polled < self._max_poll_interval:
                self._beat()

    def _beat(self) -> None:
        now = round(self._now() * 1e9)
        os.utime(self._fd, ns=(now, now))

    def close(self) -> None:
        """Stop the thread and remove the file. Idempotent."""
        if self._fd >= 0:
            self._stop.set()
            self._thread.join()
            self._path.unlink(missing_ok=True)
            self.forget()

    def forget(self) -> None:
        """Close the descriptor and leave the file and the thread, which did not survive the fork."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def is_alive(directory: str, name: str, session_timeout: float, now: float) -> bool:
    """Tell whether the member's process lives and has given a sign in the last `session_timeout` seconds."""
    try:
        beat = Path(directory, name + _BEAT).stat().st_mtime_ns
    except FileNotFoundError:
        return False
    if now - beat / 1e9 > session_timeout:
        return False
    return _reach(Path(directory, name + _BELL), ring=False)


def collect(directory: str, name: str) -> None:
    """Remove the files of a member that is gone."""
    for suffix in (_BELL, _BEAT):
        Path(directory, name + suffix).unlink(missing_ok=True)


# A forked child must not keep its parent's bells open, or the parent's death would go unnoticed.
_open_here: weakref.WeakSet[Doorbell | Heartbeat] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for held in list(_open_here):
        held.forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
