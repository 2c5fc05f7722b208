"""How a chunk worker works: the one place that says so, for ``Fleet`` and the command line alike."""

from __future__ import annotations

from dataclasses import dataclass

from streamzarr.hints import DEFAULT_PREFIX
from streamzarr.options import BYTES, check_options, option

DEFAULT_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options of one chunk worker.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option cannot be used as given.

    Examples
    --------
    >>> WorkerOptions(broker="sqlite:///queue.db", roots=["/data"]).roots
    ('/data',)
    """

    broker: str = option("URL of the broker.")
    roots: tuple[str, ...] = option("URLs or paths below which tasks may read and write.", (".",), minimum=1)
    transforms: tuple[str, ...] = option("Modules that register transforms, importable by the workers.", ())
    prefix: str = option("First part of the names of the topics and of the group.", DEFAULT_PREFIX)
    threads: int = option(
        "Threads of each process that read, transform and write chunks; more help where stores are slow.",
        1,
        minimum=1,
    )
    max_demand: int = option("Tasks that each process takes at once.", 64, minimum=1)
    max_bytes: int = option(
        "Bytes of chunks that each process holds at once; a task beyond that is cut, a chunk runs alone.",
        DEFAULT_MAX_BYTES,
        minimum=1,
        metavar=BYTES,
    )
    attempts: int = option(
        "Attempts at a task that fails for a reason that may pass; then it is a dead letter.", 5, minimum=1
    )
    retry_base: float = option(
        "Pause before the second attempt; it doubles from there.", 0.1, minimum=0, metavar="SECONDS"
    )
    max_crashes: int = option(
        "Deaths of processes that a task alone can have caused, after which it is a dead letter.",
        3,
        minimum=1,
    )
    session_timeout: float = option(
        "Time after which the broker gives a silent process's tasks to others.",
        10.0,
        above=0,
        metavar="SECONDS",
    )

    def __post_init__(self) -> None:
        check_options(self)
