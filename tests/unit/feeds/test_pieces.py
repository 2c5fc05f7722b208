"""Messages that become far more rows than their bytes tell: they are decoded some at a time."""

import gzip
import json

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from streamzarr.errors import MessageError, SchemaRegistryError, StoreError
from streamzarr.feeds import Feed
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.decode import base, compression, objects, open_decoder
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.partition import PartitionStream
from streamzarr.feeds.rows import Pieces, RowMaker, Undecoded
from streamzarr.flow import Message, Pause
from streamzarr.flow.ops.settle import DONE
from streamzarr.queue import TopicPartition
from streamzarr.stores import MemoryStore
from streamzarr.stream import open_stream
from streamzarr.testing.broker_fake import FakeBroker

WHERE = TopicPartition("t", 0)
RECORDS = 100
BYTES = RECORDS * (1 + 8)
"""Of one message's columns, and more."""


def packed(values):
    return values.astype("u1").tobytes()


def listed(values):
    return msgspec.msgpack.encode([{"n": int(value)} for value in values])


def zipped(values):
    return gzip.compress(json.dumps([{"n": int(value)} for value in values]).encode())


def lines(values):
    return b"\n".join(b"%d" % value for value in values)


def plain(values):
    return json.dumps([{"n": int(value)} for value in values]).encode()


def table(values):
    batch = pa.record_batch({"n": values})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


FORMATS = {
    "csv": (lines, {"format": "csv"}),
    "json": (plain, {"format": "json", "records": "."}),
    "arrow": (table, {"format": "arrow"}),
    "struct": (packed, {"format": "struct", "dtype": [["n", "u1"]]}),
    "msgpack": (listed, {"format": "msgpack", "records": "."}),
    "gzip": (zipped, {"format": "json", "compression": "gzip", "records": "."}),
}


class Bench:
    def __init__(self, format_, *, bad=(), messages=40):
        encode, decode = FORMATS[format_]
        self.feed = Feed.of(
            {
                "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
                "decode": decode,
                "columns": {"n": "i8"},
                "target": {"url": "memory://"},
            }
        )
        self.values = (np.arange(messages * RECORDS) % 200).reshape(messages, RECORDS)
        self.broker, self.store = FakeBroker(), MemoryStore()
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        each = [b"" if at in bad else encode(values) for at, values in enumerate(self.values)]
        self.broker.append("t", 0, *each)
        options = {name: value for name, value in self.feed.decode.items() if name != "format"}
        in_value = {"n": self.feed.columns["n"]}
        self.maker = RowMaker(self.feed.columns, open_decoder(decode["format"], in_value, **options))
        letters = Letters(self.broker.producer(), self.feed.dead_topic, "w", self.broker.runtime)
        self.committer = FeedCommitter(self.feed, self.broker, self.store, letters)
        self.committer.start([WHERE])
        with self.broker.reader("t", {0: 0}) as reader:
            [self.run] = reader.poll_columns(1000, 0)

    def take(self):
        return self.committer.store([Message(run=self.run, data=self.maker(self.run))])

    def rows(self):
        self.committer.commit({WHERE: len(self.run)})
        return open_stream(self.store, "p00000")


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(base, "MOST_BYTES", 10 * BYTES)
    monkeypatch.setattr(compression, "AT_ONCE", 1000)
    monkeypatch.setattr(objects, "AT_ONCE", 2)


@pytest.fixture
def taken(monkeypatch):
    """Bytes of rows that are taken at a time."""
    sizes, take = [], PartitionStream.take

    def counting(self, rows):
        sizes.append(rows.nbytes)
        take(self, rows)

    monkeypatch.setattr(PartitionStream, "take", counting)
    return sizes


@pytest.mark.parametrize("format_", FORMATS)
def test_a_run_that_becomes_too_much_is_taken_in_pieces(format_, taken):
    bench = Bench(format_, bad=(0, 17, 39))
    assert isinstance(bench.maker(bench.run), Pieces)
    assert bench.take() == [DONE]
    rows, good = bench.rows(), [at for at in range(40) if at not in (0, 17, 39)]
    assert rows["n"][:].tolist() == bench.values[good].ravel().tolist()
    assert rows["offset"][:].tolist() == np.repeat(good, RECORDS).tolist()
    assert bench.broker.describe("t.dead").end[0] == 3
    assert len(taken) >= 4
    assert max(taken) <= 2 * 10 * BYTES  # the offsets are beside


@pytest.mark.parametrize("format_", FORMATS)
def test_one_message_is_never_too_much(format_, monkeypatch):
    monkeypatch.setattr(base, "MOST_BYTES", 1)
    bench = Bench(format_, messages=3)
    assert bench.take() == [DONE]
    assert bench.rows()["n"][:].tolist() == bench.values.ravel().tolist()


def test_a_store_that_fails_between_pieces_has_each_row_once(monkeypatch):
    bench, take, calls = Bench("struct"), PartitionStream.take, []

    def failing(self, rows):
        calls.append(rows)
        if len(calls) in (2, 4):
            raise StoreError("away")
        take(self, rows)

    monkeypatch.setattr(PartitionStream, "take", failing)
    for _ in range(2):
        with pytest.raises(StoreError):
            bench.take()
    assert bench.take() == [DONE]
    assert bench.rows()["n"][:].tolist() == bench.values.ravel().tolist()
    assert bench.committer.tally.records == len(bench.run)


@pytest.mark.parametrize(
    ("error", "letters"), [(MessageError("odd"), 1), (SchemaRegistryError("away"), 0)], ids=str
)
def test_what_a_decoder_raises_in_a_piece_is_what_it_is_in_a_whole_run(error, letters):
    bench = Bench("struct")
    decode, failing = bench.maker._decoder, [True]

    def raising(values):
        found = decode(values)
        if failing and odd in values:
            raise error
        return found

    odd = packed(bench.values[25]) + b"\xff"  # no other has it
    bench.run.values[25] = odd
    bench.maker._decoder = raising
    if letters:
        assert bench.take() == [DONE]
        assert bench.rows().rows == 39 * RECORDS
    else:
        assert bench.take() == [Pause("away")]
        failing.clear()
        assert bench.take() == [DONE]
        assert bench.rows().rows == 40 * RECORDS + 1
    assert bench.broker.describe("t.dead").end[0] == letters
    assert not isinstance(bench.maker(bench.run), Undecoded)
