"""Records of a topic as a source: a group member whose offsets follow what the chain has settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypedDict, Unpack, get_args

from reactivex import Observable

from streamzarr.flow.arguments import (
    Check,
    broker,
    checked,
    either,
    flag,
    function,
    having,
    one_of,
    optional,
    seconds,
    text,
    texts,
)
from streamzarr.flow.demand.credits import Credits
from streamzarr.flow.drive import observe
from streamzarr.flow.message import Batch
from streamzarr.flow.sources.committer import Committer
from streamzarr.flow.sources.items import SOURCE
from streamzarr.flow.sources.membership import OnPause, Rebalance
from streamzarr.flow.sources.topic_source import Messages, TopicSettings, TopicSource, by_record, by_run
from streamzarr.flow.stop import Stop
from streamzarr.queue.base import Broker, OnGap

_TOPIC: Final[dict[str, Check]] = {
    "broker": broker,
    "topic": either(text, texts),
    "group": text,
    "commit_every": optional(seconds()),
    "drain_timeout": optional(seconds(above=0)),
    "poll_timeout": seconds(above=0),
    "gather": seconds(),
    "session_timeout": seconds(above=0),
    "on_gap": one_of(*get_args(OnGap)),
    "on_rebalance": optional(function),
    "on_pause": optional(function),
    "instance": optional(text),
    "remember": flag,
    "committer": optional(having("start", "commit", "ended", expected="a Committer, e.g. a WindowState")),
    **SOURCE,
}


@checked("from_topic", **_TOPIC)
def from_topic(
    broker: Broker,
    topic: str | Sequence[str],
    *,
    group: str,
    demand: Credits,
    stop: Stop | None = None,
    commit_every: float | None = None,
    drain_timeout: float | None = None,
    poll_timeout: float = 0.05,
    gather: float = 0.0,
    session_timeout: float = 10.0,
    on_gap: OnGap = "fail",
    on_rebalance: Rebalance | None = None,
    committer: Committer | None = None,
    instance: str | None = None,
    remember: bool = False,
    on_pause: OnPause | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Join `group` and emit the records of `topic`, as many as demand allows; data is the record's value.

    `topic` is a name, or several.

    Each record is delivered at least once to the group. Its offset is committed when it and all records
    before it in its partition are settled (design §8, ``OffsetWindow``).

    Parameters
    ----------
    demand
        Bounds what is in flight until ``ops.settle``.
    stop
        Drains the chain; the one given to :func:`streamzarr.flow.run` does so as well.
    commit_every
        Seconds between two commits; 0.2 when absent, or what `committer` has as ``every``. What was settled
        since the last one is delivered again after a crash.
    drain_timeout
        Seconds for work that has begun when its partition is revoked; what has not begun is handed back at
        once, other partitions go on. Half of `session_timeout` when absent.
    poll_timeout
        Longest blocking poll, seconds: how late a stop is noticed when nothing is in flight.
    gather
        Seconds to leave the topic alone after a poll that took all there was: what comes meanwhile is taken
        together. Where records trickle in, work on batches costs more for each batch than for its records.
    session_timeout
        Seconds without a sign of life after which the broker gives our partitions to others.
    on_gap
        What to do when records are gone or damaged: ``"fail"`` breaks the chain; ``"skip"`` logs what was
        lost, as an error, and goes on behind it, for those who know elsewhere what is still to be done. A
        position beyond the end (the topic was made anew) goes on at the beginning.
    on_rebalance
        Told of each change, on the chain's thread, after the chain has dealt with it.
    committer
        Keeps the positions; the group's committed offsets when absent.
    instance
        A name of this member that outlives it: one that is restarted within `session_timeout` has its
        partitions again, and the others notice nothing (:meth:`streamzarr.queue.Broker.consumer`).
    remember
        Keep with each committed position which records beyond it are settled, as far as that fits into 4 KB,
        so that a restart, or a pause, does not repeat them where a slow one holds back the position.
    on_pause
        Told, on the chain's thread, when a partition pauses by itself, again after each try that failed, and
        when it goes on (:class:`~streamzarr.flow.DeadLetterLimit`).
    on_turn
        Called at every turn of the chain, at least five times a second unless something blocks: a heartbeat.

    Raises
    ------
    streamzarr.errors.QueueError
        By ``on_error``: the broker refuses, or could not be reached for about half a minute.
    streamzarr.errors.OffsetOutOfRangeError, streamzarr.errors.DamagedRecordError
        By ``on_error``, at once: records that were to be read next are gone or cannot be read.

    Notes
    -----
    Threads: one thread does everything, the consumer's callbacks included. Operators that block it for longer
    than `session_timeout` lose the partitions: slow work belongs into ``ops.dispatch``.

    Rebalance: a claim is one assignment of a partition. Revoked, it drains and commits; lost, fenced or over
    its deadline, it ends: what it had delivered neither is committed nor reaches the sink any more.
    """
    return _observe(
        by_record,
        broker,
        TopicSettings(
            _topics(topic),
            group,
            commit_every,
            session_timeout / 2 if drain_timeout is None else drain_timeout,
            poll_timeout,
            session_timeout,
            on_gap,
            on_rebalance,
            committer,
            instance,
            remember,
            on_pause,
            gather,
        ),
        demand,
        stop,
        on_turn,
    )


