"""Consecutive operators on data are one; what they do is what each would do alone."""

import gc
import weakref

import reactivex.operators as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.flow import Demand, from_iterable, from_pull, ops, run
from streamzarr.flow.ops import each


def go(items, *operators, demand=10):
    seen = []
    report = run(from_iterable(items, Demand(demand)).pipe(*operators, ops.settle(seen.extend)))
    return report, seen


def apart(operators):
    """Return the operators with something between them that keeps them from being fused."""
    return [part for operator in operators for part in (operator, rx.map(lambda batch: batch))]


def half(n):
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


STEPS = {
    "half": lambda: ops.map(half, stage="half"),
    "add": lambda: ops.map(lambda n: n + 3, stage="add"),
    "drop": lambda: ops.drop_if(lambda n: n % 5 == 0, stage="drop"),
    "keep": lambda: ops.filter(lambda n: 12 // (n - 4) > -100, stage="keep"),
    "batch": lambda: ops.map_batch(lambda numbers: [n + 1 for n in numbers]),
    "messages": lambda: ops.map_messages(lambda m: m.replace(data=m.data + 1)),
}


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.integers(0, 50), max_size=30),
    names=st.lists(st.sampled_from(sorted(STEPS)), max_size=7),
    demand=st.integers(1, 20),
)
def test_a_run_does_what_its_operators_do_apart(numbers, names, demand):
    def outcome(operators):
        report, seen = go(numbers, *operators, demand=demand)
        results = [(m.data, m.failure and (m.failure.stage, str(m.failure.error))) for m in seen]
        return results, report.ok, report.failed, report.skipped

    operators = [STEPS[name]() for name in names]
    assert outcome(operators) == outcome(apart(operators))


def test_a_run_makes_one_new_message(monkeypatch):
    made, replace = [], each.replace
    monkeypatch.setattr(
        each, "replace", lambda message, **changes: made.append(1) or replace(message, **changes)
    )
    _, seen = go(range(8), ops.map(lambda n: n + 1), ops.filter(lambda n: n > 4), ops.map(lambda n: n * 2))
    assert [m.data for m in seen] == [10, 12, 14, 16]
    assert len(made) == 4


def test_a_run_can_be_observed_in_its_middle_as_well():
    middle = from_iterable([1, 2], Demand(10)).pipe(ops.map(lambda n: n + 1))
    ends = {}
    for name, operators in {"middle": [], "end": [ops.map(lambda n: n * 10)]}.items():
        seen = []
        run(middle.pipe(*operators, ops.settle(seen.extend)))
        ends[name] = [m.data for m in seen]
    assert ends == {"middle": [2, 3], "end": [20, 30]}


def test_a_chain_that_its_own_source_knows_is_not_kept_alive():
    def ended():
        known = []
        chain = from_pull(lambda count: None if known else [], Demand(1)).pipe(ops.map(str), ops.settle())
        known.append(chain)
        run(chain)
        return weakref.ref(chain)

    chain = ended()
    gc.collect()
    assert chain() is None
