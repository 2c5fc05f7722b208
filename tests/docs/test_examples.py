"""The programs in ``examples/`` run, in a folder of their own, and say what they should."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import streamzarr as sz
from tests.support.real_data import data_file

ROOT = Path(__file__).parents[2]
NEED_KAFKA = {"faust_quotes.py": "tests/kafka/test_faust.py"}
"""Which examples are run by other tests, where there is one."""
EXAMPLES = sorted(each for each in (ROOT / "examples").glob("*.py") if each.name not in NEED_KAFKA)
SAYS = {
    "bars_from_ticks.py": "each is numpy's",
    "buoy_dashboard.py": "each is there once",
    "custom_dispatcher.py": "the most urgent came first",
    "custom_codec.py": "as they were, bit by bit",
    "custom_store.py": "is the one that was written",
    "feed_bars.py": "bars, each is numpy's",
    "feed_cube.py": "bars, each is numpy's",
    "feed_targets.py": "is where it belongs",
    "first_array.py": "(3, 2, 4)",
    "chunk_job.py": "every value is numpy's",
    "elevation_pyramid.py": "every level is numpy's",
    "embeddings.py": "the neighbours are numpy's",
    "instrument.py": "60 frames, each as the camera saw it",
    "order_book.py": "changes come to",
    "rechunk_maps.py": "both say the same",
    "sensor_log.py": "rows more, ",
    "test_my_feed.py": "3 ",
    "test_my_pipeline.py": "5 passed",
    "test_pressures.py": "passed",
    "tick_cube.py": "each is numpy's",
    "two_batchers.py": "nothing is missing",
    "word_count.py": "each is Counter's",
}
ARGUMENTS = {
    "feed_bars.py": ["--picture", "bars.png"],
    "feed_cube.py": ["--picture", "cube.png"],
    "instrument.py": ["--rate", "200"],
    "order_book.py": ["--picture", "depth.png"],
    "rechunk_maps.py": ["--rows", "60"],
    "sensor_log.py": ["--every", "0.1", "--seconds", "0.5"],
}
"""Smaller than what people run."""
PICTURES = {
    "buoy_dashboard.py": "buoy.png",
    "feed_bars.py": "bars.png",
    "feed_cube.py": "cube.png",
    "order_book.py": "depth.png",
    "rechunk_maps.py": "rechunk_maps.png",
}
"""What they draw."""
RECORDED = [
    "bars_from_ticks.py",
    "buoy_dashboard.py",
    "elevation_pyramid.py",
    "feed_cube.py",
    "rechunk_maps.py",
]
"""Which examples take recorded data where there are some."""


def run(example, folder, arguments=None, **environment):
    arguments = ARGUMENTS.get(example.name, []) if arguments is None else arguments
    return subprocess.run(
        [sys.executable, str(example), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_runs(example, tmp_path):
    done = run(example, tmp_path)
    assert done.returncode == 0, done.stderr
    assert SAYS[example.name] in done.stdout
    if picture := PICTURES.get(example.name):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", RECORDED)
def test_an_example_runs_without_the_recorded_data(name, tmp_path):
    done = run(ROOT / "examples" / name, tmp_path, STREAMZARR_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "generated" in done.stdout
    assert SAYS[name] in done.stdout


def test_recorded_changes_of_an_order_book_become_its_depth(tmp_path):
    updates = data_file("btcusdt_depth_update.csv", tmp_path)
    done = run(ROOT / "examples" / "order_book.py", tmp_path, arguments=[str(updates)])
    assert done.returncode == 0, done.stderr
    assert SAYS["order_book.py"] in done.stdout


def test_each_example_that_others_run_is_run():
    for example, test in NEED_KAFKA.items():
        assert example in (ROOT / test).read_text()


@contextlib.contextmanager
def started(example, folder, *arguments):
    command = [sys.executable, str(ROOT / "examples" / example), *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(process):
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out


def test_ctrl_c_ends_the_instrument_and_what_was_recorded_is_there(tmp_path):
    arguments = ("--frames", "3000", "--store", "camera.zarr", "--picture", "live.png")
    with started("instrument.py", tmp_path, *arguments) as process:
        assert "live.png" in process.stdout.readline()
        assert "what was recorded is committed" in interrupt(process)
    assert (tmp_path / "live.png").read_bytes().startswith(b"\x89PNG")
    assert sz.open_stream(tmp_path / "camera.zarr").rows > 0


def test_ctrl_c_ends_the_logger(tmp_path):
    with started("sensor_log.py", tmp_path, "--every", "0.1") as process:
        assert "0 rows so far" in process.stdout.readline()
        assert "rows more" in interrupt(process)


@pytest.mark.parametrize("name", ["instrument.py", "sensor_log.py"])
def test_an_example_explains_itself(name, tmp_path):
    with started(name, tmp_path, "--help") as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"usage: {name}")
