"""Chains whose windows are kept in a store, and go on from it."""

import json
from collections import Counter

import pytest

from streamzarr.errors import ConfigError, KeyNotFoundError, LimitExceededError
from streamzarr.flow import Demand, Stop, WindowState, from_iterable, from_topic, ops, run, windows
from streamzarr.flow.ops import keeping
from streamzarr.flow.windows.plain import Plain
from streamzarr.flow.windows.snapshot import Snapshot
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord
from streamzarr.queue.retry import RetryPolicy
from streamzarr.stores import open_store


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        yield broker


def send(broker, values, partition=0):
    with broker.producer() as producer:
        producer.send("ticks", [NewRecord(json.dumps(v).encode(), partition=partition) for v in values])
        producer.flush()


def work(broker, folder, enough, *, window=None, before=(), behind=(), sink=None, **options):
    """Run a worker until `enough` says so of the results; return them and the report."""
    seen, stop = [], Stop()
    state = WindowState(folder / "state", every=0.02)

    def store(messages):
        if sink is not None:
            sink(messages)
        seen.extend(messages)

    def look():
        if enough(seen):
            stop.drain(5.0)

    chain = from_topic(
        broker,
        "ticks",
        group="g",
        demand=Demand(100),
        committer=state,
        stop=stop,
        on_turn=look,
        poll_timeout=0.01,
    ).pipe(
        ops.map(json.loads),
        *before,
        ops.reduce(
            lambda ids, tick: [*ids, tick[1]],
            initial=list,
            window=window or windows.Fixed("1s"),
            time=lambda tick: float(tick[0]),
            state=state,
            **options,
        ),
        *behind,
        ops.settle(store),
    )
    return seen, run(chain)


def values(messages):
    return [(message.data.window.start / 10**9, message.data.value) for message in messages]


def snapshot(folder, partition=0):
    return Snapshot.loads(open_store(folder / "state").get(f"ticks/{partition}"), Plain(), "here")


def test_a_worker_that_stops_leaves_its_windows_to_the_next_which_reads_nothing_again(broker, tmp_path):
    broker.create_topic("ticks")
    send(broker, [(0.0, 1), (0.5, 2), (1.0, 3)])
    seen, report = work(broker, tmp_path, lambda seen: seen)
    assert values(seen) == [(0, [1, 2])]
    assert (report.delivered, report.ok, report.held) == (3, 3, 0)
    stored = snapshot(tmp_path)
    assert (stored.position, len(stored.panes), stored.outbox) == (3, 1, ())
    send(broker, [(1.5, 4), (2.0, 5)])
    seen, report = work(broker, tmp_path, lambda seen: seen)
    assert values(seen) == [(1, [3, 4])]
    assert report.delivered == 2


def test_a_result_that_was_stored_and_not_settled_is_delivered_again_as_it_was(broker, tmp_path):
    broker.create_topic("ticks")
    send(broker, [(0.0, 1), (0.5, 2), (1.0, 3)])

    def broken(messages):
        raise RuntimeError("the sink is gone")

    with pytest.raises(RuntimeError, match="the sink is gone"):
        work(broker, tmp_path, lambda seen: False, sink=broken)
    assert len(snapshot(tmp_path).outbox) == 1
    seen, _ = work(broker, tmp_path, lambda seen: seen)
    assert values(seen) == [(0, [1, 2])]
    assert snapshot(tmp_path).outbox == ()


def test_a_message_behind_a_watermark_of_a_life_before_is_late(broker, tmp_path):
    broker.create_topic("ticks")
    send(broker, [(0.0, 1), (5.0, 2)])
    work(broker, tmp_path, lambda seen: seen)
    send(broker, [(0.1, 3), (6.0, 4)])
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2, late="late")
    assert {message.output for message in seen} == {"late", ""}
    assert values([message for message in seen if not message.output]) == [(5, [2])]


