"""Triggers: when a window that is still open gives an early result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from streamzarr.flow.arguments import checked, flag, function, integer
from streamzarr.flow.windows.moments import Duration, duration, span


@checked("windows.Every", count=integer(1), reset=flag)
@dataclass(frozen=True, slots=True)
class Every:
    """An early result after each `count` messages of a window.

    With `reset` the accumulator begins anew each time, so the results of a window have to be added up.
    """

    count: int
    reset: bool = False

    def fires(self, fresh: int, value: Any) -> bool:
        """Tell whether a window gives a result that has `fresh` messages since its last one."""
        return fresh >= self.count


@checked("windows.After", seconds=span(1), reset=flag)
@dataclass(frozen=True, slots=True)
class After:
    """An early result so many seconds, on the machine's clock, after the first message that is in none."""

    seconds: Duration
    reset: bool = False
    delay: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", duration(self.seconds, "the delay of a trigger", 1) / 10**9)

    def fires(self, fresh: int, value: Any) -> bool:
        """Time alone fires it."""
        return False


@checked("windows.When", predicate=function, reset=flag)
@dataclass(frozen=True, slots=True)
class When:
    """An early result whenever `predicate` is true of the accumulator that a message was folded into."""

    predicate: Callable[[Any], bool]
    reset: bool = False

    def fires(self, fresh: int, value: Any) -> bool:
        """Tell what the predicate says; what it raises fails an early result, no message."""
        return bool(self.predicate(value))


Trigger: TypeAlias = Every | After | When
