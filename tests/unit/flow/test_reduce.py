"""Windows in running chains: credit, acknowledgement, late output, timers, failures."""

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError, LateError, LimitExceededError, QueueError, TransformError
from streamzarr.flow import Control, Demand, Stop, from_iterable, from_pull, from_topic, ops, run, windows
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord, TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

SECOND = 10**9


def keyed(by):
    return ops.map_messages(lambda message: message.replace(key=by(message.data)))


def total(window, **options):
    options.setdefault("time", lambda item: item[0])
    return ops.reduce(lambda total, item: total + item[1], initial=0, window=window, **options)


def results(items, *operators, demand=None, runtime=None, batch=64):
    """Run items through operators; return what came out and the report."""
    seen = []
    chain = from_iterable(items, demand or Demand(100), batch=batch).pipe(*operators, ops.settle(seen.extend))
    report = run(chain, **({} if runtime is None else {"runtime": runtime}))
    return seen, report


def values(messages):
    return [
        (message.key, message.data.window.start / SECOND, message.data.value, message.data.firing)
        for message in messages
    ]


def test_each_key_and_window_gives_one_result_and_the_rest_comes_at_the_end():
    items = [(0.0, 1, "a"), (0.5, 2, "b"), (0.9, 4, "a"), (1.0, 8, "a"), (2.5, 16, "b")]
    seen, report = results(items, keyed(lambda item: item[2]), total(windows.Fixed("1s")))
    assert values(seen) == [
        ("a", 0, 5, "final"),
        ("b", 0, 2, "final"),
        ("a", 1, 8, "final"),
        ("b", 2, 16, "final"),
    ]
    assert (report.delivered, report.ok, report.held) == (5, 5, 0)


@pytest.mark.parametrize("demand", [1, 2, 1000])
def test_windows_are_not_cut_by_demand(demand):
    items = [(n / 100, 1) for n in range(1000)]
    seen, report = results(items, total(windows.Fixed("5s")), demand=Demand(demand, min_demand=0))
    assert [message.data.value for message in seen] == [500, 500]
    assert report.ok == 1000


def test_credit_returns_when_a_message_is_folded_and_the_accumulators_are_charged():
    demand = Demand(10, max_bytes="1MB")
    held = []

    def look(batch):
        if len(batch):
            held.append((demand.in_flight, demand.in_flight_bytes))

    chain = from_iterable(
        [(n, bytes(100)) for n in range(100)], demand, batch=5, size_of=lambda item: 100
    ).pipe(
        ops.reduce(
            lambda seen, item: [*seen, item[1]],
            initial=list,
            window=windows.Fixed("1h"),
            time=lambda item: float(item[0]),
        ),
        rx.do_action(look),
        ops.settle(),
    )
    assert run(chain).ok == 100
    ((in_flight, nbytes),) = held
    assert in_flight == 0  # the result is no record
    assert 10_000 < nbytes < 60_000
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)
    assert demand.peak <= 10


def test_accumulators_may_take_a_quarter_of_the_bytes_and_others_go_on():
    demand = Demand(10, max_bytes="100kB")
    seen, report = results(
        [(0.0, bytes(1000), n % 100) for n in range(300)],
        keyed(lambda item: item[2]),
        ops.reduce(
            lambda seen, item: [*seen, item[1]], initial=list, window=windows.Fixed("1s"), time=lambda i: i[0]
        ),
        demand=demand,
    )
    refused = [message for message in seen if message.failure is not None]
    assert {type(message.failure.error) for message in refused} == {LimitExceededError}
    assert sum(message.data.count for message in seen if message.failure is None) + len(refused) == 300
    assert demand.peak_bytes < 60_000
    assert report.failed == len(refused)


def test_late_messages_fail_unless_they_have_an_output():
    items = [(0.0, 1), (2.0, 2), (0.5, 4)]
    seen, report = results(items, total(windows.Fixed("1s")))
    (late,) = [message for message in seen if message.failure is not None]
    assert isinstance(late.failure.error, LateError)
    assert late.failure.stage == "reduce"
    assert late.data == (0.5, 4)
    assert (report.ok, report.failed) == (2, 1)
    seen, report = results(items, total(windows.Fixed("1s"), late="late"))
    assert [(message.output, message.data) for message in seen if message.output] == [("late", (0.5, 4))]
    assert report.ok == 3


