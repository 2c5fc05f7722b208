"""Steering a running chain: pause, flush and barrier, from other threads."""

import threading

import pytest
import reactivex

from streamzarr.errors import ConfigError
from streamzarr.flow import Control, Demand, Stop, from_iterable, from_pull, from_topic, ops, run
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord


class Background:
    """A chain that runs on a thread of its own."""

    def __init__(self, chain, **options):
        self.stop, self.report, self.error = Stop(), None, None
        self._run = lambda: run(chain, stop=self.stop, **options)
        self._thread = threading.Thread(target=self._work)

    def _work(self):
        try:
            self.report = self._run()
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop.drain(30)
        self.join()

    def join(self):
        self._thread.join(60)
        assert not self._thread.is_alive()


class Supply:
    """A source that has what it is given, and tells when the chain has come back for more after all of it."""

    def __init__(self, items=()):
        self.items, self.empty = list(items), threading.Event()

    def pull(self, count):
        if not self.items:
            self.empty.set()
        taken, self.items = self.items[:count], self.items[count:]
        return taken

    def give(self, *items):
        self.empty.clear()
        self.items = list(items)


def test_a_chain_that_starts_paused_takes_nothing_until_it_is_resumed():
    pulled, settled = [], threading.Event()

    def numbers():
        for n in range(10):
            pulled.append(n)
            yield n

    control = Control(start_paused=True)
    chain = from_iterable(numbers(), Demand(4)).pipe(ops.settle(lambda _: settled.set()))
    with Background(chain, control=control) as background:
        assert control.barrier(30), "the chain runs, and nothing is in it"
        assert (pulled, control.paused) == ([], True)
        control.resume()
        background.join()
    assert background.report.ok == 10
    assert settled.is_set()


def test_pause_lets_nothing_in_and_what_is_in_flight_goes_on():
    control, supply = Control(), Supply([1])
    working, go, done = threading.Event(), threading.Event(), []

    def work(n):
        working.set()
        go.wait(30)
        return n

    chain = from_pull(supply.pull, Demand(4)).pipe(
        ops.dispatch(work, workers=1), ops.settle(lambda messages: done.extend(m.data for m in messages))
    )
    with Background(chain, control=control):
        working.wait(30)
        control.pause()
        supply.give(2, 3)
        go.set()
        assert control.barrier(30)
        assert done == [1]
        assert supply.items == [2, 3]
        control.resume()
        while len(done) < 3:
            assert control.barrier(30)
        assert done == [1, 2, 3]


def test_a_paused_chain_stops():
    control = Control(start_paused=True)
    with Background(from_pull(lambda n: [0], Demand(1)).pipe(ops.settle()), control=control) as background:
        assert control.barrier(30)
    assert background.report.delivered == 0
    assert background.report.stopped


def test_flush_lets_batches_go_and_a_barrier_does_not():
    control, supply, batches = Control(), Supply([1, 2, 3]), []
    chain = from_pull(supply.pull, Demand(100)).pipe(
        ops.batch(10), ops.settle(lambda messages: batches.append([m.data for m in messages]))
    )
    with Background(chain, control=control):
        assert supply.empty.wait(30)
        assert not control.barrier(0.05), "they wait in the batch"
        assert batches == []
        control.flush()
        assert control.barrier(30)
        assert batches == [[1, 2, 3]]
        supply.give(4)
        assert supply.empty.wait(30)
        control.flush()
        assert control.barrier(30)
        assert batches == [[1, 2, 3], [4]]


def test_a_barrier_returns_when_all_before_it_is_settled_and_not_earlier():
    control, go, settled = Control(), threading.Event(), []
    begun = threading.Event()

    def work(n):
        begun.set()
        go.wait(30)
        return n

    chain = from_pull(lambda n: [0] * n, Demand(8)).pipe(
        ops.dispatch(work, workers=3), ops.settle(lambda messages: settled.extend(messages))
    )
    with Background(chain, control=control):
        begun.wait(30)
        assert not control.barrier(0.05)
        assert settled == []
        go.set()
        assert control.barrier(30)
        assert len(settled) >= 1


def test_a_barrier_passes_all_branches():
    control, supply, settled = Control(), Supply(range(20)), []
    chain = from_pull(supply.pull, Demand(50)).pipe(
        ops.route(
            lambda message: "odd" if message.data % 2 else "even",
            {"odd": [ops.dispatch(lambda n: n, workers=2)], "even": []},
        ),
        ops.settle(lambda messages: settled.extend(messages)),
    )
    with Background(chain, control=control):
        assert supply.empty.wait(30)
        assert control.barrier(30)
        assert len(settled) == 20


