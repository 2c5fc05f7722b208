"""What travels on the topics of a job, as JSON: tasks, results, and the register of jobs.

A task is self-contained: a worker needs nothing but the message and its own allowed roots. Everything here
is untrusted when read back, so decoding is typed, bounded and runs no code.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from streamzarr.errors import LimitExceededError, MessageError
from streamzarr.jobs.cast import Casting
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.queue.base import Headers

JobKind: TypeAlias = Literal["copy", "map", "downsample"]
"""What can be asked for as one array made of another."""
Operation: TypeAlias = Literal["copy", "map", "downsample", "compact"]
Method: TypeAlias = Literal["mean", "nearest", "max"]
Missing: TypeAlias = Literal["fill", "error"]
Params: TypeAlias = dict[str, Any]
"""Of a transform, as :mod:`streamzarr.jobs.params` encodes them."""

JobId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]
MAX_BLOCK = 65_536
"""Chunks of one task, at most."""
BlockCount: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_BLOCK)]
Run: TypeAlias = int | tuple[int, BlockCount]
"""Numbers that follow on one another: the only one, or the first and how many."""
Attempts: TypeAlias = Annotated[int, Meta(ge=1, le=2**31)]
ChunkBytes: TypeAlias = Annotated[int, Meta(ge=0, le=2**34)]
"""As :data:`Attempts` bounded so that no sum of a job's tasks leaves the range of a count."""
Axes: TypeAlias = Annotated[tuple[Count, ...], Meta(max_length=DEFAULT_LIMITS.max_ndim)]
PositiveAxes: TypeAlias = Annotated[tuple[Positive, ...], Meta(max_length=DEFAULT_LIMITS.max_ndim)]

MAX_STAGES = 64
"""Of one job."""

JOB_HEADER = "streamzarr.job"
TASK_HEADER = "streamzarr.task"
COUNT_HEADER = "streamzarr.chunks"


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a target array is stored. A worker refuses a target that was made anew with another layout."""

    shape: Axes
    chunks: PositiveAxes
    dtype: str
    zarr_format: Literal[2, 3]
    codecs: msgspec.Raw
    """The codec settings as the target's metadata document has them (v2: filters, compressor, order)."""

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.chunks):
            raise ValueError(f"chunks {self.chunks} for shape {self.shape}, expected as many axes")

    @property
    def tasks(self) -> int:
        """Number of chunks."""
        return math.prod(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))


