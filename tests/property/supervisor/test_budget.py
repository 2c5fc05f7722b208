"""The restart budget under any history of deaths, with a clock that is only a number."""

from hypothesis import assume, given
from hypothesis import strategies as st

from streamzarr.supervisor.budget import FIRST_DELAY, RestartBudget, RestartPolicy

policies = st.builds(
    RestartPolicy,
    max_restarts=st.integers(0, 50),
    within=st.floats(0.001, 1e6, allow_nan=False),
)
lives = st.lists(st.floats(0.0, 1e4, allow_nan=False), max_size=200)


def play(policy, lives, startup=0.0):
    """Run a worker that lives for each of `lives` in turn; yield (time of death, delay) until the end."""
    now, budget = 0.0, RestartBudget(policy)
    for lived in lives:
        now += startup + lived
        budget, delay = budget.died(now, lived)
        yield now, delay, budget
        if delay is None:
            return
        now += delay


@given(policies, lives)
def test_never_more_restarts_in_a_window_than_allowed(policy, lives):
    restarts = [now for now, delay, _ in play(policy, lives) if delay is not None]
    for end in restarts:
        assert sum(end - policy.within < start <= end for start in restarts) <= policy.max_restarts


@given(policies, lives)
def test_gives_up_only_when_the_window_is_full(policy, lives):
    history = list(play(policy, lives))
    for number, (now, delay, _) in enumerate(history):
        recent = sum(now - earlier < policy.within for earlier, _, _ in history[: number + 1])
        assert (delay is None) == (recent > policy.max_restarts)


@given(policies)
def test_a_worker_that_dies_at_once_is_given_up_after_exactly_its_restarts(policy):
    deaths = list(play(policy, [0.0] * 1000))
    assert len(deaths) == policy.max_restarts + 1
    assert deaths[-1][1] is None
    assert deaths[-1][0] <= policy.within / 2 * 1.001


@given(policies, st.integers(1, 300))
def test_a_worker_that_outlives_its_share_of_the_window_is_restarted_for_ever(policy, times):
    assume(policy.max_restarts > 0)
    long_life = policy.quick * 1.001
    assert [delay for _, delay, _ in play(policy, [long_life] * times)] == [0.0] * times


@given(policies, lives)
def test_delays_are_bounded_and_grow_only_over_quick_deaths(policy, lives):
    before = 0.0
    for (_, delay, _), lived in zip(play(policy, lives), lives, strict=False):
        if delay is None:
            return
        if lived >= policy.quick:
            assert delay == 0.0
        else:
            assert min(FIRST_DELAY, policy.longest_delay) <= delay <= policy.longest_delay
            assert delay >= before
        before = delay


@given(policies, lives)
def test_the_state_does_not_grow(policy, lives):
    for _, _, budget in play(policy, lives):
        assert len(budget.deaths) <= policy.max_restarts + 1
