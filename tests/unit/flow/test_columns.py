"""A topic by columns: a message is a run of records, and of a run only the bad records fail."""

import math

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Spill, Stop, WindowState, from_topic_columns, ops, run, windows
from streamzarr.flow.chain import Chain
from streamzarr.flow.message import Message
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord, Record, TopicPartition
from streamzarr.queue.columns import columns_of
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock


def numbers(count, bad=()):
    return [b"bad" if n in bad else b"%d" % n for n in range(count)]


def ingest(broker, *operators, demand=None, expected=0, **sinks):
    """Run the topic through a chain until `expected` records are settled; return the report."""
    stop, demand = Stop(broker.runtime), demand or Demand(1000)
    seen = 0

    def count(batch):
        nonlocal seen
        seen += sum(message.count for message in batch.messages)
        if seen >= expected:
            stop.drain(5.0)
        return batch

    chain = from_topic_columns(broker, "t", group="g", demand=demand, commit_every=0.0).pipe(
        *operators, ops.settle(**sinks), rx.map(count)
    )
    report = run(chain, stop=stop, runtime=broker.runtime)
    assert demand.in_flight == 0
    return report


@pytest.fixture
def broker():
    broker = FakeBroker(FakeClock())
    broker.create_topic("t", 2)
    return broker


def values(run):
    return [int(value) for value in run.values]


def test_a_message_is_a_run_and_its_offsets_are_committed_at_once(broker):
    broker.append("t", 0, *numbers(30))
    broker.append("t", 1, *numbers(1))
    stored = []
    report = ingest(
        broker, ops.decode(values), expected=31, sink=lambda ms: stored.extend(m.data for m in ms)
    )
    assert sorted(n for run in stored for n in run) == sorted([*range(30), 0])
    assert (report.ok, report.delivered) == (31, 31)
    assert broker.committed("g", "t") == {0: 30, 1: 1}


def test_runs_hold_no_more_records_and_bytes_than_demand(broker):
    broker.append("t", 0, *[b"x" * 10] * 500)
    sizes, demand = [], Demand(64, max_bytes=200)
    ingest(
        broker,
        ops.map(lambda run: sizes.append((len(run), run.nbytes)) or run),
        demand=demand,
        expected=500,
    )
    assert sum(count for count, _ in sizes) == 500
    assert max(nbytes for _, nbytes in sizes) <= 200
    assert demand.peak <= 64
    assert demand.peak_bytes <= 200


@pytest.mark.parametrize("bad", [{3}, {0, 1}, {0, 63}, set(range(64)), {31, 32}])
def test_of_a_run_only_the_bad_records_are_dead_letters(broker, bad):
    broker.append("t", 0, *numbers(64, bad))
    stored, letters, calls = [], [], 0

    def parse(run):
        nonlocal calls
        calls += 1
        return values(run)

    report = ingest(
        broker,
        ops.decode(parse),
        expected=64,
        sink=lambda ms: stored.extend(n for m in ms for n in m.data),
        dead_letters=letters.extend,
        demand=Demand(128, min_demand=0),
    )
    assert sorted(stored) == sorted(set(range(64)) - bad)
    assert [letter.record.offset for letter in letters] == sorted(bad)
    assert all(letter.record.value == b"bad" and letter.failure.stage == "decode" for letter in letters)
    assert (report.ok, report.failed) == (64 - len(bad), len(bad))
    assert broker.committed("g", "t") == {0: 64}
    assert calls <= 1 + len(bad) * 2 * math.log2(64)


def test_a_run_that_fails_later_is_a_dead_letter_for_each_of_its_records(broker):
    broker.append("t", 0, *numbers(5))
    letters = []
    report = ingest(
        broker,
        ops.decode(values),
        ops.map(lambda data: 1 / 0, stage="mean"),
        expected=5,
        dead_letters=letters.extend,
    )
    assert report.failed == 5
    assert [letter.record.value for letter in letters] == numbers(5)
    assert {letter.failure.stage for letter in letters} == {"mean"}


def test_a_run_that_was_split_fails_as_a_whole_and_once(broker):
    broker.append("t", 0, *numbers(4, bad={2}))
    letters, stored = [], []
    report = ingest(
        broker,
        ops.broadcast({"a": [ops.decode(values)], "b": [ops.decode(values)], "raw": []}),
        expected=12,
        dead_letters=letters.extend,
        sink=stored.extend,
    )
    assert (report.failed, report.ok) == (4, 0)
    assert [letter.record.offset for letter in letters] == [0, 1, 2, 3]
    assert [message.count for message in stored] == [4]


