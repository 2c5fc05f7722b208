"""The public handle on a pool of worker processes."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.options import integer, takes_options
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.supervisor.budget import Restart
from streamzarr.supervisor.host import HostMaker
from streamzarr.supervisor.local import LocalHost
from streamzarr.supervisor.monitor import Monitor
from streamzarr.supervisor.options import SupervisionOptions
from streamzarr.supervisor.report import Report, WorkerStatus
from streamzarr.supervisor.signals import signals_to
from streamzarr.supervisor.spec import WorkerSpec


def _restart(word: Restart | str) -> Restart:
    try:
        return Restart(word)
    except ValueError:
        raise ConfigError(f"restart is {word!r}, expected one of {', '.join(Restart)}") from None


@takes_options(SupervisionOptions)
class Supervisor:
    """Keeps N worker processes running; restarts those that die or hang; ends them all in one deadline.

    Processes, not threads, because a worker may be killed by its own work (out of memory, a segfault in a
    codec), and that must cost one worker a moment and never the data. A worker whose target returns is
    finished and, unless `restart` says so, not restarted; SIGTERM to a single worker makes it drain, after
    which it is replaced. Any other end is a death, whatever the exit code, and put down to what was in flight
    (:mod:`streamzarr.supervisor.blame`).

    If this process dies, by kill -9 too, the workers drain and end; if the supervisor is dropped or the
    interpreter exits, they are drained as by :meth:`stop`.

    Threads: any method may be called from any thread. :meth:`start` blocks for the time of N spawns;
    :meth:`wait`, :meth:`run`, :meth:`stop` and :meth:`wait_ready` as they say; the others not at all.

    Parameters
    ----------
    spec
        What each worker runs.
    workers
        Number of processes.
    env
        Environment variables to add to this process's for the workers.
    stderr
        Where the workers' output goes, line by line after the worker's name; by default ``sys.stderr``.
    restart
        Which ends of a worker are followed by another start: ``"transient"``, those that are deaths;
        ``"permanent"``, all; ``"temporary"``, none, and the pool goes on without it.
    host
        What makes the host of the processes: this machine, unless it is simulated.
    runtime
        Clock and threads of the supervisor and its host.
    {options}

    Raises
    ------
    ConfigError
        An argument that cannot be used.

    Examples
    --------
    >>> with Supervisor(WorkerSpec("streamzarr.testing.workers:idle"), workers=2) as pool:
    ...     pool.wait_ready(timeout=60)
    ...     [worker.state for worker in pool.status()]
    ['ready', 'ready']
    >>> [worker.outcome for worker in pool.stop().workers]
    ['drained', 'drained']
    """

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int = 2,
        *,
        env: Mapping[str, str] | None = None,
        stderr: TextIO | None = None,
        restart: Restart | str = Restart.TRANSIENT,
        host: HostMaker = LocalHost,
        runtime: Runtime = SYSTEM,
        **options: Any,
    ) -> None:
        workers = integer("workers", workers, minimum=1)
        how = SupervisionOptions(**options)
        if not sys.executable:
            raise ConfigError("sys.executable is not set: no interpreter to run workers with")
        self._drain = how.drain
        self._monitor = Monitor(
            spec.name,
            workers,
            how,
            host(spec, how, env=env, stderr=stderr, runtime=runtime),
            runtime,
            _restart(restart),
        )
        # A dropped pool drains in the background. At exit the monitor's own hook waits for it.
        weakref.finalize(self, self._monitor.request_stop, how.drain).atexit = False

    def start(self) -> Self:
        """Start the workers; return when each has been spawned, ready or not.

        Raises
        ------
        ConfigError
            It has been started before.
        """
        if self._monitor.started:
            raise ConfigError("the supervisor was started before; make a new one")
        self._monitor.start()
        return self

    def wait_ready(self, timeout: float | None = 60.0) -> None:
        """Block until as many workers as asked for are ready, which is when each has given a heartbeat.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimeoutError
            Not within `timeout` seconds.
        WorkerError, ConfigError
            A worker could not be kept running.
        """
        if not self._monitor.wait(lambda: self.ready, timeout):
            states = ", ".join(f"{worker.name} {worker.state}" for worker in self.status())
            raise TimeoutError(f"workers are not ready after {timeout:g} s: {states}")
        if self._monitor.report is not None:
            self._result()

    def wait(self, timeout: float | None = None) -> Report:
        """Block until all workers have ended: finished, or stopped by somebody, or failed.

        Raises
        ------
        TimeoutError
            They have not within `timeout` seconds.
        WorkerError, ConfigError
            A worker used up its restart budget, or cannot be run as configured.
        """
        if not self._monitor.wait(lambda: False, timeout):
            raise TimeoutError(f"workers have not ended within {timeout:g} s")
        return self._result()

    def run(self) -> Report:
        """Start if need be and block until all workers have ended, as a service does.

        On the main thread SIGTERM and SIGINT (Ctrl-C) drain under one deadline; a second one kills. SIGHUP
        (the terminal was closed) drains, unless it is ignored, as by ``nohup``. On other threads signals stay
        as they are.

        Raises
        ------
        WorkerError, ConfigError
            As :meth:`wait`.
        """
        with signals_to(self._monitor.obey_signals):
            if not self._monitor.started:
                self.start()
            return self.wait()

    def stop(self, drain: float | None = None) -> Report:
        """Drain all workers, kill what is left after `drain` seconds, and report. May be called again.

        Raises
        ------
        WorkerError, ConfigError
            As :meth:`wait`.
        """
        if not self._monitor.started:
            return Report(())
        self._monitor.request_stop(self._drain if drain is None else drain)
        try:
            return self.wait()
        except KeyboardInterrupt:  # a second Ctrl-C, or an impatient one
            self._monitor.request_stop(0.0)
            raise

    def resize(self, workers: int) -> None:
        """Change the number of workers while they run; surplus ones drain in the background.

        Raises
        ------
        ConfigError
            Negative number, or the supervisor is not running.
        """
        if workers < 0:
            raise ConfigError(f"workers is {workers}, expected 0 or more")
        self._monitor.request_resize(workers)

    def status(self) -> list[WorkerStatus]:
        """Describe each worker as it is now."""
        return self._monitor.statuses()

    @property
    def ready(self) -> bool:
        """Whether as many workers as asked for have given a sign of life (for a readiness probe)."""
        return self._monitor.ready

    @property
    def failed(self) -> StreamzarrError | None:
        """Why the pool had to end: a worker that used up its restart budget or is wrongly configured."""
        return self._monitor.error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except StreamzarrError:
            if error is None:  # else the block's own error is the one to see
                raise

    def _result(self) -> Report:
        report = self._monitor.report
        assert report is not None
        self._monitor.join()
        if self._monitor.error is not None:
            raise self._monitor.error
        return report
