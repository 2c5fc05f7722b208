"""The demo: small here, the same in everything else."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.demo.field import SeaSurface
from streamzarr.queue import open_broker


def demo(*arguments, folder):
    command = [sys.executable, "-m", "streamzarr", "demo", "--size", "9", "--feed-seconds", "1.5", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def check_output(output):
    """Read the demo's result with another implementation and hold it to numpy."""
    celsius = zarr.open_array(output / "celsius.zarr", mode="r")
    expected = SeaSurface().weeks(0, 3) + np.float32(-273.15)
    np.testing.assert_array_equal(celsius[:], expected)
    assert celsius.metadata.zarr_format == 3
    assert celsius.attrs["units"] == "degree_Celsius"
    kelvin = zarr.open_array(output / "kelvin.zarr", mode="r")
    assert kelvin.metadata.zarr_format == 2
    assert kelvin.chunks != celsius.chunks


def test_the_demo_is_right_and_can_be_run_again(tmp_path):
    first = demo("--json", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert (result["job"]["state"], result["job"]["dead"], result["workers"]) == ("done", 0, 2)
    assert result["values_checked"] == 3 * 720 * 1440
    assert result["feed"]["rows"] == result["feed"]["sent"] > 0
    assert "exactly once, in order" in first.stderr
    for figure in ("chunks/s", "MB/s", "in flight", "retried", "dead"):
        assert figure in first.stderr
    check_output(tmp_path / "demo-output")
    assert (tmp_path / "demo-output" / "demo.png").read_bytes().startswith(b"\x89PNG")

    again = demo("--workers", "1", "--no-picture", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "exactly numpy's" in again.stderr
    assert "MB/s" in again.stdout
    check_output(tmp_path / "demo-output")


@pytest.mark.kafka
def test_the_very_same_demo_on_kafka(tmp_path, kafka_broker_url):
    done = demo("--broker", kafka_broker_url, "--no-picture", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    check_output(tmp_path / "demo-output")
    with open_broker(kafka_broker_url) as broker:
        assert [topic for topic in broker.topics() if topic.startswith("streamzarr-demo-")] == []


def test_a_wrong_result_is_an_error(tmp_path, monkeypatch):
    """What the workers wrote is held against another computation here: the demo must notice."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamzarr.demo.run.kelvin_to_celsius", lambda block: block - np.float32(273))
    done = CliRunner().invoke(cli, ["demo", "--size", "8", "--workers", "1"])
    assert done.exit_code == 2
    assert "differ from numpy's" in done.stderr


def test_the_demo_leaves_a_folder_of_other_things_alone(tmp_path):
    (tmp_path / "demo-output").mkdir()
    (tmp_path / "demo-output" / "thesis.txt").write_text("mine")
    done = demo(folder=tmp_path)
    assert done.returncode == 2
    assert "'thesis.txt', which is not the demo's" in done.stderr
    assert [entry.name for entry in (tmp_path / "demo-output").iterdir()] == ["thesis.txt"]


def test_a_picture_that_cannot_be_drawn_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(cli, ["demo"])
    assert done.exit_code == 2
    assert "streamzarr[demo]" in done.stderr
    assert list(tmp_path.iterdir()) == []
