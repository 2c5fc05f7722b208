"""The ledger against a plain dictionary, under repeated and reordered results."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.ledger import Ledger, TaskState
from streamzarr.jobs.wire import Dead, Results, Written

TASKS = 6
events = st.lists(
    st.tuples(st.sampled_from(["written", "dead", "skipped", "reopen"]), st.integers(-2, TASKS + 2)),
    max_size=40,
)


def results(kind, task):
    return Results(
        "j",
        "w",
        written=(Written(task, 2, 10),) if kind == "written" else (),
        dead=(Dead(task, 5, "E"),) if kind == "dead" else (),
        skipped=(task,) if kind == "skipped" else (),
    )


@given(events)
def test_counts_follow_the_states(history):
    ledger = Ledger(TASKS)
    model = dict.fromkeys(range(TASKS), "open")
    for kind, task in history:
        if kind == "reopen":
            if task in model:
                ledger.reopen([task])
                model[task] = "open"
            continue
        ledger.apply(results(kind, task))
        if task in model and model[task] != "written" and not (model[task] == "dead" and kind == "skipped"):
            model[task] = kind
    count = list(model.values()).count
    assert (ledger.written, ledger.dead, ledger.skipped) == (
        count("written"),
        count("dead"),
        count("skipped"),
    )
    span = range(TASKS)
    assert ledger.settled_in(span) == ledger.settled
    assert ledger.written_in(span) == ledger.written
    assert ledger.dead_tasks() == [task for task, state in model.items() if state == "dead"]
    assert list(ledger.open_tasks(span)) == [
        task for task, state in model.items() if state in ("open", "skipped")
    ]


def test_a_repeated_result_counts_once():
    ledger = Ledger(2)
    for _ in range(3):
        ledger.apply(results("written", 1))
    assert (ledger.written, ledger.nbytes, ledger.retried) == (1, 10, 1)


def test_a_replayed_dead_letter_becomes_written_and_stays_so():
    ledger = Ledger(1)
    for kind in ("dead", "written", "dead"):
        ledger.apply(results(kind, 0))
    assert ledger.state(0) is TaskState.WRITTEN
    assert (ledger.written, ledger.dead) == (1, 0)
