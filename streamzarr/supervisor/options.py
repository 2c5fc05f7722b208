"""How worker processes are supervised: the one place that says so."""

from __future__ import annotations

from dataclasses import dataclass

from streamzarr.options import BYTES, check_options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionOptions:
    """The options of a pool of worker processes.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option cannot be used as given.

    Examples
    --------
    >>> SupervisionOptions(drain=5).drain
    5.0
    """

    max_restarts: int = option(
        "Restarts of one process within the time of `within`, beyond which all is given up; those after "
        "deaths that are put down to a task do not count.",
        10,
        minimum=0,
    )
    within: float = option(
        "Time in which restarts are counted.", 60.0, above=0, infinite=True, metavar="SECONDS"
    )
    hang_timeout: float = option(
        "Time without a sign of life after which a process is killed and replaced; inf for never.",
        60.0,
        above=0,
        infinite=True,
        metavar="SECONDS",
    )
    task_timeout: float | None = option(
        "Time that one step of a task may take: reading, and each chunk computed or written; its process is "
        "then killed, which counts as a death that it caused. For ever without it.",
        None,
        above=0,
        metavar="SECONDS",
    )
    max_memory: int | None = option(
        "Memory of one process above which it drains and is replaced; a quarter more, and it is killed, "
        "which counts as a death caused by what it was doing. No bound without it.",
        None,
        minimum=1,
        metavar=BYTES,
    )
    drain: float = option(
        "Time to finish what is in flight after SIGTERM or Ctrl-C.", 30.0, minimum=0, metavar="SECONDS"
    )

    def __post_init__(self) -> None:
        check_options(self)
