"""What a worker's target is given: its name, the request to stop, the heartbeat, the in-flight register."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from typing import Any

from streamzarr.runtime import SYSTEM, Runtime, Thread
from streamzarr.supervisor.board import CrashTable, Slot, Suspicion

_logger = logging.getLogger(__name__)


class Supervision:
    """The worker's side of supervision.

    A target beats in each turn of its loop, names the work that it holds, and comes to an end soon after
    :attr:`stop_requested`; a worker that does not beat for the supervisor's `hang_timeout` is killed.

    Threads: every method may be called from any thread and none blocks. Callbacks of :meth:`on_stop` run in a
    thread of their own and may block; the drain deadline holds for them too.

    Parameters
    ----------
    name, index
        ``"worker-3"`` and 3. No other live worker of the pool has the same.
    slot, crashes
        Shared memory.
    say
        Sends a message to the supervisor.
    task_timeout, max_memory
        What the supervisor allows: seconds for a token, bytes for this process; None: no bound. A target that
        has work done by other processes holds them to it.
    runtime
        The worker's clock and threads, also for its target; the supervisor reads the heartbeat by the same
        clock.

    Examples
    --------
    A target, run by ``Supervisor(WorkerSpec("mymodule:echo", {"topic": "t"}))``:

    >>> def echo(supervision, topic):
    ...     while not supervision.wait_stop(0.05):
    ...         supervision.beat()
    """

    def __init__(
        self,
        name: str,
        index: int,
        slot: Slot,
        crashes: CrashTable,
        say: Callable[[dict[str, Any]], None],
        *,
        task_timeout: float | None = None,
        max_memory: int | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self.name = name
        self.index = index
        self.task_timeout = task_timeout
        self.max_memory = max_memory
        self.runtime = runtime
        self._slot = slot
        self._crashes = crashes
        self._say = say
        self._ready = False
        self._forked = False
        self._stop = runtime.event()
        self._deadline = math.inf
        self._callbacks: list[Callable[[float], object]] = []
        self._lock = runtime.lock()
        self._drainer: Thread | None = None
        self._error: Exception | None = None

    def beat(self) -> None:
        """Give a sign of life; the first one makes this worker ready. Costs well under a microsecond."""
        self._slot.beat()
        if not self._ready:
            self._ready = True
            self._say({"ready": True})

    def started(self, token: bytes) -> None:
        """Say that the work named by the 16-byte `token` is now in this process's hands.

        Raises
        ------
        LimitExceededError
            4096 tokens are already in flight.
        """
        self._slot.started(token)

    def finished(self, token: bytes) -> None:
        """Say that the work named by `token` has left this process's hands, however it ended."""
        if self._forked:
            # A fork that came back from the work it was made in: it has neither threads nor a broker.
            os._exit(os.EX_SOFTWARE)
        self._slot.finished(token)

    def suspicion(self, token: bytes) -> Suspicion | None:
        """Return what is held against `token`; None if no worker of this supervisor died with it in flight.

        A worker that takes up a suspect as if nothing had happened, and dies again, spends restarts.
        """
        return self._crashes.look_up(token)

    def part(self) -> None:
        """Make this the supervision of a fork of the worker, which has a copy of all, and no part in it."""
        self._forked = True
        self._slot.detach()

    @property
    def stop_requested(self) -> bool:
        """Whether the worker has been asked to come to its end."""
        return self._stop.is_set()

    @property
    def drain_left(self) -> float:
        """Seconds left for draining; infinite while no stop is requested. Some more are left for the end."""
        return max(0.0, self._deadline - self.runtime.now())

    def wait_stop(self, timeout: float | None = None) -> bool:
        """Block until a stop is requested, at most `timeout` seconds; return whether it is."""
        return self._stop.wait(timeout)

    def on_stop(self, callback: Callable[[float], object]) -> None:
        """Call ``callback(seconds_left)`` once when a stop is requested, at once if it has been already."""
        with self._lock:
            if not self._stop.is_set():
                self._callbacks.append(callback)
                return
        callback(self.drain_left)

    def request_stop(self, drain: float) -> None:
        """Ask the target to end within `drain` seconds. A further call can only shorten the time."""
        with self._lock:
            self._deadline = min(self._deadline, self.runtime.now() + drain)
            if self._stop.is_set():
                return
            self._stop.set()
            if self._callbacks:
                self._drainer = self.runtime.thread(self._call_back, "streamzarr-drain")
                self._drainer.start()

    def _call_back(self) -> None:
        for callback in self._callbacks:
            try:
                callback(self.drain_left)
            except Exception as error:
                _logger.exception("%s: %r failed while draining", self.name, callback)
                self._error = error

    def wait_drained(self) -> None:
        """Wait for the callbacks, as long as the deadline allows; raise what one of them raised."""
        if self._drainer is not None:
            left = self.drain_left
            self._drainer.join(None if left == math.inf else left)
        if self._error is not None:
            raise self._error
