"""Results in a loop: demand comes from the reader, what it has taken is settled, and leaving releases all."""

import asyncio
import threading
from contextlib import aclosing, closing

import pytest

from streamzarr import flow
from streamzarr.errors import ConfigError
from streamzarr.flow import Control, Demand, Stop, from_iterable, from_pull, ops
from streamzarr.queue.base import NewRecord
from streamzarr.testing.broker_fake import FakeBroker


def datas(messages):
    return [message.data for message in messages]


async def gather(messages):
    return [message.data async for message in messages]


def counting(count):
    """Return numbers, and how many of them were taken."""
    taken = []

    def numbers():
        for n in range(count):
            taken.append(n)
            yield n

    return numbers(), taken


# -- for -------------------------------------------------------------------------------------------------


def test_all_results_come_out_in_order():
    demand = Demand(8)
    chain = from_iterable(range(1000), demand).pipe(ops.map(lambda n: n * 2))
    assert datas(flow.iter(chain)) == list(range(0, 2000, 2))
    assert (demand.in_flight, demand.peak <= 8) == (0, True)


def test_the_source_is_never_more_than_demand_ahead_of_the_reader():
    numbers, taken = counting(200)
    for read, _ in enumerate(flow.iter(from_iterable(numbers, Demand(5)))):
        assert len(taken) <= read + 5


def test_a_demand_of_one_pulls_one_at_a_time():
    numbers, taken = counting(20)
    for read, _ in enumerate(flow.iter(from_iterable(numbers, Demand(1))), 1):
        assert len(taken) == read


def test_nothing_is_pulled_before_the_first_is_asked_for():
    numbers, taken = counting(20)
    messages = flow.iter(from_iterable(numbers, Demand(5)))
    assert taken == []
    next(messages)
    messages.close()
    assert 1 <= len(taken) <= 5


def test_what_the_reader_has_taken_is_settled_when_it_asks_for_the_next_one():
    demand = Demand(4)
    messages = flow.iter(from_iterable(range(2), demand))
    next(messages)
    assert demand.in_flight == 2
    next(messages)
    assert demand.in_flight == 2  # its credit returns at the next turn of the chain
    assert next(messages, None) is None
    assert demand.in_flight == 0


def test_its_value_is_the_report():
    reports = []

    def all_of_it():
        reports.append((yield from flow.iter(from_iterable(["1", "x"], Demand(4)).pipe(ops.map(int)))))

    messages = list(all_of_it())
    assert [message.failure is None for message in messages] == [True, False]
    [report] = reports
    assert (report.delivered, report.ok, report.failed) == (2, 1, 1)


@pytest.mark.parametrize("leave", ["break", "raise", "close"])
def test_leaving_hands_back_what_is_not_settled_and_releases_all(leave):
    demand = Demand(10)
    messages = flow.iter(from_iterable(range(1000), demand).pipe(ops.dispatch(lambda n: n, workers=2)))
    seen = []
    try:
        with closing(messages):
            for message in messages:
                seen.append(message.data)
                if len(seen) == 5:
                    if leave == "break":
                        break
                    if leave == "raise":
                        raise KeyError("reader")
                    messages.close()
    except KeyError:
        assert leave == "raise"
    assert len(seen) == 5
    assert demand.in_flight == 0
    assert not any(thread.name.startswith("streamzarr-dispatch") for thread in threading.enumerate())


def test_work_that_has_begun_may_end_when_the_reader_leaves():
    demand, begun, ended, go = Demand(10), threading.Event(), [], threading.Event()

    def work(n):
        if n == 1:
            begun.set()
            go.wait(30)
            ended.append(n)
        return n

    messages = flow.iter(from_iterable(range(2), demand).pipe(ops.dispatch(work, workers=2)))
    assert next(messages).data == 0
    begun.wait(30)
    threading.Thread(target=go.set).start()
    messages.close()
    assert ended == [1]
    assert demand.in_flight == 0


def test_a_chain_that_settles_by_itself_is_read_as_well():
    stored = []
    chain = from_iterable(range(50), Demand(4)).pipe(ops.settle(stored.extend))
    assert datas(flow.iter(chain)) == list(range(50))
    assert len(stored) == 50


def test_settled_branches_are_settled_once():
    chain = from_iterable(range(10), Demand(4)).pipe(
        ops.route(lambda m: "odd" if m.data % 2 else "even", {"odd": [ops.settle()], "even": [ops.settle()]})
    )
    assert sorted(datas(flow.iter(chain))) == list(range(10))


def test_a_failure_in_the_source_comes_behind_what_it_gave():
    def numbers():
        yield from range(3)
        raise OSError("cut")

    demand, seen = Demand(10), []
    with pytest.raises(OSError, match="cut"):
        seen.extend(message.data for message in flow.iter(from_iterable(numbers(), demand)))
    assert seen == [0, 1, 2]
    assert demand.in_flight == 0


def test_a_failure_while_the_reader_leaves_is_raised():
    class Closing:
        def __iter__(self):
            try:
                yield from range(100)
            finally:
                raise OSError("while closing")

    messages = flow.iter(from_iterable(Closing(), Demand(1)))
    next(messages)
    with pytest.raises(OSError, match="while closing"):
        messages.close()


