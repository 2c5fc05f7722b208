"""The chunk worker: one consumer, some codec threads, one bookkeeper.

::

    tasks topic -> decode -> dispatch (threads: read, transform, write) -> settle -> offsets
                                                                             |-> results topic
                                                                             '-> dead letters

The order in ``settle`` is the promise that nothing is lost: the chunk is durable first, then its result and
any dead letter, then the offset. A worker that dies in between repeats work, and a task can run twice.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from hashlib import blake2b
from typing import Protocol

from streamzarr.flow import Demand, Message, RunReport, Stop, from_topic, ops, run
from streamzarr.jobs.bookkeeper import EXECUTE, Bookkeeper
from streamzarr.jobs.execute import TaskExecutor
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.outcome import Work, forget_frames
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.transforms import load_transforms
from streamzarr.jobs.trial import Court
from streamzarr.jobs.trial_child import Cause, RunTrial, run_trial
from streamzarr.jobs.wanted import Wanted
from streamzarr.jobs.wire import decode_task
from streamzarr.queue import Broker, open_broker
from streamzarr.queue.retry import RetryPolicy
from streamzarr.runtime import SYSTEM, Runtime

_log = logging.getLogger(__name__)

IDLE_POLL_SECONDS = 0.2
"""Longest wait for a task; a task ends it at once, so it only bounds how late a stop is seen."""

MESSAGE_BYTES = 8 << 20
"""Task messages in flight, beside what one poll has brought."""

PAUSE_RETRIES = 10
"""Delays of a first retry that a partition pauses at first, when it cannot reach what its tasks need."""

ENTRY_SECONDS = 0.05
"""How long the outcome of a task waits for others: each entry is a durable write to the queue."""


class Supervision(Protocol):
    """What a worker needs from whoever supervises it; ``streamzarr.supervisor`` implements it.

    Every method is cheap and may be called from any thread.
    """

    @property
    def name(self) -> str:
        """Name of this worker, for results and dead letters."""

    @property
    def runtime(self) -> Runtime:
        """Clocks, threads and ids of this worker."""

    @property
    def task_timeout(self) -> float | None:
        """Seconds that a task may take; None: for ever."""

    @property
    def max_memory(self) -> int | None:
        """Bytes of memory of one process; None: no bound."""

    def on_stop(self, callback: Callable[[float], None]) -> None:
        """Have `callback` called once with the drain timeout, in seconds, when this worker shall stop."""

    def beat(self) -> None:
        """Say that this worker is alive."""

    def started(self, token: bytes) -> None:
        """Enter a 16-byte token into the register of work in flight."""

    def finished(self, token: bytes) -> None:
        """Take a token out of the register."""

    def suspicion(self, token: bytes) -> tuple[int, Cause] | None:
        """Return what is held against a token that was in flight when a worker died; None: nothing.

        The deaths that it alone can have caused, and the cause of the last one: death, timeout or memory.
        """


class Unsupervised:
    """Supervision by nobody: the worker runs in this process until it is told to stop through `stop`."""

    task_timeout = max_memory = None

    def __init__(self, name: str = "", runtime: Runtime = SYSTEM) -> None:
        self.runtime = runtime
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"

    def on_stop(self, callback: Callable[[float], None]) -> None:
        """Nobody will ask."""

    def beat(self) -> None:
        """Nobody listens."""

    def started(self, token: bytes) -> None:
        """Nobody keeps a register."""

    finished = started

    def suspicion(self, token: bytes) -> tuple[int, Cause] | None:
        """Nobody is suspected."""


def decode(message: Message) -> Message:
    """Return `message` with its task; raises ``MessageError`` when it is none."""
    record = message.record
    assert record is not None
    # By its offset: a dead letter that is replayed is tried again, however often it killed a worker before.
    token = blake2b(f"{record.topic}/{record.partition}/{record.offset}".encode(), digest_size=16).digest()
    return message.with_data(Work(decode_task(record.value), token))


@contextmanager
def in_flight(supervision: Supervision, token: bytes) -> Iterator[None]:
    """Keep `token` in the register of what would be to blame if this process died now."""
    supervision.started(token)
    try:
        yield
    finally:
        supervision.finished(token)


def run_worker(options: WorkerOptions, supervision: Supervision, stop: Stop | None = None) -> RunReport:
    """Carry out tasks until `supervision` or `stop` says to stop; blocks, and drives one chain.

    Returns
    -------
    RunReport
        What became of the tasks that this worker was given; also logged, as its last line.
    """
    with open_broker(options.broker, runtime=supervision.runtime) as broker:
        return work_on(broker, options, supervision, stop)


def work_on(
    broker: Broker,
    options: WorkerOptions,
    supervision: Supervision,
    stop: Stop | None = None,
    run_trial: RunTrial = run_trial,
) -> RunReport:
    """Do as :func:`run_worker` on a broker that is open; `run_trial` runs a suspect's process."""
    load_transforms(options.transforms)
    stop = stop or Stop(broker.runtime)
    supervision.on_stop(stop.drain)
    topics = JobTopics(options.prefix)
    retry = RetryPolicy(attempts=options.attempts, base=options.retry_base)
    with broker.producer() as producer, ExitStack() as stack:
        topics.ensure(broker)
        wanted = stack.enter_context(closing(Wanted(broker, topics)))
        execute = TaskExecutor(
            options.roots,
            is_wanted=wanted.certainly,
            goes_on=wanted.lately,
            max_bytes=options.max_bytes,
            runtime=broker.runtime,
        )
        # A task that was in flight when a worker died is tried where it can take nothing down.
        court = Court(options, supervision.task_timeout, supervision.max_memory, run_trial)
        bookkeeper = Bookkeeper(
            topics,
            supervision.name,
            producer.send,
            producer.flush,
            pause_seconds=PAUSE_RETRIES * options.retry_base,
        )

        def carry_out(work: Work) -> Work:
            task, outcome = work.task, work.outcome
            outcome.begin()
            left = outcome.left(task.numbers)
            try:
                if wanted.lately(task.job):
                    suspicion = supervision.suspicion(work.token)
                    if suspicion is not None:
                        done = court(task, left, outcome.tell, suspicion)
                    else:
                        done = execute(task, left, outcome.tell, lambda _: in_flight(supervision, work.token))
                    if done:
                        outcome.check()
            except BaseException as error:
                forget_frames(error)
                raise
            return work

        def turn() -> None:
            supervision.beat()
            wanted.refresh()

        chain = from_topic(
            broker,
            topics.tasks,
            group=topics.group,
            demand=Demand(options.max_demand, max_bytes=MESSAGE_BYTES, runtime=broker.runtime),
            session_timeout=options.session_timeout,
            poll_timeout=IDLE_POLL_SECONDS,
            on_gap="skip",  # the job's ledger knows which tasks are open, and `job resume` sends them anew
            on_turn=turn,
        ).pipe(
            ops.map_messages(decode, stage="decode"),
            ops.dispatch(carry_out, workers=options.threads, stage=EXECUTE, retry=retry),
            ops.batch(max(1, options.max_demand // 2), timeout=ENTRY_SECONDS),
            ops.settle(bookkeeper, contact=broker.contact),
        )
        report = run(chain, stop=stop, runtime=broker.runtime)
    level = logging.WARNING if report.left or report.paused else logging.INFO
    _log.log(level, "%s ended; tasks: %s", supervision.name, report)
    return report
