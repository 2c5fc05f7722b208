"""Carrying out one task: read the source region, compute, write the one target chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy.typing as npt

from streamzarr.errors import (
    ConfigError,
    KeyNotFoundError,
    MessageError,
    NodeNotFoundError,
    StoreError,
)
from streamzarr.jobs.compute import compute_chunk, decoded_bytes
from streamzarr.jobs.plan import grid_shape
from streamzarr.jobs.wire import Layout, Stage, Task, decode_stage
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.redact import redacted
from streamzarr.stores import Store, is_below, open_store
from streamzarr.zarr import Array, open_array

STAGES_OPEN = 64
"""Stages whose arrays a worker keeps open at once."""


def layout_of(array: Array) -> Layout:
    """Return how `array` is stored, as its tasks will say it."""
    document = array.metadata.to_json()
    keys = (
        ("codecs",) if array.zarr_format == 3 else ("filters", "compressor", "order", "dimension_separator")
    )
    codecs = {key: document.get(key) for key in keys}
    zarr_format: Literal[2, 3] = 3 if array.zarr_format == 3 else 2
    return Layout(
        shape=tuple(array.shape),
        chunks=tuple(array.shards or array.chunks),
        dtype=array.dtype.str,
        zarr_format=zarr_format,
        codecs=msgspec.Raw(msgspec.json.encode(codecs, order="sorted")),
    )


def metadata_etag(store: Store, zarr_format: int) -> str:
    """Return the etag of the metadata of the array at the root of `store`; raises ``KeyNotFoundError``."""
    return store.head("zarr.json" if zarr_format == 3 else ".zarray").etag


@dataclass(frozen=True, slots=True)
class OpenStage:
    """A stage with its arrays open. Shared by all threads of a worker; arrays are thread-safe."""

    stage: Stage
    source: Array
    target: Array
    etag: str
    """Of the target's metadata, taken before the target was opened."""
    limits: Limits = DEFAULT_LIMITS

    @property
    def is_current(self) -> bool:
        """Whether the target's metadata is still what it was: one small request to the store."""
        try:
            return metadata_etag(self.target.store, self.stage.layout.zarr_format) == self.etag
        except KeyNotFoundError:
            return False

    def compute(self, chunk: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return the block that belongs at `chunk` of the target."""
        return compute_chunk(self.stage, self.source, self.target, chunk, self.limits)


class TargetChangedError(StoreError):
    """The target's metadata changed while a task was under way; nothing was written."""


class TaskExecutor:
    """Carries out tasks below the allowed roots. Thread-safe; blocks on store I/O.

    Parameters
    ----------
    roots
        URLs below which tasks may read and write; a task that names another place is refused.
    limits
        Bounds on what a task may ask for.
    """

    def __init__(self, roots: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        if not roots:
            raise ConfigError("a worker needs at least one root URL below which it may read and write")
        self.roots = tuple(roots)
        # Keyed by job: an array that was made anew between two jobs is opened anew.
        self._open = lru_cache(maxsize=STAGES_OPEN)(self._open_stage)

    def __call__(self, task: Task) -> int:
        """Carry out `task` and return the decoded bytes written; the chunk is durable when this returns.

        Raises
        ------
        TargetChangedError
            The target may have been made anew for another job; the next attempt opens it anew.
        """
        opened = self._open(task.job, bytes(task.stage))
        layout = opened.stage.layout
        grid = grid_shape(layout)
        if len(task.chunk) != len(grid) or any(not 0 <= i < n for i, n in zip(task.chunk, grid, strict=True)):
            raise MessageError(
                f"chunk {list(task.chunk)} is outside the grid {list(grid)} of {opened.stage.target}"
            )
        block = opened.compute(task.chunk)
        if not opened.is_current:
            self._open.cache_clear()
            raise TargetChangedError(f"the metadata of {opened.stage.target} changed during task {task.task}")
        opened.target.write_chunk(task.chunk, block)
        return decoded_bytes(block)

    def _open_stage(self, job: str, encoded: bytes) -> OpenStage:
        stage = decode_stage(encoded)
        for url in (stage.source, stage.target):
            if not any(is_below(url, root) for root in self.roots):
                raise ConfigError(
                    f"{redacted(url)} is outside the roots of this worker "
                    f"({', '.join(map(redacted, self.roots))}); "
                    "start the worker with --root for it"
                )
        source = open_array(stage.source, mode="r")
        store = open_store(stage.target)
        try:
            etag = metadata_etag(store, stage.layout.zarr_format)
        except KeyNotFoundError as error:
            raise NodeNotFoundError(f"no array at {stage.target}, the target of job {job}") from error
        target = open_array(store, mode="r+")
        if layout_of(target) != stage.layout:
            raise ConfigError(f"target {stage.target} has another layout than when job {job} was submitted")
        self._check_shapes(stage, source)
        return OpenStage(stage, source, target, etag, self._limits)

    @staticmethod
    def _check_shapes(stage: Stage, source: Array) -> None:
        factor = stage.factor or (1,) * source.ndim
        expected = tuple(-(-size // f) for size, f in zip(source.shape, factor, strict=False))
        if len(factor) != source.ndim or expected != stage.layout.shape:
            raise MessageError(
                f"source {stage.source} has shape {source.shape}, which by factor {list(factor)} "
                f"does not give the target's shape {stage.layout.shape}"
            )
