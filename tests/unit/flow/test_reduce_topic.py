"""Windows over a topic: positions, silence, rebalances."""

import pytest

from streamzarr.errors import QueueError
from streamzarr.flow import Control, Demand, Stop, from_topic, ops, run, windows
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord, TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock


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
