"""Moments, durations, and the windows that a moment is in."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.flow.windows import Bound, Count, Fixed, Session, Sliding, Window
from streamzarr.flow.windows.moments import SECOND, duration, moment
from streamzarr.flow.windows.reduction import Reduction


class Since(timedelta):
    """A difference as pandas has it."""

    nanoseconds = 7


class Stamp(datetime):
    """A time as pandas has it: with nanoseconds, which only its difference to another one tells."""

    def __sub__(self, other):
        difference = super().__sub__(other)
        return Since(difference.days, difference.seconds, difference.microseconds)


class NotATime(datetime):
    """As pandas.NaT: a datetime that equals nothing."""

    def __eq__(self, other):
        return False

    __hash__ = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (-5, -5),
        (1.25, 1_250_000_000),
        (np.float32(0.5), 500_000_000),
        (np.int64(7), 7),
        (np.datetime64("1970-01-02"), 86400 * SECOND),
        (np.datetime64("2021-01-08T00:00:00.278"), 1610064000278000000),
        (np.datetime64(123456789, "ns"), 123456789),
        (datetime(1970, 1, 1, 0, 0, 1, 5), SECOND + 5000),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), SECOND),
        (datetime(1970, 1, 1, 2, 0, 1, tzinfo=timezone(timedelta(hours=2))), SECOND),
        (Stamp(1970, 1, 1, tzinfo=UTC), 7),
        (datetime(2026, 7, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")), 1782864000 * SECOND),
    ],
)
def test_moments_are_nanoseconds_whatever_they_come_as(value, expected):
    assert moment(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        NotATime(1, 1, 1),
        None,
        True,
        "12:00",
        float("nan"),
        float("inf"),
        1e300,
        2**62,
        -(2**62),
        np.datetime64("NaT"),
        object(),
    ],
)
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(ValueError, match="the time of a message is"):
        moment(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1min", 60), ("1.5 h", 5400), ("2d", 172800), (0.25, 0.25), ("250ms", 0.25)],
)
def test_durations(text, seconds):
    assert duration(text, "size") == seconds * SECOND
    assert duration(timedelta(seconds=seconds), "size") == seconds * SECOND


@pytest.mark.parametrize("value", ["1 fortnight", "", -1, float("nan"), None, True, 0, "0s"])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ConfigError, match="the size is"):
        duration(value, "the size", least=1)


def test_fixed_windows_are_half_open_also_before_the_epoch():
    assert Fixed("10s").windows(10 * SECOND) == (Window(10 * SECOND, 20 * SECOND),)
    assert Fixed("10s").windows(10 * SECOND - 1) == (Window(0, 10 * SECOND),)
    assert Fixed("10s").windows(-1) == (Window(-10 * SECOND, 0),)
    assert Fixed("1h", offset="15min").windows(0) == (Window(-2700 * SECOND, 900 * SECOND),)


@pytest.mark.parametrize(("size", "every"), [(10, 3), (10, 5), (10, 10), (3, 10), (1, 1), (7, 2)])
def test_sliding_windows_are_all_that_hold_the_moment(size, every):
    kind = Sliding(f"{size}ns", f"{every}ns")
    for at in range(-25, 25):
        expected = [
            Window(start, start + size)
            for start in range(-every * 30, every * 30, every)
            if start <= at < start + size
        ]
        assert list(kind.windows(at)) == expected


def test_windows_that_cannot_be_are_refused():
    for make in (lambda: Fixed(0), lambda: Sliding("1h", "1ms"), lambda: Session(-1), lambda: Count(0)):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(ConfigError, match="expected initial=list"):
        Reduction(lambda total, value: total, [], Fixed(1))
    with pytest.raises(ConfigError, match="merge="):
        Reduction(lambda total, value: total, 0, Session(1))
    with pytest.raises(ConfigError, match='"fail" or "early"'):
        Bound(then="drop")
