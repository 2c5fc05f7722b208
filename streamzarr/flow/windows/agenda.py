"""Which panes fall due when the watermark moves."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from streamzarr.flow.windows.pane import Pane


class Agenda:
    """Open panes in the order of their `due`, of equals the older first.

    An entry is stale when its pane is closed or has another `due` since; stale ones are passed over, and
    cleared out when they are the greater part. Adding and taking cost O(log n).
    """

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Pane]] = []  # a heap
        self._live = 0  # open panes

    def add(self, pane: Pane, *, new: bool = False) -> None:
        """Put `pane` in at its `due`; `new` when it was not in before."""
        self._live += new
        heapq.heappush(self._entries, (pane.due, pane.number, pane))
        if len(self._entries) > 2 * self._live + 64:
            self._entries = [entry for entry in self._entries if _is_live(entry)]
            heapq.heapify(self._entries)

    def remove(self) -> None:
        """Note that a pane was closed."""
        self._live -= 1

    def until(self, mark: int) -> Iterator[Pane]:
        """Take the open panes that are due at `mark`, in order."""
        while self._entries and self._entries[0][0] <= mark:
            entry = heapq.heappop(self._entries)
            if _is_live(entry):
                yield entry[2]

    def next_due(self) -> int | None:
        """Return when the next open pane is due; ``None``: there is none."""
        while self._entries and not _is_live(self._entries[0]):
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

    def oldest(self) -> Pane | None:
        """Take the open pane that falls due next; ``None``: there is none."""
        while self._entries:
            entry = heapq.heappop(self._entries)
            if _is_live(entry):
                return entry[2]
        return None


def _is_live(entry: tuple[int, int, Pane]) -> bool:
    due, _, pane = entry
    return pane.open and pane.due == due
