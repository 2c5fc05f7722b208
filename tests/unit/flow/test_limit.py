"""Partitions that pause rather than make dead letters of everything: nothing is lost, and they go on."""

import math

import pytest

from streamzarr.errors import ConfigError, LimitExceededError, StoreError
from streamzarr.flow import (
    Control,
    DeadLetterLimit,
    Demand,
    Pause,
    Stop,
    from_iterable,
    from_topic,
    from_topic_columns,
    ops,
    run,
)
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

P0, P1 = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


class Bench:
    """A chain from two partitions to a sink; `turn` sees each turn of it, and ends it."""

    def __init__(self):
        self.clock = FakeClock(100.0)
        self.broker = FakeBroker(self.clock)
        self.broker.create_topic("jobs", 2)
        self.stop, self.control = Stop(self.clock), Control(runtime=self.clock)
        self.stored, self.letters = [], []
        self.broken = set()
        """Values that cannot be worked on."""
        self.error = ValueError("bad")

    def work(self, value):
        if value in self.broken:
            raise self.error
        return value

    def store(self, messages):
        self.stored += [message.data for message in messages]

    def bury(self, messages):
        self.letters += [message.record.value for message in messages]

    def run(self, limit, turn, sink=None, seconds=600, batch=None, **options):
        end = self.clock.now() + seconds
        turns = 0

        def on_turn():
            nonlocal turns
            turns += 1
            assert turns < 50_000
            if turn() or self.clock.now() > end:
                self.stop.drain(5.0)

        chain = from_topic(
            self.broker,
            "jobs",
            group="workers",
            demand=Demand(10, runtime=self.clock),
            on_turn=on_turn,
            stop=self.stop,
        ).pipe(
            ops.map(lambda value: self.work(value)),
            *([] if batch is None else [ops.batch(batch, timeout=3600.0)]),
            ops.settle(sink or self.store, dead_letters=self.bury, limit=limit, **options),
        )
        return run(chain, stop=self.stop, control=self.control, runtime=self.clock)

    @property
    def paused(self):
        return self.control.paused_partitions

    def committed(self):
        return self.broker.committed("workers", "jobs")


@pytest.fixture
def bench():
    return Bench()


def test_ten_poison_messages_with_a_limit_of_two_lose_nothing(bench, caplog):
    bench.broker.append("jobs", 0, b"ok", *(b"bad %d" % n for n in range(10)), b"last")
    bench.broken = {b"bad %d" % n for n in range(10)}
    report = bench.run(DeadLetterLimit(in_a_row=2), lambda: bench.clock.now() > 130)
    assert bench.letters == [b"bad 0", b"bad 1"]
    assert bench.stored.count(b"ok") == 1
    assert bench.committed()[0] == 3
    [paused] = report.paused
    assert (paused.partition, paused.position) == (P0, 3)
    assert "jobs[0] pauses at 3: the message that it was tried with failed too" in str(report)
    assert "jobs[0] pauses at 3: 2 dead letters in a row; the last error is ValueError: bad" in caplog.text
    assert 2 <= paused.tries <= 5, "after 1, 2, 4, 8 s"


def test_it_goes_on_by_itself_when_a_try_goes_well(bench, caplog):
    bench.broker.append("jobs", 0, *(b"%d" % n for n in range(12)))
    bench.broken = {b"%d" % n for n in range(12)}

    def turn():
        if bench.clock.now() > 120:
            bench.broken = {b"7"}
        return bench.committed().get(0) == 12

    report = bench.run(DeadLetterLimit(in_a_row=3), turn)
    assert bench.letters == [b"0", b"1", b"2", b"7"]
    assert set(bench.stored) == {b"%d" % n for n in range(12)} - set(bench.letters)
    assert report.paused == ()
    assert "jobs[0] goes on, after" in caplog.text


def test_it_goes_on_by_command_with_its_limit_anew(bench):
    bench.broker.append("jobs", 0, *(b"%d" % n for n in range(7)))
    bench.broken = {b"%d" % n for n in range(7)}
    seen = []

    def turn():
        if bench.paused:
            seen.append(len(bench.letters))
            bench.control.resume_partitions(P0)
        return bench.committed().get(0) == 7

    bench.run(DeadLetterLimit(in_a_row=2, probe_after=math.inf), turn)
    assert bench.letters == [b"%d" % n for n in range(7)]
    assert sorted(set(seen)) == [2, 4, 6]


