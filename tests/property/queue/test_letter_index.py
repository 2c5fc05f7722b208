"""Which letters are open, against the rule said plainly; and any schedule of replays, purges and deaths."""

from collections import Counter
from contextlib import closing
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamzarr.errors import QueueError
from streamzarr.queue import DeadLetter, DeadLetterQueue, LetterFilter, Record
from streamzarr.queue.deadletter import LetterId
from streamzarr.queue.letters.index import LetterIndex
from streamzarr.queue.letters.marker import marker
from streamzarr.queue.scan import scan
from streamzarr.testing.broker_fake import FakeBroker

messages = st.integers(0, 5)


def letter(n):
    record = Record("ticks", 0, n, None, b"%d" % n, (), n)
    return DeadLetter.of(record, error=ValueError(), stage="s", first_seen=0)


@given(st.lists(st.one_of(messages, st.tuples(st.integers(0, 12)))), st.integers(1, 3))
def test_open_are_the_newest_about_each_message_of_which_none_was_closed(steps, partitions):
    records, ends = [], Counter()
    for number, step in enumerate(steps):
        partition = number % partitions
        if isinstance(step, tuple) and not ends[partition]:
            steps[number] = step = 5  # nothing can be closed yet
        if isinstance(step, tuple):
            steps[number] = step = (step[0] % ends[partition],)
            new = marker(LetterId(partition, step[0]), "x")
        else:
            new = letter(step).to_record()
        records.append(
            Record("dead", partition, ends[partition], new.key, new.value, new.headers, new.timestamp or 0)
        )
        ends[partition] += 1
    closed = {(number % partitions, step[0]) for number, step in enumerate(steps) if isinstance(step, tuple)}
    places = {
        (record.partition, record.offset): step
        for record, step in zip(records, steps, strict=True)
        if not isinstance(step, tuple)
    }
    over = {step for place, step in places.items() if place in closed}
    newest = {}
    for place in sorted(places):
        newest[places[place]] = place
    expected = sorted(place for step, place in newest.items() if step not in over)
    with closing(LetterIndex(records)) as index:
        assert list(index.ids()) == expected
        assert all(place in index for place in expected)
        assert set(index.closed_by_others()) == {p for p, step in places.items() if step in over} - closed


class Letters(RuleBasedStateMachine):
    """Each message is sent again at most once for each time that it died and was replayed; none is lost."""

    def __init__(self):
        super().__init__()
        self.broker = FakeBroker()
        self.broker.create_topic("ticks")
        self.broker.create_topic("ticks.dead", 2)
        self.queue = DeadLetterQueue(self.broker, "ticks.dead")
        self.dead, self.dropped = set(), set()
        self.stale = []

    @rule(n=st.integers(0, 30), partition=st.integers(0, 1))
    def die(self, n, partition):
        """A worker writes a letter; it may do so again before anybody sees to it."""
        if n in self.dead and n not in {each.offset for _, each in self.queue.read()}:
            return  # it is over: what comes after a replay has another origin
        record = letter(n).to_record()
        self.broker._append("ticks.dead", [replace(record, partition=partition)])
        self.dead.add(n)

    @rule()
    def look(self):
        self.stale = self.queue.ls()

    @rule(count=st.integers(0, 5))
    def replay_what_was_seen(self, count):
        self.queue.replay(self.stale[:count])

    @rule(after=st.integers(0, 3))
    def replay_until_the_broker_goes_away(self, after):
        calls = iter(range(after))

        def fault():
            if next(calls, None) is None:
                raise QueueError("away")

        self.broker.faults["write"] = fault
        try:
            self.queue.replay(self.queue.read(), rate=1e9)
        except QueueError:
            pass
        finally:
            del self.broker.faults["write"]

    @rule(n=st.integers(0, 30))
    def drop(self, n):
        chosen = self.queue.read(LetterFilter(offsets=range(n, n + 1)))
        if self.queue.drop(chosen):
            self.dropped.add(n)

    @rule()
    def purge(self):
        self.queue.purge()

    @invariant()
    def each_message_is_in_one_place(self):
        sent = Counter(int(record.value) for record in scan(self.broker, "ticks"))
        assert not sent or max(sent.values()) == 1
        still = [each.offset for _, each in self.queue.read()]
        assert sorted([*sent, *self.dropped, *still]) == sorted(self.dead)


TestLetters = Letters.TestCase
TestLetters.settings = settings(max_examples=30, stateful_step_count=20)
