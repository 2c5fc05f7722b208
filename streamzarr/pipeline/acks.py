"""The end of a pipeline's chain: acknowledgers are told, then credit and offsets are released."""

from __future__ import annotations

import logging
import sys
from collections.abc import Container, Hashable, Sequence
from typing import Final, NamedTuple

from streamzarr.errors import TopicNotFoundError, describe, is_interrupt
from streamzarr.flow.message import Message as Part
from streamzarr.flow.ops.settle import DONE, Again, Report
from streamzarr.pipeline.limits import Limits
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.telemetry import Teller
from streamzarr.queue.retry import RetryPolicy, is_transient
from streamzarr.runtime import Runtime

_log = logging.getLogger(__name__)

HOLD: Final = RetryPolicy(attempts=sys.maxsize, base=0.1, max_delay=5.0)
"""When to tell an acknowledger again that could not take note: for as long as it takes."""


class _Group(NamedTuple):
    """Messages that an acknowledger is told of together."""

    acknowledger: int
    ref: Hashable
    ok: bool
    later: int | None
    """Which retry topic they go to."""


class Acks:
    """A sink of :func:`streamzarr.flow.ops.settle`. Owned by the thread that drives the pipeline.

    Parameters
    ----------
    limits
        Say which failures are acknowledged at all; ``None``: all are.
    """

    def __init__(self, teller: Teller, limits: Limits | None, runtime: Runtime) -> None:
        self._teller, self._limits, self._runtime = teller, limits, runtime
        self._failures: dict[_Group, int] = {}

    def __call__(self, parts: Sequence[Part]) -> list[Report] | None:
        """Tell the acknowledgers of messages; those of which one cannot take note come again."""
        back = {} if self._limits is None else self._limits.judge(parts)
        reports: dict[int, Report] = {**back, **self._acknowledge(parts, back)}
        if self._limits is not None:
            self._limits.let_pause()
        return [reports.get(part.data.place, DONE) for part in parts] if reports else None

    def _acknowledge(self, parts: Sequence[Part], back: Container[int]) -> dict[int, Again]:
        """Tell the acknowledgers of all but what is to be handed `back`; return what they want again."""
        groups: dict[_Group, list[Message]] = {}
        group: _Group | None = None
        together: list[Message] = []
        for part in parts:
            message: Message = part.data
            if message.place in back:
                continue
            # Each kind by itself: what becomes of failed ones needs a topic, which may be away, and what is
            # in another one by then must not be written there once more.
            later = message.tier if message.waits else None
            found = (id(message.acknowledger), message.ack_ref, message.failure is None, later)
            if found != group:
                group = _Group(*found)
                together = groups.setdefault(group, [])
            together.append(message)
        put_off: dict[int, Again] = {}
        for group, messages in groups.items():
            after = self._tell(group, messages)
            if after is not None:
                put_off.update((message.place, Again(after)) for message in messages)
        if self._limits is not None:
            self._limits.forget(part for part in parts if part.data.place not in put_off)
        return put_off

    def _tell(self, group: _Group, messages: Sequence[Message]) -> float | None:
        """Tell one acknowledger; return the seconds until it shall be told again."""
        acknowledger, ref = messages[0].acknowledger, group.ref
        assert acknowledger is not None
        successful = messages if group.ok else []
        try:
            failed = [] if group.ok else messages
            with self._teller.span("streamzarr.pipeline.ack", len(messages), ok=successful, failed=failed):
                acknowledger.ack(ref, successful, failed)
        except BaseException as error:
            # A topic of letters that is not there may be made again; nothing is lost meanwhile.
            if is_interrupt(error) or not (is_transient(error) or isinstance(error, TopicNotFoundError)):
                raise
            failures = self._failures[group] = self._failures.get(group, 0) + 1
            after = HOLD.delay(failures, self._runtime.random())
            assert after is not None
            _log.warning(
                "%d messages could not be acknowledged, again in %.1f s: %s",
                len(messages),
                after,
                describe(error),
            )
            return after
        self._failures.pop(group, None)
        return None
