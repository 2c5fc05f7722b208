"""Rows of all partitions as they are committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from streamzarr.feeds.route.read import targets_of
from streamzarr.feeds.target import Part
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stream import Rows, Snapshot

POLL: Final = 0.2
"""Seconds between looks at partitions that gave nothing: one small request each."""


def follow_feed(
    parts: Sequence[Part], last: int = 0, *, poll: float = POLL, runtime: Runtime = SYSTEM
) -> Iterator[tuple[str, Rows]]:
    """Yield the name of a partition and rows of it, in order and each once; without end.

    Parameters
    ----------
    parts
        Of :func:`streamzarr.feeds.target.find_parts`.
    last
        So many of the rows of each partition that are there come first.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        Rows were given up before they were read.
    streamzarr.errors.StoreError
        The store failed.
    """
    ledgers = [each for each in parts if each.facts.layout == "routes"]
    known = {each.name: set[str]() for each in ledgers}
    snapshots = {each.name: each.snapshot for each in parts if each.name not in known}
    snapshots |= _new(ledgers, known)
    rows = {name: max(each.first_row, each.rows - last) for name, each in snapshots.items()}
    pause = runtime.event()
    while True:
        idle = True
        for name, snapshot in snapshots.items():
            if rows[name] == snapshot.rows:
                snapshot = snapshots[name] = snapshot.refresh()
            if rows[name] < snapshot.rows:
                yield name, snapshot.between(rows[name], snapshot.rows)
                rows[name], idle = snapshot.rows, False
        if idle:
            pause.wait(poll)
            ledgers = [replace(each, snapshot=each.snapshot.refresh()) for each in ledgers]
            for name, snapshot in _new(ledgers, known).items():
                snapshots[name], rows[name] = snapshot, snapshot.first_row


def _new(ledgers: Sequence[Part], known: Mapping[str, set[str]]) -> dict[str, Snapshot]:
    """Return the streams of targets that were not `known` yet, by target and partition; they are then."""
    found = {}
    for ledger in ledgers:
        for target, snapshot in targets_of(ledger, but=known[ledger.name]).items():
            known[ledger.name].add(target)
            found[f"{target}/{ledger.name}"] = snapshot
    return found
