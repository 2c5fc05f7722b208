"""Calls in flight: how many at once, in which order, and what happens when one fails or nobody waits."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from streamzarr.zarr.streaming.inflight import ahead, for_async, in_flight


class Desk:
    """Takes calls and leaves it to the test when each ends."""

    def __init__(self):
        self.calls: dict[object, Future] = {}

    def submit(self, item):
        self.calls[item] = future = Future()
        future.set_running_or_notify_cancel()
        return future

    def finish(self, *items):
        for item in items:
            self.calls[item].set_result(item)


def threads_named(prefix):
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_as_many_as_the_limit_are_under_way_and_no_more():
    desk = Desk()
    results = in_flight(desk.submit, range(10), limit=3)
    assert not desk.calls  # nothing starts before somebody wants a result
    with ThreadPoolExecutor(1) as consumer:
        first = consumer.submit(next, results)
        while len(desk.calls) < 3:
            pass
        desk.finish(0)
        assert first.result(10) == 0
        assert sorted(desk.calls) == [0, 1, 2, 3]
        desk.finish(1, 2, 3)
        assert [next(results), next(results)] == [1, 2]
        assert sorted(desk.calls) == [0, 1, 2, 3, 4, 5]
        desk.finish(4, 5)
        results.close()
    assert sorted(desk.calls) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("ordered", "expected"), [(True, [0, 1, 2, 3]), (False, [2, 0, 1, 3])])
def test_results_come_in_order_or_as_they_end(ordered, expected):
    desk = Desk()

    def submit(item):
        future = desk.submit(item)
        if item == 2:
            desk.finish(2)
        if item == 3:
            desk.finish(0, 1, 3)
        return future

    assert list(in_flight(submit, range(4), limit=3 if not ordered else 4, ordered=ordered)) == expected


def test_an_error_comes_at_its_place_named_and_ends_the_rest():
    begun = []

    def call(item):
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    seen = []
    with ThreadPoolExecutor(2) as pool:
        results = in_flight(lambda n: pool.submit(call, n), range(100), limit=4, name=lambda n: f"item {n}")
        with pytest.raises(ValueError, match="two") as caught:
            seen.extend(results)
    assert seen == [0, 1]
    assert caught.value.__notes__ == ["item 2"]
    assert max(begun) < 8


def test_leaving_early_waits_for_what_has_begun():
    gate, ended = threading.Event(), []

    def call(item):
        if item:
            gate.wait(10)
            ended.append(item)
        return item

    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(1) as other:
        results = in_flight(lambda n: pool.submit(call, n), range(10), limit=6)
        assert next(results) == 0
        closing = other.submit(results.close)
        gate.set()
        closing.result(10)
        assert 1 <= len(ended) <= 4  # those that had begun; the others were cancelled
        so_far = list(ended)
    assert ended == so_far


def test_reading_ahead_keeps_order_bounds_and_errors():
    drawn = []

    def numbers():
        for n in range(20):
            drawn.append(n)
            if n == 12:
                raise OSError("twelve")
            yield n

    seen, early = [], []
    results = ahead(numbers(), 3, "streamzarr-test-ahead")
    for n in range(12):
        seen.append(next(results))
        early.append(max(drawn) - n)
    with pytest.raises(OSError, match="twelve"):
        next(results)
    assert seen == list(range(12))
    assert max(early) <= 4  # three that wait, and the one that is being made
    assert not threads_named("streamzarr-test-ahead")


def test_leaving_what_is_read_ahead_closes_its_source():
    closed = []

    def numbers():
        try:
            yield from range(100)
        finally:
            closed.append(threading.current_thread().name)

    for n in ahead(numbers(), 2, "streamzarr-test-ahead"):
        if n == 3:
            break
    assert len(closed) == 1
    assert not threads_named("streamzarr-test-ahead")


def test_async_results_leave_the_loop_free_and_close_their_source_on_cancellation():
    closed = threading.Event()
    waiting = threading.Event()
    proceed = threading.Event()

    def slow():
        try:
            yield 1
            waiting.set()
            proceed.wait(10)
            yield 2
        finally:
            closed.set()

    async def consume():
        async for _ in for_async(slow()):
            pass

    async def main():
        task = asyncio.create_task(consume())
        while not waiting.is_set():
            await asyncio.sleep(0)  # the loop turns while the source blocks
        task.cancel()
        proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set()

    asyncio.run(main())
