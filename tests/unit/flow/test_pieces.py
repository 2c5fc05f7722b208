"""Operators that drop, divide, gather and watch: what becomes of the records."""

import threading
from collections import Counter

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Stop, from_iterable, from_topic, ops, run
from streamzarr.flow.message import Barrier, Batch, Flush
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock


def go(items, *operators, demand=16, sink=None, batch=64, dead_letters=None, **options):
    seen, demand = [], demand if isinstance(demand, Demand) else Demand(demand)
    chain = from_iterable(items, demand, batch=batch).pipe(
        *operators, ops.settle(sink or seen.extend, dead_letters=dead_letters)
    )
    report = run(chain, **options)
    assert demand.in_flight == demand.in_flight_bytes == 0
    return report, [message.data for message in seen]


def fail_on(*bad):
    def fn(data):
        if data in bad:
            raise ValueError(f"bad {data}")
        return data

    return fn


# -- filter ----------------------------------------------------------------------------------------------


def test_filter_settles_what_it_drops():
    report, seen = go(range(10), ops.filter(lambda n: n % 3 == 0), demand=2)
    assert (seen, report.ok, report.skipped) == ([0, 3, 6, 9], 4, 6)


def test_filter_fails_what_its_predicate_raises_on():
    report, _ = go([1, "x", 3], ops.filter(lambda n: n > 1))
    assert (report.ok, report.failed, report.skipped) == (1, 1, 1)


# -- split -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("demand", [1, 3, 100])
def test_a_record_is_done_when_all_its_pieces_are(demand):
    report, seen = go(["a b c", "d", "", "e f"], ops.split(str.split), ops.batch(2), demand=demand)
    assert seen == list("abcdef")
    assert (report.delivered, report.ok, report.skipped) == (4, 3, 1)


def test_a_piece_that_fails_makes_its_record_one_dead_letter_and_the_others_go_on():
    dead, kept = [], []
    report, _ = go(
        ["a b c d", "e f"],
        ops.split(str.split),
        ops.map(fail_on("b", "d"), stage="check"),
        sink=kept.extend,
        dead_letters=dead.extend,
    )
    assert [m.data for m in kept] == ["a", "c", "e", "f"]
    assert [(m.failure.stage, str(m.failure.error)) for m in dead] == [("check", "bad b")]
    assert (report.ok, report.failed) == (1, 1)


def test_pieces_of_pieces_and_pieces_in_threads():
    report, seen = go(
        ["ab cd", "ef"],
        ops.split(str.split),
        ops.flat_map(list),
        ops.dispatch(str.upper, workers=3),
        demand=2,
    )
    assert sorted(seen) == list("ABCDEF")
    assert (report.delivered, report.ok) == (2, 2)


def test_a_function_that_raises_half_way_fails_the_message_and_makes_no_piece():
    def halves(data):
        yield data
        raise ValueError("half way")

    report, seen = go(["a"], ops.split(halves))
    assert (report.failed, seen) == (1, ["a"])


def test_a_drain_hands_back_a_record_of_which_one_piece_is_done():
    stop, gate = Stop(), threading.Event()

    def fn(data):
        if data == "a1":
            stop.drain(20.0)
            assert gate.wait(0.2) is False
        return data

    report, _ = go(["a1 a2 a3", "b1 b2"], ops.split(str.split), ops.dispatch(fn), stop=stop)
    assert (report.ok, report.handed_back, report.left) == (0, 2, 0)


# -- combine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("demand", "expected"), [(100, ["abc", "de"]), (2, ["ab", "cd", "e"])])
def test_one_message_settles_several(demand, expected):
    report, seen = go("abcde", ops.combine("".join, size=3), demand=demand)
    assert seen == expected
    assert (report.delivered, report.ok) == (5, 5)


def test_a_combined_message_that_fails_makes_dead_letters_of_all_and_of_no_other():
    dead, kept = [], []
    report, _ = go(
        "abcdef",
        ops.combine("".join, size=2),
        ops.map(fail_on("cd")),
        sink=kept.extend,
        dead_letters=dead.extend,
    )
    assert [m.data for m in kept] == ["ab", "ef"]
    assert [m.data for m in dead] == ["c", "d"]
    assert (report.ok, report.failed) == (4, 2)


