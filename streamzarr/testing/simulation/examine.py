"""What a seed shows, found out in child processes: one run, and if it fails the shortest that fails alike."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from streamzarr.testing.simulation.errors import OvertimeError, SimulationError
from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.play import Outcome, plan_of, play
from streamzarr.testing.simulation.scenario import Scenario
from streamzarr.testing.simulation.shrink import shrink

RUN_SECONDS = 60.0
"""Of real time, that a run may take."""
SHORTEN_SECONDS = 20.0
"""Of real time, for which a shorter run is looked for."""
_GRACE_SECONDS = 5.0
"""After which a run is killed that does not end by itself when it should."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one seed has shown."""

    seed: int
    outcome: Outcome
    shortest: Outcome | None = None
    """The shortest run found that fails in the same way; None when nothing failed."""
    replayed: bool = True
    """Whether the same plan has given the same run twice; looked at when it failed."""

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return self.outcome.ok


def examine(scenario: Scenario, seed: int, *, shorten: bool = True, timeout: float = RUN_SECONDS) -> Finding:
    """Play the run of a seed in a child process; play a failing one again, and make it shorter.

    One that has not ended within `timeout` seconds has failed; it is not played again.
    """
    outcome = isolated(scenario, plan_of(scenario, seed), timeout)
    if outcome.ok:
        return Finding(seed, outcome)
    kind = _kind(outcome)
    best = outcome
    if kind.startswith(OvertimeError.__name__):
        return Finding(seed, outcome, best)
    again = isolated(scenario, outcome.plan, timeout)
    deadline = time.monotonic() + min(timeout, SHORTEN_SECONDS)

    def fails(plan: Plan) -> bool:
        nonlocal best
        if (left := deadline - time.monotonic()) <= 0:
            return False
        found = isolated(scenario, plan, left)
        if _kind(found) != kind:
            return False
        best = found
        return True

    if shorten:
        shrink(outcome.plan, fails)
    return Finding(seed, outcome, best, again.digest == outcome.digest)


def isolated(scenario: Scenario, plan: Plan, timeout: float = RUN_SECONDS) -> Outcome:
    """Play in a forked child: threads and memory of killed processes end with it."""
    try:
        data, code = _in_child(lambda: msgspec.json.encode(play(scenario, plan, timeout)), timeout)
    except TimeoutError:
        name = OvertimeError.__name__
        why = f"not over within {timeout:g} s of real time, and had to be killed"
    else:
        if data:
            return msgspec.json.decode(data, type=Outcome)
        name, why = SimulationError.__name__, f"the process that plays it has ended with exit code {code}"
    return Outcome(scenario.name, plan, f"{name}: {why}", "", 0, 0.0, "")


def _kind(outcome: Outcome) -> str:
    """Return what a failure is called: which promise, or which error."""
    return " ".join((outcome.failure or "").split(" ")[:2])


def _in_child(work: Callable[[], bytes], timeout: float) -> tuple[bytes, int]:
    """Return what `work` gave, and the exit code; raises `TimeoutError` when it had to be killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as stream:
                stream.write(work())
            code = 0
        finally:
            os._exit(code)  # nothing is cleaned up: threads of killed processes are still there
    os.close(writing)
    try:
        found = _read_all(reading, time.monotonic() + timeout + _GRACE_SECONDS)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        status = os.waitpid(pid, 0)[1]
    return found, os.waitstatus_to_exitcode(status)


def _read_all(descriptor: int, deadline: float) -> bytes:
    found = bytearray()
    while True:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(descriptor, 1 << 16)
        if not part:
            return bytes(found)
        found += part
