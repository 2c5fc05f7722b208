"""A feed by Faust: a configuration file, then ingest until told to stop.

    python workers/faust_app.py fx.toml

Its app is in the feed's consumer group, so any number of such processes share the partitions.
"""

from collections.abc import AsyncIterator
from typing import Any

import click

from streamzarr.cli.failures import Failure
from streamzarr.contrib.faust import Batch, FeedSink, make_app
from streamzarr.errors import StreamzarrError


def app_of(config: str) -> Any:
    """Return the Faust app of a feed: one agent, whose records go into the target as they come."""
    app = make_app(config, web_enabled=False)
    sink = FeedSink(app, config)

    @app.agent(app.topic(*sink.feed.source.topics), sink=[sink])
    async def archive(stream: Any) -> AsyncIterator[Batch]:
        async for batch in sink.take(stream):
            yield batch

    return app


@click.command()
@click.argument("config")
def main(config: str) -> None:
    """Run Faust's worker for a feed: CONFIG is its TOML file, as of `streamzarr ingest`."""
    try:
        app = app_of(config)
    except StreamzarrError as error:
        raise Failure(str(error)) from error
    app.Worker(loglevel="INFO").execute_from_commandline()


if __name__ == "__main__":
    main()
