"""The main job on the demo's data, from an empty folder to a checked result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from urllib.parse import quote

import numpy as np

from streamzarr import jobs
from streamzarr.demo.field import SeaSurface
from streamzarr.demo.machine import FeedResult, run_feed_demo
from streamzarr.demo.picture import check_installed, draw
from streamzarr.demo.transforms import kelvin_to_celsius
from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.fleet import Fleet
from streamzarr.hints import DEFAULT_PREFIX
from streamzarr.jobs import JobReport, JobTopics
from streamzarr.queue import open_broker
from streamzarr.runtime import SYSTEM
from streamzarr.zarr import Array, create_array, open_array

SOURCE_CHUNKS = (4, 90, 180)
"""A month of one sixty-fourth of the globe: what a producer of maps writes."""
TARGET_CHUNKS = (13, 180, 90)
"""A quarter of a year: what a reader of time series wants."""
BATCH = 4
"""Weeks that are made, written or checked at once: bounds memory."""

OUTPUTS = {"kelvin.zarr", "celsius.zarr", "broker", "demo.png", "machine.zarr"}
"""What the demo makes, and may replace, in its folder."""


class WrongResultError(StreamzarrError):
    """The demo's output differs from what numpy computes."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo did."""

    source: str
    target: str
    picture: str | None
    broker: str
    job: JobReport
    workers: int
    shape: tuple[int, ...]
    source_stored: int
    """Size of the source in its store, bytes."""
    target_stored: int
    values_checked: int
    feed: FeedResult | None
    """The second part; None where it was left out."""
    seconds: float


Say = Callable[[str], None]


def run_demo(
    output: Path,
    *,
    megabytes: float = 215.0,
    workers: int = 2,
    broker: str | None = None,
    picture: bool = True,
    feed_seconds: float = 8.0,
    say: Say = lambda line: None,
) -> DemoResult:
    """Make the field, transform it through a queue with worker processes, check it, and draw it.

    Parameters
    ----------
    output
        Folder for arrays, picture and, without `broker`, the embedded broker; made when it is not there.
    megabytes
        Least size of the field in memory.
    feed_seconds
        For how long this machine's own counters are sent to a topic and ingested afterwards; 0: not at all.
    say
        Told what happens, a line at a time.

    Raises
    ------
    streamzarr.errors.ConfigError
        `output` holds something else, or the picture cannot be drawn.
    WrongResultError
        The output is not exactly what numpy computes.
    streamzarr.errors.StreamzarrError
        The job did not finish.
    """
    began = SYSTEM.now()
    sea = SeaSurface()
    weeks = ceil(megabytes * 1e6 / (4 * sea.shape[0] * sea.shape[1]))
    shape = (max(2, weeks), *sea.shape)
    _check_output(output)
    if picture:
        check_installed()
    output.mkdir(parents=True, exist_ok=True)
    kelvin, celsius = str(output / "kelvin.zarr"), str(output / "celsius.zarr")
    with _topics(output, broker) as (url, prefix):
        # The workers start while the field is made.
        with Fleet(
            url, workers, roots=[str(output)], transforms=["streamzarr.demo.transforms"], prefix=prefix
        ) as fleet:
            source = _make_source(kelvin, sea, shape, say)
            fleet.wait_ready()
            report = _run_job(source, celsius, url, prefix, workers, say)
        target = open_array(celsius)
        checked = _check(sea, target, say)
        feed = None
        if feed_seconds:
            topic = f"{prefix}.machine"
            feed = run_feed_demo(output, url, topic, seconds=feed_seconds, keep=broker is None, say=say)
    drawn = None
    if picture:
        drawn = output / "demo.png"
        draw(drawn, sea, source, target)
        say(f"picture   {drawn}")
    return DemoResult(
        source=source.url,
        target=target.url,
        picture=None if drawn is None else str(drawn),
        broker=url,
        job=report,
        workers=workers,
        shape=shape,
        source_stored=_stored(Path(kelvin)),
        target_stored=_stored(Path(celsius)),
        values_checked=checked,
        feed=feed,
        seconds=SYSTEM.now() - began,
    )


