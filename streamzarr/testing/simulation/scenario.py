"""What is simulated: the contract of a scenario, and how one is found by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamzarr.testing.simulation.faults import Hazard
from streamzarr.testing.simulation.world import World


class Scenario(Protocol):
    """A play for processes, with promises.

    It is stateless: many runs may be made of one.
    """

    @property
    def name(self) -> str:
        """What it is called, on the command line and in reports."""

    @property
    def size(self) -> int:
        """How many messages, or chunks, a run has at most."""

    @property
    def hazards(self) -> Sequence[Hazard]:
        """What can go wrong."""

    def run(self, world: World) -> None:
        """Play it on the world's main thread; raises ``BrokenPromiseError``, or calls ``world.promise``."""
