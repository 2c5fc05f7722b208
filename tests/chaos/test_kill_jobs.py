"""kill -9 in the middle of jobs: nothing is lost; the output is byte for byte that of an undisturbed run.

``STREAMZARR_JOB_KILLS`` sets how many workers die: 30 is the full run.
"""

import fcntl
import os
import random
import signal
import subprocess
import sys
import termios
import threading
import time

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue
from tests.support.bench import tree_digest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("STREAMZARR_JOB_KILLS", "12"))
STEP = 160
TASKS = (STEP + 10) * KILLS
MANY = 10 * TASKS  # more than all tasks take, were each done again; a FIFO holds 65,536 bytes

SUBMIT = """
import sys
from streamzarr import jobs
source, target, broker, prefix, gate = sys.argv[1:]
job = jobs.submit(
    "map", source, target, broker=broker, prefix=prefix, transform="gated", params={"gate": gate}, max_lag=500
)
print(job.id, flush=True)
job.wait()
"""


class Gate:
    """Lets as many tasks through as it is told; a FIFO from which the transform takes a byte for each.

    A task that is done twice, as after a rebalance or a kill, takes two bytes.
    """

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR)

    def let_through(self, tasks):
        os.write(self._fd, b"x" * tasks)

    @property
    def waiting(self):
        """Tasks that were let through and have not come."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def close(self):
        os.close(self._fd)


def kill_one(fleet, rng):
    """Kill a random worker that is up; one that is being started again cannot be killed yet."""
    while True:
        pids = [status.pid for status in fleet.status() if status.state == "ready"]
        if pids:
            try:
                os.kill(rng.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return
        threading.Event().wait(0.02)


def kill_as_it_goes(kills, fleet, job, gate, rng):
    """Kill a worker at a random moment of each step of the job."""
    for _ in range(kills):
        with job._tracker.changed:
            moment = job._ledger.decided + rng.randrange(1, STEP - 40)
        deadline = time.monotonic() + 120
        gate.let_through(STEP)
        while not job._tracker.wait_for(lambda at=moment: job._ledger.decided >= at, timeout=2):
            assert time.monotonic() < deadline, job.progress()
            if not gate.waiting:  # tasks that are done again took the bytes of others
                gate.let_through(STEP // 4)
        kill_one(fleet, rng)


def test_dead_workers_and_a_dead_submitter(bench, transforms):
    rng = random.Random(17)
    data = np.random.default_rng(11).integers(0, 1000, TASKS * 256).astype("i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(256,), compressors="blosc")
    how = {"transforms": transforms, "session_timeout": 6.0}
    undisturbed = bench.run("map", "a.zarr", "undisturbed.zarr", transform="plus_one", fleet=how, timeout=300)
    assert undisturbed.complete

    gate = Gate(bench.url("gate"))
    arguments = [bench.url("a.zarr"), bench.url("b.zarr"), bench.broker, bench.prefix, gate.path]
    submitter = subprocess.Popen(
        [sys.executable, "-c", SUBMIT, *arguments], stdout=subprocess.PIPE, text=True
    )
    job_id = submitter.stdout.readline().strip()
    with bench.fleet(2, max_restarts=1000, max_crashes=1000, **how) as fleet:
        with bench.watch(job_id) as watched:
            kill_as_it_goes(KILLS // 3, fleet, watched, gate, rng)
            submitter.kill()
            submitter.wait()
            assert watched.progress().written < TASKS / 2, "the submitter was to die in the middle of its job"
        with bench.resume(job_id, max_lag=500) as job:
            job.catch_up()
            kill_as_it_goes(KILLS - KILLS // 3, fleet, job, gate, rng)
            assert job.progress().written < TASKS, "the workers were to die in the middle of the job"
            gate.let_through(MANY)
            report = job.wait(300)
    gate.close()
    assert (report.state, report.written, report.dead) == ("done", TASKS, 0)
    assert tree_digest(bench.url("b.zarr")) == tree_digest(bench.url("undisturbed.zarr"))
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data + 1)
    with bench.open() as broker:
        assert DeadLetterQueue(broker, bench.topics.dead).ls() == []
        assert bench.queued(broker) == 0, "every task is committed after the drain"
