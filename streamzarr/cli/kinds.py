"""The arguments and options that say what a job is, for submitting it and for planning it alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from streamzarr.cli.options import Assignment, Compressor, DType, Integers, NoData, Size, assigned

Command = Callable[..., None]

_OPTIONS: Sequence[Callable[[Command], Command]] = (
    click.argument("source"),
    click.argument("target"),
    click.option(
        "--chunks", type=Integers(), help="One length for all axes, or one for each; the source's without it."
    ),
    click.option("--dtype", type=DType(), help="dtype of the target; the source's without it."),
    click.option(
        "--casting",
        type=click.Choice(["no", "equiv", "safe", "same_kind", "unsafe"]),
        default="same_kind",
        show_default=True,
        help="numpy's rule by which values become --dtype. One that does not fit makes its chunk a dead "
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
        help="A source chunk, or shard, that is not stored: holds the fill value, or fails what needs it.",
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
)

_MAP: Sequence[Callable[[Command], Command]] = (
    click.option(
        "--transform", required=True, metavar="NAME", help="Name of a transform that the workers know."
    ),
    click.option(
        "--param",
        "params",
        type=Assignment(),
        multiple=True,
        help="A keyword for the transform; repeatable. What reads as JSON is that, in quotes it is text: "
        "n=1, low=0.5, on=true, none=null, window=[3,3], high=Infinity, year='\"2020\"'; else text.",
    ),
)

_DOWNSAMPLE: Sequence[Callable[[Command], Command]] = (
    click.option(
        "--factor", type=Integers(), default="2", show_default=True, help="For all axes, or one for each."
    ),
    click.option(
        "--levels", type=click.IntRange(min=1), default=2, show_default=True, help="Arrays in the pyramid."
    ),
    click.option(
        "--method",
        type=click.Choice(["mean", "nearest", "max"]),
        default="mean",
        show_default=True,
        help="What a cell becomes.",
    ),
    click.option(
        "--nodata",
        type=NoData(),
        default="auto",
        show_default=True,
        help="Value of cells that do not count in mean and max; none: all count; auto: what SOURCE says by a "
        "fill value that is not zero, and by its attributes _FillValue and missing_value.",
    ),
)


def copy_options(command: Command) -> Command:
    """Give a command the arguments and options that all kinds of jobs have."""
    return with_options(command, _OPTIONS)


def map_options(command: Command) -> Command:
    """Give a command the arguments and options of ``map``."""
    return with_options(command, (*_OPTIONS, *_MAP))


def downsample_options(command: Command) -> Command:
    """Give a command the arguments and options of ``downsample``."""
    return with_options(command, (*_OPTIONS, *_DOWNSAMPLE))


def asked(
    *,
    chunks: tuple[int, ...] | None,
    zarr_format: str | None,
    params: tuple[tuple[str, Any], ...] | None = None,
    factor: tuple[int, ...] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return what these options say, as the keywords of :func:`streamzarr.jobs.submit`."""
    return options | {
        "chunks": None if chunks is None else _one_or_all(chunks),
        "zarr_format": None if zarr_format is None else int(zarr_format),
        "params": None if params is None else assigned(params),
        "factor": None if factor is None else _one_or_all(factor),
    }


def with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Give a command arguments and options, which its help has in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _one_or_all(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    return numbers[0] if len(numbers) == 1 else numbers
