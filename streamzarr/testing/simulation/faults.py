"""Faults of a simulation: planned before it begins, so that they can be printed, replayed and left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "kill", "term", "freeze", "refuse", "lose", "late", "stray", "full", "down", "jump", "evict"
]

WORLD = "the world"
"""Site of the faults that come at a step of any process."""

_TEXT: dict[Kind, str] = {
    "kill": "kill -9",
    "term": "SIGTERM",
    "freeze": "SIGSTOP for {seconds:.1f} s",
    "refuse": "not carried out, an error",
    "lose": "carried out, but the answer is lost",
    "late": "the answer comes after {seconds:.1f} s",
    "stray": "an error, but carried out after {seconds:.1f} s",
    "full": "the disk is full for {seconds:.1f} s",
    "down": "the broker restarts, {seconds:.1f} s",
    "jump": "the time of day jumps by {seconds:+.0f} s",
    "evict": "the group throws a member out",
}


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What goes wrong at the `nth` event of a site.

    Examples
    --------
    >>> print(Fault("commit", 3, "lose"))
    commit 3: carried out, but the answer is lost
    >>> print(Fault("worker-1", 250, "freeze", 12.0))
    worker-1, step 250: SIGSTOP for 12.0 s
    """

    site: str
    """An operation (``commit``, ``flush``, ``put``, ...), a process, or :data:`WORLD`."""
    nth: int
    kind: Kind
    seconds: float = 0.0

    def __str__(self) -> str:
        at = (
            f"{self.site} {self.nth}"
            if self.kind in ("refuse", "lose", "late", "stray", "full")
            else (f"{self.site}, step {self.nth}")
        )
        return f"{at}: {_TEXT[self.kind].format(seconds=self.seconds)}"


@dataclass(frozen=True, slots=True)
class Hazard:
    """A kind of fault that can befall a site within its first `within` events, for up to `seconds`."""

    site: str
    kind: Kind
    within: int
    seconds: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0


def plan_faults(random: Random, hazards: Sequence[Hazard], most: int) -> tuple[Fault, ...]:
    """Draw up to `most` faults; the early events of a site are as likely to be hit as all later ones.

    Examples
    --------
    >>> plan_faults(Random(0), [Hazard("commit", "lose", within=50)], most=2)
    (Fault(site='commit', nth=33, kind='lose', seconds=0.0),)
    """
    count = min(most, int(random.expovariate(1.0) * most / 2.5))
    drawn = set()
    for hazard in random.choices(hazards, [each.weight for each in hazards], k=count):
        nth = max(1, round(math.exp(random.uniform(0.0, math.log(hazard.within)))))
        if random.random() < 0.5:
            nth = random.randint(1, hazard.within)
        drawn.add(Fault(hazard.site, nth, hazard.kind, round(random.uniform(*hazard.seconds), 1)))
    return tuple(sorted(drawn))


class Faults:
    """The faults of one run: counts the events of each site and says which fault an event meets."""

    def __init__(self, planned: Iterable[Fault] = ()) -> None:
        self._planned: dict[tuple[str, int], list[Fault]] = {}
        for fault in planned:
            self._planned.setdefault((fault.site, fault.nth), []).append(fault)
        self._sites = {site for site, _ in self._planned}
        self._counts: Counter[str] = Counter()

    def at(self, site: str) -> Sequence[Fault]:
        """Count one event of `site`; return the faults that are planned for it."""
        if site not in self._sites:
            return ()
        self._counts[site] += 1
        return self._planned.get((site, self._counts[site]), ())

    def end(self) -> None:
        """Let nothing go wrong any more."""
        self._planned, self._sites = {}, set()
