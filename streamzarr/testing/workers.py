"""Targets of worker processes, for trying out and testing supervision."""

from __future__ import annotations

from streamzarr.supervisor.supervision import Supervision


def idle(supervision: Supervision) -> None:
    """Beat twenty times a second and do nothing until the stop."""
    supervision.beat()
    while not supervision.wait_stop(0.05):
        supervision.beat()
