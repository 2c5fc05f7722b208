"""A gap in a grid: its slots are made some at a time, and each record is in one, whatever fails."""

import json

import numpy as np
import pytest

from streamzarr.errors import ConfigError, StoreError
from streamzarr.feeds import Feed
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.grid import fold
from streamzarr.feeds.grid.keys import Keys
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.rows import RowMaker
from streamzarr.flow import Message
from streamzarr.flow.ops.settle import DONE
from streamzarr.queue import TopicPartition
from streamzarr.stores import MemoryStore
from streamzarr.stream import StreamWriter, open_stream
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

WHERE = TopicPartition("t", 0)
TABLES = {
    "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
    "decode": {"format": "json"},
    "columns": {"at": {"dtype": "datetime64[s]", "unit": "s"}, "x": "i8"},
    "target": {"url": "memory://", "layout": "grid", "chunk_rows": 4, "commit": {"rows": 6}},
    "grid": {"time": "at", "step": "1s", "lateness": "2s", "values": {"x": "sum"}},
}
TIMES = [0, 1, 1, 60, 59, 58, 100, 99]
"""Seconds; of the last, slots from 98 on are open."""


class Flaky(MemoryStore):
    """Puts of chunks fail, from the one on whose turn it is."""

    def __init__(self):
        super().__init__()
        self.left = 10**9

    def put(self, key, data, **condition):
        if "/c/" in key:
            self.left -= 1
            if self.left < 0:
                raise StoreError("away")
        return super().put(key, data, **condition)


class Bench:
    def __init__(self):
        self.runtime, self.store, self.feed = FakeClock(), Flaky(), Feed.of(TABLES)
        self.broker = FakeBroker(self.runtime)
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        self.maker = RowMaker(self.feed.columns, open_decoder("json", self.feed.columns))
        self.broker.append("t", 0, *(json.dumps({"at": at, "x": 1 + at}).encode() for at in TIMES))

    def committer(self):
        letters = Letters(self.broker.producer(), self.feed.dead_topic, "w", self.runtime)
        return FeedCommitter(self.feed, self.broker, self.store, letters)

    def rest(self, start):
        with self.broker.reader("t", {0: start}) as reader:
            [run] = reader.poll_columns(100, 0)
        return [Message(run=run, data=self.maker(run))]

    def check(self):
        snapshot = open_stream(self.store, "p00000")
        slots = np.arange(98)
        assert snapshot["time"][:].astype("M8[s]").astype(int).tolist() == slots.tolist()
        counts = np.bincount(TIMES)[:98]
        assert snapshot["count"][:, 0].tolist() == counts.tolist()
        assert snapshot["x"][:, 0].tolist() == (counts * (1 + slots)).tolist()
        assert snapshot.position["read"] == len(TIMES)
        assert self.broker.describe("t.dead").end[0] == 0


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(fold, "BLOCK_CELLS", 8)
    return Bench()


def test_slots_of_a_gap_are_in_memory_a_block_at_a_time(bench, monkeypatch):
    events, made, append = [], fold.GridFold.take, StreamWriter.append

    def making(self, rows, judgement):
        for slots in made(self, rows, judgement):
            events.append("made")
            yield slots

    def appending(self, batch, **more):
        if len(batch["time"]):
            events.append("appended")
        append(self, batch, **more)

    monkeypatch.setattr(fold.GridFold, "take", making)
    monkeypatch.setattr(StreamWriter, "append", appending)
    committer = bench.committer()
    committer.start([WHERE])
    assert committer.store(bench.rest(0)) == [DONE]
    committer.commit({WHERE: len(TIMES)})
    assert len(events) > 20
    assert events == ["made", "appended"] * (len(events) // 2)
    bench.check()


@pytest.mark.parametrize("puts", range(0, 80, 7))
def test_a_store_that_fails_within_a_gap(bench, puts):
    committer = bench.committer()
    committer.start([WHERE])
    rest = bench.rest(0)
    bench.store.left = puts
    while True:
        try:
            assert committer.store(rest) == [DONE]
            break
        except StoreError:
            bench.store.left = puts + 20
    bench.store.left = 10**9
    committer.commit({WHERE: len(TIMES)})
    bench.check()


@pytest.mark.parametrize("puts", range(1, 80, 7))
def test_a_kill_within_a_gap(bench, puts):
    committer = bench.committer()
    committer.start([WHERE])
    bench.store.left = puts
    with pytest.raises(StoreError, match="away"):
        committer.store(bench.rest(0))
    bench.store.left = 10**9
    again = bench.committer()
    start = again.start([WHERE])[WHERE]
    again.store(bench.rest(start))
    again.commit({WHERE: len(TIMES)})
    bench.check()


@pytest.mark.parametrize("commit", [{"rows": 6}, {"bytes": 6 * (8 + 4 + 8)}], ids=str)
@pytest.mark.parametrize("layout", ["grid", "bars"])
def test_closed_slots_are_committed_by_rows_and_by_bytes(monkeypatch, commit, layout):
    target = {**TABLES["target"], "layout": layout, "commit": commit}
    monkeypatch.setitem(TABLES, "target", target)
    monkeypatch.setattr(fold, "BLOCK_CELLS", 6)
    bench, seen = Bench(), []
    commits = StreamWriter.commit

    def committing(self):
        seen.append(self.rows - self.record.rows)
        commits(self)

    committer = bench.committer()
    committer.start([WHERE])
    monkeypatch.setattr(StreamWriter, "commit", committing)
    bench.broker.append("t", 0, *(json.dumps({"at": 1000 + at, "x": 1}).encode() for at in range(60)))
    assert committer.store(bench.rest(len(TIMES))) == [DONE]
    assert seen[1:7] == [7] * 6  # six, and the one that a block closes beside


def test_zeros_of_both_signs_are_one_key():
    keys = Keys(MemoryStore(), "p00000", 4, (), FakeClock())
    assert keys.places(np.array([0.0, -0.0, 1.5, -0.0], "f4")).tolist() == [0, 0, 1, 0]
    assert keys.names == ["0.0", "1.5"]


def test_a_grid_that_had_no_keys_gets_none(bench):
    bench.committer().start([WHERE])
    columns = {**TABLES["columns"], "k": "string"}
    bench.feed = Feed.of({**TABLES, "columns": columns, "grid": {**TABLES["grid"], "key": "k", "keys": 1}})
    with pytest.raises(ConfigError, match="has no keys, and the configuration some; give another target"):
        bench.committer().start([WHERE])
