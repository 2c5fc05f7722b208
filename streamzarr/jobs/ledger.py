"""What has become of each chunk of a job: explicit state, changed only by results.

Workers deliver at least once, so the same chunk can be reported twice; the ledger counts it once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from streamzarr.jobs.wire import Ended, Results, numbers_of

PAGE: Final = 1024
"""Chunks whose states are kept together: nothing is kept of pages of which nothing was heard."""


class TaskState(IntEnum):
    """What is known of one chunk."""

    OPEN = 0
    WRITTEN = 1
    DEAD = 2
    SKIPPED = 3


_OPEN, _WRITTEN, _DEAD, _SKIPPED = TaskState
TO_DO: Final = (_OPEN, _SKIPPED)
"""States of what is still to be done."""
_ALL_OPEN: Final = bytes([_OPEN]) * PAGE
_ALL_WRITTEN: Final = bytes([_WRITTEN]) * PAGE


class _Move(NamedTuple):
    """A change of state: what becomes of each, and to which they change."""

    table: bytes
    to: TaskState

    @classmethod
    def of(cls, *states: TaskState, to: TaskState) -> _Move:
        return cls(bytes.maketrans(bytes(states), bytes([to]) * len(states)), to)


# A written chunk stays written whatever a late duplicate says; a replayed dead letter may become written.
_WRITE: Final = _Move.of(_OPEN, _DEAD, _SKIPPED, to=_WRITTEN)
_BURY: Final = _Move.of(_OPEN, _SKIPPED, to=_DEAD)
_SKIP: Final = _Move.of(_OPEN, to=_SKIPPED)
_REPLAY: Final = _Move.of(_DEAD, to=_OPEN)
_RESEND: Final = _Move.of(_SKIPPED, to=_OPEN)


@dataclass(slots=True)
class Counts:
    """How many chunks of one stage are in each state."""

    tasks: int
    written: int = 0
    dead: int = 0
    skipped: int = 0

    @property
    def decided(self) -> bool:
        """Whether each is written or dead; a skipped one is still to be done."""
        return self.written + self.dead == self.tasks

    @property
    def complete(self) -> bool:
        """Whether each is written."""
        return self.written == self.tasks

    def change(self, old: bytes, new: bytes) -> None:
        """Count states anew that were `old` and are `new`."""
        self.written += new.count(_WRITTEN) - old.count(_WRITTEN)
        self.dead += new.count(_DEAD) - old.count(_DEAD)
        self.skipped += new.count(_SKIPPED) - old.count(_SKIPPED)


class Ledger:
    """State and totals of the chunks of one job. Owned by one thread or under its lock.

    Totals cost nothing that grows with the job. States take a byte for each chunk of a page of which some
    are decided and some are not, and nothing for the rest. A run of chunks costs about what one does.

    Parameters
    ----------
    ends
        Number of the first chunk after each stage, as in :class:`streamzarr.jobs.numbering.Numbering`.

    Examples
    --------
    >>> from streamzarr.jobs.wire import Results, Written
    >>> ledger = Ledger([8])
    >>> ledger.apply(Results("j", "w", written=(Written(0, 2, 300, count=3),)))
    >>> ledger.written, ledger.retried, ledger.nbytes, list(ledger.runs_in(range(8), *TO_DO))
    (3, 3, 300, [range(3, 8)])
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self.tasks = ends[-1]
        """Chunks of all stages."""
        self.stages = tuple(Counts(end - start) for start, end in zip((0, *ends[:-1]), ends, strict=True))
        self.retried = 0
        """Attempts beyond the first, at all chunks."""
        self.nbytes = 0
        """Decoded bytes of the chunks written."""
        self._ends = tuple(ends)
        self._pages: dict[int, bytes] = {}
        self._blank = _ALL_OPEN

    @property
    def written(self) -> int:
        """Chunks that are durable."""
        return sum(stage.written for stage in self.stages)

    @property
    def dead(self) -> int:
        """Chunks that are dead letters."""
        return sum(stage.dead for stage in self.stages)

    @property
    def skipped(self) -> int:
        """Chunks that a worker passed over, because the job was over then."""
        return sum(stage.skipped for stage in self.stages)

    @property
    def decided(self) -> int:
        """Chunks that are written or dead; a skipped one is still to be done."""
        return self.written + self.dead

    def apply(self, results: Results) -> None:
        """Take in one results record; numbers outside the job are ignored (the topic is untrusted)."""
        for written in results.written:
            new = self._move(written.numbers, _WRITE)
            self.nbytes += written.nbytes * new // written.count
            self.retried += (written.attempts - 1) * new
        for dead in results.dead:
            self.retried += (dead.attempts - 1) * self._move(dead.numbers, _BURY)
        for run in results.skipped:
            self._move(numbers_of(run), _SKIP)
        for run in results.replayed:
            self._move(numbers_of(run), _REPLAY)

    def end(self, ended: Ended) -> None:
        """Take in how the job ended, in place of results that need not be read."""
        if ended.state != "done":
            return
        for stage in self.stages:
            stage.written, stage.dead, stage.skipped = stage.tasks, 0, 0
        self.nbytes, self.retried = ended.nbytes, ended.retried
        self._pages, self._blank = {}, _ALL_WRITTEN

    def resend(self, numbers: range) -> None:
        """Count those of these chunks that were skipped as open, because they are sent again."""
        self._move(numbers, _RESEND)

    def runs_in(self, span: range, *states: TaskState) -> Iterator[range]:
        """Yield those numbers of `span` that are in one of `states`: ascending, in runs within a page.

        Each page is looked at when its turn comes.
        """
        like = re.compile(b"[" + re.escape(bytes(states)) + b"]+")
        for _, number, part in self._parts(span):
            page, first = self._pages.get(number, self._blank), number * PAGE
            for found in like.finditer(page, part.start, part.stop):
                yield range(first + found.start(), first + found.end())

    def count(self, span: range, *states: TaskState) -> int:
        """Return how many numbers of `span` are in one of `states`."""
        return sum(map(len, self.runs_in(span, *states)))

    def _parts(self, numbers: range) -> Iterator[tuple[Counts, int, range]]:
        """Cut those numbers that are of the job at the edges of stages and pages: stage, page, part of it."""
        at, stop = max(0, numbers.start), min(numbers.stop, self.tasks)
        while at < stop:
            stage = bisect_right(self._ends, at)
            number, first = divmod(at, PAGE)
            length = min(stop, self._ends[stage], at - first + PAGE) - at
            yield self.stages[stage], number, range(first, first + length)
            at += length

    def _move(self, numbers: range, move: _Move) -> int:
        """Change states and return how many were changed."""
        changed = 0
        for stage, number, part in self._parts(numbers):
            page = self._pages.get(number, self._blank)
            old = page[part.start : part.stop]
            new = old.translate(move.table)
            if new == old:
                continue
            stage.change(old, new)
            changed += new.count(move.to) - old.count(move.to)
            page = page[: part.start] + new + page[part.stop :]
            self._pages[number] = _ALL_WRITTEN if page == _ALL_WRITTEN else page
        return changed
