"""Items of async iterables: demand decides when the next one is asked for, and every end closes them."""

import asyncio
import contextlib
import threading

import pytest

from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.flow import Demand, Stop, from_async_iterable, ops, run


def collect(into):
    return lambda messages: into.extend(message.data for message in messages)


class Ticks:
    """An async iterable that counts how often it was asked, and whether it was closed."""

    def __init__(self, count, raises=None, hangs=False):
        self.count, self.raises, self.hangs = count, raises, hangs
        self.asked = 0
        self.closed = threading.Event()
        self.cancelled = False
        self.waiting = threading.Event()

    async def __aiter__(self):
        try:
            for n in range(self.count):
                self.asked += 1
                await asyncio.sleep(0)
                yield n
            if self.raises is not None:
                raise self.raises
            if self.hangs:
                self.waiting.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.closed.set()


def test_all_items_arrive_in_order_and_the_generator_is_closed():
    ticks, seen = Ticks(500), []
    report = run(from_async_iterable(ticks, Demand(16)).pipe(ops.settle(collect(seen))))
    assert (report.delivered, report.ok) == (500, 500)
    assert seen == list(range(500))
    assert ticks.closed.is_set()


def test_the_generator_is_never_asked_for_more_than_demand():
    ticks, settled, ahead = Ticks(200), [], []

    def sink(messages):
        ahead.append(ticks.asked - len(settled))
        settled.extend(messages)

    demand = Demand(5)
    run(from_async_iterable(ticks, demand).pipe(ops.settle(sink)))
    assert len(settled) == 200
    assert max(ahead) <= 5
    assert demand.peak <= 5


def test_bytes_bound_what_is_asked_for():
    class Large(Ticks):
        async def __aiter__(self):
            async for _ in Ticks.__aiter__(self):
                yield bytes(60)

    ticks, settled, ahead = Large(30), [], []

    def sink(messages):
        ahead.append(ticks.asked - len(settled))
        settled.extend(messages)

    run(from_async_iterable(ticks, Demand(100, max_bytes=100)).pipe(ops.settle(sink)))
    assert len(settled) == 30
    assert max(ahead) <= 3


def test_a_demand_of_one():
    ticks = Ticks(50)
    assert run(from_async_iterable(ticks, Demand(1)).pipe(ops.settle())).ok == 50


def test_what_it_raises_breaks_the_chain_behind_what_it_gave():
    ticks, seen = Ticks(7, raises=OSError("cut")), []
    with pytest.raises(OSError, match="cut"):
        run(from_async_iterable(ticks, Demand(100)).pipe(ops.settle(collect(seen))))
    assert seen == list(range(7))
    assert ticks.closed.is_set()


def stop_when(ready, how):
    """Call `how` on another thread once the event `ready` is set."""
    stopper = threading.Thread(target=lambda: ready.wait(30) and how())
    stopper.start()
    return stopper


def test_a_stop_cancels_what_it_awaits_and_closes_it():
    ticks, stop, settled = Ticks(3, hangs=True), Stop(), []
    everything = threading.Event()

    def sink(messages):
        settled.extend(messages)
        if len(settled) == 3:
            everything.set()

    stopper = stop_when(everything, lambda: ticks.waiting.wait(30) and stop.drain(30))
    report = run(from_async_iterable(ticks, Demand(10)).pipe(ops.settle(sink)), stop=stop)
    stopper.join()
    assert report.stopped
    assert report.ok == 3
    assert ticks.cancelled
    assert ticks.closed.is_set()


def test_what_had_arrived_and_is_not_delivered_any_more_is_told(caplog):
    begun, stop = threading.Event(), Stop()

    class Late(Ticks):
        async def __aiter__(self):
            yield 0
            await asyncio.to_thread(begun.wait, 30)
            yield 1
            yield 2
            self.waiting.set()
            await asyncio.Event().wait()

    ticks = Late(0)

    def hold(n):
        begun.set()
        assert ticks.waiting.wait(30)
        stop.now()
        return n

    report = run(from_async_iterable(ticks, Demand(10)).pipe(ops.map(hold), ops.settle()), stop=stop)
    assert report.delivered == 1
    assert "2 items of an async iterable had arrived and were not delivered" in caplog.text


def test_a_chain_that_breaks_closes_it():
    ticks = Ticks(3, hangs=True)

    def sink(messages):
        raise RuntimeError("sink")

    with pytest.raises(RuntimeError, match="sink"):
        run(from_async_iterable(ticks, Demand(10)).pipe(ops.settle(sink)))
    assert ticks.closed.is_set()


def test_an_iterable_that_is_no_generator_will_do():
    class Countdown:
        def __init__(self, start):
            self.left = start

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    seen = []
    run(from_async_iterable(Countdown(3), Demand(2)).pipe(ops.settle(collect(seen))))
    assert seen == [2, 1, 0]


def test_an_error_while_it_is_closed_is_raised():
    class Stubborn(Ticks):
        async def __aiter__(self):
            try:
                yield 1
                self.waiting.set()
                await asyncio.Event().wait()
            finally:
                raise OSError("while closing")

    ticks, stop = Stubborn(0), Stop()
    stopper = stop_when(ticks.waiting, stop.now)
    with pytest.raises(OSError, match="while closing"):
        run(from_async_iterable(ticks, Demand(10)).pipe(ops.settle()), stop=stop)
    stopper.join()


def test_one_that_swallows_its_cancellation_ends_all_the_same():
    class Deaf(Ticks):
        async def __aiter__(self):
            self.waiting.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            yield 1
            self.asked += 1
            yield 2

    ticks, stop = Deaf(0), Stop()
    stopper = stop_when(ticks.waiting, stop.now)
    report = run(from_async_iterable(ticks, Demand(10)).pipe(ops.settle()), stop=stop)
    stopper.join()
    assert report.stopped
    assert ticks.asked == 0


async def test_the_callers_loop_runs_the_generator():
    loops, seen = [], []

    async def ticks():
        for n in range(20):
            loops.append(asyncio.get_running_loop())
            yield n

    loop = asyncio.get_running_loop()
    chain = from_async_iterable(ticks(), Demand(4), loop=loop).pipe(ops.settle(collect(seen)))
    report = await asyncio.to_thread(run, chain)
    assert report.ok == 20
    assert seen == list(range(20))
    assert set(loops) == {loop}


async def test_a_chain_on_the_callers_loop_itself_is_refused():
    ticks = Ticks(3)
    chain = from_async_iterable(ticks, Demand(4), loop=asyncio.get_running_loop()).pipe(ops.settle())
    with pytest.raises(ConfigError, match="cannot run on that iterable's event loop"):
        run(chain)


def test_a_loop_that_ends_before_its_iterable_is_an_error():
    ticks = Ticks(3, hangs=True)
    errors = []

    async def main():
        chain = from_async_iterable(ticks, Demand(10), loop=asyncio.get_running_loop()).pipe(ops.settle())

        def work():
            try:
                run(chain)
            except StreamzarrError as error:
                errors.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.to_thread(ticks.waiting.wait, 30)
        return thread

    asyncio.run(main()).join(30)
    assert errors in (
        ["an async iterable was cancelled from outside, or by itself"],
        ["the event loop of an async iterable was closed before the iterable ended"],
    )
