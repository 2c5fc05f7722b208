"""One partition in our hands whose rows go into several targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from streamzarr.feeds.letters import Letters
from streamzarr.feeds.partition import PartitionStream
from streamzarr.feeds.route.ledger import Ledger
from streamzarr.feeds.route.spec import Indices, RouteSpec, grouped, route
from streamzarr.feeds.rows import Rows
from streamzarr.stores.parallel import batches
from streamzarr.zarr.chunks import parallel

OpenTarget = Callable[[str, int], PartitionStream]
"""Takes over the stream of a target, which begins at an offset if it is new."""


class PartitionRoutes:
    """Rows of one partition on their way into its targets. Owned by the chain's thread; blocks on the store.

    A target is taken over when a row comes for it. Until then whoever had the partition before may still
    commit rows to it; they are those that we would, and its position says so.

    Parameters
    ----------
    open_target
        Makes a target ours; any thread may call it.
    most_open
        How many targets may be in memory. One more, and the one that had no rows for longest is committed and
        put away.
    at_once
        Targets that are opened or committed at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        spec: RouteSpec,
        letters: Letters,
        open_target: OpenTarget,
        *,
        most_open: int,
        at_once: int,
    ) -> None:
        self._ledger, self._spec, self._letters = ledger, spec, letters
        self._open_target, self._most_open, self._at_once = open_target, most_open, at_once
        self._open: dict[str, PartitionStream] = {}  # the one that had rows last is the last
        self._put = 0
        self.bad = 0
        """Records that became dead letters."""

    @property
    def position(self) -> int:
        """The next offset to be read."""
        return self._ledger.position

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far."""
        return self._put + self._ledger.put_bytes + sum(each.put_bytes for each in self._open.values())

    def take(self, rows: Rows) -> None:
        """Add the rows of a run to their targets, once; raises as :meth:`PartitionStream.take`.

        Some targets may have taken their part when it raises; given again, they leave it alone.
        """
        if rows.run.stop <= self.position:
            return
        undecoded = rows.bad
        rows = self._with_target(rows)
        groups = self._groups(rows)
        late: dict[int, str] = {}
        for target, part in self._parts(rows, groups):
            late |= target.going_back(part)
        if late:
            rows = rows.without(late)
            groups = self._groups(rows)
        if undecoded:
            self._letters.bury(rows.run, undecoded, "decode")
        if refused := {record: why for record, why in rows.bad.items() if record not in undecoded}:
            self._letters.bury(rows.run, refused, "route")
        for target, part in self._parts(rows, groups):
            target.take(part)
        self._ledger.move(rows.run.stop)
        self.bad += len(rows.bad)

    def commit(self, position: int) -> None:
        """Make what was taken visible, the ledger last; raises as :meth:`PartitionStream.commit`."""
        new = [target for target in self._open.values() if target.has_new]
        parallel.for_each(lambda target: target.commit(position), new, min(self._at_once, len(new)))
        self._ledger.move(position)
        self._ledger.commit()

    def rest(self) -> None:
        """Nothing is due while nothing comes."""

    def drop(self) -> None:
        """Give up what is not committed."""
        for target in self._open.values():
            target.drop()
        self._ledger.drop()

    # -- which rows go where -----------------------------------------------------------------------------

    def _with_target(self, rows: Rows) -> Rows:
        """Return the rows that have a target, which is in the ledger."""
        names = self._names(rows)
        routing = route(names, self._ledger.targets, self._spec)
        if routing.new:
            self._ledger.add(routing.new, self._start(), self._spec.other)
        self._ledger.settle()
        if not routing.refused:
            return rows
        pairs = zip(rows.records().tolist(), names, strict=True)
        return rows.without({record: why for record, name in pairs if (why := routing.refused.get(name))})

    def _start(self) -> int:
        """Return where a new target begins.

        What a target for others has already, of a life that knew fewer targets, stays there.
        """
        others = self._ledger.others
        self._bring(others)
        return max([self.position, *(self._open[name].position for name in others)])

    def _groups(self, rows: Rows) -> dict[str, Indices]:
        """Return which rows each target gets."""
        names = self._names(rows)
        targets = route(names, self._ledger.targets, self._spec).targets
        return grouped([targets[name] for name in names])

    def _parts(self, rows: Rows, groups: Mapping[str, Indices]) -> Iterator[tuple[PartitionStream, Rows]]:
        """Yield each target for which there are rows that it has not yet, and those."""
        offsets = rows.run.offsets[rows.records()]
        for some in batches(groups, self._most_open):
            self._bring(some)
            for name in some:
                target, which = self._open[name], groups[name]
                part = replace(rows.chosen(which[offsets[which] >= target.position]), bad={})
                if len(part):
                    yield target, part

    def _names(self, rows: Rows) -> list[str]:
        return list(map(str, rows.columns[self._spec.by].tolist()))

    # -- the targets in memory ---------------------------------------------------------------------------

    def _bring(self, names: Sequence[str]) -> None:
        """Have these targets in memory, as the last ones that had rows."""
        missing = [name for name in names if name not in self._open]
        for name in [name for name in self._open if name not in names]:
            if len(self._open) + len(missing) > self._most_open:
                self._put_away(name)

        def bring(name: str) -> None:
            self._open[name] = self._open_target(name, self._ledger.targets[name])

        parallel.for_each(bring, missing, min(self._at_once, len(missing)))
        for name in names:
            self._open[name] = self._open.pop(name)

    def _put_away(self, name: str) -> None:
        target = self._open[name]
        target.commit(target.position)
        self._put += target.put_bytes
        target.drop()
        del self._open[name]
