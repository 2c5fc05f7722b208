"""What one key has in one window: its accumulators and where it stands."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from streamzarr.flow.acknowledge import Hold
from streamzarr.flow.windows.kinds import Window
from streamzarr.flow.windows.result import Firing


class Part:
    """The accumulator of one claim in a pane; `base` is what it takes beside its value, bytes."""

    __slots__ = ("base", "count", "nbytes", "value")

    def __init__(self, base: int) -> None:
        self.base = base
        self.value: Any = None
        self.count = self.nbytes = 0


class Pane:
    """What one key has in one window; made and changed by :class:`streamzarr.flow.windows.panes.Panes` alone.

    Parameters
    ----------
    owner
        The claim whose messages alone it takes; ``None``: those of all claims are merged in its result.
    number
        In the order of creation.
    """

    __slots__ = (
        "due",
        "error",
        "final",
        "firing",
        "fresh",
        "hold",
        "key",
        "number",
        "open",
        "owner",
        "partial",
        "parts",
        "shown",
        "timer",
        "told",
        "window",
    )

    def __init__(self, owner: Hashable, key: Hashable, window: Window, number: int) -> None:
        self.owner, self.key, self.window, self.number = owner, key, window, number
        self.parts: dict[Hashable, Part] = {}
        self.hold = Hold()
        self.due = window.stop
        """Watermark at which something happens to it next."""
        self.open = True
        """False: its next result is its last, and nothing is folded into it any more."""
        self.final = False
        """The final result has fallen due; the pane is kept for late messages."""
        self.firing: Firing | None = None
        """It stands in the queue of those that give a result."""
        self.error: BaseException | None = None
        """Why the early result that it is to give fails."""
        self.fresh = 0
        """Messages since its last result."""
        self.timer: float | None = None
        self.shown = 0
        """Results given."""
        self.told: tuple[Window, ...] = ()
        """Windows under which results were given that no later one has replaced."""
        self.partial = False

    @property
    def count(self) -> int:
        """Messages in its accumulators."""
        return sum(part.count for part in self.parts.values())

    @property
    def nbytes(self) -> int:
        """Bytes of its accumulators."""
        return sum(part.nbytes for part in self.parts.values())

    def hand_over(self, *, keep: bool) -> Hold:
        """Return the hold of what was folded so far, for the result that it is in.

        With `keep` the pane goes on with the same messages, so a hold of its own keeps positions from passing
        them; without, a new hold begins with the next message.
        """
        given, self.hold = self.hold, Hold()
        if keep:
            self.hold.keep_as(given)
        return given
