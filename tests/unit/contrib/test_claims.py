"""What another library's consumer hands over is stored once; what it leaves out is told."""

import json
import uuid

import pytest

from streamzarr.contrib.claims import Claims
from streamzarr.errors import FencedError, QueueError
from streamzarr.feeds import Feed
from streamzarr.queue import DeadLetterQueue, TopicPartition
from streamzarr.stream import open_stream
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

WHERE = TopicPartition("t", 0)


class Bench:
    def __init__(self, **changes):
        self.url = f"memory://{uuid.uuid4().hex}"
        self.broker = FakeBroker(FakeClock())
        self.broker.create_topic("t", 2)
        told = {
            "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
            "decode": {"format": "json"},
            "columns": {"x": "i8", "at": {"dtype": "i8", "from": "@timestamp"}},
            "target": {"chunk_rows": 4},
            **changes,
        }
        told["target"]["url"] = self.url
        self.feed = Feed.of(told)
        self.claims = self.new()

    def new(self):
        return Claims(self.feed, self.broker, "test")

    def send(self, *numbers):
        self.broker.append("t", 0, *(json.dumps({"x": number}).encode() for number in numbers))

    def run(self):
        with self.broker.reader("t") as reader:
            [run] = [run for run in reader.poll_columns(100, 0) if run.where == WHERE]
        return run

    @property
    def stream(self):
        return open_stream(self.url, "p00000")

    @property
    def numbers(self):
        return self.stream["x"][:].tolist()


@pytest.fixture
def bench():
    return Bench()


def test_what_is_stored_is_committed_with_its_position(bench):
    bench.send(5, 6, 7)
    assert bench.claims.renew([WHERE], 1) == {WHERE: 0}
    assert bench.claims.store(bench.run()[:2], 1)
    assert (bench.numbers, bench.stream.position) == ([5, 6], 2)
    assert bench.claims.store(bench.run()[2:], 1)
    assert (bench.numbers, bench.stream.position) == ([5, 6, 7], 3)


@pytest.mark.parametrize("again", [slice(0, 2), slice(1, 4), slice(0, 4)])
def test_what_is_handed_over_again_is_left_alone(bench, again):
    bench.send(5, 6, 7, 8)
    bench.claims.renew([WHERE], 1)
    bench.claims.store(bench.run()[:2], 1)
    assert bench.claims.store(bench.run()[again], 1)
    bench.claims.store(bench.run(), 1)
    assert bench.numbers == [5, 6, 7, 8]


def test_a_new_life_goes_on_behind_what_is_committed(bench):
    bench.send(5, 6, 7)
    bench.claims.renew([WHERE], 1)
    bench.claims.store(bench.run()[:2], 1)
    second = bench.new()
    assert second.renew([WHERE], 1) == {WHERE: 2}
    assert second.store(bench.run(), 1)
    assert bench.numbers == [5, 6, 7]


def without(run, *indices):
    """Return a run that lacks some records."""
    parts = [run[at : at + 1] for at in range(len(run)) if at not in indices]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.joined(part)
    return joined


@pytest.mark.parametrize("left_out", [(0,), (2,), (0, 1), (1, 3)])
def test_records_that_are_left_out_are_told_and_nothing_passes_them(bench, left_out):
    bench.send(5, 6, 7, 8, 9)
    bench.claims.renew([WHERE], 1)
    with pytest.raises(QueueError, match=rf"{len(left_out)} records from offset {left_out[0]} on were not"):
        bench.claims.store(without(bench.run(), *left_out), 1)
    assert bench.stream.position == 0
    assert bench.claims.store(bench.run(), 1)
    assert bench.numbers == [5, 6, 7, 8, 9]


