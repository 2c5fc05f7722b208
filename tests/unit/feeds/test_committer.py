"""Who owns a stream: the group says one thing, the store another, and nothing is taken twice."""

import logging

import pytest

from streamzarr.errors import FencedError, QueueError, StoreError, StreamGoneError
from streamzarr.feeds.committer import FENCED_SESSIONS
from streamzarr.feeds.meter import EVERY, Meter
from streamzarr.feeds.rows import Undecoded
from streamzarr.feeds.takeover import take_over
from streamzarr.flow import Message, Pause
from streamzarr.flow.ops.settle import DONE, Again
from streamzarr.stores import MemoryStore
from streamzarr.stream import StreamWriter, open_stream
from tests.support.routes import WHERE, CommitterBench, feed


class Flaky(MemoryStore):
    """Puts fail while there are `errors`."""

    def __init__(self):
        super().__init__()
        self.errors = []

    def put(self, key, data, **condition):
        if self.errors and "/c/" in key:
            raise self.errors.pop()
        return super().put(key, data, **condition)


class Bench(CommitterBench):
    def __init__(self):
        super().__init__(Flaky())
        self.feed = feed({"x": "i8"})
        self.committer = self.new()

    def new(self):
        return self.committer_of(self.feed)

    def send(self, *values):
        self.broker.append("t", 0, *values)

    @property
    def rows(self):
        return open_stream(self.store, "p00000").rows


@pytest.fixture
def bench():
    return Bench()


def test_rows_and_position_become_visible_together(bench):
    bench.send(*[b'{"x": 1}'] * 5)
    assert bench.committer.start([WHERE]) == {WHERE: 0}
    assert bench.committer.store(bench.runs(0, 5)) == [DONE]
    assert bench.rows == 0
    bench.committer.commit({WHERE: 5})
    assert (bench.rows, open_stream(bench.store, "p00000").position) == (5, 5)
    assert bench.new().start([WHERE]) == {WHERE: 5}


def test_a_run_that_is_given_again_is_taken_once(bench):
    bench.send(*[b'{"x": 1}'] * 5, b"bad")
    bench.committer.start([WHERE])
    bench.store.errors = [StoreError("away")]
    with pytest.raises(StoreError):
        bench.committer.store(bench.runs(0, 6))
    assert bench.committer.store(bench.runs(0, 6)) == [DONE]
    assert bench.committer.store(bench.runs(0, 6)) == [DONE]
    bench.committer.commit({WHERE: 6})
    assert bench.rows == 5


def test_offsets_behind_the_last_run_without_a_record(bench):
    bench.send(*[b'{"x": 1}'] * 3)
    bench.committer.start([WHERE])
    bench.committer.store(bench.runs(0, 3))
    bench.committer.commit({WHERE: 7})
    assert bench.rows == 3
    assert open_stream(bench.store, "p00000").position == 7


def test_no_position_passes_a_run_that_was_handed_back(bench):
    bench.send(*[b'{"x": 1}'] * 6)
    bench.committer.start([WHERE])
    first, second, third = (*bench.runs(0, 2), *bench.runs(2, 4), *bench.runs(4, 6))
    waits = Message(run=second.run, data=Undecoded(second.run, "the registry is away"))
    pause = Pause("the registry is away")
    assert bench.committer.store([first, waits, third]) == [DONE, pause, pause]
    assert bench.committer.store([third]) == [pause], "it was on its way before the pause began"
    bench.committer.commit({WHERE: 2})
    bench.committer.ended([WHERE])
    assert bench.committer.start([WHERE]) == {WHERE: 2}
    assert bench.committer.store([second, third]) == [DONE, DONE]
    bench.committer.commit({WHERE: 6})
    assert open_stream(bench.store, "p00000")["offset"][:].tolist() == [*range(6)]


