"""A task on its way through a worker, and what has become of its chunks so far."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from streamzarr.errors import StreamzarrError, TransformError, message_of, name_of
from streamzarr.jobs.wire import MAX_BLOCK, Task, Written
from streamzarr.queue.retry import is_transient

_TRACEBACK, _CAUSE, _CONTEXT = (
    vars(BaseException)[name] for name in ("__traceback__", "__cause__", "__context__")
)
MAX_RUN_BYTES = 1 << 34
"""Of chunks that one entry of a result names (:data:`streamzarr.jobs.wire.ChunkBytes`)."""
MAX_ERROR_TEXT = 4000
"""Characters that are kept of what an error says."""

Tell: TypeAlias = Callable[[int, int | BaseException], None]
"""Told the number of each chunk as it ends, and the decoded bytes that are durable, or why there are none."""


class Done(NamedTuple):
    """A chunk that is durable."""

    attempts: int
    nbytes: int


class Failed(NamedTuple):
    """A chunk that failed for good."""

    attempts: int
    error: BaseException


class Lost(NamedTuple):
    """Chunks whose numbers follow on one another and that failed for good of one and the same error."""

    numbers: range
    attempts: int
    error: BaseException


@dataclass(slots=True)
class Outcome:
    """What has become of the chunks of a task, over all attempts at it.

    One thread begins and checks; any may tell.

    Examples
    --------
    >>> outcome = Outcome()
    >>> outcome.begin()
    >>> outcome.tell(7, 4096), outcome.tell(8, ValueError("no such day"))
    (None, None)
    >>> outcome.written[7], outcome.failed[8].attempts, outcome.left(range(7, 10))
    (Done(attempts=1, nbytes=4096), 1, [9])
    """

    attempts: int = 0
    written: dict[int, Done] = field(default_factory=dict)
    failed: dict[int, Failed] = field(default_factory=dict)
    passing: dict[int, BaseException] = field(default_factory=dict)
    """What the last attempt failed with at chunks where the next one may not."""

    def begin(self) -> None:
        """Begin another attempt."""
        self.attempts += 1
        self.passing.clear()

    def left(self, numbers: Iterable[int]) -> list[int]:
        """Return those of `numbers` that are neither written nor failed for good."""
        return [number for number in numbers if number not in self.written and number not in self.failed]

    def tell(self, number: int, end: int | BaseException) -> None:
        """Take in the end of one chunk."""
        if isinstance(end, int):
            self.written[number] = Done(self.attempts, end)
            return
        forget_frames(end)
        if is_transient(end):
            self.passing[number] = end
        else:
            self.failed[number] = Failed(self.attempts, end)

    def written_runs(self) -> list[Written]:
        """Return what is written, in runs of as many attempts."""
        runs: list[Written] = []
        for number in sorted(self.written):
            attempts, nbytes = self.written[number]
            if runs and _goes_on(runs[-1], number, attempts, nbytes):
                nbytes += runs[-1].nbytes
                runs[-1] = Written(runs[-1].task, attempts, nbytes, runs[-1].count + 1)
            else:
                runs.append(Written(number, attempts, nbytes))
        return runs

    def lost(self, left: Iterable[int], failed: Failed | None) -> list[Lost]:
        """Return the runs of what is lost.

        Parameters
        ----------
        left
            Chunks that are not tried any more.
        failed
            The task as a whole; those of `left` that have had an error of their own are lost for that.
        """
        ends = dict(self.failed)
        if failed is not None:
            ends |= {
                number: Failed(failed.attempts, self.passing.get(number, failed.error)) for number in left
            }
        found: list[Lost] = []
        for number in sorted(ends):
            attempts, error = ends[number]
            last = found[-1] if found else Lost(range(0), 0, error)
            if number == last.numbers.stop and attempts == last.attempts and error is last.error:
                found[-1] = last._replace(numbers=range(last.numbers.start, number + 1))
            else:
                found.append(Lost(range(number, number + 1), attempts, error))
        return found

    def check(self) -> None:
        """Raise the first error, if any, for which the chunks that are left are to be tried again."""
        for error in self.passing.values():
            raise error


@dataclass(frozen=True, slots=True)
class Work:
    """A task, and the 16 bytes that stand for this sending of it in the register of work in flight."""

    task: Task
    token: bytes
    outcome: Outcome = field(default_factory=Outcome)


def runs_of(numbers: Iterable[int]) -> Iterator[range]:
    """Cut numbers, which ascend, into runs without gaps.

    >>> list(runs_of([3, 4, 7]))
    [range(3, 5), range(7, 8)]
    """
    run = range(0)
    for number in numbers:
        if run and number == run.stop:
            run = range(run.start, number + 1)
            continue
        if run:
            yield run
        run = range(number, number + 1)
    if run:
        yield run


def _goes_on(run: Written, number: int, attempts: int, nbytes: int) -> bool:
    follows = number == run.task + run.count and run.count < MAX_BLOCK
    return follows and attempts == run.attempts and run.nbytes + nbytes <= MAX_RUN_BYTES


def without_values(error: BaseException) -> BaseException:
    """Return an error of ours as it is, and in place of anybody else's one of the same name and text.

    Until its task is settled the error is kept, and it may have been made with the values of its chunk.

    >>> error = without_values(ValueError("of no use"))
    >>> name_of(error), str(error)
    ('ValueError', 'of no use')
    """
    if isinstance(error, StreamzarrError):
        return error
    return _named(name_of(error), is_transient(error))(message_of(error, MAX_ERROR_TEXT))


@lru_cache(maxsize=64)
def _named(name: str, transient: bool) -> type[TransformError]:
    return type(name, (TransformError,), {"transient": transient})


def forget_frames(error: BaseException) -> None:
    """Let go of all frames that an error, its causes and contexts have come through, and their variables.

    Until its task is settled the error is kept, and its frames would keep blocks of the task.
    """
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()  # causes may go in circles
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            # As they are, whatever an error answers for them; it may refuse to be changed, too.
            traceback.clear_frames(_TRACEBACK.__get__(each))
            # Frames that are still at work will have variables yet.
            BaseException.with_traceback(each, None)
            todo += [_CAUSE.__get__(each), _CONTEXT.__get__(each)]
