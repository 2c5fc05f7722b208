"""Faust: what an agent yields becomes rows of a feed's target, each record once, acknowledged when committed.

::

    topic -> Faust's consumer -> agent -> FeedSink -> streams of the partitions     a commit for each batch
                                   ^                        |
                                   '---- acknowledged ------'

Faust acknowledges records whose handler raised, and its group may be ahead of what was stored. So nothing
here begins where the group is: whenever partitions are assigned, their streams say where, and the group is
told that before Faust asks for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias

from streamzarr.contrib.claims import Claims, Values
from streamzarr.errors import ConfigError
from streamzarr.feeds.config import Feed
from streamzarr.queue import Broker, Columns, TopicPartition, open_broker
from streamzarr.queue.kafka.config import KafkaConfig
from streamzarr.runtime import SYSTEM, Runtime

if TYPE_CHECKING:
    import faust

App: TypeAlias = "faust.App"
Event: TypeAlias = "faust.EventT[Any]"

ACKS_AT_ONCE: Final = 500
"""Records that are acknowledged before others of the event loop have their turn: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that an agent was given together. Immutable."""

    stream: Any
    """The agent's stream, by which they are acknowledged."""
    events: Sequence[Event]
    values: Values | None = None
    """What is decoded in the place of the records' own values."""

    def __len__(self) -> int:
        return len(self.events)

    def with_values(self, values: Values) -> Self:
        """Return the batch with another value for each record, in the feed's format.

        Raises
        ------
        ValueError
            There are not as many.
        """
        if len(values) != len(self.events):
            raise ValueError(f"{len(values)} values for {len(self.events)} records, expected one for each")
        return replace(self, values=values)


class FeedSink:
    """The sink of an agent whose batches become rows of a feed's target.

    Parameters
    ----------
    app
        The Faust app, whose group reads the feed's topics.
    feed
        What :meth:`streamzarr.feeds.Feed.of` takes, such a feed, or the path of its TOML file. Faust reads
        its topics; decoding, columns, target, commits and dead letters are as it says.
    runtime
        Clocks and locks of what is ours; the event loop is Faust's.

    Raises
    ------
    streamzarr.errors.ConfigError
        Something in the feed cannot be used; names file, line and key.

    Notes
    -----
    Lives on the app's event loop, and blocks it for no longer than acknowledging some records takes: stores,
    brokers and decoding are waited for in threads. In memory are one batch in the hands of the agent, at most
    ``source.max_records``, and what Faust fetches ahead.

    When something fails for good the app crashes, and its process ends: whoever starts it anew reads again
    what was not committed.

    Examples
    --------
    An agent that stores records as they come; ``workers/faust_app.py`` is no more than this:

    >>> app = make_app("fx.toml")  # doctest: +SKIP
    >>> sink = FeedSink(app, "fx.toml")  # doctest: +SKIP
    >>> @app.agent(app.topic("fx.ticks"), sink=[sink])  # doctest: +SKIP
    ... async def archive(stream):
    ...     async for batch in sink.take(stream):
    ...         yield batch
    """

    def __init__(self, app: App, feed: Feed | dict[str, Any] | str | Path, runtime: Runtime = SYSTEM) -> None:
        self.feed = _feed_of(feed)
        """What is done with the records."""
        self._app, self._runtime = app, runtime
        self._broker: Broker | None = None
        self._claims: Claims | None = None
        app.on_rebalance_complete.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_before_shutdown.connect(self._on_shutdown)

    async def take(self, stream: Any) -> AsyncIterator[Batch]:
        """Yield what an agent's stream brings in ``target.commit.seconds``, or ``rows`` if that is less.

        Nothing of it is acknowledged before it went through the sink.

        Raises
        ------
        streamzarr.errors.ConfigError
            Several actors of the agent would take the records of one partition.
        """
        if stream.concurrency_index is not None:
            raise ConfigError(
                "the agent has a concurrency, by which the records of a partition come in no order; "
                "expected 1, or isolated_partitions=True"
            )
        stream.enable_acks = False  # else Faust acknowledges what comes while an agent is restarted
        commit = self.feed.target.commit
        most = min(self.feed.source.max_records, commit.rows or self.feed.source.max_records)
        async with aclosing(stream.noack_take(most, within=commit.seconds)) as batches:
            async for events in batches:
                yield Batch(stream, events)

    async def __call__(self, batch: Batch) -> None:
        """Make the rows of a batch visible, then acknowledge its records.

        Those of partitions that are not ours any more are neither: they come again, to whoever owns them.

        Raises
        ------
        streamzarr.errors.StreamzarrError
            As :meth:`streamzarr.contrib.claims.Claims.store`; the app has crashed.
        """
        try:
            stored = await asyncio.to_thread(self._store, batch)
        except Exception as error:
            await self._app.crash(error)
            raise
        for number, event in enumerate(stored, 1):
            await batch.stream.ack(event)
            if number % ACKS_AT_ONCE == 0:
                await asyncio.sleep(0)

    # -- in threads --------------------------------------------------------------------------------------

    def _store(self, batch: Batch) -> list[Event]:
        """Store a batch; return the events that are stored."""
        claims = self._claims
        return [
            event
            for run in runs_of(batch)
            if claims is not None and claims.store(run.records, run.assignment, run.values)
            for event in run.events
        ]

    def _renew(self, partitions: Sequence[TopicPartition], assignment: int) -> dict[TopicPartition, int]:
        if self._claims is None:
            self._broker = self._broker or open_broker(self.feed.source.broker, runtime=self._runtime)
            self._claims = Claims(self.feed, self._broker, f"{socket.gethostname()}:{os.getpid()}")
        return self._claims.renew(partitions, assignment)

    def _close(self) -> None:
        for each in (self._claims, self._broker):
            if each is not None:
                each.close()

    # -- what Faust says of partitions ---------------------------------------------------------------------

    async def _on_assigned(self, app: App, **_: Any) -> None:
        """Take over what is ours now, and have Faust begin there.

        After this it seeks to where its group is, but where that is 0, which it leaves as it is.
        """
        consumer, topics = app.consumer, self.feed.source.topics
        ours = [TopicPartition(each.topic, each.partition) for each in consumer.assignment()]
        try:
            positions = await asyncio.to_thread(
                self._renew, [each for each in ours if each.topic in topics], app.consumer_generation_id
            )
        except Exception as error:
            await app.crash(error)
            raise
        if positions:
            await consumer._commit(dict(positions))  # what is not acknowledged cannot be committed otherwise
        for where, position in positions.items():
            await consumer.seek(where, position)

    async def _on_revoked(self, app: App, revoked: Any, **_: Any) -> None:
        """Let go before others begin; what is being stored is stored before."""
        if self._claims is not None:
            await asyncio.to_thread(self._claims.release)

    async def _on_shutdown(self, app: App, **_: Any) -> None:
        await asyncio.to_thread(self._close)


