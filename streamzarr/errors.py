"""Every error that streamzarr raises on purpose, as one tree.

A message says what was got, what was expected, and where. Index errors stay
``IndexError`` and wrong argument types stay ``TypeError``, as in numpy.
"""

from __future__ import annotations

import signal
import threading
from typing import Final

MAX_TEXT: Final = 4000
"""Characters of an error's message, at most, in a line of text."""
MAX_NAME: Final = 100
"""Likewise of its class's name."""


class StreamzarrError(Exception):
    """Base of all errors raised by streamzarr."""


class ConfigError(StreamzarrError, ValueError):
    """An argument, option or configuration file that cannot be used as given."""


class LimitExceededError(StreamzarrError):
    """Input asks for more than a bound of :mod:`streamzarr.limits` allows."""


class BufferFullError(LimitExceededError):
    """What was emitted can be kept neither in memory nor elsewhere; says where and how much there is."""


class MetadataError(StreamzarrError, ValueError):
    """A metadata document that is not valid Zarr, or asks for what is not supported."""


class NodeNotFoundError(StreamzarrError, FileNotFoundError, KeyError):
    """No array or group at this path."""

    __str__ = StreamzarrError.__str__  # KeyError would print repr(message)


class NodeExistsError(StreamzarrError, FileExistsError):
    """An array or group is already at this path."""


class ContainsArrayError(NodeExistsError):
    """An array is where something else was to be: at this path, or above it."""


class ContainsGroupError(NodeExistsError):
    """A group is where something else was to be."""


class CodecError(StreamzarrError):
    """A chunk could not be encoded or decoded; names array, chunk and codec."""


class ChecksumError(CodecError):
    """Stored bytes do not match the checksum stored beside them."""


class DecompressionLimitError(CodecError, LimitExceededError):
    """A chunk decompresses to more, for its stored size, than the limits allow: it may be made to do harm."""


class StoreError(StreamzarrError):
    """A store failed to read or write; names store and key.

    Transient unless a subclass says otherwise: the same call may succeed later.
    """


class KeyNotFoundError(StoreError, KeyError):
    """The key holds no value."""

    __str__ = StoreError.__str__  # KeyError would print repr(message)


class PreconditionFailedError(StoreError):
    """A conditional put or delete found another value than the caller expected."""


class UnsupportedError(StoreError):
    """The store, or this way of opening it, cannot do what was asked."""


class SourceChangedError(StreamzarrError):
    """The source of a job is gone, or another array than the one that it was submitted for."""


class FencedError(StreamzarrError):
    """A newer writer has taken over; this one must stop and changes nothing."""


class StreamGoneError(FencedError):
    """The stream was removed, and perhaps another one made in its place; no writer makes it again."""


class QueueError(StreamzarrError):
    """A broker refused or could not be reached; names broker, topic and partition."""


class TopicNotFoundError(QueueError):
    """The topic does not exist; streamzarr never creates one by mistyping."""


class AccessDeniedError(QueueError):
    """The broker does not let us: credentials or permissions are missing. Asking again will not help."""


class DamagedError(QueueError):
    """What a broker keeps cannot be read as it was written; asking again will not help."""


class QueueReplacedError(DamagedError, ConfigError):
    """The file of a queue was deleted or replaced while it was in use."""


class TopicReplacedError(DamagedError):
    """A topic was deleted and made anew while it was read: positions of before mean other records now."""

    def __init__(self, broker: str, topic: str) -> None:
        super().__init__(broker, topic)
        self.broker, self.topic = broker, topic

    def __str__(self) -> str:
        return (
            f"{self.broker}: topic {self.topic!r} was deleted and made anew while it was read; "
            "whoever reads it has to begin again, at the beginning of the new one"
        )


class DamagedRecordError(DamagedError):
    """Stored records of one partition are damaged.

    Parameters
    ----------
    broker, topic, partition
        Where.
    offset
        First offset that cannot be read.
    resume
        First offset behind the damage.
    reason
        What is wrong with them.
    """

    def __init__(
        self, broker: str, topic: str, partition: int, offset: int, resume: int, reason: str
    ) -> None:
        super().__init__(broker, topic, partition, offset, resume, reason)
        self.broker, self.topic, self.partition = broker, topic, partition
        self.offset, self.resume, self.reason = offset, resume, reason

    def __str__(self) -> str:
        return (
            f"{self.broker}: {self.topic}[{self.partition}]: the records from offset {self.offset} to "
            f"{self.resume - 1} are damaged ({self.reason})"
        )


