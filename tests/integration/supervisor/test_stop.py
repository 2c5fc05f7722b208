"""How a pool comes to its end: drained, killed at the deadline, signalled, orphaned, dropped; and resized."""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref

import psutil
import pytest

from streamzarr.errors import ConfigError
from streamzarr.supervisor import Supervisor, WorkerSpec
from tests.integration.supervisor.conftest import TARGETS, eventually, lives
from tests.integration.supervisor.targets import TOKEN, notes

SERVICE = """
import json, sys, threading
from streamzarr.supervisor import Supervisor, WorkerSpec
target, config, drain = sys.argv[1:]
pool = Supervisor(WorkerSpec(target, json.loads(config)), 2, drain=float(drain))
def tell():
    while not pool.ready:
        threading.Event().wait(0.01)
    print(*[one.pid for one in pool.status()], flush=True)
threading.Thread(target=tell, daemon=True).start()
report = pool.run()
print([one.outcome for one in report.workers], len(report.left))
"""


def service(script, function, config="{}", drain=20.0):
    """Run a pool of two as a service; return its process and the workers' pids."""
    process = script(SERVICE, f"{TARGETS}:{function}", config, str(drain))
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return process, [int(pid) for pid in line.split()]


def test_work_in_flight_is_finished(pool, log):
    supervisor = pool("holds", workers=2, config={"log": log, "seconds": 0.5})
    report = supervisor.stop()
    assert notes(log) == ["finished in-flight work"] * 2
    assert report.clean
    assert supervisor.stop() == report


def test_at_the_deadline_all_are_killed_and_what_they_held_is_reported(pool):
    supervisor = pool("stubborn", workers=3)
    began = time.monotonic()
    report = supervisor.stop(drain=0.7)
    assert 0.7 <= time.monotonic() - began < 5.0  # one deadline, not one for each
    assert [(one.outcome, one.exit_code, one.left) for one in report.workers] == [
        ("killed", -9, (TOKEN,))
    ] * 3
    assert not report.clean
    assert report.left == (TOKEN,) * 3


@pytest.mark.parametrize("drain", [1.0, 3.0])
def test_workers_are_given_less_than_the_deadline_so_that_what_they_left_is_reported(pool, log, drain):
    supervisor = pool("told", config={"log": log})
    report = supervisor.stop(drain)
    assert [(one.outcome, one.exit_code, one.left) for one in report.workers] == [("drained", 0, (TOKEN,))]
    assert not report.clean
    assert 0 < float(notes(log)[0]) <= 0.9 * drain


def test_a_worker_terminated_by_somebody_is_given_less_than_its_deadline_too(pool, log):
    supervisor = pool("told", config={"log": log}, drain=2.0)
    os.kill(supervisor.status()[0].pid, signal.SIGTERM)
    eventually(lambda: supervisor.status()[0].restarts == 1)
    assert 0 < float(notes(log)[0]) <= 1.8


def test_output_that_nobody_reads_does_not_hold_up_the_stop(pool):
    reader, writer = os.pipe()
    with open(reader, "rb"), open(writer, "w") as stderr:
        supervisor = pool("chatters", stderr=stderr, workers=2)
        eventually(lambda: not select.select([], [writer], [], 0)[1])  # the pipe is full
        began = time.monotonic()
        report = supervisor.stop(1.0)
        assert time.monotonic() - began < 10
        assert [one.outcome for one in report.workers] == ["drained", "drained"]


def test_a_service_whose_output_nobody_reads_comes_to_its_end(script):
    process, _ = service(script, "chatters")
    eventually(lambda: not process_can_write(process))
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert process.returncode == 0


def process_can_write(process):
    """Whether a process's standard error, a pipe that is not read, has room."""
    with open(f"/proc/{process.pid}/fd/2", "w") as stderr:
        return bool(select.select([], [stderr], [], 0)[1])