def test_without_a_command_and_without_a_try_it_stays(bench):
    bench.broker.append("jobs", 0, b"a", b"b")
    bench.broken = {b"a", b"b"}
    report = bench.run(DeadLetterLimit(in_a_row=0, probe_after=math.inf), lambda: False, seconds=500)
    assert (bench.letters, len(report.paused), report.paused[0].tries) == ([], 1, 0)


def test_other_partitions_go_on(bench):
    bench.broker.append("jobs", 0, *(b"bad" for _ in range(5)))
    bench.broker.append("jobs", 1, *(b"%d" % n for n in range(50)))
    bench.broken = {b"bad"}
    report = bench.run(DeadLetterLimit(in_a_row=1), lambda: bench.committed().get(1) == 50)
    assert bench.stored == [b"%d" % n for n in range(50)]
    assert [each.partition for each in report.paused] in ([P0], [])
    assert bench.letters == [b"bad"]


def test_by_share(bench):
    bench.broker.append("jobs", 0, *(b"bad" if n % 2 else b"ok" for n in range(20)))
    bench.broken = {b"bad"}
    report = bench.run(DeadLetterLimit(ratio=0.3, of=10), lambda: bool(bench.paused))
    assert len(bench.letters) == 3
    assert "3 dead letters among the last 10 messages" in str(report)


@pytest.mark.parametrize("where", ["work", "sink"])
def test_in_a_row_is_as_they_came_wherever_they_fail(bench, where):
    values = [b"bad" if n % 3 else b"ok" for n in range(30)]
    bench.broker.append("jobs", 0, *values)
    if where == "work":
        bench.broken, sink = {b"bad"}, None
    else:

        def sink(messages):
            bench.store([message for message in messages if message.data == b"ok"])
            return [ops.DONE if m.data == b"ok" else ops.Failed(ValueError()) for m in messages]

    report = bench.run(DeadLetterLimit(in_a_row=2), lambda: bench.committed().get(0) == 30, sink)
    assert (report.paused, len(bench.letters), len(bench.stored)) == ((), 20, 10)


@pytest.mark.parametrize(
    ("error", "what"),
    [(StoreError, ["s3://lab: 403"]), (PermissionError, [13, "read-only"]), (OSError, [28, "no space"])],
)
def test_what_no_message_is_to_blame_for_is_no_letter(bench, error, what):
    bench.broker.append("jobs", 0, *(b"%d" % n for n in range(30)))
    bench.broken, bench.error = {b"%d" % n for n in range(10, 30)}, error(*what)

    def turn():
        if bench.clock.now() > 200:
            bench.broken = set()
        return bench.committed().get(0) == 30

    bench.run(DeadLetterLimit(), turn)
    assert bench.letters == []
    assert set(bench.stored) == {b"%d" % n for n in range(30)}


def test_a_sink_may_ask_for_a_pause(bench):
    bench.broker.append("jobs", 0, b"a", b"b", b"c")
    away = True

    def sink(messages):
        if away:
            return [Pause("no registry", first=3.0) for _ in messages]
        return bench.store(messages)

    def turn():
        nonlocal away
        away = away and bench.clock.now() < 150
        return bench.committed().get(0) == 3

    bench.run(None, turn, sink)
    assert bench.stored == [b"a", b"b", b"c"]


def test_one_record_is_tried_and_hurried_through_what_waits_for_more(bench):
    bench.broker.append("jobs", 0, *(b"%d" % n for n in range(30)))
    bench.broken, bench.error = {b"%d" % n for n in range(30)}, StoreError("away")
    handed, work = [], bench.work
    bench.work = lambda value: (handed.append(value), work(value))[1]

    def turn():
        if bench.clock.now() > 200 and bench.broken:
            assert handed[10:] == [b"0"] * (len(handed) - 10)
            assert len(handed) >= 15
            bench.broken = set()
        return len(set(bench.stored)) >= 20

    bench.run(DeadLetterLimit(probe_longest=10.0), turn, batch=1000)
    assert bench.stored[0] == b"0"
    assert (bench.letters, bench.paused) == ([], [])


