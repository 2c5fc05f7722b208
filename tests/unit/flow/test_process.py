import math
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from streamzarr.errors import (
    ConfigError,
    ProcessDiedError,
    ProcessError,
    StoreError,
    StreamzarrError,
    TransformError,
)
from streamzarr.flow import Demand, from_iterable, ops, run
from streamzarr.flow.dispatch import shared
from streamzarr.flow.dispatch.process import ChildProcess, import_path

SHM = Path("/dev/shm")


# -- functions that children import ----------------------------------------------------------------------


def echo(data):
    return data


def pid(data):
    return os.getpid()


def die(data):
    if data == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == "exit":
        os._exit(7)
    return data


def fail(data):
    raise {"store": StoreError, "value": ValueError, "exit": SystemExit}[data]("said so")


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__("two arguments")


def fail_unsendable(data):
    raise Unsendable(1, 2)


def hang(data):
    threading.Event().wait(300)


_kept = []


def keep(data):
    _kept.append(data)
    return _kept[0]


def scaled(data):
    return np.full(data, 3.0)


def unsendable(data):
    return lambda: data


# -- helpers ---------------------------------------------------------------------------------------------


@pytest.fixture
def segments(monkeypatch):
    """Names of the shared memory that this process has made."""
    names, reserved = [], shared._reserved

    def reserve(size):
        block = reserved(size)
        names.append(block.name)
        return block

    monkeypatch.setattr(shared, "_reserved", reserve)
    return names


@pytest.fixture
def child(segments):
    made = []

    def make(fn):
        one = ChildProcess(import_path(fn), fn.__name__)
        made.append(one)
        return one

    yield make
    for one in made:
        one.kill()
        one.close()
    assert not left(segments), "leaked shared memory"


def left(names):
    return [name for name in names if SHM.joinpath(name).exists()]


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def until(predicate, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.01)


VALUES = [
    None,
    b"",
    b"x" * 100_000,
    "text",
    {"rows": np.arange(10_000), "raw": [b"y" * 5_000, (b"z" * 3_000, 1.5)], 7: None},
    np.arange(24_000, dtype=">i4").reshape(2, 3, 4_000),
    np.asfortranarray(np.arange(10_000.0).reshape(100, 100)),
    np.arange(20_000)[::-2],
    np.zeros((0, 5)),
    np.array(3.5),
    np.arange("2026-01", "2046-01", dtype="datetime64[D]"),
    np.array([("a", 1)] * 1_000, dtype=[("name", "U8"), ("n", "<u2")]),
    np.array([{"any": 1}, None] * 1_000, dtype=object),
]


def same(one, other):
    if isinstance(one, np.ndarray):
        return type(other) is np.ndarray and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


# -- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}")
def test_values_come_back_as_they_were(value):
    packed = shared.pack(value)
    memory = memoryview(bytearray(packed.nbytes))
    packed.write(memory)
    assert same(value, shared.unpack(packed.frame, memory))


def test_arrays_and_bytes_go_out_of_band_and_small_ones_do_not():
    packed = shared.pack({"a": np.zeros(1_000), "b": [b"x" * 4_000], "small": b"y" * 10})
    assert 12_000 <= packed.nbytes < 12_100
    assert b"xxxx" not in repr(packed.frame).encode()
    assert "yyyy" in repr(packed.frame)


def test_a_value_that_was_taken_out_is_not_changed_by_the_next_one():
    memory = memoryview(bytearray(80_000))
    first = shared.pack(np.zeros(10_000))
    first.write(memory)
    out = shared.unpack(first.frame, memory)
    shared.pack(np.ones(10_000)).write(memory)
    assert not out.any()


# -- calls -----------------------------------------------------------------------------------------------


def test_every_value_goes_there_and_back(child):
    call = child(echo)
    for value in VALUES:
        assert same(value, call(value))


def test_the_function_runs_in_one_other_process(child):
    call = child(pid)
    first = call(None)
    assert first == call(None) == call.pid != os.getpid()


def test_what_the_function_keeps_is_its_own(child):
    call = child(keep)
    assert call(np.zeros(10_000)).sum() == 0
    assert call(np.ones(10_000)).sum() == 0


def test_results_bigger_than_the_shared_memory_get_more(child):
    call = child(scaled)
    assert [call(n).sum() for n in (10, 100_000, 50, 1_000_000)] == [30, 300_000, 150, 3_000_000]


@pytest.mark.parametrize(
    ("data", "kind"), [("store", StoreError), ("value", ValueError), ("exit", SystemExit)]
)
def test_an_error_keeps_its_class_and_tells_where_it_was(child, data, kind):
    call = child(fail)
    with pytest.raises(kind, match="said so") as caught:
        call(data)
    assert "in process" in caught.value.__notes__[0]
    assert "in fail" in caught.value.__notes__[0]
    assert call.pid is not None


def test_an_error_that_cannot_travel_is_told(child):
    with pytest.raises(TransformError, match="Unsendable: two arguments"):
        child(fail_unsendable)(None)


