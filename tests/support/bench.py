"""A broker with topics of its own, a folder that workers may use, and jobs between them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from streamzarr import jobs
from streamzarr.fleet import Fleet
from streamzarr.flow.demand.lag import group_lag
from streamzarr.jobs import JobHandle, JobReport, JobTopics
from streamzarr.queue import open_broker
from streamzarr.queue.base import Broker

TRANSFORMS = str(Path(__file__).parent)
"""Folder of ``job_transforms.py``; workers find it through ``PYTHONPATH``."""


@dataclass
class Bench:
    """A broker, topics of its own, and a folder that workers may use."""

    broker: str
    folder: Path
    prefix: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    def fleet(self, workers: int = 2, **options) -> Fleet:
        options.setdefault("roots", [str(self.folder)])
        options.setdefault("retry_base", 0.02)
        return Fleet(self.broker, workers, prefix=self.prefix, **options)

    def submit(self, kind, source, target, **options) -> JobHandle:
        return jobs.submit(
            kind, self.url(source), self.url(target), broker=self.broker, prefix=self.prefix, **options
        )

    def resume(self, job: str, **options) -> JobHandle:
        return jobs.resume(job, broker=self.broker, prefix=self.prefix, **options)

    def watch(self, job: str) -> JobHandle:
        return jobs.open_job(job, broker=self.broker, prefix=self.prefix)

    def run(self, kind, source, target, *, workers=2, timeout=120, fleet=None, **options) -> JobReport:
        """Submit a job, run it with a fleet of its own and return the report."""
        with self.fleet(workers, **(fleet or {})), self.submit(kind, source, target, **options) as job:
            report = job.wait(timeout)
        assert report.state != "running", f"the job did not end within {timeout} s: {report}"
        return report

    def url(self, name: str) -> str:
        return str(self.folder / name)

    def open(self) -> Broker:
        return open_broker(self.broker)

    @property
    def topics(self) -> JobTopics:
        return JobTopics(self.prefix)

    def until_emitted(self, count: int) -> None:
        """Wait until so many tasks are on the topic."""
        with self.open() as broker, broker.reader(self.topics.tasks) as reader:
            seen = 0
            while seen < count:
                records = reader.poll(1000, timeout=20)
                assert records, f"{seen} tasks emitted, expected {count}"
                seen += len(records)

    def queued(self, broker: Broker) -> int:
        """Tasks on the topic that the workers have not committed."""
        return group_lag(
            broker.describe(self.topics.tasks), broker.committed(self.topics.group, self.topics.tasks)
        )


def tree_digest(folder: str | Path) -> dict[str, str]:
    """Digest of every file below a folder: two stores are byte-identical when these are equal."""
    root = Path(folder)
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
