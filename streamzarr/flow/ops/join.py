"""Joining two streams by key and time."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any, get_args

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, function, instance, integer, one_of, optional, text
from streamzarr.flow.graph import Operator, connecting, fed, feeding
from streamzarr.flow.message import Batch
from streamzarr.flow.ops.asof import AsofJoin, Direction
from streamzarr.flow.ops.joining import Joining
from streamzarr.flow.ops.side import Side
from streamzarr.flow.windows.moments import SECOND, Duration, duration, span
from streamzarr.flow.windows.watermark import Watermarks


@checked(
    "ops.join_asof",
    other=instance(Observable, "another source, with or without operators"),
    by=function,
    time=optional(function),
    right_by=optional(function),
    right_time=optional(function),
    tolerance=optional(span()),
    direction=one_of(*get_args(Direction)),
    disorder=span(),
    idle=optional(span(1)),
    wait=optional(span()),
    late=optional(text),
    max_rows=integer(1),
    stage=text,
)
def join_asof(
    other: Observable[Batch],
    *,
    by: Callable[[Any], Hashable],
    time: Callable[[Any], Any] | None = None,
    right_by: Callable[[Any], Hashable] | None = None,
    right_time: Callable[[Any], Any] | None = None,
    tolerance: Duration | None = None,
    direction: Direction = "backward",
    disorder: Duration = 0,
    idle: Duration | None = "30s",
    wait: Duration | None = None,
    late: str | None = None,
    max_rows: int = 1_000_000,
    stage: str = "join_asof",
) -> Operator:
    """Give each message the one of `other` that has its key and is nearest in event time.

    Data become ``Joined(left, right)``, with ``None`` for `right` where nothing matches. As
    ``pandas.merge_asof`` over all that both sides will ever bring: a left message waits until no message of
    `other` can come that would match it better, so what comes out does not depend on which side was faster,
    nor on a crash in between.

    The right side is never far ahead: what no left message has come for yet keeps its credit. What is behind
    keeps only bytes, and the position of its partition, until no left message can match it, neither one to
    come nor one that a crash would bring again. So a key that falls silent keeps its last row for as long as
    `tolerance`, and a restart reads the right side from there.

    Where both sides are topics they must be partitioned alike, and a left message waits until the partition
    of the right with its own partition's number is read by the same chain.

    Parameters
    ----------
    other
        The right side: another source, with operators if need be, but no ``ops.settle``. It is part of the
        same chain, and has a demand of its own.
    by, time
        Key and event time of the data of either side. Integer times are nanoseconds, floats seconds; without
        `time` the timestamp of the record counts. An exception fails the message.
    right_by, right_time
        The same of the right side, where its data look different.
    tolerance
        Longest distance of a match; any when absent, which keeps the last row of each key for ever.
    direction
        ``"backward"``: the last at or before; ``"forward"``: the first at or after; ``"nearest"``.
    disorder
        How far the messages of a partition may be out of order.
    idle
        Time of silence after which a partition of either side does not hold back the others; ``None``: it
        always does.
    wait
        Time after which a left message goes on with the best match so far, though the right side has not
        come so far. Without it, it waits for as long as it takes.
    late
        Named output (``message.output``) of messages that are more out of order than `disorder`; without it
        they fail with a ``LateError``, and so reach the dead letters.
    max_rows
        Messages of the right side that are held, at most.
    stage
        Its name in failures.

    Raises
    ------
    streamzarr.errors.LimitExceededError
        By ``on_error``: more rows than `max_rows` would have to be held.
    streamzarr.errors.ConfigError
        Arguments do not fit together.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> trades = from_iterable([("EUR", 3, 100), ("EUR", 7, 200), ("GBP", 8, 300)], Demand(10))
    >>> quotes = from_iterable([("EUR", 2, 1.08), ("EUR", 6, 1.09)], Demand(10))
    >>> found = []
    >>> chain = trades.pipe(
    ...     ops.join_asof(quotes, by=lambda row: row[0], time=lambda row: row[1]),
    ...     ops.map(lambda joined: (joined.left[2], joined.right and joined.right[2])),
    ...     ops.settle(lambda messages: found.extend(message.data for message in messages)),
    ... )
    >>> run(chain).ok, found
    (5, [(100, 1.08), (200, 1.09), (300, None)])
    """
    reach = math.inf if tolerance is None else duration(tolerance, "tolerance")
    if reach == math.inf and direction != "backward":
        raise ConfigError(
            f"ops.join_asof: direction={direction!r} without a tolerance would wait for ever, expected one"
        )
    AsofJoin[Any, Any](reach, direction)
    most = duration(disorder, "disorder")
    silence = None if idle is None else duration(idle, "idle") / SECOND
    patience = None if wait is None else duration(wait, "wait") / SECOND

    def make_marks() -> Watermarks:
        return Watermarks(most, silence)

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            with connecting() as wiring:
                chain = wiring.graph.chain
                joining = Joining(
                    chain,
                    observer,
                    AsofJoin(reach, direction),
                    Side(chain, by, time, make_marks, comes_again=True),
                    Side(chain, right_by or by, right_time or time, make_marks),
                    wait=patience,
                    late=late,
                    max_rows=max_rows,
                    name=stage,
                )
                wiring.graph.join(joining, fed())
                with feeding((joining,)):
                    left = source.subscribe(
                        joining.take, observer.on_error, observer.on_completed, scheduler=scheduler
                    )
                    joining.left_above = tuple(joining.above)
                    right = other.subscribe(joining.take_right, observer.on_error, scheduler=scheduler)
            return CompositeDisposable(left, right)

        return Observable(subscribe)

    return operator
