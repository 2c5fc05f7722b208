"""Times that are far ahead of the clock: bad, whatever comes first, and however often they are read."""

import json

import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds import ColumnSpec, Feed
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.rows import RowMaker
from streamzarr.flow import Message
from streamzarr.flow.ops.settle import DONE
from streamzarr.queue import DeadLetter, NewRecord, TopicPartition
from streamzarr.queue.scan import scan
from streamzarr.stores import MemoryStore
from streamzarr.stream import open_stream
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

WHERE = TopicPartition("t", 0)
SOURCE = {"broker": "sqlite:///q.db", "topics": ["t"]}


class Wall(FakeClock):
    """A time of day that is set."""

    def __init__(self):
        super().__init__()
        self.wall = 1000

    def wall_ns(self):
        return self.wall * 10**9


class Bench:
    def __init__(self, layout, column, **tables):
        self.runtime, self.store = Wall(), MemoryStore()
        self.feed = Feed.of(
            {
                "source": SOURCE,
                "decode": {"format": "json"},
                "columns": {"at": {"dtype": "datetime64[s]", "unit": "s", **column}},
                "target": {"url": "memory://", "layout": layout},
                **tables,
            }
        )
        self.broker = FakeBroker(self.runtime)
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        in_value = {name: each for name, each in self.feed.columns.items() if not each.of_record}
        self.maker = RowMaker(self.feed.columns, open_decoder("json", in_value))
        self.count = 0
        self.timestamp: int | None = None
        self.begin()

    def begin(self):
        """Begin a life, which reads again what it must."""
        letters = Letters(self.broker.producer(), self.feed.dead_topic, "w", self.runtime)
        self.committer = FeedCommitter(self.feed, self.broker, self.store, letters)
        start = self.committer.start([WHERE])[WHERE]
        if start < self.count:
            self.take(start)

    def send(self, *times):
        values = [json.dumps({"at": at}).encode() for at in times]
        with self.broker.producer() as producer:
            producer.send("t", [NewRecord(each, partition=0, timestamp=self.timestamp) for each in values])
        start, self.count = self.count, self.count + len(times)
        self.take(start)

    def take(self, start):
        with self.broker.reader("t", {0: start}) as reader:
            runs = reader.poll_columns(100, 0)
        for run in runs:
            assert self.committer.store([Message(run=run, data=self.maker(run))]) == [DONE]
        self.committer.commit({WHERE: self.count})

    @property
    def reasons(self):
        return [DeadLetter.from_record(each).message for each in scan(self.broker, "t.dead")]

    def rows(self, name):
        return open_stream(self.store, "p00000")[name][:]


@pytest.mark.parametrize("layout", ["grid", "bars"])
def test_a_first_record_of_the_far_future_is_the_only_bad_one(layout):
    bench = Bench(layout, {}, grid={"time": "at", "step": "1s"})
    bench.send(4 * 10**9, 998, 999)
    bench.send(1000)
    assert len(bench.reasons) == 1, bench.reasons
    assert bench.rows("time").astype("M8[s]").astype(int).tolist() == [998, 999]


@pytest.mark.parametrize("seconds", [2 * 10**10, -2 * 10**10, 4 * 10**11, 2**62])
@pytest.mark.parametrize("layout", ["grid", "bars", "windows"])
def test_a_time_that_is_no_number_of_nanoseconds_is_not_taken_for_another(layout, seconds):
    window = {"time": "at", "kind": "fixed", "size": "1s"}
    tables = {"window": window} if layout == "windows" else {"grid": {"time": "at", "step": "1s"}}
    bench = Bench(layout, {}, **tables)
    bench.send(997, seconds, 998, 999)
    assert bench.reasons == ["at is not between 1824 and 2116, as times of slots and windows are"]
    times = bench.rows("begin" if layout == "windows" else "time")
    assert times.astype("M8[s]").astype(int).tolist() == [997, 998]


