"""The asof join in a chain: what waits for what, what is held, and what is settled when."""

import re
import threading

import pytest

from streamzarr.errors import ConfigError, LateError, LimitExceededError
from streamzarr.flow import Control, Demand, Stop, from_iterable, from_pull, from_topic, ops, run, windows
from streamzarr.flow.ops.joining import Joining
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord

AT = {"by": lambda row: row[0], "time": lambda row: row[1]}


class Given:
    """A source that has what it is given, until it is ended."""

    def __init__(self, *rows, ended=False):
        self.rows, self.ended = list(rows), ended

    def __call__(self, count):
        taken, self.rows = self.rows[:count], self.rows[count:]
        return None if self.ended and not taken else taken


class Joined:
    """A join of two given sources that runs on a thread of its own."""

    def __init__(self, left, right, *, demands=None, **options):
        self.left, self.right, self.found = left, right, []
        self.demands = demands or (Demand(10), Demand(10))
        self.stop, self.control, self.error, self.report = Stop(), Control(), None, None
        self.seen = threading.Condition()
        self.chain = from_pull(left, self.demands[0], idle=0.001).pipe(
            ops.join_asof(from_pull(right, self.demands[1], idle=0.001), **{**AT, **options}),
            ops.settle(self._take),
        )
        self.thread = threading.Thread(target=self._run)

    def _take(self, messages):
        with self.seen:
            self.found.extend(message.data for message in messages)
            self.seen.notify_all()

    def _run(self):
        try:
            self.report = run(self.chain, stop=self.stop, control=self.control)
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.drain(30)
        self.thread.join(60)
        assert not self.thread.is_alive()

    def wait_for(self, condition):
        with self.seen:
            assert self.seen.wait_for(condition, 30)


def test_a_left_waits_until_the_right_has_passed_it():
    with Joined(Given(("a", 5, "L")), Given(("a", 3, "R"))) as joined:
        while joined.left.rows or joined.right.rows:
            joined.control.barrier(0.01)
        assert not joined.control.barrier(0.05)
        assert joined.found == []
        joined.right.rows = [("a", 5, "S")]  # another one of time 5 may still come
        assert not joined.control.barrier(0.05)
        joined.right.rows = [("a", 6, "T")]
        joined.wait_for(lambda: joined.found)
        assert joined.found == [(("a", 5, "L"), ("a", 5, "S"))]
        assert joined.control.barrier(30)
    assert joined.demands[0].in_flight == joined.demands[1].in_flight == 0


def test_an_idle_partition_of_the_right_does_not_carry_lefts_beyond_it_but_waiting_does():
    left, right = Given(("a", 5, "L")), Given(("a", 3, "R"))
    with Joined(left, right, wait="20ms") as joined:
        joined.wait_for(lambda: joined.found)
        assert joined.found == [(("a", 5, "L"), ("a", 3, "R"))]


def test_the_right_does_not_run_ahead_of_the_left():
    left, right = Given(), Given(*[("a", at, at) for at in range(100)])
    demands = Demand(10), Demand(8)
    with Joined(left, right, demands=demands) as joined:
        while len(right.rows) > 92:
            joined.control.barrier(0.01)
        assert not joined.control.barrier(0.02) or len(right.rows) >= 92
        assert demands[1].in_flight == 8
        left.rows = [("a", at, at) for at in range(50)]
        joined.wait_for(lambda: len(joined.found) == 50)
        assert joined.found == [((*("a", at), at), ("a", at, at)) for at in range(50)]
        assert demands[1].peak <= 8


def test_quiet_keys_keep_no_credit():
    """More keys than demand: each has a last row, which the left has passed and may still want."""
    left, right = Given(), Given(*[(key, 0, key) for key in range(100)], ("x", 5, "x"))
    demands = Demand(10), Demand(8, max_bytes=10_000)
    with Joined(left, right, demands=demands) as joined:
        left.rows = [("y", 1, "first"), *[(key, 4, key) for key in range(100)]]
        joined.wait_for(lambda: len(joined.found) == 101)
    assert joined.found == [
        (("y", 1, "first"), None),
        *[((key, 4, key), (key, 0, key)) for key in range(100)],
    ]


