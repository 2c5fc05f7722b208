"""What a seed shows, found out in child processes: one run, and if it fails the shortest that fails alike."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.play import Outcome, plan_of, play
from streamzarr.testing.simulation.scenario import Scenario
from streamzarr.testing.simulation.shrink import shrink

REAL_SECONDS = 60.0
"""A run that takes longer than this has met a wait that is not simulated."""


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


def examine(scenario: Scenario, seed: int, *, shorten: bool = True) -> Finding:
    """Play the run of a seed in a child process; play a failing one again, and make it shorter."""
    outcome = isolated(scenario, plan_of(scenario, seed))
    if outcome.ok:
        return Finding(seed, outcome)
    again = isolated(scenario, outcome.plan)
    kind = _kind(outcome)
    best = outcome

    def fails(plan: Plan) -> bool:
        nonlocal best
        found = isolated(scenario, plan)
        if _kind(found) != kind:
            return False
        best = found
        return True

    if shorten:
        shrink(outcome.plan, fails)
    return Finding(seed, outcome, best, again.digest == outcome.digest)


def isolated(scenario: Scenario, plan: Plan) -> Outcome:
    """Play in a forked child: threads and memory of killed processes end with it."""
    try:
        data = _in_child(lambda: msgspec.json.encode(play(scenario, plan)))
    except TimeoutError:
        hung = f"SimulationError: it did not end within {REAL_SECONDS:g} s: some wait is not simulated"
        return Outcome(scenario.name, plan, hung, "", 0, 0.0, "")
    return msgspec.json.decode(data, type=Outcome)


def _kind(outcome: Outcome) -> str:
    """Return what a failure is called: which promise, or which error."""
    return " ".join((outcome.failure or "").split(" ")[:2])


def _in_child(work: Callable[[], bytes]) -> bytes:
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
        return _read_all(reading)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        os.waitpid(pid, 0)


def _read_all(descriptor: int) -> bytes:
    deadline = time.monotonic() + REAL_SECONDS
    found = bytearray()
    while True:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(descriptor, 1 << 16)
        if not part:
            return bytes(found)
        found += part
