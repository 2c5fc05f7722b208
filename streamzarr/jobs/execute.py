"""Carrying out one task: read the source region, compute, write the one target chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
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
    PreconditionFailedError,
    StoreError,
    StreamzarrError,
)
from streamzarr.jobs.budget import ByteBudget, bytes_of_task
from streamzarr.jobs.compute import compute_chunk, decoded_bytes
from streamzarr.jobs.numbering import grid_shape
from streamzarr.jobs.options import DEFAULT_MAX_BYTES
from streamzarr.jobs.pin import check_mark, check_source, lost, metadata_etag, open_pinned
from streamzarr.jobs.wire import Layout, Stage, Task, decode_stage
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.redact import redacted
from streamzarr.stores import is_below, open_store
from streamzarr.zarr import Array, open_array

STAGES_OPEN = 64
"""Stages whose arrays a worker keeps open at once."""

WRITE_ATTEMPTS = 5
"""Looks at a chunk that others write at the same time, at most; the task is then tried again later."""


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


class TargetChangedError(StoreError):
    """The target changed while a task was under way; nothing was written, the next attempt opens it anew."""


class _UnwantedError(StreamzarrError):
    """The job is over; its target may have become another job's."""


@dataclass(frozen=True, slots=True)
class OpenStage:
    """A stage with its arrays open. Shared by all threads of a worker; arrays are thread-safe."""

    stage: Stage
    source: Array
    target: Array
    source_etag: str
    """Of the source's metadata, as the job has it or taken before the source was opened."""
    target_etag: str
    """Of the target's metadata, taken before the target was opened."""
    limits: Limits = DEFAULT_LIMITS

    def compute(self, chunk: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return the block that belongs at `chunk` of the target.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            What was read may not be of the array that the job was submitted for.
        """
        try:
            block = compute_chunk(self.stage, self.source, self.target, chunk, self.limits)
        except StreamzarrError:
            self._check_source()  # else an error of another array's chunks would hide the reason
            raise
        self._check_source()
        return block

    def write(self, chunk: tuple[int, ...], block: npt.NDArray[Any], confirm: Callable[[], bool]) -> bool:
        """Write the block where the target is still the one that was opened; False: the job is over.

        Where nothing is, the chunk is put on the condition that nothing is: whoever has more right to the
        place comes later and replaces it. Where something is, it may be of an array that has taken this one's
        place: so its etag first, then target and register, then it is replaced if it is still the same.

        Parameters
        ----------
        confirm
            Reads the register to its end and tells whether the job's tasks are wanted.

        Raises
        ------
        TargetChangedError
            Another array has taken the target's place, or somebody else keeps writing the same chunk.
        """
        target, write_empty = self.target, self.stage.write_empty
        self.check_target()
        if not target.store.capabilities.conditional_put:
            target.write_chunk(chunk, block, write_empty=write_empty)
            return True
        for _ in range(WRITE_ATTEMPTS):
            with suppress(PreconditionFailedError):
                target.write_chunk(chunk, block, write_empty=write_empty, if_none_match=True)
                return True
            etag = target.chunk_etag(chunk)
            self.check_target()
            if not confirm():
                return False
            if etag is not None:
                with suppress(PreconditionFailedError):
                    target.write_chunk(chunk, block, write_empty=write_empty, if_match=etag)
                    return True
        raise TargetChangedError(
            f"chunk {list(chunk)} of {redacted(target.url)} was written by others again and again"
        )

    def check_target(self) -> None:
        """Make sure that the target is the array that was opened: one small request to the store.

        Raises
        ------
        TargetChangedError
            It is gone, or its metadata has changed.
        """
        with suppress(KeyNotFoundError):
            if metadata_etag(self.target.store, self.stage.layout.zarr_format) == self.target_etag:
                return
        raise TargetChangedError(
            f"the metadata of {redacted(self.stage.target)} changed while a task was under way"
        )

    def _check_source(self) -> None:
        check_source(self.source.store, self.source_etag, self.source.zarr_format)


class TaskExecutor:
    """Carries out tasks below the allowed roots. Thread-safe; blocks on store I/O.

    Parameters
    ----------
    roots
        URLs below which tasks may read and write; a task that names another place is refused.
    limits
        Bounds on what a task may ask for.
    is_wanted
        Reads the register of jobs to its end and tells whether a job's tasks are to be carried out. Asked
        when arrays are opened, and where a task finds that somebody else has been at its chunk.
    max_bytes
        Bytes of chunks that all tasks under way hold together; one that needs more runs alone.
    """

    def __init__(
        self,
        roots: Sequence[str],
        limits: Limits = DEFAULT_LIMITS,
        is_wanted: Callable[[str], bool] = lambda job: True,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self._limits = limits
        self._is_wanted = is_wanted
        self._budget = ByteBudget(max_bytes)
        if not roots:
            raise ConfigError("a worker needs at least one root URL below which it may read and write")
        self.roots = tuple(roots)
        # Keyed by job: an array that was made anew between two jobs is opened anew.
        self._open = lru_cache(maxsize=STAGES_OPEN)(self._open_stage)

    def __call__(
        self, task: Task, in_flight: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> int | None:
        """Carry out `task` and return the decoded bytes written; the chunk is durable when this returns.

        None says that the task's job is over, and that nothing was written.

        Parameters
        ----------
        in_flight
            Entered for as long as the task is worked at, not while it waits for others to give bytes back:
            that time is not its own, nor is the death of a process meanwhile.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            The source is not what the job was submitted for.
        TargetChangedError
            The target was made anew, or its metadata edited, while the job goes on.
        """
        try:
            return self._carry_out(task, in_flight)
        except _UnwantedError:
            return None
        except TargetChangedError:
            self._open.cache_clear()
            if self._is_wanted(task.job):
                raise
            return None

    def _carry_out(self, task: Task, in_flight: Callable[[], AbstractContextManager[object]]) -> int | None:
        with in_flight():
            opened = self._open(task.job, bytes(task.stage))
            grid = grid_shape(opened.stage.layout)
            if len(task.chunk) != len(grid) or any(
                not 0 <= i < n for i, n in zip(task.chunk, grid, strict=True)
            ):
                raise MessageError(
                    f"chunk {list(task.chunk)} is outside the grid {list(grid)} of {opened.stage.target}"
                )
            nbytes = bytes_of_task(opened.stage, opened.source, opened.target, task.chunk)
        with self._budget.hold(nbytes), in_flight():
            block = opened.compute(task.chunk)
            written = opened.write(task.chunk, block, lambda: self._is_wanted(task.job))
            return decoded_bytes(block) if written else None

    def _open_stage(self, job: str, encoded: bytes) -> OpenStage:
        stage = decode_stage(encoded)
        for url in (stage.source, stage.target):
            if not any(is_below(url, root) for root in self.roots):
                raise ConfigError(
                    f"{redacted(url)} is outside the roots of this worker "
                    f"({', '.join(map(redacted, self.roots))}); "
                    "start the worker with --root for it"
                )
        source, source_etag = self._open_source(stage)
        store = open_store(stage.target)
        try:
            etag = metadata_etag(store, stage.layout.zarr_format)
        except KeyNotFoundError as error:
            if not self._is_wanted(job):
                raise _UnwantedError from error
            raise NodeNotFoundError(f"no array at {stage.target}, the target of job {job}") from error
        target = open_array(store, mode="r+")
        # Now that the target is pinned: if it was another job's already, this one had been cancelled before.
        if not self._is_wanted(job):
            raise _UnwantedError
        if layout_of(target) != stage.layout:
            raise ConfigError(f"target {stage.target} has another layout than when job {job} was submitted")
        check_mark(store, stage)
        self._check_shapes(stage, source)
        return OpenStage(stage, source, target, source_etag, etag, self._limits)

    @staticmethod
    def _open_source(stage: Stage) -> tuple[Array, str]:
        if stage.source_etag:
            check_source(open_store(stage.source, mode="r"), stage.source_etag)
            source, _ = open_pinned(stage.source)
            return source, stage.source_etag
        try:
            return open_pinned(stage.source)
        except NodeNotFoundError as error:
            raise lost(stage.source) from error

    @staticmethod
    def _check_shapes(stage: Stage, source: Array) -> None:
        factor = stage.factor or (1,) * source.ndim
        expected = tuple(-(-size // f) for size, f in zip(source.shape, factor, strict=False))
        if len(factor) != source.ndim or expected != stage.layout.shape:
            raise MessageError(
                f"source {stage.source} has shape {source.shape}, which by factor {list(factor)} "
                f"does not give the target's shape {stage.layout.shape}"
            )
