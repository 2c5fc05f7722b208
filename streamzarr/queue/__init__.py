"""Topics of partitions of records: brokers, offsets, retry and dead letters.

>>> from streamzarr.queue import open_broker
"""

from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import (
    Broker,
    Consumer,
    GroupInfo,
    Headers,
    NewRecord,
    Offsets,
    Producer,
    Reader,
    RebalanceListener,
    Record,
    TopicIdentity,
    TopicInfo,
    TopicPartition,
)
from streamzarr.queue.columns import Columns
from streamzarr.queue.deadletter import DeadLetter, dead_letter_topic
from streamzarr.queue.letters import DeadLetterQueue, LetterFilter
from streamzarr.queue.offsets import OffsetWindow
from streamzarr.queue.open import open_broker
from streamzarr.queue.retry import RetryPolicy, is_transient
from streamzarr.queue.share import ShareConsumer

__all__ = [
    "AtomicWriter",
    "Broker",
    "Columns",
    "Consumer",
    "DeadLetter",
    "DeadLetterQueue",
    "GroupInfo",
    "Headers",
    "LetterFilter",
    "NewRecord",
    "OffsetWindow",
    "Offsets",
    "Producer",
    "Reader",
    "RebalanceListener",
    "Record",
    "RetryPolicy",
    "ShareConsumer",
    "TopicIdentity",
    "TopicInfo",
    "TopicPartition",
    "dead_letter_topic",
    "is_transient",
    "open_broker",
]
