"""What the worker processes of these tests run; each notes what it does as lines of a file."""

import os
import signal
import subprocess
import sys
import threading
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
    note(log, f"crashes {supervision.crashes(TOKEN)}")
    supervision.beat()
    supervision.wait_stop(FOREVER)


def hands_back(supervision, log):
    """Stops with work in hand, which it has not finished."""
    supervision.started(TOKEN)
    note(log, f"crashes {supervision.crashes(TOKEN)}")
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
    crashes = supervision.crashes(TOKEN)
    note(log, f"{supervision.name} crashes {crashes} other {supervision.crashes(bytes(16))}")
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