def test_a_result_that_cannot_travel_is_an_error_of_that_call(child):
    call = child(unsendable)
    with pytest.raises(TransformError, match="the result cannot be sent to another process"):
        call(1)
    with pytest.raises(Exception, match=r"lambda|local object"):
        call(lambda: None)
    with pytest.raises(TransformError, match="the result cannot be sent"):
        call(2)


@pytest.mark.parametrize(("how", "says"), [("kill", "ended by signal 9"), ("exit", "exited with 7")])
def test_a_child_that_dies_fails_its_call_and_is_replaced(child, how, says):
    call = child(die)
    assert call(1) == 1
    first = call.pid
    with pytest.raises(ProcessDiedError, match=says):
        call(how)
    assert call(b"x" * 5_000) == b"x" * 5_000
    assert call.pid != first


def test_a_child_that_died_while_it_was_idle_is_replaced_and_no_call_fails(child):
    call = child(pid)
    first = call(None)
    os.kill(first, signal.SIGKILL)
    until(lambda: call._process.exitcode is not None)
    assert call(None) != first


def test_sigterm_and_sigint_are_the_parents_business(child):
    call = child(echo)
    assert call(1) == 1
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(call.pid, number)
    assert call(2) == 2


def test_kill_ends_a_call_from_another_thread(child):
    call = child(hang)
    errors = []

    def run():
        try:
            call(None)
        except ProcessDiedError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: call.pid is not None)
    call.kill()
    thread.join(60)
    assert len(errors) == 1


def test_close_ends_the_child(child):
    call = child(pid)
    number = call(None)
    call.close()
    assert not is_alive(number)


def test_a_function_that_cannot_be_found_there_is_refused():
    def local(data):
        return data

    class Holder:
        def method(self, data):
            return data

    for fn in (lambda data: data, local, Holder().method):
        with pytest.raises(ConfigError, match="expected a function at the top of a module"):
            import_path(fn)
    assert import_path(echo).endswith(":echo")


def test_a_child_that_cannot_import_is_the_machines_fault(capfd):
    call = ChildProcess("streamzarr.errors:no_such_name", "broken")
    with pytest.raises(
        ProcessError, match=r"exited with 1 before it could import streamzarr.errors:no_such_name, 2"
    ):
        call(1)
    call.close()


def test_no_room_for_shared_memory_is_the_machines_fault(monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(28, "No space left on device")

    made, SharedMemory = [], shared.SharedMemory

    def make(*args, **kwargs):
        made.append(SharedMemory(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(shared, "SharedMemory", make)
    with pytest.raises(ProcessError, match=r"no room for \d+ bytes of shared memory.*--shm-size"):
        shared.Segment().grow(100_000)
    assert not left([block.name for block in made])


SCRIPT = textwrap.dedent("""
    import os, sys, threading
    from streamzarr.flow.dispatch.process import ChildProcess

    def work(data):
        threading.Event().wait(300)

    if __name__ == "__main__":
        call = ChildProcess("__main__:work", "child")
        threading.Thread(target=call, args=(b"x" * 100_000,), daemon=True).start()
        while call.pid is None or not os.path.exists(f"/proc/{call.pid}"):
            pass
        print(call.pid, flush=True)
        if sys.argv[1] == "wait":
            threading.Event().wait(300)
""")


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_children_do_not_outlive_the_program_nor_hold_it_up(tmp_path, how):
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    program = subprocess.Popen(
        [sys.executable, str(script), "wait" if how == "kill" else "exit"], stdout=subprocess.PIPE, text=True
    )
    number = int(program.stdout.readline())
    if how == "kill":
        program.kill()
    program.wait(60)
    program.stdout.close()
    until(lambda: not is_alive(number))


class Unstartable:
    def __init__(self, what):
        self.what, self.pipes = what, []

    def Pipe(self):
        if self.what == "pipe":
            raise OSError(24, "Too many open files")
        self.pipes = multiprocessing.Pipe()
        return self.pipes

    def Process(self, **kwargs):
        return self

    def start(self):
        raise AssertionError("daemonic processes are not allowed to have children")


@pytest.mark.parametrize(("what", "error"), [("pipe", "Too many open files"), ("start", "daemonic")])
def test_a_process_that_cannot_be_started_is_the_machines_fault_and_loses_nothing(monkeypatch, what, error):
    context = Unstartable(what)
    monkeypatch.setattr(
        "streamzarr.flow.dispatch.process.multiprocessing.get_context", lambda method: context
    )
    call = ChildProcess("math:sqrt", "child")
    with pytest.raises(ProcessError, match=f"child: no process can be started: .*{error}"):
        call(4.0)
    call.close()
    assert all(end.closed for end in context.pipes)

    letters = []
    chain = from_iterable([4.0] * 5, Demand(10)).pipe(
        ops.dispatch(math.sqrt, processes=1), ops.settle(dead_letters=letters.extend)
    )
    with pytest.raises(StreamzarrError, match=f"no process can be started: .*{error}"):
        run(chain)
    assert not letters