def test_offsets_without_a_record_are_nothing_that_is_left_out(bench):
    bench.send(5)
    bench.broker.leave_out(WHERE)
    bench.send(6)
    bench.broker.leave_out(WHERE)
    bench.claims.renew([WHERE], 1)
    run = bench.run()
    assert list(run.offsets) == [0, 2]
    assert bench.claims.store(run[:1], 1)
    assert bench.claims.store(run[1:], 1)
    assert (bench.numbers, bench.stream.position) == ([5, 6], 3)


def test_records_that_the_broker_does_not_show_yet_are_an_error(bench, monkeypatch):
    bench.send(5, 6)
    run = bench.run()[1:]
    monkeypatch.setattr(type(bench.broker.reader("t")), "positions", lambda _: {WHERE: 0})
    bench.claims.renew([WHERE], 1)
    with pytest.raises(QueueError, match="offset 1 was handed over, and cannot be read within 30 s"):
        bench.claims.store(run, 1)


def test_what_is_of_an_earlier_assignment_or_not_ours_is_not_stored(bench):
    bench.send(5)
    bench.claims.renew([WHERE], 1)
    bench.claims.renew([WHERE], 2)
    assert not bench.claims.store(bench.run(), 1)
    bench.claims.release()
    assert not bench.claims.store(bench.run(), 2)
    bench.claims.renew([TopicPartition("t", 1)], 3)
    assert not bench.claims.store(bench.run(), 3)
    assert bench.stream.rows == 0


def test_whoever_was_overtaken_changes_nothing(bench):
    bench.send(5, 6)
    bench.claims.renew([WHERE], 1)
    other = bench.new()
    other.renew([WHERE], 1)
    with pytest.raises(FencedError):
        bench.claims.store(bench.run(), 1)
    assert bench.stream.rows == 0
    assert other.store(bench.run(), 1)
    assert bench.numbers == [5, 6]


def test_other_values_are_decoded_and_letters_hold_the_records_own(bench):
    bench.send(5, 6, 7)
    bench.claims.renew([WHERE], 1)
    bench.claims.store(bench.run()[:1], 1)
    assert bench.claims.store(bench.run(), 1, [b"never looked at", b"bad", b'{"x": 70}'])
    assert bench.numbers == [5, 70]
    [(_, letter)] = DeadLetterQueue(bench.broker, "t.dead").ls()
    assert (letter.offset, letter.value, letter.worker) == (1, b'{"x": 6}', "test")


def test_a_store_that_is_away_is_waited_for(bench, monkeypatch):
    bench.send(5)
    bench.claims.renew([WHERE], 1)
    owned = bench.claims._owned[WHERE]
    failures, commit = [ConnectionError("away")] * 3, owned.commit

    def flaky(position):
        if failures:
            raise failures.pop()
        commit(position)

    monkeypatch.setattr(owned, "commit", flaky)
    assert bench.claims.store(bench.run(), 1)
    assert bench.numbers == [5]


def test_slots_of_a_grid_have_each_record_once():
    bench = Bench(
        columns={"at": {"dtype": "datetime64[ms]", "unit": "ms"}, "x": "i8"},
        target={"layout": "grid"},
        grid={"time": "at", "step": "1s", "values": {"x": "sum"}},
    )
    bench.broker.append("t", 0, *(b'{"at": %d, "x": 1}' % (400 * number) for number in range(20)))
    bench.claims.renew([WHERE], 1)
    for first in (0, 3, 6, 7):
        bench.claims.store(bench.run()[first : first + 8], 1)
    second = bench.new()
    [position] = second.renew([WHERE], 1).values()
    assert position <= 15
    second.store(bench.run()[position:], 1)
    slots = bench.stream
    assert slots["x"][:, 0].tolist() == slots["count"][:, 0].tolist()
    assert sum(slots["count"][:, 0]) == sum(400 * number < 1000 * slots.rows for number in range(20))


def test_closing_lets_go(bench):
    bench.send(5)
    bench.claims.renew([WHERE], 1)
    bench.claims.close()
    assert not bench.claims.store(bench.run(), 1)
