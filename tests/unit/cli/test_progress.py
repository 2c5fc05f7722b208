"""How far a command is: shown to whoever waits, on standard error, and to nobody else."""

import errno
import io
import sys

import pytest

from streamzarr.cli.progress import LINE_SECONDS, SILENT_SECONDS, counted_by, showing
from streamzarr.testing.clock import FakeClock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(total=None, seconds=30, terminal=False, monkeypatch=None):
    """Return what stands on standard error after so many seconds of ten things each."""
    clock, stderr = FakeClock(), Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("COLUMNS", "80")
    with showing("chunks", clock) as show:
        for number in range(1, 10 * seconds + 1):
            clock.advance(0.1)
            show(number, total)
    return stderr.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_what_takes_no_time_shows_nothing(monkeypatch, terminal):
    assert work(seconds=int(SILENT_SECONDS) - 1, terminal=terminal, monkeypatch=monkeypatch) == ""


def test_a_pipe_has_a_line_now_and_then(monkeypatch):
    lines = work(300, monkeypatch=monkeypatch).splitlines()
    assert lines[0].startswith("20/300 chunks  10/s")
    assert len(lines) == 1 + (30 - SILENT_SECONDS) // LINE_SECONDS
    assert "\x1b" not in "".join(lines)


def test_where_nobody_knows_of_how_many_there_is_the_number(monkeypatch):
    assert work(monkeypatch=monkeypatch).startswith("20 chunks  10/s")


@pytest.mark.parametrize(("total", "says"), [(300, "/300"), (None, "/?")])
def test_a_terminal_has_a_bar_which_goes(monkeypatch, total, says):
    drawn = work(total, terminal=True, monkeypatch=monkeypatch)
    assert says in drawn
    assert drawn.endswith("\x1b[2K")


@pytest.mark.parametrize("gone", [None, io.StringIO()])
def test_without_standard_error_the_work_goes_on(monkeypatch, gone):
    if gone is not None:
        gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    clock = FakeClock()
    with showing("chunks", clock) as show:
        clock.advance(10)
        show(1, 2)


@pytest.mark.parametrize("terminal", [False, True])
def test_whoever_does_not_read_on_stops_nothing(monkeypatch, terminal):
    class Gone(Terminal if terminal else io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO if terminal else errno.EPIPE, "gone")

    monkeypatch.setattr(sys, "stderr", Gone())
    clock = FakeClock()
    with showing("chunks", clock) as show:
        for _ in range(3):
            clock.advance(10)
            show(1, 2)


def test_items_come_as_they_are_and_are_counted():
    said = []
    assert list(counted_by(said.append, iter("abc"))) == ["a", "b", "c"]
    assert said == [1, 2, 3]
