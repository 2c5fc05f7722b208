"""SIGTERM, SIGINT and SIGHUP on their way from the C-level handler to the monitor's thread."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeAlias

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HANGUP = signal.SIGHUP
"""The terminal was closed: a stop that nobody repeats for want of patience, though it may come twice."""

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None


@dataclass(frozen=True, slots=True)
class _Installed:
    """What stood before, to be put back."""

    wakeup: int
    handlers: dict[signal.Signals, Handler]

    def undo(self) -> None:
        for number, handler in self.handlers.items():
            # None stands for a handler that was not set from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self.wakeup)


_installed: list[_Installed] = []


@contextlib.contextmanager
def signals_to(listen: Callable[[socket.socket | None], None]) -> Iterator[None]:
    """Give `listen` a socket from which it reads the numbers of signals, and None at the end.

    A Python-level handler would have to wait for the main thread, and a signal that arrives just before that
    thread blocks on a lock is not noticed until the lock is free. On other threads signals stay as they are.

    A process that is forked meanwhile has the signals as they were before: what is sent to it is not for us.
    After a hangup others are ignored, also when all is over: a shell may send several.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _undo_all_in_forks()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        listen(theirs)
        wakeup = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        heard: list[int] = []
        handlers = {
            number: signal.signal(number, lambda number, _: heard.append(number)) for number in _heard()
        }
        _installed.append(_Installed(wakeup, handlers))
        try:
            yield
        finally:
            if HANGUP in heard:
                handlers[HANGUP] = signal.SIG_IGN
            if _installed:  # else this is a fork that came back here
                _installed.pop().undo()
            listen(None)


def _heard() -> tuple[signal.Signals, ...]:
    """Return the signals to listen to; whoever runs us by ``nohup`` wants no hangup to be heard."""
    ignored = signal.getsignal(HANGUP) is signal.SIG_IGN
    return STOP_SIGNALS if ignored else (*STOP_SIGNALS, HANGUP)


@functools.cache
def _undo_all_in_forks() -> None:
    in_forks(_undo_all)


def _undo_all() -> None:
    while _installed:
        _installed.pop().undo()


def in_forks(part: Callable[[], None]) -> None:
    """Have `part` called in each process that is forked from this one, before any stop signal reaches it.

    A signal that came earlier would still be taken as the parent's: it is held back from before the fork.
    """
    masks = threading.local()

    def before() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, HANGUP))

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def after_in_child() -> None:
        part()
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)
