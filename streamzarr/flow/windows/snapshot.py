"""What is stored of one partition in one object: position, accumulators, watermark, results on their way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from streamzarr.errors import ConfigError, MessageError
from streamzarr.flow.windows.kinds import Window
from streamzarr.flow.windows.moments import FIRST
from streamzarr.flow.windows.pane import Pane, Part
from streamzarr.flow.windows.plain import Plain
from streamzarr.flow.windows.result import Firing, Result

VERSION = 1


class PaneState(Struct, frozen=True, array_like=True):
    """A pane and its one accumulator."""

    key: Any
    window: tuple[int, int]
    value: Any
    count: int
    fresh: int
    shown: int
    final: bool
    open: bool
    partial: bool
    firing: Firing | None
    told: tuple[tuple[int, int], ...]

    @staticmethod
    def of(pane: Pane, part: Part) -> PaneState:
        """Return a pane as it is stored."""
        return PaneState(
            pane.key,
            (pane.window.start, pane.window.stop),
            part.value,
            part.count,
            pane.fresh,
            pane.shown,
            pane.final,
            pane.open,
            pane.partial,
            pane.firing,
            _plain(pane.told),
        )


class Outgoing(Struct, frozen=True, array_like=True):
    """A result that may have been delivered, or not."""

    number: int
    """In the order of the partition's results, from 1."""
    key: Any
    window: tuple[int, int]
    value: Any
    count: int
    firing: Firing
    pane: int
    partial: bool
    replaces: tuple[tuple[int, int], ...]
    error: str | None
    """Why it has no value."""
    resumed: bool = False

    @staticmethod
    def of(number: int, result: Result, error: str | None) -> Outgoing:
        """Return `result` as it is stored."""
        return Outgoing(
            number,
            result.key,
            (result.window.start, result.window.stop),
            result.value,
            result.count,
            result.firing,
            result.pane,
            result.partial,
            _plain(result.replaces),
            error,
            result.resumed,
        )

    @property
    def result(self) -> Result:
        """The result as it is delivered."""
        return Result(
            self.key,
            Window(*self.window),
            self.value,
            self.count,
            self.firing,
            self.pane,
            self.partial,
            tuple(Window(*window) for window in self.replaces),
            self.resumed,
        )


class Snapshot(Struct, frozen=True):
    """The state of one partition at one moment. Values only; pure."""

    epoch: int = 0
    """Number of the owner; a lower one is fenced."""
    write: bytes = b""
    """Id of the write that stored it: tells one's own from another's after a lost response."""
    position: int | None = None
    """Everything below it is in the accumulators, or in results, or settled; reading goes on here."""
    taken: tuple[tuple[int, int], ...] = ()
    """Runs of offsets from `position` on that are in the accumulators as well: first, and behind the last."""
    newest: int = FIRST
    """Greatest event time seen."""
    mark: int = FIRST
    """Watermark that its windows have seen."""
    numbered: int = 0
    """Number of its last result."""
    panes: tuple[PaneState, ...] = ()
    outbox: tuple[Outgoing, ...] = ()
    since: int | None = None
    """Windows that begin no later may have messages from before all reading; ``None``: there are none."""
    begun: int | None = None
    """Offset at which the first of its owners began to read; ``None``: not known."""
    cuts: tuple[tuple[tuple[int, int], int], ...] = ()
    """Windows that were forgotten early, each with the number of results that it has given."""

    def dumps(self, plain: Plain) -> bytes:
        """Return it as bytes; raises as :meth:`check`.

        >>> snapshot = Snapshot(epoch=3, position=70)
        >>> Snapshot.loads(snapshot.dumps(Plain()), Plain(), "here") == snapshot
        True
        """
        fields = msgspec.structs.asdict(self)
        fields["panes"] = [msgspec.structs.astuple(pane) for pane in self.panes]
        fields["outbox"] = [msgspec.structs.astuple(each) for each in self.outbox]
        try:
            return plain.dumps({"streamzarr.windows": VERSION, **fields})
        except ConfigError:
            self.check(plain)  # says of which window
            raise

    def check(self, plain: Plain) -> None:
        """Raise what makes it impossible to store an accumulator or a result, if anything does.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is not plain data.
        """
        values: list[tuple[str, PaneState | Outgoing]] = [("accumulator", pane) for pane in self.panes]
        values += [("result", outgoing) for outgoing in self.outbox]
        for what, each in values:
            try:
                plain.dumps(each.value)
            except ConfigError as error:
                start, stop = each.window
                raise ConfigError(
                    f"the {what} of key {each.key!r}, window {start} to {stop}, cannot be kept: {error}"
                ) from error

    @staticmethod
    def loads(data: bytes, plain: Plain, where: str) -> Snapshot:
        """Return what :meth:`dumps` has written; `where` it is stored is for errors.

        Raises
        ------
        streamzarr.errors.MessageError
            It is something else.
        """
        try:
            fields = plain.loads(data)
            if not isinstance(fields, dict) or fields.pop("streamzarr.windows", None) != VERSION:
                raise MessageError(f"not the state of windows, version {VERSION}")
            return msgspec.convert(fields, Snapshot)
        except (MessageError, msgspec.ValidationError) as error:
            raise MessageError(f"{where}: {error}") from error


def _plain(windows: Iterable[Window]) -> tuple[tuple[int, int], ...]:
    return tuple((window.start, window.stop) for window in windows)


def runs(offsets: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return offsets, in any order, as runs.

    >>> runs([7, 3, 4, 9, 8])
    ((3, 5), (7, 10))
    """
    found: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if found and found[-1][1] == offset:
            found[-1] = (found[-1][0], offset + 1)
        else:
            found.append((offset, offset + 1))
    return tuple(found)
