"""A chain as a whole: sources, stateless operators, what is settled, and how chains end."""

import gc
import itertools
import threading
import time

import pytest
import reactivex.operators as rx
from reactivex.scheduler import NewThreadScheduler

from streamzarr.errors import ConfigError, QueueError
from streamzarr.flow import Batch, Demand, Message, Stop, from_iterable, from_pull, ops, run
from streamzarr.flow.chain import Chain
from streamzarr.testing.clock import FakeClock


def collect(into):
    return lambda messages: into.extend(message.data for message in messages)


def test_items_flow_in_order_and_each_is_settled():
    demand, seen = Demand(8), []
    report = run(from_iterable(range(1000), demand).pipe(ops.map(lambda n: n + 1), ops.settle(collect(seen))))
    assert seen == list(range(1, 1001))
    assert (report.delivered, report.ok, report.failed, report.left) == (1000, 1000, 0, 0)
    assert (demand.in_flight, demand.peak) == (0, 4)


def test_an_empty_source_completes():
    assert run(from_iterable([], Demand(1)).pipe(ops.settle())).delivered == 0


def test_an_observable_can_be_run_again():
    chain = from_iterable(range(10), Demand(4)).pipe(ops.settle())
    assert [run(chain).ok for _ in range(3)] == [10, 10, 10]


def test_the_iterable_is_not_advanced_beyond_demand():
    pulled = []

    def items():
        for n in range(1000):
            pulled.append(n)
            yield n

    ahead = []
    settled = 0

    def sink(messages):
        nonlocal settled
        ahead.append(len(pulled) - settled)
        settled += len(messages)

    run(from_iterable(items(), Demand(10), batch=3).pipe(ops.settle(sink)))
    assert settled == 1000
    assert max(ahead) <= 10


def test_a_function_that_raises_fails_its_message_only():
    seen = []
    chain = from_iterable(["1", "x", "3"], Demand(10)).pipe(
        ops.map(int, stage="parse"), ops.map(lambda n: n * 10, stage="scale"), ops.settle(seen.extend)
    )
    report = run(chain)
    assert (report.ok, report.failed) == (2, 1)
    assert [message.data for message in seen] == [10, "x", 30]
    failure = seen[1].failure
    assert (failure.stage, type(failure.error), failure.attempts) == ("parse", ValueError, 1)


def test_map_messages_sees_more_than_the_data():
    seen = []
    chain = from_iterable([b"abc"], Demand(1)).pipe(
        ops.map_messages(lambda message: message.replace(data=(message.nbytes, message.first_seen))),
        ops.settle(collect(seen)),
    )
    before = time.time() * 1000
    run(chain)
    [(nbytes, first_seen)] = seen
    assert nbytes == 3
    assert before - 1 <= first_seen <= time.time() * 1000


def test_map_batch_maps_what_has_not_failed_and_keeps_order():
    seen = []
    chain = from_iterable(["1", "x", "3", "4"], Demand(10)).pipe(
        ops.map(int), ops.map_batch(lambda numbers: [-n for n in numbers]), ops.settle(collect(seen))
    )
    run(chain)
    assert seen == [-1, "x", -3, -4]


@pytest.mark.parametrize(
    "fn",
    [lambda numbers: numbers[:-1], lambda numbers: 1 / 0, set, dict.fromkeys],
    ids=["too few", "raises", "no order", "keys"],
)
def test_map_batch_that_goes_wrong_fails_the_batch(fn):
    report = run(from_iterable(range(4), Demand(10)).pipe(ops.map_batch(fn), ops.settle()))
    assert (report.ok, report.failed) == (0, 4)


def test_drop_if_settles_what_it_drops():
    demand, seen = Demand(4), []
    chain = from_iterable(range(100), demand).pipe(ops.drop_if(lambda n: n % 2), ops.settle(collect(seen)))
    report = run(chain)
    assert seen == list(range(0, 100, 2))
    assert (report.ok, report.skipped, report.delivered) == (50, 50, 100)
    assert demand.in_flight == 0


def test_drop_if_whose_predicate_raises_fails_the_message():
    report = run(from_iterable([1, 0], Demand(4)).pipe(ops.drop_if(lambda n: 1 / n > 2), ops.settle()))
    assert (report.ok, report.failed, report.skipped) == (1, 1, 0)


def test_stock_operators_fit_between_ours():
    batches, seen = [], []
    chain = from_iterable(range(10), Demand(4)).pipe(
        rx.do_action(lambda batch: batches.append(len(batch))),
        ops.map(str),
        rx.map(lambda batch: batch.with_messages([m.replace(data=m.data + "!") for m in batch])),
        ops.settle(collect(seen)),
        rx.do_action(lambda batch: None),
    )
    run(chain)
    assert sum(batches) == 10
    assert seen[:2] == ["0!", "1!"]


