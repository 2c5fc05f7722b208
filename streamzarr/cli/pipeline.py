"""``streamzarr pipeline``: a pipeline as supervised processes, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from streamzarr.cli.failures import Failure
from streamzarr.cli.options import examples
from streamzarr.cli.pool import PoolCommand, run_pool
from streamzarr.errors import ConfigError, describe


@click.command(
    cls=PoolCommand,
    epilog=examples(
        "streamzarr pipeline my_feeds:Ticks",
        "streamzarr pipeline my_feeds:Ticks --processes 4 --task-timeout 60",
    ),
)
@click.argument("pipeline", metavar="MODULE:CLASS")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    envvar="STREAMZARR_PROCESSES",
    show_envvar=True,
    help="Processes, each a member of the group.",
)
def pipeline(pipeline: str, processes: int, **options: Any) -> None:
    """Run a pipeline until told to stop; its options are attributes of its class.

    SIGTERM or Ctrl-C: finish what is in flight and hand the rest back; again: stop at once. A process that
    dies is replaced, and the message that killed it becomes a dead letter.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: a file here must not stand in for an installed package
    from streamzarr.pipeline.processes import supervised

    given = {name: value for name, value in options.items() if value is not None}
    run_pool(supervised(_found(pipeline), processes, **given), processes, pipeline)


def _found(path: str) -> type:
    from streamzarr.pipeline import Pipeline
    from streamzarr.pipeline.child import find

    try:
        found = find(path)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise Failure(f"{path}: {error}; expected MODULE:CLASS, as in my_feeds:Ticks") from error
    except BaseException as error:  # what a module does when it is imported is its user's own
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Failure(f"{path} cannot be imported: {describe(error)}") from error
    if not isinstance(found, type) or not issubclass(found, Pipeline):
        raise ConfigError(f"{path} is {found!r}, expected a class derived from streamzarr.Pipeline")
    return found
