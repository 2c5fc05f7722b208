import contextlib
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from streamzarr.supervisor import Supervisor, WorkerSpec

TARGETS = "tests.integration.supervisor.targets"


def eventually(condition, timeout=20.0):
    """Return the first true value of `condition`, which is asked until the deadline."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
        threading.Event().wait(0.01)
    return value


def lives(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


@pytest.fixture
def pool():
    """Start a pool; whatever the test did with it, nothing of it is there afterwards."""
    with contextlib.ExitStack() as stack:

        def start(function, workers=1, config=None, ready=True, **options):
            options.setdefault("drain", 10.0)
            supervisor = Supervisor(WorkerSpec(f"{TARGETS}:{function}", config or {}), workers, **options)
            supervisor.start()
            stack.callback(end, supervisor)
            if ready:
                supervisor.wait_ready(30)
            return supervisor

        def end(supervisor):
            with contextlib.suppress(Exception):
                supervisor.stop(0)

        yield start


@pytest.fixture
def script():
    """Run a Python script as a process of its own, in a session of its own, and end it afterwards."""
    with contextlib.ExitStack() as stack:

        def run(source, *arguments):
            process = subprocess.Popen(
                [sys.executable, "-c", source, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.getcwd()},
            )
            stack.callback(end, process)
            return process

        def end(process):
            process.kill()
            with process:  # whatever it forked may hold its output open
                pass

        yield run