class Gather(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which full chunks of a stream a stage gathers in shards (:mod:`streamzarr.jobs.shards`)."""

    field: str
    first_row: Count
    """Row of the stream that the stage's first chunk begins with: those before are in shards already."""
    stream: str
    """Its id, which tells it from another one that was made in its place."""
    delete: bool = False
    """Delete the chunks when the stream reads the shards."""


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One source array to one target array: the part that all tasks of a stage have in common."""

    operation: Operation
    source: str
    target: str
    layout: Layout
    transform: str | None = None
    params: Params = {}
    factor: PositiveAxes = ()
    method: Method = "mean"
    missing: Missing = "fill"
    casting: Casting = "same_kind"
    nodata: tuple[str | int | float | bool | list[str | float], ...] = ()
    """What stands for no data in the source of a downsampling, as Zarr v3 writes fill values."""
    source_etag: str = ""
    """Of the source's metadata when the job was submitted; tasks over another source fail."""
    target_mark: str = ""
    """Of the target's metadata as it was made (:func:`streamzarr.jobs.pin.mark_of`), if it took the place of
    another one; whatever has taken its place since has another."""
    block: PositiveAxes = ()
    """Chunks of a task along each axis of the target's grid; none given: one."""
    scratch: bool = False
    """Whether the target is an intermediate array, made for this job and removed at its end."""
    write_empty: bool = False
    """Store chunks of nothing but the fill value too, because another target is, or has been, where this one
    is made: a late writer of that one must find something in its way."""
    gather: Gather | None = None
    """Of a compaction: its source is a stream, and its target the shards of a field."""

    def __post_init__(self) -> None:
        axes, block = len(self.layout.shape), self.block
        if block and (len(block) != axes or math.prod(block) > MAX_BLOCK):
            raise ValueError(f"a block of {block} chunks, expected {axes} axes, {MAX_BLOCK} chunks at most")
        if (self.operation == "compact") != (self.gather is not None):
            raise ValueError(f"{self.operation} with gather={self.gather}")


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One unit of chunk work; writes exactly the target chunks that it names, which are of one block."""

    v: Literal[1]
    job: JobId
    task: Count
    """Number of its first chunk; the others follow on it (:mod:`streamzarr.jobs.numbering`)."""
    chunk: Axes
    """Index of its first chunk in the target's grid."""
    stage: msgspec.Raw
    """A :class:`Stage`, left encoded: workers decode each distinct stage once."""
    count: BlockCount = 1
    """How many chunks."""

    @property
    def numbers(self) -> range:
        """The numbers of its chunks in the job."""
        return range(self.task, self.task + self.count)


class Written(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Chunks that are durable in the target: numbers that follow on one another."""

    task: int
    """Number of the first."""
    attempts: Attempts
    """At each of them."""
    nbytes: ChunkBytes
    """Decoded bytes of all of them. Of a run of which some were written before, the others' share is counted:
    that is exact where its chunks are of one size."""
    count: BlockCount = 1

    @property
    def numbers(self) -> range:
        """The numbers of the chunks."""
        return range(self.task, self.task + self.count)


class Dead(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Chunks that are now one dead letter: numbers that follow on one another."""

    task: int
    """Number of the first."""
    attempts: Attempts
    error: str
    count: BlockCount = 1

    @property
    def numbers(self) -> range:
        """The numbers of the chunks."""
        return range(self.task, self.task + self.count)


class Results(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one worker settled of one job since its last such record."""

    job: str
    worker: str
    written: tuple[Written, ...] = ()
    dead: tuple[Dead, ...] = ()
    skipped: tuple[Run, ...] = ()
    replayed: tuple[Run, ...] = ()
    """What dead letters cover that are sent again; written by whoever replays them, before they are."""


class Submitted(msgspec.Struct, frozen=True, tag="submitted", omit_defaults=True):
    """A job as it was submitted: all that is needed to resume it from anywhere."""

    job: JobId
    kind: Operation
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1, max_length=MAX_STAGES)]
    created: Count
    """Milliseconds since the epoch."""
    results_from: Count
    """Offset in the results topic before which this job has no results."""
    copy: bool = False
    """Written by a compaction: tells nothing unless a :class:`Snapshot` behind it names the job."""

    def __post_init__(self) -> None:
        chunks = sum(stage.layout.tasks for stage in self.stages)
        if chunks > DEFAULT_LIMITS.max_tasks:
            raise ValueError(f"{chunks} chunks, expected at most {DEFAULT_LIMITS.max_tasks}")


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """From here on workers skip the tasks of this job."""

    job: JobId


class Resumed(msgspec.Struct, frozen=True, tag="resumed"):
    """The job goes on; an earlier cancellation or end no longer counts."""

    job: JobId


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The job is settled, and how: from here on workers skip its tasks, and its results need no reading."""

    job: JobId
    state: Literal["done", "incomplete", "failed"]
    """``failed``: all is written, but the source has changed meanwhile."""
    written: Count
    """Chunks, as is all that is counted."""
    dead: Count
    retried: Count
    nbytes: Count
    newest: Count
    """Time of the newest result, milliseconds since the epoch."""


class Forgotten(msgspec.Struct, frozen=True, tag="forgotten"):
    """The job is known no more, and workers skip its tasks."""

    job: JobId


class Trimmed(msgspec.Struct, frozen=True, tag="trimmed"):
    """No job that is not done has results before this offset: they may be removed."""

    results: Count


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """The register as a whole, at one offset of its topic; what is not named here is known no more.

    It holds only where it lies at `at`: then nothing was written between its making and itself.
    """

    at: Count
    horizon: str
    """Greatest id of all jobs that a snapshot has left out, ever."""
    results: Count
    """As in :class:`Trimmed`."""
    open: tuple[JobId, ...]
    cancelled: tuple[JobId, ...]
    ended: tuple[Ended, ...]


class Announced(msgspec.Struct, frozen=True, tag="submitted"):
    """A :class:`Submitted` of which the stages are not read: they may be large."""

    job: JobId
    copy: bool = False


JobEvent: TypeAlias = Submitted | Cancelled | Resumed | Ended | Forgotten | Trimmed | Snapshot
Notice: TypeAlias = Announced | Cancelled | Resumed | Ended | Forgotten | Trimmed | Snapshot

T = TypeVar("T")
_encoder = msgspec.json.Encoder()
_tasks = msgspec.json.Decoder(Task)
_stages = msgspec.json.Decoder(Stage)
_results = msgspec.json.Decoder(Results)
_events: msgspec.json.Decoder[JobEvent] = msgspec.json.Decoder(JobEvent)
_notices: msgspec.json.Decoder[Notice] = msgspec.json.Decoder(Notice)


def encode(message: msgspec.Struct) -> bytes:
    """Return the JSON bytes of any message of this module."""
    return _encoder.encode(message)


def decode_task(data: bytes | None, limits: Limits = DEFAULT_LIMITS) -> Task:
    """Return the task in `data`; raises ``MessageError`` or ``LimitExceededError``."""
    if data is not None and len(data) > limits.max_task_bytes:
        raise LimitExceededError(
            f"task message of {len(data)} bytes, expected at most {limits.max_task_bytes}"
        )
    return _decode(_tasks, data, "chunk task")


def decode_stage(data: bytes | msgspec.Raw) -> Stage:
    """Return the stage in `data`; raises ``MessageError``."""
    return _decode(_stages, bytes(data), "stage of a chunk task")


def decode_results(data: bytes | None) -> Results:
    """Return the results in `data`; raises ``MessageError``."""
    return _decode(_results, data, "results record")


def decode_event(data: bytes | None) -> JobEvent:
    """Return the job event in `data`; raises ``MessageError``."""
    return _decode(_events, data, "job event")


def decode_notice(data: bytes | None) -> Notice:
    """Return the job event in `data` without the stages of a job; raises ``MessageError``."""
    return _decode(_notices, data, "job event")


def run_of(numbers: range) -> Run:
    """Return numbers as results have them.

    >>> run_of(range(7, 8)), run_of(range(7, 10))
    (7, (7, 3))
    """
    return numbers.start if len(numbers) == 1 else (numbers.start, len(numbers))


def numbers_of(run: Run) -> range:
    """Return the numbers that results tell of.

    >>> numbers_of(7), numbers_of((7, 3))
    (range(7, 8), range(7, 10))
    """
    first, count = (run, 1) if isinstance(run, int) else run
    return range(first, first + count)


def key_of(job: str, numbers: range) -> bytes:
    """Return the key of the record of a task, or of a dead letter: another one for other chunks.

    >>> key_of("01M7", range(12, 13)), key_of("01M7", range(12, 20))
    (b'01M7/12', b'01M7/12+8')
    """
    found = b"%s/%d" % (job.encode(), numbers.start)
    return found if len(numbers) == 1 else b"%s+%d" % (found, len(numbers))


def headers_of(job: str, numbers: range) -> Headers:
    """Return the headers of the record of a task: its job, and the numbers of its chunks.

    >>> headers_of("01M7", range(12, 13))
    (('streamzarr.job', b'01M7'), ('streamzarr.task', b'12'))
    >>> headers_of("01M7", range(12, 20))[2]
    ('streamzarr.chunks', b'8')
    """
    found = ((JOB_HEADER, job.encode()), (TASK_HEADER, b"%d" % numbers.start))
    return found if len(numbers) == 1 else (*found, (COUNT_HEADER, b"%d" % len(numbers)))


def task_of(headers: Headers) -> tuple[str, range] | None:
    """Return a task's job and the numbers of its chunks from its record's headers; None when it is no task.

    >>> task_of(((JOB_HEADER, b"01M7"), (TASK_HEADER, b"12")))
    ('01M7', range(12, 13))
    """
    found = dict(headers)
    job, task, count = (found.get(key, b"") for key in (JOB_HEADER, TASK_HEADER, COUNT_HEADER))
    if not (job.isalnum() and len(job) <= 64 and task.isdigit() and len(task) <= 19):
        return None
    chunks = int(count) if count.isdigit() and len(count) <= 5 else 1
    return job.decode(), range(int(task), int(task) + max(1, min(chunks, MAX_BLOCK)))


def _decode(decoder: msgspec.json.Decoder[T], data: bytes | None, what: str) -> T:
    if data is None:
        raise MessageError(f"not a {what}: the record has no value")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        shown = data[:80].decode("utf-8", "backslashreplace")
        raise MessageError(f"not a {what}: {error}; got {shown!r}") from error