def test_stop_can_be_hurried(pool):
    supervisor = pool("stubborn")
    patient = threading.Thread(target=supervisor.stop, args=(60.0,))
    patient.start()
    eventually(lambda: supervisor.status()[0].state == "draining")
    with pytest.raises(TimeoutError, match=r"not ended within 0\.01 s"):
        supervisor.wait(0.01)
    supervisor.stop(0)
    patient.join(10)
    assert not patient.is_alive()


def test_stop_while_a_worker_waits_to_be_restarted(pool):
    supervisor = pool("raises", ready=False, max_restarts=3, within=1000.0)
    eventually(lambda: supervisor.status()[0].state == "backoff")
    report = supervisor.stop(5)
    assert [(one.outcome, one.exit_code) for one in report.workers] == [("failed", 1)]


def test_a_thread_left_behind_by_the_target_does_not_keep_the_process(pool, log):
    supervisor = pool("thread_that_stays", config={"log": log}, drain=0.5, max_restarts=0)
    eventually(lambda: notes(log) == ["returned"])
    with pytest.raises(Exception, match="exit code 75"):
        supervisor.wait(20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_service_drains_on_a_signal_to_it_alone_or_to_its_group(script, log, number):
    config = json.dumps({"log": log, "seconds": 0.3})
    process, pids = service(script, "holds", config)
    if number == signal.SIGINT:  # as a terminal does it: to every process of the group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert out == "['drained', 'drained'] 0\n", err
    assert err == ""
    assert process.returncode == 0
    assert notes(log) == ["finished in-flight work"] * 2
    assert not any(map(lives, pids))


def test_ctrl_c_while_workers_are_being_started(script):
    """The signal reaches processes that have not even read their first line; none dies with a traceback."""
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1):
        process = script(
            "from streamzarr.supervisor import Supervisor, WorkerSpec\n"
            f"report = Supervisor(WorkerSpec('{TARGETS}:loop'), 2, drain=20.0).run()\n"
            "print([one.outcome for one in report.workers])"
        )
        eventually(lambda process=process: len(psutil.Process(process.pid).children()) == 2)
        threading.Event().wait(delay)  # where in the start it hits is the point
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (out, err) == ("['drained', 'drained']\n", ""), delay


def test_second_signal_ends_all_at_once(script):
    process, pids = service(script, "stubborn", drain=60.0)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.poll() is None
    assert all(map(lives, pids))
    threading.Event().wait(0.3)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert out == "['killed', 'killed'] 2\n"


def test_run_puts_the_signal_handlers_back_and_can_be_called_again(pool, log):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    supervisor = pool("finishes", config={"log": log}, ready=False)
    report = supervisor.run()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert supervisor.run() == report == supervisor.wait()


def test_run_on_another_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    supervisor = Supervisor(WorkerSpec(f"{TARGETS}:loop"), 1)
    reports = []
    runner = threading.Thread(target=lambda: reports.append(supervisor.run()))
    runner.start()
    eventually(lambda: supervisor.status() and supervisor.ready)
    assert signal.getsignal(signal.SIGTERM) is before
    supervisor.stop()
    runner.join(10)
    assert reports[0].clean


def test_workers_outlive_the_thread_that_started_them():
    supervisor = Supervisor(WorkerSpec(f"{TARGETS}:loop"), 1)
    starter = threading.Thread(target=supervisor.start)
    starter.start()
    starter.join()
    supervisor.wait_ready(30)
    pid = supervisor.status()[0].pid
    with pytest.raises(TimeoutError):
        supervisor.wait(0.3)
    assert lives(pid)
    assert supervisor.stop().workers[0].restarts == 0


@pytest.mark.parametrize(("function", "seconds"), [("loop", 5.0), ("busy", 5.0), ("stubborn", 5.0)])
def test_killed_parent_leaves_no_orphans(script, function, seconds):
    process, pids = service(script, function, drain=2.0)
    process.kill()
    process.wait()
    eventually(lambda: not any(map(lives, pids)), timeout=seconds)


def test_orphans_finish_their_work_first(script, log):
    process, pids = service(script, "holds", json.dumps({"log": log, "seconds": 0.3}))
    process.kill()
    process.wait()
    eventually(lambda: not any(map(lives, pids)))
    assert notes(log) == ["finished in-flight work"] * 2