def test_a_stop_ends_the_iteration():
    stop, seen, demand = Stop(), [], Demand(10)
    for message in flow.iter(from_pull(lambda n: [0] * n, demand), stop=stop):
        seen.append(message)
        if len(seen) == 20:
            stop.drain(30)
    assert 20 <= len(seen) <= 30
    assert demand.in_flight == 0


def test_a_barrier_waits_for_the_reader():
    control, passed, inside = Control(), [], threading.Event()

    def wait():
        inside.set()
        passed.append(control.barrier(30))

    waiter = threading.Thread(target=wait)
    for message in flow.iter(from_pull(lambda n: [0] * n, Demand(4)), control=control):
        if not waiter.ident:
            waiter.start()
            inside.wait(30)
        if passed:
            assert message is not None
            break
    waiter.join(30)
    assert passed == [True]


def test_readers_may_be_nested_but_not_inside_a_chain():
    outer = flow.iter(from_iterable(range(3), Demand(2)))
    assert [datas(flow.iter(from_iterable(range(message.data), Demand(2)))) for message in outer] == [
        [],
        [0],
        [0, 1],
    ]

    def inside(n):
        return list(flow.iter(from_iterable(range(n), Demand(2))))

    [message] = flow.iter(from_iterable([1], Demand(2)).pipe(ops.map(inside)))
    assert isinstance(message.failure.error, ConfigError)


def test_a_topic_is_committed_as_far_as_it_was_read():
    broker = FakeBroker()
    broker.create_topic("t", 1)
    with broker.producer() as producer:
        producer.send("t", [NewRecord(b"%d" % n) for n in range(10)])
        producer.flush()
    chain = flow.from_topic(broker, "t", group="g", demand=Demand(5))
    seen = []
    with closing(flow.iter(chain)) as messages:
        for message in messages:
            if len(seen) == 4:
                break
            seen.append(message.data)
    assert seen == [b"0", b"1", b"2", b"3"]
    assert broker.committed("g", "t") == {0: 4}


# -- async for -------------------------------------------------------------------------------------------


async def test_async_all_results_come_out_in_order():
    demand = Demand(8)
    chain = from_iterable(range(1000), demand).pipe(ops.map(lambda n: n * 2))
    assert await gather(flow.aiter(chain)) == list(range(0, 2000, 2))
    assert demand.in_flight == 0
    assert demand.peak <= 8


async def test_async_the_source_is_never_more_than_demand_ahead_of_the_reader():
    numbers, taken = counting(200)
    read = 0
    async for _ in flow.aiter(from_iterable(numbers, Demand(5))):
        assert len(taken) <= read + 5
        read += 1
    assert read == 200


async def test_async_the_loop_is_not_blocked_while_nothing_comes():
    release, ticks = threading.Event(), 0

    def pull(n):
        return [1] if release.wait(0.01) else []

    async def other():
        nonlocal ticks
        for _ in range(20):
            await asyncio.sleep(0)
            ticks += 1
        release.set()

    task = asyncio.create_task(other())
    async with aclosing(flow.aiter(from_pull(pull, Demand(2)))) as messages:
        async for message in messages:
            assert message.data == 1
            break
    await task
    assert ticks == 20


@pytest.mark.parametrize("leave", ["break", "raise", "cancel"])
async def test_async_leaving_hands_back_and_ends_the_thread(leave):
    demand, seen = Demand(10), []
    enough = asyncio.Event()

    async def read():
        chain = from_pull(lambda n: [0] * min(n, 5 - len(seen)) if len(seen) < 5 else [], demand)
        async with aclosing(flow.aiter(chain)) as messages:
            async for message in messages:
                seen.append(message)
                if len(seen) == 5:
                    enough.set()
                    if leave == "break":
                        break
                    if leave == "raise":
                        raise KeyError("reader")

    task = asyncio.create_task(read())
    await enough.wait()
    if leave == "cancel":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif leave == "raise":
        with pytest.raises(KeyError):
            await task
    else:
        await task
    assert demand.in_flight == 0


async def test_async_a_failure_is_raised_where_it_is_read():
    def work(messages):
        raise RuntimeError("sink")

    chain = from_iterable(range(3), Demand(10)).pipe(ops.settle(work))
    with pytest.raises(RuntimeError, match="sink"):
        await gather(flow.aiter(chain))


async def test_async_a_chain_that_settles_by_itself_does_not_run_away_from_its_reader():
    stored = []
    chain = from_iterable(range(20_000), Demand(50)).pipe(ops.settle(stored.extend))
    read = 0
    async for message in flow.aiter(chain):
        assert message.data == read
        read += 1
        assert len(stored) <= read + 1000 + 100
    assert read == 20_000


async def test_async_a_stop_ends_it():
    stop, demand = Stop(), Demand(10)
    seen = 0
    async for _ in flow.aiter(from_pull(lambda n: [0] * n, demand), stop=stop):
        seen += 1
        if seen == 20:
            stop.drain(30)
    assert seen >= 20
    assert demand.in_flight == 0


def test_async_a_loop_that_ends_ends_the_chain():
    demand, kept = Demand(10), []

    async def main():
        messages = flow.aiter(from_pull(lambda n: [0] * n, demand))
        kept.append(messages)  # not closed by anybody but the loop
        async for _ in messages:
            break

    asyncio.run(main())
    assert demand.in_flight == 0