@pytest.mark.parametrize("joined", [True, False], ids=["one sink", "a sink each"])
def test_a_barrier_waits_for_both_of_two_merged_sources(joined):
    gate, begun, seen = threading.Event(), threading.Event(), []

    def work(number):
        begun.set()
        gate.wait(30)
        return number

    sink = ops.settle(lambda messages: seen.extend(message.data for message in messages))
    ways = [
        from_pull(Supply().pull, Demand(9)),
        from_pull(Supply([7]).pull, Demand(9)).pipe(ops.dispatch(work, workers=1)),
    ]
    chain = (
        reactivex.merge(*ways).pipe(sink) if joined else reactivex.merge(*(way.pipe(sink) for way in ways))
    )
    control = Control()
    with Background(chain, control=control):
        assert begun.wait(30)
        assert not control.barrier(0.3)
        gate.set()
        assert control.barrier(30)
        assert seen == [7]


def test_a_barrier_without_a_chain_waits_for_one():
    control = Control()
    assert not control.barrier(0.01)
    results = []
    waiter = threading.Thread(target=lambda: results.append(control.barrier(30)))
    waiter.start()
    with Background(from_pull(lambda n: [0], Demand(2)).pipe(ops.settle()), control=control):
        waiter.join(60)
    assert results == [True]


def test_a_barrier_is_let_go_when_its_chain_ends():
    control, begun, results = Control(), threading.Event(), []

    def never(n):
        begun.set()
        stop.wait(30)

    stop = threading.Event()
    chain = from_pull(lambda n: [0], Demand(1)).pipe(ops.dispatch(never, workers=1), ops.settle())
    background = Background(chain, control=control)
    with background:
        begun.wait(30)
        waiter = threading.Thread(target=lambda: results.append(control.barrier(60)))
        waiter.start()
        background.stop.now()
        background.join()
        waiter.join(30)
        stop.set()
    assert results == [False]


def test_a_barrier_on_the_chains_own_thread_is_refused():
    control = Control()
    chain = from_iterable([1], Demand(1)).pipe(ops.map(lambda n: control.barrier(1)), ops.settle())
    report = run(chain, control=control)
    assert report.failed == 1
    seen = []
    run(chain.pipe(), control=control)
    chain = from_iterable([1], Demand(1)).pipe(ops.map(lambda n: control.barrier(1)), ops.settle(seen.extend))
    run(chain, control=control)
    assert isinstance(seen[0].failure.error, ConfigError)


def test_flush_and_pause_may_be_called_inside_the_chain():
    control, seen = Control(), []

    def sink(messages):
        seen.extend(message.data for message in messages)
        control.pause()
        control.flush()
        control.resume()

    run(from_iterable(range(10), Demand(4)).pipe(ops.batch(3), ops.settle(sink)), control=control)
    assert seen == list(range(10))


def test_one_chain_at_a_time():
    control = Control()
    with Background(from_pull(lambda n: [0], Demand(2)).pipe(ops.settle()), control=control):
        assert control.barrier(30)
        with pytest.raises(ConfigError, match="another one runs under it"):
            run(from_iterable([1], Demand(1)).pipe(ops.settle()), control=control)
        assert control.barrier(30), "the first one is still steered"
    assert run(from_iterable([1], Demand(1)).pipe(ops.settle()), control=control).ok == 1


def test_a_chain_that_breaks_leaves_its_control_free():
    control = Control()

    def sink(messages):
        raise RuntimeError("sink")

    with pytest.raises(RuntimeError):
        run(from_iterable([1], Demand(1)).pipe(ops.settle(sink)), control=control)
    assert run(from_iterable([1], Demand(1)).pipe(ops.settle()), control=control).ok == 1


def test_a_paused_topic_keeps_its_partitions(tmp_path):
    control, seen = Control(start_paused=True), []
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        broker.create_topic("t", 2)
        with broker.producer() as producer:
            producer.send("t", [NewRecord(b"%d" % n) for n in range(10)])
            producer.flush()
        chain = from_topic(broker, "t", group="g", demand=Demand(5), session_timeout=2.0)
        with Background(chain.pipe(ops.settle(seen.extend)), control=control):
            while not any(broker.assignment("g", "t").values()):
                assert control.barrier(30)
            assert seen == []
            control.resume()
            while len(seen) < 10:
                assert control.barrier(30)
            control.pause()
            assert control.barrier(30)
            assert broker.members("g") == 1
