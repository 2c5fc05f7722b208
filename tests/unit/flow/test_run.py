import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Stop, from_iterable, from_pull, from_topic, ops, run
from streamzarr.flow.graph import staged
from streamzarr.flow.stage import Stage
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

CHAIN = """
import json, sys, threading, time
from streamzarr.flow import Demand, from_pull, ops, run

hold = float(sys.argv[1])
begun = threading.Event()

def work(n):
    if not begun.is_set():
        begun.set()
        print("begun", flush=True)
    threading.Event().wait(hold)

demand = Demand(8)
chain = from_pull(lambda n: [0] * n, demand).pipe(ops.dispatch(work, workers=2), ops.settle())
start = time.monotonic()
report = run(chain, install_signal_handlers=True, drain=float(sys.argv[2]))
print(json.dumps({"ok": report.ok, "left": report.left, "handed_back": report.handed_back,
                  "delivered": report.delivered, "in_flight": demand.in_flight}), flush=True)
"""


def start(hold, drain):
    process = subprocess.Popen(
        [sys.executable, "-c", CHAIN, str(hold), str(drain)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


def report_of(process, timeout=20):
    import json

    out, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0
    return json.loads(out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_has_begun(number):
    process = start(hold=0.3, drain=20)
    process.send_signal(number)
    report = report_of(process)
    assert report["ok"] >= 1
    assert report["left"] == report["in_flight"] == 0
    assert report["ok"] + report["handed_back"] == report["delivered"]


def test_the_deadline_after_a_signal_is_kept():
    begun = time.monotonic()
    process = start(hold=60, drain=0.3)
    process.send_signal(signal.SIGTERM)
    report = report_of(process)
    assert 1 <= report["left"] <= 2
    assert report["in_flight"] == 0
    assert time.monotonic() - begun < 15


def test_a_second_signal_stops_at_once():
    process = start(hold=60, drain=600)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    report = report_of(process)
    assert 1 <= report["left"] <= 2


def test_a_third_signal_kills_what_is_stuck():
    stuck = CHAIN.replace(
        "ops.settle()", "ops.map(lambda n: threading.Event().wait(hold)), ops.settle()"
    ).replace("threading.Event().wait(hold)\n\ndemand", "pass\n\ndemand")
    process = subprocess.Popen([sys.executable, "-c", stuck, "60", "600"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    deadline = time.monotonic() + 20
    while process.poll() is None:
        assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        with_patience = threading.Event()
        with_patience.wait(0.1)
    assert process.returncode == -signal.SIGTERM
    process.stdout.close()


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(from_iterable([1], Demand(1)).pipe(ops.settle()), install_signal_handlers=True)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_in_this_process_drains_too():
    demand = Demand(4)
    sent = []

    def pull(n):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return [1]

    report = run(from_pull(pull, demand).pipe(ops.settle()), install_signal_handlers=True)
    assert report.stopped
    assert report.ok == report.delivered


def test_signal_handlers_need_the_main_thread():
    errors = []

    def work():
        try:
            run(from_iterable([], Demand(1)), install_signal_handlers=True)
        except ConfigError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert errors == ["signal handlers can only be installed in the main thread"]


def test_run_within_a_chain_is_refused():
    inner = from_iterable([1], Demand(1)).pipe(ops.settle())
    report = run(from_iterable([1], Demand(1)).pipe(ops.map(lambda n: run(inner)), ops.settle()))
    assert report.failed == 1  # and it did not hang

    seen = []
    run(from_iterable([1], Demand(1)).pipe(ops.map(lambda n: run(inner)), ops.settle(seen.extend)))
    assert isinstance(seen[0].failure.error, ConfigError)


def test_a_chain_may_run_another_one_in_a_worker_thread():
    inner = from_iterable(range(3), Demand(1)).pipe(ops.settle())
    seen = []
    run(from_iterable([1], Demand(1)).pipe(ops.dispatch(lambda n: run(inner)), ops.settle(seen.extend)))
    assert seen[0].data.ok == 3


def test_stop_before_the_start_delivers_nothing():
    stop = Stop()
    stop.now()
    report = run(from_iterable(range(10), Demand(1)).pipe(ops.settle()), stop=stop)
    assert (report.delivered, report.stopped) == (0, True)


def test_the_earliest_deadline_counts():
    clock = FakeClock()
    stop = Stop(clock)
    assert stop.remaining() == float("inf")
    stop.drain(30)
    stop.drain(60)
    assert stop.remaining() == 30
    clock.advance(10.0)
    stop.drain(5)
    assert stop.remaining() == 5
    stop.now()
    assert stop.remaining() == 0


def test_a_stop_of_the_source_and_one_of_run_both_count():
    for which in (0, 1):
        stops = Stop(), Stop()

        def pull(n, stop=stops[which]):
            stop.drain(5.0)
            return [1]

        report = run(from_pull(pull, Demand(4), stop=stops[0]).pipe(ops.settle()), stop=stops[1])
        assert report.delivered == report.ok == 1


def test_the_report_adds_up():
    report = run(
        from_iterable(range(10), Demand(4)).pipe(
            ops.drop_if(lambda n: n < 3), ops.map(lambda n: 1 / (n - 5)), ops.settle()
        )
    )
    assert (report.delivered, report.ok, report.failed, report.skipped) == (10, 6, 1, 3)
    assert report.seconds > 0


class Unclosable(Stage):
    def receive(self, messages):
        self.emit(messages)

    def close(self, timeout):
        raise OSError("cannot close")


@pytest.mark.parametrize("breaks", [False, True])
def test_a_stage_that_cannot_be_closed_keeps_nothing_else_from_being_released(breaks):
    def sink(messages):
        if breaks:
            raise LookupError("broken")
        stop.drain(5.0)

    broker, stop = FakeBroker(), Stop()
    broker.create_topic("t")
    broker.append("t", 0, b"1", b"2")
    demand = Demand(10)
    chain = from_topic(broker, "t", group="g", demand=demand).pipe(
        staged(Unclosable), ops.batch(2), ops.settle(sink)
    )
    with pytest.raises(LookupError if breaks else OSError) as caught:
        run(chain, stop=stop)
    assert demand.in_flight == 0
    assert broker.consumers[0].closed
    notes = getattr(caught.value, "__notes__", [])
    assert notes == (["closing Unclosable failed as well: OSError: cannot close"] if breaks else [])


def test_a_process_that_was_forked_inside_a_chain_may_run_one_of_its_own():
    def sink(messages):
        child = multiprocessing.get_context("fork").Process(target=inside)
        child.start()
        child.join(60)
        codes.append(child.exitcode)
        with pytest.raises(ConfigError, match="from within a running chain"):
            run(from_iterable([1], Demand(1)).pipe(ops.settle()))

    def inside():
        ok = run(from_iterable([1, 2, 3], Demand(1)).pipe(ops.settle())).ok
        os._exit(100 + ok)

    codes = []
    assert run(from_iterable([1], Demand(3)).pipe(ops.settle(sink))).ok == 1
    assert codes == [103]
