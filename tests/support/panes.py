"""Panes that add numbers up, and what they give."""

from streamzarr.flow.windows.moments import FIRST, LAST, SECOND
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction


def total(window, **options):
    return Panes(Reduction(lambda total, value: total + value, 0, window, **options))


def fold(panes, moment, value, *, claim="p", key="k", now=0.0):
    for window in panes.reduction.window.windows(moment):
        panes.fold(claim, key, window, value, now)


def given(panes):
    """What the results say: window in seconds, value, firing."""
    return [
        (
            result.window.start / SECOND if result.window.start > FIRST else None,
            result.window.stop / SECOND if result.window.stop < LAST else None,
            result.value,
            result.firing,
        )
        for result, *_ in panes.take_all()
    ]
