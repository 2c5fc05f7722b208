"""Which values of an array stand for no data.

Zarr's fill value says what was never written reads as. Zero, which it is unless somebody chose another, is a
value like any other. So no data are: a fill value of numbers or times that is not zero, which somebody chose,
and what the attributes ``_FillValue`` and ``missing_value`` name. Of booleans both values are data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.errors import CastingError, ConfigError, MessageError
from streamzarr.jobs.cast import cast
from streamzarr.zarr.fill_attribute import missing_values
from streamzarr.zarr.metadata import ArrayMetadata


def nodata_values(metadata: ArrayMetadata, given: Any = None) -> tuple[Any, ...]:
    """Return the elements that stand for no data, as JSON has the fill values of this dtype.

    Parameters
    ----------
    given
        The value; ``"none"``: there are none; ``"auto"`` or None: what the array says.

    Raises
    ------
    streamzarr.errors.ConfigError
        `given` is no value of this dtype.
    """
    dtype = metadata.dtype
    if isinstance(given, str) and given == "none":
        return ()
    if not is_auto(given):
        return (_as_json(metadata, _checked(given, dtype)),)
    if dtype.kind not in "iufcmM":
        return ()
    chosen = metadata.fill_value is not None and not _is_zero(metadata.fill_value)
    fill = [metadata.fill_value] if chosen else []
    if dtype.kind in "iufc":
        fill += missing_values(metadata.attributes, dtype)
    return tuple({repr(value): _as_json(metadata, value) for value in fill}.values())


def is_auto(given: Any) -> bool:
    """Tell whether the array itself is to say what stands for no data."""
    return given is None or (isinstance(given, str) and given == "auto")


def parse_nodata(values: Sequence[Any], metadata: ArrayMetadata) -> list[Any]:
    """Return the elements that :func:`nodata_values` gave; raises ``MessageError``."""
    try:
        return [metadata.data_type.fill_from_json(value, 3) for value in values]
    except (ValueError, TypeError, OverflowError) as error:
        raise MessageError(f"nodata {list(values)} of an array of {metadata.dtype}: {error}") from error


def is_nodata(block: npt.NDArray[Any], values: Sequence[Any]) -> npt.NDArray[np.bool_]:
    """Return which elements are one of `values`; NaN and NaT are equal to themselves here."""
    found = np.zeros(block.shape, bool)
    for value in values:
        found |= block != block if value != value else block == value
    return found


def _is_zero(value: Any) -> bool:
    return bool(value == np.zeros((), np.asarray(value).dtype)[()])


def _checked(given: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind not in "iufcb":
        raise ConfigError(
            f"nodata: an array of {dtype} has none but its own, got {given!r}; expected auto or none"
        )
    try:
        value = np.asarray(given)
        if value.shape or value.dtype.kind not in ("b" if dtype.kind == "b" else "iufc"):
            raise CastingError("expected one boolean" if dtype.kind == "b" else "expected one number")
        return cast(_whole(value), dtype, "same_kind", "nodata")[()]
    except (CastingError, ValueError, TypeError) as error:
        raise ConfigError(f"nodata: {given!r} is no {dtype}: {error}") from error


def _whole(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a float without a fraction as the integer that it is: 255.0 is a value of unsigned bytes."""
    return np.asarray(int(value)) if value.dtype.kind == "f" and float(value).is_integer() else value


def _as_json(metadata: ArrayMetadata, value: Any) -> Any:
    return metadata.data_type.fill_to_json(value, 3)
