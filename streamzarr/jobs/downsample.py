"""Downsampling by an integer factor along each axis.

A cell of the result stands for the block of `factor` cells below it; at the far edge, where the size is not a
multiple, for the cells that are there. This is what tensorstore's ``downsample`` driver gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.jobs.nodata import is_nodata
from streamzarr.jobs.wire import Method


def downsampled_shape(shape: Sequence[int], factor: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the result.

    Examples
    --------
    >>> downsampled_shape((5, 4), (2, 2))
    (3, 2)
    """
    return tuple(-(-size // f) for size, f in zip(shape, factor, strict=True))


def check_method(method: Method, dtype: np.dtype[Any]) -> None:
    """Refuse a method that has no meaning for `dtype`; raises ``ConfigError``."""
    if method == "mean" and dtype.kind not in "iufcb":
        raise ConfigError(f"method 'mean' needs numbers, got dtype {dtype}; use 'nearest'")
    if method == "max" and dtype.kind in "cVOSUT":
        raise ConfigError(f"method 'max' needs an ordered dtype, got {dtype}; use 'nearest'")


def downsample(
    block: npt.NDArray[Any], factor: Sequence[int], method: Method, nodata: Sequence[Any] = ()
) -> npt.NDArray[Any]:
    """Return `block` reduced by `factor` along each axis, in the same dtype.

    Parameters
    ----------
    method
        ``mean``: floats and complex numbers are summed in double precision, integers exactly; integers and
        booleans are rounded half to even. ``nearest``: the first cell of each block. ``max``: the greatest;
        NaN wins, as in ``numpy.max``.
    nodata
        Values that count for nothing in ``mean`` and ``max``; a block of nothing else is the first of them.

    Examples
    --------
    >>> downsample(np.array([[1, 2, 3], [3, 4, 5]], "u1"), (2, 2), "mean")
    array([[2, 4]], dtype=uint8)
    >>> downsample(np.array([-9, 4, -9, -9], "i2"), (2,), "mean", [-9])
    array([ 4, -9], dtype=int16)
    """
    if method == "nearest":
        # ascontiguousarray would give an array without axes one.
        return np.array(_view(block, [slice(None, None, f) for f in factor]), order="C")
    valid = ~is_nodata(block, nodata) if nodata else None
    if valid is None or valid.all():
        if method == "max":
            return _fold(block, factor, np.maximum)
        return _mean(block, factor, _counts(block.shape, factor))
    # Cells that do not count: nothing to a sum, and the least there is to a maximum.
    neutral = np.zeros((), block.dtype) if method == "mean" else _least(block.dtype)
    counted = np.where(valid, block, neutral).astype(block.dtype, copy=False)
    count = _fold(valid.astype(np.int64), factor, np.add)
    if method == "max":
        result = _fold(counted, factor, np.maximum)
    else:
        result = np.asarray(_mean(counted, factor, np.maximum(count, 1)))
    result[count == 0] = nodata[0]
    return result


def _least(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return dtype.type(-np.inf)
    if dtype.kind in "mM":
        # The least count is NaT.
        return np.array(np.iinfo(np.int64).min + 1, np.int64).view(dtype.newbyteorder("="))
    return np.zeros((), dtype) if dtype.kind == "b" else np.iinfo(dtype).min


def _mean(block: npt.NDArray[Any], factor: Sequence[int], count: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if block.dtype.kind in "fc":
        wide = np.result_type(block.dtype, np.float64)
        # One fixed order of additions: the result must not depend on how the array was cut into chunks.
        mean: npt.NDArray[Any] = _fold(block.astype(wide, copy=False), factor, np.add) / count
        return mean.astype(block.dtype)
    if block.dtype.itemsize == 8:
        return _exact_mean(block, factor, count)
    # 2**15 cells of 16 bits fit 32 bits; 2**20 cells of 32 bits, and a tie, are exact in double precision.
    small = block.dtype.itemsize <= 2 and np.prod(factor) <= 1 << 15
    total = _fold(block.astype(np.int32 if small else np.int64), factor, np.add)
    rounded: npt.NDArray[Any] = np.rint(total / count)
    return rounded.astype(block.dtype)


def _exact_mean(block: npt.NDArray[Any], factor: Sequence[int], count: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mean of 64-bit integers, whose sums fit neither 64 bits nor a double: summed as Python integers."""
    total = _fold(block.astype(object), factor, np.add)
    quotient, remainder = total // count, total % count
    up = (2 * remainder > count) | ((2 * remainder == count) & (quotient % 2 == 1))
    rounded: npt.NDArray[Any] = quotient + up
    return rounded.astype(block.dtype)


def _fold(block: npt.NDArray[Any], factor: Sequence[int], ufunc: np.ufunc) -> npt.NDArray[Any]:
    """Fold the cells of each block with `ufunc`, first to last in C order."""
    result: npt.NDArray[Any] | None = None
    for offset in product(*(range(min(f, size)) for f, size in zip(factor, block.shape, strict=True))):
        part = _view(block, [slice(o, None, f) for o, f in zip(offset, factor, strict=True)])
        if result is None:
            result = part.copy()
        else:
            # Blocks at the far edge have no cell at this offset and keep what they have.
            inner = _view(result, [slice(0, size) for size in part.shape])
            ufunc(inner, part, out=inner)
    if result is None:  # an axis of size 0: no cells, no blocks
        return np.empty(downsampled_shape(block.shape, factor), block.dtype)
    return result


def _view(block: npt.NDArray[Any], region: Sequence[slice]) -> npt.NDArray[Any]:
    """Return a part of `block`; of one without axes an array, too, not the number in it."""
    selection: tuple[Any, ...] = (*region, ...)
    part: npt.NDArray[Any] = block[selection]
    return part


def _counts(shape: Sequence[int], factor: Sequence[int]) -> npt.NDArray[Any]:
    """Return the number of cells in each block, broadcastable to the result."""
    count = np.ones((1,) * len(shape), np.int64)
    for axis, (size, f) in enumerate(zip(shape, factor, strict=True)):
        along = np.full(-(-size // f), f)
        if size % f:
            along[-1] = size % f  # the ragged edge
        count = count * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return count
