"""Workers that die, hang, or cannot be run at all: real processes, real signals."""

import io
import os
import signal
import threading

import pytest

from streamzarr.errors import ConfigError, StreamzarrError, WorkerError
from streamzarr.supervisor import Supervisor, WorkerSpec
from tests.integration.supervisor.conftest import TARGETS, eventually, lives
from tests.integration.supervisor.targets import TOKEN, notes


@pytest.fixture(params=["pidfd", "channel"])
def sentinel(request, monkeypatch):
    """Both ways to learn of a death: the kernel's pidfd, and the end of the channel where there are none."""
    if request.param == "channel":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.usefixtures("sentinel")
def test_killed_worker_is_replaced(pool):
    supervisor = pool("loop", workers=2)
    before = {worker.name: worker.pid for worker in supervisor.status()}
    os.kill(before["worker-0"], signal.SIGKILL)
    eventually(lambda: supervisor.ready and supervisor.status()[0].restarts == 1)
    after = supervisor.status()
    assert after[0].pid != before["worker-0"]
    assert (after[1].pid, after[1].restarts) == (before["worker-1"], 0)
    report = supervisor.stop()
    assert [(one.outcome, one.exit_code, one.restarts) for one in report.workers] == [
        ("drained", 0, 1),
        ("drained", 0, 0),
    ]


@pytest.mark.usefixtures("sentinel")
def test_used_up_budget_ends_the_pool_with_the_last_words(pool):
    out = io.StringIO()
    supervisor = pool("raises", workers=1, ready=False, max_restarts=2, within=300.0, stderr=out)
    with pytest.raises(WorkerError) as caught:
        supervisor.wait(30)
    text = str(caught.value)
    assert text.startswith(
        "worker-0 died 3 times within 300 s, max_restarts=2 allows no further start; "
        "last: exit code 1: ValueError: nothing works\n"
    )
    assert "  | about to fail\n" in text
    assert supervisor.failed is caught.value
    with pytest.raises(WorkerError):
        supervisor.stop()
    assert out.getvalue().count("worker-0: about to fail\n") == 3
    assert 'worker-0:     raise ValueError("nothing\\nworks")\n' in out.getvalue()


def test_the_others_drain_when_one_is_given_up(pool, log):
    supervisor = pool("loop", workers=3, config={"log": log}, max_restarts=0)
    os.kill(supervisor.status()[1].pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"worker-1 died once .* signal 9 \(SIGKILL\)"):
        supervisor.wait(30)
    assert sorted(line.split()[1] for line in notes(log) if line.startswith("stopped")) == [
        "worker-0",
        "worker-2",
    ]
    assert {worker.state for worker in supervisor.status()} == {"ended"}


def test_with_block_raises_the_pools_error_but_not_over_the_blocks_own():
    def lose_a_worker(supervisor):
        os.kill(supervisor.status()[0].pid, signal.SIGKILL)
        eventually(lambda: supervisor.failed)

    def block(error=None):
        with Supervisor(WorkerSpec(f"{TARGETS}:loop"), 1, max_restarts=0) as supervisor:
            lose_a_worker(supervisor)
            if error:
                raise error

    with pytest.raises(WorkerError):
        block()
    with pytest.raises(KeyError, match="mine"):
        block(KeyError("mine"))


def test_stopped_worker_is_taken_for_hung_and_replaced(pool):
    supervisor = pool("loop", workers=2, hang_timeout=1.0)
    victim = supervisor.status()[1].pid
    os.kill(victim, signal.SIGSTOP)
    eventually(lambda: supervisor.status()[1].restarts == 1 and supervisor.ready)
    assert not lives(victim)
    assert supervisor.status()[0].restarts == 0


def test_silent_worker_is_killed_counted_and_given_up(pool, log):
    supervisor = pool(
        "goes_silent", config={"log": log}, ready=False, hang_timeout=0.5, max_restarts=1, within=30.0
    )
    with pytest.raises(WorkerError, match=r"last: killed after [\d.]+ s without a sign of life"):
        supervisor.wait(30)
    # The first death is put down to its work; to go on with that as if nothing had been spends the budget.
    assert notes(log) == ["crashes 0", "crashes 1", "crashes 2"]


