import io
import os
import threading

import pytest

from streamzarr.supervisor.forward import Forwarder


@pytest.fixture
def pipe():
    """A pipe that nobody reads, as a text stream, and its other end."""
    reader, writer = os.pipe()
    with open(reader, "rb") as ours, open(writer, "w") as theirs:
        yield ours, theirs


def test_lines_come_in_order_and_whole():
    out = io.StringIO()
    forwarder = Forwarder(out, limit=1 << 30)
    lines = [f"{number} {'x' * number}\n" for number in range(3000)]
    for line in lines:
        forwarder.put(line)
    forwarder.close()
    assert out.getvalue() == "".join(lines)


def test_nothing_to_forward_needs_no_thread():
    before = threading.active_count()
    forwarder = Forwarder(io.StringIO())
    assert threading.active_count() == before
    forwarder.close()


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe):
    _, stream = pipe
    forwarder = Forwarder(stream, patience=0.1)
    for _ in range(5000):
        forwarder.put("x" * 99 + "\n")
    forwarder.close()


def test_what_does_not_fit_is_dropped_and_counted(pipe):
    reader, stream = pipe
    forwarder = Forwarder(stream, limit=100_000)
    for _ in range(5000):
        forwarder.put("x" * 99 + "\n")
    read = reader.read(100_000)  # room again
    forwarder.put("at the end\n")
    closer = threading.Thread(target=lambda: (forwarder.close(), stream.close()))
    closer.start()
    lines = (read + reader.read()).decode().splitlines()
    closer.join()
    notices = [line for line in lines if line.endswith("lines were dropped here, since nobody read them")]
    assert notices, "all was taken: the test shows nothing"
    assert sum(int(line.split()[1]) for line in notices) + len(lines) - len(notices) == 5001
    assert "at the end" in lines


def test_a_stream_closed_by_its_owner_is_no_error():
    out = io.StringIO()
    out.close()
    forwarder = Forwarder(out)
    forwarder.put("to nobody\n")
    forwarder.close()
