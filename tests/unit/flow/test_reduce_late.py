"""Messages that come late, or from the future."""

import pytest

from streamzarr.errors import AheadError, LateError
from streamzarr.flow import Demand, Stop, from_topic, ops, run, windows
from streamzarr.flow.windows.moments import SECOND
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock
from tests.support.reducing import results, total, values


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


NOW = 10**18


class Now(FakeClock):
    """Whose wall clock stands still."""

    def wall_ns(self):
        return NOW


FUTURE = [(NOW - 10 * SECOND, 1), (NOW + 10**16, 2), (NOW - 9 * SECOND, 4)]


def test_one_message_of_a_far_time_makes_what_comes_after_it_late():
    seen, report = results(FUTURE, total(windows.Fixed("1s")), runtime=Now())
    assert [type(message.failure.error) for message in seen if message.failure] == [LateError]
    assert report.failed == 1


def test_a_message_that_is_too_far_ahead_moves_no_watermark_and_goes_where_late_ones_go():
    seen, report = results(FUTURE, total(windows.Fixed("1s"), max_ahead="1d"), runtime=Now())
    (ahead,) = [message for message in seen if message.failure]
    assert isinstance(ahead.failure.error, AheadError)
    assert "s ahead of the clock" in str(ahead.failure.error)
    assert [message.data.value for message in seen if not message.failure] == [1, 4]
    assert (report.ok, report.failed) == (2, 1)
    seen, _ = results(FUTURE, total(windows.Fixed("1s"), max_ahead="1d", late="odd"), runtime=Now())
    assert [message.data for message in seen if message.output == "odd"] == [FUTURE[1]]


@pytest.mark.parametrize("sent", [61_000, 121_000])
def test_event_time_may_be_ahead_of_the_time_of_its_record_by_as_much(tmp_path, sent):
    seen, letters, stop = [], [], Stop()
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        broker.create_topic("ticks")
        with broker.producer() as producer:
            times = [(b"0", 0), (b"181", sent), (b"1", 1000), (b"200", 200_000)]
            producer.send("ticks", [NewRecord(value, timestamp=timestamp) for value, timestamp in times])
            producer.flush()

        def store(messages):
            seen.extend(message.data.count for message in messages)
            stop.drain(5.0)

        source = from_topic(broker, "ticks", group="g", demand=Demand(9), stop=stop, poll_timeout=0.01)
        minutes = ops.reduce(
            lambda count, at: count + 1,
            initial=0,
            window=windows.Fixed("1min"),
            time=float,
            max_ahead="1min",
        )
        run(source.pipe(minutes, ops.settle(store, dead_letters=letters.extend)))
    refused = [type(letter.failure.error) for letter in letters]
    assert (seen[:1], refused) == (([2], [AheadError]) if sent == 61_000 else ([1], [LateError]))


def test_a_record_without_a_timestamp_is_not_ahead_of_it():
    broker, seen, letters, stop = FakeBroker(), [], [], Stop()
    broker.create_topic("ticks")
    with broker.producer() as producer:
        producer.send("ticks", [NewRecord(value, timestamp=-1) for value in (b"1700000000", b"1700000099")])
        producer.flush()

    def store(messages):
        seen.extend(message.data.count for message in messages)
        stop.drain(5.0)

    def bury(messages):
        letters.extend(messages)
        stop.drain(5.0)

    source = from_topic(broker, "ticks", group="g", demand=Demand(9), poll_timeout=0.01)
    minutes = ops.reduce(
        lambda count, at: count + 1, initial=0, window=windows.Fixed("1min"), time=float, max_ahead="1min"
    )
    run(source.pipe(minutes, ops.settle(store, dead_letters=bury)), stop=stop)
    assert (seen, letters) == ([1], [])
