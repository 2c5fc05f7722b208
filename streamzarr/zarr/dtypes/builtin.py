"""The data types that there are. The first that knows a dtype or a name has it."""

from __future__ import annotations

from streamzarr.zarr.dtypes.base import DataType
from streamzarr.zarr.dtypes.numeric import Bool, Complex, Float, Integer
from streamzarr.zarr.dtypes.objects import JsonValue, VariableArray
from streamzarr.zarr.dtypes.small import SmallFloat, SmallInteger
from streamzarr.zarr.dtypes.strings import FixedBytes, FixedString, RawBytes, VariableBytes, VariableString
from streamzarr.zarr.dtypes.struct import Struct
from streamzarr.zarr.dtypes.time import Time

DATA_TYPES: tuple[type[DataType], ...] = (
    *(Bool, Integer, Float, Complex, Time, SmallInteger, SmallFloat),  # raw bytes to numpy: before these
    *(FixedString, FixedBytes, RawBytes, VariableString, VariableBytes, Struct),
    *(JsonValue, VariableArray),
)
