"""A spool against plain queues in memory, under random schedules."""

from collections import defaultdict, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.flow.spool import SEGMENTS, Spool

MAX_BYTES = 2_000
queues = st.sampled_from(["a", "b", ("c", 1)])


class SpoolModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.spool = Spool(MAX_BYTES)
        self.queues = defaultdict(deque)

    def teardown(self):
        self.spool.close()

    @rule(queue=queues, data=st.binary(max_size=300))
    def append(self, queue, data):
        if self.spool.append(data, queue):
            self.queues[queue].append(data)
        else:
            assert self.spool.nbytes + len(data) + 24 > MAX_BYTES

    @rule(queue=queues)
    def take(self, queue):
        expected = self.queues[queue].popleft() if self.queues[queue] else None
        assert self.spool.take(queue) == expected

    @rule(queue=queues)
    def drop(self, queue):
        assert self.spool.drop(queue) == len(self.queues[queue])
        self.queues[queue].clear()

    @precondition(lambda self: not any(self.queues.values()))
    @rule()
    def an_empty_spool_is_empty_on_disk(self):
        assert self.spool.nbytes == 0

    @invariant()
    def counts_and_bounds_hold(self):
        live = sum(len(data) + 24 for queue in self.queues.values() for data in queue)
        assert live <= self.spool.nbytes <= MAX_BYTES
        assert len(self.spool) == sum(len(queue) for queue in self.queues.values())
        assert len(self.spool._segments) <= SEGMENTS + 1


TestSpool = SpoolModel.TestCase
TestSpool.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
