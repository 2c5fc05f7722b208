"""From what was read of the source to the values of one target chunk: reduce or transform, cast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.errors import LimitExceededError, TransformError, describe
from streamzarr.jobs.cast import can_cast, cast
from streamzarr.jobs.downsample import downsample
from streamzarr.jobs.nodata import parse_nodata
from streamzarr.jobs.numbering import Index, Region, source_region
from streamzarr.jobs.params import decode_params
from streamzarr.jobs.transforms import find_transform
from streamzarr.jobs.wire import Stage
from streamzarr.limits import Limits
from streamzarr.zarr import Array


def check_region(source: Array, region: Region, limits: Limits) -> None:
    """Refuse a part of the source that is too large to be held; raises ``LimitExceededError``."""
    cells = math.prod(part.stop - part.start for part in region)
    if (nbytes := cells * source.dtype.itemsize) > limits.max_chunk_bytes:
        raise LimitExceededError(
            f"one target chunk is made of {nbytes} bytes of {source.url}, expected at most "
            f"{limits.max_chunk_bytes}; use smaller chunks or a smaller factor"
        )


def wanted_of(stage: Stage, region: Region, source: Array) -> Region:
    """Return the part of the source that `region` of the target is made of."""
    return source_region(region, stage.factor, source.shape) if stage.operation == "downsample" else region


def compute_chunk(
    stage: Stage, part: npt.NDArray[Any], source: Array, target: Array, chunk: Index
) -> npt.NDArray[Any]:
    """Return the block that belongs at `chunk` of the target, in its dtype.

    Parameters
    ----------
    part
        What the source holds there. A transform may change it, but where it is a view of a larger array: then
        it is given a copy.

    Raises
    ------
    streamzarr.errors.CastingError
        A value does not fit the target's dtype; names target, chunk and value.
    streamzarr.errors.TransformError
        The transform is unknown, or returned what is no such block.
    """
    where = f"{stage.target}: chunk {list(chunk)}"
    if stage.operation == "downsample":
        part = downsample(part, stage.factor, stage.method, parse_nodata(stage.nodata, source.metadata))
    elif stage.operation == "map" and stage.transform is not None:
        own = part if part.base is None else part.copy(order="C")
        return transformed(stage, own, target, where)
    return cast(np.asarray(part), target.dtype, stage.casting, where)


def transformed(stage: Stage, block: npt.NDArray[Any], target: Array, where: str) -> npt.NDArray[Any]:
    """Return what the transform of a stage makes of `block`, as the target's dtype; masked cells are fill."""
    assert stage.transform is not None
    name = f"transform {stage.transform!r}"
    shape = block.shape
    values, mask = _returned(name, find_transform(stage.transform)(block, **decode_params(stage.params)))
    if values.shape != shape:
        raise TransformError(f"{name} returned shape {values.shape}, expected {shape}")
    if not can_cast(values.dtype, target.dtype, stage.casting):
        raise TransformError(
            f"{name} returned dtype {values.dtype}, expected one that casts to {target.dtype} by "
            f"casting={stage.casting!r}; submit the job with dtype= to store another one"
        )
    if mask is None:
        return cast(values, target.dtype, stage.casting, where)
    if (fill := target.fill_value) is None:
        raise TransformError(f"{name} returned masked cells, and {stage.target} has no fill value for them")
    # What lies under the mask is nobody's value: it need not fit.
    shown = cast(values[~mask], target.dtype, stage.casting, where)
    result = np.full(shape, fill, target.dtype)
    result[~mask] = shown
    return result


def _returned(name: str, result: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Return the values of what a transform returned, and which are masked; None when none is."""
    if result is None:
        raise TransformError(
            f"{name} returned None, expected an array; a block changed in place is returned too"
        )
    masked = isinstance(result, np.ma.MaskedArray)
    try:
        values = np.asarray(result.data if masked else result)
    except Exception as error:
        # Nested lists of unequal lengths, or whatever an object's __array__ raises.
        raise TransformError(
            f"{name} returned a {type(result).__name__} that is no array: {describe(error)}"
        ) from error
    mask = np.ma.getmaskarray(result) if masked else None
    if mask is None or not np.ascontiguousarray(mask).view(np.bool_).any():
        return values, None
    if values.dtype.names is not None:
        raise TransformError(f"{name} returned masked records, expected records without a mask")
    return values, mask


def decoded_bytes(block: npt.NDArray[Any]) -> int:
    """Return the bytes of all elements; of strings in UTF-8 and bytes of any length, what they hold.

    >>> decoded_bytes(np.array([b"ab", b"c"], object)), decoded_bytes(np.zeros(3, "i4"))
    (3, 12)
    """
    if block.dtype.kind == "O":
        return sum(map(len, block.flat))
    if block.dtype.kind == "T":
        return sum(len(text.encode()) for text in block.flat)
    return block.nbytes
