"""Every error that streamzarr raises on purpose, as one tree.

A message says what was got, what was expected, and where. Index errors stay
``IndexError`` and wrong argument types stay ``TypeError``, as in numpy.
"""

from __future__ import annotations


class StreamzarrError(Exception):
    """Base of all errors raised by streamzarr."""


class ConfigError(StreamzarrError, ValueError):
    """An argument, option or configuration file that cannot be used as given."""


class LimitExceededError(StreamzarrError):
    """Input asks for more than a bound of :mod:`streamzarr.limits` allows."""


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


class FencedError(StreamzarrError):
    """A newer writer has taken over; this one must stop and changes nothing."""


class QueueError(StreamzarrError):
    """A broker refused or could not be reached; names broker, topic and partition."""


class TopicNotFoundError(QueueError):
    """The topic does not exist; streamzarr never creates one by mistyping."""


class MessageError(QueueError, ValueError):
    """A message of a topic that does not have the expected form."""


class TransformError(StreamzarrError):
    """A transform is unknown, was given bad parameters, or returned a wrong block."""


class WorkerError(StreamzarrError):
    """A worker process died more often than its restart budget allows; names worker, exit and last words."""
