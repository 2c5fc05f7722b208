"""Tasks under suspicion, tried in a process of their own: what comes of each way to end."""

import os
import signal
import threading

import msgspec
import numpy as np
import psutil
import pytest

import streamzarr as sz
from streamzarr.jobs import trial_child, trial_process
from streamzarr.jobs.execute import layout_of
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.outcome import Outcome
from streamzarr.jobs.register import append_event
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.trial import Court, TaskMemoryError, TaskTimeoutError, WorkerCrashError
from streamzarr.jobs.wire import Cancelled, Stage, Task, decode_task, encode
from streamzarr.queue import open_broker
from tests.support.inline import carry_out

FIRST = (0, "death")


@pytest.fixture
def children():
    """Return what tells the processes that were started since the test began."""
    before = set(psutil.Process().children())
    return lambda: [each for each in psutil.Process().children() if each not in before]


@pytest.fixture
def court(tmp_path, transforms):
    """Return what tries one task: chunk 1 of an array whose chunk i is full of i."""
    broker = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(broker) as opened:
        JobTopics().ensure(opened)
    data = np.repeat(np.arange(4, dtype="i4"), 16)
    source = sz.create_array(str(tmp_path / "a.zarr"), data=data, chunks=(16,))
    target = sz.create_array(str(tmp_path / "b.zarr"), shape=(64,), chunks=(16,), dtype="i4")

    def run(
        suspicion=FIRST, *, transform="bad_task", max_crashes=3, roots=None, modules=(), how=(), **params
    ):
        stage = Stage("map", str(source.url), str(target.url), layout_of(target), transform, params)
        task = decode_task(encode(Task(1, "01J", 1, (1,), encode_raw(stage))))
        options = WorkerOptions(
            broker=broker,
            roots=roots or [str(tmp_path)],
            transforms=[*transforms, *modules],
            max_crashes=max_crashes,
        )
        court = Court(options, **dict(how))
        return carry_out(lambda task, numbers, tell, _: court(task, numbers, tell, suspicion), task)

    run.target, run.broker = target, broker
    return run


def encode_raw(stage):
    return msgspec.Raw(encode(stage))


def test_an_innocent_task_is_done(court, children):
    assert court() == 64
    np.testing.assert_array_equal(court.target[16:32], 2)
    assert children() == []


def test_a_task_of_a_job_that_is_over_is_left_undone(court):
    with open_broker(court.broker) as broker:
        append_event(broker, JobTopics(), Cancelled("01J"))
    assert court() is None
    np.testing.assert_array_equal(court.target[16:32], 0)


