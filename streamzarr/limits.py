"""Bounds on untrusted input: what a topic or a metadata document may make us do.

Sources: design promise P10; ``SECURITY.md`` lists the attacks each bound stops.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds that every reader of untrusted bytes enforces.

    Raises of the functions that use it: :class:`streamzarr.errors.LimitExceededError`.

    Examples
    --------
    >>> from streamzarr.limits import Limits
    >>> Limits(max_ndim=8).max_ndim
    8
    """

    max_metadata_bytes: int = 64 << 20
    """Size of one metadata document, bytes (consolidated metadata can be large)."""
    max_metadata_depth: int = 64
    """Nesting of one metadata document."""
    max_ndim: int = 64
    """Number of dimensions of an array; numpy's own bound."""
    max_chunk_bytes: int = 2 << 30
    """Size of one decoded chunk, bytes."""
    max_decompression_ratio: int = 1 << 24
    """Decoded bytes of a compressed chunk for each stored one. A constant chunk is compressed 30,000-fold by
    zstd and a million-fold by bz2; the default stops what is compressed several times over."""
    max_task_bytes: int = 512 << 10
    """Size of one chunk task message, bytes; with its reason as a dead letter it fits a broker's 1 MB."""
    max_tasks: int = 1 << 28
    """Chunks of one job; whoever watches it keeps a byte for each, at most."""
    max_message_bytes: int = 8 << 20
    """Size of one message of a feed, bytes, as it comes and decompressed. What holds nothing but empty arrays
    takes up to 70 times as much while it is decoded."""
    max_message_records: int = 1 << 20
    """Records in one message of a feed."""
    max_message_depth: int = 64
    """Nesting of one message of a feed."""
    max_register_bytes: int = 64 << 20
    """Memory for the jobs of one register, about; the oldest are not listed beyond it."""
    max_jobs: int = 1 << 17
    """Jobs that a worker knows to be over; it forgets the oldest beyond them."""


DEFAULT_LIMITS = Limits()
