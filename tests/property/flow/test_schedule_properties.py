"""Dispatch decisions under all orders of arrival, completion, retry, withdrawal and time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.flow import Message
from streamzarr.flow.ops.schedule import Schedule


class ScheduleMachine(RuleBasedStateMachine):
    WORKERS = 3

    def __init__(self):
        super().__init__()
        self.schedule = Schedule()
        self.now = 0.0
        self.count = 0
        self.fresh = []  # never started, in order of arrival
        self.running = []
        self.later = {}  # number -> due
        self.over = set()

    @rule()
    def add(self):
        self.schedule.add(Message(data=self.count))
        self.fresh.append(self.count)
        self.count += 1

    @precondition(lambda self: len(self.running) < self.WORKERS)
    @rule()
    def start(self):
        message = self.schedule.start(self.now)
        if message is None:
            assert not [*self.fresh, *self.due()], "an idle worker was refused work"
            return
        number = message.data
        if number in self.later:
            assert self.later.pop(number) <= self.now, "started before it was due"
        else:
            assert number == self.fresh.pop(0), "out of order"
        self.running.append(message)

    def due(self):
        return [number for number, due in self.later.items() if due <= self.now]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data):
        message = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.schedule.finish()
        self.over.add(message.data)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), delay=st.floats(0, 10))
    def fail(self, data, delay):
        message = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.later[message.data] = self.now + delay
        self.schedule.retry(message, self.now + delay)

    @rule(seconds=st.floats(0.1, 5))
    def pass_time(self, seconds):
        self.now += seconds

    @rule(modulus=st.integers(1, 4))
    def withdraw(self, modulus):
        withdrawn = [m.data for m in self.schedule.withdraw(lambda m: m.data % modulus == 0)]
        expected = {n for n in [*self.fresh, *self.later] if n % modulus == 0}
        assert set(withdrawn) == expected
        assert len(withdrawn) == len(expected)
        self.fresh = [n for n in self.fresh if n not in expected]
        self.later = {n: due for n, due in self.later.items() if n not in expected}
        self.over |= expected

    @invariant()
    def everything_is_somewhere(self):
        assert self.schedule.queued == len(self.fresh) + len(self.later)
        assert self.schedule.running == len(self.running)
        assert len(self.over) + self.schedule.queued + self.schedule.running == self.count

    @invariant()
    def next_due_is_known_while_all_sleep(self):
        due = self.schedule.next_due()
        if due is not None:
            assert due in self.later.values()

    def teardown(self):
        """No deadlock: left to themselves the workers come to an end."""
        self.now += 100.0
        for _ in range(2 * self.count + 1):
            for _ in range(len(self.running)):
                self.schedule.finish()
                self.over.add(self.running.pop().data)
            while (message := self.schedule.start(self.now)) is not None:
                self.running.append(message)
        assert self.over == set(range(self.count))


TestScheduleMachine = ScheduleMachine.TestCase
TestScheduleMachine.settings = settings(max_examples=60, deadline=None)
