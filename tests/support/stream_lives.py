"""Processes that write, read and keep one stream, for tests that kill and stop them.

A module of its own: a fork server loads it once. Row n of every field is a function of n alone, so whoever
looks knows what it has to be; the field that is added later may be its fill value.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from streamzarr.errors import FencedError, KeyNotFoundError, NodeNotFoundError, StoreError
from streamzarr.stream import (
    Field,
    Rows,
    Snapshot,
    StreamWriter,
    acquire,
    compact,
    open_stream,
    repair,
    retain,
)
from tests.support.deadly import arm

SCHEMA = {
    "offset": Field("i8", chunk_rows=16, sorted=True),
    "value": Field("f8", chunk_rows=24),
    "frame": Field("u1", shape=(2, 3), chunk_rows=10, chunks=(2, 2), compressors=None),
}
ADDED, NEW = "added", Field("i4", chunk_rows=12, fill_value=-1)
KEPT = 60
"""Rows at the end that are never given up."""
FENCED = 3
"""Exit code of a writer that was fenced."""


def rows(start: int, stop: int) -> dict[str, np.ndarray]:
    """Return rows `start` to `stop` of every field."""
    offset = np.arange(start, stop)
    frame = (offset[:, None, None] + np.arange(6).reshape(2, 3)).astype("u1")
    return {"offset": offset, "value": offset / 3, "frame": frame, ADDED: offset.astype("i4")}


def wrong_in(found: Rows) -> list[str]:
    """Return the names of the fields of which these rows are wrong."""
    expected = rows(found.start, found.stop)
    if ADDED in found:
        fill = found[ADDED][:] == NEW.fill_value
        count = len(fill) if fill.all() else int(fill.argmin())
        expected[ADDED][:count] = NEW.fill_value
    return [name for name in found if not np.array_equal(found[name][:], expected[name])]


def wrong_in_group(group, length: int) -> list[str]:
    """Return the names of the fields that are wrong for a reader who knows no streams.

    What was given up, or is in a shard alone, is the fill value for him.
    """
    wrong = []
    for name, expected in rows(0, length).items():
        if name in SCHEMA:
            values = group[name][:]
            if not ((values == expected) | (values == 0)).all():
                wrong.append(name)
    return wrong


def with_keys(keys: dict[str, str], target: Callable[..., None], *args: object) -> None:
    """Call `target` with these variables of the environment, which the fork server may not have."""
    os.environ.update(keys)
    target(*args)


def write(
    url: str, seed: int, until: int | None, point: str, nth: int, pause: float, told: Connection
) -> None:
    """Append and commit until there are so many rows; tell the rows of each commit that has returned.

    With `point`, the process kills itself as it gets there for the `nth` time. `pause` seconds go by between
    two commits: upkeep of a long stream would take longer than a test should.
    """
    arm(point, nth)
    acquire._probed.add(url)
    chance = random.Random(seed)
    try:
        writer = take_over(url)
        told.send(writer.rows)
        if ADDED not in writer.fields and chance.random() < 0.5:
            writer.add_field(ADDED, NEW)
        while until is None or writer.rows < until:
            start = writer.rows
            assert (writer.position or 0) == start, f"{writer.position} goes with {start} rows"
            stop = start + chance.randint(1, 30)
            stop = stop if until is None else min(stop, until)
            values = rows(start, stop)
            writer.append({name: values[name] for name in writer.fields}, next_offset=stop)
            if chance.random() < 0.7:
                writer.commit()
                told.send(writer.rows)
                told.poll(pause)
        writer.close()
        told.send(writer.rows)
    except FencedError:
        os._exit(FENCED)


def take_over(url: str) -> StreamWriter:
    """Take the stream over, or make it."""
    try:
        return StreamWriter(url, source="rows")
    except NodeNotFoundError:
        return StreamWriter(url, schema=SCHEMA, source="rows")


def keep(url: str, seed: int, told: Connection) -> None:
    """Give rows up, gather chunks and repair, again and again; tell what was wrong that does harm."""
    acquire._probed.add(url)
    chance = random.Random(seed)
    while True:
        try:
            compact(url, chunks=3, delete=chance.random() < 0.5)
            if chance.random() < 0.5:
                retain(url, rows=KEPT + chance.randint(0, 100))
            found = repair(url)
            told.send([str(each) for each in found.findings if not each.kind.harmless])
        except (NodeNotFoundError, StoreError):
            continue


def read(url: str, finish: Connection) -> None:
    """Read with zarr-python and with ours until told to finish; tell how often, and what was wrong."""
    import zarr

    from streamzarr.interop import ZarrStore

    count, seen, wrong = 0, 0, list[str]()
    while not finish.poll():
        try:
            child = zarr.open_array(ZarrStore(url, read_only=True), path="offset", mode="r").shape[0]
            group = zarr.open_group(ZarrStore(url, read_only=True), mode="r")
            lengths = {name: group[name].shape[0] for name in SCHEMA}
            length = lengths["offset"]
            found = wrong_in_group(group, length)
            snapshot = open_stream(url)
            found += _wrong_unless_given_up(snapshot)
        except (FileNotFoundError, StoreError) as error:
            if seen:
                wrong.append(repr(error))
            continue
        wrong += [f"{name} is not what was written" for name in found]
        if {*lengths.values()} != {length} or not seen <= length <= snapshot.rows or child > length:
            wrong.append(f"{seen} rows, then {lengths}, by itself {child}, and {snapshot.rows}")
        count, seen = count + 1, length
    finish.send((count, wrong[:10]))


def _wrong_unless_given_up(snapshot: Snapshot) -> list[str]:
    try:
        return wrong_in(snapshot)
    except KeyNotFoundError:
        if snapshot.refresh().first_row > snapshot.first_row:
            return []
        raise
