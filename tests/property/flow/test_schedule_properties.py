"""Dispatch decisions under all orders of arrival, completion, retry, withdrawal, workers and time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.flow import Message
from streamzarr.flow.dispatch import by_demand, by_key
from streamzarr.flow.ops.schedule import Item, Schedule


class ScheduleMachine(RuleBasedStateMachine):
    """Any worker takes any message, oldest first."""

    make = staticmethod(by_demand)

    def __init__(self):
        super().__init__()
        self.schedule = Schedule(self.make())
        self.now = 0.0
        self.count = self.workers = 0
        self.idle, self.busy = set(), {}  # workers that have asked; worker -> item
        self.fresh = []  # never started, in order of arrival
        self.later = {}  # number -> (due, worker)
        self.again = []  # due again and queued
        self.over = set()
        self.join()

    def take(self, sent):
        for worker, given in sent:
            (item,) = given
            self.idle.remove(worker)
            self.busy[worker] = item
            self.started(item.message.data)

    def started(self, number):
        if number in self.again:
            self.again.remove(number)
        else:
            assert not self.again, "a new one went before one that is tried again"
            assert number == self.fresh.pop(0), "out of order"

    @rule()
    def join(self):
        self.workers += 1
        self.schedule.join(self.workers)
        self.idle.add(self.workers)
        self.take(self.schedule.ask(self.workers))

    @precondition(lambda self: len(self.idle) > 1)
    @rule(data=st.data())
    def leave(self, data):
        worker = data.draw(st.sampled_from(sorted(self.idle)))
        self.idle.remove(worker)
        self.take(self.schedule.leave(worker))

    @rule(key=st.sampled_from("abc"))
    def add(self, key):
        self.fresh.append(self.count)
        item = Item(Message(data=self.count, key=key))
        self.count += 1
        self.take(self.schedule.add([item]))

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def finish(self, data):
        worker = data.draw(st.sampled_from(sorted(self.busy)))
        item = self.busy.pop(worker)
        self.over.add(item.message.data)
        self.take(self.schedule.finish(worker, item))
        self.idle.add(worker)
        self.take(self.schedule.ask(worker))

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), delay=st.floats(0, 10))
    def fail(self, data, delay):
        worker = data.draw(st.sampled_from(sorted(self.busy)))
        item = self.busy.pop(worker)
        self.later[item.message.data] = (self.now + delay, item.message.key)
        self.schedule.put_off(worker, item, self.now + delay)
        self.idle.add(worker)
        self.take(self.schedule.ask(worker))

    @rule(seconds=st.floats(0.1, 5))
    def pass_time(self, seconds):
        self.now += seconds
        due = [number for number, (at, _) in self.later.items() if at <= self.now]
        for number in due:
            del self.later[number]
        self.again += due
        self.take(self.schedule.wake(self.now))

    @rule(modulus=st.integers(1, 4))
    def withdraw(self, modulus):
        expected = {n for n in [*self.fresh, *self.later, *self.again] if n % modulus == 0}
        items, sent = self.schedule.withdraw(lambda m: m.data % modulus == 0)
        assert sorted(item.message.data for item in items) == sorted(expected)
        self.fresh = [n for n in self.fresh if n not in expected]
        self.again = [n for n in self.again if n not in expected]
        self.later = {n: due for n, due in self.later.items() if n not in expected}
        self.over |= expected
        self.take(sent)

    @invariant()
    def everything_is_somewhere(self):
        assert self.schedule.queued == len(self.fresh) + len(self.later) + len(self.again)
        assert self.schedule.running == len(self.busy)
        assert len(self.over) + self.schedule.queued + self.schedule.running == self.count

    @invariant()
    def no_worker_idles_while_there_is_work_for_it(self):
        assert not (self.idle and (self.fresh or self.again))

    @invariant()
    def next_due_is_the_earliest(self):
        assert self.schedule.next_due() == min((due for due, _ in self.later.values()), default=None)

    def teardown(self):
        """No deadlock: left to themselves the workers come to an end."""
        self.pass_time(100.0)
        for _ in range(2 * self.count + 1):
            for worker, item in list(self.busy.items()):
                del self.busy[worker]
                self.over.add(item.message.data)
                self.take(self.schedule.finish(worker, item))
                self.idle.add(worker)
                self.take(self.schedule.ask(worker))
        assert self.over == set(range(self.count))


class KeyedScheduleMachine(ScheduleMachine):
    """One message of a key at a time, in order, also while it waits to be tried again."""

    make = staticmethod(lambda: by_key(lambda item: item.message.key))

    def __init__(self):
        self.key_of = {}
        super().__init__()

    @rule(key=st.sampled_from("abc"))
    def add(self, key):
        self.key_of[self.count] = key
        super().add(key)

    def started(self, number):
        key = self.key_of[number]
        assert [self.key_of[item.message.data] for item in self.busy.values()].count(key) == 1
        assert all(self.key_of[other] != key for other in self.later), "overtook one that is tried again"
        if number in self.again:
            self.again.remove(number)
        else:
            assert number == next(n for n in self.fresh if self.key_of[n] == key), "a key out of order"
            self.fresh.remove(number)

    def waits(self, number):
        blocked = {self.key_of[item.message.data] for item in self.busy.values()}
        return self.key_of[number] in blocked | {self.key_of[other] for other in self.later}

    def no_worker_idles_while_there_is_work_for_it(self):
        if self.idle:
            assert all(self.waits(number) for number in self.fresh + self.again)

    no_worker_idles_while_there_is_work_for_it = invariant()(no_worker_idles_while_there_is_work_for_it)


TestScheduleMachine = ScheduleMachine.TestCase
TestScheduleMachine.settings = settings(max_examples=100, deadline=None)
TestKeyedScheduleMachine = KeyedScheduleMachine.TestCase
TestKeyedScheduleMachine.settings = settings(max_examples=100, deadline=None)