def test_letters_are_in_a_row_with_their_neighbours_only(bench):
    """What fails at once overtakes what waits in a batch."""
    bench.broker.append("jobs", 0, *(b"bad" if n % 3 == 0 else b"%d" % n for n in range(30)))
    bench.broken = {b"bad"}
    report = bench.run(
        DeadLetterLimit(in_a_row=2, probe_after=math.inf), lambda: len(bench.letters) > 7, batch=1000
    )
    assert report.paused == ()
    assert set(bench.stored) == {b"%d" % n for n in range(report.delivered) if n % 3}


def test_a_command_during_a_try_counts_when_it_fails(bench):
    bench.broker.append("jobs", 0, *(b"%d" % n for n in range(6)))
    bench.broken = {b"%d" % n for n in range(6)}
    work = bench.work

    def command(value):
        if bench.letters == [b"0", b"1"] and not bench.paused:
            bench.control.resume_partitions(P0)
        return work(value)

    bench.work = command
    bench.run(DeadLetterLimit(in_a_row=2, probe_after=5.0), lambda: len(bench.letters) == 4)
    assert bench.letters == [b"0", b"1", b"2", b"3"]


def test_a_partition_that_goes_to_another_member_pauses_no_more(bench):
    bench.broker.append("jobs", 0, b"bad")
    bench.broken = {b"bad"}
    steps = []

    def turn():
        [consumer] = bench.broker.consumers
        if bench.paused and not steps:
            steps.append("revoked")
            consumer.rebalance("revoked", P0)
        elif consumer.assignment() == {P1} and len(steps) == 1:
            steps.append("assigned")
            assert bench.paused == []
            bench.broken = set()
            consumer.rebalance("assigned", P0)
        return bench.committed().get(0) == 1

    bench.run(DeadLetterLimit(in_a_row=0, probe_after=math.inf), turn)
    assert (bench.letters, bench.stored) == ([], [b"bad"])


def test_letters_that_are_away_keep_their_place(bench):
    bench.broker.append("jobs", 0, b"bad", b"ok")
    bench.broken = {b"bad"}
    errors = [StoreError("away"), StoreError("away")]

    def bury(messages):
        if errors:
            raise errors.pop()
        bench.letters += messages

    bench.bury = bury
    bench.run(DeadLetterLimit(in_a_row=1), lambda: bench.committed().get(0) == 2)
    assert len(bench.letters) == 1


def test_a_source_that_is_no_topic_breaks_the_chain():
    letters = []
    chain = from_iterable("abcd", Demand(4)).pipe(
        ops.map(int), ops.settle(dead_letters=letters.extend, limit=DeadLetterLimit(in_a_row=2))
    )
    with pytest.raises(LimitExceededError, match="2 dead letters in a row"):
        run(chain)


def test_columns_pause_too(bench):
    bench.broker.append("jobs", 0, b"1", b"x", b"y", b"2")
    stored = []

    def turn():
        if bench.clock.now() > 150:
            bench.stop.drain(1.0)

    chain = from_topic_columns(
        bench.broker, "jobs", group="workers", demand=Demand(10, runtime=bench.clock), on_turn=turn
    ).pipe(
        ops.decode(lambda run: [int(value) for value in run.values]),
        ops.settle(stored.extend, dead_letters=bench.bury, limit=DeadLetterLimit(in_a_row=1)),
    )
    report = run(chain, stop=bench.stop, runtime=bench.clock)
    assert set(bench.letters) == {b"x"}
    assert report.paused[0].position == 1, "the first record was tried alone, and went well"


@pytest.mark.parametrize(
    "wrong",
    [{"in_a_row": -1}, {"ratio": 1.5}, {"of": 0}, {"probe_after": 0}, {"probe_longest": math.inf}],
)
def test_a_limit_out_of_its_range_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DeadLetterLimit(**wrong)


def test_a_limit_without_dead_letters_is_a_mistake():
    with pytest.raises(ConfigError, match="expected dead_letters="):
        ops.settle(print, limit=DeadLetterLimit())
