"""Following one job: its results and what is decided of it, kept up to date by a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from streamzarr.errors import MessageError, QueueError
from streamzarr.jobs.known import JobEntry, is_late
from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import (
    Announced,
    Cancelled,
    Ended,
    Forgotten,
    Notice,
    Resumed,
    Snapshot,
    decode_notice,
    decode_results,
)
from streamzarr.queue.base import Broker, Reader, Record, TopicPartition
from streamzarr.queue.retry import is_transient

POLL_SECONDS = 0.05
"""How late :meth:`Tracker.close` is heard, which every job waits for at its end."""
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""So long a broker may be away; then whoever waits for the job is told."""


class Tracker:
    """Applies the results of one job to its :class:`Ledger`, and hears what anyone decides of it.

    The thread that :meth:`start` starts owns the reader. Everything else may be called from any thread; the
    ledger is read and changed only under ``changed``, a condition that is notified after every change.

    Results that were removed before they were read are passed over, and :attr:`lost` says so.
    """

    def __init__(self, broker: Broker, topics: JobTopics, entry: JobEntry, ledger: Ledger) -> None:
        self.changed = broker.runtime.condition()
        self.ledger = ledger
        self.malformed = 0
        """Records of the results topic that are not results; they belong to no job."""
        self.last_result = 0
        """Time of the newest result, milliseconds since the epoch."""
        self.lost = False
        """Whether results were removed from the topic that this job may have had."""
        self.losses = 0
        """How often that was found."""
        self.cancelled = entry.cancelled
        """Whether the newest event of the job is a cancellation."""
        self.ended = entry.ended
        """How the job ended, unless it goes on."""
        self.forgotten = False
        """Whether the register knows the job no more."""
        self.on_cancelled: Callable[[], None] | None = None
        """Called on the tracker's thread, under ``changed``, when the job is cancelled or forgotten, here or
        elsewhere."""
        self.error: QueueError | None = None
        """Why the results cannot be read at present."""
        self.failure: Exception | None = None
        """Why they will not be read any more: the thread has ended."""
        self._broker = broker
        self._topics = topics
        self._job = job = entry.submitted.job
        self._key = job.encode()
        self._position = entry.results_from
        self._heard = entry.heard
        self._registered = entry.heard > 0  # else our registration is still to come by
        self._end(entry.ended)
        self._failing_since = 0.0
        self._closed = broker.runtime.event()
        self._thread = broker.runtime.thread(self._run, f"streamzarr-results-{job}")

    @property
    def done(self) -> bool:
        """Whether the register says that all is written; that is final."""
        return self.ended is not None and self.ended.state == "done"

    def start(self) -> None:
        """Begin to follow the topic."""
        self._thread.start()

    def close(self) -> None:
        """Stop following; returns when the thread has ended (a poll lasts 0.05 s at most)."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `predicate` holds (it is called under ``changed``); tell whether it does."""
        with self.changed:
            return self.changed.wait_for(predicate, timeout)

    def catch_up(self, timeout: float = 30.0) -> None:
        """Return when every result and event that is on the topics now has been taken in.

        Raises
        ------
        streamzarr.errors.QueueError
            The topics could not be read to their end within `timeout` seconds.
        """
        results, events = self._topics.results, self._topics.jobs
        # In this order: a replay tells the results first, so whoever has heard that the job is reopened has
        # heard of which tasks.
        heard, end = self._broker.describe(events).end[0], self._broker.describe(results).end[0]
        self.wait_for(
            lambda: self.failure is not None or (self._position >= end and self._heard >= heard), timeout
        )
        if self.failure is not None:
            raise self.failure
        if self._position < end or self._heard < heard:
            raise self.error or QueueError(
                f"{self._broker}: read {results} to offset {self._position}, {events} to {self._heard} "
                f"in {timeout} s, expected {end} and {heard}"
            )

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._pass_over_what_was_removed()
                with (
                    self._broker.reader(self._topics.results, {0: self._position}) as results,
                    self._broker.reader(self._topics.jobs, {0: self._heard}) as events,
                ):
                    while not self._closed.is_set():
                        self._hear(events)
                        self._read(results)
            except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
                if self._has_failed(error):
                    return
                self._closed.wait(RETRY_SECONDS)

    def _pass_over_what_was_removed(self) -> bool:
        """Go on at the beginning of a topic that our position is no longer in; tell whether one is so."""
        results, events = self._topics.results, self._topics.jobs
        position = self._broker.describe(results).reading_from({0: self._position})[0]
        first = self._broker.describe(events).begin[0]
        if position == self._position and first <= self._heard:
            return False
        with self.changed:
            if position != self._position:  # also where the topic was made anew, and ends before it
                self._position = position
                self.lost = not self.done
                self.losses += 1
            # A compaction removes events only behind a snapshot, which says the same.
            self._heard = max(self._heard, first)
            self.changed.notify_all()
        return True

    def _has_failed(self, error: Exception) -> bool:
        """Note an error; tell whether there is no point in reading on."""
        now = self._broker.runtime.now()
        with suppress(QueueError):
            if isinstance(error, QueueError) and self._pass_over_what_was_removed():
                return False
        with self.changed:
            if isinstance(error, QueueError):
                self._failing_since = now if self.error is None else self._failing_since
                self.error = error
            if not is_transient(error) or now - self._failing_since > PATIENCE_SECONDS:
                self.failure = error
            self.changed.notify_all()
        return self.failure is not None

    def _hear(self, reader: Reader) -> None:
        records = reader.poll(1000, 0.0)
        position = reader.positions()[TopicPartition(self._topics.jobs, 0)]
        if position == self._heard:
            return
        with self.changed:
            for record in records:
                with suppress(MessageError):  # tells of no job
                    self._decide(record.offset, decode_notice(record.value))
            self._heard = position
            if (self.cancelled or self.forgotten) and self.on_cancelled is not None:
                self.on_cancelled()
            self.changed.notify_all()

    def _decide(self, offset: int, event: Notice) -> None:
        match event:
            case Cancelled() | Resumed() | Ended() if event.job == self._job and not self.done:
                if not is_late(event, cancelled=self.cancelled):
                    self.cancelled = isinstance(event, Cancelled)
                    self._end(event if isinstance(event, Ended) else None)
            case Forgotten() if event.job == self._job:
                self.forgotten = True
            case Announced() if event.job == self._job:
                self._registered = True
            case Snapshot() if event.at == offset and self._registered:
                ended = next((each for each in event.ended if each.job == self._job), None)
                self.cancelled = self._job in event.cancelled
                self.forgotten = not (ended or self.cancelled or self._job in event.open)
                self._end(ended or (self.ended if self.done else None))
            case _:
                pass

    def _end(self, ended: Ended | None) -> None:
        self.ended = ended
        if ended is not None and self.done:
            self.ledger.end(ended)
            self.last_result = max(self.last_result, ended.newest)
            self.lost = False

    def _read(self, reader: Reader) -> None:
        records = reader.poll(1000, POLL_SECONDS)
        position = reader.positions()[TopicPartition(self._topics.results, 0)]
        if not records and position == self._position and self.error is None:
            return
        with self.changed:
            for record in records:
                if record.key == self._key:
                    self._apply(record)
            self._position = position
            self.error = None
            self.changed.notify_all()

    def _apply(self, record: Record) -> None:
        try:
            results = decode_results(record.value)
        except MessageError:
            self.malformed += 1
            return
        self.ledger.apply(results)
        self.last_result = max(self.last_result, record.timestamp)
