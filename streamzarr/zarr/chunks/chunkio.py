"""Chunks of one array in its store: read and written whole or in part, by index.

This is where keys, bytes, codecs and fill values meet; selections and shapes of the array are above it.
Runs of chunks, the fast path, are in ``runs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from streamzarr.errors import CodecError, KeyNotFoundError, PreconditionFailedError
from streamzarr.limits import Limits
from streamzarr.stores import Store
from streamzarr.stores.base import BytesLike
from streamzarr.stores.parallel import batches
from streamzarr.zarr.casting import equals_everywhere, filled
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.cache import ArrayCache
from streamzarr.zarr.chunks.claims import claim
from streamzarr.zarr.chunks.excerpt import MIN_CHUNK_BYTES, read_excerpt
from streamzarr.zarr.chunks.runs import gather, read_one, read_run, slots_of, tiles_of
from streamzarr.zarr.chunks.scratch import Scratch
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.codecs.chain import CodecChain
from streamzarr.zarr.grids.grid import Grid, RegularChunks
from streamzarr.zarr.grids.keys import encode_run
from streamzarr.zarr.indexing import Index, Part
from streamzarr.zarr.metadata import ArrayMetadata
from streamzarr.zarr.nodes.documents import get_optional
from streamzarr.zarr.nodes.paths import key_below

Missing: TypeAlias = Literal["fill", "error"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be stored of a chunk for it to be written, as for ``Store.put``."""

    if_match: str | None = None
    if_none_match: bool = False


ALWAYS = Condition()

