"""The thread that ties a worker process to its supervisor: commands, signals, orphanhood, hard deadline."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
from typing import Any

from streamzarr.runtime import SYSTEM
from streamzarr.supervisor.protocol import EXIT_LATE, Lines, drain_time, encode
from streamzarr.supervisor.signals import in_forks
from streamzarr.supervisor.supervision import Supervision

HELD_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Blocked by the supervisor while it spawns, so that a Ctrl-C meets no half-started worker; lifted here."""

MARGIN = 5.0
"""Seconds after the supervisor's own deadline: it does the killing, and this only stands in for it."""


class Lifeline:
    """Ends the worker when it is told to, terminated, or left alone.

    A stop can come as the supervisor's command, as SIGTERM from anybody, or as the supervisor's death (end of
    file on the socket pair, and where the kernel has it the parent's pidfd: a fork of the parent can hold the
    socket open, but not the parent's life). Each asks the target to drain; if the process is still there at
    the deadline, it ends itself without asking anybody. SIGINT and SIGHUP are ignored: a terminal sends them
    to the whole process group, and what they mean is the supervisor's to decide.

    What it cannot do: run while native code keeps the GIL for ever. That is what `hang_timeout` is for.

    Threads: constructed and started by the main thread; then one daemon thread, which never blocks but in
    select.
    """

    def __init__(self, channel: socket.socket, parent: int, drain: float) -> None:
        self._channel = channel
        self._parent = parent
        self._drain = drain
        self._deadline = float("inf")
        self._lines = Lines()
        self._supervision: Supervision | None = None
        self._wakeup, self._signalled = socket.socketpair()
        self._forked = False
        self.terminated = False
        """Whether SIGTERM was the first to ask for a stop."""

    def say(self, message: dict[str, Any]) -> None:
        """Tell the supervisor; without one there is nobody to tell."""
        if self._forked:
            return
        with contextlib.suppress(OSError):
            self._channel.sendall(encode(message))

    def start(self, supervision: Supervision) -> None:
        """Take over the signals and start the thread. Main thread only."""
        self._supervision = supervision
        for end in (self._wakeup, self._signalled):
            end.setblocking(False)
        # The C-level handler writes the signal's number at once, even while the main thread is in C.
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        in_forks(self._part)
        SYSTEM.thread(self._run, "streamzarr-lifeline").start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)

    def _part(self) -> None:
        """Let go of everything that is the worker's: this is a process that its work has forked.

        SIGTERM to it ends it, and is none to the worker. SIGINT and SIGHUP stay ignored: when a terminal
        sends them to all, the worker drains, and may need this process for it.
        """
        assert self._supervision is not None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._forked = True
        self._supervision.part()
        for end in (self._wakeup, self._signalled, self._channel):
            end.close()

    def leave(self) -> None:
        """Say the last words; give what is left (other threads, exit handlers) the drain time to end."""
        if self._forked:
            return
        self.say({"ended": True})
        self._deadline = min(self._deadline, SYSTEM.now() + self._drain)
        self._signalled.send(b"\0")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakeup, selectors.EVENT_READ, self._on_signal)
            selector.register(self._channel, selectors.EVENT_READ, self._on_message)
            parent = self._watch_parent()
            if parent is not None:
                selector.register(parent, selectors.EVENT_READ, self._on_orphaned)
            while True:
                left = self._deadline - SYSTEM.now()
                if left <= 0:
                    self.say({"ended": True})
                    os._exit(EXIT_LATE)
                for key, _ in selector.select(None if left == float("inf") else left):
                    if not key.data():
                        selector.unregister(key.fileobj)

    def _watch_parent(self) -> int | None:
        try:
            watched = os.pidfd_open(self._parent)
        except (AttributeError, OSError):  # no such call here, or no such process any more
            watched = None
        if os.getppid() != self._parent:
            self._on_orphaned()
        return watched

    def _on_signal(self) -> bool:
        """Read the numbers of the signals that arrived; all but SIGTERM only wake the loop."""
        if signal.SIGTERM in self._wakeup.recv(4096):
            assert self._supervision is not None
            self.terminated = self.terminated or not self._supervision.stop_requested
            self._stop(self._drain, margin=0.0)
        return True

    def _on_message(self) -> bool:
        try:
            data = self._channel.recv(4096)
        except ConnectionResetError:
            data = b""
        if not data:
            return self._on_orphaned()
        for line in self._lines.feed(data):
            self._stop(float(json.loads(line)["stop"]), MARGIN)
        return True

    def _on_orphaned(self) -> bool:
        """Drain without a supervisor; nobody reads the output any more, so a write must not fail on it."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        self._stop(self._drain, margin=0.0)
        return False

    def _stop(self, drain: float, margin: float) -> None:
        assert self._supervision is not None
        self._deadline = min(self._deadline, SYSTEM.now() + drain + margin)
        self._supervision.request_stop(drain_time(drain))