@pytest.mark.parametrize("layout", ["grid", "bars"])
def test_what_comes_after_a_long_silence_is_good_if_it_is_about_as_old_as_its_record(layout):
    bench = Bench(layout, {}, grid={"time": "at", "step": "100s", "ahead": "1h"})
    bench.send(1000, 1100)
    bench.runtime.wall = 100_000
    bench.send(99_900)  # its record says that it is of 1970, as one that is sent again may
    assert bench.reasons == ["at is more than 3,600 s ahead of all before"]
    bench.timestamp = 100_000_000
    bench.send(99_900, 50_000, 99_950, 100_000)
    bench.begin()
    assert bench.reasons[1:] == ["at is late by more than 0 s"]
    times = bench.rows("time").astype("M8[s]").astype(int)
    counts = bench.rows("count").reshape(len(times), -1)[:, 0]
    assert times[counts > 0].tolist() == [1000, 1100, 99_900]
    assert counts[counts > 0].tolist() == [1, 1, 2]


@pytest.mark.parametrize("layout", ["grid", "bars"])
def test_what_was_refused_by_the_clock_stays_so_when_it_is_read_again_later(layout):
    grid = {"time": "at", "step": "100s", "ahead": "1h", "lateness": "1h"}
    bench = Bench(layout, {}, grid=grid)
    bench.send(4500, 8100, 12_000)  # the clock allows 8300
    assert len(bench.reasons) == 1, bench.reasons
    bench.runtime.wall = 5000
    bench.begin()
    bench.send(11_600, 12_100, 11_999)  # 12,300; but the place of what was refused is read again
    assert len(bench.reasons) == 2, bench.reasons
    for wall in (100, 9000):
        bench.runtime.wall = wall
        bench.begin()
    assert len(bench.reasons) == 2, bench.reasons
    bench.runtime.wall = 15_000
    bench.send(15_300, 15_500, 20_000)
    assert bench.reasons[2:] == ["at is more than 3,600 s ahead of all before"]
    bench.send(19_100)
    times = bench.rows("time").astype("M8[s]").astype(int)
    counts = dict(
        zip(times.tolist(), bench.rows("count").reshape(len(times), -1)[:, 0].tolist(), strict=True)
    )
    assert {at: count for at, count in counts.items() if count} == {
        4500: 1,
        8100: 1,
        11_600: 1,
        11_900: 1,
        15_300: 1,
    }


def test_a_sorted_time_of_the_far_future_is_bad_and_those_behind_it_are_good():
    bench = Bench("log", {"sorted": True})
    bench.send(4 * 10**9, 998)
    bench.send(10**9, 999, 3 * 10**6)
    assert len(bench.reasons) == 3, bench.reasons
    assert "at is more than 2,592,000 s ahead of the clock" in bench.reasons[0]
    assert bench.rows("at").astype(int).tolist() == [998, 999]


def test_how_far_ahead_a_sorted_time_may_be_is_said_in_the_column():
    bench = Bench("log", {"sorted": True, "ahead": "40000d"})
    bench.send(998, 3 * 10**9)
    assert bench.reasons == []
    assert Feed.of(bench.feed.to_builtins()).columns["at"].ahead == "40000d"
    for mistake in ({"ahead": "1h"}, {"ahead": "soon", "sorted": True}):
        with pytest.raises(ConfigError, match="ahead"):
            ColumnSpec("at", "M8[s]", **mistake)
    with pytest.raises(ConfigError, match="ahead"):
        ColumnSpec("n", "i8", sorted=True, ahead="1h")


@pytest.mark.parametrize("unit", ["ns", "ms", "h", "D"])
def test_the_bound_holds_in_every_unit(unit):
    bench = Bench("log", {"dtype": f"datetime64[{unit}]", "sorted": True, "unit": "s"})
    bench.send(10**9, 900)
    assert len(bench.reasons) == 1, bench.reasons
