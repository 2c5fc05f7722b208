"""The ledger against a plain dictionary, under repeated and reordered results."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.ledger import PAGE, TO_DO, Ledger, TaskState
from streamzarr.jobs.wire import Dead, Ended, Results, Written, run_of

ENDS = (2, 2, 6, PAGE - 1, 2 * PAGE + 3)
TASKS = ENDS[-1]
KINDS = ("written", "dead", "skipped", "replayed", "resent")
BECOMES = {
    "written": {"open", "dead", "skipped"},
    "dead": {"open", "skipped"},
    "skipped": {"open"},
    "replayed": {"dead"},
    "resent": {"skipped"},
}
STATES = {state.name.lower(): state for state in TaskState}
edges = st.sampled_from(sorted({0, *ENDS, PAGE, 2 * PAGE})).flatmap(
    lambda edge: st.integers(edge - 5, edge + 5)
)
events = st.lists(
    st.tuples(st.sampled_from(KINDS), edges, st.one_of(st.integers(1, 8), st.integers(1, 2 * PAGE + 20))),
    max_size=20,
)


def results(kind, *tasks, count=1, nbytes=10):
    return Results(
        "j",
        "w",
        written=tuple(Written(task, 2, nbytes, count) for task in tasks if kind == "written"),
        dead=tuple(Dead(task, 5, "E", count) for task in tasks if kind == "dead"),
        skipped=tuple(run_of(range(task, task + count)) for task in tasks if kind == "skipped"),
        replayed=tuple(run_of(range(task, task + count)) for task in tasks if kind == "replayed"),
    )


def numbers(runs):
    return [number for run in runs for number in run]


@given(events)
def test_counts_follow_the_states(history):
    ledger = Ledger(ENDS)
    model = ["open"] * TASKS
    nbytes = retried = 0
    for kind, first, count in history:
        run = range(first, first + count)
        changed = [task for task in run if 0 <= task < TASKS and model[task] in BECOMES[kind]]
        for task in changed:
            model[task] = "open" if kind in ("replayed", "resent") else kind
        nbytes += 7 * len(changed) * (kind == "written")
        retried += {"written": 1, "dead": 4}.get(kind, 0) * len(changed)
        if kind == "resent":
            ledger.resend(run)
        else:
            ledger.apply(results(kind, first, count=count, nbytes=7 * count))
    assert (ledger.nbytes, ledger.retried) == (nbytes, retried)
    for stage, start, end in zip(ledger.stages, (0, *ENDS), ENDS, strict=False):
        found = [model[start:end].count(state) for state in ("written", "dead", "skipped")]
        assert (stage.tasks, stage.written, stage.dead, stage.skipped) == (end - start, *found)
        assert stage.decided == (found[0] + found[1] == end - start)
        assert stage.complete == (found[0] == end - start)
    assert (ledger.written, ledger.dead, ledger.skipped) == tuple(
        model.count(state) for state in ("written", "dead", "skipped")
    )
    for name, state in STATES.items():
        assert numbers(ledger.runs_in(range(TASKS), state)) == [
            task for task, now in enumerate(model) if now == name
        ]


@given(events, edges, st.integers(0, 2 * PAGE + 9))
def test_open_runs_are_what_is_neither_written_nor_dead_of_a_span(history, first, count):
    ledger = Ledger(ENDS)
    for kind, start, length in history:
        ledger.apply(results(kind, start, count=length))
    span = range(first, first + count)
    decided = set(numbers(ledger.runs_in(range(TASKS), TaskState.WRITTEN, TaskState.DEAD)))
    runs = list(ledger.runs_in(span, *TO_DO))
    assert numbers(runs) == [task for task in span if 0 <= task < TASKS and task not in decided]
    assert ledger.count(span, *TO_DO) == len(numbers(runs))
    assert all(run and run.start // PAGE == (run.stop - 1) // PAGE for run in runs)


def test_a_page_is_looked_at_when_its_turn_comes():
    ledger = Ledger([3 * PAGE])
    runs = ledger.runs_in(range(3 * PAGE), *TO_DO)
    assert next(runs) == range(PAGE)
    ledger.apply(results("written", PAGE, count=PAGE + 5))
    assert list(runs) == [range(2 * PAGE + 5, 3 * PAGE)]


def test_a_repeated_result_counts_once():
    ledger = Ledger([2])
    for _ in range(3):
        ledger.apply(results("written", 1))
    assert (ledger.written, ledger.nbytes, ledger.retried) == (1, 10, 1)


def test_a_replayed_dead_letter_becomes_written_and_stays_so():
    ledger = Ledger([1])
    for kind in ("dead", "written", "dead"):
        ledger.apply(results(kind, 0))
    assert (ledger.written, ledger.dead) == (1, 0)


def test_of_a_run_of_which_some_are_written_the_share_of_the_others_is_counted():
    ledger = Ledger([8])
    ledger.apply(results("written", 2, count=2, nbytes=20))
    for _ in range(2):
        ledger.apply(results("written", 0, count=8, nbytes=80))
    assert (ledger.written, ledger.nbytes, ledger.retried) == (8, 80, 8)


def test_what_is_written_of_a_run_of_dead_letters_that_is_replayed_stays_written():
    ledger = Ledger([8])
    ledger.apply(results("written", 1, count=6))
    ledger.apply(results("dead", 0, count=8))
    ledger.apply(results("replayed", 0, count=8))
    assert (ledger.written, ledger.dead, list(ledger.runs_in(range(8), *TO_DO))) == (
        6,
        0,
        [range(1), range(7, 8)],
    )


def held(ledger):
    """Bytes that the states take."""
    pages = {id(page): sys.getsizeof(page) for page in ledger._pages.values()}
    return sys.getsizeof(ledger._pages) + sum(pages.values())


@pytest.mark.parametrize("tasks", [10**7, 10**18])
def test_tasks_of_which_nothing_was_heard_take_no_memory(tasks):
    ledger = Ledger([tasks])
    ledger.apply(results("written", 0, tasks - 1, tasks, -1, 2**62))
    assert held(ledger) < 10_000
    assert (ledger.written, ledger.decided) == (2, 2)
    assert next(ledger.runs_in(range(tasks), *TO_DO)) == range(1, PAGE)


@pytest.mark.parametrize("count", [1, 64, 4096])
def test_ten_million_chunks_that_are_written_in_runs_take_little_memory(count):
    ledger = Ledger([10**7])
    for first in range(0, 10**6, count):
        ledger.apply(results("written", first, count=count))
    assert held(ledger) < 100_000
    assert ledger.written == len(range(0, 10**6, count)) * count


def test_finished_pages_take_no_memory_whatever_the_order():
    ledger = Ledger([100 * PAGE])
    for start in (1, 0):
        ledger.apply(results("written", *range(start, 100 * PAGE, 2)))
    assert ledger.stages[0].complete
    assert held(ledger) < 20_000
    assert list(ledger.runs_in(range(100 * PAGE), *TO_DO)) == []


def test_the_end_of_a_job_stands_for_its_results():
    ledger = Ledger([10**12])
    ledger.apply(results("dead", 5))
    ledger.end(Ended("j", "done", 10**12, 0, 7, 99, 0))
    assert (ledger.written, ledger.dead, ledger.nbytes, ledger.retried) == (10**12, 0, 99, 7)
    ledger.apply(results("dead", 5))
    assert (ledger.written, ledger.dead) == (10**12, 0)
    assert held(ledger) < 1000
