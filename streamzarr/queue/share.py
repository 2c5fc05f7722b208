"""The contract of a share group: members share the records of a partition, and acknowledge each by itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, TypeAlias

from streamzarr.queue.closing import Closing
from streamzarr.queue.record import Record

Acknowledgement: TypeAlias = Literal["accept", "release", "reject"]
"""``accept``: done. ``release``: give it to somebody again. ``reject``: it cannot be worked on, ever."""


class ShareConsumer(Closing):
    """A member of a share group. Owned by one thread.

    A record is lent to one member for a time that the broker sets, and goes to another when that has passed,
    or when the member has died or released it. So there may be more members than partitions, and one slow
    record holds back no other. In return records come in **no order**, some **more than once**, and there is
    no position to commit: it cannot be the source of what has to be written exactly once.
    """

    @abstractmethod
    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records`, waiting at most `timeout` seconds for the first one.

        They are lent by the batch: while one is not acknowledged, none behind its batch are returned. ``[]``
        then comes at once.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker cannot be reached, or refuses.
        """

    @abstractmethod
    def acknowledge(self, record: Record, acknowledgement: Acknowledgement = "accept") -> None:
        """Say what became of `record`; the broker hears of it by :meth:`commit`, or the next batch.

        Raises
        ------
        ValueError
            It is not lent to us, or was acknowledged already.
        """

    @abstractmethod
    def commit(self, timeout: float = 10.0) -> None:
        """Return when the broker has stored all acknowledgements.

        Raises
        ------
        streamzarr.errors.FencedError
            Some record was not ours any more: its time had passed, so that others may have it.
        streamzarr.errors.QueueError
            The broker cannot be reached; nothing is known to be stored.
        """

    @abstractmethod
    def close(self) -> None:
        """Commit, release what is not acknowledged, and leave the group. Idempotent."""