def test_a_stock_filter_that_loses_messages_is_found_out():
    demand = Demand(4)
    chain = from_iterable(range(100), demand).pipe(rx.filter(lambda batch: False), ops.settle())
    with pytest.raises(ConfigError, match=r"4 messages left the chain without being settled.*drop_if"):
        run(chain)
    assert demand.in_flight == 0


def test_a_chain_without_settle_is_found_out():
    with pytest.raises(ConfigError, match=r"is ops.settle\(\) missing"):
        run(from_iterable(range(3), Demand(100)))


def test_settling_twice_is_an_error():
    with pytest.raises(ConfigError, match="settled a second time"):
        run(from_iterable(range(3), Demand(10)).pipe(ops.settle(), ops.settle()))


def test_multiplying_messages_by_hand_is_an_error():
    def twice(batch):
        return batch.with_messages(batch.messages * 2)

    with pytest.raises(ConfigError, match=r"settled a second time: only ops\.split"):
        run(from_iterable(range(3), Demand(10)).pipe(rx.map(twice), ops.settle()))


def test_a_message_made_by_hand_cannot_be_settled():
    with pytest.raises(ConfigError, match="made by hand"):
        run(from_iterable([1], Demand(1)).pipe(ops.map_messages(lambda m: Message(data=2)), ops.settle()))


def test_a_batch_may_be_made_by_hand_of_messages_that_were_given():
    assert run(from_iterable([1], Demand(1)).pipe(rx.map(lambda b: Batch(b.messages)), ops.settle())).ok == 1


# -- bytes -----------------------------------------------------------------------------------------------


def test_bytes_in_flight_are_bounded_and_a_giant_travels_alone():
    demand = Demand(100, max_bytes=1000)
    sizes = [300] * 20 + [5000] + [300] * 20
    flying = []
    chain = from_iterable([bytes(n) for n in sizes], demand).pipe(
        ops.map_messages(lambda m: flying.append((demand.in_flight, demand.in_flight_bytes, m.nbytes)) or m),
        ops.settle(),
    )
    assert run(chain).ok == 41
    assert all(nbytes <= 1000 or count == 1 for count, nbytes, _ in flying)
    assert (1, 5000, 5000) in flying
    assert demand.in_flight_bytes == 0


def test_changing_nbytes_on_the_way_does_not_confuse_the_accounts():
    demand = Demand(4, max_bytes=1000)
    chain = from_iterable([bytes(100)] * 50, demand).pipe(
        ops.map_messages(lambda m: m.replace(nbytes=999)), ops.settle()
    )
    assert run(chain).ok == 50
    assert demand.in_flight_bytes == 0


def test_messages_held_by_a_batch_do_not_block_themselves():
    """All demand is held by ops.batch, which waits for more than demand allows: it must let go."""
    seen = []
    chain = from_iterable(range(100), Demand(10)).pipe(
        ops.batch(size=64), rx.do_action(lambda batch: seen.append(len(batch))), ops.settle()
    )
    assert run(chain).ok == 100
    assert sum(seen) == 100


# -- from_pull -------------------------------------------------------------------------------------------


def test_pull_is_told_how_much_it_may_return():
    asked = []

    def pull(n):
        asked.append(n)
        return list(range(n)) if len(asked) < 5 else None

    report = run(from_pull(pull, Demand(10, min_demand=7)).pipe(ops.settle()))
    assert asked[0] == 3
    assert report.ok == sum(asked[:-1])


def test_pull_that_returns_nothing_is_asked_again_after_a_while():
    clock = FakeClock()
    answers = iter([[1], [], [], [2], None])
    asked_at = []

    def pull(n):
        asked_at.append(round(clock.now(), 3))
        return next(answers)

    assert run(from_pull(pull, Demand(10), idle=0.05).pipe(ops.settle()), runtime=clock).ok == 2
    assert clock.now() >= 0.1
    assert len(asked_at) == 5


def test_pull_that_returns_too_much_is_an_error():
    with pytest.raises(ConfigError, match=r"pull\(2\) returned 3 items"):
        run(from_pull(lambda n: [1, 2, 3], Demand(4)).pipe(ops.settle()))


# -- how chains end --------------------------------------------------------------------------------------


def no_threads(name):
    return not [thread for thread in threading.enumerate() if thread.name.startswith(f"streamzarr-{name}")]


