"""Data types: numpy dtypes, their names in Zarr v2 and v3, and their fill values."""

from streamzarr.zarr.dtypes.base import DataType
from streamzarr.zarr.dtypes.builtin import DATA_TYPES as _DATA_TYPES
from streamzarr.zarr.dtypes.registry import build_in as _build_in
from streamzarr.zarr.dtypes.registry import data_type, data_type_from_v2, data_type_from_v3

_build_in(*_DATA_TYPES)

__all__ = ["DataType", "data_type", "data_type_from_v2", "data_type_from_v3"]
