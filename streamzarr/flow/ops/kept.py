"""What a stage with windows in a store keeps of one partition beside its panes."""

from __future__ import annotations

import bisect

from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.windows.outbox import Outbox
from streamzarr.flow.windows.snapshot import Snapshot


class Kept:
    """Which of its records are folded, and its results on their way. Owned by the chain's thread."""

    def __init__(self, claim: Claim, snapshot: Snapshot) -> None:
        self.claim = claim
        self.before = snapshot.taken  # runs of offsets that are in the accumulators since before the restart
        self.taken: dict[int, int] = {}  # offsets folded since, by sequence number
        self.passed: set[int] = set()  # sequence numbers of records of which something was not folded
        self.outbox = Outbox(snapshot.outbox, snapshot.numbered)
        self.position = snapshot.position
        self.begun = snapshot.begun
        self.save_at = 0.0

    def has(self, offset: int) -> bool:
        """Tell whether the record at `offset` was folded before the restart."""
        at = bisect.bisect_right(self.before, offset, key=lambda run: run[1])
        return at < len(self.before) and self.before[at][0] <= offset

    def advance(self, position: int | None) -> int | None:
        """Go on to `position`, never back, and drop what is below: it will not be read again."""
        if position is None or (self.position is not None and position <= self.position):
            return self.position
        self.position = position
        ahead = [run for run in self.before if run[1] > position]
        self.before = tuple((max(first, position), stop) for first, stop in ahead)
        self.taken = {seq: offset for seq, offset in self.taken.items() if offset >= position}
        return position
