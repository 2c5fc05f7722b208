"""Worker processes for chunk jobs, supervised: what ``streamzarr worker`` and scripts run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TextIO

import msgspec

from streamzarr.errors import ConfigError
from streamzarr.jobs.heap import share_heap
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.transforms import load_transforms
from streamzarr.jobs.worker import Supervision, run_worker
from streamzarr.options import integer, takes_options
from streamzarr.queue import open_broker
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import split_url
from streamzarr.supervisor import SupervisionOptions, Supervisor, WorkerSpec
from streamzarr.supervisor.host import HostMaker
from streamzarr.supervisor.local import LocalHost
from streamzarr.supervisor.protocol import EXIT_PAUSED

_log = logging.getLogger(__name__)

WORKER_TARGET = "streamzarr.fleet:work"
_SUPERVISION = {each.name for each in fields(SupervisionOptions)}


def work(supervision: Supervision, **options: Any) -> None:
    """Run one chunk worker; the target of each worker process."""
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    share_heap()
    logging.getLogger(run_worker.__module__).setLevel(logging.INFO)  # it says what became of its tasks
    if run_worker(msgspec.convert(options, WorkerOptions), supervision).paused:
        sys.exit(EXIT_PAUSED)


@takes_options(WorkerOptions, SupervisionOptions)
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
    env
        Environment variables to add to this process's for the workers.
    stderr
        Where the workers' output goes, line by line after the worker's name; by default ``sys.stderr``.
    host
        What makes the host of the processes: this machine, unless it is simulated.
    runtime
        Clock and threads of this side.
    {options}

    Raises
    ------
    streamzarr.errors.ConfigError
        An option that cannot be used, or a transforms module that cannot be imported.
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
        env: Mapping[str, str] | None = None,
        stderr: TextIO | None = None,
        host: HostMaker = LocalHost,
        runtime: Runtime = SYSTEM,
        **options: Any,
    ) -> None:
        supervision = {name: options.pop(name) for name in _SUPERVISION & options.keys()}
        # Everything that all workers would stumble over is found here, once, in the caller's thread.
        wanted = WorkerOptions(broker=broker, **options)
        SupervisionOptions(**supervision)
        workers = integer("workers", workers, minimum=1)
        topics = JobTopics(wanted.prefix)
        wanted = replace(wanted, roots=tuple(map(_absolute, wanted.roots)))
        load_transforms(wanted.transforms)
        with open_broker(broker, runtime=runtime) as opened:
            topics.ensure(opened)
            self._partitions = opened.describe(topics.tasks).partitions
            wanted = replace(wanted, broker=opened.url)
        self._topic = topics.tasks
        self._tell_idle(workers)
        spec = WorkerSpec(target=WORKER_TARGET, config=msgspec.to_builtins(wanted), name="worker")
        super().__init__(spec, workers, env=env, stderr=stderr, host=host, runtime=runtime, **supervision)

    def resize(self, workers: int) -> None:
        """Change the number of workers while they run; surplus ones drain in the background.

        Raises
        ------
        streamzarr.errors.ConfigError
            Negative number, or the fleet is not running.
        """
        super().resize(workers)
        self._tell_idle(workers)

    def _tell_idle(self, workers: int) -> None:
        if (idle := workers - self._partitions) > 0:
            _log.warning(
                "partitions of topic %s: %d, so %d of %d worker processes will have nothing to do",
                self._topic,
                self._partitions,
                idle,
                workers,
            )


def _absolute(root: str) -> str:
    """Return a root that means the same place whatever the folder a worker runs in; say if it is not there.

    >>> _absolute("/tmp/../tmp"), _absolute("s3://lab/runs")
    ('/tmp', 's3://lab/runs')
    """
    url = split_url(root)
    if url.scheme == "memory":
        raise ConfigError(
            f"root {redacted(root)}: only this process can see it, expected what workers can open"
        )
    if url.scheme != "file":
        return root
    path = Path(url.path).absolute().resolve()
    if not path.exists():
        _log.warning("root %s does not exist: until it does, tasks below it fail", path)
    return str(path)
