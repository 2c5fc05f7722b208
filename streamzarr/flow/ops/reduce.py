"""Reducing messages by key and window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import anything, checked, function, instance, optional, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch
from streamzarr.flow.ops.keeping import Keeping
from streamzarr.flow.ops.reducing import Reducing
from streamzarr.flow.ops.timing import Timing
from streamzarr.flow.stage import Stage
from streamzarr.flow.windows.bound import Bound, estimate
from streamzarr.flow.windows.kinds import Global, Windowing
from streamzarr.flow.windows.moments import SECOND, Duration, duration, span
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.state import WindowState
from streamzarr.flow.windows.triggers import After, Every, Trigger, When
from streamzarr.flow.windows.watermark import Watermarks

_triggers = instance((Every, After, When), "windows.Every, After or When, or several")


def _trigger(value: object) -> str | None:
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return next(filter(None, map(_triggers, several)), None)


@checked(
    "ops.reduce",
    fold=function,
    initial=anything,
    window=optional(instance(get_args(Windowing), 'one of windows, e.g. windows.Fixed("1min")')),
    merge=optional(function),
    result=optional(function),
    time=optional(function),
    disorder=span(),
    idle=optional(span(1)),
    trigger=_trigger,
    lateness=span(),
    late=optional(text),
    max_ahead=optional(span()),
    bound=optional(instance(Bound, "a windows.Bound, e.g. windows.Bound(keys=1000)")),
    state=optional(instance(WindowState, 'a WindowState, e.g. WindowState("s3://bucket/state")')),
    size_of=function,
    stage=text,
)
def reduce(
    fold: Callable[[Any, Any], Any],
    *,
    initial: Any,
    window: Windowing | None = None,
    merge: Callable[[Any, Any], Any] | None = None,
    result: Callable[[Any], Any] | None = None,
    time: Callable[[Any], Any] | None = None,
    disorder: Duration = 0,
    idle: Duration | None = "30s",
    trigger: Trigger | Sequence[Trigger] = (),
    lateness: Duration = 0,
    late: str | None = None,
    max_ahead: Duration | None = None,
    bound: Bound | None = None,
    state: WindowState | None = None,
    size_of: Callable[[Any], int] = estimate,
    stage: str = "reduce",
) -> Operator:
    """Fold the messages of each key and window into one :class:`~streamzarr.flow.windows.Result`.

    Keys are those of ``ops.partition_by`` (``message.key``). A message's credit returns as soon as it is
    folded, what accumulators take is charged instead, and its offset may be committed when the result that it
    is in is settled: a window may be open for a day. Until then a restart reads its messages again, all of
    them. Windows that have given their result by then, but hold some of the messages that are read again,
    give another one with only these: sliding windows, sessions, and those of messages out of order. A result
    that may be such a one is marked (``result.resumed``): of several of a window the one that holds most is
    whole. With `state` nothing is read again, and there are none.

    Parameters
    ----------
    fold
        ``fold(accumulator, data)`` returns the accumulator; it may change its argument, and then may not
        raise after that.
    initial
        The first accumulator: a value that cannot be changed, or a function that makes one, such as ``list``.
    window
        One of :mod:`streamzarr.flow.windows`; all time (``Global``) when absent.
    merge
        ``merge(one, other)`` makes one accumulator of two. With it the parts that several partitions have in
        a window are merged, as far as this chain reads them; without, each partition gives a result of its
        own: key the topic by what windows are keyed by, as for Kafka Streams. Sessions need it.
    result
        Makes the result's value of an accumulator; the accumulator itself when absent.
    time
        Event time of a message's data: integer nanoseconds, float seconds, or a datetime64; the record's
        timestamp when absent, if there is one: of columns and combined messages `time` has to say.
    disorder
        How much older than the newest message of its partition a message may be: the watermark, which closes
        windows, is the newest event time less this, and of all partitions the least.
    idle
        A partition of which there was nothing to read for so long is left out of the watermark; ``None``:
        never. What is not read yet, for want of credit, in a pause or an outage, is waited for.
    trigger
        When open windows give early results: one or several of ``Every``, ``After``, ``When``.
    lateness
        How long, in event time, a window is kept when the watermark has passed it; messages that still come
        give another result, marked ``late``.
    late
        Named output (``message.output``) of messages that come even later; without it they fail with a
        ``LateError``, and so reach the dead letters. A message of several windows is late for each by itself.
    max_ahead
        How far event time may be ahead of the clock, which is the wall's or the record's timestamp, whichever
        says less. One message from the next century would move the watermark there, and all that comes after
        it would be late; what is ahead by more than this goes where late messages go (as an ``AheadError``).
        ``None``: no bound.
    bound
        How large all accumulators may be together, and what happens then; their bytes are a quarter of the
        demand's ``max_bytes`` at most.
    state
        Keeps accumulators, watermark, position and results in a store, so that a restart goes on where it was
        and each result is the same however often it is delivered. It has to be the topic's committer as well.
        Parts of several partitions are not merged then: each partition's state is an object of its own.
    size_of
        Bytes of a value; an estimate in constant time when absent.
    stage
        Its name in failures.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run, windows
    >>> ticks = [(0.5, 7.0), (59.0, 9.0), (61.0, 8.0)]
    >>> chain = from_iterable(ticks, Demand(10)).pipe(
    ...     ops.reduce(
    ...         lambda highest, tick: max(highest, tick[1]),
    ...         initial=0.0,
    ...         window=windows.Fixed("1min"),
    ...         time=lambda tick: tick[0],
    ...     ),
    ...     ops.settle(lambda messages: print([message.data.value for message in messages])),
    ... )
    >>> run(chain).ok
    [9.0]
    [8.0]
    3
    """
    reduction = Reduction(
        fold,
        initial,
        Global() if window is None else window,
        merge,
        result,
        (trigger,) if isinstance(trigger, Every | After | When) else tuple(trigger),
        duration(lateness, "lateness"),
        Bound() if bound is None else bound,
        size_of,
    )
    out_of_order = duration(disorder, "disorder")
    silence = None if idle is None else duration(idle, "idle", 1) / SECOND
    farthest = None if max_ahead is None else duration(max_ahead, "max_ahead")
    if state is not None and reduction.joined:
        raise ConfigError(
            "ops.reduce: merge= with state=: expected one of them, since partitions are stored one by one"
        )

    def make(chain: Chain, observer: ObserverBase[Batch]) -> Stage:
        marks = Watermarks(out_of_order, silence)
        timing = Timing(chain.runtime, reduction.window, time, farthest)
        if state is None:
            return Reducing(chain, observer, reduction, timing, marks, late, stage)
        return Keeping(chain, observer, reduction, timing, marks, late, stage, state)

    return staged(make)