class TopicOptions(TypedDict, total=False):
    """Options of :func:`from_topic`, which explains them."""

    commit_every: float | None
    poll_timeout: float
    gather: float
    on_gap: OnGap
    on_rebalance: Rebalance | None
    committer: Committer | None
    instance: str | None
    remember: bool
    on_pause: OnPause | None


@checked("from_topic_columns", **_TOPIC)
def from_topic_columns(
    broker: Broker,
    topic: str | Sequence[str],
    *,
    group: str,
    demand: Credits,
    stop: Stop | None = None,
    drain_timeout: float | None = None,
    session_timeout: float = 10.0,
    on_turn: Callable[[], None] | None = None,
    **options: Unpack[TopicOptions],
) -> Observable[Batch]:
    """Join `group` and emit the records of `topic` by columns: no object is made for each record.

    A message stands for a run of records of one partition; its data is the
    :class:`streamzarr.queue.Columns` of the run, of as many records as demand allows, and so is
    ``message.run`` whatever the data become. The run is acknowledged as a whole. A message that fails becomes
    a dead letter for each record of its run: decode with :func:`streamzarr.flow.ops.decode`, which finds
    the bad ones.

    Parameters
    ----------
    demand
        Bounds records (not runs) and bytes in flight until ``ops.settle``.
    **options
        This and everything else is as for :func:`from_topic`.

    Examples
    --------
    >>> from streamzarr.flow import Demand, Stop, ops, run
    >>> from streamzarr.testing.broker_fake import FakeBroker
    >>> broker = FakeBroker()
    >>> broker.create_topic("ticks")
    >>> broker.append("ticks", 0, b"1", b"2", b"3")
    >>> stop = Stop()
    >>> def store(messages):
    ...     print([message.data for message in messages])
    ...     stop.drain(1.0)
    >>> chain = from_topic_columns(broker, "ticks", group="sums", demand=Demand(1000), stop=stop)
    >>> run(chain.pipe(ops.decode(lambda run: sum(map(int, run.values))), ops.settle(store))).ok
    [6]
    3
    """
    settings = TopicSettings(
        _topics(topic),
        group,
        drain_timeout=session_timeout / 2 if drain_timeout is None else drain_timeout,
        session_timeout=session_timeout,
        **options,
    )
    return _observe(by_run, broker, settings, demand, stop, on_turn)


def _topics(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _observe(
    messages: Messages,
    broker: Broker,
    settings: TopicSettings,
    demand: Credits,
    stop: Stop | None,
    on_turn: Callable[[], None] | None,
) -> Observable[Batch]:
    return observe(
        lambda graph: TopicSource(graph, broker, demand, settings, messages),
        demand,
        stop=stop,
        on_turn=on_turn,
    )