def test_a_function_that_raises_fails_its_group_only():
    report, seen = go([1, 2, 3, "x", 5, 6], ops.combine(sum, size=2))
    assert (report.ok, report.failed) == (4, 2)
    assert seen == [3, 3, "x", 11]


def test_failed_messages_are_in_no_group():
    report, seen = go(["1", "x", "2", "3"], ops.map(int), ops.combine(sum, size=3))
    assert (report.ok, report.failed, sorted(map(str, seen))) == (3, 1, ["6", "x"])


def test_split_and_combine_undo_each_other():
    report, seen = go(
        ["a b", "c d e", "f"],
        ops.split(str.split),
        ops.combine(" ".join, size=4),
        ops.split(str.split),
        ops.dispatch(str.upper, workers=2, ordered=True),
        demand=50,
    )
    assert seen == list("ABCDEF")
    assert (report.delivered, report.ok) == (3, 3)


def test_combined_by_key_and_by_what_they_hold():
    _, seen = go(
        ["a1", "b1", "a2", "b5", "a9", "a1"],
        ops.partition_by(lambda data: data[0]),
        ops.combine("+".join, by="key", until=lambda datas: sum(int(d[1]) for d in datas) >= 3),
        demand=50,
    )
    assert seen == ["a1+a2", "b1+b5", "a9", "a1"]


def test_of_a_combined_message_only_the_partition_that_is_still_ours_is_acknowledged():
    broker, stop, seen = FakeBroker(), Stop(), []
    broker.create_topic("t", 2)
    for n in range(4):
        broker.append("t", n % 2, b"%d" % n)
    p1 = TopicPartition("t", 1)

    def fn(data):
        consumer = broker.consumers[-1]
        if p1 in consumer.assignment():
            consumer.rebalance("lost", p1)
            deadline = threading.Event()
            while p1 in consumer.assignment():
                deadline.wait(0.005)
        return data

    def sink(messages):
        seen.extend(messages)
        stop.drain(10.0)

    report = run(
        from_topic(broker, "t", group="g", demand=Demand(10)).pipe(
            ops.combine(b"".join, size=4, timeout=1.0), ops.dispatch(fn), ops.settle(sink)
        ),
        stop=stop,
    )
    assert broker.committed("g", "t") == {0: 2}
    assert (report.ok, report.handed_back) == (2, 2)


# -- batches ---------------------------------------------------------------------------------------------


def batches_of(items, operator, demand=100, **options):
    found = []
    go(
        items,
        *operator,
        rx.do_action(lambda b: b.messages and found.append([m.data for m in b])),
        demand=demand,
        **options,
    )
    return found


def test_a_batch_ends_where_a_function_says():
    found = batches_of([1, 2, 5, 1, 9, 1], [ops.batch(until=lambda numbers: numbers[-1] >= 5)])
    assert found == [[1, 2, 5], [1, 9], [1]]


def test_whichever_bound_comes_first():
    found = batches_of([1, 2, 3, 9, 1, 1, 1, 1], [ops.batch(3, until=lambda numbers: numbers[-1] == 9)])
    assert found == [[1, 2, 3], [9], [1, 1, 1], [1]]


def test_a_function_that_raises_fails_the_newest_message_only():
    report, _ = go([1, "x", 3, 4], ops.batch(until=lambda datas: sum(datas) > 6), stage_of(report_of := {}))
    assert (report.ok, report.failed) == (3, 1)
    assert report_of == {"x": "batch"}


def stage_of(found):
    def note(message):
        if message.failure is not None:
            found[message.data] = message.failure.stage

    return ops.tap(note)


def test_a_batch_for_each_key():
    found = batches_of(
        ["a1", "b1", "a2", "c1", "b2", "a3"], [ops.partition_by(lambda d: d[0]), ops.batch(2, by="key")]
    )
    assert found == [["a1", "a2"], ["b1", "b2"], ["c1"], ["a3"]]


