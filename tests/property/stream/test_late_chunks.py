"""Snapshots beside a writer, upkeep, puts that replaced writers make late, and a store that fails at times.

Row n of the stream is n. Whatever happens between any two calls of the store, a reader gets the rows, or the
error of the store, or is told that rows were given up, and only if they were.
"""

import contextlib
import random

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field, compact, retain
from streamzarr.testing import WrappedStore

ROWS, CHUNK, STEPS, LOST = 90, 4, 40, -666


class PlannedError(StoreError):
    """A failure of the store that was planned."""


class World(WrappedStore):
    """What a reader sees of a store: at some calls it fails, and at some others have just done something."""

    def __init__(self, seed):
        super().__init__(MemoryStore())
        self.chance, self.is_calm = random.Random(seed), True
        schema = {"x": Field("i8", chunk_rows=CHUNK, compressors="zstd", fill_value=-1)}
        self.writer = sz.StreamWriter(self.inner, schema=schema)
        self.append(ROWS)
        others = sz.create_array(MemoryStore(), data=np.full(CHUNK, LOST), chunks=CHUNK, compressors="zstd")
        self.late = others.store.get("c/0")

    def around(self, call, action):
        if self.is_calm:
            return action()
        kind = self.chance.random()
        if kind < 0.03:
            raise PlannedError("before")
        if kind < 0.12:
            self.is_calm = True
            self.others_act()
            self.is_calm = False
        found = action()
        if kind > 0.98:
            raise PlannedError("behind")
        return found

    def others_act(self):
        kind = self.chance.random()
        if kind < 0.35:
            compact(self.inner, chunks=2, delete=self.chance.random() < 0.7)
        elif kind < 0.5:
            retain(self.inner, rows=self.chance.randrange(5, 60))
        elif kind < 0.8:
            for number in self.chance.sample(range(25), 12):
                with contextlib.suppress(PreconditionFailedError):  # where the chunk is there
                    self.inner.put(f"x/c/{number}", self.late, if_none_match=True)
        else:
            self.append(self.chance.randrange(1, 9))

    def append(self, count):
        rows = self.writer.rows
        self.writer.append({"x": np.arange(rows, rows + count)})
        self.writer.commit()

    def selection(self, length):
        start = self.chance.randrange(length)
        stop = self.chance.randrange(start, length) + 1
        backwards = slice(stop - 1, start - 1 if start else None, -1)
        return self.chance.choice([slice(start, stop), backwards, [start, stop - 1], start, slice(None)])


def read(world, snapshot):
    field = snapshot["x"]
    rows = np.arange(field.start, field.stop)
    if not len(rows):
        return
    selection = world.selection(len(rows))
    try:
        np.testing.assert_array_equal(field[selection], rows[selection])
    except KeyNotFoundError:
        world.is_calm = True
        assert np.min(rows[selection]) < sz.open_stream(world).first_row
        world.is_calm = False


@pytest.mark.parametrize("seed", range(150))
def test_a_reader_gets_the_rows_or_is_told_why_not(seed):
    world = World(seed)
    cache = world.chance.choice([None, sz.ChunkCache(200), sz.ChunkCache(1 << 20)])
    snapshots = [sz.open_stream(world, cache=cache)]
    world.is_calm = False
    for _ in range(STEPS):
        snapshot = world.chance.choice(snapshots)
        try:
            if world.chance.random() < 0.1:
                snapshots.append(snapshot.refresh())
            elif world.chance.random() < 0.1:
                snapshots.append(sz.open_stream(world, cache=cache))
            else:
                read(world, snapshot)
        except PlannedError:
            continue
