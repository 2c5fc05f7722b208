"""Driving a job: stage after stage, emit what is to be done and wait until it is settled."""

from __future__ import annotations

import logging
import threading
from array import array

from streamzarr.errors import StreamzarrError
from streamzarr.flow import LagDemand, Stop
from streamzarr.jobs.emit import TaskEncoder, emit
from streamzarr.jobs.ledger import TaskState
from streamzarr.jobs.plan import Plan
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.track import Tracker
from streamzarr.queue.base import Broker
from streamzarr.stores import open_store

_log = logging.getLogger(__name__)


class JobDriver:
    """Emits the open tasks of one job on a daemon thread of its own.

    ``running``, ``error``, ``emitted`` and ``in_flight`` may be read from any thread; the tracker's
    condition is notified when the driver ends.

    Parameters
    ----------
    pending
        Tasks that are on the topic already, from an earlier driver of the same job.
    max_lag
        How many tasks may be on the topic and not yet committed by the workers.
    """

    def __init__(
        self,
        broker: Broker,
        topics: JobTopics,
        job: str,
        plan: Plan,
        tracker: Tracker,
        pending: frozenset[int],
        *,
        max_lag: int,
    ) -> None:
        self.error: BaseException | None = None
        self.running = True
        self.emitted = 0
        self.covered = range(0)
        """The tasks of all stages that were begun and not broken off."""
        self._broker = broker
        self._topics = topics
        self._job = job
        self._plan = plan
        self._tracker = tracker
        self._ledger = tracker.ledger
        self._pending = pending
        self._max_lag = max_lag
        self._resent = 0
        queued = len(pending.intersection(tracker.ledger.open_tasks(range(plan.tasks))))
        self._settled_before = tracker.ledger.settled - queued
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name=f"streamzarr-emit-{job}", daemon=True)

    @property
    def in_flight(self) -> int:
        """Tasks sent, now or by an earlier driver, and not settled."""
        settled = self._ledger.settled - self._settled_before
        return max(0, self.emitted - self._resent - settled) if self.running else 0

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
            encoder = TaskEncoder(self._job, self._plan, self._broker.describe(self._topics.tasks).partitions)
            demand = LagDemand(self._broker, self._topics.tasks, self._topics.group, max_lag=self._max_lag)
            for stage in range(len(self._plan.stages)):
                span = self._plan.span(stage)
                complete = self._drive(span, encoder, demand)
                if not self._stop.requested:
                    self.covered = range(span.stop)
                if not complete:
                    break
            if not self._stop.requested:
                self._tidy()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job, whatever it is
            self.error = error
        finally:
            with self._tracker.changed:
                self.running = False
                self._tracker.changed.notify_all()

    def _drive(self, span: range, encoder: TaskEncoder, demand: LagDemand) -> bool:
        """Emit one stage and wait until it is settled; tell whether the next one may begin."""
        todo = self._take(span, self._pending)
        while not self._stop.requested:
            self._emit(todo, encoder, demand)
            self._tracker.wait_for(lambda: self._ended or self._is_settled(span) or self._has_skipped(span))
            if self._is_settled(span):
                break
            # A worker that had not yet heard of a resumption skips tasks: those are sent again.
            todo = self._take(span, frozenset(span))
            self._resent += len(todo)
        # A later stage reads what this one wrote: with a chunk missing it must not begin.
        return not self._stop.requested and self._ledger.written_in(span) == len(span)

    def _take(self, span: range, pending: frozenset[int]) -> array[int]:
        """Return the tasks to send: open ones that are not `pending`, and skipped ones in any case."""
        with self._tracker.changed:
            state = self._ledger.state
            todo = array(
                "Q",
                (
                    task
                    for task in self._ledger.open_tasks(span)
                    if task not in pending or state(task) is TaskState.SKIPPED
                ),
            )
            self._ledger.reopen(todo)
            return todo

    def _emit(self, todo: array[int], encoder: TaskEncoder, demand: LagDemand) -> None:
        def count(sent: int) -> None:
            self.emitted += sent

        if todo:
            emit(self._broker, self._topics, encoder, todo, demand, self._stop, count)

    def _tidy(self) -> None:
        """Remove what killed workers left in the targets, and the tasks that no worker will read again."""
        try:
            for stage in self._plan.stages:
                open_store(stage.target).collect_stale()
            # What failed of the committed tasks is whole in the dead letters.
            committed = self._broker.committed(self._topics.group, self._topics.tasks)
            self._broker.trim(self._topics.tasks, committed)
        except StreamzarrError as error:
            # All chunks are written: what is left over takes space, and the next job's end takes it away.
            _log.warning("job %s is settled, but not all could be tidied up: %s", self._job, error)

    @property
    def _ended(self) -> bool:
        if self._tracker.failure is not None:
            raise self._tracker.failure
        return self._stop.requested

    def _is_settled(self, span: range) -> bool:
        return self._ledger.settled_in(span) == len(span)

    def _has_skipped(self, span: range) -> bool:
        return self._ledger.skipped > 0 and any(
            self._ledger.state(task) is TaskState.SKIPPED for task in self._ledger.open_tasks(span)
        )
