"""The progress line: where nobody can read it the job goes on without."""

import dataclasses
import io

import pytest

from streamzarr.jobs.progress import describe, progress_sink
from streamzarr.jobs.report import JobReport

REPORT = JobReport("01J", "copy", "done", 5, 5, 5, 0, 0, 0, 40, 1.0, 0, 1, 0)


class Gone(io.StringIO):
    """A pipe whose reader has ended."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_lines_are_written_to_standard_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", output := io.StringIO())
    with progress_sink(True, "streamzarr worker") as show:
        show(REPORT)
    assert "5/5 chunks" in output.getvalue()


@pytest.mark.parametrize(
    ("kind", "says"), [("copy", "`worker`)"), ("map", "`worker`, and --transforms with")]
)
def test_the_worker_that_is_asked_for_knows_the_transform(kind, says):
    waiting = dataclasses.replace(REPORT, kind=kind, state="running", written=0, workers=0)
    assert says in describe(waiting, 0.0, 0.0, "`worker`")


@pytest.mark.parametrize("closed", [True, False])
def test_without_standard_error_nothing_is_shown(monkeypatch, closed):
    output = io.StringIO() if closed else None
    if output is not None:
        output.close()
    monkeypatch.setattr("sys.stderr", output)
    with progress_sink(True, "streamzarr worker") as show:
        assert show is None


def test_a_reader_that_has_gone_ends_no_job(monkeypatch):
    monkeypatch.setattr("sys.stderr", Gone())
    with progress_sink(True, "streamzarr worker") as show:
        show(REPORT)
        show(REPORT)


def test_standard_error_that_is_closed_meanwhile_ends_no_job(monkeypatch):
    monkeypatch.setattr("sys.stderr", output := io.StringIO())
    with progress_sink(True, "streamzarr worker") as show:
        output.close()
        show(REPORT)
