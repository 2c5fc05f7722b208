"""Windows under random schedules of messages, watermarks, results taken late, timers and revocations."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamzarr.errors import LateError
from streamzarr.flow.windows import After, Every, Fixed, Session, Sliding
from streamzarr.flow.windows.moments import FIRST
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.watermark import Watermarks


def append(ids, number):
    return (*ids, number)


def joined(one, other):
    return one + other


class WindowsMachine(RuleBasedStateMachine):
    """Each result holds exactly the messages of its window that are here, and each window ends in one."""

    @initialize(
        kind=st.sampled_from(
            [Fixed("3ns"), Sliding("4ns", "2ns"), Sliding("2ns", "5ns"), Sliding("9ns", "2ns")]
        ),
        lateness=st.sampled_from([0, 3]),
        merge=st.sampled_from([None, joined]),
        triggers=st.sampled_from([(), (Every(2),), (After("2s"),), (Every(3), After("1s"))]),
    )
    def begin(self, kind, lateness, merge, triggers):
        self.kind, self.lateness, self.merge = kind, lateness, merge
        self.panes = Panes(Reduction(append, (), kind, merge=merge, triggers=triggers, lateness=lateness))
        self.now = 0.0
        self.mark = FIRST
        self.count = 0
        self.parts = {}  # (claim, key, window) -> numbers of messages
        self.last = {}  # (owner, key, window) -> numbers in the last result
        self.finals = set()
        self.torn = set()  # windows of which a part was abandoned

    def owner(self, claim):
        return claim if self.merge is None else None

    def expected(self, owner, key, window):
        return sorted(
            number
            for (claim, *rest), numbers in self.parts.items()
            if rest == [key, window] and self.owner(claim) == owner
            for number in numbers
        )

    @rule(claim=st.sampled_from("xy"), key=st.sampled_from("ab"), moment=st.integers(-10, 40))
    def fold(self, claim, key, moment):
        for window in self.kind.windows(moment):
            late = window.stop + self.lateness <= self.mark
            self.count += 1
            try:
                self.panes.fold(claim, key, window, self.count, self.now)
            except LateError:
                assert late
            else:
                assert not late
                self.parts.setdefault((claim, key, window), []).append(self.count)

    @rule(by=st.integers(0, 8))
    def advance(self, by):
        self.mark = max(self.mark, -10) + by
        self.panes.advance(self.mark)

    @rule(by=st.floats(0, 3))
    def tick(self, by):
        self.now += by
        self.panes.tick(self.now)
        due = self.panes.due()
        assert due is None or due > self.now

    @rule(count=st.integers(1, 5))
    def take(self, count):
        for _ in range(count):
            taken = self.panes.take()
            if taken is None:
                return
            self.check(taken)

    def check(self, taken, *, ended=False):
        result = taken.result
        (owner,) = {self.owner(claim) for claim in taken.claims}
        name = (owner, result.key, result.window)
        assert sorted(result.value) == self.expected(*name)
        assert result.count == len(result.value)
        assert not result.partial
        if result.firing == "early":
            assert result.window.stop > self.mark
        elif result.firing == "final":
            assert ended or result.window.stop <= self.mark
            assert name not in self.finals, "two final results"
            self.finals.add(name)
        else:
            assert result.window.stop <= self.mark
            assert self.lateness
        self.last[name] = sorted(result.value)

    @rule(claim=st.sampled_from("xy"))
    def revoke(self, claim):
        """Its next owner, or we ourselves, will have its messages again."""
        self.panes.abandon([claim])
        for name in [name for name in self.parts if name[0] == claim]:
            del self.parts[name]
            pane = (self.owner(claim), *name[1:])
            self.torn.add(pane)
            self.last.pop(pane, None)
            if self.merge is None or not self.expected(*pane):
                self.finals.discard(pane)  # nothing of it is left

    @invariant()
    def counts_are_exact(self):
        if hasattr(self, "panes"):
            panes = {id(pane): pane for pane in (*self.panes.shelf.all(), *self.panes._ready)}
            parts = [part for pane in panes.values() for part in pane.parts.values()]
            assert self.panes.shelf.accumulators == len(parts)
            assert self.panes.shelf.nbytes == sum(part.nbytes for part in parts)
            closed = [pane for pane in panes.values() if not pane.open]
            assert self.panes.shelf.leaving == sum(len(pane.parts) for pane in closed)

    def teardown(self):
        if not hasattr(self, "panes"):
            return
        self.panes.finish()
        for last in self.panes.take_all():
            self.check(last, ended=True)
        for claim, key, window in self.parts:
            name = (self.owner(claim), key, window)
            if name not in self.torn:
                assert self.last[name] == self.expected(*name)
        assert (self.panes.shelf.accumulators, self.panes.shelf.nbytes) == (0, 0)
        assert sum(self.panes.shelf.growth.values()) == 0 or self.torn


class SessionsMachine(RuleBasedStateMachine):
    """Sessions are what grouping the accepted messages by silences gives."""

    GAP = 4

    def __init__(self):
        super().__init__()
        self.panes = Panes(Reduction(append, (), Session("4ns"), merge=joined))
        self.mark = FIRST
        self.count = 0
        self.open = {"a": [], "b": []}  # (start, stop, numbers)
        self.expected = []

    @rule(key=st.sampled_from("ab"), moment=st.integers(0, 60))
    def fold(self, key, moment):
        start, stop, numbers = moment, moment + self.GAP, [self.count]
        apart = []
        for session in self.open[key]:
            if session[0] < moment + self.GAP and moment < session[1]:
                start, stop = min(start, session[0]), max(stop, session[1])
                numbers = [*numbers, *session[2]]
            else:
                apart.append(session)
        try:
            (window,) = self.panes.reduction.window.windows(moment)
            self.panes.fold("p", key, window, self.count)
        except LateError:
            assert stop <= self.mark
        else:
            assert stop > self.mark
            self.open[key] = [*apart, (start, stop, numbers)]
        self.count += 1

    @rule(by=st.integers(0, 10))
    def advance(self, by):
        self.mark = max(self.mark, 0) + by
        self.panes.advance(self.mark)
        for key, sessions in self.open.items():
            over = [session for session in sessions if session[1] <= self.mark]
            self.open[key] = [session for session in sessions if session not in over]
            self.expected += [(key, start, stop, sorted(numbers)) for start, stop, numbers in over]

    def teardown(self):
        self.advance(100)
        results = [each.result for each in self.panes.take_all()]
        assert all(result.firing == "final" and not result.replaces for result in results)
        found = [(result.key, *result.window, sorted(result.value)) for result in results]
        assert sorted(found) == sorted(self.expected)
        assert self.panes.shelf.accumulators == 0


class WatermarksMachine(RuleBasedStateMachine):
    """The least of those that are heard of."""

    IDLE, DISORDER = 5.0, 3

    def __init__(self):
        super().__init__()
        self.marks = Watermarks(self.DISORDER, self.IDLE)
        self.now = 0.0
        self.seen = {}

    @rule(partition=st.sampled_from("xyz"))
    def assigned(self, partition):
        self.marks.open(partition, self.now)
        self.seen[partition] = [FIRST, self.now]

    @rule(partition=st.sampled_from("xyz"), moment=st.integers(0, 100))
    def observe(self, partition, moment):
        self.marks.observe(partition, moment, self.now)
        newest, _ = self.seen.get(partition, (FIRST, 0))
        self.seen[partition] = [max(newest, moment), self.now]

    @rule(partition=st.sampled_from("xyz"))
    def revoked(self, partition):
        self.marks.close(partition)
        self.seen.pop(partition, None)

    @rule(by=st.floats(0, 4))
    def wait(self, by):
        self.now += by

    @invariant()
    def is_the_least_of_those_awake(self):
        awake = [newest for newest, heard in self.seen.values() if self.now - heard < self.IDLE]
        known = [min(awake)] if awake else [newest for newest, _ in self.seen.values()]
        expected = max(FIRST, max(known, default=FIRST) - self.DISORDER)
        assert self.marks.read(self.now) == expected
        due = self.marks.due()
        assert due is None or due > self.now

    @precondition(lambda self: self.seen)
    @rule()
    def silence(self):
        """When all are silent for long, the farthest counts."""
        self.now += 100.0
        newest = max(newest for newest, _ in self.seen.values())
        assert self.marks.read(self.now) == max(FIRST, newest - self.DISORDER)


quick = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWindows = WindowsMachine.TestCase
TestWindows.settings = quick
TestSessions = SessionsMachine.TestCase
TestSessions.settings = quick
TestWatermarks = WatermarksMachine.TestCase
TestWatermarks.settings = quick


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(1, 500), st.integers(1, 100))
def test_sliding_windows_hold_their_moment_and_are_all(moment, size, every):
    windows = Sliding(f"{size}ns", f"{every}ns").windows(moment)
    assert all(window.start <= moment < window.stop for window in windows)
    assert all(window.start % every == 0 for window in windows)
    assert len(windows) == len(range(moment - moment % every, moment - size, -every))
