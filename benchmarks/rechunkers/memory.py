"""The peak memory of a process and all that it starts."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import psutil

INTERVAL = 0.05


@dataclass(slots=True)
class Peak:
    """Bytes, the most of any sample."""

    tree: int = 0
    """Proportional set size over all processes: pages that several share count once."""
    process: int = 0
    """Resident set of the largest process."""


class PeakSampler:
    """Samples a process and its descendants from a thread, until it is left."""

    def __init__(self, pid: int) -> None:
        self.peak = Peak()
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> PeakSampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(INTERVAL):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            tree = 0
            for process in processes:
                try:
                    info = process.memory_full_info()
                except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended, or ending
                    continue
                tree += info.pss
                self.peak.process = max(self.peak.process, info.rss)
            self.peak.tree = max(self.peak.tree, tree)
