"""Rows of a stream: a range of them, with all fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamzarr.stream import export
from streamzarr.stream.field_rows import FieldRows
from streamzarr.stream.search import rows_at
from streamzarr.stream.view import View

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import xarray


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows `start` to `stop` of a stream, as one commit left it; what is asked for is read, and no more.

    Immutable; any thread may use it; it pickles, and survives a fork. Reading blocks on the store.

    Examples
    --------
    >>> import streamzarr as sz
    >>> schema = {"time": sz.stream.Field("i8", sorted=True), "price": "f8"}
    >>> with sz.StreamWriter("memory://prices", schema=schema) as writer:
    ...     writer.append({"time": [1, 3, 3, 7], "price": [1.5, 2.5, 3.5, 4.5]})
    >>> rows = sz.open_stream("memory://prices").sel(time=slice(2, 3))
    >>> rows.start, rows.stop, rows["price"][:]
    (1, 3, array([2.5, 3.5]))
    """

    view: View = field(repr=False)
    start: int
    stop: int

    @property
    def url(self) -> str:
        """The URL of the stream's group."""
        return self.view.url

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(self.view.document.fields)

    def __getitem__(self, name: str) -> FieldRows:
        """Return a field of these rows, which reads when it is indexed; index 0 is row `start`.

        Raises
        ------
        KeyError
            There is no such field.
        """
        return FieldRows(self.view, name, self.start, self.stop)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return self.stop - self.start

    def between(self, start: int, stop: int) -> Rows:
        """Return the rows with the numbers `start` to `stop` in the stream, of those that are among these."""
        begin = min(max(start, self.start), self.stop)
        return Rows(self.view, begin, min(max(stop, begin), self.stop))

    def sel(self, indexers: Mapping[str, Any] | None = None, **more: Any) -> Rows:
        """Return the rows with certain values in sorted fields.

        As in xarray: both ends of a slice belong to it; a text means all of its period, so ``"2026-01-05"``
        is the whole day; a single value must be there. Times without a zone are UTC.

        Parameters
        ----------
        indexers, more
            For a field a value, or a slice of values of which either may be None.

        Raises
        ------
        ValueError
            The field is not sorted.
        KeyError
            There is no such field, or no row has a single value.
        TypeError
            The value cannot be compared with those of the field.

        Examples
        --------
        >>> import streamzarr as sz
        >>> schema = {"time": sz.stream.Field("M8[s]", sorted=True)}
        >>> with sz.StreamWriter("memory://prices2", schema=schema) as writer:
        ...     writer.append({"time": ["2026-01-04", "2026-01-05T23", "2026-01-06"]})
        >>> len(sz.open_stream("memory://prices2").sel(time=slice(None, "2026-01-05")))
        2
        """
        found = Rows(self.view, self.start, self.stop)
        for name, wanted in {**(indexers or {}), **more}.items():
            begin, end = rows_at(self[name], wanted)
            found = found.between(self.start + begin, self.start + end)
        return found

    def to_numpy(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return fields, all or those of these `names`, as arrays in memory."""
        return {name: self[name].read() for name in names or self.names}

    def to_xarray(self, names: Sequence[str] | None = None) -> xarray.Dataset:
        """Return fields as a dataset along ``row``, which reads when it is computed or indexed.

        Sorted fields are coordinates. With dask installed the variables are dask arrays of the stream's
        chunks, without it xarray's own lazy ones. Needs the package ``xarray``.
        """
        return export.to_xarray([self[name] for name in names or self.names], self._attributes)

    def to_pandas(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return fields as a data frame in memory, whose index is the number of the row.

        Needs the package ``pandas``; fields whose rows are arrays do not fit, and raise ``ValueError``.
        """
        return export.to_pandas([self[name] for name in names or self.names], self.start, self.stop)

    def to_arrow(self, names: Sequence[str] | None = None) -> pa.Table:
        """Return fields as an Arrow table in memory; arrays in a row become lists of fixed size.

        Needs the package ``pyarrow``. What Arrow has no type for raises ``TypeError``: complex numbers,
        records.
        """
        return export.to_arrow([self[name] for name in names or self.names])

    def to_polars(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """Return fields as a data frame of polars, by way of :meth:`to_arrow`. Needs ``polars``, too."""
        return export.to_polars([self[name] for name in names or self.names])

    @property
    def _attributes(self) -> Mapping[str, Any]:
        return export.own_attributes(self.view.document.group.attributes)
