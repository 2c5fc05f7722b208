"""Sending a job's dead letters again, once what made them fail is mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from streamzarr.errors import ConfigError, MessageError
from streamzarr.jobs.bookkeeper import RESULTS_A_RECORD
from streamzarr.jobs.letters import reconcile
from streamzarr.jobs.register import append_event, read_register
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Results, Resumed, Run, encode, run_of, task_of
from streamzarr.queue.base import Broker, NewRecord
from streamzarr.queue.deadletter import DeadLetter, LetterId
from streamzarr.queue.letters import DeadLetterQueue


def replay(
    broker: Broker,
    topics: JobTopics,
    letters: Iterable[tuple[LetterId, DeadLetter]],
    *,
    rate: float | None = None,
) -> int:
    """Send these letters to the workers again and return how many; whoever waits for their jobs waits on.

    Letters whose chunks were written meanwhile are closed, not sent. A letter about several chunks of which
    some are written is sent whole: to write a chunk twice does no harm. A job's ledger is told before its
    letters are sent: killed in between, a letter is still there, and so are its chunks for `resume`. A
    job's next stage is not begun by a replay: resume the job for that.

    Parameters
    ----------
    letters
        As :func:`streamzarr.jobs.letters.open_letters` or :meth:`streamzarr.queue.DeadLetterQueue.ls` return
        them.
    rate
        Tasks a second at most.

    Raises
    ------
    streamzarr.errors.MessageError
        One of them never was a task of these topics, or was cut for its size: it can only be dropped.
        Nothing was sent.
    streamzarr.errors.ConfigError
        The job of one of them is cancelled: workers would pass it over. Nothing was sent.
    streamzarr.errors.QueueError
        The broker refused some; those letters stay open.
    """
    chosen = list(letters)
    for id_, letter in chosen:
        if letter.topic != topics.tasks or letter.is_cut:
            raise MessageError(
                f"dead letter {id_.offset} of {topics.dead} cannot be replayed, only dropped: "
                f"it is not a whole task of {topics.tasks}; it failed with: {letter.message}"
            )
    chosen = reconcile(broker, topics, chosen)
    known = _known_jobs(broker, topics, chosen)
    count = 0
    with DeadLetterQueue(broker, topics.dead).replaying(rate=rate) as under_way:
        rest = iter(chosen)
        while batch := list(islice(rest, RESULTS_A_RECORD)):
            _reopen(broker, topics, batch)
            # Behind the results: who hears that a job goes on, and reads those, knows which tasks are open.
            if jobs := sorted(known & _jobs_of(batch)):
                append_event(broker, topics, *map(Resumed, jobs))
            count += under_way.send(batch)
    return count


def _jobs_of(letters: Iterable[tuple[LetterId, DeadLetter]]) -> set[str]:
    tasks = {task_of(letter.headers) for _, letter in letters}
    return {task[0] for task in tasks if task is not None}


def _known_jobs(
    broker: Broker, topics: JobTopics, letters: Iterable[tuple[LetterId, DeadLetter]]
) -> set[str]:
    """Return those jobs of the letters that are known, and make sure that none is cancelled."""
    entries = read_register(broker, topics)
    known = _jobs_of(letters) & entries.keys()
    for job in known:
        if entries[job].cancelled:
            raise ConfigError(f"job {job} was cancelled: resume it, then replay its dead letters")
    return known


def _reopen(broker: Broker, topics: JobTopics, letters: Iterable[tuple[LetterId, DeadLetter]]) -> None:
    """Tell the jobs of these letters that what is dead of their chunks no longer is."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for _, letter in letters:
        if (found := task_of(letter.headers)) is not None:
            runs[found[0]].append(run_of(found[1]))
    with broker.producer() as producer:
        records = [
            NewRecord(encode(Results(job, "", replayed=tuple(replayed))), key=job.encode())
            for job, replayed in runs.items()
        ]
        producer.send(topics.results, records)
        producer.flush()