def test_more_rows_than_demand_within_the_disorder_do_not_lock_the_join():
    left = Given(*[("a", at, at) for at in range(30)], ended=True)
    right = Given(*[("a", at, at) for at in range(30)], ended=True)
    demands = Demand(3), Demand(3)
    with Joined(left, right, demands=demands, disorder=20e-9, idle=None) as joined:
        joined.thread.join(60)
    assert joined.error is None
    assert [right[2] for _, right in joined.found] == list(range(30))


def test_rows_are_bounded():
    left = Given(("a", 0, 0))
    right = Given(*[(at, 1, at) for at in range(1000)])
    with Joined(left, right, max_rows=50, disorder=100e-9) as joined:
        joined.thread.join(60)
    assert isinstance(joined.error, LimitExceededError)
    assert re.match(r"join_asof holds \d+ rows of its right side, expected at most 50", str(joined.error))


def test_late_messages_fail_or_go_to_an_output():
    left, right = [("a", 9, "L"), ("a", 2, "late left")], [("a", 9, "R"), ("a", 1, "late right")]
    for late in (None, "late"):
        seen = []
        chain = from_iterable(left, Demand(9)).pipe(
            ops.join_asof(from_iterable(right, Demand(9)), late=late, **AT), ops.settle(seen.extend)
        )
        report = run(chain)
        odd = [message for message in seen if not hasattr(message.data, "left")]
        assert {message.data[2] for message in odd} == {"late left", "late right"}
        if late is None:
            assert all(isinstance(message.failure.error, LateError) for message in odd)
            assert report.failed == 2
        else:
            assert {message.output for message in odd} == {"late"}
            assert report.failed == 0


def test_bad_data_fails_its_message_only():
    seen = []
    left = [("a", 1, "L"), ("a", None, "no time"), 7, (["b"], 1, "no key")]
    right = [("a", 1, "R"), ()]
    chain = from_iterable(left, Demand(9)).pipe(
        ops.join_asof(from_iterable(right, Demand(9)), **AT), ops.settle(seen.extend)
    )
    report = run(chain)
    assert (report.ok, report.failed) == (2, 4)
    [good] = [message for message in seen if message.failure is None]
    assert good.data == (("a", 1, "L"), ("a", 1, "R"))
    assert {message.failure.stage for message in seen if message.failure} == {"join_asof"}


def test_failed_messages_of_either_side_pass():
    seen = []
    chain = from_iterable(["1", "x"], Demand(9)).pipe(
        ops.map(int),
        ops.join_asof(
            from_iterable(["1", "y"], Demand(9)).pipe(ops.map(int)), by=lambda n: "", time=lambda n: n
        ),
        ops.settle(seen.extend),
    )
    assert (run(chain).failed, len(seen)) == (2, 3)


def test_sides_may_look_different():
    seen = []
    quotes = from_iterable([{"pair": "EUR", "ts": 1, "rate": 1.1}], Demand(9))
    chain = from_iterable([("EUR", 2)], Demand(9)).pipe(
        ops.join_asof(quotes, **AT, right_by=lambda row: row["pair"], right_time=lambda row: row["ts"]),
        ops.settle(seen.extend),
    )
    run(chain)
    assert seen[0].data.right["rate"] == 1.1


def test_a_join_can_be_joined_again():
    def numbers(*times):
        return from_iterable([("a", at, at) for at in times], Demand(4))

    seen = []
    chain = numbers(2, 4, 6).pipe(
        ops.join_asof(numbers(1, 3, 5), **AT),
        ops.join_asof(
            numbers(0, 6),
            by=lambda joined: joined.left[0],
            time=lambda joined: joined.left[1],
            right_by=AT["by"],
            right_time=AT["time"],
        ),
        ops.settle(seen.extend),
    )
    assert run(chain).ok == 8
    assert [(m.data.left.left[1], m.data.left.right[1], m.data.right[1]) for m in seen] == [
        (2, 1, 0),
        (4, 3, 0),
        (6, 5, 6),
    ]


