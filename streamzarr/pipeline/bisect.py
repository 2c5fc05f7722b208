"""Calling a handler with several messages, and finding those that it cannot take: no threads, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from streamzarr.errors import is_interrupt
from streamzarr.pipeline.message import Message

Handler: TypeAlias = Callable[[Sequence[Message]], Sequence[Message]]
Judge: TypeAlias = Callable[[BaseException, Sequence[Message]], "Again | Verdict"]
"""Says what is to be done with messages after an error."""


class Verdict(Enum):
    """What an error says of the messages that the handler was called with."""

    SOME = "some"
    """Some of them are to blame, or the only one."""
    ALL = "all"
    """All have failed."""
    ONCE_MORE = "once more"
    """They shall be given to the handler again, at once and before the others."""


@dataclass(frozen=True, slots=True)
class Again:
    """Messages that shall be given to the handler again, after some seconds."""

    messages: Sequence[Message]
    after: float


@dataclass(slots=True)
class Outcome:
    """What one call of a worker has decided."""

    decided: list[Message] = field(default_factory=list)
    """Done, or failed for good."""
    again: list[Message] = field(default_factory=list)
    after: float = 0.0
    """Seconds until these shall be tried again."""

    def put_off(self, again: Again) -> None:
        """Add messages that shall be tried again; none of them before its time."""
        self.again += again.messages
        self.after = max(self.after, again.after)


def bisect(
    messages: Sequence[Message],
    handle: Handler,
    judge: Judge,
    stage: str,
    ours: Callable[[Sequence[Message]], Sequence[Message]],
) -> Outcome:
    """Give `messages` to `handle`; where that fails for good, halve them until the bad ones stand alone.

    One bad message among n costs about 2 log2(n) calls more, and the others are done. What `handle` had done
    before it raised it does again, so it does all of a call or nothing, or may do it twice.

    Parameters
    ----------
    judge
        Asked about each error; messages to be tried again end the call, and take the rest with them.
    stage
        Name of the handler, in failures.
    ours
        Asked before each call: leaves out messages that somebody else has by now.

    Examples
    --------
    >>> calls = []
    >>> def handle(messages):
    ...     calls.append(len(messages))
    ...     if any(message.data == 3 for message in messages):
    ...         raise ValueError("three")
    ...     return messages
    >>> found = bisect([Message(data=n) for n in range(8)], handle, lambda *_: Verdict.SOME, "write", list)
    >>> [message.data for message in found.decided if message.failure], len(found.decided), calls
    ([3], 8, [8, 4, 2, 2, 1, 1, 4])
    """
    outcome = Outcome()
    groups = [messages]
    while groups:
        group = ours(groups.pop())
        if not group:
            continue
        try:
            outcome.decided += handle(group)
        except BaseException as error:
            if is_interrupt(error):
                raise
            verdict = judge(error, group)
            if isinstance(verdict, Again):
                rest = [message for each in reversed(groups) for message in each]
                outcome.put_off(Again([*verdict.messages, *rest], verdict.after))
                break
            if verdict is Verdict.ONCE_MORE:
                groups.append([message.replace(attempts=message.attempts + 1) for message in group])
            elif len(group) == 1 or verdict is Verdict.ALL:
                outcome.decided += [message.fail(error, stage) for message in group]
            else:
                middle = len(group) // 2
                # What was transient is over: the handler has come to another error since.
                fresh = [message.replace(attempts=0) if message.attempts else message for message in group]
                groups += [fresh[middle:], fresh[:middle]]
    return outcome
