"""Where the messages of a pipeline come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import either, function, having, one_of, optional, seconds, text
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.message import Batch
from streamzarr.flow.pausing import PausedPartition
from streamzarr.flow.sources.topic import from_topic
from streamzarr.options import texts
from streamzarr.pipeline.notices import Notices
from streamzarr.pipeline.schema import check_settings, setting
from streamzarr.pipeline.telemetry import Teller
from streamzarr.queue.base import Broker, OnGap
from streamzarr.queue.open import open_broker
from streamzarr.redact import redacted
from streamzarr.runtime import Runtime


def _topics(value: Any) -> str | None:
    fits = isinstance(value, Sequence) and not isinstance(value, str) and value and not any(map(text, value))
    return None if fits else "a list of names of topics"


_broker = either(text, having("consumer", "producer", "describe", expected="a Broker"))


@dataclass(frozen=True, slots=True)
class TopicSource:
    """Topics, read as a member of a consumer group whose offsets follow what is acknowledged.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option does not fit.

    Examples
    --------
    >>> TopicSource("kafka://broker:9092", topics=["fx.ticks"], group="archive").topics
    ('fx.ticks',)
    """

    broker: str | Broker = setting("URL of the broker, or a `Broker`.", _broker)
    topics: Sequence[str] = setting("Names of the topics.", _topics)
    group: str = setting("Name of the consumer group: those who share the work.", text)
    session_timeout: float = setting(
        "Seconds without a sign of life after which others get our partitions.", seconds(above=0), 10.0
    )
    drain_timeout: float | None = setting(
        "Seconds for work that has begun when its partition is revoked.",
        optional(seconds(above=0)),
        None,
        shown="half of `session_timeout`",
    )
    commit_every: float = setting("Seconds between two commits.", seconds(), 0.2)
    on_gap: OnGap = setting(
        "What to do when records are gone or damaged: end with an error, or go on behind them.",
        one_of("fail", "skip"),
        "fail",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "topics", texts("topics", self.topics))
        if self.drain_timeout is not None and self.drain_timeout >= self.session_timeout:
            raise ConfigError(
                f"TopicSource: drain_timeout is {self.drain_timeout}, expected less than the session_timeout "
                f"of {self.session_timeout}, or partitions would be lost while they drain"
            )

    def __repr__(self) -> str:
        """Show no password."""
        broker = redacted(self.broker) if isinstance(self.broker, str) else str(self.broker)
        return f"TopicSource({broker!r}, topics={list(self.topics)}, group={self.group!r})"


FlowSource: TypeAlias = Callable[[Demand], Observable[Batch]]
"""Makes a source of :mod:`streamzarr.flow` that takes no more than the demand that it is given."""
Source: TypeAlias = TopicSource | Observable[Batch] | FlowSource


def sources(value: Any) -> str | None:
    """Check one source, or a list of them."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    fits = bool(value) and all(map(_is_source, value)) if several else _is_source(value)
    return (
        None
        if fits
        else (
            "a TopicSource, a flow source such as from_iterable(items, Demand(9)), a function that makes one "
            "of a Demand, or a list of these"
        )
    )


def _is_source(value: Any) -> bool:
    return isinstance(value, (TopicSource, Observable)) or function(value) is None


class Brokers:
    """The brokers of one running pipeline, each opened once. Owned by the thread that runs the pipeline."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._opened: dict[str, Broker] = {}

    def open(self, broker: str | Broker) -> Broker:
        """Return `broker`, opened if it is a URL; :meth:`close` closes only those."""
        if not isinstance(broker, str):
            return broker
        if broker not in self._opened:
            self._opened[broker] = open_broker(broker, runtime=self._runtime)
        return self._opened[broker]

    def close(self) -> None:
        """Close what was opened here."""
        for broker in self._opened.values():
            broker.close()
        self._opened.clear()


def split(source: Source | Sequence[Source]) -> list[Source]:
    """Return single sources: a topic each, where topics are read."""
    every = list(source) if isinstance(source, Sequence) else [source]
    found: list[Source] = []
    for each in every:
        if isinstance(each, TopicSource):
            found += [replace(each, topics=(topic,)) for topic in each.topics]
        else:
            found.append(each)
    return found


def connect(
    source: Source, demand: Demand, brokers: Brokers, teller: Teller, notices: Notices | None
) -> Observable[Batch]:
    """Return what a single source emits; it takes no more than `demand`, unless it has its own."""
    if isinstance(source, Observable):
        return source
    if not isinstance(source, TopicSource):
        return source(demand)
    [topic] = source.topics

    def on_pause(what: Literal["paused", "resumed"], paused: PausedPartition) -> None:
        teller.tell(f"streamzarr.pipeline.partition.{what}", paused=paused)  # type: ignore[arg-type]
        if what == "paused" and notices is not None:
            notices.tell(source.group, paused)

    return from_topic(
        brokers.open(source.broker),
        topic,
        group=source.group,
        demand=demand,
        session_timeout=source.session_timeout,
        drain_timeout=source.drain_timeout,
        commit_every=source.commit_every,
        on_gap=source.on_gap,
        remember=True,
        on_rebalance=lambda what, partitions: teller.tell(
            "streamzarr.pipeline.rebalance", what=what, partitions=tuple(partitions)
        ),
        on_pause=on_pause,
    )
