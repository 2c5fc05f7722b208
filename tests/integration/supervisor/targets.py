"""What the worker processes of these tests run; each notes what it does as lines of a file."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from streamzarr.errors import ConfigError

TOKEN = b"0123456789abcdef"
FOREVER = 3600


def note(log, line):
    """Append one line in one write, so that several processes may note at once."""
    with open(log, "a") as file:
        file.write(f"{line}\n")


def notes(log):
    return Path(log).read_text().splitlines() if Path(log).exists() else []


def deaths(supervision, token):
    """How many deaths count against a token."""
    suspicion = supervision.suspicion(token)
    return suspicion.deaths if suspicion else 0


def loop(supervision, log=None):
    """A good worker: beats, and stops when asked."""
    if log:
        note(log, f"up {supervision.name} {supervision.index}")
    supervision.beat()
    while not supervision.wait_stop(0.02):
        supervision.beat()
    if log:
        note(log, f"stopped {supervision.name} {supervision.drain_left:.1f}")


def holds(supervision, log, seconds):
    """Holds a token all the time and needs some time to let go of it."""
    supervision.started(TOKEN)
    loop(supervision)
    threading.Event().wait(seconds)
    supervision.finished(TOKEN)
    note(log, "finished in-flight work")


def stubborn(supervision):
    """Beats and never stops, with work in hand."""
    supervision.started(TOKEN)
    while True:
        supervision.beat()
        threading.Event().wait(0.02)


def busy(supervision):
    """As stubborn, in a loop that holds the interpreter."""
    supervision.beat()
    while True:
        pass


def goes_silent(supervision, log):
    """Beats once, and never again."""
    supervision.started(TOKEN)
    note(log, f"crashes {deaths(supervision, TOKEN)}")
    supervision.beat()
    supervision.wait_stop(FOREVER)


def hands_back(supervision, log):
    """Stops with work in hand, which it has not finished."""
    supervision.started(TOKEN)
    note(log, f"crashes {deaths(supervision, TOKEN)}")
    loop(supervision)


def raises(supervision):
    supervision.beat()
    sys.stderr.write("about to fail\n")
    raise ValueError("nothing\nworks")


def misconfigured(supervision, log):
    note(log, "up")
    raise ConfigError("broker 'carrier-pigeon://' is of no known kind")


def finishes(supervision, log):
    supervision.beat()
    note(log, supervision.name)


def poisoned(supervision, log):
    """Dies by the piece of work it takes up, until its crashes tell it better."""
    supervision.started(TOKEN)
    crashes = deaths(supervision, TOKEN)
    note(log, f"{supervision.name} crashes {crashes} other {deaths(supervision, bytes(16))}")
    supervision.beat()
    if crashes < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    supervision.finished(TOKEN)


def prints(supervision, text, lines):
    for number in range(lines):
        sys.stdout.write(f"{text} {number}\n")
    sys.stderr.write("no newline at the end")


def shows_environment(supervision, log):
    note(log, os.environ["STREAMZARR_TEST_VARIABLE"] + os.environ["PATH"])


def leaks_children(supervision, log):
    """Starts a process that outlives it and keeps its output open."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    note(log, child.pid)
    supervision.beat()
    os.kill(os.getpid(), signal.SIGKILL)


def open_descriptors(supervision, log):
    """Notes what an ordinary program that this worker starts would inherit."""
    names = os.posix_spawn("/bin/ls", ["ls", "/proc/self/fd"], os.environ)
    os.waitpid(names, 0)


def thread_that_stays(supervision, log):
    """Returns, but leaves a thread behind that the interpreter would wait for."""
    supervision.beat()
    threading.Thread(target=threading.Event().wait).start()
    note(log, "returned")


def exits(supervision, log, code):
    """Ends by ``os._exit`` with work in hand, until that is known."""
    if supervision.suspicion(TOKEN) is None:
        supervision.started(TOKEN)
        supervision.beat()
        os._exit(code)
    note(log, f"{supervision.suspicion(TOKEN)}")
    loop(supervision)


def exits_idle(supervision):
    supervision.beat()
    os._exit(0)


def many_short(supervision, log, seconds):
    """Does the same piece of work again and again for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        supervision.beat()
        supervision.started(TOKEN)
        threading.Event().wait(0.05)
        supervision.finished(TOKEN)


def sys_exits(supervision, log, code):
    """Calls ``sys.exit`` with work in hand: an orderly end."""
    note(log, f"{supervision.suspicion(TOKEN)}")
    supervision.beat()
    if len(notes(log)) == 1:
        supervision.started(TOKEN)
        sys.exit(code)
    loop(supervision)


def endless(supervision, log, neighbour):
    """Beats, with a token that is never finished and one that is held only now and then."""
    note(log, f"{supervision.suspicion(TOKEN)} {supervision.suspicion(bytes(16))}")
    if supervision.suspicion(TOKEN) is None:
        supervision.started(TOKEN)
    while not supervision.wait_stop(0.02):
        if neighbour:
            supervision.started(bytes(16))
        supervision.beat()
        if neighbour:
            threading.Event().wait(0.02)
            supervision.finished(bytes(16))


def leaks(supervision, log, megabytes, at_once):
    """Needs more and more memory over many pieces of work, or all of it for one."""
    note(log, f"{supervision.suspicion(TOKEN)}")
    leak = []
    while not supervision.wait_stop(0.02):
        supervision.beat()
        if at_once and supervision.suspicion(TOKEN):
            continue
        supervision.started(TOKEN)
        leak.append(b"x" * (megabytes << 20))
        if at_once:
            while True:
                supervision.beat()
                threading.Event().wait(0.02)
        supervision.finished(TOKEN)


def told(supervision, log):
    """Notes the time it is given, and is still there when that is over."""
    supervision.started(TOKEN)
    loop(supervision)
    note(log, f"{supervision.drain_left:.3f}")
    threading.Event().wait(supervision.drain_left)


def forks(supervision, log, how):
    """Forks a process as a transform may, which lives on, beats, and tells its pid."""
    supervision.started(TOKEN)

    def child():
        for _ in range(3):
            supervision.beat()
        supervision.started(bytes(16))
        note(log, f"child {os.getpid()} {signal.getsignal(signal.SIGTERM) == signal.SIG_DFL}")
        threading.Event().wait(FOREVER)

    if how == "multiprocessing":
        multiprocessing.get_context("fork").Process(target=child, daemon=True).start()
    elif os.fork() == 0:
        child()
    loop(supervision)
    note(log, "worker stopped")


def fork_that_returns(supervision, log):
    """Forks in the middle of its work, as if nothing had happened; both go on."""
    supervision.beat()
    supervision.started(TOKEN)
    pid = os.fork()
    supervision.finished(TOKEN)
    note(log, f"went on in {'the fork' if pid == 0 else 'the worker'}")
    if pid:
        note(log, f"fork ended with {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")


def fork_beats_on(supervision, log):
    """Falls silent, while a process that it forked goes on beating."""
    note(log, "up")
    supervision.started(TOKEN)
    supervision.beat()
    if supervision.suspicion(TOKEN):
        loop(supervision)
    elif os.fork() == 0:
        note(log, f"child {os.getpid()}")
        while True:
            supervision.beat()
            threading.Event().wait(0.02)
    threading.Event().wait(FOREVER)


def chatters(supervision):
    """Writes as much as it can."""
    supervision.beat()
    while not supervision.wait_stop(0):
        sys.stderr.write(("x" * 99 + "\n") * 100)
        supervision.beat()
