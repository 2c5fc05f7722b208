"""What a row is made of: the fields of a stream, and the array that each one is. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.options import integer
from streamzarr.stores.key import check_key
from streamzarr.zarr.configure import ArrayConfig, CodecLike, CodecsLike
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.nodes.paths import check_new_path

CHUNK_ROWS: Final = 65_536
"""Rows of a chunk where nothing else is said."""
ROW: Final = "row"
"""Name of the first dimension of every field."""
SORTED: Final = "streamzarr_sorted"
"""Attribute of a field whose values never decrease."""

SchemaLike: TypeAlias = "Mapping[str, Any] | np.dtype[Any] | Sequence[Any]"
"""Fields by name, each a :class:`Field` or a dtype; or a structured dtype."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a stream: what a row holds under one name, and how it is stored.

    Examples
    --------
    >>> camera = Field("u2", shape=(480, 640), chunk_rows=32, chunks=(240, 320), compressors="blosc")
    >>> camera.metadata("frames", 0, CHUNK_ROWS).chunks
    (32, 240, 320)
    """

    dtype: Any
    """Anything that ``numpy.dtype`` accepts, ``"string"`` or ``"bytes"``."""
    shape: Sequence[int] = ()
    """Shape of one row; empty for a number or a text."""
    chunk_rows: int | None = None
    """Rows of a chunk, which is rewritten by every commit until it is full; None: as the whole stream."""
    chunks: Sequence[int] | None = None
    """Chunk shape along the axes of `shape`; None: a row is not cut."""
    fill_value: Any = None
    filters: CodecsLike = "auto"
    serializer: CodecLike = "auto"
    compressors: CodecsLike = "auto"
    dimension_names: Sequence[str] | None = None
    """Names of the axes of `shape`, which differ from one another and from ``row``."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sorted: bool = False
    """Values never decrease, so that they can be searched; append refuses others."""

    def metadata(
        self, name: str, rows: int, chunk_rows: int, limits: Limits = DEFAULT_LIMITS
    ) -> ArrayMetadataV3:
        """Return the array that this is, as the field `name` of a stream of `rows` rows.

        Raises
        ------
        streamzarr.errors.ConfigError, streamzarr.errors.MetadataError, streamzarr.errors.LimitExceededError
            It describes no Zarr array.
        """
        inner = tuple(integer(f"field {name!r}: shape", each, 1) for each in self.shape)
        chunks = inner if self.chunks is None else tuple(self.chunks)
        names = tuple(self.dimension_names or (f"{name}_{axis}" for axis in range(len(inner))))
        length = integer(f"field {name!r}: chunk_rows", self.chunk_rows or chunk_rows, 1)
        attributes = dict(self.attributes) | ({SORTED: True} if self.sorted else {})
        try:
            found = ArrayConfig(
                (rows, *inner),
                self.dtype,
                (length, *chunks),
                filters=self.filters,
                serializer=self.serializer,
                compressors=self.compressors,
                fill_value=self.fill_value,
                attributes=attributes,
                dimension_names=(ROW, *names),
            ).metadata(limits)
        except ConfigError as error:
            raise ConfigError(f"field {name!r}: {error}") from error
        assert isinstance(found, ArrayMetadataV3)
        given = [each for each in (ROW, *names) if each is not None]
        if len(set(given)) < len(given):
            raise ConfigError(
                f"field {name!r}: dimension_names {names}, expected names that differ, none of them {ROW!r}"
            )
        if self.sorted and not is_sorted(found):
            raise ConfigError(
                f"field {name!r}: sorted needs one number or time in a row, got {inner} {found.dtype}"
            )
        return found


def check_sorted_fill(name: str, array: ArrayMetadataV3) -> None:
    """Raise :class:`~streamzarr.errors.ConfigError` if sorted values cannot follow the fill value."""
    if is_sorted(array) and not array.fill_value == array.fill_value:
        raise ConfigError(
            f"field {name!r}: sorted values cannot follow rows of the fill value {array.fill_value}; "
            "give a fill_value that is before all of them"
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a stream, in order.

    Examples
    --------
    >>> schema = Schema.of({"time": Field("M8[ns]", sorted=True), "price": "f8"})
    >>> schema.names
    ('time', 'price')
    >>> Schema.of(np.dtype([("x", "f4"), ("frame", "u1", (4, 4))])).fields["frame"].shape
    (4, 4)
    """

    fields: Mapping[str, Field]

    @classmethod
    def of(cls, given: SchemaLike | Schema) -> Schema:
        """Return `given`, however it is written.

        Raises
        ------
        streamzarr.errors.ConfigError
            It names no field, or one by a name that no array can have.
        """
        if isinstance(given, Schema):
            return given
        if not isinstance(given, Mapping):
            dtype = np.dtype(given)  # type: ignore[arg-type]
            if dtype.names is None:
                raise ConfigError(f"schema: expected fields by name or a structured dtype, got {given!r}")
            given = {name: Field(dtype[name].base, dtype[name].shape) for name in dtype.names}
        if not given:
            raise ConfigError("schema: expected at least one field")
        for name in given:
            check_name(name)
        return cls({name: each if isinstance(each, Field) else Field(each) for name, each in given.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(self.fields)

    def arrays(self, chunk_rows: int, limits: Limits = DEFAULT_LIMITS) -> dict[str, ArrayMetadataV3]:
        """Return the array of each field of a new stream; raises as :meth:`Field.metadata`."""
        return {name: each.metadata(name, 0, chunk_rows, limits) for name, each in self.fields.items()}

    def check(self, stored: Mapping[str, ArrayMetadataV3], where: str) -> None:
        """Raise :class:`~streamzarr.errors.ConfigError` unless these are the fields that are `stored`.

        Chunks and codecs are settled when a stream is made; what is said of them later does not count.
        """
        if problem := next(self._differences(stored), None):
            raise ConfigError(
                f"{where}: {problem}; leave schema out to take what is stored, and add_field() what is new"
            )

    def _differences(self, stored: Mapping[str, ArrayMetadataV3]) -> Iterator[str]:
        if self.fields.keys() != stored.keys():
            yield f"the schema has the fields {[*self.fields]}, the stream has {[*stored]}"
        for name, each in self.fields.items():
            wanted, found = each.metadata(name, 0, CHUNK_ROWS), stored[name]
            if (wanted.dtype, wanted.shape[1:]) != (found.dtype, found.shape[1:]):
                yield (
                    f"field {name!r} is {wanted.dtype} of shape {wanted.shape[1:]} in the schema, "
                    f"{found.dtype} of shape {found.shape[1:]} in the stream"
                )


def check_name(name: Any) -> None:
    """Raise :class:`~streamzarr.errors.ConfigError` unless `name` can be that of a field."""
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigError(f"schema: expected the name of a field, got {name!r}")
    check_new_path(name)
    check_key(name)


def chunk_rows_of(array: ArrayMetadataV3) -> int:
    """Return how many rows a chunk of a field's array has."""
    assert isinstance(array.chunk_grid, RegularChunks)
    return array.chunk_grid.chunk_shape[0]


def is_sorted(array: ArrayMetadataV3) -> bool:
    """Tell whether the values of a field's array never decrease: of one number or time in a row."""
    return array.attributes.get(SORTED) is True and len(array.shape) == 1 and array.dtype.kind in "iufmM"