def test_late_messages_can_be_routed():
    late = []
    items = [(0.0, 1), (2.0, 2), (0.5, 4)]
    seen, report = results(
        items,
        total(windows.Fixed("1s"), late="late"),
        ops.route(
            lambda message: message.output or "main",
            {"main": [], "late": [ops.map(lambda item: late.append(item) or item)]},
        ),
    )
    assert late == [(0.5, 4)]
    assert (len(seen), report.ok) == (3, 3)


def test_disorder_and_lateness():
    items = [(0.0, 1), (2.0, 2), (0.5, 4), (3.5, 8), (0.6, 16), (9.0, 32), (0.7, 64)]
    seen, report = results(items, total(windows.Fixed("1s"), disorder="2s", lateness="2s"))
    assert [value for value in values([m for m in seen if m.failure is None]) if value[1] == 0] == [
        (None, 0, 5, "final"),
        (None, 0, 21, "late"),
    ]
    assert (report.ok, report.failed) == (6, 1)


def test_a_message_of_several_windows_is_folded_into_each():
    seen, report = results([(n, 1) for n in (0.5, 1.5, 2.5)], total(windows.Sliding("2s", "1s")))
    assert [value[1:3] for value in values(seen)] == [(-1, 1), (0, 2), (1, 2), (2, 1)]
    assert (report.delivered, report.ok) == (3, 3)


def test_a_message_that_is_in_no_window_is_skipped():
    seen, report = results([(0.5, 1), (1.5, 2)], total(windows.Sliding("1s", "2s")))
    assert [value[1:3] for value in values(seen)] == [(0, 1)]
    assert (report.ok, report.skipped) == (1, 1)


def test_a_message_that_connects_sessions_leaves_no_record_behind():
    items = [(n, 1) for n in (1.0, 4.0, 7.0, 2.5, 5.5, 30.0, 33.0, 31.5)]
    seen, report = results(
        items, total(windows.Session("2s"), disorder="10s", merge=lambda one, other: one + other)
    )
    assert [message.data.value for message in seen] == [5, 3]
    assert (report.delivered, report.ok, report.held) == (8, 8, 0)


def test_bad_data_fails_its_message_and_the_window_goes_on():
    items = [(0.0, 1), ("noon", 2), (0.2, "two"), (0.3, 4)]
    seen, report = results(items, total(windows.Fixed("1s")))
    failures = [type(message.failure.error) for message in seen if message.failure]
    assert failures == [ValueError, TypeError]
    assert values(seen[-1:]) == [(None, 0, 5, "final")]
    assert (report.ok, report.failed) == (2, 2)


def test_a_key_that_cannot_be_one_fails_its_message():
    seen, report = results([(0.0, 1)], keyed(lambda item: [1]), total(windows.Fixed("1s")))
    assert isinstance(seen[0].failure.error, TypeError)
    assert report.failed == 1


