import pytest

from streamzarr.flow.rate import Rate, TokenBucket


def passed(rate, sizes, now):
    """Return how many messages of these sizes, in order, may pass."""
    return next((count for count, size in enumerate(sizes) if not rate.take(1, size, now)), len(sizes))


def test_a_second_never_sees_twice_the_rate_at_its_edge():
    rate = Rate(messages=1_000)
    total = sum(passed(rate, [0] * 1_000, now=0.999 + step / 1_000) for step in range(1_000))
    assert 1_000 <= total <= 1_100


def test_one_message_always_may_pass_however_small_the_burst():
    rate = Rate(messages=0.5)
    assert passed(rate, [0, 0], now=0.0) == 1
    assert rate.due(1, 0, now=0.0) == 2.0
    assert passed(rate, [0], now=1.9) == 0
    assert passed(rate, [0], now=2.0) == 1


def test_bytes_and_messages_are_limited_together():
    rate = Rate(messages=100, bytes=1_000)
    assert passed(rate, [40, 40, 40], now=0.0) == 2
    assert rate.due(1, 40, now=0.0) == pytest.approx(0.02)


def test_a_message_bigger_than_the_burst_passes_and_is_waited_for_afterwards():
    rate = Rate(bytes="1kB")
    assert passed(rate, [5_000, 1], now=0.0) == 1
    assert rate.due(1, 1, now=0.0) == pytest.approx(4.901)


def test_a_refused_message_takes_nothing_of_the_other_limit():
    rate = Rate(messages=10, bytes=100, burst=1.0)
    assert passed(rate, [100, 50], now=0.0) == 1
    assert passed(rate, [0] * 20, now=0.0) == 9


def test_changing_wakes_who_waits_and_keeps_what_has_passed():
    rate, rings = Rate(messages=10, burst=1.0), []
    ring = lambda: rings.append(1)  # noqa: E731
    rate.subscribe(ring)
    assert passed(rate, [0] * 20, now=0.0) == 10
    rate.set(messages=100)
    assert passed(rate, [0] * 20, now=0.0) == 0
    assert passed(rate, [0] * 20, now=0.1) == 10
    rate.set()
    assert passed(rate, [0] * 1_000, now=0.1) == 1_000
    rate.unsubscribe(ring)
    rate.set(messages=1)
    assert len(rings) == 2


def test_a_bucket_of_another_rate_keeps_its_debt():
    bucket = TokenBucket(rate=10.0, burst=1.0, tokens=1.0, at=0.0).take(5.0, now=0.0)
    assert bucket.with_rate(40.0, 4.0, now=0.0).due(0.0) == pytest.approx(0.1)


def test_a_batch_of_columns_counts_for_its_records():
    rate = Rate(messages=1_000)
    assert rate.take(500, 0, now=0.0)
    assert rate.due(1, 0, now=0.0) == pytest.approx(0.401)