class OffsetOutOfRangeError(QueueError):
    """A position is outside of what its partition holds; it stays so until somebody seeks.

    Parameters
    ----------
    broker, topic, partition
        Where.
    position
        The offset that was to be read.
    begin, end
        First offset still there, and the one that the next record will get.
    """

    @property
    def resume(self) -> int:
        """Where whoever accepts the loss goes on: at the first offset still there."""
        return self.position if self.begin <= self.position <= self.end else self.begin

    def __init__(self, broker: str, topic: str, partition: int, position: int, begin: int, end: int) -> None:
        super().__init__(broker, topic, partition, position, begin, end)
        self.broker, self.topic, self.partition = broker, topic, partition
        self.position, self.begin, self.end = position, begin, end

    def __str__(self) -> str:
        if self.position < self.begin:
            gone = f"{self.position} to {self.begin - 1}"
            why = f"{self.begin - self.position} records, {gone}, were trimmed or have expired"
        elif self.position > self.end:
            why = "never written, or the topic was made anew"
        else:
            why = "it was, a moment ago"  # the cluster has chosen another leader
        return (
            f"{self.broker}: position {self.position} of {self.topic}[{self.partition}] is out of range, "
            f"it holds the offsets {self.begin} to {self.end}: {why}"
        )


class SchemaRegistryError(QueueError):
    """A schema registry is away, or refuses us: nothing is wrong with the messages that need it."""


class MessageError(QueueError, ValueError):
    """A message of a topic that does not have the expected form."""


class TransformError(StreamzarrError):
    """A transform is unknown, was given bad parameters, or returned a wrong block."""


class FailedError(StreamzarrError):
    """A message of a pipeline failed: its handler said so, or nobody said what is to become of it."""


class HandlerError(ConfigError):
    """A handler of a pipeline did not return the messages that it was given."""


class CastingError(StreamzarrError, ValueError):
    """A value, or all values of a dtype, that another dtype cannot hold; names array, chunk and value."""


class LateError(StreamzarrError):
    """A message of a window that is over, beyond the allowed lateness."""


class AheadError(StreamzarrError):
    """A message whose event time is further ahead of the clock than allowed."""


class WorkerError(StreamzarrError):
    """A worker process died more often than its restart budget allows; names worker, exit and last words."""


class ProcessError(StreamzarrError):
    """The machine does not let a process work: it cannot be started, or there is no memory to share."""


class ProcessDiedError(StreamzarrError):
    """A process ended while it worked on a message, as one that takes too much memory does."""


def describe(error: BaseException) -> str:
    r"""Return any exception whatever as ``Class: message``, in one line of bounded length.

    Exceptions are foreign code: their ``__str__`` may raise, return a gigabyte, or what has no bytes.

    Examples
    --------
    >>> describe(ValueError("not a\nnumber")), describe(TimeoutError())
    ('ValueError: not a number', 'TimeoutError')
    """
    message = " ".join(message_of(error, MAX_TEXT).split())
    return f"{name_of(error)}: {message}" if message else name_of(error)


def name_of(error: BaseException) -> str:
    """Return the name of an exception's class, cut to `MAX_NAME` characters."""
    # Not `type(error).__name__`: a metaclass may answer to that.
    name: str = type.__dict__["__name__"].__get__(type(error))
    return _cut(name, MAX_NAME)


def message_of(error: BaseException, limit: int) -> str:
    """Return what an exception says, cut to `limit` characters, each of which can be encoded.

    Examples
    --------
    >>> class Broken(Exception):
    ...     def __str__(self):
    ...         raise RuntimeError
    >>> message_of(Broken(), 100)
    '(its text cannot be had: str() raised RuntimeError)'
    """
    try:
        text = str.__str__(str(error))  # a plain string, where `__str__` returned one of a class of its own
    except BaseException as second:
        if is_interrupt(second):
            raise
        text = f"(its text cannot be had: str() raised {name_of(second)})"
    return _cut(text, limit)


def is_interrupt(error: BaseException) -> bool:
    """Tell whether this is Ctrl-C as Python itself delivers it, which ends the program and not one message.

    That is a ``KeyboardInterrupt`` on the main thread while SIGINT has Python's own handler. Whatever else a
    user's function throws, ``SystemExit`` and ``CancelledError`` included, says that it failed.
    """
    return (
        issubclass(type(error), KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def _cut(text: str, limit: int) -> str:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut.encode(errors="backslashreplace").decode()
