"""The ledger against a plain dictionary, under repeated and reordered results."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.ledger import PAGE, Ledger, TaskState
from streamzarr.jobs.wire import Dead, Ended, Results, Written

ENDS = (2, 2, 6)
TASKS = ENDS[-1]
events = st.lists(
    st.tuples(
        st.sampled_from(["written", "dead", "skipped", "replayed", "reopen"]), st.integers(-2, TASKS + 2)
    ),
    max_size=40,
)


def results(kind, *tasks):
    return Results(
        "j",
        "w",
        written=tuple(Written(task, 2, 10) for task in tasks if kind == "written"),
        dead=tuple(Dead(task, 5, "E") for task in tasks if kind == "dead"),
        skipped=tasks if kind == "skipped" else (),
        replayed=tasks if kind == "replayed" else (),
    )


@given(events)
def test_counts_follow_the_states(history):
    ledger = Ledger(ENDS)
    model = dict.fromkeys(range(TASKS), "open")
    for kind, task in history:
        if kind == "reopen":
            if task in model:
                ledger.reopen([task])
                model[task] = "open"
            continue
        ledger.apply(results(kind, task))
        if kind == "replayed":
            if model.get(task) == "dead":
                model[task] = "open"
        elif task in model and model[task] != "written" and not (model[task] == "dead" and kind == "skipped"):
            model[task] = kind
    count = list(model.values()).count
    assert (ledger.written, ledger.dead, ledger.skipped) == (
        count("written"),
        count("dead"),
        count("skipped"),
    )
    span = range(TASKS)
    for number, stage in enumerate(ledger.stages):
        states = [model[task] for task in range((0, *ENDS)[number], ENDS[number])]
        assert (stage.written, stage.dead) == (states.count("written"), states.count("dead"))
        assert stage.settled == all(state in ("written", "dead") for state in states)
        assert stage.complete == all(state == "written" for state in states)
    assert list(ledger.tasks_in(TaskState.DEAD, span)) == [
        task for task, state in model.items() if state == "dead"
    ]
    assert list(ledger.open_tasks(span)) == [
        task for task, state in model.items() if state in ("open", "skipped")
    ]
    assert [ledger.is_open(task) for task in range(-1, TASKS + 1)] == [
        model.get(task) in ("open", "skipped") for task in range(-1, TASKS + 1)
    ]


def test_a_repeated_result_counts_once():
    ledger = Ledger([2])
    for _ in range(3):
        ledger.apply(results("written", 1))
    assert (ledger.written, ledger.nbytes, ledger.retried) == (1, 10, 1)


def test_a_replayed_dead_letter_becomes_written_and_stays_so():
    ledger = Ledger([1])
    for kind in ("dead", "written", "dead"):
        ledger.apply(results(kind, 0))
    assert ledger.state(0) is TaskState.WRITTEN
    assert (ledger.written, ledger.dead) == (1, 0)


def held(ledger):
    """Bytes that the states take."""
    pages = {id(page): sys.getsizeof(page) for page in ledger._pages.values()}
    return sys.getsizeof(ledger._pages) + sum(pages.values())


@pytest.mark.parametrize("tasks", [10**7, 10**18])
def test_tasks_of_which_nothing_was_heard_take_no_memory(tasks):
    ledger = Ledger([tasks])
    ledger.apply(results("written", 0, tasks - 1, tasks, -1, 2**62))
    assert held(ledger) < 10_000
    assert (ledger.written, ledger.settled) == (2, 2)
    walk = ledger.open_tasks(range(tasks))
    assert [next(walk), next(walk)] == [1, 2]


def test_finished_pages_take_no_memory_whatever_the_order():
    ledger = Ledger([100 * PAGE])
    for start in (1, 0):
        ledger.apply(results("written", *range(start, 100 * PAGE, 2)))
    assert ledger.stages[0].complete
    assert held(ledger) < 20_000
    assert list(ledger.open_tasks(range(100 * PAGE))) == []


def test_the_end_of_a_job_stands_for_its_results():
    ledger = Ledger([10**12])
    ledger.apply(results("dead", 5))
    ledger.end(Ended("j", "done", 10**12, 0, 7, 99, 0))
    assert (ledger.written, ledger.dead, ledger.nbytes, ledger.retried) == (10**12, 0, 99, 7)
    ledger.apply(results("dead", 5))
    assert ledger.state(5) is TaskState.WRITTEN
    assert ledger.dead == 0
    assert held(ledger) < 1000
