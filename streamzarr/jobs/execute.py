"""Carrying out a task below the allowed roots: open its arrays, then box after box of its chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial

from streamzarr.errors import ConfigError, KeyNotFoundError, MessageError, NodeNotFoundError
from streamzarr.jobs.block import Box
from streamzarr.jobs.boxwork import BoxWork, InFlight
from streamzarr.jobs.budget import ByteBudget, bytes_of_box, held_by
from streamzarr.jobs.layout import layout_of
from streamzarr.jobs.opened import Opened, OpenStage, TargetChangedError, UnwantedError
from streamzarr.jobs.options import DEFAULT_MAX_BYTES
from streamzarr.jobs.outcome import Tell
from streamzarr.jobs.pin import check_mark, check_source, lost, metadata_etag, open_pinned
from streamzarr.jobs.shards import open_shards
from streamzarr.jobs.transforms import find_transform
from streamzarr.jobs.wire import Stage, Task, decode_stage
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import is_below, open_store
from streamzarr.zarr import Array, open_array

STAGES_OPEN = 64
"""Stages whose arrays a worker keeps open at once."""


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
    goes_on
        Tells the same by a reading of a moment ago. Asked before each chunk: a task of many may take long.
    max_bytes
        Bytes of chunks that all tasks under way hold together; one beyond that is cut, a chunk runs alone.
    runtime
        Its threads wait for each other's bytes.
    """

    def __init__(
        self,
        roots: Sequence[str],
        limits: Limits = DEFAULT_LIMITS,
        is_wanted: Callable[[str], bool] = lambda job: True,
        goes_on: Callable[[str], bool] = lambda job: True,
        max_bytes: int = DEFAULT_MAX_BYTES,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._limits = limits
        self._is_wanted = is_wanted
        self._goes_on = goes_on
        self._budget = ByteBudget(max_bytes, runtime)
        if not roots:
            raise ConfigError("a worker needs at least one root URL below which it may read and write")
        self.roots = tuple(roots)
        # Keyed by job: an array that was made anew between two jobs is opened anew.
        self._open = lru_cache(maxsize=STAGES_OPEN)(self._open_stage)

    def __call__(
        self, task: Task, numbers: Sequence[int], tell: Tell, in_flight: InFlight = nullcontext
    ) -> bool:
        """Carry out chunks of `task`; each that `tell` hears of as written is durable then.

        Returns
        -------
        bool
            False says that the task's job is over, and that what was not told of is not written.

        Parameters
        ----------
        numbers
            Of the chunks, ascending.
        tell
            Told of each chunk how it ended, in no particular order and from several threads.
        in_flight
            Entered for each step of the work, with the numbers of the chunks that it is for: opening the
            arrays, a read, a chunk that is computed, one that is written. Not while the task waits for others
            to give bytes back: that time is not its own, nor is the death of a process meanwhile.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            The source is not what the job was submitted for.
        TargetChangedError
            The target was made anew, or its metadata edited, while the job goes on.
        streamzarr.errors.ConfigError, streamzarr.errors.MessageError, streamzarr.errors.TransformError
            The task cannot be carried out here at all.
        """
        try:
            self._carry_out(task, numbers, tell, in_flight)
        except UnwantedError:
            return False
        except TargetChangedError:
            self._open.cache_clear()
            if self._is_wanted(task.job):
                raise
            return False
        return True

    def _carry_out(self, task: Task, numbers: Sequence[int], tell: Tell, in_flight: InFlight) -> None:
        with in_flight(numbers):
            opened = self._open(task.job, bytes(task.stage))
            todo = [Box.of_task(opened.stage, task, numbers)]
        while todo:
            box = todo.pop()
            nbytes = bytes_of_box(opened.held, opened.stage, opened.source, box)
            if len(box) > 1 and (box.is_sparse or nbytes > self._budget.limit):
                todo += reversed(box.halves())
                continue
            with self._budget.hold(nbytes):
                carry = BoxWork(
                    opened,
                    tell,
                    in_flight,
                    partial(self._is_wanted, task.job),
                    partial(self._goes_on, task.job),
                )
                todo += reversed(carry(box))

    def _open_stage(self, job: str, encoded: bytes) -> Opened:
        stage = decode_stage(encoded)
        for url in (stage.source, stage.target):
            if not any(is_below(url, root) for root in self.roots):
                raise ConfigError(
                    f"{redacted(url)} is outside the roots of this worker "
                    f"({', '.join(map(redacted, self.roots))}); "
                    "start the worker with --root for it"
                )
        if stage.operation == "compact":
            return open_shards(stage, self._limits)
        source, source_etag = self._open_source(stage)
        store = open_store(stage.target)
        try:
            etag = metadata_etag(store, stage.layout.zarr_format)
        except KeyNotFoundError as error:
            if not self._is_wanted(job):
                raise UnwantedError from error
            raise NodeNotFoundError(f"no array at {stage.target}, the target of job {job}") from error
        target = open_array(store, mode="r+")
        # Now that the target is pinned: if it was another job's already, this one had been cancelled before.
        if not self._is_wanted(job):
            raise UnwantedError
        if layout_of(target) != stage.layout:
            raise ConfigError(f"target {stage.target} has another layout than when job {job} was submitted")
        check_mark(store, stage)
        self._check_shapes(stage, source)
        if stage.operation == "map" and stage.transform is not None:
            find_transform(stage.transform)
        return OpenStage(
            stage, source, target, source_etag, etag, held_by(stage, source, target), self._limits
        )

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
