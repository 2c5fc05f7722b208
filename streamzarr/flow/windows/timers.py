"""When panes give a result because time has passed, on the machine's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from streamzarr.flow.windows.pane import Pane


class Timers:
    """Timers of panes, all of one delay: the first that was started runs out first.

    An entry is stale when its pane has given a result since; stale ones are passed over, and cleared out
    when they are the greater part. Pure state: time is handed in.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._entries: deque[tuple[float, Pane]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def start(self, pane: Pane, now: float, running: int) -> None:
        """Start the timer of a pane, if it does not run; about `running` others do."""
        if pane.timer is not None:
            return
        pane.timer = now + self._delay
        self._entries.append((pane.timer, pane))
        if len(self._entries) > 2 * running + 64:  # one that runs for long hides those behind it
            live = (entry for entry in self._entries if entry[1].timer == entry[0])
            self._entries = deque(dict.fromkeys(live))

    def due(self) -> float | None:
        """Return when the next timer runs out; ``None``: none runs."""
        entries = self._entries
        while entries and entries[0][1].timer != entries[0][0]:
            entries.popleft()
        return entries[0][0] if entries else None

    def run_out(self, now: float) -> Iterator[Pane]:
        """Yield the panes whose timers have run out."""
        while (due := self.due()) is not None and due <= now:
            _, pane = self._entries.popleft()
            pane.timer = None
            yield pane
