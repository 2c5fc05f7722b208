"""One place in the pool: a worker's life through several processes, its restarts, and its end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from streamzarr.errors import ConfigError, StreamzarrError, WorkerError
from streamzarr.supervisor.board import CrashTable
from streamzarr.supervisor.budget import RestartBudget, RestartPolicy
from streamzarr.supervisor.process import Process
from streamzarr.supervisor.protocol import EXIT_CONFIG, EXIT_LATE, EXIT_TERMINATED
from streamzarr.supervisor.report import Outcome, State, WorkerReport, WorkerStatus, describe_exit

_logger = logging.getLogger("streamzarr.supervisor")

START_TIMEOUT = 60.0
"""Seconds to the first heartbeat: imports from a cold network disk take long, whatever `hang_timeout` is."""
KILL_TIMEOUT = 5.0
"""Seconds after SIGKILL; a process stuck in the kernel (a dead network disk) is then left behind."""


class Worker:
    """Starts a process, judges its silence, counts its deaths, starts the next one.

    ::

        backoff --launch--> starting --beat--> ready --drain--> draining --death--> ended
           ^                    |                |                                    ^
           +-- death, budget ---+----------------+-- death: exit 0, or budget gone ---+

    Threads: owned by the monitor thread, which calls :meth:`tick` no later than :meth:`due` and hands in
    readable descriptors. Nothing blocks. The clock is an argument everywhere.
    """

    def __init__(
        self,
        name: str,
        index: int,
        launch: Callable[[str, int], Process],
        crashes: CrashTable,
        *,
        policy: RestartPolicy,
        hang_timeout: float,
    ) -> None:
        self.name = name
        self.index = index
        self.process: Process | None = None
        self.outcome: Outcome | None = None
        self.surplus = False
        """Whether it drains because the pool became smaller."""
        self.error: StreamzarrError | None = None
        """Why this worker cannot go on; the pool then comes to its end."""
        self._launch = launch
        self._crashes = crashes
        self._budget = RestartBudget(policy)
        self._hang_timeout = hang_timeout
        self._restart_at = -math.inf
        self._launches = 0
        self._drain_by = math.inf
        self._killed_at: float | None = None
        self._hung_for: float | None = None
        self._exit_code: int | None = None
        self._left: tuple[bytes, ...] = ()

    # What the monitor thread calls ----------------------------------------------------------------------

    def due(self, grace: float) -> float:
        """Time at which :meth:`tick` has something to do, if nothing happens before."""
        if self.outcome is not None:
            return math.inf
        if self.process is None:
            return self._restart_at
        if self._killed_at is not None:
            return self._killed_at + KILL_TIMEOUT
        return self._drain_by if self.draining else self._hung_at(self.process, grace)

    def _hung_at(self, process: Process, grace: float) -> float:
        heartbeat = process.slot.heartbeat
        if heartbeat is None:
            return max(process.started_at, grace) + max(START_TIMEOUT, self._hang_timeout)
        return max(heartbeat, grace) + self._hang_timeout

    def tick(self, now: float, grace: float) -> None:
        """Do what is due. Silence before `grace` does not count: the supervisor itself was not awake then."""
        if self.outcome is not None or now < self.due(grace):
            return
        if self.process is None:
            self._start(now)
        elif self._killed_at is not None:
            self._give_up(self.process)
        else:
            if not self.draining:
                heard = self.process.slot.heartbeat or self.process.started_at
                self._hung_for = now - heard
                _logger.warning(
                    "%s (pid %d) gave no sign of life for %.1f s", self.name, self.pid, now - heard
                )
            self.process.kill()
            self._killed_at = now

    def _start(self, now: float) -> None:
        self._killed_at = self._hung_for = None
        self._launches += 1
        try:
            self.process = self._launch(self.name, self.index)
        except OSError as error:
            self._exit_code = None
            self._mourn(now, lived=0.0, reason=f"cannot be started: {error}", last_lines=[])

    def descriptors(self) -> set[int]:
        """Descriptors to watch for :meth:`attend`."""
        return set() if self.process is None else self.process.descriptors()

    def attend(self, readable: set[int], now: float) -> None:
        """Read what the process says, and see to its death."""
        if self.process is not None and self.process.attend(readable):
            self._died(self.process, now)

    def drain(self, by: float, now: float) -> None:
        """Ask the process to end before `by`. A later call can only make it sooner."""
        if self.outcome is not None:
            return
        if self.process is None:
            self.outcome = "failed" if self._launches else "drained"
            return
        if by < self._drain_by:
            self._drain_by = by
            self.process.tell_stop(max(0.0, by - now))

    def destroy(self) -> None:
        """Kill and reap at once; for a supervisor that cannot go on."""
        if self.process is not None:
            self.process.kill()
            self._left = self.process.slot.in_flight()
            self._exit_code = self.process.close()
            self.process = None
        self.outcome = self.outcome or "killed"

    # Deaths -----------------------------------------------------------------------------------------------

    def _died(self, process: Process, now: float) -> None:
        self._left = process.slot.in_flight()
        self._exit_code = process.close()
        self.process = None
        if self.draining:
            orderly = self._exit_code in (0, EXIT_TERMINATED, None)
            self.outcome = "killed" if self._killed_at is not None else "drained" if orderly else "failed"
        elif self._exit_code == 0:
            self.outcome = "finished"
        elif self._exit_code == EXIT_CONFIG:
            self.error = ConfigError(process.error or f"{self.name} ended with {describe_exit(EXIT_CONFIG)}")
            self.outcome = "failed"
        else:
            if self._exit_code not in (EXIT_TERMINATED, EXIT_LATE):  # told to end: not its work's doing
                for token in set(self._left):
                    self._crashes.add(token)
            reason = describe_exit(self._exit_code)
            if self._hung_for is not None:
                reason = f"killed after {self._hung_for:.1f} s without a sign of life"
            elif process.error:
                reason += f": {process.error}"
            self._mourn(now, now - process.started_at, reason, list(process.last_lines))

    def _mourn(self, now: float, lived: float, reason: str, last_lines: list[str]) -> None:
        """Count a death that nobody asked for; restart inside the budget, else give the pool its error."""
        self._budget, delay = self._budget.died(now, lived)
        policy, deaths = self._budget.policy, len(self._budget.deaths)
        if delay is None:
            times = "once" if deaths == 1 else f"{deaths} times"
            text = (
                f"{self.name} died {times} within {policy.within:g} s, "
                f"max_restarts={policy.max_restarts} allows no further start; last: {reason}"
            )
            self.error = WorkerError("\n  | ".join([text, *last_lines]))
            self.outcome = "failed"
            return
        self._restart_at = now + delay
        _logger.warning(
            "%s died (%s); restart %d of %d within %g s, in %.1f s",
            *(self.name, reason, deaths, policy.max_restarts, policy.within, delay),
        )

    def _give_up(self, process: Process) -> None:
        _logger.error("%s (pid %d) is stuck in the kernel and outlives SIGKILL", self.name, process.pid)
        self._left = process.slot.in_flight()
        process.abandon()
        self.process = self._exit_code = None
        self.outcome = "killed"

    # What it tells ----------------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """Whether it has been asked to end."""
        return self._drain_by < math.inf

    @property
    def pid(self) -> int | None:
        """Process id while a process runs."""
        return None if self.process is None else self.process.pid

    @property
    def state(self) -> State:
        """Where in its life it is."""
        if self.outcome is not None:
            return "ended"
        if self.process is None:
            return "backoff"
        if self.draining:
            return "draining"
        return "starting" if self.process.slot.heartbeat is None else "ready"

    @property
    def restarts(self) -> int:
        """Processes started after the first."""
        return max(0, self._launches - 1)

    def status(self, now: float) -> WorkerStatus:
        """Describe the worker as it is now."""
        slot = self.process.slot if self.process else None
        heartbeat = slot.heartbeat if slot else None
        return WorkerStatus(
            name=self.name,
            index=self.index,
            pid=self.pid,
            state=self.state,
            heartbeat_age=None if heartbeat is None else max(0.0, now - heartbeat),
            restarts=self.restarts,
            in_flight=slot.in_flight() if slot else (),
        )

    def report(self) -> WorkerReport:
        """Describe how the worker ended."""
        assert self.outcome is not None
        return WorkerReport(self.name, self.index, self.outcome, self._exit_code, self.restarts, self._left)
