"""Chunks of one array in its store: read and written whole or in part, by index.

This is where keys, bytes, codecs and fill values meet; selections and shapes of the array are above it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from streamzarr.errors import CodecError, KeyNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import Store
from streamzarr.zarr.casting import equals_everywhere
from streamzarr.zarr.codecs.base import NDArray, as_buffer
from streamzarr.zarr.indexing import Index, Part
from streamzarr.zarr.metadata import ArrayMetadata
from streamzarr.zarr.nodes import get_optional
from streamzarr.zarr.paths import key_below

Missing: TypeAlias = Literal["fill", "error"]

_MAX_SCRATCH_BYTES = 16 << 20

_locks = [threading.Lock() for _ in range(64)]


def _renew_locks() -> None:
    _locks[:] = [threading.Lock() for _ in range(64)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class ChunkIO:
    """The chunks of the array at `path` in `store`. Thread-safe; every method may block on the store.

    Two threads of one process may write parts of one chunk at the same time. Two processes may not: a part is
    written by reading, changing and writing the whole chunk.

    Parameters
    ----------
    url
        Names the array in errors.
    write_empty
        Store chunks that hold nothing but the fill value, instead of removing their keys.
    """

    def __init__(
        self, store: Store, path: str, url: str, metadata: ArrayMetadata, limits: Limits, *, write_empty: bool
    ) -> None:
        self._store = store
        self._prefix = key_below(path, "")
        self._url = url
        self._keys = metadata.chunk_keys
        self._chain = metadata.chain(limits)
        self._dtype = metadata.dtype
        self._fill = metadata.fill
        self._write_empty = write_empty
        self._shape = self._chain.spec.shape
        self._nbytes = self._chain.spec.nbytes
        self._scratch = threading.local()

    @property
    def nbytes(self) -> int:
        """Bytes of one decoded chunk; 0 when they vary."""
        return self._nbytes or 0

    def key(self, index: tuple[int, ...]) -> str:
        """Return the key of chunk `index` in the store."""
        return self._prefix + self._keys.encode(index)

    def read(self, index: tuple[int, ...], missing: Missing = "fill") -> NDArray:
        """Return chunk `index` with its full stored shape; may be read-only."""
        data = get_optional(self._store, self.key(index))
        if data is None:
            self._refuse_if(missing, index)
            return np.full(self._shape, self._fill, self._dtype)
        return self._decode(index, data, None)

    def read_part(self, part: Part, out: NDArray, missing: Missing = "fill") -> None:
        """Set ``out[part.target]`` to ``chunk[part.source]``."""
        view = view_of(out, part.target) if part.is_view else None
        in_place = (
            view is not None
            and part.whole
            and view.shape == self._shape
            and view.flags.c_contiguous
            and view.dtype == self._dtype
        )
        if view is not None and in_place and self._chain.is_plain:
            self._read_plain(part.chunk, view, missing)
            return
        data = get_optional(self._store, self.key(part.chunk))
        if data is None:
            self._refuse_if(missing, part.chunk)
            out[part.target] = self._fill
            return
        block = self._decode(part.chunk, data, view if in_place else self._scratch_block())
        if block is not view:
            out[part.target] = block[part.source]

    def write(self, index: tuple[int, ...], block: NDArray, *, write_empty: bool | None = None) -> None:
        """Write chunk `index` from `block`, which may be cut at the array's end, without reading it."""
        if block.shape != self._shape:
            padded = np.full(self._shape, self._fill, self._dtype)
            padded[tuple(map(slice, block.shape))] = block
            block = padded
        with self._lock(index):
            self._put(index, block, self._write_empty if write_empty is None else write_empty)

    def write_part(self, part: Part, values: NDArray) -> None:
        """Set ``chunk[part.source]`` to ``values[part.target]``; reads it first, unless all is replaced."""
        piece = view_of(values, part.target) if part.is_view else values[part.target]
        if part.whole:
            self.write(part.chunk, piece)
            return
        with self._lock(part.chunk):
            self._update(part, piece)

    def _update(self, part: Part, piece: NDArray) -> None:
        """Set ``chunk[part.source]`` to `piece`; the caller holds the chunk's lock."""
        block = self._writable(part.chunk)
        block[part.source] = piece
        self._put(part.chunk, block, self._write_empty)

    def clear_outside(self, index: tuple[int, ...], valid: tuple[int, ...]) -> None:
        """Set what chunk `index` holds outside of `valid` lengths to the fill value (trap T9)."""
        with self._lock(index):
            if get_optional(self._store, self.key(index)) is None:
                return
            old = self._writable(index)
            block = np.full(self._shape, self._fill, self._dtype)
            inside = tuple(map(slice, valid))
            block[inside] = old[inside]
            self._put(index, block, self._write_empty)

    def delete(self, index: tuple[int, ...]) -> None:
        """Remove chunk `index`; it then reads as the fill value."""
        self._store.delete(self.key(index))

    def _writable(self, index: tuple[int, ...]) -> NDArray:
        block = self.read(index)
        return block if block.flags.writeable and block.base is None else block.copy()

    def _put(self, index: tuple[int, ...], block: NDArray, write_empty: bool) -> None:
        key = self.key(index)
        if not write_empty and equals_everywhere(block, self._fill):
            self._store.delete(key)
            return
        with self._locating(index):
            data = self._chain.encode(block)
        self._store.put(key, data)

    def _decode(self, index: tuple[int, ...], data: bytes, out: NDArray | None) -> NDArray:
        try:  # not _locating, which costs a microsecond
            return self._chain.decode(data, out)
        except CodecError as error:
            raise self._located(error, index) from error

    def _read_plain(self, index: tuple[int, ...], view: NDArray, missing: Missing) -> None:
        stored = self._store.get_into(self.key(index), as_buffer(view))
        if stored is None:
            self._refuse_if(missing, index)
            view[...] = self._fill
        elif stored != view.nbytes:
            with self._locating(index):
                raise CodecError(f"bytes: got {stored} bytes, expected {view.nbytes}")

    def _scratch_block(self) -> NDArray | None:
        """Return this thread's own block to decode into; its content is copied out before the next use."""
        if not self._chain.decodes_in_place or self.nbytes > _MAX_SCRATCH_BYTES:
            return None
        block: NDArray | None = getattr(self._scratch, "block", None)
        if block is None:
            block = self._scratch.block = np.empty(self._shape, self._dtype)
        return block

    def _lock(self, index: tuple[int, ...]) -> threading.Lock:
        return _locks[hash((self._prefix, index)) % len(_locks)]

    def _refuse_if(self, missing: Missing, index: tuple[int, ...]) -> None:
        if missing == "error":
            raise KeyNotFoundError(f"{self._url}: chunk {index} is missing (key {self.key(index)!r})")

    @contextmanager
    def _locating(self, index: tuple[int, ...]) -> Iterator[None]:
        """Add array, chunk and key to a codec's error."""
        try:
            yield
        except CodecError as error:
            raise self._located(error, index) from error

    def _located(self, error: CodecError, index: tuple[int, ...]) -> CodecError:
        return type(error)(f"{self._url}: chunk {index} (key {self.key(index)!r}): {error}")


def view_of(array: NDArray, index: Index) -> NDArray:
    """Return ``array[index]`` as a view, for arrays without dimensions, too."""
    selector: Any = (*index, ...)
    return cast(NDArray, array[selector])
