"""The programs in ``examples/`` run, in a folder of their own, and say what they should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "custom_codec.py": "as they were, bit by bit",
    "custom_store.py": "is the one that was written",
    "first_array.py": "(3, 2, 4)",
    "chunk_job.py": "every value is numpy's",
    "elevation_pyramid.py": "every level is numpy's",
    "embeddings.py": "the neighbours are numpy's",
    "tick_cube.py": "each is numpy's",
}


def run(example, folder, **environment):
    return subprocess.run(
        [sys.executable, str(example)],
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


def test_the_pyramid_without_the_recorded_data(tmp_path):
    done = run(ROOT / "examples" / "elevation_pyramid.py", tmp_path, STREAMZARR_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "generated" in done.stdout
    assert SAYS["elevation_pyramid.py"] in done.stdout
