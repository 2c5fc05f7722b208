"""Items of iterables and of functions: demand and bytes respected, errors behind what came before."""

import pytest
import reactivex

from streamzarr.errors import ConfigError
from streamzarr.flow import (
    Blocking,
    Demand,
    Stop,
    from_async_iterable,
    from_iterable,
    from_observable,
    from_pull,
    ops,
    run,
)


def collect(into):
    return lambda messages: into.extend(message.data for message in messages)


def test_no_more_is_taken_than_bytes_allow_but_for_one():
    taken, settled, ahead = [], [], []

    def items():
        for n in range(50):
            taken.append(n)
            yield bytes(40)

    def sink(messages):
        ahead.append(len(taken) - len(settled))
        settled.extend(messages)

    demand = Demand(100, max_bytes=100)
    assert run(from_iterable(items(), demand).pipe(ops.settle(sink))).ok == 50
    assert demand.peak_bytes <= 100
    assert max(ahead) <= 3  # 80 bytes in flight, and one item that was looked at


def test_a_demand_of_one_takes_one_at_a_time():
    taken, seen = [], []

    def items():
        for n in range(20):
            taken.append(n)
            yield n

    chain = from_iterable(items(), Demand(1)).pipe(
        ops.map(lambda n: (n, len(taken))), ops.settle(collect(seen))
    )
    run(chain)
    assert seen == [(n, n + 1) for n in range(20)]


def test_what_an_iterable_raises_comes_behind_what_it_gave():
    def items():
        yield from range(5)
        raise OSError("cut")

    seen, demand = [], Demand(100)
    with pytest.raises(OSError, match="cut"):
        run(from_iterable(items(), demand).pipe(ops.settle(collect(seen))))
    assert seen == [0, 1, 2, 3, 4]
    assert demand.in_flight == 0


def test_what_measures_an_item_may_fail_as_well():
    def size_of(item):
        return {1: 1}[item]

    seen = []
    with pytest.raises(KeyError):
        run(from_iterable([1, 2], Demand(9), size_of=size_of).pipe(ops.settle(collect(seen))))
    assert seen == [1]


class Opened:
    """An iterable that opens something whenever it is iterated."""

    def __init__(self, count):
        self.count, self.closed = count, 0

    def __iter__(self):
        try:
            yield from range(self.count)
        finally:
            self.closed += 1


def test_an_iterator_that_was_made_for_the_run_is_closed_with_it():
    opened, stop = Opened(1000), Stop()
    run(from_iterable(opened, Demand(4)).pipe(ops.settle(lambda _: stop.now())), stop=stop)
    assert opened.closed == 1


def test_the_callers_own_iterator_goes_on_in_the_next_run():
    stop, seen = Stop(), []
    chain = from_iterable(iter(range(100)), Demand(4)).pipe(
        ops.map(lambda n: seen.append(n) or n), ops.settle(lambda _: stop.now())
    )
    first = run(chain, stop=stop)
    assert 0 < first.ok < 100
    second = run(chain, stop=Stop())
    assert first.ok + second.ok == 100
    assert seen == list(range(100))


def test_pull_is_told_how_many():
    asked = []

    def pull(count):
        asked.append(count)
        return [0] * count if len(asked) < 5 else None

    demand = Demand(10, min_demand=4)
    assert run(from_pull(pull, demand).pipe(ops.settle())).ok == 6 * 4
    assert asked == [6] * 5


SIZED = {
    "iterable": lambda size_of, demand: from_iterable([b"ab"] * 3, demand, size_of=size_of),
    "pull": lambda size_of, demand: from_pull(lambda count: [b"ab"], demand, size_of=size_of),
    "async": lambda size_of, demand: from_async_iterable(three(), demand, size_of=size_of),
    "observable": lambda size_of, demand: from_observable(
        reactivex.of(1, 2, 3), demand, Blocking(8), size_of=size_of
    ),
}


async def three():
    for item in range(3):
        yield item


@pytest.mark.parametrize("size", [-1, 0.5, None])
@pytest.mark.parametrize("source", SIZED.values(), ids=SIZED.keys())
def test_a_size_that_is_no_number_of_bytes_is_told_with_its_function(source, size):
    def sized(item):
        return size

    demand = Demand(10)
    with pytest.raises(ConfigError, match=rf"size_of=<function .*sized.*> returned {size} bytes, expected"):
        run(source(sized, demand).pipe(ops.settle()))
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)


@pytest.mark.parametrize("pulled", [iter([1]), 3])
def test_what_is_pulled_has_to_be_a_list(pulled):
    with pytest.raises(ConfigError, match=r"pull\(5\) returned .*, expected a list, or None"):
        run(from_pull(lambda count: pulled, Demand(9, min_demand=4)).pipe(ops.settle()))
