"""The root command."""

from __future__ import annotations

import click

from streamzarr import __version__
from streamzarr.cli.arrays import info, tree
from streamzarr.cli.broker import broker
from streamzarr.cli.demo import demo
from streamzarr.cli.dlq import dlq
from streamzarr.cli.failures import RootCommand
from streamzarr.cli.feed import feed
from streamzarr.cli.ingest import ingest
from streamzarr.cli.job import job
from streamzarr.cli.pipeline import pipeline
from streamzarr.cli.produce import produce
from streamzarr.cli.simulate import simulate
from streamzarr.cli.stream import stream
from streamzarr.cli.worker import worker


@click.group(
    "streamzarr",
    cls=RootCommand,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="streamzarr")
@click.option("--debug", is_flag=True, envvar="STREAMZARR_DEBUG", help="Show a traceback with an error.")
def cli(debug: bool) -> None:
    """Move array chunks through a queue into Zarr stores, under backpressure, nothing lost.

    Start with `streamzarr demo`. It needs no server.
    """


for command in (
    *(demo, info, tree, job, worker, ingest, feed, pipeline),
    *(produce, dlq, broker, stream, simulate),
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; the console script ``streamzarr``."""
    cli.main(prog_name="streamzarr")


if __name__ == "__main__":
    main()
