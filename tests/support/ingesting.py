"""Feeds as their users run them, ``streamzarr ingest``, and what may befall their processes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.support.feeds import PATIENCE, until

STREAMZARR = [sys.executable, "-m", "streamzarr"]
PATIENTLY = ["--max-restarts", "100000", "--hang-timeout", "600"]
"""We kill more often than a supervisor would put up with, and on a loaded machine a start takes a minute."""
TAIL = 3000


def environment() -> dict[str, str]:
    """Return what a command needs to find this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Ingesting:
    """The processes of one feed: some below a supervisor, sometimes one more, and those left without one.

    Parameters
    ----------
    config
        The feed's file; what the processes say goes into one beside it.
    processes
        How many the supervisor has.
    """

    def __init__(self, config: Path, processes: int, chance: random.Random) -> None:
        self._config, self._processes, self._chance = config, processes, chance
        self._log = config.with_suffix(".log")
        self._supervisor = self._start(processes)
        self._further: subprocess.Popen[bytes] | None = None
        self._left: list[psutil.Process] = []
        self._stopped: list[tuple[psutil.Process, float]] = []

    @property
    def said(self) -> str:
        """What the processes have said."""
        return self._log.read_text(errors="replace")

    # -- events ------------------------------------------------------------------------------------------

    def kill_worker(self) -> int:
        """End a process by -9; return how many that were."""
        victim = self._victim()
        if victim is None:
            return 0
        victim.kill()
        return 1

    def kill_supervisor(self) -> int:
        """End the supervisor by -9 and start another one, while those that it leaves are still at work."""
        self._left += _children(self._supervisor)
        self._supervisor.kill()
        self._supervisor.wait()
        self._supervisor = self._start(self._processes)
        return 1

    def stop_worker(self, seconds: float) -> int:
        """Have a process stand still, for so long at least; return how many that were."""
        victim = self._victim()
        if victim is None:
            return 0
        victim.suspend()
        self._stopped.append((victim, time.monotonic() + seconds))
        return 1

    def add_process(self) -> int:
        """Have one more process, of a supervisor of its own; return how many were added."""
        if self._further is not None:
            return 0
        self._further = self._start(1)
        return 1

    def remove_process(self) -> int:
        """Tell the process that was added to end; return how many were removed."""
        if self._further is None:
            return 0
        self._end(self._further)
        self._further = None
        return 1

    # -- between events ----------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Let those go on that have stood still for long enough, and see that the supervisors are there.

        No fault of a process or of the broker ends one, unless it begins while there is no broker: then it is
        started again, as whoever runs services does.
        """
        for victim, until_ in self._stopped:
            if until_ <= now:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.resume()
        self._stopped = [each for each in self._stopped if each[1] > now]
        if self._supervisor.poll() is not None:
            self._supervisor = self._start_again(self._supervisor, self._processes)
        if self._further is not None and self._further.poll() is not None:
            self._further = self._start_again(self._further, 1)

    def end(self) -> None:
        """Tell all to end, which they do in order."""
        self.look(float("inf"))
        self.remove_process()
        self._end(self._supervisor)
        until(lambda: not any(map(_is_alive, self._left)), "the end of those without a supervisor")

    def close(self) -> None:
        """End whatever is there."""
        supervisors = [each for each in (self._supervisor, self._further) if each is not None]
        workers = [*self._left, *(child for each in supervisors for child in _children(each))]
        for each in (*supervisors, *workers):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        for each in supervisors:
            each.wait()

    # -- steps -------------------------------------------------------------------------------------------

    def _start(self, processes: int) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*STREAMZARR, "ingest", self._config, "--processes", str(processes), *PATIENTLY],
                stderr=log,
                env=environment(),
            )

    def _start_again(self, ended: subprocess.Popen[bytes], processes: int) -> subprocess.Popen[bytes]:
        reasons = [line for line in self.said.splitlines() if line.startswith("streamzarr: ")]
        assert ended.returncode == 2, self.said[-TAIL:]
        assert "not reached within" in reasons[-1], self.said[-TAIL:]
        return self._start(processes)

    def _end(self, supervisor: subprocess.Popen[bytes]) -> None:
        supervisor.send_signal(signal.SIGTERM)
        ended = supervisor.wait(PATIENCE)
        assert ended in (0, -signal.SIGTERM), self.said[-TAIL:]  # or it had not yet begun

    def _victim(self) -> psutil.Process | None:
        """Choose a process that is there and does not stand still."""
        supervisors = [each for each in (self._supervisor, self._further) if each is not None]
        workers = [*self._left, *(child for each in supervisors for child in _children(each))]
        stopped = [victim for victim, _ in self._stopped]
        there = [each for each in workers if each not in stopped and _is_alive(each)]
        return self._chance.choice(there) if there else None


def _children(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(supervisor.pid).children()
    return []


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
