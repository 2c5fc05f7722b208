"""The contract of writes to several topics that happen together, or not at all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from streamzarr.queue.closing import Closing
from streamzarr.queue.record import NewRecord


class AtomicWriter(Closing):
    """Writes records of several topics as one: readers find all of them, or none. Owned by one thread.

    Of all writers of one name, in whatever process, only the newest one writes. When it has been made,
    nothing of the others is under way any more: either it can be read, or it never will be. So whoever reads
    what was written *after* making a writer, and writes what is still missing, writes everything once.
    """

    @abstractmethod
    def write(self, records: Sequence[tuple[str, NewRecord]]) -> None:
        """Write these records, each to its topic; durable when it returns.

        Blocks until the broker has answered, at most about a minute.

        Raises
        ------
        streamzarr.errors.FencedError
            There is a newer writer of this name; nothing was written.
        streamzarr.errors.TopicNotFoundError, streamzarr.errors.MessageError
            A topic is missing or a record cannot be taken; nothing was written.
        streamzarr.errors.QueueError
            The broker refused or did not answer. Whether they were written only a new writer can tell, by
            reading; this one writes no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection. Idempotent.

        When it returns, all that was written can be read; on Kafka it waits for that 10 seconds at most, as
        where others have begun writing together to the same partitions and do not end.
        """