_DELETED_TOGETHER = 1000
"""Chunks that are claimed, and removed from the store, in one go."""


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
    cache
        Where decoded chunks are kept; each is then decoded on its own, not in runs.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        url: str,
        metadata: ArrayMetadata,
        limits: Limits,
        *,
        write_empty: bool,
        cache: ArrayCache | None = None,
    ) -> None:
        self._store = store
        self._prefix = key_below(path, "")
        self._url = url
        self._keys = metadata.chunk_keys
        self._dtype = metadata.dtype
        self._fill = metadata.fill
        self._write_empty = write_empty
        self._cache = cache
        self._metadata = metadata
        self._limits = limits
        self._grid = metadata.grid
        self._chain = metadata.chain(limits)  # of every chunk, where the grid is regular
        regular = isinstance(metadata.chunk_grid, RegularChunks)
        self._chains: dict[tuple[int, ...], CodecChain] | None = None if regular else {}
        self._in_flight = store.capabilities.in_flight
        self.takes_turns = (
            cache is None
            and self._in_flight == 1
            and self._chain.is_light
            and (self._chain.spec.nbytes or 0) < parallel.LIGHT_CHUNK_BYTES
        )
        """Whether threads that read take turns (``turns``): it is for the GIL that they would wait."""
        # Decided once, since it would cost small reads more than it tells.
        self._excerpts = cache is None and (self._chain.spec.nbytes or 0) >= MIN_CHUNK_BYTES

    def serves(self, metadata: ArrayMetadata) -> bool:
        """Tell whether this would be no different for other `metadata` of the array, grown by a row, say."""
        if self._chains is not None or type(metadata) is not type(self._metadata):
            return False
        before = self._metadata.with_shape(metadata.shape).with_attributes(metadata.attributes)
        return before == metadata

    def shares(self, count: int, *, writing: bool = False) -> parallel.Shares:
        """Return how to divide work on `count` chunks; encoding is never light, nor is making files."""
        if count < 2:
            return parallel.ALONE
        return parallel.divide(
            count,
            self._chain.spec.nbytes or 0,
            cpus=parallel.cores() if self._chain.spec.nbytes else 1,
            in_flight=self._in_flight,
            light=self._chain.is_light and not writing,
        )

    def key(self, index: tuple[int, ...]) -> str:
        """Return the key of chunk `index` in the store."""
        return self._prefix + self._keys.encode(index)

    def chain(self, index: tuple[int, ...]) -> CodecChain:
        """Return the codecs of chunk `index`, which know its stored shape."""
        if self._chains is None:
            return self._chain
        shape = self._grid.chunk_shape(index)
        found = self._chains.get(shape)
        if found is None:
            found = self._chains[shape] = self._metadata.chain(self._limits, shape)
        return found

    def etag(self, index: tuple[int, ...]) -> str | None:
        """Return the etag of chunk `index` in the store; None when it is not there."""
        try:
            return self._store.head(self.key(index)).etag
        except KeyNotFoundError:
            return None

    # Reading

    def read(self, index: tuple[int, ...], missing: Missing = "fill") -> NDArray:
        """Return chunk `index` with its full stored shape; may be read-only."""
        cache = self._cache
        if cache is None:
            block = self._stored(index)
        else:
            key = self.key(index)
            if (kept := cache.get(key)) is not None:
                return kept
            stamp = cache.stamp()
            block = self._stored(index)
            if block is not None:
                block = cache.put(key, stamp, (), block)
        if block is not None:
            return block
        self._refuse_if(missing, index)
        return np.full(self.chain(index).spec.shape, self._fill, self._dtype)

    def _stored(self, index: tuple[int, ...]) -> NDArray | None:
        """Return chunk `index` from the store; None when it is not there."""
        chain = self.chain(index)
        data = get_optional(self._store, self.key(index), chain.most_stored)
        if data is None:
            return None
        try:
            return chain.decode(data)
        except CodecError as error:
            raise self._located(error, index) from error

    def read_part(self, part: Part, out: NDArray, missing: Missing = "fill") -> None:
        """Set ``out[part.target]`` to ``chunk[part.source]``, for every chunk of a run."""
        chain = self.chain(part.chunk)
        if self._excerpts and part.length == 1 and not part.whole and self._read_excerpt(part, out, missing):
            return
        if not (part.is_view and chain.is_direct and self._cache is None):
            for single in part.singles():
                out[single.target] = self.read(single.chunk, missing)[single.source]
        elif part.length == 1:
            view = view_of(out, part.target)
            try:
                stored = read_one(self._store, chain, self.key(part.chunk), view, part.source)
            except CodecError as error:
                raise self._located(error, part.chunk) from error
            if not stored:
                self._refuse_if(missing, part.chunk)
                view[...] = self._fill
        else:
            self._read_run(chain, part, out, missing)

    def _read_excerpt(self, part: Part, out: NDArray, missing: Missing) -> bool:
        """Read no more of a chunk than what is wanted, where that is worth it; tell whether it was."""
        with self._locating(part.chunk):
            stored = read_excerpt(self._store, self.key(part.chunk), self.chain(part.chunk), part, out)
        if stored is False:
            self._refuse_if(missing, part.chunk)
            out[part.target] = self._fill
        return stored is not None

    def _read_run(self, chain: CodecChain, part: Part, out: NDArray, missing: Missing) -> None:
        absent = read_run(
            self._store,
            chain,
            self._keys_of(part),
            tiles_of(out, part),
            part.source,
            self._fill,
            lambda at, error: self._located(error, part.chunk_at(at)),
        )
        if absent:
            self._refuse_if(missing, part.chunk_at(absent[0]))

    # Writing

    def write(
        self,
        index: tuple[int, ...],
        block: NDArray,
        *,
        write_empty: bool | None = None,
        condition: Condition = ALWAYS,
    ) -> None:
        """Write chunk `index` from `block`, which may be cut at the array's end, without reading it.

        No store removes a value on a condition in one step. So a block of only the fill value is stored
        where a condition is given, unless it is that there is none: then it stays away.
        """
        write_empty = self._write_empty if write_empty is None else write_empty
        if condition != ALWAYS and not write_empty:
            if condition.if_none_match and equals_everywhere(block, self._fill):
                self._require_absent(index)
                return
            write_empty = True
        source = tuple([slice(n) for n in block.shape])
        part = Part(index, source, source, whole=True)
        self._write_run(part, block[np.newaxis], write_empty, condition)

    def _require_absent(self, index: tuple[int, ...]) -> None:
        etag = self.etag(index)
        if etag is not None:
            raise PreconditionFailedError(
                f"{self._url}: chunk {index} (key {self.key(index)!r}) has etag {etag!r}, expected no value"
            )

    def write_part(self, part: Part, values: NDArray) -> None:
        """Set ``chunk[part.source]`` to ``values[part.target]``, for every chunk of a run.

        Chunks of which something else is to stay are read first.
        """
        if part.whole and part.is_view:
            self._write_run(part, tiles_of(values, part), self._write_empty)
            return
        for single in part.singles():
            piece = view_of(values, single.target) if part.is_view else values[single.target]
            key = self.key(single.chunk)
            with self._changing([key]):
                self._update(single, key, piece)

    def _update(self, part: Part, key: str, piece: NDArray) -> None:
        """Set ``chunk[part.source]`` to `piece`; the caller has claimed the chunk."""
        index = part.chunk
        chain = self.chain(index)
        if not chain.is_direct:
            block = self._writable(index)
            block[part.source] = piece
            self._put(part, [key], block[np.newaxis], self._write_empty)
            return
        spec = chain.spec
        with Scratch(spec.nbytes or 0) as memory:
            block = np.frombuffer(memory, spec.dtype).reshape(spec.shape)
            whole = tuple([slice(n) for n in spec.shape])
            with self._locating(index):
                stored = read_one(self._store, chain, key, block, whole)
            if not stored:
                block[...] = self._fill
            block[part.source] = piece
            self._put(part, [key], block[np.newaxis], self._write_empty)

    def _write_run(
        self, part: Part, tiles: NDArray, write_empty: bool, condition: Condition = ALWAYS
    ) -> None:
        """Write the chunks of `part` from their `tiles`, which are cut at the array's end."""
        keys, source, spec = self._keys_of(part), part.source, self.chain(part.chunk).spec
        if spec.nbytes is None:
            blocks = np.full((len(tiles), *spec.shape), self._fill, self._dtype)
            blocks[(slice(None), *source)] = tiles
        elif tiles.shape[1:] == spec.shape and tiles[:1].flags.c_contiguous:
            blocks = tiles
        else:
            with Scratch(len(tiles) * spec.nbytes) as memory:
                blocks = gather(tiles, spec.shape, source, self._fill, memory)
                with self._changing(keys):
                    self._put(part, keys, blocks, write_empty, condition)
            return
        with self._changing(keys):
            self._put(part, keys, blocks, write_empty, condition)

    def _put(
        self,
        part: Part,
        keys: Sequence[str],
        blocks: NDArray,
        write_empty: bool,
        condition: Condition = ALWAYS,
    ) -> None:
        """Encode and store each of `blocks`, or remove its key; the caller has claimed the chunks."""
        empty = () if write_empty else filled(blocks, self._fill)
        chain = self.chain(part.chunk)
        # What is direct has been made contiguous; all else goes through every codec as an array.
        slots = slots_of(blocks, chain.spec.nbytes or 0) if chain.is_direct else None
        encoded: list[tuple[str, BytesLike]] = []
        for at, key in enumerate(keys):
            if at in empty:
                continue
            try:
                data = chain.encode(blocks[at, ...]) if slots is None else chain.compress(slots[at])
            except CodecError as error:
                raise self._located(error, part.chunk_at(at)) from error
            encoded.append((key, data))
        if condition != ALWAYS:
            [(key, data)] = encoded
            self._store.put(key, data, if_match=condition.if_match, if_none_match=condition.if_none_match)
        elif len(encoded) == 1:
            self._store.put(*encoded[0])
        elif encoded:
            self._store.put_many(encoded)
        for at in empty:
            self._store.delete(keys[at])

    def clear_each(self, indices: Iterable[tuple[int, ...]], grid: Grid) -> None:
        """Set what chunks hold outside of the array to the fill value (trap T9), several at a time."""
        parallel.for_each(
            lambda index: self._clear_outside(index, grid.valid_shape(index)), indices, self._in_flight
        )

    def _clear_outside(self, index: tuple[int, ...], valid: tuple[int, ...]) -> None:
        key = self.key(index)
        with self._changing([key]):
            old = self._stored(index)
            if old is None:
                return
            block = np.full(old.shape, self._fill, self._dtype)
            inside = tuple(map(slice, valid))
            block[inside] = old[inside]
            self._put(Part(index, inside, inside, whole=True), [key], block[np.newaxis], self._write_empty)

    def delete(self, index: tuple[int, ...]) -> None:
        """Remove chunk `index`; it then reads as the fill value."""
        key = self.key(index)
        with self._changing([key]):
            self._store.delete(key)

    def delete_each(self, indices: Iterable[tuple[int, ...]]) -> None:
        """Remove chunks, many at a time; `indices` may be what :meth:`stored` yields."""
        for keys in batches(map(self.key, indices), _DELETED_TOGETHER):
            with self._changing(keys):
                self._store.delete_many(keys)

    def stored(self, grid: Grid) -> Iterator[tuple[int, ...]]:
        """Yield the index of each chunk of `grid` that is stored; lists the store."""
        prefix = self._prefix
        for key in self._store.list(prefix.rstrip("/")):
            try:
                index = self._keys.decode(key.removeprefix(prefix))
            except ValueError:
                continue
            if index in grid and self.key(index) == key:
                yield index

    def _writable(self, index: tuple[int, ...]) -> NDArray:
        """Return chunk `index` to change it: always from the store, where another process may have been."""
        block = self._stored(index)
        if block is None:
            return np.full(self.chain(index).spec.shape, self._fill, self._dtype)
        return block if block.flags.writeable and block.base is None else block.copy()

    def _changing(self, keys: Sequence[str]) -> AbstractContextManager[None]:
        """Keep other threads from writing the chunks of `keys`, and the cache from keeping what they held."""
        return claim(keys) if self._cache is None else self._changing_kept(self._cache, keys)

    @contextmanager
    def _changing_kept(self, cache: ArrayCache, keys: Sequence[str]) -> Iterator[None]:
        with claim(keys), cache.changing(keys):
            yield

    # Names and errors

    def _keys_of(self, part: Part) -> list[str]:
        keys = encode_run(self._keys, part.chunk, part.axis, part.length)
        return [self._prefix + key for key in keys] if self._prefix else keys

    def _refuse_if(self, missing: Missing, index: tuple[int, ...]) -> None:
        if missing == "error":
            raise KeyNotFoundError(f"{self._url}: chunk {index} is missing (key {self.key(index)!r})")

    def _located(self, error: CodecError, index: tuple[int, ...]) -> CodecError:
        """Add array, chunk and key to a codec's error."""
        return type(error)(f"{self._url}: chunk {index} (key {self.key(index)!r}): {error}")

    @contextmanager
    def _locating(self, index: tuple[int, ...]) -> Iterator[None]:
        try:
            yield
        except CodecError as error:
            raise self._located(error, index) from error


def view_of(array: NDArray, index: Index) -> NDArray:
    """Return ``array[index]`` as a view, for arrays without dimensions, too."""
    selector: Any = (*index, ...)
    view: NDArray = array[selector]
    return view
