"""The panes that there are, and what their accumulators take."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from streamzarr.flow.windows.agenda import Agenda
from streamzarr.flow.windows.bound import OVERHEAD
from streamzarr.flow.windows.kinds import Window
from streamzarr.flow.windows.pane import Pane, Part


class Shelf:
    """Panes by owner, key and window; those that are open are in its agenda as well.

    Pure state; owned by the chain's thread. A pane that is closed stays counted until it is dropped: its
    accumulators are there until its result has been taken.

    Examples
    --------
    >>> shelf = Shelf(size_of=lambda value: 8)
    >>> pane = shelf.create("partition 0", "BTC", Window(0, 60))
    >>> shelf.grow("partition 0", shelf.new_part(pane, "partition 0"), 100)
    >>> shelf.accumulators, shelf.nbytes
    (1, 100)
    >>> shelf.drop(pane)
    >>> shelf.accumulators, shelf.nbytes, list(shelf.all())
    (0, 0, [])
    """

    def __init__(self, size_of: Callable[[Any], int]) -> None:
        self._size_of = size_of
        self.agenda = Agenda()
        self.accumulators = 0
        self.nbytes = 0
        self.growth: dict[Hashable, int] = {}
        """Bytes by which the accumulators of each claim have grown since the owner last emptied this."""
        self.leaving = 0
        """Accumulators of closed panes."""
        self.leaving_bytes = 0
        self._panes: dict[Hashable, dict[Hashable, dict[Window, Pane]]] = {}  # by owner, key, window
        self._numbers = itertools.count()

    # -- what is there -----------------------------------------------------------------------------------

    def of_key(self, owner: Hashable, key: Hashable) -> Mapping[Window, Pane]:
        """Return the open panes of a key."""
        return self._panes.get(owner, {}).get(key, {})

    def of_owner(self, owner: Hashable) -> list[Pane]:
        """Return all open panes of an owner."""
        return [pane for of_key in self._panes.get(owner, {}).values() for pane in of_key.values()]

    def all(self) -> Iterator[Pane]:
        """Yield all open panes."""
        for owner in self._panes:
            yield from self.of_owner(owner)

    # -- panes -------------------------------------------------------------------------------------------

    def create(self, owner: Hashable, key: Hashable, window: Window) -> Pane:
        """Return a new pane."""
        pane = Pane(owner, key, window, next(self._numbers))
        self._panes.setdefault(owner, {}).setdefault(key, {})[window] = pane
        self.agenda.add(pane, new=True)
        return pane

    def move(self, pane: Pane, window: Window) -> None:
        """Give a pane another window; its owner puts it into the agenda again."""
        of_key = self._panes[pane.owner][pane.key]
        del of_key[pane.window]
        of_key[window] = pane
        pane.window = window

    def close(self, pane: Pane) -> None:
        """Take a pane out of those that messages are folded into."""
        if not pane.open:
            return
        pane.open, pane.timer = False, None
        self.leaving += len(pane.parts)
        self.leaving_bytes += pane.nbytes
        of_owner = self._panes[pane.owner]
        of_key = of_owner[pane.key]
        del of_key[pane.window]
        if not of_key:
            del of_owner[pane.key]
        self.agenda.remove()

    def drop(self, pane: Pane) -> None:
        """Forget a pane and what it holds."""
        self.close(pane)
        for claim in list(pane.parts):
            self.drop_part(pane, claim)

    def forget(self, owner: Hashable) -> None:
        """Forget an owner, all of whose panes are dropped."""
        self._panes.pop(owner, None)

    # -- parts -------------------------------------------------------------------------------------------

    def new_part(self, pane: Pane, claim: Hashable) -> Part:
        """Add the accumulator of a claim to a pane."""
        part = pane.parts[claim] = Part(self._size_of(pane.key) + OVERHEAD)
        self.accumulators += 1
        return part

    def drop_part(self, pane: Pane, claim: Hashable) -> None:
        """Forget what a claim has in a pane."""
        part = pane.parts.pop(claim)
        if not pane.open:
            self.leaving -= 1
            self.leaving_bytes -= part.nbytes
        self.grow(claim, part, 0)
        self.accumulators -= 1

    def grow(self, claim: Hashable, part: Part, nbytes: int) -> None:
        """Note that an accumulator takes `nbytes` now."""
        more = nbytes - part.nbytes
        if more:
            part.nbytes = nbytes
            self.nbytes += more
            self.growth[claim] = self.growth.get(claim, 0) + more
