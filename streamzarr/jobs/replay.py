"""Sending a job's dead letters again, once what made them fail is mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from streamzarr.errors import MessageError
from streamzarr.jobs.settle import CUT_HEADER, RESULTS_A_RECORD
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Results, encode, task_of
from streamzarr.queue.base import Broker, NewRecord
from streamzarr.queue.deadletter import DeadLetter, DeadLetterQueue, LetterId


def replay(broker: Broker, topics: JobTopics, letters: Iterable[tuple[LetterId, DeadLetter]]) -> int:
    """Send these letters to the workers again and return how many; whoever waits for their jobs waits on.

    A job's ledger is told before its letters are sent: killed in between, a letter is still there, and so is
    its task for `resume`. A pyramid's next level is not begun by a replay: resume the job for that.

    Parameters
    ----------
    letters
        As :meth:`streamzarr.queue.DeadLetterQueue.ls` returns them.

    Raises
    ------
    streamzarr.errors.MessageError
        One of them never was a task of these topics, or was cut for its size: it can only be dropped.
        Nothing was sent.
    streamzarr.errors.QueueError
        The broker refused some; those letters stay open.
    """
    chosen = list(letters)
    for id_, letter in chosen:
        if letter.topic != topics.tasks or CUT_HEADER in dict(letter.headers):
            raise MessageError(
                f"dead letter {id_.offset} of {topics.dead} cannot be replayed, only dropped: "
                f"it is not a whole task of {topics.tasks}; it failed with: {letter.message}"
            )
    queue = DeadLetterQueue(broker, topics.dead)
    rest = iter(chosen)
    while batch := list(islice(rest, RESULTS_A_RECORD)):
        _reopen(broker, topics, batch)
        queue.replay(batch)
    return len(chosen)


def _reopen(broker: Broker, topics: JobTopics, letters: Iterable[tuple[LetterId, DeadLetter]]) -> None:
    """Tell the jobs of these letters that their tasks are no longer dead."""
    tasks: dict[str, list[int]] = defaultdict(list)
    for _, letter in letters:
        if (found := task_of(letter.headers)) is not None:
            tasks[found[0]].append(found[1])
    with broker.producer() as producer:
        records = [
            NewRecord(encode(Results(job, "", replayed=tuple(numbers))), key=job.encode())
            for job, numbers in tasks.items()
        ]
        producer.send(topics.results, records)
        producer.flush()