def test_no_position_passes_a_bad_record_whose_letter_is_not_written(bench):
    bench.send(b'{"x": 1}', b"bad")
    bench.committer.start([WHERE])
    bench.broker.fail("flush", QueueError("away"))
    with pytest.raises(QueueError):
        bench.committer.store(bench.runs(0, 2))
    bench.committer.commit({WHERE: 0})
    assert bench.new().start([WHERE]) == {WHERE: 0}


def test_a_partition_that_was_taken_over_is_handed_back(bench, caplog):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    bench.committer.store(bench.runs(0, 3))
    other = bench.new()
    assert other.start([WHERE]) == {WHERE: 0}
    with caplog.at_level(logging.WARNING):
        bench.committer.commit({WHERE: 3})  # no error: the group will say whose it is
    assert "the group says whose it is" in caplog.text
    assert bench.rows == 0
    [report] = bench.committer.store(bench.runs(3, 8))
    assert isinstance(report, Again)
    bench.committer.commit({WHERE: 8})
    assert bench.rows == 0
    bench.committer.ended([WHERE])
    other.store(bench.runs(0, 8))
    other.commit({WHERE: 8})
    assert bench.rows == 8
    assert bench.committer.start([WHERE]) == {WHERE: 8}  # and it may come back


def taken_back(bench):
    """Have the stream taken over once, which is not the end."""
    StreamWriter(bench.store, "p00000")
    bench.committer.commit({WHERE: 1})
    bench.runtime.advance(6)
    assert bench.committer.take_back() == [WHERE]
    assert bench.committer.start([WHERE]) == {WHERE: 0}


def test_somebody_outside_of_the_group_breaks_the_chain(bench):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    StreamWriter(bench.store, "p00000")
    bench.committer.commit({WHERE: 1})
    assert isinstance(bench.committer.store(bench.runs(0, 8))[0], Again)
    bench.runtime.advance(FENCED_SESSIONS * 5 - 1)
    assert isinstance(bench.committer.store(bench.runs(0, 8))[0], Again)
    bench.runtime.advance(2)
    with pytest.raises(FencedError, match="outside of the group"):
        bench.committer.store(bench.runs(0, 8))


def test_somebody_outside_of_the_group_breaks_the_chain_though_nothing_more_comes(bench):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    taken_back(bench)
    assert bench.committer.store(bench.runs(0, 8)) == [DONE]
    StreamWriter(bench.store, "p00000")
    bench.committer.commit({WHERE: 8})
    bench.runtime.advance(FENCED_SESSIONS * 5 - 1)
    bench.committer.turn()
    bench.runtime.advance(2)
    with pytest.raises(FencedError, match="outside of the group"):
        bench.committer.turn()


def test_a_partition_that_the_group_leaves_with_us_is_taken_back_after_a_session_and_once(bench):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    for back, waits in ((True, 0), (False, 0), (True, 7 * FENCED_SESSIONS * 5)):
        bench.runtime.advance(waits)
        bench.committer.store(bench.runs(0, 8))
        StreamWriter(bench.store, "p00000")
        bench.committer.commit({WHERE: 8})
        bench.runtime.advance(4)
        assert bench.committer.take_back() == []
        bench.runtime.advance(2)
        assert bench.committer.take_back() == [WHERE] * back
        assert bench.committer.take_back() == []
        assert bench.rows == 0
        assert bench.committer.start([WHERE]) == {WHERE: 0}
    bench.committer.store(bench.runs(0, 8))
    bench.committer.commit({WHERE: 8})
    assert bench.rows == 8


def test_a_partition_is_taken_back_though_others_took_longer_than_there_is_patience(bench):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    StreamWriter(bench.store, "p00000")
    bench.committer.commit({WHERE: 1})
    bench.runtime.advance(10 * FENCED_SESSIONS * 5)  # the others' streams are begun with, or committed
    bench.committer.turn()
    assert bench.committer.take_back() == [WHERE]
    assert bench.committer.start([WHERE]) == {WHERE: 0}
    assert bench.committer.store(bench.runs(0, 8)) == [DONE]


