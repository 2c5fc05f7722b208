"""Processes that are forked by a worker's work, or beside a running pool: real forks, real signals."""

import os
import signal

import pytest

from tests.integration.supervisor.conftest import TARGETS, eventually, lives
from tests.integration.supervisor.targets import TOKEN, notes


def forked(log):
    """The pid of the child that a worker forked, once it is there."""
    line = eventually(lambda: [line for line in notes(log) if line.startswith("child")])[0]
    _, pid, default = line.split()
    assert default == "True", "SIGTERM has its default meaning in the child"
    return int(pid)


@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
def test_a_signal_to_a_fork_of_a_worker_is_none_to_the_worker(pool, log, how):
    supervisor = pool("forks", config={"log": log, "how": how})
    child, worker = forked(log), supervisor.status()[0].pid
    assert supervisor.status()[0].in_flight == (TOKEN,), "the child's work is not the worker's"
    os.kill(child, signal.SIGTERM)
    eventually(lambda: not lives(child))
    heard = supervisor._monitor._workers[0].process.slot.heartbeat
    eventually(lambda: supervisor._monitor._workers[0].process.slot.heartbeat > heard + 0.2)
    [status] = supervisor.status()
    assert (status.pid, status.state, status.restarts) == (worker, "ready", 0)


def test_a_fork_does_not_beat_for_its_worker(pool, log):
    supervisor = pool("fork_beats_on", config={"log": log}, hang_timeout=1.0, max_restarts=0, ready=False)
    eventually(lambda: len([line for line in notes(log) if line.startswith("up")]) == 2)
    for pid in (int(line.split()[1]) for line in notes(log) if line.startswith("child")):
        os.kill(pid, signal.SIGKILL)
    assert supervisor.status()[0].restarts == 1


@pytest.mark.parametrize("sentinel", ["pidfd", "channel"])
def test_a_fork_does_not_hide_the_death_of_its_worker(pool, log, sentinel, monkeypatch):
    if sentinel == "channel":
        monkeypatch.delattr(os, "pidfd_open")
    supervisor = pool("forks", config={"log": log, "how": "os.fork"})
    child = forked(log)
    os.kill(supervisor.status()[0].pid, signal.SIGKILL)
    eventually(lambda: supervisor.status()[0].restarts == 1)
    assert lives(child)
    os.kill(child, signal.SIGKILL)


def test_a_fork_that_comes_back_from_its_work_goes_no_further(pool, log):
    assert pool("fork_that_returns", config={"log": log}, ready=False).wait(30).clean
    assert notes(log) == ["went on in the worker", f"fork ended with {os.EX_SOFTWARE}"]


FORKS_WHILE_RUNNING = f"""
import multiprocessing, os, signal, threading
from streamzarr.supervisor import Supervisor, WorkerSpec
pool = Supervisor(WorkerSpec('{TARGETS}:loop'), 1, drain=20.0).start()
def fork():
    pool.wait_ready(60)
    child = multiprocessing.get_context('fork').Process(target=threading.Event().wait)
    child.start()
    child.terminate()
    child.join(30)
    print(child.exitcode, pool.status()[0].state, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=fork).start()
print([one.outcome for one in pool.run().workers])
"""


def test_a_signal_to_a_fork_of_the_users_process_does_not_stop_the_pool(script):
    out, err = script(FORKS_WHILE_RUNNING).communicate(timeout=60)
    assert out.splitlines() == [f"{-signal.SIGTERM} ready", "['drained']"], err
