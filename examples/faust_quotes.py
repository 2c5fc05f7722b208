"""A Faust agent adds what it knows to quotes, and its sink puts them into an array, each exactly once.

python examples/faust_quotes.py kafka://localhost:9092

Needs a Kafka and ``pip install 'streamzarr[faust]'``. Makes quotes up, sends them to a topic of its own, runs
the app in a process that is killed halfway, runs it again, and compares what is stored. In a project of yours
there is nothing but the app, and it is run with ``faust -A quotes worker``.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

import numpy as np

import streamzarr as sz
from streamzarr.errors import NodeNotFoundError
from streamzarr.queue import NewRecord, open_broker

QUOTES = 4000
PARTITIONS = 2
PATIENCE = 120.0
"""Seconds until all that was sent is stored, at most."""

# ---------------------------------------------------------------- the app


def quotes_app(broker: str, topic: str, target: str):
    """Return a Faust app whose agent adds middle and spread to each quote."""
    from streamzarr.contrib.faust import FeedSink, make_app

    feed = {
        "source": {"broker": broker, "topics": [topic], "session_timeout": 6.0},
        "decode": {"format": "json"},
        "columns": {"n": "i8", "bid": "f8", "ask": "f8", "middle": "f8", "spread": "f8"},
        "target": {"url": target, "chunk_rows": 1024, "commit": {"seconds": 0.2}},
    }
    app = make_app(feed, web_enabled=False, datadir=f"{target}.faust")
    sink = FeedSink(app, feed)

    @app.agent(app.topic(topic), sink=[sink])
    async def enrich(stream):
        async for batch in sink.take(stream):
            yield batch.with_values([enriched(event.value) for event in batch.events])

    return app


def enriched(value: bytes) -> bytes:
    """Return a quote with its middle and spread; what is none stays as it is, and becomes a dead letter."""
    try:
        quote = json.loads(value)
        quote["middle"] = (quote["bid"] + quote["ask"]) / 2
        quote["spread"] = quote["ask"] - quote["bid"]
    except (ValueError, KeyError, TypeError):
        return value
    return json.dumps(quote).encode()


# ---------------------------------------------------------------- the story


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen]:
    """Run the app in a process of its own; it is killed in the end."""
    with subprocess.Popen([sys.executable, __file__, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(target: str, rows: int) -> None:
    """Return when so many rows are stored."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(NodeNotFoundError):
            if sum(part.rows for part in sz.stream.open_streams(target).values()) >= rows:
                return
        if time.monotonic() > deadline:
            sys.exit(f"{rows} rows were not there after {PATIENCE:g} s")
        time.sleep(0.05)


def main(url: str) -> None:
    """Send quotes, let the app store them in two lives, and compare."""
    topic = f"quotes-{uuid.uuid4().hex[:8]}"
    quotes = [{"n": n, "bid": 1 + n / 8, "ask": 1.25 + n / 8} for n in range(QUOTES)]
    with tempfile.TemporaryDirectory() as folder, open_broker(url) as broker:
        target = f"{folder}/quotes.zarr"
        broker.create_topic(topic, PARTITIONS)
        try:
            with broker.producer() as producer:
                records = [
                    NewRecord(json.dumps(quote).encode(), partition=quote["n"] % PARTITIONS)
                    for quote in quotes
                ]
                producer.send(topic, records[: QUOTES // 2])
                producer.flush()
                with running(url, topic, target):
                    wait_for(target, 1)
                print("killed the app when it had stored some of them")
                producer.send(topic, records[QUOTES // 2 :])
                producer.flush()
            with running(url, topic, target) as process:
                wait_for(target, QUOTES)
                process.terminate()
                process.wait(PATIENCE)
            assert all(part.ok for part in sz.feeds.check_feed(target, broker))
            parts = sz.stream.open_streams(target).values()
            numbers = np.concatenate([part["n"][:] for part in parts])
            middles = np.concatenate([part["middle"][:] for part in parts])
            assert sorted(numbers.tolist()) == list(range(QUOTES))
            assert np.array_equal(middles, 1.125 + numbers / 8)
            print(f"{QUOTES} quotes in {len(parts)} partitions, each is there once")
        finally:
            for name in (topic, f"{topic}.dead"):
                with contextlib.suppress(sz.errors.TopicNotFoundError):
                    broker.delete_topic(name)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(sys.argv[1])
    elif len(sys.argv) == 4:
        quotes_app(*sys.argv[1:]).Worker(loglevel="WARN").execute_from_commandline()
    else:
        sys.exit(__doc__)
