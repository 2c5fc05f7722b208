"""How large the state of windows may be; pure state."""

import numpy as np
import pytest

from streamzarr.errors import LimitExceededError
from streamzarr.flow.windows import (
    Bound,
    Count,
    Fixed,
    Global,
    Sliding,
)
from streamzarr.flow.windows.bound import estimate
from streamzarr.flow.windows.moments import SECOND
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction
from tests.support.panes import fold, given, total


def test_at_the_bound_new_keys_fail_and_those_there_go_on():
    panes = total(Fixed("1s"), bound=Bound(keys=2))
    fold(panes, 0, 1, key="a")
    fold(panes, 0, 1, key="b")
    with pytest.raises(LimitExceededError, match="2 accumulators"):
        fold(panes, 0, 1, key="c")
    fold(panes, 0, 1, key="a")
    panes.advance(SECOND)
    assert [value for *_, value, _ in given(panes)] == [2, 1]
    fold(panes, SECOND, 1, key="c")


def test_at_the_bound_of_bytes_growth_fails():
    panes = Panes(
        Reduction(lambda seen, value: [*seen, value], list, Fixed("1s"), bound=Bound(nbytes="10kB"))
    )
    while panes.shelf.nbytes <= 10_000:
        fold(panes, 0, 1.5)
    with pytest.raises(LimitExceededError):
        fold(panes, 0, 1.5)
    assert 10_000 < panes.shelf.nbytes < 11_000


def test_at_the_bound_the_oldest_windows_are_given_early_and_marked():
    panes = total(Fixed("1s"), bound=Bound(keys=2, then="early"))
    for at, key in [(5, "a"), (1, "b"), (3, "c"), (1, "b")]:
        fold(panes, at * SECOND, 1, key=key)
    early = [each.result for each in panes.take_all()]
    assert [(r.key, r.firing, r.partial) for r in early] == [("b", "early", True), ("b", "early", True)]
    panes.advance(10 * SECOND)
    rest = [each.result for each in panes.take_all()]
    assert [(r.key, r.partial) for r in rest] == [("c", False), ("a", False)]


@pytest.mark.parametrize("kind", [Fixed("1s"), Global(), Count(100), Sliding("3s", "1s")])
def test_at_the_bound_nothing_is_lost_and_the_state_stays_small(kind):
    panes = total(kind, bound=Bound(keys=10, then="early"))
    seen = []
    for number in range(2000):
        fold(panes, number * 10**7, 1, key=number % 37)
        seen += [each.result for each in panes.take_all()]
        assert panes.shelf.accumulators <= 10
        assert len(panes.shelf.agenda._entries) < 200
    panes.finish()
    seen += [each.result for each in panes.take_all()]
    expected = sum(len(kind.windows(number * 10**7)) for number in range(2000))
    assert sum(result.value for result in seen) == expected
    assert (panes.shelf.accumulators, panes.shelf.nbytes) == (0, 0)


def test_sizes_are_estimated_in_constant_time():
    assert estimate(np.zeros(100)) >= 800
    assert estimate(["x" * 100] * 50) > 5000
    assert estimate({"a": [1.0] * 100}) > 800
    assert estimate({1, 2, 3}) > estimate(())


def test_windows_that_make_room_again_have_other_numbers():
    panes = total(Fixed("1min"), bound=Bound(keys=1, then="early"))
    for at, key in enumerate("ababa"):
        fold(panes, at * SECOND, 1, key=key)
    panes.advance(60 * SECOND)
    names = [(each.result.key, each.result.pane) for each in panes.take_all()]
    assert len(names) == len(set(names)) == 5
