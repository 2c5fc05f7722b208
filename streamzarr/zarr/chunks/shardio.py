"""Shards of one array in its store: inner chunks are read by byte ranges; a shard is written whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from streamzarr.errors import KeyNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import RangeRequest, Store, SuffixRequest
from streamzarr.stores.ranges import merge
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.cache import ArrayCache
from streamzarr.zarr.chunks.chunkio import ChunkIO, Missing, view_of
from streamzarr.zarr.chunks.excerpt import MIN_CHUNK_BYTES, read_excerpt
from streamzarr.zarr.chunks.nested import Copy, Piece, chunks_of, locate
from streamzarr.zarr.chunks.parallel import Shares
from streamzarr.zarr.chunks.scratch import Scratch
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.codecs.sharding import ShardingCodec, ShardLayout
from streamzarr.zarr.indexing import Part, Points, only_part, plan
from streamzarr.zarr.metadata import ArrayMetadata
from streamzarr.zarr.nodes.documents import get_optional

Keep: TypeAlias = Callable[[tuple[int, ...], NDArray], NDArray]
"""Keeps an inner chunk in a cache, and returns it read-only."""

MAX_GAP = 128 * 1024
"""Bytes read for nothing rather than asked around: about what a request costs, on a disk or in a bucket."""
MAX_FETCH = 16 << 20
"""Bytes of one request, so that requests can run side by side and memory stays small."""


class ShardIO(ChunkIO):
    """The shards of an array; see :class:`ChunkIO`.

    A read asks first for the index of a shard, then for the inner chunks that it needs; where these are
    shards themselves, for their indexes in between. A write of part of a shard keeps the encoded bytes of the
    inner chunks that it does not touch.
    """

    def _layout(self, index: tuple[int, ...]) -> ShardLayout:
        codec = self.chain(index).array_bytes
        assert isinstance(codec, ShardingCodec)
        return codec.layout

    def shares(self, count: int, *, writing: bool = False) -> Shares:
        """Return how to divide work on `count` shards, each of which divides its own."""
        return super().shares(count, writing=writing)._replace(run=1)

    def read_part(self, part: Part, out: NDArray, missing: Missing = "fill") -> None:
        """Set ``out[part.target]`` to ``shard[part.source]``. Only a shard is missing, no inner chunk."""
        if part.is_view:
            self._read_inner(part, view_of(out, part.target), missing)
            return
        selected = part.selected
        shape = (selected.count,) if isinstance(selected, Points) else selected.full_shape
        block = np.empty(shape, self._dtype)
        self._read_inner(part, block, missing)
        out[part.target] = block

    def _read_inner(self, part: Part, view: NDArray, missing: Missing) -> None:
        layout, key = self._layout(part.chunk), self.key(part.chunk)
        single = only_part(part.selected, layout.grid)
        inners: Iterator[Part] | Sequence[Part] = (
            plan(part.selected, layout.grid) if single is None else [single]
        )
        keep: Keep | None = None
        if self._cache is not None:
            inners = _not_kept(self._cache, key, inners, view)
            if not inners:
                return
            keep = partial(self._cache.put, key, self._cache.stamp())
        nbytes = layout.index_nbytes
        request = RangeRequest(0, nbytes) if layout.location == "start" else SuffixRequest(nbytes)
        try:
            stored = self._store.get(key, request)
        except KeyNotFoundError:
            self._refuse_if(missing, part.chunk)
            view[...] = self._fill
            return
        with self._locating(part.chunk):
            index = layout.decode_index(stored)
            pieces, copies = locate(layout, index, inners, view), list[Copy]()
            if keep is None:  # a cache keeps inner shards whole
                pieces, copies = chunks_of(pieces, partial(self._fetch_small, key))
                pieces = self._without_excerpts(key, pieces)
        places = [(piece.start, piece.stop) for piece in pieces]
        # A list of requests is sent at once, but only as much of it as fits in memory.
        for fetch in merge(places, max_gap=MAX_GAP, max_size=MAX_FETCH):
            [data] = self._store.get_ranges(key, [RangeRequest(fetch.start, fetch.stop)])
            with self._locating(part.chunk):
                self._place(memoryview(data), fetch.start, [pieces[number] for number in fetch.pieces], keep)
        for into, target, block in copies:
            into[target] = block

    def _without_excerpts(self, key: str, pieces: list[Piece]) -> list[Piece]:
        """Read those pieces of which only ranges are wanted, and return the others."""
        if not pieces or (pieces[0].layout.inner.spec.nbytes or 0) < MIN_CHUNK_BYTES:
            return pieces
        others: list[Piece] = []

        def read(piece: Piece) -> None:
            layout, inner = piece.layout, piece.part
            in_part = not inner.whole and piece.stop - piece.start == layout.inner.spec.nbytes
            if not (in_part and read_excerpt(self._store, key, layout.inner, inner, piece.view, piece.start)):
                others.append(piece)

        parallel.for_each(read, pieces, self._in_flight)
        return others

    def _fetch_small(self, key: str, places: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return the bytes at each of `places`, which together are small."""
        fetches = merge(places, max_gap=MAX_GAP, max_size=MAX_FETCH)
        requests = [RangeRequest(fetch.start, fetch.stop) for fetch in fetches]
        found: dict[int, memoryview] = {}
        for fetch, data in zip(fetches, self._store.get_ranges(key, requests), strict=True):
            for number in fetch.pieces:
                start, stop = places[number]
                found[number] = memoryview(data)[start - fetch.start : stop - fetch.start]
        return [found[number] for number in range(len(places))]

    def _place(self, data: memoryview, start: int, pieces: list[Piece], keep: Keep | None) -> None:
        """Decode pieces from `data`, the bytes of the shard from `start` on, to where they go."""

        def place(piece: Piece) -> None:
            layout, inner, view = piece.layout, piece.part, piece.view
            layout.check(inner.chunk, piece.stop, start + len(data))
            stored = data[piece.start - start : piece.stop - start]
            if keep is not None:
                view[inner.target] = keep(inner.chunk, layout.decode_inner(inner.chunk, stored))[inner.source]
                return
            spec = layout.inner.spec
            if not layout.inner.decodes_in_place:
                view[inner.target] = layout.decode_inner(inner.chunk, stored)[inner.source]
                return
            target = view_of(view, inner.target) if inner.whole else None
            if target is not None and target.shape == spec.shape and target.flags.c_contiguous:
                layout.decode_inner(inner.chunk, stored, target)
                return
            with Scratch(spec.nbytes or 0) as memory:
                block = np.frombuffer(memory, spec.dtype).reshape(spec.shape)
                layout.decode_inner(inner.chunk, stored, block)
                view[inner.target] = block[inner.source]

        if len(pieces) == 1:
            place(pieces[0])
            return
        inner = pieces[0].layout.inner
        nbytes = inner.spec.nbytes or 0
        cpus = parallel.cores() if nbytes else 1
        shares = parallel.divide(len(pieces), nbytes, cpus=cpus, light=inner.is_light)
        groups = [pieces[at : at + shares.run] for at in range(0, len(pieces), shares.run)]

        def place_all(group: list[Piece]) -> None:
            for piece in group:
                place(piece)

        parallel.for_each(place_all, groups, shares.threads)

    def _update(self, part: Part, key: str, piece: NDArray) -> None:
        layout = self._layout(part.chunk)
        stored = get_optional(self._store, key)
        with self._locating(part.chunk):
            encoded: dict[tuple[int, ...], bytes | bytearray | memoryview] = {}
            if stored is not None:
                encoded.update(layout.split(stored))
            for inner in plan(part.selected, layout.grid):
                old = encoded.pop(inner.chunk, None)
                block = np.full(layout.inner.spec.shape, self._fill, self._dtype)
                if old is not None and not inner.whole:
                    block[...] = layout.decode_inner(inner.chunk, old)
                block[inner.source] = piece[inner.target]
                new = layout.encode_inner(block)
                if new is not None:
                    encoded[inner.chunk] = new
            data = layout.assemble(encoded)
        if encoded or self._write_empty:
            self._store.put(key, data)
        else:
            self._store.delete(key)


def _not_kept(cache: ArrayCache, key: str, parts: Iterable[Part], view: NDArray) -> list[Part]:
    """Set the parts of `view` whose inner chunks the cache has, and return the others."""
    others = []
    for part in parts:
        block = cache.get(key, part.chunk)
        if block is None:
            others.append(part)
        else:
            view[part.target] = block[part.source]
    return others


def chunk_io(
    store: Store,
    path: str,
    url: str,
    metadata: ArrayMetadata,
    limits: Limits,
    *,
    write_empty: bool,
    cache: ArrayCache | None = None,
) -> ChunkIO:
    """Return what reads and writes the units of an array.

    Codecs around the sharding codec hide where inner chunks are; such shards are handled as large chunks
    (trap T14).
    """
    chain = metadata.chain(limits)
    sharded = isinstance(chain.array_bytes, ShardingCodec) and not chain.array_array and not chain.bytes_bytes
    kind = ShardIO if sharded else ChunkIO
    return kind(store, path, url, metadata, limits, write_empty=write_empty, cache=cache)
