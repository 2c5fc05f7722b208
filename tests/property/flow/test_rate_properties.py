"""Token buckets over random traffic: never more than the burst and what the time brings, in any interval."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.flow.rate import Rate, TokenBucket

rates = st.floats(0.1, 1e4)
gaps = st.lists(st.floats(0, 2), min_size=1, max_size=40)


@given(rate=rates, burst=st.floats(1, 100), steps=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 150))))
def test_no_interval_sees_more_than_burst_and_rate(rate, burst, steps):
    bucket, now, passed = TokenBucket(rate, burst, burst, 0.0), 0.0, []
    for gap, amount in steps:
        now += gap
        after = bucket.take(amount, now)
        if after is not None:
            passed.append((now, amount))
            bucket = after
        else:
            assert bucket.due(amount) > now
    for first, last in itertools.combinations_with_replacement(range(len(passed)), 2):
        total = sum(amount for _, amount in passed[first : last + 1])
        biggest = max(amount for _, amount in passed[first : last + 1])
        most = max(burst, biggest) + rate * (passed[last][0] - passed[first][0])
        assert total <= most * (1 + 1e-9) + 1e-6


@given(rate=rates, burst=st.floats(1, 100), amounts=st.lists(st.floats(0.1, 150), max_size=30))
def test_what_waits_until_it_is_due_passes_and_the_rate_is_used_in_full(rate, burst, amounts):
    bucket, now = TokenBucket(rate, burst, burst, 0.0), 0.0
    for amount in amounts:
        now = max(now, bucket.due(amount))
        bucket = bucket.take(amount, now)
        assert bucket is not None
    assert now <= sum(amounts) / rate + 1e-6


@given(rate=rates, burst=st.floats(1, 100), tokens=st.floats(-50, 100), at=st.floats(0, 1e6))
def test_time_that_goes_back_brings_nothing(rate, burst, tokens, at):
    bucket = TokenBucket(rate, burst, min(tokens, burst), at)
    assert bucket.at_time(at - 1.0) is bucket


@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.floats(1, 500), st.floats(10, 5_000)), min_size=1, max_size=4),
    gaps=gaps,
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=20),
)
def test_a_rate_that_is_changed_lets_pass_no_more_than_the_highest_would(changes, gaps, sizes):
    rate, now, passed = Rate(*changes[0], burst=0.1), 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        rate.set(*changes[number % len(changes)])
        count = next((n for n, size in enumerate(sizes) if not rate.take(1, size, now)), len(sizes))
        passed.append((now, count, sum(sizes[:count])))
    fastest = [max(change[kind] for change in changes) for kind in (0, 1)]
    for first, last in itertools.combinations_with_replacement(range(len(passed)), 2):
        seconds = passed[last][0] - passed[first][0]
        part = passed[first : last + 1]
        assert sum(n for _, n, _ in part) <= max(1, fastest[0] * 0.1) + fastest[0] * seconds + 1e-6
        most = 300 + fastest[1] * 0.1 + fastest[1] * seconds
        assert sum(n for _, _, n in part) <= most * (1 + 1e-9) + 1e-6
