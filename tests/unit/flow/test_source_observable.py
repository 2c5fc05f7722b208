"""Other observables: nothing that they emit is lost, whatever the pace and the thread."""

import threading

import pytest
import reactivex
import reactivex.operators as rx
from reactivex.disposable import Disposable
from reactivex.scheduler import NewThreadScheduler

from streamzarr.errors import BufferFullError, ConfigError
from streamzarr.flow import Blocking, Demand, Refusing, Spilling, Stop, from_observable, ops, run
from streamzarr.runtime import SYSTEM


def collect(into):
    return lambda messages: into.extend(message.data for message in messages)


class Hot:
    """An observable that emits when its :meth:`emit` is called, from the calling thread."""

    def __init__(self):
        self._observers = []
        self.subscribed = threading.Event()
        self.disposed = threading.Event()
        self.observable = reactivex.Observable(self._subscribe)

    def _subscribe(self, observer, scheduler=None):
        self._observers.append(observer)
        self.subscribed.set()

        def dispose():
            self._observers.remove(observer)
            self.disposed.set()

        return Disposable(dispose)

    def emit(self, item):
        for observer in list(self._observers):
            observer.on_next(item)

    def complete(self):
        for observer in list(self._observers):
            observer.on_completed()

    def fail(self, error):
        for observer in list(self._observers):
            observer.on_error(error)


