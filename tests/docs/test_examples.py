"""The programs in ``examples/`` run, in a folder of their own, and say what they should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "bars_from_ticks.py": "each is numpy's",
    "custom_codec.py": "as they were, bit by bit",
    "custom_store.py": "is the one that was written",
    "first_array.py": "(3, 2, 4)",
    "chunk_job.py": "every value is numpy's",
    "elevation_pyramid.py": "every level is numpy's",
    "embeddings.py": "the neighbours are numpy's",
    "rechunk_maps.py": "both say the same",
    "tick_cube.py": "each is numpy's",
}
ARGUMENTS = {"rechunk_maps.py": ["--rows", "60"]}
"""Smaller than what people run."""


def run(example, folder, **environment):
    return subprocess.run(
        [sys.executable, str(example), *ARGUMENTS.get(example.name, [])],
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


@pytest.mark.parametrize("name", ["bars_from_ticks.py", "elevation_pyramid.py", "rechunk_maps.py"])
def test_an_example_runs_without_the_recorded_data(name, tmp_path):
    done = run(ROOT / "examples" / name, tmp_path, STREAMZARR_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "generated" in done.stdout
    assert SAYS[name] in done.stdout


def test_the_rechunked_maps_become_a_picture(tmp_path):
    done = run(ROOT / "examples" / "rechunk_maps.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rechunk_maps.png").read_bytes().startswith(b"\x89PNG")
