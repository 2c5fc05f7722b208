"""Which values may be assigned to an array of a dtype.

numpy's rule ``same_kind``, with signed and unsigned integers as one kind: nothing that loses the fraction,
the imaginary part or the meaning happens silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.dtypes.small import bits_of, integer_range, kind_of


def to_dtype(value: Any, dtype: np.dtype[Any], where: str) -> NDArray:
    """Return `value` as an array of `dtype`; shares memory when it is one already.

    >>> to_dtype([1, 2], np.dtype("u1"), "a.zarr")
    array([1, 2], dtype=uint8)

    Raises
    ------
    TypeError
        The values are of a kind that `dtype` cannot hold.
    OverflowError
        A Python integer is out of the range of `dtype`.
    """
    if dtype.kind in "TO":
        return _to_objects(value, dtype, where)
    if bits_of(dtype):
        return _to_small(value, dtype, where)
    foreign = not hasattr(value, "dtype")  # numbers, strings and lists of them: numpy checks each element
    if foreign and dtype.kind == "V":
        return np.asarray(value, dtype=dtype)
    array = np.asarray(value)
    if array.dtype == dtype:
        return array
    if foreign and (dtype.kind not in "biufc" or (array.dtype.kind in "iuO" and dtype.kind in "iu")):
        return np.asarray(value, dtype=dtype)
    integers = kind_of(array.dtype) in "iu" and dtype.kind in "iu"
    if not integers and not _can_cast(array.dtype, dtype):
        raise TypeError(f"{where}: {array.dtype} values do not cast to {dtype} by same_kind")
    return array.astype(dtype)


def _can_cast(given: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Tell whether numpy's rule ``same_kind`` holds, which ml_dtypes' types leave aside."""
    if not bits_of(given) and not bits_of(dtype):
        return np.can_cast(given, dtype, "same_kind")
    return kind_of(dtype) in _WIDER.get(kind_of(given), "")


_WIDER = {"b": "biufc", "u": "iufc", "i": "iufc", "f": "fc"}
"""The kinds of numbers that hold what numbers of a kind mean, by numpy's letters."""


def _to_small(value: Any, dtype: np.dtype[Any], where: str) -> NDArray:
    """Return numbers as one of the types of few bits; of integers, only those that it has."""
    array = np.asarray(value)
    if array.dtype == dtype:
        return array
    if not _can_cast(array.dtype, dtype):
        raise TypeError(f"{where}: {array.dtype} values do not cast to {dtype} by same_kind")
    if kind_of(dtype) in "iu" and not hasattr(value, "dtype") and array.size:
        least, greatest = integer_range(dtype)
        if array.min() < least or array.max() > greatest:
            raise OverflowError(f"{where}: expected integers from {least} to {greatest} for {dtype}")
    return array.astype(dtype)


def _to_objects(value: Any, dtype: np.dtype[Any], where: str) -> NDArray:
    """Return strings as ``StringDType``, or bytes as objects; nothing else is turned into either."""
    array = np.asarray(
        value, dtype=None if isinstance(value, str | bytes) or hasattr(value, "dtype") else object
    )
    kinds, wanted = ("UT", str) if dtype.kind == "T" else ("S", bytes)
    if array.dtype.kind not in kinds and not (
        array.dtype.kind == "O" and all(isinstance(item, wanted) for item in array.flat)
    ):
        raise TypeError(f"{where}: expected {wanted.__name__} elements, got {array.dtype} values")
    return array.astype(dtype)


def equals_everywhere(block: NDArray, fill: Any) -> bool:
    """Tell whether every element of `block` has the bits of `fill`: -0.0 is not 0.0, NaN is NaN (trap T6)."""
    if not block.size:
        return True
    # Most blocks differ at once; only those that begin like fill are looked at whole.
    if block.dtype.kind not in "OT":
        first = block[(0,) * block.ndim]
        if first.tobytes() != np.asarray(fill, dtype=block.dtype)[()].tobytes():
            return False
    return bool(_equal(block, fill).all())


def filled(blocks: NDArray, fill: Any) -> list[int]:
    """Return which of `blocks`, along the first axis, hold nothing but the bits of `fill`."""
    if len(blocks) == 1 or not blocks.size:
        return [at for at in range(len(blocks)) if equals_everywhere(blocks[at, ...], fill)]
    first: Any = (slice(None), *(0,) * (blocks.ndim - 1))
    begin = _equal(blocks[first], fill)
    return [at for at in begin.nonzero()[0].tolist() if equals_everywhere(blocks[at, ...], fill)]


def _equal(values: NDArray, fill: Any) -> NDArray:
    """Compare each element with `fill`, by its bits where it has a size of its own."""
    if values.dtype.kind == "O":
        element = np.array(fill, object).item()
        return np.asarray(np.frompyfunc(lambda each: _same(each, element), 1, 1)(values), bool)
    if values.dtype.kind == "T":
        return np.asarray(values == fill)
    pattern = np.asarray(fill, dtype=values.dtype)
    size = values.dtype.itemsize
    if size in (1, 2, 4, 8):
        unsigned = f"u{size}"
        return np.asarray(values.view(unsigned) == pattern.reshape(1).view(unsigned)[0])
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(-1, size)
    return np.asarray((flat == np.frombuffer(pattern.tobytes(), np.uint8)).all(axis=1))


def _same(one: Any, other: Any) -> bool:
    """Tell whether two objects are stored alike: 1, 1.0 and True are equal, but are not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return repr(one) == repr(other) if isinstance(one, float) else bool(one == other)
