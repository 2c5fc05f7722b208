"""What a sink says of each message, and what becomes of failed ones."""

import pytest

from streamzarr.errors import ConfigError, QueueError
from streamzarr.flow import Demand, from_iterable, from_pull, ops, run
from streamzarr.flow.graph import staged
from streamzarr.flow.message import Barrier
from streamzarr.flow.ops import DONE, Again, Failed
from streamzarr.flow.stage import Stage
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.clock import FakeClock

QUICK = RetryPolicy(attempts=5, base=0.1)


class Each(Stage):
    """Makes of all messages what `change` makes of them."""

    def __init__(self, chain, observer, change):
        super().__init__(chain, observer)
        self._change = change

    def receive(self, messages):
        self.emit(self._change(self.chain, messages))


def each(change):
    return staged(lambda chain, observer: Each(chain, observer, change))


def test_what_the_sink_refuses_is_a_dead_letter_and_the_others_go_on():
    letters = []

    def sink(messages):
        return [Failed(ValueError(m.data)) if m.data == 2 else DONE for m in messages]

    report = run(from_iterable(range(5), Demand(9)).pipe(ops.settle(sink, dead_letters=letters.extend)))
    assert (report.ok, report.failed) == (4, 1)
    assert [(m.data, str(m.failure.error), m.failure.stage) for m in letters] == [(2, "2", "settle")]


def test_without_dead_letters_the_sink_gets_what_it_refused_once_more():
    seen = []

    def sink(messages):
        seen.extend((m.data, m.failure is not None) for m in messages)
        return [Failed(ValueError()) if m.data == 1 and m.failure is None else DONE for m in messages]

    report = run(from_iterable(range(3), Demand(9)).pipe(ops.settle(sink)))
    assert (report.ok, report.failed) == (2, 1)
    assert seen == [(0, False), (1, False), (2, False), (1, True)]


def test_what_shall_come_again_comes_again_after_its_time_and_keeps_its_credit():
    clock, demand, tries = FakeClock(), Demand(2, min_demand=1), []

    def sink(messages):
        tries.extend((round(clock.now()), m.data) for m in messages)
        return [Again(2.0) if m.data == 1 and clock.now() < 5 else DONE for m in messages]

    report = run(from_iterable(range(5), demand).pipe(ops.settle(sink)), runtime=clock)
    assert report.ok == 5
    assert [when for when, data in tries if data == 1] == [0, 2, 4, 6]
    assert [when for when, data in tries if data != 1] == [0, 0, 0, 0], "the others were held up"
    assert (demand.in_flight, demand.peak) == (0, 2)


def test_a_report_for_each_message_is_expected():
    with pytest.raises(ConfigError, match="reported on 1 messages, expected 3 reports"):
        run(from_iterable(range(3), Demand(6)).pipe(ops.settle(lambda messages: [DONE])))


def test_dead_letters_that_cannot_be_written_are_written_later_and_nothing_is_stored_twice():
    clock, stored, letters = FakeClock(), [], []
    faults = [QueueError("away"), QueueError("away")]

    def bury(messages):
        if faults:
            raise faults.pop()
        letters.extend(m.data for m in messages)

    chain = from_iterable(["1", "x", "3"], Demand(9)).pipe(
        ops.map(int),
        ops.settle(lambda ms: stored.extend(m.data for m in ms), dead_letters=bury, retry=QUICK),
    )
    report = run(chain, runtime=clock)
    assert (report.ok, report.failed) == (2, 1)
    assert (stored, letters) == ([1, 3], ["x"])


def test_every_record_that_a_failed_message_was_combined_of_is_a_dead_letter():
    letters = []
    chain = from_iterable(range(4), Demand(9), batch=4).pipe(
        each(lambda chain, messages: [chain.combine(messages, sum(m.data for m in messages))]),
        ops.map(lambda total: total / 0, stage="mean"),
        ops.settle(dead_letters=letters.extend),
    )
    report = run(chain)
    assert (report.failed, report.ok) == (4, 0)
    assert [(m.data, m.failure.stage) for m in letters] == [(n, "mean") for n in range(4)]


def test_a_combined_message_settles_all_that_it_was_made_of():
    demand, seen = Demand(8), []
    chain = from_iterable(range(8), demand, batch=4).pipe(
        each(lambda chain, messages: [chain.combine(messages, [m.data for m in messages])]),
        ops.settle(lambda messages: seen.extend(m.data for m in messages)),
    )
    assert run(chain).ok == 8
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert demand.in_flight == 0


def test_a_piece_that_fails_makes_one_dead_letter_of_its_record_also_when_others_fail_later():
    letters, stored = [], []

    def split(chain, messages):
        return [piece for m in messages for piece in chain.split(m, [(m.data, n) for n in range(4)])]

    def check(data):
        record, piece = data
        if record == 1 and piece in (1, 3):
            raise ValueError(piece)
        return data

    chain = from_iterable(range(3), Demand(9)).pipe(
        each(split),
        ops.map(check, stage="check"),
        ops.batch(2),
        ops.settle(lambda ms: stored.extend(m.data for m in ms), dead_letters=letters.extend),
    )
    report = run(chain)
    assert (report.ok, report.failed, report.delivered) == (2, 1, 3)
    assert [m.data for m in letters] == [(1, 1)]
    assert sorted(stored) == [(r, p) for r in range(3) for p in range(4) if (r, p) not in {(1, 1), (1, 3)}]