def test_an_error_is_what_it_would_have_been_in_the_worker(court):
    with pytest.raises(Exception, match=r"^cannot take the value 1$") as caught:
        court(error="1")
    assert type(caught.value).__name__ == "ValueError"
    with pytest.raises(sz.errors.ConfigError, match="outside the roots"):
        court(roots=("/nowhere",))


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_trials_make_up_the_number_of_deaths(court, deaths, tmp_path):
    with pytest.raises(WorkerCrashError, match=r"died 3 times .* last by exit code 7 without a last word"):
        court((deaths, "death"), transform="counted_death", log=str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "x" * (3 - deaths)


def test_enough_deaths_need_no_further_trial(court, tmp_path):
    with pytest.raises(WorkerCrashError, match="died 3 times"):
        court((3, "death"), transform="counted_death", log=str(tmp_path / "log"))
    assert not (tmp_path / "log").exists()


def test_a_task_that_does_not_end_is_killed(court, children):
    with pytest.raises(TaskTimeoutError, match=r"within 0\.5 s, its task_timeout; .* 2 times in all"):
        court(endless="1", max_crashes=2, how={"task_timeout": 0.5})
    assert children() == []


def test_the_time_to_start_the_process_is_not_the_tasks(court, tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import threading; threading.Event().wait(6)")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert court(modules=["slow_to_import"], how={"task_timeout": 5.0}) == 64


def test_what_fails_before_the_task_is_begun_is_told_whole(court, tmp_path, monkeypatch):
    """Also where the process takes its time to end, and is looked at meanwhile."""
    script = tmp_path / "slow_end.py"
    script.write_text(
        "import os, select, sys\n"
        'os.write(int(sys.argv[1]), b\'{"error":"CodecError","text":"no such module"}\\n\')\n'
        "sys.stdin.readline(), select.select([0], [], [], 0.5)\n"
    )
    monkeypatch.setattr(trial_process, "__file__", str(script))
    with pytest.raises(sz.errors.CodecError, match="no such module"):
        court(how={"task_timeout": 60.0})


def test_a_task_that_takes_too_much_memory_is_killed(court):
    with pytest.raises(TaskMemoryError, match="more than 200000000 bytes, its max_memory"):
        court(transform="hungry", max_crashes=1, how={"max_memory": 200_000_000})


def test_signals_to_all_do_not_end_a_trial(court, children, tmp_path):
    """A terminal or a service manager sends them to every process; the worker sees to its own end."""
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    ends = []
    trial = threading.Thread(target=lambda: ends.append(court(transform="gated", gate=gate)))
    trial.start()
    fifo = os.open(gate, os.O_WRONLY)  # once the task is there to read
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(children()[0].pid, number)
    os.write(fifo, b"x")
    trial.join(60)
    os.close(fifo)
    assert ends == [64]


# -- tasks of many chunks


@pytest.fixture
def tried(tmp_path, transforms, court):
    """Return what tries all four chunks as one task, and tells what came of it."""

    def run(*, how=(), max_crashes=2, source=f"{tmp_path}/a.zarr", modules=(), **params):
        target = court.target
        stage = Stage("map", source, str(target.url), layout_of(target), "bad_task", params, block=(4,))
        task = decode_task(encode(Task(1, "01J", 8, (0,), encode_raw(stage), 4)))
        options = WorkerOptions(
            broker=court.broker,
            roots=[str(tmp_path), f"deadly://{tmp_path}"],
            transforms=[*transforms, *modules],
            max_crashes=max_crashes,
        )
        outcome = Outcome()
        outcome.begin()
        assert Court(options, **dict(how))(task, list(task.numbers), outcome.tell, (5, "death"))
        return outcome

    return run


def errors_of(outcome):
    return {number: type(failed.error).__name__ for number, failed in outcome.failed.items()}


def test_an_innocent_task_of_many_chunks_is_done_by_one_process(tried, court):
    """Whatever was held against it as a whole: it was not said of any of its chunks."""
    outcome = tried()
    assert {number: done.nbytes for number, done in outcome.written.items()} == dict.fromkeys(
        range(8, 12), 64
    )
    np.testing.assert_array_equal(court.target[...], np.repeat([1, 2, 3, 4], 16))


def test_only_the_chunks_that_kill_raise_or_never_end_are_lost(tried, court):
    outcome = tried(kill="0", error="1", endless="3", how={"task_timeout": 1.0})
    assert errors_of(outcome) == {8: "WorkerCrashError", 9: "ValueError", 11: "TaskTimeoutError"}
    assert "died 2 times while" in str(outcome.failed[8].error)
    assert "within 1 s, its task_timeout; its process was killed, 2 times" in str(outcome.failed[11].error)
    np.testing.assert_array_equal(court.target[...], np.repeat([0, 0, 3, 0], 16))


def test_the_time_limit_is_of_a_step_and_not_of_all_chunks(tried, tmp_path, monkeypatch):
    script = tmp_path / "slow_steps.py"
    script.write_text(
        "import os, select, sys\n"
        "sys.stdin.readline()\n"
        "for number in range(8, 12):\n"
        "    for _ in range(3):\n"
        "        os.write(int(sys.argv[1]), b'+%d\\n' % number)\n"
        "        select.select([0], [], [], 0.5)\n"
        "        os.write(int(sys.argv[1]), b'-%d\\n' % number)\n"
        '    os.write(int(sys.argv[1]), b\'{"task":%d,"nbytes":1}\\n\' % number)\n'
    )
    monkeypatch.setattr(trial_process, "__file__", str(script))
    assert len(tried(how={"task_timeout": 4.0}).written) == 4


def test_a_death_while_all_is_read_is_put_down_to_the_chunk_that_is_read_alone(
    tried, tmp_path, court, monkeypatch
):
    (tmp_path / "deadly_store.py").write_text(
        "import os\n"
        "from streamzarr.stores import LocalStore, register_store\n"
        "from streamzarr.testing.faults import WrappedStore\n"
        "class Deadly(WrappedStore):\n"
        "    def around(self, call, action):\n"
        "        return os._exit(3) if call.key == 'c/2' else action()\n"
        "register_store('deadly', lambda url: Deadly(LocalStore(f'/{url.path}')))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = tried(source=f"deadly://{tmp_path}/a.zarr", modules=["deadly_store"])
    assert errors_of(outcome) == {10: "WorkerCrashError"}
    assert str(outcome.failed[10].error).endswith("last by exit code 3 without a last word")
    np.testing.assert_array_equal(court.target[...], np.repeat([1, 2, 0, 4], 16))


def test_endings_that_do_not_fit_into_a_pipe_are_heard(tmp_path):
    """A process that says more than anybody has listened to yet waits; and nothing is lost when it ends."""
    script = tmp_path / "much.py"
    script.write_text(
        "import os, sys\n"
        "with open(int(sys.argv[1]), 'wb') as out:\n"
        "    for number in range(500):\n"
        '        out.write(b\'{"task":%d,"error":"ValueError","text":"\' % number)\n'
        "        out.write(b'x' * 4000 + b'\"}\\n')\n"
    )
    heard = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_process, "__file__", str(script))
        end = trial_child.run_trial({}, trial_child.Bounds(), heard.append)
    assert (end.code, end.killed, end.chunk) == (0, None, None)
    assert [(ending.task, len(ending.text)) for ending in heard] == [(number, 4000) for number in range(500)]