def test_records_that_finish_out_of_order_before_the_windows_are_folded_once(broker, tmp_path):
    """A record is stuck in front of the windows while those behind it are folded, and the worker stops."""
    broker.create_topic("ticks")
    send(broker, [(0.0, 0), (0.1, 1), (0.2, 2), (1.1, 3), (2.5, 4)])
    stuck = Stop()

    def work_on(tick):
        if tick[1] == 1 and not stuck.requested:
            raise ConnectionError("try again later")
        return tick

    later = RetryPolicy(attempts=9, base=30.0, factor=1.0, max_delay=30.0)
    slow = ops.dispatch(work_on, workers=1, retry=later)
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2, before=[slow], lateness="1h")
    assert values(seen) == [(0, [0, 2]), (1, [3])]
    stored = snapshot(tmp_path)
    assert stored.position == 1
    assert stored.taken == ((2, 5),)
    stuck.now()
    send(broker, [(9.0, 9)])
    again = ops.dispatch(work_on, workers=1)
    seen, report = work(broker, tmp_path, lambda seen: len(seen) == 2, before=[again], lateness="1h")
    assert values(seen) == [(0, [0, 2, 1]), (2, [4])]
    assert (seen[0].data.firing, seen[0].data.pane) == ("late", 1)
    assert report.skipped == 3


def test_results_of_partitions_are_their_own(broker, tmp_path):
    broker.create_topic("ticks", partitions=2)
    for partition in (0, 1):
        send(broker, [(0.0, partition), (1.0, partition)], partition)
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2)
    assert sorted(values(seen)) == [(0, [0]), (0, [1])]
    with pytest.raises(ConfigError, match="merge= with state="):
        work(broker, tmp_path, lambda seen: True, merge=lambda one, other: one + other)


def test_messages_that_no_state_answers_for_are_refused():
    state = WindowState("memory://elsewhere")
    chain = from_iterable([1], Demand(1)).pipe(
        ops.reduce(lambda total, n: total + n, initial=0, state=state), ops.settle()
    )
    with pytest.raises(ConfigError, match="committer=state"):
        run(chain)


def test_a_result_that_was_folded_again_stays_stored_until_that_result_is_settled(broker, tmp_path):
    broker.create_topic("ticks", partitions=1)
    triples = ops.reduce(
        lambda ids, result: ids + result.value,
        initial=list,
        window=windows.Fixed("3s"),
        time=lambda result: result.window.start,
    )
    send(broker, [(0, 1), (1, 2), (2, 3)])
    seen, _ = work(broker, tmp_path, lambda seen: stored(tmp_path, 2), behind=[triples])
    assert seen == []
    send(broker, [(3, 4), (4, 5)])
    seen, _ = work(broker, tmp_path, bool, behind=[triples])
    assert values(seen) == [(0, [1, 2, 3])]
    assert snapshot(tmp_path).numbered == 4


def stored(folder, results):
    """Tell whether so many results are stored and not settled."""
    try:
        return len(snapshot(folder).outbox) >= results
    except KeyNotFoundError:
        return False


def test_merged_results_are_released_with_what_they_are_in(broker, tmp_path):
    def refuse(messages):
        raise ValueError("broken")

    merge = ops.departition(lambda ids, result: ids + result.value, initial=list)
    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (1, 2), (2, 3)])
    with pytest.raises(ValueError, match="broken"):
        work(broker, tmp_path, bool, behind=[merge], sink=refuse)
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2, behind=[merge])
    assert values(seen) == [(0, [1]), (1, [2])]


def test_more_results_than_can_be_stored_that_none_may_settle_are_an_error(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "MAX_OUTBOX", 3)
    day = ops.reduce(
        lambda ids, result: ids + result.value,
        initial=list,
        window=windows.Fixed("1d"),
        time=lambda result: result.window.start,
    )
    broker.create_topic("ticks", partitions=1)
    send(broker, [(n, n) for n in range(9)])
    with pytest.raises(LimitExceededError, match="write them to a topic"):
        work(broker, tmp_path, bool, behind=[day])


def test_one_state_cannot_keep_two_reduces(broker, tmp_path):
    state = WindowState(tmp_path / "state")
    bars = [
        ops.reduce(lambda total, tick: total + 1, initial=0, window=windows.Fixed(size), state=state)
        for size in ("1s", "1min")
    ]
    broker.create_topic("ticks", partitions=1)
    source = from_topic(broker, "ticks", group="g", demand=Demand(10), committer=state)
    with pytest.raises(ConfigError, match="keeps one"):
        run(source.pipe(ops.broadcast({"short": bars[:1], "long": bars[1:]}), ops.settle()))


