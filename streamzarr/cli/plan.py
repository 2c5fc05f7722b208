"""``streamzarr job plan``: what a job would do, without doing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.kinds import Command, asked, copy_options, downsample_options, map_options, with_options
from streamzarr.cli.options import Size, examples, json_option
from streamzarr.cli.output import counted, print_json, print_line, print_table, size

if TYPE_CHECKING:
    from streamzarr.jobs import JobPlan, StagePlan

_PLAN_OPTIONS: Sequence[Callable[[Command], Command]] = (
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Threads of each worker process, as it is given them.",
    ),
    click.option(
        "--max-bytes",
        type=Size(),
        default="1GiB",
        show_default=True,
        help="Bytes of chunks that each worker process holds at once, as it is given them.",
    ),
    json_option,
)


def _plan_options(command: Command) -> Command:
    """Give a command the options of planning, whatever the job."""
    return with_options(command, _PLAN_OPTIONS)


@click.group()
def plan() -> None:
    """Say what a job would do: its stages, tasks, bytes and requests, and the memory of a worker.

    Takes what `job submit` takes to say what the job is; makes nothing, and needs no broker. Sizes are of
    decoded chunks. A block is the chunks of one task along each axis; times, how often each byte that is read
    is decoded.
    """


@plan.command(
    epilog=examples(
        "streamzarr job plan copy maps.zarr series.zarr --chunks 365,60,60",
        "streamzarr job plan copy maps.zarr series.zarr --chunks 365,60,60 --max-task-bytes 64MiB --json "
        "| jq .worker_bytes",
    )
)
@copy_options
@_plan_options
def copy(**options: Any) -> None:
    """Say what it takes to store SOURCE anew as TARGET."""
    _plan("copy", **options)


@plan.command(
    "map",
    epilog=examples("streamzarr job plan map kelvin.zarr celsius.zarr --transform celsius"),
)
@map_options
@_plan_options
def map_(**options: Any) -> None:
    """Say what it takes to apply a transform to every chunk of SOURCE."""
    _plan("map", **options)


@plan.command(epilog=examples("streamzarr job plan downsample field.zarr pyramid.zarr --factor 2 --levels 4"))
@downsample_options
@_plan_options
def downsample(**options: Any) -> None:
    """Say what it takes to make TARGET a pyramid of SOURCE."""
    _plan("downsample", **options)


def _plan(kind: str, source: str, target: str, *, as_json: bool, **options: Any) -> None:
    from streamzarr.jobs import plan as plan_job

    found = plan_job(kind, source, target, **asked(**options))  # type: ignore[arg-type]
    if as_json:
        print_json(found)
        return
    print_table(
        ("stage", "chunks", "block", "tasks", "read", "times", "written", "a task"),
        [_row(number, stage) for number, stage in enumerate(found.stages, 1)],
        "",
    )
    print_line(_summary(found))


def _row(number: int, stage: StagePlan) -> tuple[Any, ...]:
    return (
        f"{number} {stage.operation}{' to scratch' if stage.scratch else ''}",
        _axes(stage.chunks),
        _axes(stage.block),
        stage.tasks,
        size(stage.bytes_read),
        f"{stage.decoded:.2f}",
        size(stage.bytes_written),
        size(stage.task_bytes),
    )


def _summary(found: JobPlan) -> str:
    return (
        f"{counted(found.tasks, 'task')}, {counted(found.reads + found.writes, 'request')}, "
        f"{size(found.bytes_read)} read, {size(found.bytes_written)} written; "
        f"a worker process takes up to {size(found.worker_bytes)}"
    )


def _axes(lengths: tuple[int, ...]) -> str:
    return ",".join(map(str, lengths)) or "-"
