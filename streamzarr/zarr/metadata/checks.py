"""Checks that both formats share. `where` is the document's name, for the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import Codec
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.grids.rectilinear import RectilinearChunks


def check_lengths(document: dict[str, Any], key: str, where: str, *, least: int) -> tuple[int, ...]:
    """Return the list of integers under `key`, each at least `least`."""
    return check_lengths_of(document.get(key), f"{where}: {key}", least=least)


def check_lengths_of(value: Any, where: str, *, least: int) -> tuple[int, ...]:
    """Return `value` as a tuple of integers, each at least `least`."""
    if not isinstance(value, list | tuple):
        raise MetadataError(f"{where}: expected a list of integers, got {value!r}")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number < 2**63:
            raise MetadataError(f"{where}: expected integers of at least {least}, got {number!r}")
    return tuple(value)


def check_rank(shape: tuple[int, ...], chunks: tuple[int, ...], where: str, limits: Limits) -> None:
    """Check that shape and chunk shape have one rank, not too high, and that chunks have lengths.

    Chunks of length 0 are valid along axes of length 0, and zarr-python writes such (trap T24).
    """
    if len(shape) > limits.max_ndim:
        raise LimitExceededError(f"{where}: {len(shape)} dimensions, at most {limits.max_ndim} allowed")
    if len(shape) != len(chunks):
        raise MetadataError(f"{where}: shape {list(shape)} and chunk shape {list(chunks)} differ in rank")
    for length, chunk in zip(shape, chunks, strict=True):
        if length and not chunk:
            raise MetadataError(f"{where}: shape {list(shape)} has chunks of length 0: {list(chunks)}")


def check_coverage(
    shape: tuple[int, ...], chunk_grid: RegularChunks | RectilinearChunks, codecs: Sequence[Codec], where: str
) -> None:
    """Check that rectilinear chunks cover an array of `shape`, and that shards of every length can be cut."""
    if isinstance(chunk_grid, RegularChunks):
        return
    inner = codecs[0].chunk_shape if isinstance(codecs[0], ShardingCodec) else (1,) * len(shape)
    for axis, (length, unit) in enumerate(zip(shape, inner, strict=True)):
        if chunk_grid.covered(axis) < length:
            raise MetadataError(
                f"{where}: axis {axis}: chunks cover {chunk_grid.covered(axis)} of {length} elements"
            )
        if any(shard % unit for shard in chunk_grid.lengths(axis)):
            raise MetadataError(
                f"{where}: axis {axis}: shards of {sorted(chunk_grid.lengths(axis))} "
                f"cannot be divided into chunks of {unit}"
            )


def check_attributes(value: Any, where: str) -> dict[str, Any]:
    """Return `value` as attributes."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MetadataError(f"{where}: expected attributes as an object, got {value!r}")
    return value