def test_when_the_result_cannot_be_made_its_records_fail_with_it():
    seen, report = results([(0.0, 0), (0.1, 0)], total(windows.Fixed("1s"), result=lambda total: 1 // total))
    assert isinstance(seen[0].failure.error, ZeroDivisionError)
    assert (seen[0].data.window, report.failed) == ((0, SECOND), 2)


def test_failed_messages_pass():
    seen, _ = results(["x", "1"], ops.map(int), ops.reduce(lambda total, n: total + n, initial=0))
    assert isinstance(seen[0].failure.error, ValueError)
    assert seen[1].data.value == 1


def test_early_results_are_exact_whatever_the_batch():
    for batch in (1, 7, 64):
        seen, _ = results([(0.0, 1)] * 10, total(windows.Fixed("1s"), trigger=windows.Every(3)), batch=batch)
        assert [(m.data.value, m.data.firing) for m in seen] == [
            (3, "early"),
            (6, "early"),
            (9, "early"),
            (10, "final"),
        ]


def pulling(arrivals, until):
    """A source of what arrives at certain seconds of a fake clock."""
    clock = FakeClock()

    def pull(count):
        for when in sorted(arrivals):
            if when <= clock.now():
                return arrivals.pop(when)
        return [] if arrivals or clock.now() < until else None

    return clock, pull


def timed(arrivals, operator, *, until=10.0):
    clock, pull = pulling(arrivals, until)
    seen = []

    def note(messages):
        seen.extend((round(clock.now(), 1), message.data.value, message.data.firing) for message in messages)

    run(from_pull(pull, Demand(10), idle=0.1).pipe(operator, ops.settle(note)), runtime=clock)
    return seen


def test_a_timer_gives_an_early_result_though_nothing_comes():
    seen = timed(
        {0.0: [(0.0, 1)], 1.0: [(0.1, 2)]}, total(windows.Fixed("1h"), trigger=windows.After("3s"), idle=None)
    )
    assert seen == [(3.0, 3, "early"), (10.1, 3, "final")]


def test_many_results_leave_in_portions_and_markers_behind_them():
    demand = Demand(10, min_demand=0)
    sizes = []
    chain = from_iterable([(0.0, n) for n in range(95)], demand).pipe(
        keyed(lambda item: item[1]),
        total(windows.Fixed("1s")),
        rx.do_action(lambda batch: sizes.append(len(batch))),
        ops.settle(),
    )
    assert run(chain).ok == 95
    assert sum(sizes) == 95
    assert max(sizes) <= 10


def test_results_can_be_batched_and_folded_again():
    items = [(n / 10, 1, n % 3) for n in range(100)]
    seen, report = results(
        items,
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s")),
        ops.batch(size=4),
        ops.map_messages(lambda message: message.replace(key=None)),
        ops.reduce(
            lambda total, result: total + result.value,
            initial=0,
            window=windows.Fixed("5s"),
            time=lambda result: result.window.start,
        ),
    )
    assert [message.data.value for message in seen] == [50, 50]
    assert (report.delivered, report.ok) == (100, 100)


@pytest.mark.parametrize("demand", [2, 100])
def test_results_of_all_keys_are_merged_when_the_last_of_the_window_has_come(demand):
    items = [(n / 10, 1, n % 3) for n in range(25)]
    seen, report = results(
        items,
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s"), trigger=windows.Every(2)),
        ops.departition(lambda seen, result: {*seen, result.key}, initial=set, result=len),
        demand=Demand(demand),
    )
    assert [(m.data.window.start // SECOND, m.data.value, m.data.count) for m in seen] == [
        (0, 3, 10),
        (1, 3, 10),
        (2, 3, 5),
    ]
    assert (report.delivered, report.ok, report.held) == (25, 25, 0)


def test_late_results_are_merged_into_another_one():
    seen, _ = results(
        [(0.0, 1, "a"), (0.0, 2, "b"), (1.0, 4, "a"), (0.5, 8, "a"), (5.0, 16, "a")],
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s"), lateness="1s"),
        ops.departition(lambda merged, result: merged + result.value, initial=0),
        batch=1,
    )
    assert [(m.data.window.start // SECOND, m.data.value, m.data.firing) for m in seen][:3] == [
        (0, 3, "final"),
        (0, 9, "late"),
        (1, 4, "final"),
    ]


def test_what_cannot_be_merged_fails():
    seen, report = results([1], ops.departition(lambda merged, result: merged, initial=0))
    assert isinstance(seen[0].failure.error, TransformError)
    seen, report = results(
        [(0.0, 1)],
        total(windows.Fixed("1s")),
        ops.departition(lambda merged, result: merged, initial=0, result=lambda merged: 1 / 0),
    )
    assert isinstance(seen[0].failure.error, ZeroDivisionError)
    assert report.failed == 1


def test_options_that_cannot_be_are_refused():
    for options in ({"late": ""}, {"lateness": "soon"}, {"idle": 0}, {"initial": []}):
        with pytest.raises(ConfigError):
            ops.reduce(lambda total, item: total, **{"initial": 0, **options})


# -- topics ------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        yield broker


def send(broker, values, partition=0):
    with broker.producer() as producer:
        producer.send("ticks", [NewRecord(str(value).encode(), partition=partition) for value in values])
        producer.flush()


def read(broker, operator, *, enough, **options):
    """Run a member of the group until `enough` says so of what it has given; return that."""
    seen, stop = [], Stop()

    def store(messages):
        seen.extend(message for message in messages)

    def look():
        if enough(seen):
            stop.drain(5.0)

    chain = from_topic(
        broker, "ticks", group="g", demand=Demand(100), stop=stop, on_turn=look, poll_timeout=0.01, **options
    ).pipe(ops.map(float), operator, ops.settle(store))
    report = run(chain)
    return seen, report


def summing(**options):
    return ops.reduce(
        lambda total, at: total + 1, initial=0, window=windows.Fixed("1s"), time=lambda at: at, **options
    )


def test_the_position_waits_for_the_oldest_open_window_and_a_restart_reads_it_again(broker):
    broker.create_topic("ticks")
    send(broker, [0.0, 0.1, 0.2, 1.0, 1.1])
    seen, report = read(broker, summing(), enough=lambda seen: len(seen) == 1)
    assert [message.data.value for message in seen] == [3]
    assert broker.committed("g", "ticks") == {0: 3}
    assert (report.delivered, report.ok, report.held) == (5, 3, 2)
    send(broker, [1.2, 2.0])
    seen, _ = read(broker, summing(), enough=lambda seen: len(seen) == 1)
    assert [message.data.value for message in seen] == [3]
    assert broker.committed("g", "ticks") == {0: 6}


def test_a_partition_that_has_not_spoken_holds_windows_open_until_it_is_idle(broker):
    broker.create_topic("ticks", partitions=2)
    send(broker, [0.0, 5.0], partition=0)
    seen, _ = read(broker, summing(idle="0.3s"), enough=lambda seen: len(seen) == 1)
    assert [message.data.window.start for message in seen] == [0]


def test_backlogs_of_partitions_that_are_read_one_after_the_other_are_not_late(broker):
    broker.create_topic("ticks", partitions=2)
    for partition in (0, 1):
        send(broker, [n / 10 for n in range(300)], partition=partition)
    _, report = read(broker, summing(idle="30s"), enough=lambda seen: len(seen) >= 58)
    assert report.failed == 0


def test_a_partition_is_not_idle_while_it_waits_to_be_read(broker):
    broker.create_topic("ticks", partitions=2)
    for partition in (0, 1):
        send(broker, [n / 10 for n in range(300)], partition=partition)
    clock, letters, seen, stop = FakeClock(), [], [], Stop()

    def work(data):
        clock.advance(0.5)
        return data

    def store(messages):
        seen.extend(messages)
        if len(seen) >= 58:
            stop.drain(1e6)

    demand = Demand(20, min_demand=0)
    chain = from_topic(broker, "ticks", group="g", demand=demand, stop=stop, poll_timeout=0.01).pipe(
        ops.map(lambda value: float(work(value))),
        summing(idle="5s"),
        ops.settle(store, dead_letters=letters.extend),
    )
    run(chain, runtime=clock)
    assert letters == []


@pytest.mark.parametrize("why", ["pause", "outage"])
def test_a_time_in_which_nothing_was_read_is_no_silence(broker, why):
    broker.create_topic("ticks", partitions=2)
    send(broker, [0.0, 5.0], partition=0)
    send(broker, [0.0], partition=1)
    clock, control, stop = FakeClock(), Control(), Stop()
    faults = Outages(broker)
    turns = 0

    def look():
        nonlocal turns
        turns += 1
        if turns == 20 and why == "pause":
            control.pause()
        faults.away = 20 <= turns < 25 and why == "outage"
        if 20 <= turns < 25:
            clock.advance(2.0)
        if turns == 22:
            send(broker, [0.5, 5.0], partition=1)
        if turns == 25:
            control.resume()
        if letters or len(seen) == 2:
            stop.drain(5.0)

    seen, letters = [], []
    chain = from_topic(faults, "ticks", group="g", demand=Demand(9), on_turn=look, poll_timeout=0.01).pipe(
        ops.map(float), summing(idle="5s"), ops.settle(seen.extend, dead_letters=letters.extend)
    )
    run(chain, runtime=clock, control=control, stop=stop)
    assert letters == []
    assert sum(message.data.value for message in seen) == 3


class Outages:
    """A broker that cannot be read from while it is `away`."""

    def __init__(self, broker):
        self.broker, self.away = broker, False

    def __getattr__(self, name):
        return getattr(self.broker, name)

    def consumer(self, *args, **options):
        consumer = self.broker.consumer(*args, **options)
        poll = consumer.poll_columns

        def poll_columns(*args):
            if self.away:
                self.away = False
                raise QueueError("away")
            return poll(*args)

        consumer.poll_columns = poll_columns
        return consumer


def test_parts_of_partitions_are_merged_at_emission(broker):
    broker.create_topic("ticks", partitions=2)
    for partition in (0, 1):
        send(broker, [0.0, 0.5, 1.0], partition=partition)
    seen, _ = read(broker, summing(merge=lambda one, other: one + other), enough=lambda seen: len(seen) == 1)
    assert [message.data.value for message in seen] == [4]


# -- rebalances --------------------------------------------------------------------------------------------


def rebalanced(event, operator, *, then):
    """Fold ticks of two partitions, have partition 1 taken away, then go on with partition 0."""
    broker, stop, seen, steps = FakeBroker(), Stop(), [], []
    broker.create_topic("ticks", partitions=2)
    for partition in (0, 1):
        broker.append("ticks", partition, b"0.0", b"0.5")

    def look():
        consumer = broker.consumers[0]
        if not steps and demand.in_flight == 0 and sum(consumer.positions().values()) == 4:
            steps.append(event)
            consumer.rebalance(event, TopicPartition("ticks", 1))
        elif len(steps) == 1 and len(consumer.assignment()) == 1:
            steps.append("go on")
            broker.append("ticks", 0, *then)
        elif seen:
            stop.drain(5.0)

    demand = Demand(100)
    chain = from_topic(broker, "ticks", group="g", demand=demand, stop=stop, on_turn=look, poll_timeout=0.01)
    report = run(chain.pipe(ops.map(float), operator, ops.settle(seen.extend)))
    return seen, report, broker.committed("g", "ticks")


@pytest.mark.parametrize("event", ["revoked", "lost"])
@pytest.mark.parametrize("merge", [None, lambda one, other: one + other])
def test_a_partition_that_is_taken_away_takes_its_part_of_the_windows_along(event, merge):
    seen, report, committed = rebalanced(event, summing(merge=merge), then=[b"0.7", b"1.0"])
    assert [message.data.value for message in seen] == [3]
    assert committed == {0: 3}
    assert (report.delivered, report.ok, report.handed_back, report.held) == (6, 3, 2, 1)


@pytest.mark.parametrize("event", ["revoked", "lost"])
def test_the_merged_result_of_what_is_still_ours_reaches_the_sink(event):
    operators = summing(), ops.departition(lambda counts, result: [*counts, result.value], initial=list)
    seen, _, committed = rebalanced(event, lambda source: source.pipe(*operators), then=[b"1.0"])
    assert [message.data.value for message in seen] == [[2]]
    assert committed == {0: 2}


@pytest.mark.parametrize("second", [1.0, 0.5])
def test_a_merged_value_whose_size_raises_fails_its_message_and_is_not_kept(second):
    def size_of(value):
        if value == (1,):
            raise AttributeError("no size")
        return 8

    seen, report = results(
        [(0.0, 1, "a"), (0.5, 2, "b"), (second, 4, "c")],
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s")),
        ops.departition(lambda merged, result: (*merged, result.value), initial=tuple, size_of=size_of),
    )
    assert (report.delivered, report.ok, report.failed, report.held) == (3, 2, 1, 0)
    assert [str(m.failure.error) for m in seen if m.failure] == ["no size"]
    assert sorted(value for m in seen if not m.failure for value in m.data.value) == [2, 4]


def test_a_record_whose_timestamp_is_no_time_fails_and_others_are_not_late(broker):
    broker.create_topic("ticks", partitions=1)
    with broker.producer() as producer:
        times = [1000, 1_700_000_000_000_000_000, 3000, 70_000]
        producer.send("ticks", [NewRecord(b"%d" % time, timestamp=time) for time in times])
        producer.flush()
    seen, letters, stop = [], [], Stop()

    def store(messages):
        seen.extend(messages)
        stop.drain(5.0)

    chain = from_topic(broker, "ticks", group="g", demand=Demand(9), stop=stop, poll_timeout=0.01).pipe(
        ops.reduce(lambda total, value: total + 1, initial=0, window=windows.Fixed("1min")),
        ops.settle(store, dead_letters=letters.extend),
    )
    run(chain)
    assert [message.data.value for message in seen] == [2]
    assert [message.data for message in letters] == [b"1700000000000000000"]


def test_windows_of_a_number_of_pieces_have_names_of_their_own():
    split = ops.split(list)
    chunks = ops.reduce(lambda items, item: [*items, item], initial=list, window=windows.Count(2))
    seen, _ = results([[1, 2, 3, 4, 5], [6]], split, chunks)
    assert [message.data.value for message in seen] == [[1, 2], [3, 4], [5, 6]]
    assert len({message.data.window for message in seen}) == 3


def test_messages_of_several_timestamps_need_to_be_told_their_time(broker):
    broker.create_topic("ticks", partitions=1)
    with broker.producer() as producer:
        records = [NewRecord(b"tick", timestamp=time) for time in (1000, 1000, 1000, 61_000)]
        producer.send("ticks", records)
        producer.flush()
    letters, stop = [], Stop()

    def bury(messages):
        letters.extend(messages)
        stop.drain(5.0)

    source = from_topic(broker, "ticks", group="g", demand=Demand(9), stop=stop, poll_timeout=0.01)
    bars = ops.reduce(lambda total, pair: total + len(pair), initial=0, window=windows.Fixed("1min"))
    report = run(source.pipe(ops.combine(list, size=2), bars, ops.settle(dead_letters=bury)))
    assert report.held == 2
    assert all("expected time=" in str(message.failure.error) for message in letters)


def test_periodic_windows_do_not_mind_a_clock_that_is_set_back():
    class SetBack(FakeClock):
        def wall_ns(self):
            return int(1e18 if self.now() < 1.5 else 1e17)

    clock, seen = SetBack(), []

    def items():
        for n in range(5):
            yield n
            clock.advance(1.0)

    chain = from_iterable(items(), Demand(10), batch=1).pipe(
        ops.reduce(lambda total, n: total + 1, initial=0, window=windows.Periodic("1s")),
        ops.settle(seen.extend),
    )
    assert run(chain, runtime=clock).ok == 5
    assert [message.data.value for message in seen] == [1] * 5


def test_windows_wait_while_another_chain_holds_all_bytes_of_a_demand_that_is_shared():
    clock, demand, items, turns = FakeClock(), Demand(4, max_bytes=100_000), [(0.0, 1), (61.0, 2)], []

    def turn():
        turns.append(demand.in_flight)
        if len(turns) == 4:
            assert demand.take([100_000]) == 1  # the other chain's; nothing of ours is in flight
        if len(turns) == 8:
            demand.settle(1, 100_000)

    def pull(n):
        if items and len(turns) not in range(1, 10):
            return [items.pop(0)]
        return [] if len(turns) < 12 else None

    seen = []
    chain = from_pull(pull, demand, idle=0.01, on_turn=turn).pipe(
        total(windows.Fixed("1min")), ops.settle(lambda messages: seen.extend(m.data.value for m in messages))
    )
    run(chain, runtime=clock)
    assert (sum(seen), demand.in_flight, demand.in_flight_bytes) == (3, 0, 0)
