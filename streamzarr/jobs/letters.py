"""The dead letters of jobs, reconciled with their ledgers.

A worker writes the letter first and the result second. When it dies in between, its task is carried out again
and may succeed, or fail and leave other letters, about other chunks. The ledger is what counts: a letter of a
job is open when one of its chunks is dead that no newer letter covers, so each dead chunk has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from streamzarr.jobs.ledger import TO_DO, Ledger, TaskState
from streamzarr.jobs.overview import read_standings
from streamzarr.jobs.register import read_register
from streamzarr.jobs.spans import topmost
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import task_of
from streamzarr.queue.base import Broker
from streamzarr.queue.deadletter import DeadLetter, Entry, LetterId
from streamzarr.queue.letters import DeadLetterQueue

Fate: TypeAlias = Literal["open", "moot", "queued"]
"""``open``: it is about dead chunks; ``moot``: all of them are written, or newer letters are about them;
``queued``: the task is carried out again."""


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
    """Return those of `letters` of dead chunks, or of which no job tells; close those that are moot.

    Parameters
    ----------
    letters
        Oldest first.
    """
    letters = list(letters)
    if not letters:
        return []
    entries = read_register(broker, topics)
    known: dict[str, dict[LetterId, range]] = defaultdict(dict)
    for id_, letter in letters:
        task = task_of(letter.headers) if letter.topic == topics.tasks else None
        if task is not None and task[0] in entries:
            known[task[0]][id_] = task[1]
    concerned = {job: entries[job] for job in known if not entries[job].done}
    standings = read_standings(broker, topics, concerned)
    found: dict[LetterId, Fate] = {id_: "moot" for runs in known.values() for id_ in runs}
    for job, standing in standings.items():  # of the others all is written
        runs = known[job]
        found.update(zip(runs, fates(list(runs.values()), standing.ledger, lost=standing.lost), strict=True))
    moot = [entry for entry in letters if found.get(entry[0]) == "moot"]
    DeadLetterQueue(broker, topics.dead).mark(moot, "moot")
    return [entry for entry in letters if found.get(entry[0], "open") == "open"]


def fates(letters: Sequence[range], ledger: Ledger, *, lost: bool = False) -> list[Fate]:
    """Tell what has become of the letters of one job about these chunks, oldest first.

    Parameters
    ----------
    lost
        Whether the ledger may have missed results: then what is open in it may be dead.
    """
    return [_fate(parts, ledger, lost) for parts in topmost(letters)]


def _fate(parts: list[range], ledger: Ledger, lost: bool) -> Fate:
    """Tell what has become of a letter that alone is about these chunks."""
    written = sum(ledger.count(part, TaskState.WRITTEN) for part in parts)
    to_do = sum(ledger.count(part, *TO_DO) for part in parts)
    unwritten = sum(map(len, parts)) - written
    if not unwritten:
        return "moot"
    return "open" if lost or unwritten > to_do else "queued"
