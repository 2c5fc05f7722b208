"""A job in the hands of the one who submitted, resumed or watches it."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Self

from streamzarr.errors import ConfigError, QueueError, SourceChangedError
from streamzarr.hints import hint
from streamzarr.jobs.claim import check_still_its
from streamzarr.jobs.drive import JobDriver
from streamzarr.jobs.emit import pending_tasks
from streamzarr.jobs.known import JobEntry
from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.pin import check_sources
from streamzarr.jobs.progress import ProgressSink, progress_sink
from streamzarr.jobs.register import append_event
from streamzarr.jobs.report import JobReport, JobState, state_of
from streamzarr.jobs.shards import check_streams
from streamzarr.jobs.spans import NOTHING, Spans
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.track import Tracker
from streamzarr.jobs.wire import Cancelled, Ended, Resumed
from streamzarr.options import Option, number
from streamzarr.queue.base import Broker
from streamzarr.runtime import Deadline

DEFAULT_MAX_LAG = 2000
GRACE_SECONDS = 2.0
"""So long whoever drives a job may take to enter its end; then a watcher does it."""


class JobHandle:
    """Emits a job's tasks and follows their results, each on a thread of its own.

    Any thread may call any method. The threads are daemons: when the process ends, or is killed, the job
    stays where it is and :func:`streamzarr.jobs.resume` goes on. Use it as a context manager, or call
    :meth:`close`.
    """

    def __init__(
        self,
        broker: Broker,
        topics: JobTopics,
        entry: JobEntry,
        *,
        max_lag: int = DEFAULT_MAX_LAG,
        owns_broker: bool = False,
    ) -> None:
        self._broker = broker
        self._owns_broker = owns_broker
        self._control = broker.runtime.condition()  # one cancel, resume or close at a time; reentrant
        self._closed = False
        self._workers = 0
        self._topics = topics
        self._submitted = entry.submitted
        self._max_lag = max_lag
        self._plan = Numbering.of(entry.submitted.stages)
        self._ledger = Ledger(self._plan.ends)
        self._tracker = Tracker(broker, topics, entry, self._ledger)
        self._tracker.start()
        self._driver: JobDriver | None = None

    @property
    def id(self) -> str:
        """The job's id, a ULID."""
        return self._submitted.job

    @property
    def plan(self) -> Numbering:
        """Stages of the job, and the numbers of their chunks."""
        return self._plan

    # -- what a user does with it ------------------------------------------------------------------

    def progress(self) -> JobReport:
        """Return where the job stands, as far as results have arrived; asks the broker for the workers."""
        # While the broker is away the last figures are the best there are; `wait` says so when it stays away.
        with suppress(QueueError):
            self._workers = self._broker.members(self._topics.group)
        with self._tracker.changed:
            ledger = self._ledger
            known = self._lost_end
            state = self._state()
            running, now = state == "running", self._broker.runtime.wall_ns() // 1_000_000
            latest = now if running else self._tracker.last_result
            return JobReport(
                job=self.id,
                kind=self._submitted.kind,
                state=state,
                tasks=ledger.tasks,
                emitted=self._driver.emitted if self._driver else 0,
                written=known.written if known else ledger.written,
                dead=known.dead if known else ledger.dead,
                skipped=ledger.skipped,
                retried=known.retried if known else ledger.retried,
                bytes=known.nbytes if known else ledger.nbytes,
                seconds=max(0, latest - self._submitted.created) / 1000,
                in_flight=self._driver.in_flight if self._driver else 0,
                workers=self._workers,
                created=self._submitted.created,
                malformed=self._tracker.malformed,
                unknown=ledger.tasks - ledger.decided if self._tracker.lost and not known else 0,
            )

    def wait(self, timeout: float | None = None, *, progress: bool | ProgressSink = False) -> JobReport:
        """Wait until every chunk is written or dead, the job is cancelled, or `timeout` seconds have passed.

        Parameters
        ----------
        timeout
            Seconds; 0 only looks.
        progress
            True shows a bar in a terminal and plain lines in a pipe; or a function that is given each report.

        Raises
        ------
        streamzarr.errors.ConfigError
            `timeout` is no number of seconds, the handle is closed, or somebody had the job forgotten.
        streamzarr.errors.SourceChangedError
            All is written, but the source has changed meanwhile: what was written may be of both.
        streamzarr.errors.StreamzarrError
            Emission failed for good, e.g. the broker is gone; :meth:`resume` goes on from there.
        """
        if timeout is not None:
            timeout = number("timeout", timeout, Option("", minimum=0, infinite=True))
        deadline = Deadline(self._broker.runtime, timeout)
        worker = hint("worker", broker=self._broker.url, prefix=self._topics.prefix)
        with progress_sink(progress, worker, self._broker.runtime) as show:
            while True:
                left = deadline.left
                step = 0.25 if show or timeout is not None else 1.0
                over = self._tracker.wait_for(self._is_over, min(step, left))
                if show or over or left == 0.0:
                    report = self.progress()
                    if show:
                        show(report)
                    if over or left == 0.0:
                        self._raise_failure()
                        if over and report.state == "done":
                            self._end(left)
                        return report

    def cancel(self) -> JobReport:
        """Stop emission and have workers skip what is still queued; chunks written stay.

        A job that is done stays done.
        """
        with self._control:
            self._check_open()
            self._halt()
            append_event(self._broker, self._topics, Cancelled(self.id))
            self._tracker.catch_up()
            return self.progress()

    def resume(self) -> Self:
        """Go on where the job stands: send tasks for all chunks that are not decided nor still queued.

        Dead letters stay dead; ``streamzarr dlq replay`` sends those again.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            The source is not the one any more that the job was submitted for: submit the job again.
        streamzarr.errors.ConfigError
            A later job has taken the target over.
        """
        with self._control:
            self._check_open()
            self._halt()
            self._tracker.catch_up()
            if self._ledger.written < self._ledger.tasks:
                check_still_its(self._broker, self._topics, self._submitted)
                check_sources(self._submitted.stages)
                check_streams(self._submitted.stages)
            append_event(self._broker, self._topics, Resumed(self.id))
            # The queue first, the results second: what is decided in between is then in both.
            pending = pending_tasks(self._broker, self._topics, self.id)
            self._tracker.catch_up()
            self.start(pending)
            return self

    def start(self, pending: Spans = NOTHING) -> None:
        """Begin to emit, leaving out the chunks of `pending` tasks, which are queued already."""
        self._drive(pending)

    def catch_up(self) -> None:
        """Return when all results that are on the topic now are taken into account."""
        self._check_open()
        self._tracker.catch_up()

    def close(self) -> None:
        """Stop emitting and following; the job itself stays as it is, whoever waits is told. Idempotent."""
        with self._control:
            self._halt()
            self._tracker.close()
            with self._tracker.changed:
                self._closed = True
                self._tracker.changed.notify_all()
            if self._owns_broker:
                self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- under the tracker's condition ---------------------------------------------------------------

    def _state(self) -> JobState:
        state = state_of(self._ledger, cancelled=self._tracker.cancelled)
        if self._source_changed:
            return "failed"  # also where every task was written
        if state == "open" and self._lost_end is not None:
            return "incomplete"
        if state in ("done", "cancelled") or self._driver is None:
            return state
        if self._driver.error is not None or self._tracker.failure is not None:
            return "failed"
        return "running" if self._driver.running else state

    @property
    def _lost_end(self) -> Ended | None:
        """How the job ended, where the results that say the same were removed before they were read."""
        return self._tracker.ended if self._tracker.lost and self._driver is None else None

    @property
    def _source_changed(self) -> bool:
        """Whether that was found when all was written, here or by another driver."""
        ended = self._tracker.ended
        if self._driver is not None and isinstance(self._driver.error, SourceChangedError):
            return True
        return ended is not None and ended.state == "failed"

    def _is_over(self) -> bool:
        if self._tracker.failure is not None or self._tracker.forgotten or self._closed:
            return True
        if self._driver is None:
            # Somebody else drives the job: over when there is nothing left to wait for.
            return self._state() != "open"
        # Dead letters may have been replayed since the driver ended.
        covered = self._ledger.stages[: self._driver.covered]
        return not self._driver.running and all(stage.decided for stage in covered)

    def _drive(self, pending: Spans) -> JobDriver:
        driver = self._driver = JobDriver(
            self._broker, self._topics, self.id, self._plan, self._tracker, pending, max_lag=self._max_lag
        )
        driver.start()
        return driver

    def _halt(self) -> None:
        if self._driver is not None:
            self._driver.stop()

    def _end(self, left: float) -> None:
        """Have the job's end entered into the register, where its driver is gone."""
        with self._control:
            tracker, patience = self._tracker, min(left, GRACE_SECONDS)
            if (
                self._driver is None
                and not self._closed
                and not tracker.wait_for(lambda: tracker.done, patience)
            ):
                driver = self._drive(NOTHING)
                tracker.wait_for(lambda: not driver.running, None if left == math.inf else left)
                self._raise_failure()

    def _raise_failure(self) -> None:
        if self._tracker.failure is not None:
            raise self._tracker.failure
        if self._tracker.forgotten and not self._tracker.done:
            raise ConfigError(f"job {self.id} was forgotten: {self._topics.jobs} knows it no more")
        if self._driver is not None and self._driver.error is not None:
            raise self._driver.error
        if self._source_changed:
            raise SourceChangedError(
                f"job {self.id}: the source has changed since it was submitted, and what was written may be "
                "of both; submit the job again"
            )
        if self._state() == "open":
            self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigError(
                f"this handle of job {self.id} is closed; streamzarr.jobs.resume or open_job gives another"
            )