def emitting(hot, threads, each):
    """Emit from several threads at once, then complete; return the thread that waits for them."""

    def emit(number):
        hot.subscribed.wait(30)
        for n in range(each):
            hot.emit((number, n))

    def all_of_it():
        workers = [threading.Thread(target=emit, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        hot.complete()

    thread = threading.Thread(target=all_of_it)
    thread.start()
    return thread


def test_blocking_makes_the_emitting_threads_wait_and_loses_nothing():
    hot, seen, buffer, demand = Hot(), [], Blocking(5), Demand(4)
    most = []
    thread = emitting(hot, threads=3, each=200)
    chain = from_observable(hot.observable, demand, buffer).pipe(
        ops.map(lambda item: most.append(buffer.buffered) or item), ops.settle(collect(seen))
    )
    report = run(chain)
    thread.join()
    assert report.ok == 600
    assert sorted(seen) == [(number, n) for number in range(3) for n in range(200)]
    for number in range(3):
        assert [n for who, n in seen if who == number] == list(range(200)), "each thread's order is kept"
    assert max(most) <= 5
    assert demand.peak <= 4
    assert buffer.buffered == 0


def test_a_cold_observable_emits_at_once_and_waits_as_well():
    emitted, ahead, seen = [], [], []
    numbers = reactivex.from_iterable(range(200)).pipe(rx.do_action(emitted.append))

    def sink(messages):
        ahead.append(len(emitted) - len(seen))
        seen.extend(message.data for message in messages)

    run(from_observable(numbers, Demand(2), Blocking(3)).pipe(ops.settle(sink)))
    assert seen == list(range(200))
    assert max(ahead) <= 2 + 3 + 1  # in flight, in the buffer, in the hand of the thread that waits


def test_another_scheduler_is_fine():
    seen = []
    numbers = reactivex.from_iterable(range(50), scheduler=NewThreadScheduler())
    run(from_observable(numbers, Demand(2), Blocking(3)).pipe(ops.settle(collect(seen))))
    assert seen == list(range(50))


def test_refusing_breaks_the_chain_when_it_is_full():
    hot, seen, demand = Hot(), [], Demand(1)

    def work(item):
        if item == 0:
            for n in range(1, 4):
                hot.emit(n)
        return item

    thread = threading.Thread(target=lambda: hot.subscribed.wait(30) and hot.emit(0))
    thread.start()
    chain = from_observable(hot.observable, demand, buffer := Refusing(2))
    with pytest.raises(BufferFullError, match="keeps 2 items, and the chain takes them more slowly"):
        run(chain.pipe(ops.map(work), ops.settle(collect(seen))))
    thread.join()
    assert seen == [0, 1, 2], "what was kept is delivered before the error"
    assert buffer.buffered == 0
    assert hot.disposed.is_set()
    assert demand.in_flight == 0


def test_spilling_keeps_on_disk_what_memory_does_not_hold():
    hot, seen = Hot(), []
    with Spilling(2, "1MB", encode=lambda n: b"%d" % n, decode=int) as buffer:

        def work(item):
            if item == 0:
                for n in range(1, 500):
                    hot.emit(n)
                assert buffer.buffered == 499
                assert buffer.spilled == 497
                hot.complete()
            return item

        thread = threading.Thread(target=lambda: hot.subscribed.wait(30) and hot.emit(0))
        thread.start()
        run(from_observable(hot.observable, Demand(3), buffer).pipe(ops.map(work), ops.settle(collect(seen))))
        thread.join()
        assert seen == list(range(500))
        assert (buffer.buffered, buffer.spilled) == (0, 0)


def test_a_full_spool_breaks_the_chain_and_says_so():
    hot, seen = Hot(), []
    with Spilling(1, 100) as buffer:

        def work(item):
            if item == b"0":
                for _ in range(4):
                    hot.emit(b"x" * 30)
            return item

        thread = threading.Thread(target=lambda: hot.subscribed.wait(30) and hot.emit(b"0"))
        thread.start()
        chain = from_observable(hot.observable, Demand(1), buffer).pipe(
            ops.map(work), ops.settle(collect(seen))
        )
        with pytest.raises(
            BufferFullError, match="the spool of a hot observable is full: 54 bytes of at most 100"
        ):
            run(chain)
        thread.join()
        assert seen == [b"0", b"x" * 30, b"x" * 30]


def test_spilling_keeps_bytes_unless_it_is_told_how():
    with Spilling(1, "1kB") as buffer:
        buffer.put(1)
        with pytest.raises(ConfigError, match="keeps bytes, but the observable emitted int"):
            buffer.put(2)
        assert buffer.take(9) == [1]


def test_an_item_that_cannot_be_decoded_costs_no_other():
    with Spilling(1, "1kB", encode=bytes, decode=lambda data: 1 // data[0]) as buffer:
        for item in (b"a", b"\1", b"\0", b"\1"):
            buffer.put(item)
        with pytest.raises(ZeroDivisionError):
            buffer.take(9)
        assert buffer.take(9) == [b"a", 1, 1]


def test_its_error_breaks_the_chain_behind_what_it_emitted():
    hot, seen = Hot(), []

    def emit():
        hot.subscribed.wait(30)
        for n in range(5):
            hot.emit(n)
        hot.fail(OSError("cut"))

    thread = threading.Thread(target=emit)
    thread.start()
    with pytest.raises(OSError, match="cut"):
        run(from_observable(hot.observable, Demand(2), Blocking(9)).pipe(ops.settle(collect(seen))))
    thread.join()
    assert seen == [0, 1, 2, 3, 4]


def test_a_subscription_that_raises_breaks_the_chain():
    def subscribe(observer, scheduler=None):
        raise OSError("no such exchange")

    with pytest.raises(OSError, match="no such exchange"):
        run(from_observable(reactivex.Observable(subscribe), Demand(2), Blocking(9)).pipe(ops.settle()))


def test_what_a_stopped_chain_has_not_taken_is_delivered_by_the_next_run():
    hot, buffer, seen, stop = Hot(), Blocking(2), [], Stop()
    emitted = []

    def emit():
        hot.subscribed.wait(30)
        for n in range(50):
            if hot.disposed.is_set():
                return
            hot.emit(n)
            emitted.append(n)

    def sink(messages):
        seen.extend(message.data for message in messages)
        if len(seen) >= 10:
            stop.drain(30)

    thread = threading.Thread(target=emit)
    thread.start()
    chain = from_observable(hot.observable, Demand(2), buffer)
    report = run(chain.pipe(ops.settle(sink)), stop=stop)
    thread.join(30)
    assert not thread.is_alive(), "a thread that waits is let go when the chain ends"
    assert report.stopped
    left = buffer.buffered
    hot.subscribed.clear()
    finisher = threading.Thread(target=lambda: hot.subscribed.wait(30) and hot.complete())
    finisher.start()
    assert run(chain.pipe(ops.settle(collect(seen)))).ok == left
    finisher.join()
    assert seen == list(range(len(seen)))
    assert len(seen) >= len(emitted) - 1  # one may have come between the end and the disposal


def test_an_infinite_cold_observable_ends_with_the_chain():
    stop = Stop()
    numbers = reactivex.from_iterable(iter(int, 1))
    chain = from_observable(numbers, Demand(2), buffer := Blocking(3))
    report = run(chain.pipe(ops.settle(lambda _: stop.drain(30))), stop=stop)
    assert report.stopped
    assert buffer.buffered <= 4


def test_a_chain_that_feeds_itself_does_not_wait_for_itself():
    hot = Hot()

    def echo(messages):
        for message in messages:
            hot.emit(message.data)
            hot.emit(message.data)

    thread = threading.Thread(target=lambda: hot.subscribed.wait(30) and hot.emit(1))
    thread.start()
    with pytest.raises(BufferFullError, match="the chain's own, which would wait for itself"):
        run(from_observable(hot.observable, Demand(2), Blocking(3)).pipe(ops.settle(echo)))
    thread.join()


def test_a_buffer_takes_the_runtime_it_is_given():
    assert Blocking(1, runtime=SYSTEM).buffered == 0
