"""In which order tasks go round the partitions, so that few of them reach many workers: a pure plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest


def interleaved(partitions: int, assignment: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """Return all `partitions`, one of each member of the group in turn.

    So the first tasks go to as many members as there are, and of any number of first tasks no member gets
    two more than another that has partitions left. Those that nobody owns take turns as if one member more
    did: while a group is being rebalanced they are on their way to somebody who joins.

    Parameters
    ----------
    partitions
        How many the topic has.
    assignment
        What each member owns, as ``Broker.assignment`` tells it. It may be of a moment ago: numbers that
        the topic does not have are left out, and one that two members claim counts once.

    Examples
    --------
    >>> interleaved(6, {"a": [0, 1, 2], "b": [3, 4, 5]})
    (0, 3, 1, 4, 2, 5)
    >>> interleaved(6, {"a": [0, 1, 2], "joining": []})
    (0, 3, 1, 4, 2, 5)
    >>> interleaved(3, {})
    (0, 1, 2)
    """
    owned = [sorted(assignment[member]) for member in sorted(assignment)]
    every = range(partitions)
    unowned = sorted(set(every).difference(*owned))
    turns = zip_longest(*owned, unowned, fillvalue=-1)
    return tuple(dict.fromkeys(partition for turn in turns for partition in turn if partition in every))
