"""Blame over any history of tasks, threads and deaths: no innocent is condemned, no killer goes free."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.supervisor.blame import Death, judge

tokens = st.integers(0, 30)
held = st.frozensets(tokens, max_size=4)
deaths = st.builds(
    Death,
    in_flight=held,
    said_so=st.booleans(),
    cause=st.sampled_from(["death", "timeout", "memory"]),
    worked=st.booleans(),
)


@given(deaths, st.frozensets(tokens))
def test_only_what_was_in_flight_is_blamed_and_nothing_for_an_orderly_end(death, suspected):
    verdict = judge(death, suspected)
    assert verdict.guilty | verdict.suspects <= death.in_flight
    assert not verdict.guilty & verdict.suspects
    if death.said_so:
        assert not verdict.guilty | verdict.suspects
    elif death.in_flight:
        assert len(verdict.guilty) == (len(death.in_flight) == 1)


@given(held.filter(bool), st.data())
def test_neighbours_of_a_task_that_did_not_end_are_not_blamed(in_flight, data):
    late = data.draw(st.frozensets(st.sampled_from(sorted(in_flight)), min_size=1))
    verdict = judge(Death(in_flight, cause="timeout", overdue=late), suspected=())
    assert (verdict.guilty, verdict.suspects) == (late, frozenset())


@given(st.lists(deaths, max_size=60))
def test_no_more_deaths_are_spared_than_there_are_tasks(history):
    suspected, spared = set(), 0
    for death in history:
        verdict = judge(death, suspected)
        suspected |= verdict.guilty | verdict.suspects
        spared += not (verdict.charged or death.cause == "memory")
    assert spared <= len(suspected)


@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_a_pool_finds_exactly_the_tasks_that_kill(kills, threads, max_crashes, rng):
    """Workers with threads, suspects tried by themselves, as the chunk worker does; nothing is charged."""
    waiting = list(range(len(kills)))
    record, written, dead = {}, set(), set()
    while waiting:
        rng.shuffle(waiting)
        fresh = [task for task in waiting if task not in record][:threads]
        for task in [task for task in waiting if task in record]:
            while kills[task] and record[task] < max_crashes:
                record[task] += 1
            (dead if kills[task] else written).add(task)
        if any(kills[task] for task in fresh):
            verdict = judge(Death(frozenset(fresh)), record)
            assert not verdict.charged
            for task in verdict.guilty | verdict.suspects:
                record[task] = record.get(task, 0) + (task in verdict.guilty)
        else:
            written.update(fresh)
        waiting = [task for task in waiting if task not in written | dead]
    assert dead == {task for task, killer in enumerate(kills) if killer}
    assert all(not record.get(task) for task in written)
