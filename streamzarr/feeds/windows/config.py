"""``[window]``: which windows, where the target's layout is that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, Literal, cast

from msgspec import Meta, field

from streamzarr.errors import ConfigError
from streamzarr.feeds.grid.spec import How, check_how
from streamzarr.feeds.tables import Count, Seconds, Table, Text
from streamzarr.feeds.windows.spec import Kind, WindowSpec
from streamzarr.flow.windows import Bound, Fixed, Session, Sliding
from streamzarr.flow.windows.moments import SECOND, duration

OPEN: Final = 100_000
"""Windows that may be open at a time: each commit puts them."""
_LENGTHS: Final = {"fixed": ("size",), "sliding": ("size", "every"), "session": ("gap",)}
"""What each kind is told."""


class WindowConfig(Table, frozen=True, kw_only=True):
    """``[window]``: the windows, where the target's layout is that."""

    kind: Literal["fixed", "sliding", "session"]
    """Side by side; one every so often, which overlap; or as long as its key is not silent."""
    size: Text | Seconds | None = None
    """How long a window is, where it is fixed or sliding."""
    every: Text | Seconds | None = None
    """How far apart windows begin that are sliding."""
    gap: Text | Seconds | None = None
    """For how long a key is silent when its session ends."""
    time: Text
    """The column with a record's time."""
    key: Text | None = None
    """The column with its key; all records are of one when absent."""
    lateness: Text | Annotated[float, Meta(ge=0)] = 0.0
    """How long a window stays open behind its end."""
    ahead: Text | Seconds = "30d"
    """How far ahead of the clock a record may be, and of all before it, unless its own timestamp is near."""
    idle: Text | Seconds | None = None
    """For how long a partition is silent when its windows are closed; never when absent."""
    open: Count = OPEN
    """How many windows may be open at a time, of all keys of a partition."""
    max_bytes: Count | Text = "256MB"
    """How many bytes they may take in memory."""
    values: dict[str, str] = field(default_factory=dict)
    """What several values of a column in one window come to: last first min max sum mean count ohlc."""

    def spec(self) -> WindowSpec:
        """Return it, checked."""
        check_how(self.values)
        return WindowSpec(
            self.time,
            self._kind(),
            self.key,
            duration(self.lateness, "lateness"),
            duration(self.ahead, "ahead", 1),
            self._idle(),
            self._bound(),
            cast("dict[str, How]", self.values),
        )

    def reads(self) -> list[tuple[str, Callable[[], object]]]:
        """Return keys, each with what raises :class:`~streamzarr.errors.ConfigError` if it cannot be."""
        return [
            *((name, partial(self._length, name)) for name in ("size", "every", "gap")),
            ("every", self._kind),
            ("lateness", lambda: duration(self.lateness, "lateness")),
            ("ahead", lambda: duration(self.ahead, "ahead", 1)),
            ("idle", self._idle),
            ("max_bytes", self._bound),
            ("values", lambda: check_how(self.values)),
        ]

    def _length(self, name: str) -> str:
        """Return a length as text, the same for the same; empty: the kind has none, nor is one given."""
        given = getattr(self, name)
        if (name in _LENGTHS[self.kind]) != (given is not None):
            wanted = "missing; it is needed" if given is None else "not expected"
            raise ConfigError(
                f'{wanted} where kind is "{self.kind}", which has {" and ".join(_LENGTHS[self.kind])}'
            )
        return "" if given is None else f"{duration(given, name, 1)}ns"

    def _kind(self) -> Kind:
        size, every, gap = map(self._length, ("size", "every", "gap"))
        match self.kind:
            case "fixed":
                return Fixed(size)
            case "session":
                return Session(gap)
        if duration(every, "every") > duration(size, "size"):
            raise ConfigError("is longer than size, and a record between two windows would be in none")
        return Sliding(size, every)

    def _idle(self) -> float | None:
        return None if self.idle is None else duration(self.idle, "idle", 1) / SECOND

    def _bound(self) -> Bound:
        return Bound(keys=self.open, nbytes=self.max_bytes)
