import pytest

from streamzarr.errors import QueueError, StoreError
from streamzarr.flow import Demand, Stop, from_iterable, ops, run
from streamzarr.queue.outage import Contact
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.clock import FakeClock

SLOW = RetryPolicy(attempts=5, base=1.0, factor=2.0, jitter=0.0)


class Sink:
    """Raises the given errors first, then remembers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = []

    def __call__(self, messages):
        self.calls.append([message.data for message in messages])
        if self.errors:
            raise self.errors.pop(0)


def test_credit_returns_only_when_the_sink_has_returned():
    demand = Demand(4, min_demand=0)
    flying = []
    run(from_iterable(range(8), demand).pipe(ops.settle(lambda messages: flying.append(demand.in_flight))))
    assert flying == [4, 4]


def test_one_call_takes_all_that_is_ready():
    demand, sink = Demand(64, min_demand=0), Sink()
    chain = from_iterable(range(64), demand, batch=64).pipe(
        ops.map(lambda n: n), ops.batch(size=5), ops.settle(sink)
    )
    run(chain)
    assert len(sink.calls) <= 2
    assert [n for call in sink.calls for n in call] == list(range(64))


def test_a_transient_error_is_tried_again_in_the_same_order_with_credit_held():
    clock, demand = FakeClock(), Demand(4, min_demand=0)
    sink = Sink(QueueError("away"), QueueError("still away"))
    report = run(from_iterable(range(8), demand).pipe(ops.settle(sink, retry=SLOW)), runtime=clock)
    assert sink.calls == [[0, 1, 2, 3]] * 3 + [[4, 5, 6, 7]]
    assert report.ok == 8
    assert 3.0 <= clock.now() < 4.0
    assert demand.peak == 4


def test_what_finishes_meanwhile_waits_behind_what_was_refused():
    clock = FakeClock()
    sink = Sink(QueueError("away"))
    run(from_iterable(range(6), Demand(8), batch=2).pipe(ops.settle(sink, retry=SLOW)), runtime=clock)
    assert sink.calls[0] == sink.calls[1] == [0, 1]
    assert [n for call in sink.calls[1:] for n in call] == list(range(6))


def test_the_last_attempt_breaks_the_chain():
    clock, demand = FakeClock(), Demand(4)
    sink = Sink(*[QueueError(f"away {n}") for n in range(9)])
    with pytest.raises(QueueError, match="away 4"):
        run(from_iterable(range(8), demand).pipe(ops.settle(sink, retry=SLOW)), runtime=clock)
    assert len(sink.calls) == 5
    assert demand.in_flight == 0


def test_a_permanent_error_breaks_the_chain_at_once():
    demand, sink = Demand(4), Sink(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        run(from_iterable(range(8), demand).pipe(ops.settle(sink, retry=SLOW)))
    assert len(sink.calls) == 1
    assert demand.in_flight == 0


def test_attempts_are_counted_from_the_last_success():
    clock = FakeClock()
    policy = RetryPolicy(attempts=2, base=1.0, jitter=0.0)
    sink = Sink()
    fails = iter([True, False, True, False, True, False])

    def flaky(messages):
        if next(fails, False):
            raise QueueError("away")
        sink(messages)

    report = run(from_iterable(range(8), Demand(2)).pipe(ops.settle(flaky, retry=policy)), runtime=clock)
    assert report.ok == 8


def test_the_sink_sees_the_failed_as_well():
    seen = []
    report = run(from_iterable(["1", "x"], Demand(4)).pipe(ops.map(int), ops.settle(seen.extend)))
    assert [message.failure is None for message in seen] == [True, False]
    assert (report.ok, report.failed) == (1, 1)


def test_settled_batches_go_on_downstream():
    seen = []
    chain = from_iterable(range(6), Demand(4)).pipe(ops.settle(Sink()))
    chain.subscribe(lambda batch: seen.extend(message.data for message in batch))
    assert seen == list(range(6))


def test_a_drain_that_cannot_store_reports_what_is_left():
    clock = FakeClock()
    stop = Stop(clock)
    calls = []

    def sink(messages):
        calls.append(clock.now())
        stop.drain(2.5)
        raise QueueError("away")

    demand = Demand(4)
    report = run(from_iterable(range(8), demand).pipe(ops.settle(sink, retry=SLOW)), stop=stop, runtime=clock)
    assert (report.ok, report.left) == (0, report.delivered)
    assert calls == [0.0, 1.0]
    assert clock.now() == pytest.approx(2.5, abs=0.21)
    assert demand.in_flight == 0


@pytest.mark.parametrize("error", [StoreError("503"), QueueError("refused")])
def test_an_outage_is_told_of_the_one_that_is_away(error, caplog):
    broker, disk = Contact("kafka://host"), Contact("/disk")
    failing = [error]

    def sink(messages):
        if failing:
            raise failing.pop()

    chain = from_iterable("abc", Demand(9)).pipe(ops.settle(sink, contact=broker, target=disk))
    assert run(chain).ok == 3
    lines = [record.getMessage() for record in caplog.records]
    where = "/disk" if isinstance(error, StoreError) else "kafka://host"
    assert len(lines) == 2
    assert lines[0].startswith(f"{where} cannot be reached, trying again: storing 3 results")
    assert lines[1].startswith(f"{where} is reached again")


def test_a_sink_that_went_along_says_nothing_of_an_outage_that_others_met():
    broker = Contact("kafka://host")
    broker.failed("refused")
    assert run(from_iterable("abc", Demand(9)).pipe(ops.settle(lambda _: None, contact=broker))).ok == 3
    assert broker.away