def failing(*names):
    """Copies of each message, each of which fails."""
    return ops.broadcast({name: [ops.map(lambda data: 1 / 0, stage=name)] for name in names})


def test_dead_letters_may_want_a_letter_again_and_get_it():
    clock, demand, tries = FakeClock(), Demand(4), []

    def bury(letters):
        tries.extend((round(clock.now()), letter.data) for letter in letters)
        return [Again(2.0) if clock.now() < 5 else DONE for _ in letters]

    chain = from_iterable(["x"], demand).pipe(ops.map(int), ops.settle(dead_letters=bury))
    assert run(chain, runtime=clock).failed == 1
    assert tries == [(0, "x"), (2, "x"), (4, "x"), (6, "x")]
    assert demand.in_flight == 0


def test_dead_letters_that_refuse_a_letter_break_the_chain_and_it_is_not_settled():
    chain = from_iterable(["x"], Demand(4)).pipe(
        ops.map(int), ops.settle(dead_letters=lambda letters: [Failed(ValueError("no room"))])
    )
    with pytest.raises(ConfigError, match="must not be lost"):
        run(chain)


@pytest.mark.parametrize("where", ["sink", "dead_letters"])
def test_of_two_failed_pieces_one_is_buried_also_when_the_first_is_wanted_again(where):
    clock, buried = FakeClock(), []

    def bury(letters):
        if clock.now() < 3:
            return [Again(1.0) for _ in letters]
        buried.extend(letter.data for letter in letters)
        return None

    chain = from_iterable([1], Demand(4)).pipe(failing("a", "b"), ops.settle(**{where: bury}))
    assert run(chain, runtime=clock).failed == 1
    assert buried == [1]


@pytest.mark.parametrize("reports", [[None], 5, ["done"]])
def test_what_is_no_report_is_an_error_and_nothing_hangs(reports):
    with pytest.raises(ConfigError, match=r"expected ops\.DONE, ops\.Failed, ops\.Again or a Pause"):
        run(from_iterable([1], Demand(6)).pipe(ops.settle(lambda messages: reports)))


def test_a_sink_that_refuses_a_failed_message_as_well_is_not_asked_for_ever():
    chain = from_iterable([1], Demand(6)).pipe(
        ops.settle(lambda messages: [Failed(ValueError("bad")) for _ in messages])
    )
    with pytest.raises(ConfigError, match="as failed either; expected dead_letters="):
        run(chain)


def test_what_a_sink_does_to_its_argument_changes_nothing():
    seen = []

    def sink(messages):
        assert isinstance(messages, tuple)
        seen.extend(messages)

    assert run(from_iterable(range(3), Demand(6)).pipe(ops.settle(sink))).ok == len(seen) == 3


# -- markers ---------------------------------------------------------------------------------------------


class Behind(Stage):
    """Sends a barrier behind the message that is `data`."""

    def __init__(self, chain, observer, data, on_passed):
        super().__init__(chain, observer)
        self.data, self.on_passed = data, on_passed

    def receive(self, messages):
        self.emit(messages)
        if any(message.data == self.data for message in messages):
            self.emit_marker(Barrier(self.on_passed))


@pytest.mark.parametrize("answer", [Again(3.0), Failed(ValueError())])
@pytest.mark.parametrize("buried", [True, False])
def test_a_barrier_passes_behind_what_came_before_it_though_later_messages_never_rest(answer, buried):
    clock, given, stored, at = FakeClock(), set(), [], []

    def pull(n):
        return [round(clock.now(), 1)] if clock.now() < 30 else None

    def sink(messages):
        reports = []
        for message in messages:
            first = message.data not in given
            given.add(message.data)
            reports.append(answer if first else DONE)
            if not first:
                stored.append(message.data)
        clock.advance(0.5)
        return reports

    def bury(messages):
        stored.extend(message.data for message in messages)

    chain = from_pull(pull, Demand(100)).pipe(
        staged(
            lambda chain, observer: Behind(
                chain, observer, 5.0, lambda: at.append((clock.now(), [n for n in stored if n <= 5.0]))
            )
        ),
        ops.settle(sink, dead_letters=bury if buried else None),
    )
    run(chain, runtime=clock)
    [(when, before)] = at
    assert before == [n / 2 for n in range(11)]
    assert 5.0 <= when < 12.0


def test_what_was_combined_may_be_wanted_again():
    given = []

    def sink(messages):
        given.extend(m.data for m in messages)
        return [Again() if given.count(m.data) == 1 else DONE for m in messages]

    pairs = from_iterable(range(4), Demand(9)).pipe(ops.combine(sum, size=2), ops.settle(sink))
    assert run(pairs).ok == 4
    assert sorted(given) == [1, 1, 5, 5]
