"""Dispatchers under random schedules: nothing lost or doubled, credit respected, keys in order."""

from collections import Counter, defaultdict, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamzarr.flow.dispatch import broadcast, by_demand, by_key
from streamzarr.flow.dispatch.keys import partition_of

NAMES = ["a", "b", "c", "d"]
names = st.sampled_from(NAMES)
keys = st.sampled_from("kmxyz")


class Schedules(RuleBasedStateMachine):
    """What all have in common; an item is (key, number), numbers count up."""

    def __init__(self):
        super().__init__()
        self.dispatcher = self.make()
        self.number = 0
        self.asked = Counter()
        self.got = Counter()
        self.away = []  # (consumer, item) sent and not done
        self.dispatched, self.finished, self.withdrawn = [], [], []

    def take(self, sent):
        for consumer, items in sent:
            assert items
            self.got[consumer] += len(items)
            assert self.got[consumer] <= self.asked[consumer], "more than it asked for"
            for item in items:
                self.sent_one(consumer, item)
                self.away.append((consumer, item))

    def sent_one(self, consumer, item):
        """Check one item that goes to one consumer."""

    def left(self, name):
        """Forget a consumer."""

    def ended(self, item):
        """Note that an item is over."""

    @initialize()
    def first(self):
        self.dispatcher.subscribe("a")

    @rule(name=names)
    def subscribe(self, name):
        if name not in self.dispatcher.demands:
            self.asked[name] = self.got[name] = 0
            self.dispatcher.subscribe(name)

    @rule(name=names)
    def cancel(self, name):
        if name in self.dispatcher.demands and len(self.dispatcher.demands) > 1:
            self.left(name)
            self.take(self.dispatcher.cancel(name))

    @rule(name=names, count=st.integers(1, 4))
    def ask(self, name, count):
        if name in self.dispatcher.demands:
            self.asked[name] += count
            self.take(self.dispatcher.ask(name, count))

    @rule(of=st.lists(keys, min_size=1, max_size=6))
    def dispatch(self, of):
        items = [(key, self.number + n) for n, key in enumerate(of)]
        self.number += len(items)
        self.dispatched += items
        self.take(self.dispatcher.dispatch(items))

    @rule(data=st.data())
    def done(self, data):
        if self.away:
            consumer, item = self.away.pop(data.draw(st.integers(0, len(self.away) - 1)))
            self.finished.append((consumer, item))
            self.ended(item)
            self.take(self.dispatcher.done(consumer, item))

    @rule(data=st.data())
    def retry(self, data):
        candidates = [pair for pair in self.away if pair[0] in self.dispatcher.demands]
        if candidates:
            consumer, item = pair = data.draw(st.sampled_from(candidates))
            self.away.remove(pair)
            self.put_back(consumer, item)
            self.take(self.dispatcher.retry(consumer, item))

    @rule(of=keys)
    def withdraw(self, of):
        taken = self.dispatcher.withdraw(lambda item: item[0] == of)
        assert all(key == of for key, _ in taken)
        self.withdrawn += taken
        self.dropped(taken)

    @invariant()
    def demands_are_what_was_asked_and_not_sent(self):
        for name, demand in self.dispatcher.demands.items():
            assert demand == self.asked[name] - self.got[name] >= 0


class ByDemandModel(Schedules):
    make = staticmethod(by_demand)

    def __init__(self):
        super().__init__()
        self.queue = deque()
        self.seen = 0

    def sent_one(self, consumer, item):
        self.known()
        assert item == self.queue.popleft(), "out of order"

    def known(self):
        self.queue.extend(self.dispatched[self.seen :])
        self.seen = len(self.dispatched)

    def put_back(self, consumer, item):
        self.known()
        self.queue.appendleft(item)

    def dropped(self, taken):
        self.known()
        self.queue = deque(item for item in self.queue if item not in taken)

    @invariant()
    def nothing_is_lost_or_waits_while_somebody_wants_it(self):
        self.known()
        assert self.dispatcher.queued == len(self.queue)
        assert not self.queue or not any(self.dispatcher.demands.values())
        assert self.dispatcher.demand == sum(self.dispatcher.demands.values())
        everywhere = [item for _, item in self.finished + self.away] + self.withdrawn + list(self.queue)
        assert sorted(everywhere) == sorted(self.dispatched)


