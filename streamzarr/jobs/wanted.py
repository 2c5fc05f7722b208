"""Whether the tasks of a job are still to be carried out, as the register of jobs has it."""

from __future__ import annotations

from contextlib import suppress

from streamzarr.errors import QueueError
from streamzarr.jobs.register import Register
from streamzarr.jobs.topics import JobTopics
from streamzarr.queue.base import Broker
from streamzarr.queue.retry import patiently

REFRESH_SECONDS = 0.5
"""How late a worker hears that a job was cancelled."""

STALE_SECONDS = 2 * REFRESH_SECONDS
"""An older reading, where the thread that reads was held up or the process stopped, counts for nothing."""


class Wanted:
    """Answers of two kinds: a cheap one before each task, and one that can be relied upon.

    Whoever overwrites a target first cancels the jobs that write to it. So what the register says *after*
    something of the target was seen holds for what was seen. Thread-safe. Where the register must be read and
    the broker is away, an answer waits for it as long as the chain does: a task must not become a dead letter
    for that.
    """

    def __init__(self, broker: Broker, topics: JobTopics) -> None:
        self._register = Register(broker, topics)
        self._runtime = broker.runtime
        self._read_at = self._runtime.now()

    def refresh(self) -> None:
        """Read on in the register, unless that was done a moment ago; does not wait."""
        if (now := self._runtime.now()) - self._read_at > REFRESH_SECONDS:
            # While the broker is away work goes on: at worst some that nobody wants any more.
            with suppress(QueueError):
                self._register.refresh()
            self._read_at = now

    def lately(self, job: str) -> bool:
        """Tell by a reading that is not older than `STALE_SECONDS`; a refusal is certain."""
        if self._runtime.now() - self._read_at > STALE_SECONDS:
            return self.certainly(job)
        return patiently(lambda: self._register.wants(job), self._runtime)

    def certainly(self, job: str) -> bool:
        """Tell by the register, read to its end now.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker stays away, and it cannot be told.
        """

        def ask() -> bool:
            self._register.catch_up()
            self._read_at = self._runtime.now()
            return self._register.wants(job)

        return patiently(ask, self._runtime)

    def close(self) -> None:
        """Release the connection."""
        self._register.close()