def test_a_fork_of_the_parent_keeps_no_worker_alive_and_stops_none(script):
    """A forked copy holds all the parent's descriptors open; neither its life nor its end is the parent's."""
    process = script(
        "import os, signal, sys\n"
        "from streamzarr.errors import ConfigError\n"
        "from streamzarr.supervisor import Supervisor, WorkerSpec\n"
        f"pool = Supervisor(WorkerSpec('{TARGETS}:loop'), 1).start()\n"
        "pool.wait_ready()\n"
        "if os.fork() == 0:\n"
        "    try: pool.stop()\n"
        "    except ConfigError: sys.exit()  # with exit handlers and finalizers\n"
        "assert os.wait()[1] == 0\n"
        "if (fork := os.fork()) == 0:\n"
        "    signal.pause()\n"
        "print(pool.status()[0].pid, pool.status()[0].restarts, fork, flush=True)\n"
        "pool.wait()\n"
    )
    worker, restarts, fork = map(int, process.stdout.readline().split())
    try:
        assert lives(worker)
        assert restarts == 0
        process.kill()
        eventually(lambda: not lives(worker), timeout=5)
        assert lives(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError('mine')", "del pool; gc.collect()"])
def test_workers_end_with_the_interpreter(script, log, end):
    process = script(
        "import gc, sys\n"
        "from streamzarr.supervisor import Supervisor, WorkerSpec\n"
        f"spec = WorkerSpec('{TARGETS}:holds', {{'log': sys.argv[1], 'seconds': 0.3}})\n"
        "pool = Supervisor(spec, 2).start()\n"
        "pool.wait_ready()\n"
        "print(*[one.pid for one in pool.status()], flush=True)\n" + end,
        log,
    )
    out, err = process.communicate(timeout=30)
    assert process.returncode == {"sys.exit(3)": 3, "raise ValueError('mine')": 1}.get(end, 0), err
    assert not any(lives(int(pid)) for pid in out.split())
    assert notes(log) == ["finished in-flight work"] * 2


def test_dropped_pool_drains_in_the_background(log):
    supervisor = Supervisor(WorkerSpec(f"{TARGETS}:holds", {"log": log, "seconds": 0.1}), 1).start()
    supervisor.wait_ready(30)
    pid, reference = supervisor.status()[0].pid, weakref.ref(supervisor)
    del supervisor
    gc.collect()
    assert reference() is None
    eventually(lambda: not lives(pid))
    assert notes(log) == ["finished in-flight work"]
    eventually(lambda: not [thread for thread in threading.enumerate() if "supervisor" in thread.name])


def test_script_without_main_guard(tmp_path):
    """A fresh interpreter does not run the script again, and finds modules that lie beside it."""
    (tmp_path / "my_work.py").write_text("def work(supervision, path): open(path, 'a').write('done ')\n")
    (tmp_path / "script.py").write_text(
        "from streamzarr.supervisor import Supervisor, WorkerSpec\n"
        f"spec = WorkerSpec('my_work:work', {{'path': {str(tmp_path / 'out')!r}}})\n"
        "print('once')\n"
        "with Supervisor(spec, workers=2) as pool:\n"
        "    print([one.outcome for one in pool.wait().workers])\n"
    )
    out = subprocess.check_output(
        [sys.executable, str(tmp_path / "script.py")],
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert out == "once\n['finished', 'finished']\n"
    assert (tmp_path / "out").read_text() == "done done "


def test_service_without_standard_streams(tmp_path):
    """A daemon may have closed 0, 1 and 2; the next descriptors opened get these numbers."""
    out = tmp_path / "out"
    source = (
        "from streamzarr.supervisor import Supervisor, WorkerSpec\n"
        f"with Supervisor(WorkerSpec('{TARGETS}:loop'), 2, max_restarts=0) as pool:\n"
        "    pool.wait_ready()\n"
        f"open({str(out)!r}, 'w').write(str([one.outcome for one in pool.stop().workers]))\n"
    )
    subprocess.run(["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, source], check=True)
    assert out.read_text() == "['drained', 'drained']"


def test_nothing_is_left_over(log):
    """Descriptors, threads and processes are as before, after every kind of end."""

    def everything():
        process = psutil.Process()
        return process.num_fds(), threading.active_count(), len(process.children())

    def one(function, config, stop):
        supervisor = Supervisor(WorkerSpec(f"{TARGETS}:{function}", config), 2, max_restarts=0).start()
        stop(supervisor)

    def killed(supervisor):
        os.kill(supervisor.status()[0].pid, signal.SIGKILL)
        with pytest.raises(Exception, match="SIGKILL"):
            supervisor.wait(30)

    def misconfigured(supervisor):
        with pytest.raises(ConfigError):
            supervisor.wait(30)

    ends = [
        ("loop", {}, lambda supervisor: supervisor.stop()),
        ("stubborn", {}, lambda supervisor: supervisor.stop(0)),
        ("loop", {}, killed),
        ("nothing_here", {}, misconfigured),
        ("finishes", {"log": log}, lambda supervisor: supervisor.run()),
    ]
    one(*ends[0])  # what is opened once and kept
    gc.collect()
    before = everything()
    for end in ends:
        one(*end)
        assert everything() == before, end[0]


def test_unstarted_and_twice_started():
    supervisor = Supervisor(WorkerSpec(f"{TARGETS}:loop"), 1)
    assert supervisor.status() == []
    assert not supervisor.ready
    assert supervisor.stop().workers == ()
    with pytest.raises(ConfigError, match="not started"):
        supervisor.wait()
    with supervisor, pytest.raises(ConfigError, match="started before"):
        supervisor.start()
    with pytest.raises(ConfigError, match="started before"):
        supervisor.start()


def test_resize_up_and_down_while_running(pool, log):
    supervisor = pool("loop", workers=2, config={"log": log})
    first = [one.pid for one in supervisor.status()]
    supervisor.resize(4)
    assert not supervisor.ready
    supervisor.wait_ready(30)
    assert len(supervisor.status()) == 4
    assert [one.pid for one in supervisor.status()][:2] == first
    supervisor.resize(1)
    eventually(lambda: [one.name for one in supervisor.status()] == ["worker-0"])
    assert supervisor.status()[0].pid == first[0]
    assert supervisor.status()[0].restarts == 0
    stopped = sorted(line.split()[1] for line in notes(log) if line.startswith("stopped"))
    assert stopped == ["worker-1", "worker-2", "worker-3"]
    report = supervisor.stop()
    assert [one.name for one in report.workers] == ["worker-0"]
    with pytest.raises(ConfigError, match="it is stopping"):
        supervisor.resize(2)


def test_surplus_workers_that_do_not_drain_are_killed_and_reported(pool):
    supervisor = pool("stubborn", workers=2, drain=0.4)
    supervisor.resize(1)
    eventually(lambda: len(supervisor.status()) == 1)
    report = supervisor.stop(0)
    assert [(one.name, one.outcome, one.left) for one in report.workers] == [
        ("worker-0", "killed", (TOKEN,)),
        ("worker-1", "killed", (TOKEN,)),
    ]


def test_a_new_worker_never_shares_its_name_with_one_that_still_drains(pool):
    supervisor = pool("stubborn", workers=2)
    supervisor.resize(1)
    eventually(lambda: supervisor.status()[1].state == "draining")
    supervisor.resize(2)
    eventually(lambda: len(supervisor.status()) == 3)
    assert [one.name for one in supervisor.status()] == ["worker-0", "worker-1", "worker-2"]
    assert [one.state == "draining" for one in supervisor.status()] == [False, True, False]


def test_pool_of_none_waits_for_more(pool):
    supervisor = pool("loop", workers=2)
    supervisor.resize(0)
    eventually(lambda: supervisor.status() == [])
    with pytest.raises(TimeoutError):
        supervisor.wait(0.1)
    supervisor.resize(1)
    eventually(lambda: supervisor.ready)
    assert supervisor.stop().clean
    with pytest.raises(ConfigError, match="workers is -1"):
        supervisor.resize(-1)
