"""What ``ops.reduce`` was asked for: the functions of the user, and the rules of its windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.flow.windows.bound import Bound, estimate
from streamzarr.flow.windows.kinds import Count, Global, Session, Windowing
from streamzarr.flow.windows.triggers import After, Trigger


@dataclass(frozen=True)
class Reduction:
    """The functions and rules by which messages are folded into windows."""

    fold: Callable[[Any, Any], Any]
    """Takes an accumulator and a message's data, and returns the accumulator."""
    initial: Any
    """The first accumulator: a value that cannot be changed, or a function that makes one."""
    window: Windowing = field(default_factory=Global)
    merge: Callable[[Any, Any], Any] | None = None
    result: Callable[[Any], Any] | None = None
    triggers: tuple[Trigger, ...] = ()
    lateness: int = 0
    """Nanoseconds for which a window is kept when the watermark has passed it."""
    bound: Bound = field(default_factory=Bound)
    size_of: Callable[[Any], int] = estimate

    def __post_init__(self) -> None:
        if isinstance(self.initial, list | dict | set | bytearray):
            kind = type(self.initial).__name__
            raise ConfigError(
                f"ops.reduce: initial={self.initial!r} would be shared by all keys, expected initial={kind}"
            )
        if isinstance(self.window, Session) and self.merge is None:
            raise ConfigError(
                "ops.reduce: Session windows need merge=, since a message may join two sessions of its key"
            )

    @property
    def joined(self) -> bool:
        """True when the parts of several partitions are merged into one result."""
        return self.merge is not None and not isinstance(self.window, Session | Count)

    @property
    def delay(self) -> float | None:
        """Seconds after which a window gives an early result; ``None``: time fires nothing."""
        delays = [trigger.delay for trigger in self.triggers if isinstance(trigger, After)]
        return min(delays, default=None)

    @property
    def resets(self) -> bool:
        """True when accumulators begin anew after an early result."""
        return any(trigger.reset for trigger in self.triggers)

    def begin(self) -> Any:
        """Return a new accumulator."""
        return self.initial() if callable(self.initial) else self.initial

    def fires(self, fresh: int, value: Any) -> bool:
        """Tell whether a trigger asks for a result of a window with `fresh` messages since its last one."""
        return bool(self.triggers) and any(trigger.fires(fresh, value) for trigger in self.triggers)
