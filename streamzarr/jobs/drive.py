"""Driving a job: stage after stage, emit what is to be done and wait until all of it is decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from streamzarr.errors import QueueError, SourceChangedError, StreamzarrError
from streamzarr.flow import LagDemand, Stop
from streamzarr.jobs.compact import compact
from streamzarr.jobs.emit import EMIT_BATCH, TaskEncoder, emit, pending_tasks
from streamzarr.jobs.ledger import TO_DO, TaskState
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.pin import check_sources
from streamzarr.jobs.report import state_of
from streamzarr.jobs.scratch import prepare, remove_scratch
from streamzarr.jobs.shards import seal_shards
from streamzarr.jobs.spans import Spans
from streamzarr.jobs.spread import interleaved
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.track import Tracker
from streamzarr.jobs.wire import Ended, Resumed, encode
from streamzarr.queue.base import Broker, NewRecord, Producer
from streamzarr.stores import open_store

_log = logging.getLogger(__name__)

TRIM_EVERY = 50_000
"""Tasks sent between two trims of the topic, so that a large job leaves no large one to its end."""


class JobDriver:
    """Emits tasks for the open chunks of one job on a daemon thread of its own.

    ``running``, ``error``, ``emitted`` and ``in_flight`` may be read from any thread; the tracker's
    condition is notified when the driver ends.

    Parameters
    ----------
    pending
        Chunks of which tasks are on the topic already, from an earlier driver of the same job.
    max_lag
        How many tasks may be on the topic and not yet committed by the workers.
    """

    def __init__(
        self,
        broker: Broker,
        topics: JobTopics,
        job: str,
        plan: Numbering,
        tracker: Tracker,
        pending: Spans,
        *,
        max_lag: int,
    ) -> None:
        self.error: BaseException | None = None
        self.running = True
        self.emitted = 0
        """Chunks of the tasks sent."""
        self.covered = 0
        """How many stages were begun and not broken off."""
        self._broker = broker
        self._topics = topics
        self._job = job
        self._plan = plan
        self._tracker = tracker
        self._ledger = tracker.ledger
        self._pending = pending
        self._max_lag = max_lag
        self._resent = 0
        self._sent = 0
        self._trim_at = TRIM_EVERY
        self._losses = tracker.losses
        queued = sum(tracker.ledger.count(each, *TO_DO) for each in pending.ranges)
        self._before = tracker.ledger.decided + queued
        self._stop = Stop(broker.runtime)
        self._thread = broker.runtime.thread(self._run, f"streamzarr-emit-{job}")

    @property
    def in_flight(self) -> int:
        """Chunks whose tasks were sent, now or by an earlier driver, and that are not decided."""
        sent = self._before + self.emitted - self._resent
        return max(0, sent - self._ledger.decided) if self.running else 0

    def start(self) -> None:
        """Begin; ends by itself when the job is cancelled, from wherever."""
        with self._tracker.changed:
            self._tracker.on_cancelled = self._stop.now
            if self._tracker.cancelled:
                self._stop.now()
        self._thread.start()

    def stop(self) -> None:
        """Stop emitting; returns when the thread has ended (a flush to the broker may be under way)."""
        self._stop.now()
        with self._tracker.changed:
            self._tracker.changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._broker.producer() as producer:
                self._drive_to_end(producer)
                if not self._stop.requested:
                    self._tidy(self._collect_stale, self._trim)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job, whatever it is
            self.error = error
        finally:
            with self._tracker.changed:
                self.running = False
                self._tracker.changed.notify_all()
        if self.error is None and not self._stop.requested:
            self._compact()

    def _drive_to_end(self, producer: Producer) -> None:
        """Drive until the end is entered; anew where dead letters were replayed before it was."""
        while True:
            self._drive_all(producer)
            if self._stop.requested or self._end(producer):
                return

    def _drive_all(self, producer: Producer) -> None:
        demand = LagDemand(
            *(self._broker, self._topics.tasks, self._topics.group),
            max_lag=self._max_lag,
            runtime=self._broker.runtime,
        )
        for stage in range(len(self._plan.stages)):
            encoder = TaskEncoder(self._job, self._plan, self._partition_order())
            complete = self._drive(stage, producer, encoder, demand)
            if not self._stop.requested:
                self.covered = stage + 1
            if not complete:
                break

    def _partition_order(self) -> tuple[int, ...]:
        """Return in which order tasks go round the partitions, which spreads them over the workers of now."""
        topics = self._topics
        partitions = self._broker.describe(topics.tasks).partitions
        try:
            assignment = self._broker.assignment(topics.group, topics.tasks)
        except QueueError as error:
            _log.warning("tasks of job %s may reach fewer workers than there are: %s", self._job, error)
            assignment = {}
        return interleaved(partitions, assignment)

    def _drive(self, stage: int, producer: Producer, encoder: TaskEncoder, demand: LagDemand) -> bool:
        """Emit one stage and wait until all of it is decided; tell whether the next one may begin."""
        span, counts, tracker = self._plan.span(stage), self._ledger.stages[stage], self._tracker

        def send(numbers: Iterator[range], count: Callable[[Sequence[range]], None]) -> None:
            runs = self._take(numbers)
            emit(producer, self._topics, encoder, runs, demand, self._stop, count, self._broker.runtime)
            self._tracker.wait_for(
                lambda: self._ended or counts.decided or counts.skipped > 0 or self._losses != tracker.losses
            )

        if not counts.decided:
            self._reopen(producer)
            self._prepare(stage)
            send(self._without(self._pending, span), self._count)
        while not (self._stop.requested or counts.decided):
            self._reopen(producer)
            if self._losses != tracker.losses:
                # What became of the open tasks is not known: they are sent again, as by a resumption.
                self._losses = tracker.losses
                pending = pending_tasks(self._broker, self._topics, self._job)
                tracker.catch_up()
                send(self._without(pending, span), self._count_again)
                continue
            # A worker that had not yet heard of a resumption skips tasks: those are sent again.
            send(self._ledger.runs_in(span, TaskState.SKIPPED), self._count_again)
        # A later stage reads what this one wrote: with a chunk missing it must not begin.
        return not self._stop.requested and counts.complete

    def _prepare(self, stage: int) -> None:
        counts = self._ledger.stages[stage]
        try:
            prepare(self._job, self._plan.stages, stage, begun=counts.written > 0)
        except SourceChangedError:
            self._tracker.catch_up()
            if not counts.decided:  # else another driver was through with the whole job, and tidied up
                raise

    def _without(self, pending: Spans, span: range) -> Iterator[range]:
        """Yield the open chunks of `span` that are not `pending`, and skipped ones in any case."""
        for numbers in self._ledger.runs_in(span, *TO_DO):
            for part, queued in pending.split(numbers):
                if queued:
                    yield from self._ledger.runs_in(part, TaskState.SKIPPED)
                else:
                    yield part

    def _take(self, numbers: Iterator[range]) -> Iterator[range]:
        """Yield runs for a task each; what is to be done is looked at little ahead of its turn."""
        runs = self._plan.runs(numbers)
        while True:
            with self._tracker.changed:
                batch = list(islice(runs, EMIT_BATCH))
                for run in batch:
                    self._ledger.resend(run)
            if not batch:
                return
            yield from batch

    def _count(self, sent: Sequence[range]) -> None:
        self.emitted += sum(map(len, sent))
        self._sent += len(sent)
        if self._sent >= self._trim_at:
            self._trim_at = self._sent + TRIM_EVERY
            self._tidy(self._trim)

    def _count_again(self, sent: Sequence[range]) -> None:
        self._resent += sum(map(len, sent))
        self._count(sent)

    def _reopen(self, producer: Producer) -> None:
        """Take back an end of the job that a driver has entered who did not know of these open tasks.

        While it stands workers skip them, however often they are sent.
        """
        if self._tracker.ended is not None:
            producer.send(self._topics.jobs, [NewRecord(encode(Resumed(self._job)), key=self._job.encode())])
            producer.flush()
            self._tracker.catch_up()

    def _end(self, producer: Producer) -> bool:
        """Enter into the register that the job is over, so that no worker takes up its tasks again.

        False: dead letters were replayed just before it was entered, so it is not over.
        """
        ledger = self._ledger
        with self._tracker.changed:
            state = state_of(ledger)
            if state not in ("done", "incomplete"):
                return True  # dead letters are replayed already
            totals = (ledger.written, ledger.dead, ledger.retried, ledger.nbytes)
            newest = self._tracker.last_result
        changed = self._complete() if state == "done" else None
        ended = Ended(self._job, state if changed is None else "failed", *totals, newest=newest)
        producer.send(self._topics.jobs, [NewRecord(encode(ended), key=self._job.encode())])
        producer.flush()
        if changed is not None:
            raise changed
        if state == "done":
            return True
        self._tracker.catch_up()
        return state_of(ledger) == state

    def _complete(self) -> SourceChangedError | None:
        """Do what is left behind the last task, or return what has changed behind it.

        Each task looks at its source after reading.
        """
        try:
            check_sources(self._plan.stages)
            seal_shards(self._plan.stages)
        except SourceChangedError as error:
            return error
        remove_scratch(self._job, self._plan.stages)
        return None

    def _compact(self) -> None:
        try:
            compact(self._broker, self._topics)
        except StreamzarrError as error:
            _log.warning("what is known of finished jobs could not be compacted: %s", error)

    def _tidy(self, *steps: Callable[[], None]) -> None:
        try:
            for step in steps:
                step()
        except StreamzarrError as error:
            # Nothing depends on it: what is left over takes space, and the next job's end takes it away.
            _log.warning("not all that job %s leaves could be tidied up: %s", self._job, error)

    def _trim(self) -> None:
        """Remove the tasks that no worker reads again; what failed of them is whole in the dead letters."""
        committed = self._broker.committed(self._topics.group, self._topics.tasks)
        self._broker.trim(self._topics.tasks, committed)

    def _collect_stale(self) -> None:
        """Remove what killed workers left in the targets."""
        for stage in self._plan.stages:
            open_store(stage.target).collect_stale()

    @property
    def _ended(self) -> bool:
        if self._tracker.failure is not None:
            raise self._tracker.failure
        return self._stop.requested