def test_with_tiny_demand_batches_for_each_key_let_go():
    found = batches_of(
        ["a1", "b1", "a2", "c1", "b2", "a3"],
        [ops.partition_by(lambda d: d[0]), ops.batch(2, by="key")],
        demand=1,
    )
    assert found == [["a1"], ["b1"], ["a2"], ["c1"], ["b2"], ["a3"]]


def test_each_keys_batch_has_a_time_of_its_own():
    clock, seen = FakeClock(), []
    begun = clock.now()

    def source():
        for at, data in [(0, "a1"), (1, "b1"), (2, "a2"), (6, "c1"), (20, "c2")]:
            clock.advance(begun + at - clock.now())
            yield data

    run(
        from_iterable(source(), Demand(100), batch=1).pipe(
            ops.partition_by(lambda d: d[0]),
            ops.batch(10, timeout=3.0, by="key"),
            rx.do_action(lambda b: seen.append(([m.data for m in b], round(clock.now() - begun)))),
            ops.settle(),
        ),
        runtime=clock,
    )
    assert [data for data, _ in seen] == [["a1", "a2"], ["b1"], ["c1"], ["c2"]]


@pytest.mark.parametrize(
    ("kind", "passes_behind"), [(Flush, [["a1"], ["b1"]]), (Barrier, [["a1", "a2"], ["b1", "b2"]])]
)
def test_markers_wait_for_the_groups_begun_before_them(kind, passes_behind):
    found, passed = [], []
    marker = kind(lambda: passed.append([list(batch) for batch in found]))

    def mark(batch):
        return Batch(batch.messages, marker) if batch.messages[-1].data == "b1" else batch

    go(
        ["a1", "b1", "c1", "a2", "b2", "c2"],
        rx.map(mark),
        ops.partition_by(lambda d: d[0]),
        ops.batch(2, by="key"),
        rx.do_action(lambda b: b.messages and found.append([m.data for m in b])),
        batch=1,
        demand=100,
    )
    assert [batch for batch in passed[0] if batch[0][0] != "c"] == passes_behind


@pytest.mark.parametrize("options", [{}, {"size": 0}, {"bytes": 0}, {"size": 2, "by": "hash"}])
@pytest.mark.parametrize("operator", [ops.batch, lambda **options: ops.combine(sum, **options)])
def test_groups_that_make_no_sense_are_refused(operator, options):
    with pytest.raises(ConfigError):
        operator(**options)


# -- tap -------------------------------------------------------------------------------------------------


def test_tap_sees_all_messages_and_changes_none():
    seen = []
    report, results = go(["1", "x"], ops.map(int), ops.tap(lambda m: seen.append(m.failure is None)))
    assert (seen, results, report.ok, report.failed) == ([True, False], [1, "x"], 1, 1)


def test_an_error_of_who_watches_breaks_nothing_and_is_told_ever_less_often(caplog):
    def fn(message):
        raise SystemExit(message.data)

    report, results = go(range(100), ops.tap(fn, stage="watch"))
    assert (report.ok, results) == (100, list(range(100)))
    told = [record.message for record in caplog.records if "watch" in record.message]
    assert len(told) == 7
    assert told[0] == "watch: error number 1 of the function that watches: SystemExit: 0"


# -- order of keys through the whole --------------------------------------------------------------------


def test_every_record_ends_once_through_all_of_them():
    ends = Counter()

    def sink(messages):
        for message in messages:
            ends[message.failure is None] += 1

    report, _ = go(
        ["1 2 3", "4 x 5", "", "6"] * 10,
        ops.split(str.split),
        ops.map(int),
        ops.filter(lambda n: n != 5),
        ops.partition_by(lambda n: n % 2),
        ops.dispatch(lambda n: n, workers=3, by="key"),
        ops.combine(sum, size=2, by="key"),
        sink=sink,
        demand=7,
    )
    assert report.delivered == 40 == report.ok + report.failed + report.skipped
    assert (report.ok, report.failed, report.skipped) == (20, 10, 10)
