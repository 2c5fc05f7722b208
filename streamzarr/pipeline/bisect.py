"""Calling a handler with several messages, and finding those that it cannot take: no threads, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from streamzarr.errors import is_interrupt
from streamzarr.pipeline.message import Message

Handler: TypeAlias = Callable[[Sequence[Message]], Sequence[Message]]
Judge: TypeAlias = Callable[[BaseException, Sequence[Message]], "Again | Verdict"]
"""Says what is to be done with messages after an error."""

PROBES: Final = 3
"""Messages that are tried alone before a search for whom to blame: none works while a sink is away."""


class Verdict(Enum):
    """What an error says of the messages that the handler was called with."""

    SOME = "some"
    """Some of them are to blame, or the only one."""
    SOME_OR_ALL = "some or all"
    """Some are to blame, or what all of them need is away: it cannot be told from the error."""
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

    Where all may have failed for one reason the search ends as soon as that is likely: when the first
    `PROBES` messages fail each by itself, or later 2 log2(n) calls in a row.

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
    worked = False
    in_vain = 0  # calls in a row that all may have failed for one reason
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
            if verdict is Verdict.SOME_OR_ALL:
                in_vain += 1
                if in_vain > (2 * len(messages).bit_length() if worked else PROBES):
                    group, groups, verdict = ours([*group, *_rest(groups)]), [], Verdict.ALL
            if isinstance(verdict, Again):
                outcome.put_off(Again([*verdict.messages, *_rest(groups)], verdict.after))
                break
            if verdict is Verdict.ONCE_MORE:
                groups.append([message.replace(attempts=message.attempts + 1) for message in group])
            elif len(group) == 1 or verdict is Verdict.ALL:
                outcome.decided += [message.fail(error, stage) for message in group]
            elif verdict is Verdict.SOME_OR_ALL and not worked:
                groups += [group[PROBES:], *([each] for each in reversed(group[:PROBES]))]
            else:
                groups += _halves(group, tried=verdict is Verdict.SOME_OR_ALL)
        else:
            worked, in_vain = True, 0
    return outcome


def _rest(groups: Sequence[Sequence[Message]]) -> list[Message]:
    """Return the messages of a stack of groups, in their order."""
    return [message for group in reversed(groups) for message in group]


def _halves(group: Sequence[Message], *, tried: bool) -> list[Sequence[Message]]:
    """Return the halves, the first one on top; those that were `tried` often enough count on."""
    middle = len(group) // 2
    if not tried:  # what was transient is over: the handler has come to another error since
        group = [message.replace(attempts=0) if message.attempts else message for message in group]
    return [group[middle:], group[:middle]]
