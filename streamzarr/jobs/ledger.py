"""What has become of each task of a job: explicit state, changed only by results.

Workers deliver at least once, so the same task can be reported twice; the ledger counts it once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from streamzarr.jobs.wire import Ended, Results

PAGE: Final = 1024
"""Tasks whose states are kept together: nothing is kept of pages of which nothing was heard."""


class TaskState(IntEnum):
    """What is known of one task."""

    OPEN = 0
    WRITTEN = 1
    DEAD = 2
    SKIPPED = 3


_OPEN, _WRITTEN, _DEAD, _SKIPPED = map(int, TaskState)
_ALL_OPEN: Final = bytes(PAGE)
_ALL_WRITTEN: Final = bytes([_WRITTEN]) * PAGE


@dataclass(slots=True)
class Counts:
    """How many tasks of one stage are in each state."""

    tasks: int
    written: int = 0
    dead: int = 0
    skipped: int = 0

    @property
    def settled(self) -> bool:
        """Whether each is written or dead; a skipped one is still to be done."""
        return self.written + self.dead == self.tasks

    @property
    def complete(self) -> bool:
        """Whether each is written."""
        return self.written == self.tasks


class Ledger:
    """State and totals of the tasks of one job. Owned by one thread or under its lock.

    Totals cost nothing that grows with the job. States take a byte for each task of a page of which some
    are settled and some are not, and nothing for the rest.

    Parameters
    ----------
    ends
        Number of the first task after each stage, as in :class:`streamzarr.jobs.numbering.Numbering`.

    Examples
    --------
    >>> from streamzarr.jobs.wire import Results, Written
    >>> ledger = Ledger([3])
    >>> ledger.apply(Results("j", "w", written=(Written(0, 2, 100),)))
    >>> ledger.written, ledger.retried, ledger.settled
    (1, 1, 1)
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self.tasks = ends[-1]
        self.stages = tuple(Counts(end - start) for start, end in zip((0, *ends[:-1]), ends, strict=True))
        self.retried = 0
        """Attempts beyond the first, of all tasks."""
        self.nbytes = 0
        """Decoded bytes of the chunks written."""
        self._ends = tuple(ends)
        self._pages: dict[int, bytes | bytearray] = {}
        self._blank = _ALL_OPEN

    @property
    def written(self) -> int:
        """Tasks whose chunks are durable."""
        return sum(stage.written for stage in self.stages)

    @property
    def dead(self) -> int:
        """Tasks that are dead letters."""
        return sum(stage.dead for stage in self.stages)

    @property
    def skipped(self) -> int:
        """Tasks that a worker passed over, because the job was over then."""
        return sum(stage.skipped for stage in self.stages)

    @property
    def settled(self) -> int:
        """Tasks that are written or dead; a skipped one is still to be done."""
        return self.written + self.dead

    def state(self, task: int) -> TaskState:
        """Return what is known of one task."""
        return TaskState(self._state(task))

    def has(self, task: int, state: TaskState) -> bool:
        """Tell whether this is a task of the job, and in `state`."""
        return 0 <= task < self.tasks and self._state(task) == state

    def is_open(self, task: int) -> bool:
        """Tell whether this is a task of the job, and neither written nor dead."""
        return 0 <= task < self.tasks and self._state(task) in (_OPEN, _SKIPPED)

    def apply(self, results: Results) -> None:
        """Take in one results record; numbers outside the job are ignored (the topic is untrusted)."""
        for written in results.written:
            if self._move(written.task, _WRITTEN):
                self.nbytes += written.nbytes
                self.retried += written.attempts - 1
        for dead in results.dead:
            if self._move(dead.task, _DEAD):
                self.retried += dead.attempts - 1
        for task in results.skipped:
            self._move(task, _SKIPPED)
        self.reopen(
            task for task in results.replayed if 0 <= task < self.tasks and self._state(task) == _DEAD
        )

    def end(self, ended: Ended) -> None:
        """Take in how the job ended, in place of results that need not be read."""
        if ended.state != "done":
            return
        for stage in self.stages:
            stage.written, stage.dead, stage.skipped = stage.tasks, 0, 0
        self.nbytes, self.retried = ended.nbytes, ended.retried
        self._pages, self._blank = {}, _ALL_WRITTEN

    def reopen(self, tasks: Iterable[int]) -> None:
        """Count these tasks as not settled, because they were sent again."""
        for task in tasks:
            self._set(task, _OPEN)

    def open_tasks(self, span: range) -> Iterator[int]:
        """Yield the tasks of `span` that are neither written nor dead, as they are when it comes to them."""
        return self._in_states(span, (_OPEN, _SKIPPED))

    def tasks_in(self, state: TaskState, span: range) -> Iterator[int]:
        """Yield the tasks of `span` that are in `state` when it comes to them."""
        return self._in_states(span, (int(state),))

    def _in_states(self, span: range, states: tuple[int, ...]) -> Iterator[int]:
        for number in range(span.start // PAGE, -(-span.stop // PAGE)):
            page = self._pages.get(number, self._blank)
            if not any(state in page for state in states):
                continue
            for task in range(max(span.start, number * PAGE), min(span.stop, (number + 1) * PAGE)):
                if self._state(task) in states:
                    yield task

    def _state(self, task: int) -> int:
        return self._pages.get(task // PAGE, self._blank)[task % PAGE]

    def _move(self, task: int, to: int) -> bool:
        """Change a state unless what is known already is at least as good; tell whether it changed."""
        if not 0 <= task < self.tasks:
            return False
        now = self._state(task)
        # A written chunk stays written whatever a late duplicate says; a replayed dead letter may become
        # written.
        if now in (to, _WRITTEN) or (now == _DEAD and to == _SKIPPED):
            return False
        self._set(task, to)
        return True

    def _set(self, task: int, to: int) -> None:
        number, index = divmod(task, PAGE)
        page = self._pages.get(number, self._blank)
        stage = self.stages[bisect_right(self._ends, task)]
        if page[index] == to:
            return
        self._count(stage, page[index], -1)
        self._count(stage, to, 1)
        if not isinstance(page, bytearray):
            page = self._pages[number] = bytearray(page)
        page[index] = to
        if page == _ALL_WRITTEN:
            self._pages[number] = _ALL_WRITTEN

    @staticmethod
    def _count(stage: Counts, state: int, change: int) -> None:
        if state == _WRITTEN:
            stage.written += change
        elif state == _DEAD:
            stage.dead += change
        elif state == _SKIPPED:
            stage.skipped += change