def test_the_embedded_broker_by_columns(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("t", 2)
        with broker.producer() as producer:
            producer.send("t", [NewRecord(b"%d" % n, partition=n % 2) for n in range(1000)])
        stored = []
        report = ingest(
            broker,
            ops.decode(values),
            expected=1000,
            demand=Demand(100),
            sink=lambda ms: stored.extend(n for m in ms for n in m.data),
        )
        assert sorted(stored) == list(range(1000))
        assert report.ok == 1000
        assert broker.committed("g", "t") == {0: 500, 1: 500}


def test_parts_of_a_run_that_are_handed_back_keep_its_offsets():
    chain, demand = Chain(), Demand(100)
    claim = chain.claim(demand, TopicPartition("t", 0), 0)
    [columns] = columns_of(Record("t", 0, n, None, b"%d" % n, (), 0) for n in range(8))
    message = Message(
        run=columns, data=columns, nbytes=columns.nbytes, count=8, seq=chain.number(), claim=claim
    )
    chain.admit([message], demand)
    first, second = chain.divide(message, 3)
    third, fourth = chain.divide(second, 2)
    assert [len(part.run) for part in (first, third, fourth)] == [3, 2, 3]
    chain.settle([first, fourth])
    assert (claim.position, demand.in_flight) == (0, 2)
    chain.hand_back([third])
    assert (claim.position, demand.in_flight, demand.in_flight_bytes) == (0, 0, 0)
    assert (chain.tally.ok, chain.tally.handed_back) == (6, 2)


def test_a_run_of_one_record_is_a_letter_with_its_record_also_where_surplus_goes_to_disk(broker):
    letters = []
    for n in range(8):  # one at a time: each is a run of its own
        broker.append("t", 0, b"bad%d" % n)
    report = ingest(
        broker,
        ops.partition_by(lambda run: "k"),
        ops.map(lambda run: b"decoded"),
        ops.dispatch(lambda data: 1 / 0, by="key", workers=2, spill=Spill(share=1)),
        demand=Demand(2, min_demand=1),
        expected=8,
        dead_letters=letters.extend,
    )
    assert report.failed == 8
    assert [letter.record.value for letter in letters] == [b"bad%d" % n for n in range(8)]


@pytest.mark.parametrize("charged", [0, 1, 7, 10**6])
@pytest.mark.parametrize("value", [b"1.5", b""])
def test_halves_of_a_run_share_the_bytes_that_it_was_charged_with(charged, value):
    def read(run):
        sizes.append(demand.in_flight_bytes)
        return [float(item) if item else 0.0 for item in run.values]

    broker, demand, sizes, letters = FakeBroker(), Demand(100), [], []
    broker.create_topic("t")
    broker.append("t", 0, *[value] * 5, b"no", *[value] * 5)
    report = ingest(
        broker,
        ops.charge(lambda run: charged),
        ops.decode(read),
        demand=demand,
        expected=11,
        dead_letters=letters.extend,
    )
    assert (report.ok, report.failed) == (10, 1)
    assert set(sizes) == {charged}
    assert all(letter.nbytes >= 0 for letter in letters)
    assert demand.in_flight_bytes == 0


def test_windows_with_state_refuse_what_is_made_of_columns(tmp_path):
    broker = FakeBroker()
    broker.create_topic("t")
    broker.append("t", 0, b"1", b"2")
    state = WindowState(tmp_path)
    chain = from_topic_columns(broker, "t", group="g", demand=Demand(10), committer=state).pipe(
        ops.split(lambda columns: list(map(int, columns.values))),
        ops.reduce(lambda total, n: total + n, initial=0, window=windows.Count(2), state=state),
        ops.settle(),
    )
    with pytest.raises(ConfigError, match="expected records, or pieces of one: those of from_topic, not of"):
        run(chain)


@pytest.mark.parametrize(("gather", "most"), [(0.0, 1), (1.0, 100)])
def test_what_trickles_in_is_taken_together(broker, gather, most):
    stop, runs = Stop(broker.runtime), []

    def trickle():
        if sum(map(len, runs)) < 60:
            broker.append("t", 0, b"1")
        else:
            stop.drain(5.0)

    def store(messages):
        runs.extend(message.data for message in messages)

    source = from_topic_columns(
        broker, "t", group="g", demand=Demand(1000), gather=gather, stop=stop, on_turn=trickle
    )
    run(source.pipe(ops.settle(store)), runtime=broker.runtime)
    sizes = [len(each) for each in runs]
    assert sizes[0] == 1  # the first is not waited for
    assert (max(sizes) > 10) == (most > 1)
    assert max(sizes) <= most


def test_nothing_is_gathered_where_there_is_more(broker):
    broker.append("t", 0, *numbers(100))
    stop, began = Stop(broker.runtime), broker.runtime.now()
    taken = 0

    def store(messages):
        nonlocal taken
        taken += sum(message.count for message in messages)
        if taken == 100:
            assert broker.runtime.now() - began < 1.0
            stop.drain(5.0)

    demand = Demand(10, min_demand=0)
    source = from_topic_columns(broker, "t", group="g", demand=demand, gather=5.0, stop=stop)
    assert run(source.pipe(ops.settle(store)), runtime=broker.runtime).ok == 100
