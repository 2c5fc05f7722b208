"""What a seed stands for: everything of a run that chance decides before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from streamzarr.testing.simulation.faults import Fault, Hazard, plan_faults


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of a scenario. The same plan gives the same run, event for event.

    Examples
    --------
    >>> plan = Plan.of(7, size=100, hazards=[Hazard("commit", "lose", within=50)], most_faults=5)
    >>> plan == Plan.of(7, size=100, hazards=[Hazard("commit", "lose", within=50)], most_faults=5)
    True
    """

    seed: int
    size: int
    """How many messages, or chunks, there are."""
    faults: tuple[Fault, ...] = ()
    restless: float = 0.1
    """Chance that a thread is interrupted at a step where it could go on."""

    @classmethod
    def of(cls, seed: int, *, size: int, hazards: Sequence[Hazard], most_faults: int) -> Plan:
        """Draw the plan of a seed."""
        random = Random(f"plan {seed}")
        return cls(
            seed,
            random.randint(max(1, size // 5), size),
            plan_faults(random, hazards, most_faults),
            random.choice((0.02, 0.1, 0.3)),
        )

    def __str__(self) -> str:
        faults = "".join(f"\n    {fault}" for fault in self.faults) or " none"
        return f"seed {self.seed}, {self.size} messages, restless {self.restless:g}, faults:{faults}"
