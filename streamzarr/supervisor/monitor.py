"""The thread that owns all worker processes of a supervisor and decides for the pool as a whole."""

from __future__ import annotations

import itertools
import logging
import math
import os
import socket
from collections import deque
from collections.abc import Callable

from streamzarr.errors import ConfigError, StreamzarrError, WorkerError
from streamzarr.runtime import Condition, Runtime, Thread
from streamzarr.supervisor.budget import Restart, RestartPolicy
from streamzarr.supervisor.host import Host
from streamzarr.supervisor.options import SupervisionOptions
from streamzarr.supervisor.report import Report, WorkerReport, WorkerStatus
from streamzarr.supervisor.signals import HANGUP, STOP_SIGNALS
from streamzarr.supervisor.watch import Bounds
from streamzarr.supervisor.worker import KILL_TIMEOUT, Worker

_logger = logging.getLogger("streamzarr.supervisor")

RETIRED_KEPT = 1000
"""Reports of workers that were resized away and did not end cleanly; a bound, not a budget."""


class Monitor:
    """Waits for news of the processes with the nearest deadline, and acts on what turns up.

    It never polls without need: without news it sleeps until a worker would count as hung, or its tasks or
    memory are to be looked at. Requests from other threads are state under the lock and wake it.

    Threads: `request_*`, `statuses`, `wait` and the properties may be called from any thread; only `wait`
    blocks. All else runs on the monitor's own daemon thread. It references no
    :class:`~streamzarr.supervisor.supervisor.Supervisor`, so that a forgotten one can be collected. After a
    fork the child's copy does nothing: the workers are the parent's.

    Parameters
    ----------
    name
        Of the pool; its workers are ``name-0``, ``name-1``, ...
    workers
        Number of processes.
    host
        What they run on.
    restart
        Which of their ends are followed by another start.
    """

    def __init__(
        self,
        name: str,
        workers: int,
        options: SupervisionOptions,
        host: Host,
        runtime: Runtime,
        restart: Restart = Restart.TRANSIENT,
    ) -> None:
        self._name = name
        self._size = workers
        self._policy = RestartPolicy(options.max_restarts, options.within, restart)
        self._bounds = Bounds(options.hang_timeout, options.task_timeout, options.max_memory)
        self._drain = options.drain
        self._host = host
        self._runtime = runtime
        self._now = runtime.now
        self._owner = os.getpid()
        self._changed = runtime.condition()
        self._thread: Thread | None = None
        self._watching = False  # the first turn is done and the host is open
        self._signals: socket.socket | None = None
        self._signalled = False
        self._workers: dict[int, Worker] = {}
        self._retired: deque[WorkerReport] = deque(maxlen=RETIRED_KEPT)
        self._stop_by = math.inf
        self._report: Report | None = None
        self.error: StreamzarrError | None = None
        """Why the pool had to end; None while it is well."""

    # Any thread -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, and with it the workers; return when each has been spawned once."""
        self._owner = os.getpid()
        self._thread = self._runtime.thread(self._run, f"{self._name}-supervisor")
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._watching or self._report is not None)

    @property
    def started(self) -> bool:
        """Whether :meth:`start` has been called."""
        return self._thread is not None

    @property
    def report(self) -> Report | None:
        """The report, once all workers have ended."""
        return self._report

    @property
    def ready(self) -> bool:
        """Whether as many workers as asked for are ready; ones that only drain do not matter."""
        with self._ours():
            staying = [worker for worker in self._workers.values() if not worker.surplus]
            return len(staying) == self._size > 0 and all(worker.state == "ready" for worker in staying)

    def request_stop(self, drain: float) -> None:
        """Ask all workers to end within `drain` seconds from now. A later call can only make it sooner."""
        if os.getpid() != self._owner:  # a fork, at its exit: it has no workers and maybe a lock nobody holds
            return
        with self._changed:
            self._stop_by = min(self._stop_by, self._now() + drain)
            self._wake()

    def obey_signals(self, signals: socket.socket | None) -> None:
        """Treat bytes from `signals` as numbers of signals.

        SIGTERM or SIGINT drains, a second one kills; SIGHUP drains.
        """
        with self._ours():
            self._signals = signals
            self._wake()

    def request_resize(self, workers: int) -> None:
        """Ask for another number of workers."""
        with self._ours():
            if self._report is not None or self._stop_by < math.inf:
                raise ConfigError(f"cannot resize {self._name!r} to {workers} workers: it is stopping")
            self._size = workers
            self._wake()

    def statuses(self) -> list[WorkerStatus]:
        """Describe each worker as it is now."""
        with self._ours():
            now = self._now()
            return [worker.status(now) for _, worker in sorted(self._workers.items())]

    def wait(self, condition: Callable[[], object], timeout: float | None) -> bool:
        """Block until `condition` holds or the pool has ended; return False after `timeout` seconds."""
        if self._thread is None:
            raise ConfigError("the supervisor was not started")
        with self._ours():
            return self._changed.wait_for(lambda: self._report is not None or bool(condition()), timeout)

    def join(self) -> None:
        """Wait for the thread's last steps after the pool has ended."""
        if self._thread is not None:
            self._thread.join()

    def _ours(self) -> Condition:
        """Return the lock, but not to a fork of the process that started the workers."""
        if os.getpid() != self._owner:
            raise ConfigError(f"the workers belong to process {self._owner}, and this is a fork of it")
        return self._changed

    def _wake(self) -> None:
        if self._watching:
            self._host.wake()

    def _at_exit(self) -> None:
        """End the workers before the interpreter does; it would leave them as orphans."""
        self.request_stop(self._drain)
        if self._thread is not None and os.getpid() == self._owner:
            self._thread.join(self._drain + KILL_TIMEOUT)

    # The monitor's thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._host.open(self._at_exit):
                self._watch_over_all()
        except Exception as error:
            _logger.exception("supervisor of %r is broken; its workers are killed", self._name)
            self.error = WorkerError(f"the supervisor of {self._name!r} is broken: {error!r}")
        finally:
            with self._changed:
                reports = [worker.report() for _, worker in sorted(self._workers.items())]
                self._report = Report((*reports, *self._retired))
                self._changed.notify_all()

    def _watch_over_all(self) -> None:
        try:
            self._loop()
        except Exception:
            for worker in self._workers.values():
                worker.destroy()
            raise
        finally:
            with self._changed:
                self._watching = False

    def _loop(self) -> None:
        awake, grace, planned = self._now(), -math.inf, math.inf
        readable: set[int] = set()
        while True:
            now = self._now()
            # Stopped by SIGSTOP, a frozen container or a blocked terminal: then the workers may have been
            # too, and their silence says nothing.
            if now - awake > planned + self._bounds.gap:
                grace = now
            awake = now
            with self._changed:
                self._turn(now, grace, readable)
                self._watching = True
                self._changed.notify_all()
                over = self._over()
                watched = {fd for worker in self._workers.values() for fd in worker.descriptors()}
                if self._signals is not None:
                    watched.add(self._signals.fileno())
                due = min((worker.due(grace) for worker in self._workers.values()), default=math.inf)
            if over:
                return
            planned = max(0.0, due - self._now())
            readable = self._host.wait(watched, planned)

    def _turn(self, now: float, grace: float, readable: set[int]) -> None:
        """Take in what has happened, then do what is due."""
        for worker in self._workers.values():
            worker.attend(readable, now)
        self._read_signals(readable)
        self._follow(now)
        for worker in self._workers.values():
            worker.tick(now, grace)
        self._see_off(now)

    def _read_signals(self, readable: set[int]) -> None:
        if self._signals is None or self._signals.fileno() not in readable:
            return
        for number in self._signals.recv(4096):
            if number in STOP_SIGNALS:
                self.request_stop(0.0 if self._signalled else self._drain)
                self._signalled = True
            elif number == HANGUP:
                self.request_stop(self._drain)

    def _follow(self, now: float) -> None:
        """Do as requested: bring the pool to its end, or to its size."""
        if self._stop_by < math.inf:
            self._drain_all(now)
            return
        staying = sorted(index for index, worker in self._workers.items() if not worker.surplus)
        for index in staying[self._size :]:
            self._workers[index].surplus = True
            self._workers[index].drain(now + self._drain, now)
        free = (index for index in itertools.count() if index not in self._workers)
        for index in itertools.islice(free, max(0, self._size - len(staying))):
            self._workers[index] = self._hire(index)

    def _hire(self, index: int) -> Worker:
        return Worker(
            f"{self._name}-{index}",
            index,
            self._host.launch,
            self._host.crashes,
            policy=self._policy,
            bounds=self._bounds,
            drain=self._drain,
            memory=self._host.memory,
        )

    def _drain_all(self, now: float) -> None:
        for worker in self._workers.values():
            worker.drain(self._stop_by, now)

    def _see_off(self, now: float) -> None:
        """See to workers that have ended: one that cannot go on ends the pool, a surplus one leaves it."""
        for index, worker in list(self._workers.items()):
            if worker.error is not None and self.error is None:
                self.error = worker.error
                self._stop_by = min(self._stop_by, now + self._drain)
                self._drain_all(now)
            if worker.surplus and worker.outcome is not None:
                report = self._workers.pop(index).report()
                if report.left or report.outcome in ("killed", "failed"):
                    self._retired.append(report)

    def _over(self) -> bool:
        """Whether all workers have ended. A pool that was resized to nothing only waits for work."""
        asked = self._stop_by < math.inf
        return (asked or bool(self._workers)) and all(w.outcome is not None for w in self._workers.values())
