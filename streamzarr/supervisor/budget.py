"""When a dead worker is started again, and when enough is enough. Pure: the clock is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from streamzarr.errors import ConfigError

FIRST_DELAY = 0.1
"""Seconds before the restart after the first quick death; doubles with each further one."""
LONGEST_DELAY = 30.0
"""Seconds; a worker that can be started again is not kept waiting longer than a person would."""


class Restart(StrEnum):
    """Which ends of a worker are followed by another start: OTP's words, and GenStage's for cancelling."""

    PERMANENT = "permanent"
    """Every end, a finished one as well: the worker is a service, and its end is always one too early."""
    TRANSIENT = "transient"
    """A death, but not an end with the work done."""
    TEMPORARY = "temporary"
    """None: a worker that dies has failed, and the others go on without it."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most `max_restarts` of one worker in any `within` seconds, as in an OTP supervisor.

    The budget is each worker's own, so that a pool of 64 may lose every worker once to the same broken
    connection. A poisonous message that wanders from worker to worker is not the budget's business but the
    crash table's (:class:`streamzarr.supervisor.board.CrashTable`).

    Raises
    ------
    ConfigError
        `max_restarts` is negative or `within` not positive.

    Examples
    --------
    >>> policy = RestartPolicy(max_restarts=2, within=60.0)
    >>> policy.quick, policy.longest_delay
    (30.0, 15.0)
    """

    max_restarts: int = 10
    within: float = 60.0
    restart: Restart = Restart.TRANSIENT

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            raise ConfigError(f"max_restarts is {self.max_restarts}, expected 0 or more")
        if not self.within > 0:
            raise ConfigError(f"within is {self.within} seconds, expected more than 0")

    @property
    def quick(self) -> float:
        """Seconds; a worker that dies younger than this died quickly.

        One that always lives longer can never use the budget up, so it needs no backing off.
        """
        return self.within / max(1, self.max_restarts)

    @property
    def longest_delay(self) -> float:
        """Upper bound of the backoff, seconds.

        All delays of one window add up to at most half of it, so backing off can never stretch a run of
        instant deaths beyond the window and turn "enough" into "for ever".
        """
        return min(LONGEST_DELAY, self.quick / 2)


@dataclass(frozen=True, slots=True)
class RestartBudget:
    """The deaths of one worker that still count, as an immutable value.

    Examples
    --------
    >>> budget = RestartBudget(RestartPolicy(max_restarts=2, within=60.0))
    >>> budget, delay = budget.died(now=100.0, lived=99.0)
    >>> delay
    0.0
    >>> budget, delay = budget.died(now=101.0, lived=0.5)
    >>> delay
    0.1
    >>> budget, delay = budget.died(now=102.0, lived=0.5)
    >>> print(delay)
    None
    """

    policy: RestartPolicy
    deaths: tuple[float, ...] = ()
    """Times of death inside the window, oldest first, seconds."""
    streak: int = 0
    """Quick deaths in a row."""

    def died(self, now: float, lived: float) -> tuple[RestartBudget, float | None]:
        """Count a death at `now` after `lived` seconds of life.

        Returns the new budget and the seconds to wait before the restart, or None when the budget is used up.
        """
        recent = (*(death for death in self.deaths if now - death < self.policy.within), now)
        streak = self.streak + 1 if lived < self.policy.quick else 0
        after = RestartBudget(self.policy, recent, streak)
        if len(recent) > self.policy.max_restarts:
            return after, None
        if streak == 0:
            return after, 0.0
        return after, min(math.ldexp(FIRST_DELAY, min(streak - 1, 30)), self.policy.longest_delay)
