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
from streamzarr.cli.kinds import Command, asked, copy_options, downsample_options, map_options, with_options
from streamzarr.cli.options import broker_option, examples, json_option, max_lag_option, prefix_option
from streamzarr.cli.output import counted, duration, print_json, print_line, size
from streamzarr.errors import ConfigError, SourceChangedError, StreamzarrError
from streamzarr.hints import hint
from streamzarr.redact import redacted

if TYPE_CHECKING:
    from streamzarr.jobs import JobHandle, JobReport

_SUBMIT_OPTIONS: Sequence[Callable[[Command], Command]] = (
    broker_option,
    prefix_option,
    max_lag_option,
    click.option(
        "--detach", is_flag=True, help="Return at once; a process in the background sends the tasks."
    ),
    json_option,
)


def _submit_options(command: Command) -> Command:
    """Give a command the options of submitting, whatever the job."""
    return with_options(command, _SUBMIT_OPTIONS)


@click.group()
def submit() -> None:
    """Submit a job: a task for each block of chunks of the target.

    The command waits for the job and shows its progress. Ctrl-C leaves it where it stands.
    Exit code 0: all is written; 3: some chunks are in the dead letters; 2: an error.
    """


@submit.command(
    epilog=examples(
        "streamzarr job submit copy old.zarr new.zarr --zarr-format 3 --compressor zstd",
        "streamzarr job submit copy maps.zarr series.zarr --chunks 365,60,60",
    )
)
@copy_options
@_submit_options
def copy(**options: Any) -> None:
    """Store SOURCE anew as TARGET: other chunks, codec, dtype or Zarr format."""
    _submit("copy", **options)


@submit.command(
    "map",
    epilog=examples(
        "streamzarr job submit map kelvin.zarr celsius.zarr --transform celsius --param offset=-273.15",
    ),
)
@map_options
@_submit_options
def map_(**options: Any) -> None:
    """Apply a transform to every chunk of SOURCE and store the result as TARGET."""
    _submit("map", **options)


@submit.command(
    epilog=examples(
        "streamzarr job submit downsample field.zarr pyramid.zarr --factor 2 --levels 4",
        "streamzarr job submit downsample stack.zarr pyramid.zarr --factor 1,2,2 --method max",
    )
)
@downsample_options
@_submit_options
def downsample(**options: Any) -> None:
    """Make TARGET a pyramid: array 0 is SOURCE, each further one the last reduced by a factor."""
    _submit("downsample", **options)


def _submit(
    kind: str,
    source: str,
    target: str,
    *,
    broker: str,
    prefix: str,
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
        max_lag=max_lag,
        **asked(**options),
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
