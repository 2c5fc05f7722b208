"""What has become of each task of a job: explicit state, changed only by results.

Workers deliver at least once, so the same task can be reported twice; the ledger counts it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from streamzarr.jobs.wire import Results


class TaskState(IntEnum):
    """What is known of one task."""

    OPEN = 0
    WRITTEN = 1
    DEAD = 2
    SKIPPED = 3


@dataclass(slots=True)
class Ledger:
    """State and totals of the tasks of one job. One byte a task; owned by one thread or under its lock.

    Examples
    --------
    >>> from streamzarr.jobs.wire import Results, Written
    >>> ledger = Ledger(tasks=3)
    >>> ledger.apply(Results("j", "w", written=(Written(0, 2, 100),)))
    >>> ledger.written, ledger.retried, ledger.settled
    (1, 1, 1)
    """

    tasks: int
    written: int = 0
    dead: int = 0
    skipped: int = 0
    retried: int = 0
    """Attempts beyond the first, of all tasks."""
    nbytes: int = 0
    """Decoded bytes of the chunks written."""
    _states: bytearray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._states = bytearray(self.tasks)

    @property
    def settled(self) -> int:
        """Tasks that are written or dead; a skipped one is still to be done."""
        return self.written + self.dead

    def state(self, task: int) -> TaskState:
        """Return what is known of one task."""
        return TaskState(self._states[task])

    def apply(self, results: Results) -> None:
        """Take in one results record; numbers outside the job are ignored (the topic is untrusted)."""
        for written in results.written:
            if self._move(written.task, TaskState.WRITTEN):
                self.nbytes += written.nbytes
                self.retried += written.attempts - 1
        for dead in results.dead:
            if self._move(dead.task, TaskState.DEAD):
                self.retried += dead.attempts - 1
        for task in results.skipped:
            self._move(task, TaskState.SKIPPED)
        self.reopen(
            task
            for task in results.replayed
            if 0 <= task < self.tasks and self._states[task] == TaskState.DEAD
        )

    def reopen(self, tasks: Iterable[int]) -> None:
        """Count these tasks as not settled, because they were sent again."""
        for task in tasks:
            self._leave(TaskState(self._states[task]))
            self._states[task] = TaskState.OPEN

    def open_tasks(self, span: range) -> Iterator[int]:
        """Yield the tasks of `span` that are neither written nor dead."""
        return (task for task in span if self._states[task] in (TaskState.OPEN, TaskState.SKIPPED))

    def dead_tasks(self) -> list[int]:
        """Return the tasks that are dead letters now."""
        return [task for task, state in enumerate(self._states) if state == TaskState.DEAD]

    def settled_in(self, span: range) -> int:
        """Count the tasks of `span` that are written or dead."""
        part = self._states[span.start : span.stop]
        return part.count(TaskState.WRITTEN) + part.count(TaskState.DEAD)

    def written_in(self, span: range) -> int:
        """Count the tasks of `span` that are written."""
        return self._states[span.start : span.stop].count(TaskState.WRITTEN)

    def _move(self, task: int, to: TaskState) -> bool:
        """Change a state unless what is known already is at least as good; tell whether it changed."""
        if not 0 <= task < self.tasks:
            return False
        now = self._states[task]
        # A written chunk stays written whatever a late duplicate says; a replayed dead letter may become
        # written.
        if now in (to, TaskState.WRITTEN) or (now == TaskState.DEAD and to == TaskState.SKIPPED):
            return False
        self._leave(TaskState(now))
        self._states[task] = to
        if to is TaskState.WRITTEN:
            self.written += 1
        elif to is TaskState.DEAD:
            self.dead += 1
        else:
            self.skipped += 1
        return True

    def _leave(self, state: TaskState) -> None:
        if state is TaskState.WRITTEN:
            self.written -= 1
        elif state is TaskState.DEAD:
            self.dead -= 1
        elif state is TaskState.SKIPPED:
            self.skipped -= 1