def test_a_stream_that_was_removed_is_not_made_again(bench):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    bench.committer.store(bench.runs(0, 8))
    for key in list(bench.store.list()):
        bench.store.delete(key)
    bench.committer.commit({WHERE: 8})
    bench.runtime.advance(2 * FENCED_SESSIONS * 5)
    assert bench.committer.take_back() == []
    with pytest.raises(FencedError, match="the stream is gone"):
        bench.committer.turn()


def test_a_stream_that_was_removed_ends_the_chain_at_once_and_says_why(bench, caplog):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    bench.committer.store(bench.runs(0, 8))
    bench.store.delete_prefix("")
    bench.committer.commit({WHERE: 8})
    with pytest.raises(StreamGoneError) as caught:
        bench.committer.turn()
    assert "p00000: the stream is gone: it was removed" in str(caught.value)
    assert "started anew, the feed begins at the beginning" in str(caught.value)
    assert "another writer" not in str(caught.value)
    assert "the group says" not in caplog.text
    bench.committer.commit({WHERE: 8})  # as the chain does at its end: nothing more is said


def test_what_the_group_has_taken_from_us_is_not_taken_back(bench):
    bench.send(*[b'{"x": 1}'] * 8)
    bench.committer.start([WHERE])
    StreamWriter(bench.store, "p00000")
    bench.committer.commit({WHERE: 1})
    bench.committer.ended([WHERE])
    bench.runtime.advance(100)
    assert bench.committer.take_back() == []
    bench.committer.turn()


def test_a_partition_that_is_taken_over_while_it_begins_is_handed_back(bench, monkeypatch):
    bench.send(*[b'{"x": 1}'] * 8)
    other = bench.new()

    def both(*arguments):
        found = take_over(*arguments)
        StreamWriter(bench.store, "p00000")  # another one, before our first commit
        found.commit(1)
        return found

    monkeypatch.setattr("streamzarr.feeds.committer.take_over", both)
    assert bench.committer.start([WHERE]) == {}
    assert isinstance(bench.committer.store(bench.runs(0, 8))[0], Again)
    bench.committer.ended([WHERE])
    monkeypatch.setattr("streamzarr.feeds.committer.take_over", take_over)
    assert other.start([WHERE]) == {WHERE: 0}


def test_what_is_not_committed_is_given_up_with_the_partition(bench):
    bench.send(*[b'{"x": 1}'] * 3)
    bench.committer.start([WHERE])
    bench.committer.store(bench.runs(0, 3))
    bench.committer.ended([WHERE])
    assert (bench.rows, bench.committer.owned) == (0, {})


def test_the_group_is_told_now_and_then(bench):
    bench.send(*[b'{"x": 1}'] * 3)
    with bench.broker.consumer(["t"], bench.feed.group) as consumer:
        consumer.poll(0, 0)
        bench.committer.joined(consumer)
        bench.committer.start([WHERE])
        for position in (1, 2, 3):
            bench.committer.commit({WHERE: position})
        assert bench.broker.committed(bench.feed.group, "t") == {0: 1}
        bench.runtime.advance(10)
        bench.committer.turn()  # though nothing more comes
        assert bench.broker.committed(bench.feed.group, "t") == {0: 3}
        bench.runtime.advance(10)
        bench.broker.fail("commit", FencedError("not ours"))
        bench.committer.commit({WHERE: 3})  # a gauge: nothing depends on it


def test_a_worker_says_how_it_does_and_that_it_falls_behind(bench, caplog):
    bench.committer.start([WHERE])
    meter = Meter("feed-0", bench.committer, bench.broker)
    with caplog.at_level(logging.INFO, "streamzarr.feeds.meter"):
        for reading in range(6):
            bench.send(*[b'{"x": 1}'] * (10 * (reading + 1)))
            bench.committer.store(bench.runs(reading, reading + 1))
            bench.committer.commit({WHERE: reading + 1})
            bench.runtime.advance(EVERY)
            meter.turn()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert said[0].startswith(
        "feed-0: 0 records/s, 0 rows/s, lag 28, bad 0, 1 commits, the last 10.0 s ago, "
    )
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 3
    assert "feed-0: falls behind: the lag is 96 records" in warned[0]


