"""Worker processes for chunk jobs, supervised: what ``streamzarr worker`` and scripts run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamzarr.jobs.topics import DEFAULT_PREFIX, JobTopics
from streamzarr.jobs.transforms import load_transforms
from streamzarr.jobs.worker import Supervision, WorkerOptions, run_worker
from streamzarr.queue import open_broker
from streamzarr.stores import split_url
from streamzarr.supervisor import Supervisor, WorkerSpec

WORKER_TARGET = "streamzarr.fleet:work"


def work(supervision: Supervision, **options: Any) -> None:
    """Run one chunk worker; the target of each worker process."""
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    run_worker(msgspec.convert(options, WorkerOptions), supervision)


class Fleet(Supervisor):
    """Supervised worker processes that carry out the tasks of chunk jobs.

    Each process is a fresh interpreter with its own consumer, codec threads and store clients; chunk bytes
    never cross processes.

    Parameters
    ----------
    broker
        URL of the broker.
    workers
        Number of processes.
    roots
        URLs or paths below which tasks may read and write; everything else is refused.
    transforms
        Modules that register transforms, importable by the workers.
    threads
        Threads in each process that read, transform and write chunks.
    max_demand
        Tasks in flight in each process.
    prefix
        First part of the names of the topics and of the group; jobs must use the same.
    attempts, retry_base
        Attempts at a task that fails for a transient reason, and seconds before the second one.
    max_crashes
        Deaths of workers, with one task in flight each time, after which it is a dead letter.
    session_timeout
        Seconds after which the broker gives a silent worker's partitions to others.
    supervision
        ``max_restarts``, ``within``, ``hang_timeout``, ``drain``, ``env`` and ``stderr`` of
        :class:`streamzarr.supervisor.Supervisor`.

    Raises
    ------
    streamzarr.errors.ConfigError
        No root, or a transforms module that cannot be imported.
    streamzarr.errors.QueueError
        The broker cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with Fleet(f"sqlite:///{folder}/queue.db", workers=1, roots=[folder]) as fleet:
    ...     len(fleet.status())
    1
    """

    def __init__(
        self,
        broker: str,
        workers: int = 2,
        *,
        roots: Sequence[str] = (".",),
        transforms: Sequence[str] = (),
        prefix: str = DEFAULT_PREFIX,
        threads: int = 1,
        max_demand: int = 64,
        attempts: int = 5,
        retry_base: float = 0.1,
        max_crashes: int = 3,
        session_timeout: float = 10.0,
        **supervision: Any,
    ) -> None:
        # Everything that all workers would stumble over is found here, once, in the caller's thread.
        load_transforms(transforms)
        with open_broker(broker) as opened:
            JobTopics(prefix).ensure(opened)
            url = opened.url
        options = WorkerOptions(
            broker=url,
            roots=tuple(map(_absolute, roots)),
            transforms=tuple(transforms),
            prefix=prefix,
            threads=threads,
            max_demand=max_demand,
            attempts=attempts,
            retry_base=retry_base,
            max_crashes=max_crashes,
            session_timeout=session_timeout,
        )
        spec = WorkerSpec(target=WORKER_TARGET, config=msgspec.to_builtins(options), name="worker")
        super().__init__(spec, workers, **supervision)


def _absolute(root: str) -> str:
    """Return a root that means the same place whatever the folder a worker runs in.

    >>> _absolute("/data/../data/runs"), _absolute("s3://lab/runs")
    ('/data/runs', 's3://lab/runs')
    """
    url = split_url(root)
    return str(Path(url.path).absolute().resolve()) if url.scheme == "file" else root
