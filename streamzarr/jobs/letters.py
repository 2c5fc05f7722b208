"""The dead letters of jobs, reconciled with their ledgers.

A worker writes the letter first and the result second. When it dies in between, its task is carried out again
and may succeed, or fail and leave a second letter. The ledger is what counts: a letter of a job is open when
its task is dead, and each dead task has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streamzarr.jobs.ledger import TaskState
from streamzarr.jobs.overview import Standing, read_standings
from streamzarr.jobs.register import JobEntry, read_register
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import task_of
from streamzarr.queue.base import Broker
from streamzarr.queue.deadletter import DeadLetter, DeadLetterQueue, Entry


def open_letters(
    broker: Broker, topics: JobTopics, predicate: Callable[[DeadLetter], bool] | None = None
) -> list[Entry]:
    """Return the open dead letters, oldest first; those whose chunks were written meanwhile are closed.

    Raises
    ------
    streamzarr.errors.TopicNotFoundError
        Nobody has used these topics yet.
    """
    return reconcile(broker, topics, DeadLetterQueue(broker, topics.dead).ls(predicate))


def reconcile(broker: Broker, topics: JobTopics, letters: Iterable[Entry]) -> list[Entry]:
    """Return those of `letters` whose tasks are dead, or of which no job tells; close those that are moot."""
    letters = list(letters)
    if not letters:
        return []
    entries = read_register(broker, topics)
    tasks = {id_: _task(letter, topics, entries) for id_, letter in letters}
    concerned = {task[0]: entries[task[0]] for task in tasks.values() if task is not None}
    standings = read_standings(broker, topics, {i: entry for i, entry in concerned.items() if not entry.done})
    newest = {task: id_ for id_, task in tasks.items() if task is not None}
    still_open, moot = [], []
    for id_, letter in letters:
        task = tasks[id_]
        if task is None:
            still_open.append((id_, letter))
        elif _is_written(task, standings) or newest[task] != id_:
            moot.append((id_, letter))
        elif _is_dead(task, standings):
            still_open.append((id_, letter))
    DeadLetterQueue(broker, topics.dead).settle(moot, "moot")
    return still_open


def _task(letter: DeadLetter, topics: JobTopics, entries: dict[str, JobEntry]) -> tuple[str, int] | None:
    """Return the task of a known job that a letter is about."""
    task = task_of(letter.headers) if letter.topic == topics.tasks else None
    return task if task is not None and task[0] in entries else None


def _is_written(task: tuple[str, int], standings: dict[str, Standing]) -> bool:
    job, number = task
    return job not in standings or standings[job].ledger.has(number, TaskState.WRITTEN)


def _is_dead(task: tuple[str, int], standings: dict[str, Standing]) -> bool:
    """Tell whether the task is dead by all that is known; else it is queued, and will be carried out."""
    job, number = task
    standing = standings[job]
    return standing.lost or not standing.ledger.is_open(number)