def test_a_late_message_that_is_wanted_again_holds_back_no_result(broker, tmp_path):
    held = []

    def sink(messages):
        held.extend(message for message in messages if message.output)
        enough = len(results) > 2
        return [ops.Again(0.01) if message.output and not enough else ops.DONE for message in messages]

    results, stop, state = [], Stop(), WindowState(tmp_path / "state", every=0.02)

    def store(messages):
        results.extend(message for message in messages if not message.output)
        return sink(messages)

    def look():
        if len(results) > 2:
            stop.drain(5.0)

    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (1, 2), (0, 3), (2, 4), (3, 5)])
    source = from_topic(
        broker, "ticks", group="g", demand=Demand(9), committer=state, on_turn=look, poll_timeout=0.01
    )
    bars = ops.reduce(
        lambda ids, tick: [*ids, tick[1]],
        initial=list,
        window=windows.Fixed("1s"),
        time=lambda tick: float(tick[0]),
        late="old",
        state=state,
    )
    run(source.pipe(ops.map(json.loads), bars, ops.settle(store)), stop=stop)
    assert values(results) == [(0, [1]), (1, [2]), (2, [4])]
    assert [message.data for message in held[:1]] == [[0, 3]]


def test_a_key_that_cannot_be_stored_fails_its_message_alone(broker, tmp_path):
    def key(tick):
        return object() if tick[1] == 2 else tick[1]

    seen, letters, stop, state = [], [], Stop(), WindowState(tmp_path / "state", every=0.02)

    def store(messages):
        seen.extend(messages)
        stop.drain(5.0)

    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (0, 2), (1, 3)])
    source = from_topic(broker, "ticks", group="g", demand=Demand(9), committer=state, poll_timeout=0.01)
    bars = ops.reduce(
        lambda ids, tick: [*ids, tick[1]],
        initial=list,
        window=windows.Fixed("1s"),
        time=lambda tick: float(tick[0]),
        state=state,
    )
    run(
        source.pipe(
            ops.map(json.loads), ops.partition_by(key), bars, ops.settle(store, dead_letters=letters.extend)
        ),
        stop=stop,
    )
    assert values(seen) == [(0, [1])]
    assert [message.data for message in letters] == [[0, 2]]


def test_accumulators_that_cannot_be_kept_end_the_chain_with_the_first_message(broker, tmp_path):
    seen, state = [], WindowState(tmp_path / "state", every=60.0)
    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (0, 2)])
    source = from_topic(broker, "ticks", group="g", demand=Demand(9), committer=state, poll_timeout=0.01)

    def fold(counts, tick):
        seen.append(tick)
        return Counter(counts, ticks=1)

    counts = ops.reduce(fold, initial=None, window=windows.Fixed("1s"), time=lambda tick: 0.0, state=state)
    with pytest.raises(ConfigError, match=r"the accumulator of key None.*Counter is not plain data"):
        run(source.pipe(ops.map(json.loads), counts, ops.settle()))
    assert seen == [[0, 1]]
    assert snapshot(tmp_path).position is None


def test_what_comes_after_a_restart_for_a_window_that_made_room_is_told_as_a_part_of_it(broker, tmp_path):
    broker.create_topic("ticks")
    options = {
        "before": [ops.partition_by(lambda tick: tick[2])],
        "window": windows.Fixed("1min"),
        "bound": windows.Bound(keys=2, then="early"),
    }

    def told(messages):
        results = [message.data for message in messages]
        return [(each.key, each.pane, each.value, each.partial) for each in results]

    send(broker, [(1.0, 0, "A"), (2.0, 1, "A"), (3.0, 2, "B"), (3.0, 3, "C")])
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) >= 1, **options)
    assert told(seen) == [("A", 0, [0, 1], True)]
    send(broker, [(4.0, 4, "A"), (200.0, 5, "A")])
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) >= 3, **options)
    assert ("A", 1, [4], True) in told(seen)
