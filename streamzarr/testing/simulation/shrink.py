"""From a failing run to a short one that fails as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from streamzarr.testing.simulation.plan import Plan


def shrink(plan: Plan, fails: Callable[[Plan], bool], most: int = 60) -> Plan:
    """Drop faults, messages and interruptions while the run still fails; at most `most` runs.

    Greedy: the first smaller plan that fails is taken and made smaller in turn.

    Examples
    --------
    >>> from streamzarr.testing.simulation.faults import Fault
    >>> plan = Plan(1, 100, (Fault("put", 1, "lose"), Fault("commit", 3, "lose")), restless=0.3)
    >>> shrink(plan, lambda plan: any(fault.site == "commit" for fault in plan.faults))
    Plan(seed=1, size=1, faults=(Fault(site='commit', nth=3, kind='lose', seconds=0.0),), restless=0.0)
    """
    runs = 0
    while True:
        for smaller in _smaller(plan):
            if runs >= most:
                return plan
            runs += 1
            if fails(smaller):
                plan = smaller
                break
        else:
            return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    count = len(plan.faults)
    if count > 1:
        half = count // 2
        yield replace(plan, faults=plan.faults[:half])
        yield replace(plan, faults=plan.faults[half:])
    for index in range(count):
        yield replace(plan, faults=plan.faults[:index] + plan.faults[index + 1 :])
    for size in sorted({1, plan.size // 4, plan.size // 2, plan.size * 3 // 4, plan.size - 1}):
        if 0 < size < plan.size:
            yield replace(plan, size=size)
    if plan.restless:
        yield replace(plan, restless=0.0)
