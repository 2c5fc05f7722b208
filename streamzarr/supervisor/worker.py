"""One place in the pool: a worker's life through several processes, its restarts, and its end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from streamzarr.errors import ConfigError, StreamzarrError, WorkerError
from streamzarr.supervisor.blame import Death, Verdict, judge
from streamzarr.supervisor.board import Cause
from streamzarr.supervisor.budget import FIRST_DELAY, Restart, RestartBudget, RestartPolicy
from streamzarr.supervisor.host import Child, Crashes
from streamzarr.supervisor.protocol import EXIT_CONFIG, EXIT_PAUSED, EXIT_TERMINATED
from streamzarr.supervisor.report import Outcome, State, WorkerReport, WorkerStatus, describe_exit
from streamzarr.supervisor.watch import Bounds, Finding, Watch

_logger = logging.getLogger("streamzarr.supervisor")

KILL_TIMEOUT = 5.0
"""Seconds after SIGKILL; a process stuck in the kernel (a dead network disk) is then left behind."""


@dataclass(frozen=True, slots=True)
class _Kill:
    """A SIGKILL of ours: when, and for what; nothing is found against a process that only drains too long."""

    at: float
    finding: Finding | None = None

    @property
    def cause(self) -> Cause:
        what = None if self.finding is None else self.finding.what
        return "timeout" if what == "timeout" else "memory" if what in ("memory", "recycle") else "death"


class Worker:
    """Starts a process, watches it, sees to its death, starts the next one.

    ::

        backoff --launch--> starting --beat--> ready --drain--> draining --death--> ended
           ^                    |                |                  ^                 ^
           |                    |                +-- much memory ---+                 |
           +-- death, budget ---+----------------+-- death: finished, or budget gone -+

    A process that uses too much memory drains too, but is followed by another.

    Threads: owned by the monitor thread, which calls :meth:`tick` no later than :meth:`due` and hands in
    readable descriptors. Nothing blocks. The clock is an argument everywhere.
    """

    def __init__(
        self,
        name: str,
        index: int,
        launch: Callable[[str, int], Child],
        crashes: Crashes,
        *,
        policy: RestartPolicy,
        bounds: Bounds,
        drain: float,
        memory: Callable[[int], int | None],
    ) -> None:
        self.name = name
        self.index = index
        self.process: Child | None = None
        self.outcome: Outcome | None = None
        self.surplus = False
        """Whether it drains because the pool became smaller."""
        self.error: StreamzarrError | None = None
        """Why this worker cannot go on; the pool then comes to its end."""
        self._launch = launch
        self._crashes = crashes
        self._budget = RestartBudget(policy)
        self._restart = policy.restart
        self._bounds = bounds
        self._drain = drain
        self._memory = memory
        self._restart_at = -math.inf
        self._launches = 0
        self._drain_by = math.inf
        self._watch: Watch | None = None
        self._kill: _Kill | None = None
        self._recycled: Finding | None = None
        self._recycle_by = math.inf
        self._exit_code: int | None = None
        self._left: tuple[bytes, ...] = ()

    # What the monitor thread calls ----------------------------------------------------------------------

    def due(self, grace: float) -> float:
        """Time at which :meth:`tick` has something to do, if nothing happens before."""
        if self.outcome is not None:
            return math.inf
        if self.process is None or self._watch is None:
            return self._restart_at
        if self._kill is not None:
            return self._kill.at + KILL_TIMEOUT
        if self.draining:
            return self._drain_by
        if self._recycled is not None:
            return min(self._recycle_by, self._watch.check_at)
        return self._watch.due(self.process.slot.heartbeat, grace)

    def tick(self, now: float, grace: float) -> None:
        """Do what is due. Silence before `grace` does not count: the supervisor itself was not awake then."""
        if self.outcome is not None or now < self.due(grace):
            return
        if self.process is None or self._watch is None:
            self._start(now)
        elif self._kill is not None:
            self._give_up(self.process)
        elif self.draining:
            self._end(self.process, _Kill(now))
        elif self._recycled is None:
            self._act(self.process, self._watch.look(self.process.slot, now, grace), now)
        elif now >= self._recycle_by:
            self._act(self.process, Finding("memory", f"not drained in time at {self._recycled.text}"), now)
        else:
            self._act(self.process, self._watch.look_while_draining(now), now)

    def _act(self, process: Child, found: Finding | None, now: float) -> None:
        if found is None:
            return
        _logger.warning("%s (pid %d): %s", self.name, process.pid, found.text)
        if found.what == "recycle":
            self._recycled, self._recycle_by = found, now + self._drain
            process.tell_stop(self._drain)
        else:
            self._end(process, _Kill(now, found))

    def _end(self, process: Child, kill: _Kill) -> None:
        process.kill()
        self._kill = kill

    def _start(self, now: float) -> None:
        self._kill = self._recycled = None
        self._recycle_by = math.inf
        self._launches += 1
        try:
            process = self._launch(self.name, self.index)
        except OSError as error:
            self._exit_code = None
            self._charge(now, lived=0.0, reason=f"cannot be started: {error}", last_lines=[])
            return
        self.process = process
        self._watch = Watch(self._bounds, process.started_at, lambda: self._memory(process.pid))

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

    def _died(self, process: Child, now: float) -> None:
        self._left = process.slot.in_flight()
        worked = process.slot.worked
        self._exit_code = process.close()
        self.process = None
        if self.draining and self._kill is not None:
            self.outcome = "killed"
            return
        verdict = self._blame(self._as_death(process, worked))
        if self.draining:
            orderly = process.said_so and self._exit_code in (0, EXIT_PAUSED, EXIT_TERMINATED, None)
            self.outcome = "drained" if orderly else "failed"
        elif process.said_so and self._exit_code == 0 and self._recycled is None:
            self._finished(now, now - process.started_at)
        elif process.said_so and self._exit_code == EXIT_CONFIG:
            self.error = ConfigError(process.error or f"{self.name} ended with {describe_exit(EXIT_CONFIG)}")
            self.outcome = "failed"
        elif self._restart is Restart.TEMPORARY:
            _logger.warning("%s died (%s); it is not started again", self.name, self._reason(process))
            self.outcome = "failed"
        elif verdict.charged:
            lived = now - process.started_at
            self._charge(now, lived, self._reason(process), list(process.last_lines))
        else:
            self._spare(now, verdict, self._reason(process))

    def _finished(self, now: float, lived: float) -> None:
        if self._restart is Restart.PERMANENT:
            self._charge(now, lived, reason="it finished", last_lines=[])
        else:
            self.outcome = "finished"

    def _as_death(self, process: Child, worked: bool) -> Death:
        kill, in_flight = self._kill, frozenset(self._left)
        if kill is None:
            cause: Cause = "death" if self._recycled is None else "memory"
            return Death(in_flight, process.said_so, cause, worked=worked)
        overdue = frozenset() if kill.finding is None else kill.finding.tokens & in_flight
        # Killed all the same, though it had said its last words a moment before.
        return Death(in_flight, process.said_so, kill.cause, overdue, worked)

    def _blame(self, death: Death) -> Verdict:
        verdict = judge(death, self._crashes)
        for token in verdict.guilty:
            self._crashes.add(token, death.cause, alone=True)
        for token in verdict.suspects:
            self._crashes.add(token, death.cause, alone=False)
        return verdict

    def _reason(self, process: Child) -> str:
        if self._kill is not None and self._kill.finding is not None:
            return self._kill.finding.text
        if self._recycled is not None and process.said_so:
            return f"ended for {self._recycled.text}"
        reason = describe_exit(self._exit_code)
        if process.error:
            return f"{reason}: {process.error}"
        return reason if process.said_so or self._exit_code != 0 else f"{reason} without a last word"

    def _spare(self, now: float, verdict: Verdict, reason: str) -> None:
        """Restart after a death that was a task's doing, or wanted: the budget is for the worker's own."""
        blamed = len(verdict.guilty) + len(verdict.suspects)
        self._restart_at = now + (FIRST_DELAY if blamed else 0.0)
        whose = f"put down to {blamed} of its tasks" if blamed else "nobody's fault"
        _logger.warning("%s died (%s); %s, started again", self.name, reason, whose)

    def _charge(self, now: float, lived: float, reason: str, last_lines: list[str]) -> None:
        """Count a death; restart inside the budget, else give the pool its error."""
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

    def _give_up(self, process: Child) -> None:
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
        if self.draining or self._recycled is not None:
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