def _make_source(url: str, sea: SeaSurface, shape: tuple[int, ...], say: Say) -> Array:
    began = SYSTEM.now()
    source = create_array(
        url,
        shape=shape,
        chunks=SOURCE_CHUNKS,
        dtype="f4",
        fill_value=np.nan,
        compressors="blosc",
        zarr_format=2,
        attributes={
            "long_name": "sea surface temperature",
            "units": "kelvin",
            "_ARRAY_DIMENSIONS": ["week", "lat", "lon"],
        },
        overwrite=True,
    )
    for start in range(0, shape[0], BATCH):
        stop = min(start + BATCH, shape[0])
        source[start:stop] = sea.weeks(start, stop)
    say(
        f"input     {source.url}: {source.nbytes / 1e6:.0f} MB, {' x '.join(map(str, shape))} float32, "
        f"Zarr v2, blosc, {source.nchunks} chunks; made in {SYSTEM.now() - began:.1f} s"
    )
    return source


def _run_job(source: Array, target: str, broker: str, prefix: str, workers: int, say: Say) -> JobReport:
    chunks = tuple(min(chunk, size) for chunk, size in zip(TARGET_CHUNKS, source.shape, strict=True))
    handle = jobs.submit(
        "map",
        source.url,
        target,
        broker=broker,
        transform="kelvin_to_celsius",
        chunks=chunks,
        compressors="zstd",
        zarr_format=3,
        attributes={"long_name": "sea surface temperature", "units": "degree_Celsius"},
        overwrite=True,
        prefix=prefix,
    )
    with handle:
        say(
            f"job       {handle.id}: kelvin to degrees Celsius into {handle.plan.tasks} chunks of "
            f"{' x '.join(map(str, chunks))}, Zarr v3, zstd; {workers} worker processes"
        )
        report = handle.wait(progress=True)
    if report.state != "done":
        raise StreamzarrError(
            f"job {report.job} is {report.state}: {report.written} of {report.tasks} chunks are written, "
            f"{report.dead} tasks are dead letters"
        )
    return report


def _check(sea: SeaSurface, target: Array, say: Say) -> int:
    """Compare every value with what numpy computes from the field, made anew; returns how many."""
    began = SYSTEM.now()
    step = target.chunks[0]  # each chunk is decoded once
    for start in range(0, target.shape[0], step):
        stop = min(start + step, target.shape[0])
        written = target[start:stop]
        for week in range(start, stop):
            expected = kelvin_to_celsius(sea.week(week))
            if not np.array_equal(written[week - start], expected, equal_nan=True):
                wrong = ~np.isclose(written[week - start], expected, rtol=0, atol=0, equal_nan=True)
                raise WrongResultError(
                    f"{target.url}: {np.count_nonzero(wrong)} values of week {week} differ from numpy's"
                )
    say(f"check     {target.size:,} values are exactly numpy's; {SYSTEM.now() - began:.1f} s")
    return target.size


@contextmanager
def _topics(output: Path, broker: str | None) -> Iterator[tuple[str, str]]:
    """Yield the broker's URL and the prefix of topics that nothing else uses."""
    if broker is None:
        # Topics of an earlier run would mix with this one's; these files are the demo's own.
        folder = output / "broker"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield f"sqlite:///{quote(str(folder / 'queue.db'))}", DEFAULT_PREFIX
        return
    prefix = f"streamzarr-demo-{SYSTEM.random_bytes(4).hex()}"
    try:
        yield broker, prefix
    finally:
        with open_broker(broker) as opened:
            topics = JobTopics(prefix)
            for topic in {topics.tasks, topics.dead, topics.results, topics.jobs} & set(opened.topics()):
                opened.delete_topic(topic)


def _stored(folder: Path) -> int:
    """Return the size of all files below `folder`, bytes."""
    return sum((Path(place) / name).stat().st_size for place, _, names in os.walk(folder) for name in names)


def _check_output(output: Path) -> None:
    """Refuse a folder that holds something else.

    Raises
    ------
    streamzarr.errors.ConfigError
        `output` is not a folder, or holds files that are not an earlier demo's.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is not a folder")
    names = {entry.name for entry in output.iterdir()} if output.exists() else set()
    if strange := {name for name in names - OUTPUTS if not name.startswith(".")}:
        raise ConfigError(
            f"{output} holds {min(strange)!r}, which is not the demo's; give another folder with --output"
        )
