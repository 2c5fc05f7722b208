import threading
import time

import pytest

from streamzarr.errors import StoreError, StreamzarrError
from streamzarr.flow import Demand, Message, Stop, from_iterable, from_topic, ops, run
from streamzarr.flow.dispatch import by_demand, by_key
from streamzarr.flow.ops.schedule import Item, Schedule
from streamzarr.queue.retry import RetryPolicy
from streamzarr.runtime import SYSTEM
from streamzarr.testing.broker_fake import FakeBroker

FAST = RetryPolicy(attempts=4, base=0.01, jitter=0.0)


def alive(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"streamzarr-{name}")]


def poll(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        threading.Event().wait(0.002)


def go(items, *operators, demand=16, **options):
    seen = []
    demand = demand if isinstance(demand, Demand) else Demand(demand)
    report = run(from_iterable(items, demand).pipe(*operators, ops.settle(seen.extend)), **options)
    assert demand.in_flight == 0
    return report, seen


def test_works_in_as_many_threads_as_asked_for():
    barrier = threading.Barrier(4)
    report, _ = go(range(40), ops.dispatch(lambda n: barrier.wait(10), workers=4, stage="four"))
    assert report.ok == 40
    assert not alive("four")


def test_results_keep_their_message():
    _, seen = go(
        range(200),
        ops.map_messages(lambda m: m.replace(nbytes=m.data)),
        ops.dispatch(lambda n: n * 2, workers=3),
    )
    assert sorted(m.data for m in seen) == list(range(0, 400, 2))
    assert all(m.nbytes * 2 == m.data and m.attempts == 1 for m in seen)


def test_one_worker_keeps_the_order():
    _, seen = go(range(300), ops.dispatch(lambda n: n))
    assert [m.data for m in seen] == list(range(300))


def test_results_come_back_on_the_chains_thread():
    threads = set()
    go(range(50), ops.dispatch(lambda n: n, workers=4), ops.map(lambda n: threads.add(threading.get_ident())))
    assert threads == {threading.get_ident()}


def test_no_thread_before_the_first_message_and_none_after_the_last():
    chain = from_iterable([], Demand(4)).pipe(
        ops.dispatch(lambda n: n, workers=4, stage="lazy"), ops.settle()
    )
    during = []
    chain.subscribe(lambda batch: during.append(len(alive("lazy"))))
    assert during == []
    assert not alive("lazy")


def test_a_permanent_error_fails_the_message_at_the_first_attempt():
    calls = []
    report, seen = go([1, 0], ops.dispatch(lambda n: calls.append(n) or 1 / n, retry=FAST, stage="divide"))
    assert (report.ok, report.failed) == (1, 1)
    assert calls == [1, 0]
    [failure] = [m.failure for m in seen if m.failure]
    assert (failure.stage, type(failure.error), failure.attempts) == ("divide", ZeroDivisionError, 1)


def test_failed_messages_pass_untouched():
    calls = []
    _report, seen = go(["1", "x"], ops.map(int, stage="parse"), ops.dispatch(calls.append))
    assert calls == [1]
    assert [m.failure.stage for m in seen if m.failure] == ["parse"]


def test_a_transient_error_is_tried_again_and_counted():
    attempts = {}

    def flaky(n):
        attempts[n] = attempts.get(n, 0) + 1
        if attempts[n] <= n:
            raise StoreError(f"503 for {n}")
        return n

    _report, seen = go(range(6), ops.dispatch(flaky, workers=2, retry=FAST, stage="flaky"))
    assert {m.data: m.attempts for m in seen if m.failure is None} == {0: 1, 1: 2, 2: 3, 3: 4}
    assert sorted((m.data, m.failure.attempts, m.attempts) for m in seen if m.failure) == [
        (4, 4, 4),
        (5, 4, 4),
    ]


def test_without_a_policy_nothing_is_tried_again():
    calls = []

    def fn(n):
        calls.append(n)
        raise StoreError("503")

    report, _ = go([1], ops.dispatch(fn))
    assert (report.failed, calls) == (1, [1])


def test_is_transient_can_be_given():
    calls = []

    def fn(n):
        calls.append(n)
        raise KeyError(n)

    report, _ = go([1], ops.dispatch(fn, retry=FAST, is_transient=lambda error: isinstance(error, KeyError)))
    assert (report.failed, len(calls)) == (1, 4)


def test_backing_off_blocks_neither_the_thread_nor_the_other_messages():
    order = []

    def fn(n):
        order.append(n)
        if n == 0 and order.count(0) == 1:
            raise StoreError("503")
        return n

    report, _seen = go(
        range(20), ops.dispatch(fn, retry=RetryPolicy(attempts=2, base=0.2, jitter=0.0)), demand=32
    )
    assert report.ok == 20
    assert order == [*range(20), 0]


def test_a_judge_that_raises_breaks_the_chain():
    def bad(error):
        raise RuntimeError("no idea")

    def fn(n):
        raise StoreError("503")

    demand = Demand(4)
    chain = from_iterable(range(10), demand).pipe(
        ops.dispatch(fn, stage="judge", retry=FAST, is_transient=bad), ops.settle()
    )
    with pytest.raises(StreamzarrError, match="judge: a worker thread ended with RuntimeError: no idea"):
        run(chain)
    assert demand.in_flight == 0
    assert not alive("judge")


def test_no_more_than_demand_in_the_queue_however_slow_the_work():
    demand, peak = Demand(5), []
    gate = threading.Event()

    def fn(n):
        peak.append(demand.in_flight)
        if n < 3:
            gate.wait(0.05)

    go(range(50), ops.dispatch(fn, workers=2), demand=demand)
    assert max(peak) <= 5
    assert demand.peak <= 5


def test_drain_finishes_what_runs_and_hands_back_what_waits():
    stop, gate, begun = Stop(), threading.Event(), []

    def fn(n):
        begun.append(n)
        if len(begun) == 2:
            stop.drain(10.0)
            threading.Timer(0.1, gate.set).start()
        gate.wait(10)
        return n

    report, seen = go(range(100), ops.dispatch(fn, workers=2, stage="drain"), demand=20, stop=stop)
    assert sorted(m.data for m in seen) == [0, 1]
    assert (report.ok, report.handed_back, report.left, report.stopped) == (2, report.delivered - 2, 0, True)
    assert not alive("drain")


def test_drain_hands_back_what_waits_for_another_attempt():
    stop = Stop()

    def fn(n):
        threading.Timer(0.05, stop.drain, (30.0,)).start()
        raise StoreError("503")

    begun = time.monotonic()
    report, _ = go([1], ops.dispatch(fn, retry=RetryPolicy(attempts=2, base=20.0)), stop=stop)
    assert (report.handed_back, report.ok, report.failed) == (1, 0, 0)
    assert time.monotonic() - begun < 5


def test_the_deadline_of_a_drain_is_kept_and_what_was_left_is_reported(caplog):
    stop, gate, both = Stop(), threading.Event(), threading.Barrier(2)

    def fn(n):
        both.wait(10)
        stop.drain(0.2)
        gate.wait(30)

    demand = Demand(10)
    begun = time.monotonic()
    report = run(
        from_iterable(range(9), demand).pipe(ops.dispatch(fn, workers=2, stage="stuck"), ops.settle()),
        stop=stop,
    )
    assert time.monotonic() - begun < 2
    assert (report.left, report.handed_back) == (2, report.delivered - 2)
    assert "stuck: 2 messages still at work at the end are left" in caplog.text
    assert demand.in_flight == 0
    gate.set()
    poll(lambda: not alive("stuck"))


def test_a_drain_hands_back_what_waits_in_a_batch_before_the_dispatch():
    stop, begun = Stop(), []
    gate = threading.Event()

    def fn(n):
        begun.append(n)
        stop.drain(10.0)
        gate.wait(0.05)

    report, _ = go(range(100), ops.batch(size=3), ops.dispatch(fn), demand=8, stop=stop)
    assert begun == [0]
    assert (report.ok, report.handed_back) == (1, report.delivered - 1)


# -- the schedule by itself ------------------------------------------------------------------------------


def scheduled(*workers):
    schedule = Schedule(by_demand())
    for worker in workers:
        schedule.join(worker)
    return schedule


def items(*datas):
    return [Item(Message(data=data)) for data in datas]


def datas(sent):
    return [item.message.data for _, given in sent for item in given]


def test_schedule_starts_in_order():
    schedule = scheduled("w")
    assert schedule.add(items(0, 1, 2)) == []
    assert [datas(schedule.ask("w")) for _ in range(4)] == [[0], [1], [2], []]
    assert (schedule.running, schedule.queued) == (3, 0)


def test_schedule_puts_what_is_due_again_before_the_ready():
    schedule = scheduled("w")
    schedule.add(items(1, 2))
    (_, (first,)), (_, (second,)) = schedule.ask("w") + schedule.ask("w")
    schedule.put_off("w", first, due=5.0)
    schedule.put_off("w", second, due=4.0)
    schedule.add(items(3))
    assert (schedule.next_due(), schedule.wake(3.9)) == (4.0, [])
    assert schedule.wake(5.0) == []
    assert [datas(schedule.ask("w")) for _ in range(4)] == [[2], [1], [3], []]


def test_schedule_gives_up_what_is_not_running():
    schedule = scheduled("w")
    schedule.add(items(0, 1, 2, 3, 4, 5))
    (_, (a,)), (_, (b,)) = schedule.ask("w") + schedule.ask("w")
    schedule.put_off("w", a, due=9.0)
    withdrawn, sent = schedule.withdraw(lambda message: message.data % 2 == 0)
    assert [item.message.data for item in withdrawn] == [0, 2, 4]
    assert (schedule.queued, schedule.running, schedule.next_due(), sent) == (2, 1, None, [])
    assert b.message.data == 1


def test_schedule_frees_a_key_whose_put_off_item_is_withdrawn():
    schedule = Schedule(by_key(lambda item: item.message.key))
    schedule.join("w")
    one, two = (Item(Message(data=n, key="k")) for n in (1, 2))
    schedule.add([one, two])
    schedule.ask("w")
    schedule.put_off("w", one, due=9.0)
    assert schedule.ask("w") == []
    withdrawn, sent = schedule.withdraw(lambda message: message.data == 1)
    assert (withdrawn, datas(sent)) == ([one], [2])


class Threadless:
    """A runtime where no thread can be started but the first `most`."""

    def __init__(self, most):
        self._left = most

    def __getattr__(self, name):
        return getattr(SYSTEM, name)

    def thread(self, call, name):
        thread = SYSTEM.thread(call, name)
        if self._left == 0:
            thread.start = self._refuse
        else:
            self._left -= 1
        return thread

    def _refuse(self):
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("most", [0, 2])
def test_a_worker_thread_that_cannot_start_breaks_the_chain_which_releases_everything(most):
    broker = FakeBroker()
    broker.create_topic("t")
    broker.append("t", 0, *[b"1"] * 5)
    demand = Demand(10)
    chain = from_topic(broker, "t", group="g", demand=demand).pipe(
        ops.dispatch(int, workers=3, stage="threadless"), ops.settle()
    )
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run(chain, runtime=Threadless(most))
    assert demand.in_flight == 0
    assert broker.consumers[0].closed
    assert not alive("threadless")
