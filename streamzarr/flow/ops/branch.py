"""A branch of a chain as its ends see it, and where branches are joined again."""

from __future__ import annotations

from collections.abc import Collection

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import fed
from streamzarr.flow.message import Batch, Marker, Passed
from streamzarr.flow.stage import Stage
from streamzarr.flow.windows.moments import FIRST, LAST


class Branch:
    """A branch, whose source this is: what the stage gives it goes into the branch's operators."""

    def __init__(self) -> None:
        self.observer: ObserverBase[Batch] | None = None
        self.below: tuple[Stage, ...] = ()
        self.stages: tuple[Stage, ...] = ()
        """All that hold messages in the branch."""
        self.given = FIRST
        """The farthest watermark that came into the branch."""
        self.mark = FIRST
        """The farthest watermark that came out of it."""

    def observable(self) -> Observable[Batch]:
        """Return what the branch's operators are piped to; connected once."""

        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            self.observer, self.below = observer, fed()
            return Disposable()

        return Observable(subscribe)

    def put(self, batch: Batch) -> None:
        """Pass a batch into the branch."""
        assert self.observer is not None
        if isinstance(batch.marker, Passed):
            self.given = max(self.given, batch.marker.mark)
        self.observer.on_next(batch)

    @property
    def passed(self) -> int:
        """Up to which watermark nothing of it is still to come, if no message comes into it."""
        if not any(stage.windowed for stage in self.stages):
            return LAST if self.mark >= self.given else self.mark
        if any(stage.working or stage.waiting for stage in self.stages):
            return self.mark
        closes = [at for stage in self.stages if (at := stage.closes()) is not None]
        return max(self.mark, min(closes, default=LAST) - 1)


class Rejoin:
    """Where the branches end: batches go on, a marker when it has come out of all of them.

    A watermark (``Passed``) may come out of one branch only, the one with those windows. It goes on when no
    branch can give a result of before: one in which such a window is open, or messages are on their way to
    windows, holds it back; one that is empty, or has no windows, does not. It is looked at between two
    batches of the source (:meth:`advance`), when each branch has got its part of the last one.
    """

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], branches: Collection[Branch]) -> None:
        self._chain, self._observer, self._branches = chain, observer, branches
        self._inside: dict[int, tuple[Marker, int]] = {}  # by id: each, and out of how many it is to come
        self._passed = FIRST

    def take(self, branch: Branch, batch: Batch) -> None:
        """Pass on a batch of one of the branches."""
        if batch.held:
            self._observer.on_next(Batch(batch.held))
        if isinstance(batch.marker, Passed):
            branch.mark = max(branch.mark, batch.marker.mark)
            self._chain.bell.ring()
        elif batch.marker is not None:
            self._count(batch.marker)

    def enter(self, marker: Marker) -> None:
        """Note a marker that goes into all branches."""
        if not isinstance(marker, Passed):
            self._inside[id(marker)] = marker, len(self._branches)

    def _count(self, marker: Marker) -> None:
        if id(marker) not in self._inside:  # a branch's own: it is behind nothing of the others
            return
        _, left = self._inside.pop(id(marker))
        if left > 1:
            self._inside[id(marker)] = marker, left - 1
        else:
            self._observer.on_next(Batch((), marker))

    def advance(self) -> None:
        """Pass on the watermark that all branches have passed, if it is another one."""
        farthest = max(branch.mark for branch in self._branches)
        if farthest <= self._passed:
            return
        passed = min(farthest, *(branch.passed for branch in self._branches))
        if passed > self._passed:
            self._passed = passed
            self._observer.on_next(Batch((), Passed(passed)))
