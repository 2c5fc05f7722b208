"""What `benchmarks/feeds.py` asks of a script that stores a topic, and what it is told."""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import asdict, dataclass

from flows.trial import CLIENT
from ingest.workloads import WORKLOADS, Workload

COMMIT_EVERY = 1.0
"""Seconds between two commits, where a clock says when; ours is the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A topic to store from its beginning."""

    servers: str
    topic: str
    group: str
    """One that has not read yet."""
    name: str
    """Of the workload."""
    messages: int
    """To be taken, of all that the topic has."""
    folder: str
    """An empty folder."""

    @staticmethod
    def given() -> Trial:
        """Return what the script was told, and set the garbage collector as all have it."""
        gc.freeze()
        gc.set_threshold(20_000)
        return Trial(**json.loads(sys.argv[1]))

    def argument(self) -> str:
        return json.dumps(asdict(self))

    @property
    def workload(self) -> Workload:
        return WORKLOADS[self.name]

    @property
    def client(self) -> dict[str, object]:
        """Settings of a consumer that begins at the beginning."""
        return {
            **CLIENT,
            "bootstrap.servers": self.servers,
            "group.id": self.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }


class Watch:
    """Times a trial from its first batch to its end. What comes before, such as joining, is not counted."""

    def __init__(self, trial: Trial) -> None:
        self._rows = trial.workload.rows
        self.left = trial.messages
        """Messages that are still to come."""
        self._begun: tuple[float, float] | None = None
        self._timed = self._wall = self._processor = 0.0

    def took(self, messages: int) -> None:
        """Note a batch."""
        self.left -= messages
        if self._begun is None and messages:
            self._begun = time.monotonic(), time.process_time()
            self._timed = self.left * self._rows

    def end(self) -> None:
        """Note that all is stored, and committed."""
        assert self._begun is not None
        self._wall = time.monotonic() - self._begun[0]
        self._processor = time.process_time() - self._begun[1]

    def tell(self, rows: int, total: float | None = None) -> None:
        """Report the speed, and what was found in the store."""
        told = {
            "rows_s": self._timed / self._wall,
            "cpu_us": self._processor / self._timed * 1e6,
            "rows": rows,
            "total": total,
        }
        print(json.dumps(told))
