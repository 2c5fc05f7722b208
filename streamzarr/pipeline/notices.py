"""What a running pipeline tells other processes of partitions that pause, and hears from them."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from streamzarr.errors import describe
from streamzarr.flow.control import Control
from streamzarr.flow.pausing import PausedPartition
from streamzarr.queue.base import Broker, Producer, Reader
from streamzarr.queue.letters.pauses import PauseNotice, ordered
from streamzarr.runtime import Runtime, Thread

_log = logging.getLogger(__name__)

LOOK: Final = 0.5
"""Seconds that a look for orders takes, at most: how long closing takes as well."""
CLOSE: Final = 4 * LOOK
AGAIN: Final = 5.0
"""Seconds until the topic is tried again that could not be read or written."""


class Notices:
    """Tells on the topic of the dead letters which partitions pause, and obeys when one shall go on.

    Threads: :meth:`tell` is called by the one that drives the pipeline, and does not block. A thread of its
    own reads and writes, from the first pause on. :meth:`close` blocks for two seconds at most.

    Parameters
    ----------
    topic
        Of the dead letters.
    worker
        Name of this process.
    """

    def __init__(self, broker: Broker, topic: str, worker: str, control: Control, runtime: Runtime) -> None:
        self._broker, self._topic, self._worker = broker, topic, worker
        self._control, self._runtime = control, runtime
        self._waiting: deque[PauseNotice] = deque()
        self._over = runtime.event()
        self._thread: Thread | None = None

    def tell(self, group: str, paused: PausedPartition) -> None:
        """Tell that a partition pauses; of those that were tried and pause again it was told before."""
        if paused.tries:
            return
        topic, number = paused.partition
        since = self._runtime.wall_ns() // 1_000_000
        notice = PauseNotice(group, topic, number, paused.position or 0, paused.reason, since, self._worker)
        self._waiting.append(notice)
        if self._thread is None:
            self._thread = self._runtime.thread(self._run, "streamzarr-notices")
            self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                # Orders are heard before anybody can know that one is needed.
                end = self._broker.describe(self._topic).end
                with self._broker.reader(self._topic, end) as reader, self._broker.producer() as producer:
                    while not self._over.is_set():
                        self._turn(reader, producer)
            except Exception as error:  # noqa: BLE001 - no message depends on it, and the log has it
                if self._over.is_set():
                    return
                _log.warning(
                    "%s: pauses are not told, again in %g s: %s", self._topic, AGAIN, describe(error)
                )
                self._over.wait(AGAIN)

    def _turn(self, reader: Reader, producer: Producer) -> None:
        if notices := list(self._waiting):
            producer.send(self._topic, [notice.to_record() for notice in notices])
            producer.flush()
            for _ in notices:
                self._waiting.popleft()
        for record in reader.poll(100, LOOK):
            if (partition := ordered(record)) is not None:
                self._control.resume_partitions(partition)

    def close(self) -> None:
        """End the thread; one that waits for a broker that is away ends when that answers, or not."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(CLOSE)