def test_a_failure_of_either_source_breaks_the_chain():
    def broken(count):
        raise OSError("cut")

    for sources in ((broken, Given()), (Given(), broken)):
        demands = Demand(3), Demand(3)
        with Joined(*sources, demands=demands) as joined:
            joined.thread.join(60)
        assert isinstance(joined.error, OSError)
        assert demands[0].in_flight == demands[1].in_flight == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -1}, "tolerance is -1"),
        ({"direction": "sideways", "tolerance": 1}, "direction is 'sideways'"),
        ({"direction": "forward"}, "without a tolerance would wait for ever"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ops.join_asof(from_iterable([], Demand(1)), **AT, **options)


# -- topics ----------------------------------------------------------------------------------------------


def send(broker, topic, rows):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(f"{at}".encode(), partition=p, timestamp=at) for p, at in rows])
        producer.flush()


def topics(broker, sink, **options):
    def source(topic):
        return from_topic(broker, topic, group="g", demand=Demand(20), commit_every=0.01)

    return source("left").pipe(
        ops.join_asof(source("right"), by=lambda data: "", tolerance="5ms", **options), ops.settle(sink)
    )


def test_a_row_is_acknowledged_when_no_left_can_want_it_not_even_after_a_crash(tmp_path):
    stop, found = Stop(), []
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        for topic in ("left", "right"):
            broker.create_topic(topic, 1)
        send(broker, "right", [(0, at) for at in (1000, 1010, 1020, 1030)])
        send(broker, "left", [(0, 1012), (0, 1022)])

        def sink(messages):
            found.extend((m.data.left, m.data.right) for m in messages)
            committed = broker.committed("g", "right").get(0, 0)
            assert committed <= 1, "no left is stored yet, so the row at 1010 would be needed again"
            if len(found) == 2:
                stop.drain(30)

        run(topics(broker, sink), stop=stop)
        assert found == [(b"1012", b"1010"), (b"1022", b"1020")]
        assert broker.committed("g", "left") == {0: 2}
        assert broker.committed("g", "right")[0] <= 2


def test_a_left_waits_for_the_partition_of_the_right_that_is_its_own(tmp_path):
    stop, found = Stop(), []
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        broker.create_topic("left", 2)
        broker.create_topic("right", 1)
        send(broker, "right", [(0, 1000), (0, 2000)])
        send(broker, "left", [(0, 1001), (1, 1001), (0, 1500)])

        def sink(messages):
            found.extend((m.record.partition, m.data.right) for m in messages)
            if len(found) == 2:
                stop.drain(30)

        report = run(topics(broker, sink), stop=stop)
        assert found == [(0, b"1000"), (0, None)]
        assert report.handed_back >= 1, "the left of partition 1"
        assert broker.committed("g", "left").get(1, 0) == 0


def test_what_the_windows_of_one_side_have_passed_is_not_kept_and_goes_behind_its_lefts(monkeypatch):
    made, seen = [], []
    begin = Joining.__init__
    monkeypatch.setattr(
        Joining,
        "__init__",
        lambda self, *args, **kwargs: (made.append(self), begin(self, *args, **kwargs))[0],
    )

    def windowed():
        return from_iterable([(float(n), "k") for n in range(300)], Demand(10), batch=5).pipe(
            ops.partition_by(lambda item: item[1]),
            ops.reduce(
                lambda n, item: n + 1, initial=0, window=windows.Fixed("1s"), time=lambda item: item[0]
            ),
        )

    chain = windowed().pipe(
        ops.join_asof(windowed(), by=lambda row: row.key, time=lambda row: row.window.start),
        ops.map(lambda joined: joined.left),
        ops.departition(lambda total, result: total + result.value, initial=0),
        ops.settle(lambda messages: seen.extend((m.data.value, m.data.firing) for m in messages)),
    )
    run(chain)
    assert seen == [(1, "final")] * 300
    assert [len(joining._markers) for joining in made] == [0]
