# ruff: noqa: D102 - methods are documented by DataType
"""``datetime64`` and ``timedelta64``: 64-bit counts of a unit, with NaT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from streamzarr.zarr.dtypes.base import JSON, DataType, Scalar, named
from streamzarr.zarr.dtypes.numeric import whole_from_json

_NAMES = {"M": "numpy.datetime64", "m": "numpy.timedelta64"}
_UNITS = frozenset(["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic"])


@dataclass(frozen=True, slots=True)
class Time(DataType):
    """A point in time or a duration (zarr-extensions ``numpy.datetime64``, ``numpy.timedelta64``).

    >>> import numpy as np
    >>> Time(np.dtype("M8[10ms]")).to_v3()
    {'name': 'numpy.datetime64', 'configuration': {'unit': 'ms', 'scale_factor': 10}}
    """

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind in "mM" else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        name, configuration = named(document) or ("", {})
        kind = next((kind for kind, known in _NAMES.items() if known == name), None)
        if kind is None:
            return None
        unit, factor = configuration.get("unit"), configuration.get("scale_factor", 1)
        whole = isinstance(factor, int) and not isinstance(factor, bool)
        if unit not in _UNITS or not whole or not 0 < factor < 2**31:
            raise ValueError(f"{name} needs a unit and a positive scale_factor, got {configuration!r}")
        return cls(np.dtype(f"{kind}8" if unit == "generic" else f"{kind}8[{factor}{unit}]"))

    def to_v3(self) -> JSON:
        unit, factor = np.datetime_data(self.dtype)
        return {"name": _NAMES[self.dtype.kind], "configuration": {"unit": unit, "scale_factor": factor}}

    def default_fill(self) -> Scalar:
        return self.dtype.type("NaT", np.datetime_data(self.dtype))

    def cast_fill(self, value: Any) -> Scalar:
        if isinstance(value, int | np.integer):
            return np.array(value, "i8").view(self.dtype.newbyteorder("="))[()]
        return np.asarray(value).astype(self.dtype)[()]

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return int(value.view("i8"))

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if document == "NaT":
            return self.default_fill()
        return self.cast_fill(whole_from_json(document, zarr_format))
