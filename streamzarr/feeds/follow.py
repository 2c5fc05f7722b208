"""Rows of all partitions as they are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamzarr.feeds.route.read import targets_of
from streamzarr.feeds.target import Part
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stream import Rows, Snapshot

POLL: Final = 0.2
"""Seconds between looks at partitions that gave nothing: one small request each."""
LOOK: Final = 5.0
"""Seconds between looks for partitions and targets that are new: the target is listed."""


def follow_feed(
    find: Callable[[], Sequence[Part]],
    last: int = 0,
    *,
    poll: float = POLL,
    look: float = LOOK,
    runtime: Runtime = SYSTEM,
) -> Iterator[tuple[str, Rows]]:
    """Yield the name of a partition and rows of it, in order and each once; without end.

    Parameters
    ----------
    find
        Returns the partitions that there are now, as :func:`streamzarr.feeds.target.find_parts` does. Of
        those that come later all rows are given.
    last
        So many of the rows of each partition that are there come first.
    poll, look
        Seconds between looks for rows, and for partitions.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        Rows were given up before they were read.
    streamzarr.errors.StoreError
        The store failed.
    """
    known: dict[str, set[str]] = {}
    snapshots = _new(find(), known)
    rows = {name: max(each.first_row, each.rows - last) for name, each in snapshots.items()}
    pause, looked = runtime.event(), runtime.now()
    while True:
        idle = True
        for name, snapshot in snapshots.items():
            if rows[name] == snapshot.rows:
                snapshot = snapshots[name] = snapshot.refresh()
            if rows[name] < snapshot.rows:
                yield name, snapshot.between(rows[name], snapshot.rows)
                rows[name], idle = snapshot.rows, False
        if runtime.now() - looked >= look:
            for name, snapshot in _new(find(), known).items():
                snapshots[name], rows[name] = snapshot, snapshot.first_row
            looked = runtime.now()
        if idle:
            pause.wait(poll)


def _new(parts: Sequence[Part], known: dict[str, set[str]]) -> dict[str, Snapshot]:
    """Return the streams that were not `known` yet, by target and partition; they are then."""
    found: dict[str, Snapshot] = {}
    for part in parts:
        if part.facts.layout == "routes":
            targets = known.setdefault(part.name, set())
            new = targets_of(part, but=targets)
            targets.update(new)
            found |= {f"{target}/{part.name}": snapshot for target, snapshot in new.items()}
        elif part.name not in known:
            known[part.name] = set()
            found[part.name] = part.snapshot
    return found
