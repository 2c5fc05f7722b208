"""Is each record of the topic in the target, once and in order? Offsets of the broker against rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamzarr.feeds.found import PartitionCheck, some
from streamzarr.feeds.grid.partition import MORE, OPEN
from streamzarr.feeds.grid.spec import COUNT
from streamzarr.feeds.lettered import NONE, Offsets, lettered
from streamzarr.feeds.offered import Offered
from streamzarr.feeds.replayed.read import NO_REPLAYS, Replays
from streamzarr.feeds.route.read import starts_of, targets_of
from streamzarr.feeds.target import Part, parts_of
from streamzarr.feeds.windows.check import compare_windows, rows_counted, windows_twice, with_held
from streamzarr.feeds.windows.kept import Held
from streamzarr.queue import Broker
from streamzarr.stream import Snapshot
from streamzarr.zarr.streaming.progress import Progress, as_progress


def compare(
    name: str,
    rows: Offsets,
    there: Offsets,
    dead: Offsets,
    begin: int,
    position: int,
    replays: Replays = NO_REPLAYS,
    *,
    compacted: bool = False,
) -> PartitionCheck:
    """Return what the offsets of all rows are, against those of the broker's records and the dead letters.

    Parameters
    ----------
    rows
        The offset of each row.
    there
        Offsets of the records that the broker has from `begin` to `position`, ascending.
    dead
        Offsets that have a letter.
    compacted
        The broker compacts the topic: of records that are not there nobody knows whether there were any.

    Examples
    --------
    >>> found = compare("p0", np.array([0, 1, 1, 4, 3]), np.arange(7), np.array([2]), 0, 6)
    >>> found.ok, found.missing, found.disorder, found.records, found.dead
    (False, (5,), (3,), 4, 1)
    """
    records = np.unique(rows)
    twice = np.intersect1d(records, np.union1d(replays.failed, replays.again))
    disorder = np.concatenate([rows[1:][rows[1:] < rows[:-1]], twice])
    dead = np.setdiff1d(dead[(dead >= begin) & (dead < position)], np.union1d(records, replays.failed))
    there = there[there < position]
    settled = np.concatenate([records, dead, replays.failed, replays.again])
    missing = np.setdiff1d(there, settled)
    gone = np.setdiff1d(records[(records >= begin) & (records < position)], there)
    unknown = records[records >= position]
    if not compacted:
        unknown = np.concatenate([gone, unknown])
    return PartitionCheck(
        name=name,
        rows=len(rows),
        records=len(records),
        dead=len(dead),
        position=position,
        verified=len(there),
        replayed=len(replays.failed),
        missing=some(missing),
        unknown=some(unknown),
        disorder=some(disorder),
        missing_count=len(missing),
        unknown_count=len(unknown),
        disorder_count=len(disorder),
        compacted=len(gone) if compacted else 0,
    )


def check_feed(
    url: str, broker: Broker | None = None, *, progress: Progress | bool | None = None
) -> list[PartitionCheck]:
    """Compare the rows of a feed's target with the records of its topics and its dead letters.

    Of a topic that was made anew, or is on another cluster, nothing is compared, and its partitions are not
    ok.

    It reads all offsets, of rows and of records; records that the broker has trimmed are not asked for. A
    feed that runs meanwhile is no harm: what it commits later is not looked at.

    Parameters
    ----------
    url
        The target.
    broker
        Where the topics are; what the target says when None.
    progress
        Called with the number of the topics' offsets that were read and of all; True draws a line on stderr.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError, streamzarr.errors.ConfigError
        There is no feed's target.
    streamzarr.errors.QueueError
        The broker has no such topic, or cannot be reached.
    """
    with parts_of(url, broker) as parts:
        held = {each.name: with_held(each.snapshot) for each in parts if each.facts.layout == "windows"}
        dead = lettered(parts)  # last: a commit is not looked at that is later
        asked = Offered(parts.broker, as_progress(progress, "offsets"))
        changed = {each.name: asked.changed(each) for each in parts}
        same = [each for each in parts if not changed[each.name]]
        asked.expect({each.partition: (each.facts.start, each.position) for each in same})
        return [
            _not_compared(each, changed[each.name])
            if changed[each.name]
            else _check(asked, each, dead[each.partition], held.get(each.name))
            for each in parts
        ]


def _not_compared(part: Part, changed: str) -> PartitionCheck:
    """Return what is known of a partition whose topic is another one now: offsets mean nothing there."""
    rows = part.snapshot.rows
    return PartitionCheck(
        part.name, rows, records=0, dead=0, position=part.position, verified=0, changed=changed
    )


def _check(asked: Offered, part: Part, dead: Offsets, held: tuple[Snapshot, Held] | None) -> PartitionCheck:
    begin = max(asked.bounds(part.partition)[0], part.facts.start)
    if part.facts.layout in ("grid", "bars"):
        return _check_grid(asked, part, dead)
    if held is not None:
        return _check_windows(asked, replace(part, snapshot=held[0]), dead, held[1])
    if part.facts.layout == "routes":
        return _check_routes(asked, part, begin, dead)
    rows: Offsets = part.snapshot[part.facts.offset][:].astype(np.int64)
    if part.snapshot.first_row:  # what came before the first row that is left was given up
        begin = max(begin, int(rows[0]))
    there = np.concatenate([NONE, *asked.offsets(part.partition, begin, part.position)])
    replays, compacted = Replays.of([part.snapshot]), asked.compacts(part.partition.topic)
    return compare(part.name, rows, there, dead, begin, part.position, replays, compacted=compacted)


def _check_routes(asked: Offered, part: Part, begin: int, dead: Offsets) -> PartitionCheck:
    """Look for each record in any of the targets, and for rows that are in one that is not theirs."""
    targets, starts = targets_of(part), starts_of(part)
    found, wrong = [NONE], [NONE]
    for name, target in targets.items():
        offsets: Offsets = target[part.facts.offset][:].astype(np.int64)
        names = list(map(str, target[part.facts.by][:].tolist()))
        if target.first_row:
            begin = max(begin, int(offsets[0]))
        found.append(offsets[offsets < part.position])  # a target may be ahead of the ledger
        wrong += [offsets[1:][offsets[1:] < offsets[:-1]], misplaced(name, names, offsets, starts)]
    there = np.concatenate([NONE, *asked.offsets(part.partition, begin, part.position)])
    rows = np.sort(np.concatenate(found))
    bad = np.unique(np.concatenate(wrong))
    replays, compacted = Replays.of(targets.values()), asked.compacts(part.partition.topic)
    checked = compare(part.name, rows, there, dead, begin, part.position, replays, compacted=compacted)
    return replace(checked, disorder=some(bad), disorder_count=checked.disorder_count + len(bad))


def misplaced(target: str, names: Sequence[str], offsets: Offsets, starts: Mapping[str, int]) -> Offsets:
    """Return the offsets of rows of a target that belong into another: it was there before them.

    Examples
    --------
    >>> misplaced("rest", ["XRP", "BTC", "BTC"], np.array([3, 4, 9]), {"rest": 0, "BTC": 5})
    array([9])
    """
    never = np.iinfo(np.int64).max
    since = {name: -1 if name == target else starts.get(name, never) for name in dict.fromkeys(names)}
    begins = np.fromiter(map(since.__getitem__, names), np.int64, len(names))
    return offsets[(begins >= 0) & (offsets >= begins)]


def compare_counts(
    name: str,
    counted: int,
    slots: int,
    there: Offsets,
    dead: Offsets,
    begin: int,
    position: Mapping[str, int],
    trimmed: int = 0,
) -> PartitionCheck:
    """Return what the records that are counted in closed slots are against those of the broker.

    Those before ``open`` are in closed slots, or have a letter; of those from there to ``read`` some are.
    Where records have several rows, so many ``more`` than records may be counted. At so many offsets from
    `begin` on the broker has ``trimmed``, or compacted away, what was there: a record, or none.

    Examples
    --------
    >>> there = np.arange(10)
    >>> compare_counts("p0", 6, 3, there, np.array([2]), 0, {"open": 6, "read": 8}).ok
    True
    >>> compare_counts("p0", 4, 3, there, np.array([2]), 0, {"open": 6, "read": 8}).missing_count
    1
    >>> compare_counts("p0", 6, 3, there[7:], np.array([2]), 0, {"open": 6, "read": 8}, trimmed=7).ok
    True
    """
    opened, read = position["open"], position["read"]
    dead = np.unique(dead[(dead >= begin) & (dead < read)])
    known = np.intersect1d(dead, there)
    least = np.count_nonzero(there < opened) - np.count_nonzero(known < opened)
    most = trimmed + np.count_nonzero(there < read) - len(dead) + position.get(MORE, 0)
    return PartitionCheck(
        name=name,
        rows=slots,
        records=counted,
        dead=len(dead),
        position=read,
        verified=int(np.count_nonzero(there < read)),
        missing_count=max(0, int(least) - counted),
        disorder_count=max(0, counted - int(most)),
    )


def _check_grid(asked: Offered, part: Part, dead: Offsets) -> PartitionCheck:
    position = part.snapshot.position
    assert isinstance(position, Mapping)
    begin = part.facts.start
    first, _ = asked.bounds(part.partition)
    there = np.concatenate([NONE, *asked.offsets(part.partition, begin, part.position)])
    trimmed = min(max(first - begin, 0), part.position - begin)
    if asked.compacts(part.partition.topic):
        trimmed = part.position - begin - int(np.count_nonzero(there < part.position))
    counted = int(part.snapshot[COUNT][:].sum(dtype=np.int64))
    if part.snapshot.first_row:  # nobody knows how many records were in the slots that were given up
        position = {**position, OPEN: begin}
    replays = Replays.of([part.snapshot])
    dead = np.concatenate([dead, replays.failed, replays.again])
    found = compare_counts(part.name, counted, part.snapshot.rows, there, dead, begin, position, trimmed)
    settled = len(replays.failed) + len(replays.again)
    return replace(found, dead=found.dead - settled, replayed=len(replays.failed))


def _check_windows(asked: Offered, part: Part, dead: Offsets, held: Held) -> PartitionCheck:
    snapshot, position = part.snapshot, part.snapshot.position
    assert isinstance(position, Mapping)
    first, _ = asked.bounds(part.partition)
    gone = first > part.facts.start or asked.compacts(part.partition.topic)
    there = np.concatenate([NONE, *asked.offsets(part.partition, part.facts.start, part.position)])
    return compare_windows(
        part.name,
        rows_counted(snapshot),
        held.rows,
        snapshot.rows - snapshot.first_row,
        windows_twice(snapshot, part.facts),
        position,
        int(np.count_nonzero((dead >= part.facts.start) & (dead < part.position))),
        None if gone else int(np.count_nonzero(there < part.position)),
        whole=not snapshot.first_row,
    )
