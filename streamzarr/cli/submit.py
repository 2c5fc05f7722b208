"""``streamzarr job submit``: one command for each kind of job."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.failures import EXIT_DEAD_LETTERS, EXIT_INTERRUPTED, Failure, sentence_of
from streamzarr.cli.interrupts import interrupt_at_a_safe_moment
from streamzarr.cli.options import (
    Assignment,
    Compressor,
    DType,
    Integers,
    NoData,
    Size,
    assigned,
    broker_option,
    examples,
    json_option,
    max_lag_option,
    prefix_option,
)
from streamzarr.cli.output import counted, duration, print_json, print_line, size
from streamzarr.errors import ConfigError, SourceChangedError, StreamzarrError
from streamzarr.hints import hint
from streamzarr.redact import redacted

if TYPE_CHECKING:
    from streamzarr.jobs import JobHandle, JobReport

Command = Callable[..., None]


_JOB_OPTIONS: Sequence[Callable[[Command], Command]] = (
    click.argument("source"),
    click.argument("target"),
    broker_option,
    prefix_option,
    click.option(
        "--chunks", type=Integers(), help="One length for all axes, or one for each; the source's without it."
    ),
    click.option("--dtype", type=DType(), help="dtype of the target; the source's without it."),
    click.option(
        "--casting",
        type=click.Choice(["no", "equiv", "safe", "same_kind", "unsafe"]),
        default="same_kind",
        show_default=True,
        help="numpy's rule by which values become --dtype. One that does not fit makes its task a dead "
        "letter; with unsafe it is what numpy makes of it.",
    ),
    click.option(
        "--compressor",
        "compressors",
        type=Compressor(),
        default="keep",
        show_default=True,
        help='zstd, blosc, gzip, none, keep (as the source), or JSON such as \'{"id": "zstd", "level": 5}\'.',
    ),
    click.option(
        "--zarr-format", type=click.Choice(["2", "3"]), help="Format of the target; the source's without it."
    ),
    click.option(
        "--missing",
        type=click.Choice(["fill", "error"]),
        default="fill",
        show_default=True,
        help="A source chunk, or shard, that is not stored: holds the fill value, or fails its task.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace a target that is there."),
    click.option(
        "--max-task-bytes",
        type=Size(),
        default="128MiB",
        show_default=True,
        help="What one task may hold. It writes a block of chunks as large as this allows and helps; where "
        "the source would still be read several times over, the job goes through an intermediate array.",
    ),
    click.option(
        "--scratch",
        metavar="URL",
        help="Where an intermediate array lies until the job is done, below a root of the workers; "
        "TARGET.scratch without it.",
    ),
    max_lag_option,
    click.option(
        "--detach", is_flag=True, help="Return at once; a process in the background sends the tasks."
    ),
    json_option,
)


def _job_options(command: Command) -> Command:
    """Give a command the arguments and options that all kinds of jobs have."""
    for option in reversed(_JOB_OPTIONS):
        command = option(command)
    return command


@click.group()
def submit() -> None:
    """Submit a job: a task for each block of chunks of the target.

    The command waits for the job and shows its progress. Ctrl-C leaves it where it stands.
    Exit code 0: all is written; 3: some tasks are in the dead letters; 2: an error.
    """


@submit.command(
    epilog=examples(
        "streamzarr job submit copy old.zarr new.zarr --zarr-format 3 --compressor zstd",
        "streamzarr job submit copy maps.zarr series.zarr --chunks 365,60,60",
    )
)
@_job_options
def copy(**options: Any) -> None:
    """Store SOURCE anew as TARGET: other chunks, codec, dtype or Zarr format."""
    _submit("copy", **options)


@submit.command(
    "map",
    epilog=examples(
        "streamzarr job submit map kelvin.zarr celsius.zarr --transform celsius --param offset=-273.15",
    ),
)
@_job_options
@click.option("--transform", required=True, metavar="NAME", help="Name of a transform that the workers know.")
@click.option(
    "--param",
    "params",
    type=Assignment(),
    multiple=True,
    help="A keyword for the transform; repeatable. What reads as JSON is that, in quotes it is text: "
    "n=1, low=0.5, on=true, none=null, window=[3,3], high=Infinity, year='\"2020\"'; else text.",
)
def map_(params: tuple[tuple[str, Any], ...], **options: Any) -> None:
    """Apply a transform to every chunk of SOURCE and store the result as TARGET."""
    _submit("map", params=assigned(params), **options)


@submit.command(
    epilog=examples(
        "streamzarr job submit downsample field.zarr pyramid.zarr --factor 2 --levels 4",
        "streamzarr job submit downsample stack.zarr pyramid.zarr --factor 1,2,2 --method max",
    )
)
@_job_options
@click.option(
    "--factor", type=Integers(), default="2", show_default=True, help="For all axes, or one for each."
)
@click.option(
    "--levels", type=click.IntRange(min=1), default=2, show_default=True, help="Arrays in the pyramid."
)
@click.option(
    "--method",
    type=click.Choice(["mean", "nearest", "max"]),
    default="mean",
    show_default=True,
    help="What a cell becomes.",
)
@click.option(
    "--nodata",
    type=NoData(),
    default="auto",
    show_default=True,
    help="Value of cells that do not count in mean and max; none: all count; auto: what SOURCE says by a "
    "fill value that is not zero, and by its attributes _FillValue and missing_value.",
)
def downsample(factor: tuple[int, ...], **options: Any) -> None:
    """Make TARGET a pyramid: array 0 is SOURCE, each further one the last reduced by a factor."""
    _submit("downsample", factor=_one_or_all(factor), **options)


def _submit(
    kind: str,
    source: str,
    target: str,
    *,
    broker: str,
    prefix: str,
    chunks: tuple[int, ...] | None,
    zarr_format: str | None,
    max_lag: int,
    detach: bool,
    as_json: bool,
    **options: Any,
) -> None:
    from streamzarr.jobs import submit as submit_job

    handle = submit_job(
        kind,  # type: ignore[arg-type]
        source,
        target,
        broker=broker,
        prefix=prefix,
        chunks=None if chunks is None else _one_or_all(chunks),
        zarr_format=None if zarr_format is None else int(zarr_format),  # type: ignore[arg-type]
        max_lag=max_lag,
        **options,
    )
    if not detach:
        follow(handle, broker=broker, prefix=prefix, as_json=as_json)
        return
    handle.close()
    _detach(handle.id, broker=broker, prefix=prefix, max_lag=max_lag, as_json=as_json)


def follow(handle: JobHandle, *, broker: str, prefix: str, as_json: bool) -> None:
    """Show a job's progress on stderr until it is over, then its report on stdout; sets the exit code."""
    from streamzarr.jobs.progress import progress_sink

    worker, resume, letters = (
        hint(*words, broker=broker, prefix=prefix)
        for words in (["worker"], ["job", "resume", handle.id], ["dlq", "ls", "--job", handle.id])
    )
    with handle, interrupt_at_a_safe_moment() as check, progress_sink(True, worker) as show:

        def step(report: JobReport) -> None:
            if show is not None:
                show(report)
            check()

        try:
            report = handle.wait(progress=step)
        except KeyboardInterrupt:
            raise Failure(
                f"job {handle.id} stays where it is; go on with {resume}", EXIT_INTERRUPTED
            ) from None
        except (ConfigError, SourceChangedError):
            raise  # resume refuses such a job
        except StreamzarrError as error:
            raise Failure(f"{sentence_of(error)}; go on with {resume}") from error
    if as_json:
        print_json(report)
    elif report.state == "done":
        figures = f"{report.written} chunks, {size(report.bytes)} in {duration(report.seconds)}"
        print_line(f"job {report.job} done: {figures}")
    if report.state == "cancelled":
        raise Failure(f"job {report.job} was cancelled; go on with {resume}")
    if report.state != "done":
        raise Failure(
            f"job {report.job}: {report.written} of {report.tasks} chunks are written, "
            f"{counted(report.dead, 'dead letter')}; see {letters}",
            EXIT_DEAD_LETTERS,
        )


def _detach(job: str, *, broker: str, prefix: str, max_lag: int, as_json: bool) -> None:
    """Have a process of its own go on with a job that this one submitted."""
    command = [sys.executable, "-m", "streamzarr", "job", "resume", job, "--max-lag", str(max_lag)]
    command += ["--prefix", prefix]
    environment = dict(os.environ)
    if redacted(broker) == broker:
        command += ["--broker", broker]
    else:
        environment["STREAMZARR_BROKER"] = broker  # where the password does not show in `ps`
    log = Path(tempfile.gettempdir()) / f"streamzarr-job-{job}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    if as_json:
        print_json({"job": job, "pid": process.pid, "log": str(log)})
    else:
        see = hint("job", "status", job, broker=broker, prefix=prefix)
        print_line(f"job {job} goes on in process {process.pid}, log {log}; see {see}")


def _one_or_all(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    return numbers[0] if len(numbers) == 1 else numbers
