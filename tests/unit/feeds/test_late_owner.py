"""Who has lost a partition and has not heard of it opens nothing beside its stream: a successor has that."""

import json

import pytest

from streamzarr.feeds import Feed
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.replayed.stream import replayed_path
from streamzarr.feeds.rows import RowMaker
from streamzarr.flow import Message
from streamzarr.flow.ops.settle import DONE, Again
from streamzarr.queue import DeadLetterQueue, NewRecord, TopicPartition
from streamzarr.stores import MemoryStore
from streamzarr.stream import StreamWriter, open_stream
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

WHERE = TopicPartition("t", 0)
TABLES = {
    "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
    "decode": {"format": "json"},
    "columns": {"at": {"dtype": "datetime64[s]", "unit": "s"}, "x": "i8"},
    "target": {"url": "memory://", "layout": "grid", "chunk_rows": 4},
    "grid": {"time": "at", "step": "1s", "lateness": "2s", "values": {"x": "sum"}},
}
LOG = {**TABLES, "target": {"url": "memory://", "chunk_rows": 4}}
del LOG["grid"]
TIMES = [0, 50, 10, 60, 20, 70]
"""Seconds: of a grid the third record and the fifth are late."""


class Bench:
    def __init__(self, tables):
        self.runtime, self.store, self.feed = FakeClock(), MemoryStore(), Feed.of(tables)
        self.broker = FakeBroker(self.runtime)
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        in_value = {name: each for name, each in self.feed.columns.items() if not each.of_record}
        self.maker = RowMaker(self.feed.columns, open_decoder("json", in_value))
        self.broker.append("t", 0, *(json.dumps({"at": at, "x": 1}).encode() for at in TIMES))

    def life(self):
        letters = Letters(self.broker.producer(), self.feed.dead_topic, "w", self.runtime)
        made = FeedCommitter(self.feed, self.broker, self.store, letters)
        made.start([WHERE])
        return made

    def runs(self, start, most=100):
        with self.broker.reader("t", {0: start}) as reader:
            return [Message(run=run, data=self.maker(run)) for run in reader.poll_columns(most, 0)]

    def replay(self):
        queue = DeadLetterQueue(self.broker, "t.dead")
        queue.replay(queue.ls())

    def letters(self):
        return [letter.message for _, letter in DeadLetterQueue(self.broker, "t.dead").ls()]

    def replayed(self):
        return sorted(open_stream(self.store, replayed_path("p00000"))["origin_offset"][:].tolist())


def test_places_that_a_successor_has_reserved_stay_reserved():
    bench = Bench(TABLES)
    old = bench.life()
    new = bench.life()
    assert new.store(bench.runs(0)) == [DONE]
    new.commit({WHERE: len(TIMES)})
    assert isinstance(old.store(bench.runs(0, 3))[0], Again)  # the first late one, and not the second
    assert not old.owned
    bench.replay()
    assert new.store(bench.runs(len(TIMES))) == [DONE]
    new.commit({WHERE: len(TIMES) + 2})
    assert (bench.replayed(), bench.letters()) == ([2, 4], [])


def test_places_stay_reserved_by_whoever_is_fenced_while_the_old_owner_opens_them(monkeypatch):
    """The partition goes while the old owner is between its look and the stream beside."""
    bench = Bench(TABLES)
    old = bench.life()
    asked = StreamWriter.require_ours

    def after(writer):
        asked(writer)
        monkeypatch.setattr(StreamWriter, "require_ours", asked)
        new = bench.life()
        assert new.store(bench.runs(0)) == [DONE]
        new.commit({WHERE: len(TIMES)})

    monkeypatch.setattr(StreamWriter, "require_ours", after)
    assert isinstance(old.store(bench.runs(0, 3))[0], Again)
    assert not old.owned
    bench.replay()
    last = bench.life()
    assert last.store(bench.runs(len(TIMES))) == [DONE]
    last.commit({WHERE: len(TIMES) + 2})
    assert (bench.replayed(), bench.letters()) == ([2, 4], [])


@pytest.mark.parametrize("tables", [TABLES, LOG], ids=["grid", "log"])
def test_a_successor_goes_on_taking_replays(tables):
    bench = Bench(tables)
    with bench.broker.producer() as producer:
        producer.send("t", [NewRecord(b"bad")])
    first = bench.life()
    first.store(bench.runs(0))
    first.commit({WHERE: len(TIMES) + 1})
    old, new = bench.life(), bench.life()
    letters = DeadLetterQueue(bench.broker, "t.dead").ls()
    with bench.broker.producer() as producer:
        for _, letter in letters:
            record = letter.again(partition=0)
            producer.send("t", [NewRecord(b'{"at": 55, "x": 1}', headers=record.headers, partition=0)])
    coming = bench.runs(len(TIMES) + 1)
    assert new.store(coming) == [DONE]
    assert isinstance(old.store(coming)[0], Again)
    assert new.store(coming) == [DONE]
    new.commit({WHERE: len(TIMES) + 1 + len(letters)})
    assert new.owned
    assert bench.replayed() == [letter.offset for _, letter in letters]
