"""The arrays of a stage, open: what is read must be what was pinned, what is written to still be there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, StoreError, StreamzarrError
from streamzarr.jobs.block import Box
from streamzarr.jobs.compute import check_region, wanted_of
from streamzarr.jobs.numbering import Index, Region, chunk_region
from streamzarr.jobs.pin import check_source, metadata_etag
from streamzarr.jobs.planner import Held
from streamzarr.jobs.wire import Stage
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.redact import redacted
from streamzarr.zarr import Array

WRITE_ATTEMPTS = 5
"""Looks at a chunk that others write at the same time, at most; the task is then tried again later."""


class TargetChangedError(StoreError):
    """The target changed while a task was under way; nothing was written, the next attempt opens it anew."""


class UnwantedError(StreamzarrError):
    """The job is over; its target may have become another job's."""


class Opened(Protocol):
    """A stage with what it reads and writes open. Shared by all threads of a worker."""

    @property
    def stage(self) -> Stage:
        """The stage."""
        ...

    @property
    def source(self) -> Array:
        """What is read."""
        ...

    @property
    def target(self) -> Array:
        """What is written."""
        ...

    @property
    def held(self) -> Held:
        """What the memory of its tasks goes by."""
        ...

    def wanted(self, region: Region) -> Region:
        """Return the part of the source that `region` of the target is made of."""
        ...

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Return what the source holds of a box of chunks, the caller's own; see :meth:`check`."""
        ...

    def check(self) -> None:
        """Make sure, between reading and writing, that what was read is what the job was submitted for."""
        ...

    def write(self, chunk: Index, block: npt.NDArray[Any], confirm: Callable[[], bool]) -> None:
        """Write the block, durably; `confirm` tells whether the job's tasks are wanted."""
        ...


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
    held: Held
    """What the memory of its tasks goes by."""
    limits: Limits = DEFAULT_LIMITS

    def wanted(self, region: Region) -> Region:
        """Return the part of the source that `region` of the target is made of."""
        return wanted_of(self.stage, region, self.source)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Return what the source holds of a box of chunks, the caller's own; see :meth:`check`.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            It cannot be read, and is not the array that the job was submitted for.
        streamzarr.errors.LimitExceededError
            A chunk is made of more of the source than may be held in memory.
        streamzarr.errors.KeyNotFoundError
            A chunk of the source is not stored, and the job does not take that for the fill value.
        streamzarr.errors.CodecError, streamzarr.errors.StoreError
            The source cannot be read.
        """
        if self.stage.operation == "downsample":
            check_region(self.source, self.wanted(chunk_region(self.stage.layout, box.low)), self.limits)
        try:
            return self.source.read(self.wanted(box.region(self.stage.layout)), missing=self.stage.missing)
        except StreamzarrError:
            self._check_source()  # else an error of another array's chunks would hide the reason
            raise

    def check(self) -> None:
        """Make sure of both arrays, between what is read of one and what is written to the other.

        A target without conditional put is looked at before each write, and not here.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            What was read may not be of the array that the job was submitted for.
        TargetChangedError
            Another array has taken the target's place.
        """
        self._check_source()
        if self._is_conditional:
            self._check_target()

    def write(self, chunk: Index, block: npt.NDArray[Any], confirm: Callable[[], bool]) -> None:
        """Write the block where the target is still the one that was opened.

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
        UnwantedError
            The job is over.
        """
        target, write_empty = self.target, self.stage.write_empty
        if not self._is_conditional:
            self._check_target()
            target.write_chunk(chunk, block, write_empty=write_empty)
            return
        for _ in range(WRITE_ATTEMPTS):
            with suppress(PreconditionFailedError):
                target.write_chunk(chunk, block, write_empty=write_empty, if_none_match=True)
                return
            etag = target.chunk_etag(chunk)
            self._check_target()
            if not confirm():
                raise UnwantedError
            if etag is not None:
                with suppress(PreconditionFailedError):
                    target.write_chunk(chunk, block, write_empty=write_empty, if_match=etag)
                    return
        raise TargetChangedError(
            f"chunk {list(chunk)} of {redacted(target.url)} was written by others again and again"
        )

    @property
    def _is_conditional(self) -> bool:
        return self.target.store.capabilities.conditional_put

    def _check_target(self) -> None:
        with suppress(KeyNotFoundError):
            if metadata_etag(self.target.store, self.stage.layout.zarr_format) == self.target_etag:
                return
        raise TargetChangedError(
            f"the metadata of {redacted(self.stage.target)} changed while a task was under way"
        )

    def _check_source(self) -> None:
        check_source(self.source.store, self.source_etag, self.source.zarr_format)
