"""The process in which a suspected task is tried, simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamzarr.jobs.trial_child import Bounds, Death, End, Ending, RunTrial, Witness
from streamzarr.jobs.trial_work import carry_out
from streamzarr.testing.simulation.world import World

TRIAL = "trial"
"""Name under which faults are planned for these processes."""
_LOOK = 1.0


def trial_runner(world: World) -> RunTrial:
    """Return what a worker is given instead of :func:`streamzarr.jobs.trial_child.run_trial`."""

    def run(order: dict[str, Any], bounds: Bounds, hear: Callable[[Ending], None]) -> End:
        runtime, parent = world.runtime, world.kernel.current.process
        witness, bell = Witness(hear), runtime.bell()
        said: list[bytes] = []

        def say(line: bytes) -> None:
            world.kernel.step()
            said.append(line)
            bell.ring()

        def main() -> int:
            carry_out(order, say, lambda url: world.broker())
            return 0

        child = world.start(TRIAL, main)
        child.on_end(lambda process: bell.ring())
        parent.on_end(lambda process: child.kill())
        killed, stepped_at = None, runtime.now()
        while not child.over:
            bell.wait(_LOOK)
            lines, said[:] = list(said), []
            if witness.listen(lines):
                stepped_at = runtime.now()
            if witness.begun and runtime.now() - stepped_at > bounds.seconds:
                killed = Death("timeout", f"{bounds.seconds} s")
                child.kill()
        witness.listen(said)
        assert child.exit_code is not None
        return End(child.exit_code, killed, witness.chunk)

    return run