def test_a_worker_says_that_most_records_are_bad(bench, caplog):
    bench.committer.start([WHERE])
    meter = Meter("feed-0", bench.committer, bench.broker)
    for reading in range(2):
        bench.send(b"bad", b"bad", b'{"x": 1}')
        bench.committer.store(bench.runs(3 * reading, 3 * reading + 3))
        bench.runtime.advance(EVERY)
        meter.turn()
    assert "2 of the last 3 records are bad" in caplog.text
    assert f"see `streamzarr dlq ls --topic t.dead --broker {bench.broker.url}` for" in caplog.text
    bench.broker.fail("describe", QueueError("away"))
    bench.runtime.advance(EVERY)
    meter.turn()  # a gauge: nothing depends on it


def test_a_worker_does_not_wait_for_a_broker_that_is_away(bench, monkeypatch, caplog):
    """Of what it asked before it hears later, and asks nothing twice."""
    bench.committer.start([WHERE])
    meter = Meter("feed-0", bench.committer, bench.broker)
    known, asked = [], []
    monkeypatch.setattr(bench.broker, "describe", None)

    def ends_soon(partitions):
        asked.append(list(partitions))
        return lambda: known[-1] if known else None

    monkeypatch.setattr(bench.broker, "ends_soon", ends_soon)
    with caplog.at_level(logging.INFO, "streamzarr.feeds.meter"):
        for _ in range(3):
            bench.runtime.advance(EVERY)
            meter.turn()
        assert (asked, caplog.text) == ([[WHERE]], "")
        known.append({WHERE: 5})
        meter.turn()
        bench.runtime.advance(EVERY)
        meter.turn()
    assert asked == [[WHERE]] * 2
    assert "lag 5" in caplog.text


def test_the_group_is_told_later_when_it_has_not_heard_of_what_was_told_before(bench, monkeypatch):
    bench.send(*[b'{"x": 1}'] * 3)
    with bench.broker.consumer(["t"], bench.feed.group) as consumer:
        consumer.poll(0, 0)
        bench.committer.joined(consumer)
        bench.committer.start([WHERE])
        told = []
        monkeypatch.setattr(consumer, "tell", lambda offsets: told.append(offsets) or len(told) > 2)
        for position in (1, 2, 3, 3):
            bench.committer.commit({WHERE: position})
            bench.runtime.advance(10)
        bench.committer.turn()
        assert told == [{WHERE: 1}, {WHERE: 2}, {WHERE: 3}, {WHERE: 3}]


def test_the_target_is_away_and_not_the_broker(bench, caplog):
    """One line when it goes, one when all that waited for it is stored; the lag is what is not committed."""
    bench.send(*[b'{"x": 1}'] * 5)
    bench.committer.start([WHERE])
    assert bench.committer.store(bench.runs(0, 3)) == [DONE]
    meter = Meter("feed-0", bench.committer, bench.broker)
    bench.store.errors = [StoreError("no space left")] * 3
    caplog.set_level(logging.INFO)
    for _ in range(3):
        with pytest.raises(StoreError):
            bench.committer.commit({WHERE: 3})
        bench.runtime.advance(EVERY)
        meter.turn()
    assert "0 records/s, 0 rows/s, lag 5, bad 0, 0 commits" in caplog.text
    bench.committer.commit({WHERE: 3})
    bench.runtime.advance(EVERY)
    meter.turn()
    assert "lag 2" in caplog.text
    lines = [each.getMessage() for each in caplog.records if each.name == "streamzarr.queue.outage"]
    assert lines == [
        "memory:// cannot be reached, trying again: no space left",
        "memory:// is reached again, after 30 s",
    ]
    assert not bench.broker.contact.away
