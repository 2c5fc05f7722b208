import subprocess
import sys
from collections import deque

import pytest

from streamzarr.errors import ConfigError
from streamzarr.flow.dispatch import Dispatcher, broadcast, by_demand, by_key
from streamzarr.flow.dispatch.keys import partition_of


def joined(dispatcher, **demands):
    for consumer, demand in demands.items():
        dispatcher.subscribe(consumer)
        assert dispatcher.ask(consumer, demand) == []
    return dispatcher


def test_by_demand_the_highest_demand_is_served_first_and_whole():
    dispatcher = joined(by_demand(), a=2, b=5, c=3)
    assert dispatcher.demand == 10
    assert dispatcher.dispatch(range(7)) == [("b", (0, 1, 2, 3, 4)), ("c", (5, 6))]
    assert dispatcher.demands == {"a": 2, "b": 0, "c": 1}


def test_by_demand_equals_take_turns():
    dispatcher = joined(by_demand(), a=1, b=1)
    served = []
    for item in range(6):
        ((consumer, _),) = dispatcher.dispatch([item])
        served.append(consumer)
        dispatcher.ask(consumer)
    assert served == ["a", "b", "a", "b", "a", "b"]


def test_by_demand_what_nobody_asked_for_waits_in_order():
    dispatcher = joined(by_demand(), a=1)
    assert dispatcher.dispatch([1, 2, 3]) == [("a", (1,))]
    assert (dispatcher.queued, dispatcher.demand) == (2, 0)
    assert dispatcher.retry("a", 1) == []
    assert dispatcher.ask("a", 3) == [("a", (1, 2, 3))]


def test_a_consumer_that_left_is_sent_nothing_and_its_items_can_be_sent_to_others():
    dispatcher = joined(by_demand(), a=1, b=1)
    assert dispatcher.dispatch([1]) == [("a", (1,))]
    assert dispatcher.cancel("a") == []
    assert dispatcher.retry("a", 1) == [("b", (1,))]


def test_by_key_a_hot_key_waits_for_itself_only():
    dispatcher = joined(by_key(lambda item: item[0]), w1=1, w2=1)
    items = [("hot", n) for n in range(100)] + [("cold", 100)]
    assert dispatcher.dispatch(items) == [("w1", (("hot", 0),)), ("w2", (("cold", 100),))]
    assert dispatcher.ask("w2") == []
    assert dispatcher.done("w1", ("hot", 0)) == [("w2", (("hot", 1),))]


def test_by_key_keys_take_turns():
    dispatcher = joined(by_key(lambda item: item[0]), w=1)
    sent, order = dispatcher.dispatch(["a1", "a2", "a3", "b1", "b2", "c1"]), []
    while sent:
        ((worker, (item,)),) = sent
        order.append(item)
        assert dispatcher.done(worker, item) == []
        sent = dispatcher.ask(worker)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_by_key_a_retry_goes_before_the_rest_of_its_key():
    dispatcher = joined(by_key(lambda item: item[0]), w=1)
    assert dispatcher.dispatch(["a1", "a2"]) == [("w", ("a1",))]
    assert dispatcher.ask("w") == []
    assert dispatcher.retry("w", "a1") == [("w", ("a1",))]


def test_by_key_partitions_are_the_same_in_every_process():
    code = (
        "from streamzarr.flow.dispatch.keys import partition_of as p; print([p(k, 7) for k in 'abcdefghi'])"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert there.strip() == str([partition_of(key, 7) for key in "abcdefghi"])


def test_by_key_with_partitions_takes_keys_that_hash_alike_everywhere_only():
    dispatcher = by_key(lambda item: item, 4)
    with pytest.raises(ConfigError, match=r"a key is 1\.5, expected str, bytes or int"):
        dispatcher.dispatch([1.5])


def test_broadcast_demands_what_the_least_does():
    dispatcher = joined(broadcast(), a=3, b=1, c=2)
    assert dispatcher.demand == 1
    assert dispatcher.dispatch(["x", "y"]) == [("a", ("x",)), ("b", ("x",)), ("c", ("x",))]
    assert dispatcher.ask("a", 5) == []
    assert dispatcher.ask("b", 5) == [("a", ("y",)), ("b", ("y",)), ("c", ("y",))]


def test_broadcast_goes_on_when_the_slowest_leaves():
    dispatcher = joined(broadcast(), a=3, slow=0)
    assert dispatcher.dispatch(["x", "y"]) == []
    assert dispatcher.cancel("slow") == [("a", ("x", "y"))]


def test_broadcast_sends_what_each_selects_and_forgets_what_nobody_wants():
    dispatcher = joined(broadcast(lambda consumer, item: item % consumer == 0))
    for consumer in (2, 3):
        dispatcher.subscribe(consumer)
        dispatcher.ask(consumer, 10)
    assert dispatcher.dispatch([1, 2, 3, 6]) == [(2, (2, 6)), (3, (3, 6))]
    assert (dispatcher.queued, dispatcher.demands) == (0, {2: 8, 3: 8})


def test_broadcast_sends_again_to_that_consumer_alone():
    dispatcher = joined(broadcast(), a=1, b=1)
    dispatcher.dispatch(["x"])
    dispatcher.ask("b")
    assert dispatcher.retry("a", "x") == []
    assert dispatcher.ask("a") == [("a", ("x",))]
    dispatcher.cancel("a")
    with pytest.raises(ConfigError, match="'a' has left"):
        dispatcher.retry("a", "x")


@pytest.mark.parametrize("make", [by_demand, lambda: by_key(str), broadcast])
def test_a_consumer_joins_once(make):
    dispatcher = joined(make(), a=1)
    with pytest.raises(ConfigError, match="'a' is subscribed already"):
        dispatcher.subscribe("a")


class LastInFirstOut(Dispatcher):
    """A user's own: the newest item first."""

    def __init__(self):
        super().__init__()
        self._stack = deque()

    def dispatch(self, items):
        self._stack.extend(items)
        return self.serve()

    def retry(self, consumer, item):
        return self.dispatch([item])

    def serve(self):
        sent = []
        for consumer in self.demands:
            while self.demands[consumer] and self._stack:
                self.demands[consumer] -= 1
                sent.append((consumer, (self._stack.pop(),)))
        return sent

    @property
    def demand(self):
        return sum(self.demands.values())

    @property
    def queued(self):
        return len(self._stack)

    def withdraw(self, belongs):
        taken = [item for item in self._stack if belongs(item)]
        self._stack = deque(item for item in self._stack if not belongs(item))
        return taken


def test_one_of_your_own():
    dispatcher = joined(LastInFirstOut(), a=0)
    assert dispatcher.dispatch([1, 2, 3]) == []
    assert dispatcher.ask("a", 2) == [("a", (3,)), ("a", (2,))]
