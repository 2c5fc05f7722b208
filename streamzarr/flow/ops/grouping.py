"""Which messages go together: pure decisions over explicit state, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streamzarr.errors import ConfigError
from streamzarr.flow.lazy import together
from streamzarr.flow.message import Message
from streamzarr.flow.ops.each import failed
from streamzarr.flow.windows.moments import SECOND, Duration, duration
from streamzarr.options import parse_bytes

Until = Callable[[list[Any]], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """When a group is complete."""

    size: int | None
    nbytes: int | None
    until: Until | None
    timeout: float | None
    by_key: bool

    @property
    def by_number(self) -> bool:
        """True when the number of messages alone says when a group is complete."""
        return self.nbytes is None and self.until is None and not self.by_key

    @classmethod
    def parse(
        cls,
        where: str,
        size: int | None,
        nbytes: int | str | None,
        until: Until | None,
        timeout: Duration | None,
        by: Literal["key"] | None,
    ) -> Limits:
        """Return the limits that the operator `where` was given.

        Raises
        ------
        streamzarr.errors.ConfigError
            There are none.
        """
        if size is None and nbytes is None and until is None:
            raise ConfigError(f"{where}: size, bytes or until is missing, or nothing would ever be complete")
        return cls(
            size,
            None if nbytes is None else parse_bytes(nbytes),
            until,
            None if timeout is None else duration(timeout, "timeout") / SECOND,
            by == "key",
        )


@dataclass(slots=True)
class _Group:
    number: int
    since: float
    stretches: list[Sequence[Message]] = field(default_factory=list)
    """Where numbers alone count."""
    messages: list[Message] = field(default_factory=list)
    """Where not."""
    count: int = 0
    datas: list[Any] = field(default_factory=list)
    """For `until`: the data of messages that have not failed."""
    nbytes: int = 0


class Groups:
    """Messages that wait until their group is complete: one group, or one for each key.

    A message whose ``until`` raises has failed and stays in its group. Times are seconds of whatever clock
    the caller has, and do not go back.

    Examples
    --------
    >>> groups = Groups(Limits(size=2, nbytes=None, until=None, timeout=None, by_key=False), "batch")
    >>> groups.add(Message(data=1), now=0.0)
    []
    >>> [[message.data for message in group] for group in groups.add(Message(data=2), now=1.0)]
    [[1, 2]]
    """

    def __init__(self, limits: Limits, stage: str) -> None:
        self._limits, self._stage = limits, stage
        self._groups: dict[Hashable, _Group] = {}  # in order of their first messages
        self.waiting = 0
        """Messages in all groups."""
        self.begun = 0
        """Groups that were ever begun."""

    def add(self, message: Message, now: float) -> list[Sequence[Message]]:
        """Put a message into its group; return the groups that are complete."""
        key = message.key if self._limits.by_key else None
        complete = []
        group = self._groups.get(key)
        if group is not None and self._overflows(group.nbytes + message.nbytes):
            complete.append(self._take(key))
            group = None
        if group is None:
            group = self._begin(key, now)
        group.messages.append(message)
        group.count += 1
        group.nbytes += message.nbytes
        self.waiting += 1
        try:
            if self._is_complete(group, message):
                complete.append(self._take(key))
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            group.messages[-1] = failed(message, error, self._stage)
            group.datas.pop()
            if self._is_full(group):
                complete.append(self._take(key))
        return complete

    def add_all(self, messages: Sequence[Message], now: float) -> list[Sequence[Message]]:
        """Put messages into their groups, in order; return the groups that are complete."""
        if self._limits.by_number:
            return self._add_stretches(messages, now)
        return [group for message in messages for group in self.add(message, now)]

    def _add_stretches(self, messages: Sequence[Message], now: float) -> list[Sequence[Message]]:
        """Where numbers alone count no message is looked at by itself."""
        size = self._limits.size
        assert size is not None
        complete = []
        start = 0
        while start < len(messages):
            group = self._groups.get(None) or self._begin(None, now)
            stretch = messages[start : start + size - group.count]
            group.stretches.append(stretch)
            group.count += len(stretch)
            self.waiting += len(stretch)
            start += len(stretch)
            if group.count == size:
                complete.append(self._take(None))
        return complete

    def due(self) -> float | None:
        """Return when the first group has waited long enough; ``None``: there is none, or no such time."""
        if self._limits.timeout is None or not self._groups:
            return None
        return next(iter(self._groups.values())).since + self._limits.timeout

    def take_due(self, now: float) -> list[Sequence[Message]]:
        """Take the groups that have waited long enough."""
        taken = []
        while (due := self.due()) is not None and due <= now:
            taken.append(self._take(next(iter(self._groups))))
        return taken

    def take_all(self) -> list[Sequence[Message]]:
        """Take all groups."""
        return [self._take(key) for key in list(self._groups)]

    @property
    def oldest(self) -> int | None:
        """The number of the first group that is not complete, of those begun; ``None``: all are."""
        return next(iter(self._groups.values())).number if self._groups else None

    def _begin(self, key: Hashable, now: float) -> _Group:
        self.begun += 1
        group = self._groups[key] = _Group(self.begun, now)
        return group

    def _overflows(self, nbytes: int) -> bool:
        return self._limits.nbytes is not None and nbytes > self._limits.nbytes

    def _is_complete(self, group: _Group, message: Message) -> bool:
        limits = self._limits
        if limits.until is not None and message.failure is None:
            group.datas.append(message.data)
            if limits.until(group.datas):
                return True
        return self._is_full(group)

    def _is_full(self, group: _Group) -> bool:
        limits = self._limits
        return group.count == limits.size or (limits.nbytes is not None and group.nbytes >= limits.nbytes)

    def _take(self, key: Hashable) -> Sequence[Message]:
        group = self._groups.pop(key)
        self.waiting -= group.count
        return together(group.stretches) if group.stretches else group.messages
