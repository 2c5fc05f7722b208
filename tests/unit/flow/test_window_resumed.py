"""Results that may lack messages of before the offset at which reading began."""

import pytest

from streamzarr.flow import Demand, Stop, WindowState, from_topic, ops, run, windows
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker

WINDOW = {
    "fixed": windows.Fixed("1s"),
    "sliding": windows.Sliding("2s", every="1s"),
    "session": windows.Session("1s"),
}


def work(broker, enough, *behind, window="fixed", state=None, **options):
    """Run a worker until it has given so many results; return start, value and mark of each."""
    seen, stop = [], Stop()

    def sink(messages):
        seen.extend(message.data for message in messages)
        if len(seen) >= enough:
            stop.drain(5.0)

    if window == "session":
        options["merge"] = lambda one, other: one + other
    source = from_topic(broker, "ticks", group="g", demand=Demand(9), committer=state, poll_timeout=0.01)
    counted = ops.reduce(
        lambda count, at: count + 1,
        initial=0,
        window=WINDOW[window],
        time=lambda at: at,
        idle=None,
        state=state,
        **options,
    )
    run(source.pipe(ops.map(float), counted, *behind, ops.settle(sink)), stop=stop)
    return [(result.window.start / 10**9, result.value, result.resumed) for result in seen]


def send(broker, *times):
    broker.append("ticks", 0, *(b"%g" % time for time in times))


@pytest.fixture
def broker():
    broker = FakeBroker()
    broker.create_topic("ticks")
    return broker


def test_a_window_that_comes_again_with_a_part_of_its_messages_is_marked(broker):
    send(broker, 0.0, 1.0, 0.5, 2.1)
    assert work(broker, 1, disorder="1s") == [(0, 2, False)]
    assert broker.committed("g", "ticks") == {0: 1}
    send(broker, 3.0, 9.0)
    assert work(broker, 4, disorder="1s") == [(0, 1, True), (1, 1, True), (2, 1, True), (3, 1, False)]


def test_windows_that_overlap_come_again_and_are_marked(broker):
    send(broker, 0.0, 1.5, 2.0)
    assert work(broker, 2, window="sliding") == [(-1, 1, False), (0, 2, False)]
    send(broker, 9.0)
    again = work(broker, 3, window="sliding")
    assert again == [(0, 1, True), (1, 2, True), (2, 1, False)]


def test_a_session_that_may_be_the_end_of_another_one_is_marked(broker):
    send(broker, 0.0, 0.5, 2.0, 2.5, 9.0)
    assert work(broker, 2, window="session") == [(0, 2, False), (2, 2, False)]
    send(broker, 20.0, 30.0)
    assert work(broker, 2, window="session") == [(9, 1, True), (20, 1, False)]


def test_the_mark_goes_with_a_merged_result(broker):
    broker._committed["g", TopicPartition("ticks", 0)] = 1
    send(broker, 0.0, 0.5, 1.0, 2.0)
    merged = ops.departition(lambda total, result: total + result.value, initial=0)
    assert work(broker, 2, merged) == [(0, 1, True), (1, 1, False)]


def test_with_a_state_only_what_was_before_its_beginning_is_missing(broker, tmp_path):
    broker._committed["g", TopicPartition("ticks", 0)] = 1
    send(broker, 0.0, 0.5, 1.0, 1.5)
    assert work(broker, 1, state=WindowState(tmp_path / "state", every=0.01)) == [(0, 1, True)]
    send(broker, 2.0)
    assert work(broker, 1, state=WindowState(tmp_path / "state", every=0.01)) == [(1, 2, False)]


def test_a_mark_is_stored_with_the_windows(broker, tmp_path):
    broker._committed["g", TopicPartition("ticks", 0)] = 1
    send(broker, 0.0, 1.0, 2.5)
    options = {"window": "sliding", "disorder": "500ms"}
    assert work(broker, 1, state=WindowState(tmp_path / "state", every=0.01), **options) == [(0, 1, True)]
    send(broker, 9.0)
    again = work(broker, 2, state=WindowState(tmp_path / "state", every=0.01), **options)
    assert again == [(1, 2, True), (2, 1, False)]


def test_windows_of_a_number_are_not_marked_they_are_cut_anew(broker):
    broker._committed["g", TopicPartition("ticks", 0)] = 1
    send(broker, 0.0, 0.5, 1.0)
    seen, stop = [], Stop()
    source = from_topic(broker, "ticks", group="g", demand=Demand(9), poll_timeout=0.01)

    def sink(messages):
        seen.extend(message.data for message in messages)
        stop.drain(5.0)

    pairs = ops.reduce(lambda count, value: count + 1, initial=0, window=windows.Count(2))
    run(source.pipe(pairs, ops.settle(sink)), stop=stop)
    assert [(result.count, result.resumed) for result in seen] == [(2, False)]


def test_with_a_state_the_window_of_all_time_is_marked_only_if_something_was_before_its_beginning(
    broker, tmp_path
):
    def life(enough):
        seen, stop = [], Stop()
        state = WindowState(tmp_path / "state", every=0.01)

        def sink(messages):
            seen.extend(message.data for message in messages)
            if len(seen) >= enough:
                stop.drain(5.0)

        source = from_topic(broker, "ticks", group="g", demand=Demand(9), committer=state, poll_timeout=0.01)
        counted = ops.reduce(
            lambda count, at: count + 1,
            initial=0,
            window=windows.Global(),
            trigger=windows.Every(1),
            state=state,
        )
        run(source.pipe(counted, ops.settle(sink)), stop=stop)
        return [(result.value, result.resumed) for result in seen]

    send(broker, 0.0, 1.0)
    assert life(2) == [(1, False), (2, False)]
    send(broker, 2.0)
    assert life(1) == [(3, False)]


def test_with_a_state_what_was_passed_over_before_the_first_window_is_not_missing(broker, tmp_path):
    stop = Stop()
    send(broker, 0.0)
    source = from_topic(
        broker,
        "ticks",
        group="g",
        demand=Demand(9),
        committer=(state := WindowState(tmp_path / "state", every=0.01)),
        poll_timeout=0.01,
    )
    counted = ops.reduce(
        lambda count, at: count + 1, initial=0, window=WINDOW["fixed"], time=float, state=state
    )
    passed_over = ops.filter(lambda value: stop.drain(5.0))
    assert run(source.pipe(passed_over, counted, ops.settle()), stop=stop).skipped == 1
    send(broker, 0.5, 2.0)
    assert work(broker, 1, state=WindowState(tmp_path / "state", every=0.01)) == [(0, 1, False)]