class ByKeyModel(Schedules):
    credit = 1
    partitions = None

    def make(self):
        return by_key(lambda item: item[0], self.partitions, credit=self.credit)

    def __init__(self):
        super().__init__()
        self.queues = defaultdict(deque)
        self.busy = Counter()
        self.seen = 0

    def kind(self, item):
        return item[0] if self.partitions is None else partition_of(item[0], self.partitions)

    def known(self):
        for item in self.dispatched[self.seen :]:
            self.queues[self.kind(item)].append(item)
        self.seen = len(self.dispatched)

    def sent_one(self, consumer, item):
        self.known()
        kind = self.kind(item)
        assert item == self.queues[kind].popleft(), "a key out of order"
        self.busy[kind] += 1
        assert self.busy[kind] <= self.credit, "more of a key at once than its credit"

    def put_back(self, consumer, item):
        self.known()
        self.busy[self.kind(item)] -= 1
        self.queues[self.kind(item)].appendleft(item)

    def ended(self, item):
        self.busy[self.kind(item)] -= 1

    def dropped(self, taken):
        self.known()
        for kind, queue in self.queues.items():
            self.queues[kind] = deque(item for item in queue if item not in taken)

    @invariant()
    def nothing_is_lost_or_waits_while_it_could_go(self):
        self.known()
        queued = [item for queue in self.queues.values() for item in queue]
        assert self.dispatcher.queued == len(queued)
        if any(self.dispatcher.demands.values()):
            assert not any(queue and self.busy[kind] < self.credit for kind, queue in self.queues.items())
        everywhere = [item for _, item in self.finished + self.away] + self.withdrawn + queued
        assert sorted(everywhere) == sorted(self.dispatched)

    @invariant()
    def what_is_over_leaves_no_trace(self):
        live = {kind for kind, queue in self.queues.items() if queue} | {k for k, n in self.busy.items() if n}
        assert len(self.dispatcher._turns) == len(live)


class ByKeyCreditModel(ByKeyModel):
    credit = 3


class ByPartitionModel(ByKeyModel):
    partitions = 2


class BroadcastModel(Schedules):
    make = staticmethod(lambda: broadcast(lambda consumer, item: (consumer, item[0]) != ("b", "k")))

    def __init__(self):
        super().__init__()
        self.pending = deque()
        self.partial = {}  # item -> who got it
        self.again = defaultdict(deque)
        self.seen = 0

    def known(self):
        self.pending.extend(self.dispatched[self.seen :])
        self.seen = len(self.dispatched)

    def sent_one(self, consumer, item):
        if item in self.again[consumer]:
            self.again[consumer].remove(item)
            return
        assert not (consumer == "b" and item[0] == "k"), "sent what it does not want"
        got = self.partial.setdefault(item, set())
        assert consumer not in got, "doubled"
        got.add(consumer)

    def take(self, sent):
        self.known()
        super().take(sent)
        # items leave the head of the queue whole: all takers of one, before any of the next
        while self.pending:
            takers = {c for c in self.dispatcher.demands if not (c == "b" and self.pending[0][0] == "k")}
            gone = len(self.pending) > self.dispatcher.queued - self.repeats
            if not (self.partial.get(self.pending[0], set()) >= takers if takers else gone):
                break
            self.pending.popleft()
        assert not any(item in self.partial for item in self.pending), "part of an item was sent"

    @property
    def repeats(self):
        return sum(len(items) for items in self.again.values())

    def put_back(self, consumer, item):
        self.again[consumer].append(item)

    def left(self, name):
        self.again.pop(name, None)

    def dropped(self, taken):
        self.known()
        for items in self.again.values():
            for item in list(items):
                if item in taken:
                    items.remove(item)
        self.pending = deque(item for item in self.pending if item not in taken)

    @invariant()
    def the_least_demand_sets_the_pace(self):
        self.known()
        assert self.dispatcher.queued == len(self.pending) + self.repeats
        least = min(self.dispatcher.demands.values())
        assert self.dispatcher.demand == max(0, least - len(self.pending))
        if least:
            assert not self.pending
        for consumer, items in self.again.items():
            assert not items or not self.dispatcher.demands[consumer]


for model in (ByDemandModel, ByKeyModel, ByKeyCreditModel, ByPartitionModel, BroadcastModel):
    case = model.TestCase
    case.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
    globals()[f"Test{model.__name__}"] = case
del case
