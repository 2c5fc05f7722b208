# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``cast_value``: numbers stored as numbers of another type.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value
``{"name": "cast_value", "configuration": {"data_type": "uint8", "rounding": "towards-zero", "out_of_range":
"clamp", "scalar_map": {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]}}}``
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError, MetadataError
from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import ArrayArray, ChunkSpec, NDArray
from streamzarr.zarr.codecs.casts import OUT_OF_RANGE, ROUNDINGS, cast
from streamzarr.zarr.dtypes.base import JSON, DataType
from streamzarr.zarr.dtypes.registry import data_type, data_type_from_v3
from streamzarr.zarr.dtypes.small import kind_of


@dataclass(frozen=True, slots=True)
class _Mapping:
    """What becomes of single numbers: sorted keys, and for each the place of its value; NaN has its own."""

    keys: NDArray
    values: NDArray
    nan: Any

    def apply(self, array: NDArray, result: NDArray, mapped: NDArray) -> None:
        wide = _wide(array)
        if len(self.keys):
            places = np.searchsorted(self.keys, wide).clip(max=len(self.keys) - 1)
            hit = self.keys[places] == wide
            result[hit] = self.values[places[hit]]
            mapped |= hit
        if self.nan is not None:
            missing = wide != wide
            result[missing] = self.nan
            mapped |= missing


@dataclass(frozen=True, slots=True)
class CastValueCodec(ArrayArray):
    """Casts to `data_type` and back; see :mod:`streamzarr.zarr.codecs.casts` for the rules."""

    name: ClassVar[str] = "cast_value"
    data_type: DataType
    rounding: str = "nearest-even"
    out_of_range: str | None = None
    scalar_map: dict[str, list[list[JSON]]] | None = None
    _maps: tuple[_Mapping, _Mapping] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        known = {"data_type", "rounding", "out_of_range", "scalar_map"}
        if configuration.keys() - known or "data_type" not in configuration:
            raise ValueError(f"expected the keys {sorted(known)}, got {sorted(configuration)}")
        try:
            target = data_type_from_v3(configuration["data_type"], "data_type")
        except MetadataError as error:
            raise ValueError(str(error)) from error
        rounding = configuration.get("rounding", "nearest-even")
        if rounding not in ROUNDINGS:
            raise ValueError(f"expected rounding in {ROUNDINGS}, got {rounding!r}")
        out_of_range = configuration.get("out_of_range")
        if out_of_range not in (*OUT_OF_RANGE, None):
            raise ValueError(f"expected out_of_range in {OUT_OF_RANGE}, got {out_of_range!r}")
        if kind_of(target.dtype) not in "iuf":
            raise ValueError(f"cannot cast to {target.to_v3()!r}")
        if out_of_range == "wrap" and kind_of(target.dtype) == "f":
            raise ValueError("out_of_range 'wrap' is for integers")
        return cls(target, rounding, out_of_range, _checked_map(configuration.get("scalar_map")))

    def configuration(self) -> dict[str, Any]:
        given = {"out_of_range": self.out_of_range, "scalar_map": self.scalar_map}
        return {"data_type": self.data_type.to_v3(), "rounding": self.rounding} | {
            key: value for key, value in given.items() if value is not None
        }

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if kind_of(spec.dtype) not in "iuf":
            raise ValueError(f"cannot cast {spec.dtype}")
        source, maps = data_type(spec.dtype), self.scalar_map or {}
        encode = _mapping(maps.get("encode", []), source, self.data_type)
        decode = _mapping(maps.get("decode", []), self.data_type, source)
        codec = replace(self, _maps=(encode, decode))
        codec._check_fill(np.asarray(spec.fill, spec.dtype).reshape(1), spec)
        return codec

    def _check_fill(self, fill: NDArray, spec: ChunkSpec) -> None:
        """Raise ``ValueError`` unless the fill value comes back, but for what rounding takes from it."""
        stored = self.encode(fill)
        again = self.decode(stored, spec)
        if (again == fill).all() or ((fill != fill) & (again != again)).all():
            return
        plain = replace(self, out_of_range=None, _maps=(_NOTHING, _NOTHING))
        try:
            survives = plain.encode(fill) == stored and plain.decode(stored, spec) == again
        except CodecError:
            survives = False
        if not survives:
            raise ValueError(f"the fill value {spec.fill} comes back as {again[0]}")

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        fill = self.encode(np.asarray(spec.fill, spec.dtype).reshape(1))[0]
        return ChunkSpec(spec.shape, self.data_type.dtype, fill)

    def encode(self, array: NDArray) -> NDArray:
        return self._cast(array, self.data_type.dtype, 0)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return self._cast(array, spec.dtype, 1)

    def _cast(self, array: NDArray, dtype: np.dtype[Any], direction: int) -> NDArray:
        if self._maps is None:
            raise CodecError("cast_value: the codec has not been adapted to an array")
        mapping = self._maps[direction]
        if not len(mapping.keys) and mapping.nan is None:
            return cast(array, dtype, self.rounding, self.out_of_range)
        result, mapped = np.empty(array.shape, dtype), np.zeros(array.shape, bool)
        mapping.apply(array, result, mapped)
        result[~mapped] = cast(array[~mapped], dtype, self.rounding, self.out_of_range)
        return result


_NOTHING = _Mapping(np.empty(0), np.empty(0), None)


def _checked_map(document: JSON) -> dict[str, list[list[JSON]]] | None:
    if document is None:
        return None
    if not isinstance(document, dict) or document.keys() - {"encode", "decode"}:
        raise ValueError(f"expected scalar_map with encode and decode, got {document!r}")
    for pairs in document.values():
        if not isinstance(pairs, list) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            raise ValueError(f"expected scalar_map as lists of [input, output], got {pairs!r}")
    return {key: [list(pair) for pair in pairs] for key, pairs in document.items()}


def _mapping(pairs: list[list[JSON]], source: DataType, target: DataType) -> _Mapping:
    found: dict[Any, Any] = {}
    nan = None
    for given, wanted in pairs:
        value = _scalar(wanted, target)
        key = _wide(np.asarray(_scalar(given, source), source.dtype).reshape(1))[0]
        if key != key:
            nan = value if nan is None else nan
        else:
            found.setdefault(key.item(), value)  # the first of several holds
    keys = sorted(found)
    wide = _wide(np.empty(0, source.dtype)).dtype
    return _Mapping(np.array(keys, wide), np.array([found[key] for key in keys], target.dtype), nan)


def _scalar(document: JSON, kind: DataType) -> Any:
    # The registry's own example has a sign that fill values do not have.
    return kind.fill_from_json("Infinity" if document == "+Infinity" else document, 3)


def _wide(array: NDArray) -> NDArray:
    """Return numbers as a type that numpy sorts: floats as float64, which has all of the others."""
    if kind_of(array.dtype) == "f":
        return array.astype(np.float64, copy=False)
    return array if array.dtype.kind in "iu" else array.astype(np.int64)
