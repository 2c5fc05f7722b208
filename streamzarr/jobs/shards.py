"""Compacting a stream as a job: tasks put shards of its fields, and the end of the job lets its root say so.

The stream may be written, read, shortened and compacted by others meanwhile: full chunks never change, and
whoever puts a shard puts what everybody would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from streamzarr.errors import MessageError, NodeNotFoundError, SourceChangedError
from streamzarr.jobs.block import Box
from streamzarr.jobs.budget import held_by
from streamzarr.jobs.layout import layout_of
from streamzarr.jobs.numbering import Index, Region
from streamzarr.jobs.planner import Held
from streamzarr.jobs.wire import Gather, Stage
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.redact import redacted
from streamzarr.stores import MemoryStore, Store, join_url, open_store
from streamzarr.stream.compaction import delete_sealed, seal
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.stream.shards import put_shard, read_rows, whole_shards
from streamzarr.stream.snapshot import Snapshot, open_stream
from streamzarr.stream.view import open_view
from streamzarr.zarr import Array
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.nodes.paths import key_below

CACHE_BYTES = 1
"""Chunks are read once: none is kept."""


@dataclass(frozen=True, slots=True)
class OpenShards:
    """A stage that puts shards, with its stream open. Shared by all threads of a worker."""

    stage: Stage
    snapshot: Snapshot
    source: Array
    """The field."""
    target: Array
    """Those of its shards that the stage puts."""
    held: Held

    def wanted(self, region: Region) -> Region:
        """Return the rows of the stream that `region` of the target has."""
        first = _gather(self.stage).first_row
        rows = region[0]
        return slice(rows.start + first, rows.stop + first), *region[1:]

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Return what the field holds of a box of shards; rows that were given up are the fill value.

        Raises
        ------
        streamzarr.errors.KeyNotFoundError, streamzarr.errors.CodecError, streamzarr.errors.StoreError
            The stream cannot be read.
        streamzarr.errors.SourceChangedError
            It is gone, or another one.
        """
        region = self.wanted(box.region(self.stage.layout))
        try:
            return read_rows(self.snapshot, _gather(self.stage).field, region, self.target.fill_value)
        except NodeNotFoundError as error:
            raise _gone(self.stage) from error

    def check(self) -> None:
        """Make sure that the stream is the one of the job; raises ``SourceChangedError``."""
        try:
            root = self.snapshot.refresh().document
        except NodeNotFoundError as error:
            raise _gone(self.stage) from error
        _check(self.stage, root)

    def write(self, chunk: Index, block: npt.NDArray[Any], confirm: Callable[[], bool]) -> None:
        """Put a shard. However late that is, it holds what belongs there, so nobody is asked."""
        gather, array = _gather(self.stage), self.target.metadata
        assert isinstance(array, ArrayMetadataV3)
        index = (chunk[0] + gather.first_row // chunk_rows_of(array), *chunk[1:])
        put_shard(self.target.store, "", gather.field, array, index, block)


def open_shards(stage: Stage, limits: Limits = DEFAULT_LIMITS) -> OpenShards:
    """Open the stream of a stage that puts shards.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        The stream is gone, or another one.
    streamzarr.errors.MessageError
        The stage is none of a compaction.
    """
    gather = _gather(stage)
    if stage.target != join_url(stage.source, key_below(SHARDS, gather.field)):
        raise MessageError(f"target {redacted(stage.target)} is not where the shards of the stream are")
    store = open_store(stage.source)
    try:
        snapshot = open_stream(store, cache=CACHE_BYTES, limits=limits)
    except NodeNotFoundError as error:
        raise _gone(stage) from error
    _check(stage, snapshot.document)
    target = array_of_shards(store, snapshot.document, gather.field, stage.layout.shape[0])
    source = snapshot.view.array(gather.field)
    return OpenShards(stage, snapshot, source, target, held_by(stage, source, target))


def array_of_shards(store: Store, root: RootDocument, field: str, rows: int) -> Array:
    """Return the array that some of a field's shards are, with so many rows."""
    metadata = root.shards[field]
    metadata = replace(metadata, shape=(rows, *metadata.shape[1:]))
    return Array(store, key_below(SHARDS, field), metadata)


def check_streams(stages: Iterable[Stage]) -> None:
    """Make sure that the stream whose shards `stages` put is the one of the job; others are passed over.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        The stream is gone, or another one.
    streamzarr.errors.StoreError
        The store failed.
    """
    gathering = [stage for stage in stages if stage.gather is not None]
    if not gathering:
        return
    try:
        root = open_view(open_store(gathering[0].source, mode="r"), "", DEFAULT_LIMITS).document
    except NodeNotFoundError as error:
        raise _gone(gathering[0]) from error
    for stage in gathering:
        _check(stage, root)


def seal_shards(stages: Iterable[Stage]) -> None:
    """Let the stream say that its rows are in the shards that `stages` have put; others are passed over.

    For errors see :func:`check_streams`; after one of the store do it again.
    """
    gathering = [stage for stage in stages if stage.gather is not None]
    check_streams(gathering)
    if not gathering:
        return
    rows = {_gather(each).field: _gather(each).first_row + each.layout.shape[0] for each in gathering}
    store = open_store(gathering[0].source)
    root = seal(store, "", rows)
    if any(_gather(each).delete for each in gathering):
        delete_sealed(store, "", root, rows)


def _check(stage: Stage, root: RootDocument) -> None:
    """Make sure that `root` is that of the stream which a stage was submitted for."""
    gather, store = _gather(stage), MemoryStore()
    declared = root.shards.get(gather.field)
    rows = stage.layout.shape[0] if stage.layout.shape else 0
    if (
        declared is None
        or (root.record.stream or "") != gather.stream
        or layout_of(array_of_shards(store, root, gather.field, rows)) != stage.layout
        or gather.first_row % chunk_rows_of(declared)
        or gather.first_row + rows > whole_shards(root, gather.field)
    ):
        raise SourceChangedError(
            f"{redacted(stage.source)} is another stream than the one whose field {gather.field!r} was to be "
            "compacted; submit the job again"
        )


def _gone(stage: Stage) -> SourceChangedError:
    return SourceChangedError(
        f"the stream {redacted(stage.source)} is gone since the job was submitted, or another one is there"
    )


def _gather(stage: Stage) -> Gather:
    assert stage.gather is not None  # a stage that compacts has one
    return stage.gather