def test_silence_of_the_whole_group_is_nobodys_fault(script):
    """A container is frozen and thawed: workers that were stopped together with us are not hung."""
    process = script(
        "from streamzarr.supervisor import Supervisor, WorkerSpec\n"
        f"with Supervisor(WorkerSpec('{TARGETS}:loop'), 2, hang_timeout=1.0) as pool:\n"
        "    pool.wait_ready()\n"
        "    print(*[one.pid for one in pool.status()], flush=True)\n"
        "    while True:\n"
        "        pool._monitor.wait(lambda: False, 0.05)\n"
        "        if all(one.heartbeat_age < 0.5 for one in pool.status()): break\n"
        "    pool._monitor.wait(lambda: False, 1.5)\n"
        "    print([one.restarts for one in pool.status()])\n"
    )
    pids = [process.pid, *map(int, process.stdout.readline().split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(3.0)  # the time that passes is what is tested
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert out.split("\n")[-2] == "[0, 0]", err


def test_crashes_of_a_token_are_counted_before_the_successor_starts(pool, log):
    supervisor = pool("poisoned", config={"log": log}, ready=False)
    report = supervisor.wait(30)
    assert notes(log) == [f"worker-0 crashes {count} other 0" for count in range(4)]
    [one] = report.workers
    assert (one.outcome, one.restarts, one.left) == ("finished", 3, ())


def test_work_handed_back_on_a_plain_terminate_is_no_crash(pool, log):
    supervisor = pool("hands_back", config={"log": log})
    os.kill(supervisor.status()[0].pid, signal.SIGTERM)
    eventually(lambda: notes(log) == ["crashes 0", "crashes 0"])


def test_all_workers_see_the_crashes_of_all(pool, log):
    supervisor = pool("poisoned", workers=2, config={"log": log}, ready=False)
    supervisor.wait(30)
    crashes = [int(line.split()[2]) for line in notes(log)]
    assert max(crashes) >= 3
    assert sum(one.restarts for one in supervisor.wait().workers) >= 3


def test_finished_workers_are_not_started_again(pool, log):
    report = pool("finishes", workers=3, config={"log": log}, ready=False).wait(30)
    assert sorted(notes(log)) == ["worker-0", "worker-1", "worker-2"]
    assert [one.outcome for one in report.workers] == ["finished"] * 3
    assert report.clean


def test_terminated_worker_drains_and_is_replaced(pool, log):
    supervisor = pool("loop", config={"log": log})
    os.kill(supervisor.status()[0].pid, signal.SIGTERM)
    eventually(lambda: supervisor.ready and supervisor.status()[0].restarts == 1)
    assert [line.split()[0] for line in notes(log)] == ["up", "stopped", "up"]


@pytest.mark.parametrize(
    ("function", "config", "message"),
    [
        ("no_such_function", {}, "has no 'no_such_function'"),
        ("loop", {"unknown": 1}, "got an unexpected keyword argument 'unknown'"),
        ("misconfigured", {}, "^broker 'carrier-pigeon://' is of no known kind$"),
    ],
)
def test_what_cannot_work_is_said_once_and_not_tried_again(pool, log, function, config, message):
    if function == "misconfigured":
        config = {"log": log}
    supervisor = pool(function, config=config, ready=False, max_restarts=1000, stderr=io.StringIO())
    with pytest.raises(ConfigError, match=message) as caught:
        supervisor.wait(30)
    assert "\n" not in str(caught.value)
    assert supervisor.status()[0].restarts == 0
    with pytest.raises(ConfigError):
        supervisor.wait_ready()
    assert len(notes(log)) <= 1


def test_no_process_to_be_had_is_a_death_like_others(pool, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    supervisor = pool("loop", ready=False, max_restarts=2, within=60.0)
    with pytest.raises(StreamzarrError, match=r"died 3 times .*cannot be started: .*No such file"):
        supervisor.wait(30)
    assert [one.exit_code for one in supervisor._monitor.report.workers] == [None]


def test_a_process_left_behind_by_a_worker_does_not_hide_its_death(pool, log):
    supervisor = pool("leaks_children", config={"log": log}, ready=False, max_restarts=1, within=300.0)
    with pytest.raises(WorkerError):
        supervisor.wait(30)
    for pid in map(int, notes(log)):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("sentinel")
def test_other_code_that_reaps_our_processes_does_not_make_a_crash_a_success(pool):
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        supervisor = pool("loop")
        os.kill(supervisor.status()[0].pid, signal.SIGKILL)
        eventually(lambda: supervisor.status()[0].restarts == 1 and supervisor.ready)
        assert supervisor.stop().workers[0].outcome == "drained"
    finally:
        signal.signal(signal.SIGCHLD, previous)


def test_output_comes_by_line_under_the_workers_name(pool):
    out = io.StringIO()
    pool("prints", config={"text": "ünï", "lines": 3000}, ready=False, stderr=out).wait(30)
    lines = out.getvalue().splitlines()
    assert lines == [f"worker-0: ünï {number}" for number in range(3000)] + [
        "worker-0: no newline at the end"
    ]


def test_output_to_a_closed_stream_is_no_reason_to_stop(pool):
    out = io.StringIO()
    out.close()
    assert pool("prints", config={"text": "a", "lines": 10}, ready=False, stderr=out).wait(30).clean


def test_environment_is_added_to(pool, log):
    pool(
        "shows_environment", config={"log": log}, ready=False, env={"STREAMZARR_TEST_VARIABLE": "here "}
    ).wait(30)
    assert notes(log) == ["here " + os.environ["PATH"]]


def test_programs_that_a_worker_starts_inherit_none_of_its_descriptors(pool, log):
    out = io.StringIO()
    pool("open_descriptors", config={"log": log}, ready=False, stderr=out).wait(30)
    # 0, 1, 2 and the directory that `ls` itself reads
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["0", "1", "2", "3"]


def test_tokens_in_hand_show_in_the_status(pool):
    supervisor = pool("stubborn")
    [status] = supervisor.status()
    assert status.in_flight == (TOKEN,)
    assert status.heartbeat_age < 5
    assert lives(status.pid)


def test_a_temporary_worker_that_dies_is_missed_and_the_others_go_on(pool):
    supervisor = pool("loop", workers=2, restart="temporary")
    os.kill(supervisor.status()[0].pid, signal.SIGKILL)
    eventually(lambda: supervisor.status()[0].state == "ended")
    assert supervisor.status()[1].state == "ready"
    assert supervisor.failed is None
    assert [one.outcome for one in supervisor.stop().workers] == ["failed", "drained"]


def test_an_unknown_word_for_restarting_is_refused():
    with pytest.raises(
        ConfigError, match="restart is 'sometimes', expected one of permanent, transient, temp"
    ):
        Supervisor(WorkerSpec(f"{TARGETS}:loop"), restart="sometimes")
