"""How a running chain and the call that runs it find each other."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from streamzarr.flow.lane import Lane
from streamzarr.flow.stop import Stop


@dataclass(slots=True)
class Scope:
    """One call of :func:`streamzarr.flow.run`: its stop, and the lanes that were started under it."""

    stop: Stop
    lanes: list[Lane] = field(default_factory=list)


current_scope: ContextVar[Scope | None] = ContextVar("streamzarr.flow.scope", default=None)
"""The innermost ``run`` of this thread: Rx has no way down to the source but the subscription itself."""
