"""Whose fault a death was, and whether it spends the restart budget. Pure.

::

    how it ended                                   held against             budget
    -------------------------------------------    ---------------------    ------------------------
    it said so itself: stopped, broker away, ...   nobody                   spent
    it said so, asked to for its memory            nobody                   spent if it had done nothing
    killed for a task that did not end             that task                spared
    anything else, one task in flight              that task                spared
    anything else, several in flight               all, as mere suspects    spared
    anything else, none in flight                  nobody                   spent

"Spared" only while a death brings a new suspect to light: a worker does not take up a suspect unprotected, so
there are at most as many such deaths as tasks, and one that does all the same is stopped by the budget.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from streamzarr.supervisor.board import Cause


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended that its supervisor had not asked to stop."""

    in_flight: frozenset[bytes] = frozenset()
    said_so: bool = False
    """Its last words were that it ends. A process that is killed, crashes, or calls ``os._exit`` has none."""
    cause: Cause = "death"
    overdue: frozenset[bytes] = frozenset()
    """The tokens for which it was killed, since they had been in flight for too long."""
    worked: bool = False
    """Whether it had finished anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Tokens that are `guilty` of a death, those that may be, and whether it counts in the budget."""

    guilty: frozenset[bytes] = frozenset()
    suspects: frozenset[bytes] = frozenset()
    charged: bool = True


def judge(death: Death, suspected: Container[bytes]) -> Verdict:
    """Judge a death; `suspected` are the tokens that an earlier one has brought under suspicion.

    Examples
    --------
    >>> judge(Death(in_flight=frozenset({b"a"})), suspected=())
    Verdict(guilty=frozenset({b'a'}), suspects=frozenset(), charged=False)
    >>> judge(Death(in_flight=frozenset({b"a"}), said_so=True), suspected=()).charged
    True
    """
    held = death.overdue or death.in_flight
    if death.said_so or not held:
        return Verdict(charged=not (death.cause == "memory" and death.worked))
    guilty = held if death.overdue or len(held) == 1 else frozenset()
    return Verdict(guilty, held - guilty, charged=all(token in suspected for token in held))
