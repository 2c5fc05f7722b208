"""An array in a store: numpy's reading and writing, chunk by chunk.

Selections are planned in ``indexing``, chunks are read and written in ``chunkio``, metadata is changed in
``nodes``; this file only puts them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from streamzarr.errors import ConfigError, MetadataError, UnsupportedError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store
from streamzarr.zarr import indexing
from streamzarr.zarr.casting import to_dtype
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.chunks.chunkio import ALWAYS, ChunkIO, Condition, Missing
from streamzarr.zarr.chunks.shardio import chunk_io
from streamzarr.zarr.chunks.shrink import concerned
from streamzarr.zarr.chunks.turns import turns
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.exchange import Exchange
from streamzarr.zarr.grids.grid import Axis, Grid
from streamzarr.zarr.indexing import Points, Selection
from streamzarr.zarr.indexing.fields import Fields, as_element, field_names, split_fields, take_fields
from streamzarr.zarr.info import ArrayInfo, Stored
from streamzarr.zarr.metadata import ArrayMetadata
from streamzarr.zarr.nodes.attributes import Attributes, Change
from streamzarr.zarr.nodes.documents import Seen, change_node, read_node, see_node
from streamzarr.zarr.nodes.fields import check_no_field
from streamzarr.zarr.nodes.keeper import Keeper
from streamzarr.zarr.nodes.revalidate import Version, node_version
from streamzarr.zarr.selections import Selections
from streamzarr.zarr.settings import ZarrFormat
from streamzarr.zarr.streaming.chunkwise import Chunkwise


class Array(Selections, Chunkwise, Exchange):
    """A Zarr array. Made by :func:`streamzarr.zarr.open_array` and :func:`streamzarr.zarr.create_array`.

    Reads may run on any number of threads at once. So may writes to it, except that changes of shape and
    attributes belong to one thread; another process must not write to the same chunk at the same time.
    Pickles as its store, path and metadata; a worker process opens its own client.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr.zarr as zarr
    >>> z = zarr.create_array("memory://", shape=(4, 6), chunks=(2, 3), dtype="i4")
    >>> z[:] = np.arange(24).reshape(4, 6)
    >>> z[1:3, ::2]
    array([[ 6,  8, 10],
           [12, 14, 16]], dtype=int32)
    >>> z.append(np.zeros((1, 6), "i4"))
    (5, 6)
    """

    def __init__(
        self,
        store: Store,
        path: str,
        metadata: ArrayMetadata,
        *,
        write_empty_chunks: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        cache: ChunkCache | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        super().__init__(store, path, metadata)
        self._limits = limits
        self._write_empty = write_empty_chunks
        self._cache = cache
        self._keeper = keeper
        self._set(metadata)

    def _set(self, metadata: ArrayMetadata) -> None:
        self._describe(metadata)
        self._version: Version | None = None
        self._io = self._io_for(metadata)

    def _io_for(self, metadata: ArrayMetadata) -> ChunkIO:
        before: ChunkIO | None = getattr(self, "_io", None)
        if before is not None and before.serves(metadata):
            return before
        cache = None if metadata.data_type.elements_change else self._cache
        return chunk_io(
            self._store,
            self._path,
            self._url,
            metadata,
            self._limits,
            write_empty=self._write_empty,
            cache=None if cache is None else cache.of(self._url, metadata),
        )

    @property
    def cache(self) -> ChunkCache | None:
        """Where decoded chunks are kept; None without one."""
        return self._cache

    @property
    def attrs(self) -> Attributes:
        """The attributes, as a mapping that writes through."""
        return Attributes(lambda: self._metadata.attributes, self._change_attributes, self._url, self._limits)

    @property
    def nchunks_initialized(self) -> int:
        """Number of chunks that are stored; a stored shard counts for all of its chunks. Lists the store."""
        inner = self._metadata.inner_chunks
        stored = self._io.stored(self._grid)
        if inner is None:
            return sum(1 for _ in stored)
        units = map(self._grid.chunk_shape, stored)
        return sum(math.prod(s // c for s, c in zip(unit, inner, strict=True)) for unit in units)

    def nbytes_stored(self) -> int:
        """Return how many bytes the array takes in its store, metadata included. Lists the store."""
        return sum(size for _, size in self._store.list_sizes(self._path))

    @property
    def info(self) -> ArrayInfo:
        """A description to print."""
        return ArrayInfo.of(self)

    def info_complete(self) -> ArrayInfo:
        """Return a description with what is stored counted; lists the store."""
        return ArrayInfo.of(self, Stored(self.nbytes_stored(), self.nchunks_initialized))

    # Reading

    def __getitem__(self, selection: Any) -> Any:
        """Return the elements that a selection names, or fields of them; see :meth:`read`.

        ``array[()]`` of an array without dimensions is a scalar, and so is an element of variable length.
        """
        if self._metadata.dtype.names is None:
            return as_element(self.read(selection), selection)
        names, selection = split_fields(selection, self.dtype)
        return as_element(self._get(indexing.parse(selection, self.shape), fields=names), selection)

    def read(self, selection: Any = ..., *, missing: Missing = "fill", out: NDArray | None = None) -> NDArray:
        """Return the elements that a selection names.

        Parameters
        ----------
        selection
            Integers, slices and an ellipsis; one list of integers or mask among them; integer arrays for
            every axis; or a mask of the array's shape. For more see :attr:`oindex` and :attr:`vindex`.
        missing
            ``"error"`` raises for a chunk that is not stored, instead of taking the fill value.
        out
            An array of the selection's shape and this dtype to read into; a new one is made without.

        Returns
        -------
        ndarray
            Of this array's dtype, writable and the caller's own; `out` if it was given.

        Raises
        ------
        IndexError
            The selection is out of bounds or not supported.
        streamzarr.errors.KeyNotFoundError
            A chunk is not stored, and `missing` is ``"error"``.
        streamzarr.errors.CodecError
            A chunk is corrupt; names array, chunk, key and codec.
        streamzarr.errors.StoreError
            The store failed.
        """
        if self._io.takes_turns:
            return turns.read(lambda: self._read(indexing.parse(selection, self.shape), missing, out))
        return self._read(indexing.parse(selection, self.shape), missing, out)

    def _get(self, chosen: Selection | Points, out: NDArray | None = None, fields: Fields = None) -> NDArray:
        names = field_names(fields, self.dtype)
        if not names:
            return self._read(chosen, out=out)
        taken = take_fields(self._read(chosen), names)
        if out is None:
            return taken
        self._check_out(out, taken.shape, taken.dtype)
        out[...] = taken
        return out

    def _check_out(self, out: NDArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if out.shape != shape or out.dtype != dtype:
            raise ValueError(
                f"{self._url}: out has shape {out.shape} and dtype {out.dtype}, expected {shape} and {dtype}"
            )

    def _read(
        self, chosen: Selection | Points, missing: Missing = "fill", out: NDArray | None = None
    ) -> NDArray:
        if out is None:
            out = np.empty(chosen.shape, self.dtype)
        else:
            self._check_out(out, chosen.shape, self.dtype)
        io = self._io
        part = indexing.only_part(chosen, self._grid)
        if part is not None:
            assert isinstance(chosen, Selection)
            direct = out.ndim == len(chosen.axes) and not chosen.is_flipped
            io.read_part(part, out if direct else out[chosen.expand], missing)
            return out
        into = np.empty(chosen.count, self.dtype) if isinstance(chosen, Points) else out[chosen.expand]
        shares = io.shares(indexing.count_parts(chosen, self._grid))
        parts = indexing.plan(chosen, self._grid, shares.run)
        parallel.for_each(lambda part: io.read_part(part, into, missing), parts, shares.threads)
        if isinstance(chosen, Points):
            out[...] = into.reshape(chosen.shape)
        return out

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        step = (self._metadata.inner_chunks or self._metadata.chunk_grid.chunk_shape)[0] if self.shape else 1
        for start in range(0, len(self), step or 1):
            yield from self.read(slice(start, start + step))

    # Writing

    def __setitem__(self, selection: Any, value: Any) -> None:
        """Write `value`, broadcast as numpy does, to a selection; see :meth:`read`.

        Where a field is named the records are read, changed and written: no other thread may write them.

        Raises
        ------
        IndexError
            As in reading.
        TypeError
            The values are of a kind that this dtype cannot hold.
        ValueError
            The shape of `value` does not broadcast.
        streamzarr.errors.StoreError
            The store failed, or is read-only.
        """
        names, selection = split_fields(selection, self.dtype)
        self._put(indexing.parse(selection, self.shape), value, names)

    def _put(self, chosen: Selection | Points, value: Any, fields: Fields = None) -> None:
        self._require_writable()
        if names := field_names(fields, self.dtype):
            records = self._read(chosen)
            for name in names:
                part = value if len(names) == 1 else np.asarray(value)[name]
                records[name] = to_dtype(part, records.dtype[name], self._url)
            value = records
        shape = chosen.shape
        values = self._elements(value, len(shape))
        if values.shape != shape:
            values = np.broadcast_to(values, shape)
        full = values.reshape(-1) if isinstance(chosen, Points) else values[chosen.expand]
        self._write(chosen, full, self._grid, self._io)

    def _elements(self, value: Any, ndim: int) -> NDArray:
        objects = self._metadata.data_type.objects(value, ndim)
        return to_dtype(value, self.dtype, self._url) if objects is None else objects

    def _write(self, chosen: Selection | Points, values: NDArray, grid: Grid, io: ChunkIO) -> None:
        part = indexing.only_part(chosen, grid)
        if part is not None:
            io.write_part(part, values)
            return
        shares = io.shares(indexing.count_parts(chosen, grid), writing=True)
        parts = indexing.plan(chosen, grid, shares.run)
        parallel.for_each(lambda part: io.write_part(part, values), parts, shares.threads)

    def resize(self, shape: int | tuple[int, ...], *, clear: bool = False) -> None:
        """Change the shape in place. Grown parts read as the fill value; chunks wholly outside are deleted.

        Parameters
        ----------
        clear
            Also set what boundary chunks hold outside of the new shape to the fill value. Without it, an
            array that shrinks and grows again shows old values there, as in every Zarr implementation (trap
            T9).
        """
        self._require_writable()
        wanted = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        wanted = tuple(int(n) for n in wanted)
        if len(wanted) != self.ndim or any(n < 0 for n in wanted):
            raise ValueError(f"{self._url}: cannot resize from {self.shape} to {wanted}")
        self._require_chunks(wanted)
        check_no_field(self._store, self._path, self._limits)
        # First the metadata: a reader never meets a shape whose chunks are gone.
        before = self._change(lambda metadata: metadata.with_shape(wanted)).grid
        io, grid = self._io, self._grid
        io.delete_each(concerned(before.shape, grid.shape, lambda: io.stored(before)))
        if clear:
            full = tuple(map(_full_chunks, grid.axes))
            io.clear_each(concerned(grid.shape, full, lambda: io.stored(grid)), grid)

    def _require_chunks(self, shape: tuple[int, ...]) -> None:
        """Refuse a length where chunks have none, which they may along an axis that has none."""
        lengths = self._metadata.chunk_grid.chunk_shape
        if any(n and not c for n, c in zip(shape, lengths, strict=True)):
            raise ValueError(f"{self._url}: cannot grow to {shape}: chunks of {lengths} hold no element")

    def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Write `data` behind the end of `axis` and return the new shape.

        Rows are written before the shape that makes them visible, so no reader sees an unwritten row, and a
        killed append leaves the array as it was. For one writer at a time: a second one is not lost silently,
        its shape change raises. Streams with several writers and exactly-once appends are a layer above.

        Raises
        ------
        ValueError
            `data` differs in another axis than `axis`.
        streamzarr.errors.UnsupportedError
            Another writer changed the shape meanwhile.
        """
        self._require_writable()
        values = self._elements(data, self.ndim)
        if not -self.ndim <= axis < self.ndim:
            raise ValueError(f"{self._url}: axis {axis} is out of bounds for {self.ndim} dimensions")
        axis %= self.ndim
        expected = (*self.shape[:axis], *self.shape[axis + 1 :])
        if values.ndim != self.ndim or (*values.shape[:axis], *values.shape[axis + 1 :]) != expected:
            raise ValueError(f"{self._url}: cannot append {values.shape} to {self.shape} along axis {axis}")
        check_no_field(self._store, self._path, self._limits)
        old = self.shape
        new = (*old[:axis], old[axis] + values.shape[axis], *old[axis + 1 :])
        self._require_chunks(new)

        def commit(now: ArrayMetadata) -> ArrayMetadata:
            if now.shape != old or now.data_type != self._metadata.data_type:
                raise UnsupportedError(
                    f"{self._url}: shape is {now.shape} of {now.dtype}, expected {old} of {self.dtype}: "
                    "another writer appended or resized; refresh() the array"
                )
            return now.with_shape(new)

        seen = see_node(self._store, self._path, type(self._metadata), self._limits)
        grown = commit(seen.metadata)  # before anything is written: it may be where another has appended
        where = tuple(slice(old[d] if d == axis else 0, new[d]) for d in range(self.ndim))
        self._write(indexing.parse_basic(where, new), values, grown.grid, self._io_for(grown))
        self._change(commit, seen)
        return new

    # One chunk at a time, for workers

    def chunk_key(self, index: tuple[int, ...]) -> str:
        """Return the key in the store of unit `index` of :attr:`grid`."""
        self._grid.check(index)
        return self._io.key(index)

    def has_chunk(self, index: tuple[int, ...]) -> bool:
        """Tell whether unit `index` of :attr:`grid` is stored."""
        return self._store.exists(self.chunk_key(index))

    def read_chunk(self, index: tuple[int, ...], *, missing: Missing = "fill") -> NDArray:
        """Return unit `index` of :attr:`grid`, cut at the array's end; see :meth:`read`."""
        return self.read(self._grid.slices(index), missing=missing)

    def chunk_etag(self, index: tuple[int, ...]) -> str | None:
        """Return the etag in the store of unit `index` of :attr:`grid`; None when it is not stored."""
        self._grid.check(index)
        return self._io.etag(index)

    def write_chunk(
        self,
        index: tuple[int, ...],
        block: Any,
        *,
        write_empty: bool | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> None:
        """Write unit `index` of :attr:`grid` from `block`, cut at the array's end, without reading it first.

        Equal blocks give equal bytes, so writing a unit twice is harmless.

        Parameters
        ----------
        write_empty
            Store a block that holds nothing but the fill value, instead of removing its key; None: as the
            array was opened.
        if_match
            Write only if the unit is stored with this etag (:meth:`chunk_etag`). No key is removed then: the
            fill value is stored, too.
        if_none_match
            Write only if the unit is not stored. A block of nothing but the fill value is not stored either,
            unless `write_empty` says so.

        Raises
        ------
        ValueError
            `block` has not the shape of the unit.
        streamzarr.errors.PreconditionFailedError
            The condition does not hold; nothing has been written.
        streamzarr.errors.UnsupportedError
            A condition is given, and the store has no conditional put.

        Examples
        --------
        >>> import streamzarr.zarr as zarr
        >>> z = zarr.create_array("memory://", shape=(4,), chunks=(2,), dtype="i4")
        >>> z.write_chunk((1,), [3, 4], if_none_match=True)
        >>> z.write_chunk((1,), [5, 6], if_match=z.chunk_etag((1,)))
        >>> z[:], z.chunk_etag((0,))
        (array([0, 0, 5, 6], dtype=int32), None)
        """
        self._require_writable()
        condition = self._condition(if_match, if_none_match)
        values = self._elements(block, self.ndim)
        expected = self._grid.valid_shape(index)
        if values.shape != expected:
            raise ValueError(
                f"{self._url}: chunk {index}: block has shape {values.shape}, expected {expected}"
            )
        self._io.write(index, values, write_empty=write_empty, condition=condition)

    def _condition(self, if_match: str | None, if_none_match: bool) -> Condition:
        if if_match is None and not if_none_match:
            return ALWAYS
        if if_match is not None and if_none_match:
            raise ConfigError(f"{self._url}: if_match and if_none_match exclude each other; pass one of them")
        if not self._store.capabilities.conditional_put:
            raise UnsupportedError(f"{self._url}: the store has no conditional put")
        return Condition(if_match, if_none_match)

    def delete_chunk(self, index: tuple[int, ...]) -> None:
        """Remove unit `index` of :attr:`grid`; it then reads as the fill value."""
        self._require_writable()
        self._grid.check(index)
        self._io.delete(index)

    # Metadata

    def refresh(self) -> Self:
        """Take over what another writer may have changed, and return this array.

        The metadata is read only if its etag is another than at the last refresh. Chunks that a cache holds
        of this array are forgotten.
        """
        zarr_format: ZarrFormat = 2 if self.zarr_format == 2 else 3
        if self._cache is not None:
            self._cache.invalidate(self._url)
        version = node_version(self._store, self._path, zarr_format)
        if version == self._version:
            return self
        metadata = read_node(self._store, self._path, zarr_format, self._limits)
        if not isinstance(metadata, type(self._metadata)):
            raise MetadataError(f"{self._url}: is not an array any more")
        self._set(metadata)
        self._version = version
        return self

    def update_attributes(self, attributes: dict[str, Any]) -> Self:
        """Set several attributes in one write, and return this array."""
        self.attrs.update(attributes)
        return self

    def _change_attributes(self, change: Change) -> None:
        self._require_writable()
        self._change(lambda metadata: metadata.with_attributes(change(metadata.attributes)))

    def _change(
        self, change: Callable[[ArrayMetadata], ArrayMetadata], seen: Seen[ArrayMetadata] | None = None
    ) -> ArrayMetadata:
        """Change the metadata as they are in the store, which may be newer than ours, and return those."""
        kind: type[ArrayMetadata] = type(self._metadata)
        changed = change_node(self._store, self._path, kind, change, self._limits, seen)
        self._set(changed.after)
        if self._keeper is not None:
            self._keeper.changed(self._path, changed.after)
        return changed.before

    def __getstate__(self) -> tuple[Any, ...]:
        settings = (self._write_empty, self._limits, self._cache, self._keeper)
        return self._store, self._path, self._metadata, *settings

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        store, path, metadata, write_empty, limits, cache, keeper = state
        Array.__init__(
            self,
            store,
            path,
            metadata,
            write_empty_chunks=write_empty,
            limits=limits,
            cache=cache,
            keeper=keeper,
        )

    def __repr__(self) -> str:
        return f"<Array {self._url} shape={self.shape} dtype={self.dtype}>"


def _full_chunks(axis: Axis) -> int:
    """Return the number of chunks along `axis` that lie wholly inside of the array."""
    last = axis.count - 1
    return last + (last < 0 or axis.valid(last) == axis.size(last))
