"""A pipeline as N supervised processes: each a member of the group, with handlers and context of its own."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from streamzarr.errors import ConfigError
from streamzarr.pipeline.child import find
from streamzarr.pipeline.elsewhere import import_path
from streamzarr.pipeline.handlers import check_handlers
from streamzarr.pipeline.options import Options
from streamzarr.pipeline.running import RunningPipeline
from streamzarr.pipeline.schema import settings_of
from streamzarr.supervisor import Supervisor, WorkerSpec
from streamzarr.supervisor.protocol import EXIT_PAUSED
from streamzarr.supervisor.supervision import Supervision

TARGET: Final = f"{__name__}:work"


def work(supervision: Supervision, pipeline: str) -> None:
    """Run one process of a pipeline; the target of each worker process."""
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    logging.getLogger(RunningPipeline.__module__).setLevel(logging.INFO)  # it says what became of messages
    owner = find(pipeline)
    running = RunningPipeline(owner(), Options.of(owner, {}), supervision.runtime, supervision)
    supervision.on_stop(running.request_stop)
    if running.drive().paused:
        sys.exit(EXIT_PAUSED)


def supervised(pipeline: type, processes: int, **options: Any) -> Supervisor:
    """Return what runs `processes` of a pipeline, whose options are attributes of its class.

    Parameters
    ----------
    **options
        Of :class:`streamzarr.supervisor.Supervisor`, such as ``max_restarts``, ``task_timeout``, ``drain``.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option cannot be used, or other processes do not find the class.
    """
    own = Options.of(pipeline, {})  # what all processes would stumble over is found here, once
    check_handlers(pipeline(), own.batchers)
    if given := options.keys() & {each.name for each, _ in settings_of(Options)} - {"drain"}:
        raise ConfigError(
            f"{pipeline.__name__}: {min(given)} cannot be given to other processes, "
            "expected an attribute of the class"
        )
    if own.context is not None:
        raise ConfigError(
            f"{pipeline.__name__}: context cannot be given to other processes, expected make_context"
        )
    if pipeline.__module__ == "__main__":
        raise ConfigError(
            f"{pipeline.__name__} is a class of the program itself, which supervised processes do not run; "
            "expected one of a module that they import"
        )
    spec = WorkerSpec(TARGET, {"pipeline": import_path(pipeline)}, name=pipeline.__name__)
    return Supervisor(spec, processes, **{"drain": own.drain, **options})
