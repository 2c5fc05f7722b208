"""Is each record in its windows, once? Counts of closed and open windows against the broker."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamzarr.errors import KeyNotFoundError
from streamzarr.feeds.found import PartitionCheck
from streamzarr.feeds.target import Facts
from streamzarr.feeds.windows.kept import LIMIT, Held, held_at
from streamzarr.feeds.windows.partition import MORE, READ, TAKEN
from streamzarr.feeds.windows.spec import BEGIN, COUNT, END
from streamzarr.stream import Snapshot


def with_held(snapshot: Snapshot, limit: int = LIMIT) -> tuple[Snapshot, Held]:
    """Return a commit with the windows that were open then: this one, or a later one that has replaced it.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        There is no later commit, and they are gone.
    streamzarr.errors.ChecksumError, streamzarr.errors.MessageError, streamzarr.errors.LimitExceededError
        They are damaged; what is there is something else; or it has more bytes than `limit`.
    """
    while True:
        position, view = snapshot.position, snapshot.view
        assert isinstance(position, Mapping)
        try:
            return snapshot, held_at(view.store, view.path, position, limit)
        except KeyNotFoundError:
            later = snapshot.refresh()
            if later.record.seq == snapshot.record.seq:
                raise
            snapshot = later


def windows_twice(snapshot: Snapshot, facts: Facts) -> int:
    """Return how many closed windows are there that another row has already."""
    begins, ends = (snapshot[name][:].astype(np.int64) for name in (BEGIN, END))
    keys = np.unique(snapshot[facts.key][:], return_inverse=True)[1] if facts.keyed else np.zeros_like(ends)
    order = np.lexsort((keys, begins, ends))
    same = [np.diff(each[order]) == 0 for each in (keys, begins, ends)]
    return int(np.count_nonzero(np.logical_and.reduce(same)))


def compare_windows(
    name: str,
    closed: int,
    held: int,
    windows: int,
    twice: int,
    position: Mapping[str, int],
    dead: int,
    there: int | None,
    *,
    whole: bool,
) -> PartitionCheck:
    """Return what the rows of records in windows come to, against what the position says, and the broker has.

    Parameters
    ----------
    closed, held
        Rows of records in windows that are closed, and in open ones.
    windows, twice
        Windows that are closed, and those among them that are there twice.
    dead
        Records below the position that have a letter.
    there
        Records below the position on the broker; None: some of them were trimmed.
    whole
        Whether all windows are there that ever were closed.

    Examples
    --------
    >>> position = {"read": 10, "taken": 9, "more": 0}
    >>> compare_windows("p0", 6, 3, 2, 0, position, 1, 10, whole=True).ok
    True
    >>> compare_windows("p0", 5, 3, 2, 0, position, 1, 11, whole=True).missing_count
    2
    """
    taken, folded = position.get(TAKEN, 0), position.get(TAKEN, 0) + position.get(MORE, 0)
    missing = max(0, folded - closed - held) if whole else 0
    disorder = max(0, closed + held - folded) + twice
    if there is not None:
        missing += max(0, there - taken - dead)
        disorder += max(0, taken - there)
    return PartitionCheck(
        name=name,
        rows=windows,
        records=taken,
        dead=dead,
        position=position[READ],
        verified=taken if there is None else there,
        missing_count=missing,
        disorder_count=disorder,
    )


def rows_counted(snapshot: Snapshot) -> int:
    """Return how many rows of records are in the windows that are closed."""
    return int(snapshot[COUNT][:].sum(dtype="i8"))
