import errno

import pytest

from streamzarr import errors
from streamzarr.queue.retry import OUTAGE_RETRY, RetryPolicy, is_transient, patiently
from tests.support.clockwork import Clockwork


def test_delays_grow_to_the_bound_and_then_stop():
    policy = RetryPolicy(attempts=6, base=1.0, factor=3.0, max_delay=10.0, jitter=0.0)
    assert [policy.delay(n, 0.7) for n in range(1, 7)] == [1.0, 3.0, 9.0, 10.0, 10.0, None]


def test_one_attempt_means_no_retry():
    assert RetryPolicy(attempts=1).delay(1, 0.5) is None


def test_jitter_shortens_by_at_most_its_share():
    policy = RetryPolicy(attempts=3, base=10.0, jitter=0.25)
    assert policy.delay(1, 0.0) == 10.0
    assert policy.delay(1, 1.0) == 7.5
    assert policy.delay(1, 0.5) == 8.75


def test_a_huge_attempt_number_stays_at_the_bound():
    assert RetryPolicy(attempts=10**9, jitter=0.0).delay(10**8, 0.0) == 30.0


@pytest.mark.parametrize(
    "bad",
    [
        {"attempts": 0},
        {"base": -0.1},
        {"base": float("nan")},
        {"max_delay": -1.0},
        {"factor": 0.5},
        {"jitter": 1.5},
        {"jitter": -0.1},
    ],
)
def test_parameters_out_of_range_are_refused(bad):
    with pytest.raises(errors.ConfigError, match=next(iter(bad))):
        RetryPolicy(**bad)


class SaysTransient(ValueError):
    transient = True


class SaysPermanent(errors.StoreError):
    transient = False


@pytest.mark.parametrize(
    "error",
    [
        errors.StoreError("x"),
        errors.QueueError("x"),
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EIO, "io"),
        OSError(errno.EAGAIN, "again"),
        SaysTransient(),
    ],
    ids=repr,
)
def test_transient(error):
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.KeyNotFoundError("x"),
        errors.PreconditionFailedError("x"),
        errors.UnsupportedError("x"),
        errors.TopicNotFoundError("x"),
        errors.MessageError("x"),
        errors.OffsetOutOfRangeError("kafka://h", "t", 0, 2, 5, 9),
        errors.DamagedRecordError("kafka://h", "t", 0, 2, 5, "crc32 differs"),
        errors.DamagedError("x"),
        errors.AccessDeniedError("x"),
        errors.FencedError("x"),
        errors.TransformError("x"),
        errors.CodecError("x"),
        errors.ChecksumError("x"),
        errors.LimitExceededError("x"),
        errors.ConfigError("x"),
        errors.NodeNotFoundError("x"),
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "no"),
        ValueError("x"),
        MemoryError(),
        KeyboardInterrupt(),
        SaysPermanent("x"),
    ],
    ids=repr,
)
def test_permanent(error):
    assert not is_transient(error)


class Asked:
    """Raises these errors in turn, then answers."""

    def __init__(self, *answers):
        self.answers, self.times = list(answers), 0

    def __call__(self):
        self.times += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_patience_pauses_by_the_policy_and_returns_the_answer():
    runtime, away = Clockwork(), errors.QueueError("away")
    policy = RetryPolicy(attempts=4, base=1.0)
    assert patiently(Asked(away, away, 7), runtime, policy) == 7
    assert runtime.pauses == [1.0, 2.0]


def test_patience_ends_with_the_attempts():
    ask = Asked(*[errors.QueueError("away") for _ in range(12)])
    runtime = Clockwork()
    with pytest.raises(errors.QueueError, match="away"):
        patiently(ask, runtime)
    assert ask.times == OUTAGE_RETRY.attempts
    assert 25 < sum(runtime.pauses) < 35


def test_there_is_no_patience_with_what_time_does_not_mend():
    ask, runtime = Asked(errors.AccessDeniedError("no"), 7), Clockwork()
    with pytest.raises(errors.AccessDeniedError):
        patiently(ask, runtime)
    assert (ask.times, runtime.pauses) == (1, [])