def test_an_error_of_the_source_is_on_error_after_what_came_before():
    def items():
        yield from range(3)
        raise QueueError("the end of the world")

    demand, seen = Demand(1), []
    with pytest.raises(QueueError, match="the end of the world"):
        run(from_iterable(items(), demand, batch=1).pipe(ops.settle(collect(seen))))
    assert seen == [0, 1, 2]
    assert demand.in_flight == 0


def test_a_subscriber_that_raises_ends_everything():
    demand = Demand(8)

    def subscriber(batch):
        raise RuntimeError("subscriber")

    chain = from_iterable(range(100), demand).pipe(
        ops.dispatch(lambda n: n, workers=3, stage="raise"), ops.settle()
    )
    with pytest.raises(RuntimeError, match="subscriber"):
        chain.subscribe(subscriber)
    assert demand.in_flight == 0
    assert no_threads("raise")


def test_a_stock_operator_that_raises_ends_everything():
    demand = Demand(8)
    chain = from_iterable(range(100), demand).pipe(
        ops.dispatch(lambda n: n, workers=3, stage="stock"), rx.map(lambda batch: 1 / 0), ops.settle()
    )
    with pytest.raises(ZeroDivisionError):
        run(chain)
    assert demand.in_flight == 0
    assert no_threads("stock")


def test_take_disposes_in_the_middle():
    demand = Demand(8)
    begun = []
    chain = from_iterable(range(10_000), demand).pipe(
        ops.map(lambda n: begun.append(n) or n),
        ops.dispatch(lambda n: n, workers=3, stage="take"),
        ops.settle(),
        rx.take(2),
    )
    run(chain)
    assert len(begun) < 100
    assert demand.in_flight == 0
    assert no_threads("take")


def test_dispose_from_another_thread_ends_the_chain():
    demand, running, ended = Demand(8), threading.Event(), threading.Event()
    chain = from_pull(lambda n: [1] * n, demand).pipe(
        ops.dispatch(lambda n: running.set(), workers=2, stage="dispose"), ops.settle()
    )
    subscription = chain.pipe(rx.finally_action(ended.set)).subscribe(scheduler=NewThreadScheduler())
    assert running.wait(10)
    subscription.dispose()
    assert ended.wait(10)
    deadline = time.monotonic() + 10
    while not (no_threads("dispose") and demand.in_flight == 0):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_a_chain_may_run_on_another_thread():
    seen, names, done = [], set(), threading.Event()
    from_iterable(range(10), Demand(4)).pipe(
        ops.map(lambda n: names.add(threading.current_thread()) or n), ops.settle(collect(seen))
    ).subscribe(on_completed=done.set, scheduler=NewThreadScheduler())
    assert done.wait(10)
    assert seen == list(range(10))
    assert threading.current_thread() not in names


def test_chains_on_several_threads_share_a_demand():
    demand = Demand(6)
    reports, seen = [], []

    def go():
        reports.append(
            run(
                from_iterable(range(500), demand).pipe(
                    ops.dispatch(lambda n: seen.append(demand.in_flight)), ops.settle()
                )
            )
        )

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert [report.ok for report in reports] == [500] * 3
    assert max(seen) <= 6
    assert demand.peak <= 6
    assert demand.in_flight == 0


def test_closing_the_demand_completes_the_chain():
    demand = Demand(4)
    chain = from_pull(lambda n: [1] * n, demand).pipe(
        ops.settle(lambda messages: demand.close() if demand.peak else None)
    )
    report = run(chain)
    assert report.ok == report.delivered > 0
    assert not report.stopped


def test_on_turn_beats_also_while_nothing_happens():
    clock = FakeClock()
    beats = []
    stop = Stop(clock)

    def turn():
        beats.append(clock.now())
        if clock.now() > 10:
            stop.now()

    run(
        from_pull(lambda n: [], Demand(1), idle=60.0, on_turn=turn).pipe(ops.settle()),
        stop=stop,
        runtime=clock,
    )
    assert max(later - earlier for earlier, later in itertools.pairwise(beats)) <= 0.21


def test_nothing_is_kept_alive_by_a_chain_that_has_ended():
    def chains():
        gc.collect()
        return [thing for thing in gc.get_objects() if isinstance(thing, Chain)]

    kept_by_others = chains()
    demand = Demand(8)
    run(from_iterable(range(100), demand).pipe(ops.dispatch(lambda n: n, workers=2), ops.settle()))
    assert [chain for chain in chains() if chain not in kept_by_others] == []
    assert demand._wakers == ()
