"""Who keeps positions: where reading of a partition begins, and what was acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streamzarr.queue.base import Consumer, TopicPartition


class Committer(Protocol):
    """Keeps the positions of the partitions of one topic source.

    All methods run on the chain's thread, inside a poll or a turn. They may block for as long as a request
    to what keeps the positions takes, well below the session timeout. What they raise is handled as the
    errors of a broker are: transient ones are tried again, others break the chain.

    One that has ``every`` is asked to commit so often, in seconds; one that has ``joined(consumer)`` is told
    of the consumer first of all. What ``take_back()`` returns, asked at every turn, are partitions to begin
    again with, by `start`: somebody was taken for their owner, and they are ours. One that has a ``contact``
    tells by it how it stands with what it keeps positions in.
    """

    def start(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return where reading of newly assigned partitions begins; of absent ones at the group's offsets.

        From here on the caller is the partitions' owner: whoever was before must be refused by `commit`.
        """

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Keep these positions, durably when it returns.

        Raises
        ------
        streamzarr.errors.FencedError
            Somebody else owns one of the partitions now; nothing of it has changed.
        """

    def ended(self, partitions: Sequence[TopicPartition]) -> None:
        """Hear that these partitions are not ours any more, after the last `commit` for them."""


class GroupOffsets:
    """The committed offsets of the consumer group: a :class:`Committer`, and the default.

    Parameters
    ----------
    notes
        What is to be kept with the positions; the caller changes it before it has them committed.
    """

    def __init__(self, consumer: Consumer, notes: Mapping[TopicPartition, str]) -> None:
        self._consumer, self._notes = consumer, notes

    def start(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Leave all to the consumer, which begins at the group's offsets."""
        return {}

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit to the group."""
        notes = {each: self._notes[each] for each in positions if each in self._notes}
        self._consumer.commit(positions, notes)

    def ended(self, partitions: Sequence[TopicPartition]) -> None:
        """Do nothing: the group knows."""
