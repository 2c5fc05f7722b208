"""Faust apps as processes, for tests: ``python -m tests.support.faust_agents KIND FEED.toml``."""

import sys
from pathlib import Path

from streamzarr.contrib.faust import FeedSink, make_app

FATAL = b"raise"
"""What a record says at which the agent raises, the first time that it comes."""


def app_that_raises(feed, folder):
    """Return an app whose agent raises once at a record that says so."""
    app = make_app(feed, web_enabled=False, datadir=f"{folder}/faust")
    sink = FeedSink(app, feed)
    raised = Path(folder) / "raised"

    async def agent(stream):
        async for batch in sink.take(stream):
            if not raised.exists() and any(FATAL in event.value for event in batch.events):
                raised.touch()
                raise ValueError("a record that the agent cannot bear")
            yield batch

    app.agent(app.topic(*sink.feed.source.topics), sink=[sink])(agent)
    return app


def app_by_partition(feed, folder):
    """Return an app with an actor for each partition."""
    app = make_app(feed, web_enabled=False, datadir=f"{folder}/faust")
    sink = FeedSink(app, feed)

    async def agent(stream):
        async for batch in sink.take(stream):
            yield batch

    app.agent(app.topic(*sink.feed.source.topics), sink=[sink], isolated_partitions=True)(agent)
    return app


KINDS = {"raises": app_that_raises, "isolated": app_by_partition}

if __name__ == "__main__":
    _, kind, config = sys.argv
    KINDS[kind](config, str(Path(config).parent)).Worker(loglevel="INFO").execute_from_commandline()