class Part(NamedTuple):
    """The events of one partition in a batch, as a run of records."""

    events: list[Event]
    records: Columns
    assignment: int
    values: Values | None


def runs_of(batch: Batch) -> list[Part]:
    """Return the events of a batch by partition and assignment, each once, in the order of their offsets."""
    entries = list(zip(batch.events, batch.values or [None] * len(batch), strict=True))
    entries.sort(key=lambda entry: (*_where(entry[0]), entry[0].message.offset))  # stable, and mostly sorted
    parts = []
    for (topic, partition, assignment), group in groupby(entries, key=lambda entry: _where(entry[0])):
        given = list(group)
        once = list({event.message.offset: (event, value) for event, value in given}.values())
        messages = [event.message for event, _ in once]
        records = Columns(
            TopicPartition(topic, partition),
            [each.offset for each in messages],
            [each.key for each in messages],
            [each.value for each in messages],
            [_headers(each.headers) for each in messages],
            [round(1000 * (each.timestamp or 0)) for each in messages],
        )
        values = None if batch.values is None else [value for _, value in once]
        parts.append(Part([event for event, _ in given], records, assignment, values))
    return parts


def make_app(feed: Feed | dict[str, Any] | str | Path, **settings: Any) -> App:
    """Return a Faust app for a feed's group and broker, with the settings that :class:`FeedSink` wants.

    Parameters
    ----------
    settings
        Of Faust's, beside ours or in their place: ``broker_credentials``, ``web_enabled``, ...

    Raises
    ------
    streamzarr.errors.ConfigError
        Something in the feed cannot be used; its broker is no Kafka, or has options that Faust does not know.

    Examples
    --------
    >>> app = make_app("fx.toml", web_enabled=False)  # doctest: +SKIP
    """
    try:
        import faust
    except ImportError as error:
        raise ConfigError("Faust is not installed: pip install 'streamzarr[faust]'") from error
    feed = _feed_of(feed)
    kafka = KafkaConfig.parse(feed.source.broker)
    if kafka.options and not settings.keys() & {"broker", "broker_credentials"}:
        raise ConfigError(
            f"{kafka}: Faust does not know the options {', '.join(kafka.options)}; give broker_credentials"
        )
    session = feed.source.session_timeout
    ours: dict[str, Any] = {
        "broker": [f"kafka://{each}" for each in kafka.servers.split(",")],
        "broker_session_timeout": session,
        "broker_heartbeat_interval": session / 5,
        "broker_rebalance_timeout": 3 * session,
        "key_serializer": "raw",  # what Faust cannot decode it acknowledges, and forgets
        "value_serializer": "raw",
        "stream_wait_empty": False,  # what an agent has not been given would be waited for, for ever
        "topic_disable_leader": True,
        "store": "memory://",
    }
    return faust.App(feed.group, **ours | settings)


def _feed_of(feed: Feed | dict[str, Any] | str | Path) -> Feed:
    if isinstance(feed, str | Path):
        return Feed.load(feed)
    return feed if isinstance(feed, Feed) else Feed.of(feed)


def _where(event: Event) -> tuple[str, int, int]:
    message = event.message
    return message.topic, message.partition, message.generation_id


def _headers(headers: Any) -> tuple[tuple[str, bytes], ...]:
    """Return headers as we keep them; Faust gives pairs or a mapping, and a value may be none."""
    pairs = headers.items() if hasattr(headers, "items") else headers or ()
    return tuple((name, value or b"") for name, value in pairs)
