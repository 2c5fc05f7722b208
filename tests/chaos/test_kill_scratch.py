"""kill -9 in the middle of each stage of a job through intermediate arrays, with tasks of many chunks."""

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue
from tests.support.bench import tree_digest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

SHAPE, MAPS, SERIES = (64, 64, 64), (1, 64, 64), (64, 4, 4)
SMALL = 100_000
"""Bytes a task: 32 tasks a pass, of 32 and of 8 chunks."""
PACE = 4
"""Tasks that are queued at once: without a submitter, so few are left of the stage."""

DRIVE = f"""
import sys
from streamzarr import jobs
job, source, target, broker, prefix = sys.argv[1:]
how = {{"broker": broker, "prefix": prefix, "max_lag": {PACE}}}
if job:
    handle = jobs.resume(job, **how)
else:
    handle = jobs.submit("copy", source, target, chunks={SERIES}, max_task_bytes={SMALL}, **how)
print(handle.id, flush=True)
handle.wait()
"""


def drive(bench, job=""):
    """Submit the job, or resume it, in a process of its own; return process and job."""
    places = [bench.url("a.zarr"), bench.url("b.zarr"), bench.broker, bench.prefix]
    process = subprocess.Popen([sys.executable, "-c", DRIVE, job, *places], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def kill_a_worker(fleet, rng):
    if pids := [status.pid for status in fleet.status() if status.state == "ready"]:
        os.kill(rng.choice(pids), signal.SIGKILL)


def test_workers_and_submitters_die_in_each_stage(bench):
    rng = random.Random(5)
    data = np.random.default_rng(11).normal(size=SHAPE).astype("f4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=MAPS)
    sz.create_array(bench.url("expected.zarr"), data=data, chunks=SERIES)
    process, job_id = drive(bench)
    with (
        bench.fleet(2, max_restarts=100, max_crashes=100, session_timeout=6.0) as fleet,
        bench.watch(job_id) as watched,
    ):
        stages, tracker, ledger = watched.plan.stages, watched._tracker, watched._ledger
        assert [stage.scratch for stage in stages] == [True, False]
        for stage, counts in zip(stages, ledger.stages, strict=True):
            for part in (rng.uniform(0.05, 0.2), rng.uniform(0.4, 0.6)):
                least = int(part * counts.tasks)
                assert tracker.wait_for(lambda at=least, of=counts: of.written >= at, 60), watched.progress()
                process.kill()
                process.wait()
                kill_a_worker(fleet, rng)
                assert counts.written < counts.tasks, f"was to die in the middle of {stage.target}"
                process, _ = drive(bench, job_id)
        report = watched.wait(120)
        assert process.wait(60) == 0
    assert (report.state, report.written, report.dead) == ("done", report.tasks, 0)
    assert tree_digest(bench.url("b.zarr")) == tree_digest(bench.url("expected.zarr"))
    assert list(bench.folder.glob("*.scratch")) == []
    with bench.open() as broker:
        assert DeadLetterQueue(broker, bench.topics.dead).ls() == []
        assert bench.queued(broker) == 0, "every task is committed after the drain"
