"""Merging the results of all keys of a window."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from reactivex.abc import ObserverBase

from streamzarr.errors import TransformError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.arguments import anything, checked, function, optional, text
from streamzarr.flow.chain import Chain, claim_of
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Marker, Message, Passed, leaves
from streamzarr.flow.ops.each import failed
from streamzarr.flow.stage import Stage, Upstream
from streamzarr.flow.windows.bound import OVERHEAD, estimate
from streamzarr.flow.windows.kinds import Window
from streamzarr.flow.windows.moments import FIRST, LAST
from streamzarr.flow.windows.result import Result


@checked(
    "ops.departition",
    fold=function,
    initial=anything,
    result=optional(function),
    size_of=function,
    stage=text,
)
def departition(
    fold: Callable[[Any, Result], Any],
    *,
    initial: Any,
    result: Callable[[Any], Any] | None = None,
    size_of: Callable[[Any], int] = estimate,
    stage: str = "departition",
) -> Operator:
    """Merge the results of all keys of a window into one, when the last of them has come.

    Stands behind ``ops.reduce``. Early results are left out (skipped), except those that hold a part of their
    window. Late results, which come when their window has given its merged result, are merged among
    themselves into another one that is marked ``late``.

    Parameters
    ----------
    fold
        ``fold(accumulator, result)`` takes a :class:`~streamzarr.flow.windows.Result` and returns the
        accumulator. An exception fails the message of this result only.
    initial
        The first accumulator: a value that cannot be changed, or a function that makes one.
    result
        Makes the value of the merged result; the accumulator itself when absent.
    size_of
        Bytes of a value; an estimate in constant time when absent.
    stage
        Its name in failures.

    Notes
    -----
    Only what this chain reads is merged: with several workers in a group each merges its own partitions.
    Behind branches, or merged sources, the results of all of them are merged; an open window of one holds
    back the others.
    Source: Flow's ``departition/5``.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run, windows
    >>> ticks = [(0.5, "BTC", 7.0), (0.6, "ETH", 3.0), (1.5, "BTC", 8.0)]
    >>> chain = from_iterable(ticks, Demand(10)).pipe(
    ...     ops.partition_by(lambda tick: tick[1]),
    ...     ops.reduce(
    ...         lambda last, tick: tick[2], initial=0.0, window=windows.Fixed("1s"), time=lambda tick: tick[0]
    ...     ),
    ...     ops.departition(lambda prices, result: {**prices, result.key: result.value}, initial=dict),
    ...     ops.settle(lambda messages: print([message.data.value for message in messages])),
    ... )
    >>> run(chain).ok
    [{'BTC': 7.0, 'ETH': 3.0}]
    [{'BTC': 8.0}]
    3
    """

    def make(chain: Chain, observer: ObserverBase[Batch]) -> Stage:
        return _Departition(chain, observer, fold, initial, result, size_of, stage)

    return staged(make)


class _Merged:
    """The accumulator of one window."""

    __slots__ = ("claim", "count", "hold", "late", "nbytes", "partial", "resumed", "value")

    def __init__(self, value: Any, claim: Claim) -> None:
        self.value, self.claim = value, claim
        self.hold = Hold()
        self.count = self.nbytes = 0
        self.late = self.partial = self.resumed = False


class _Departition(Stage):
    windowed = True

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        fold: Callable[[Any, Result], Any],
        initial: Any,
        result: Callable[[Any], Any] | None,
        size_of: Callable[[Any], int],
        name: str,
    ) -> None:
        super().__init__(chain, observer)
        self._fold, self._initial, self._result = fold, initial, result
        self._size_of, self._name = size_of, name
        self._windows: dict[Window, _Merged] = {}
        self._mark = FIRST  # up to which all windows have been given
        self._farthest = FIRST  # that any of what is above has passed

    def receive(self, messages: Sequence[Message]) -> None:
        passed = []
        for message in messages:
            if message.failure is not None or message.output:
                passed.append(message)
                continue
            try:
                self._merge(message)
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                passed.append(failed(message, error, self._name))
        self.emit(passed)

    def _merge(self, message: Message) -> None:
        result = message.data
        if not isinstance(result, Result):
            raise TransformError(f"{self._name} got {type(result).__name__}, expected a result of ops.reduce")
        if result.firing == "early" and not result.partial:
            self.chain.settle([message], skipped=True)
            return
        merged = self._windows.get(result.window)
        if merged is None:
            value = self._initial() if callable(self._initial) else self._initial
            merged = _Merged(value, claim_of(next(leaves(message))))
        value = self._fold(merged.value, result)
        nbytes = self._size_of(value) + OVERHEAD  # before anything is counted: it may raise
        merged.value = value
        self._windows[result.window] = merged
        merged.count += result.count
        merged.late |= result.firing == "late" or result.window.stop <= self._mark
        merged.partial |= result.partial
        merged.resumed |= result.resumed
        self.chain.fold([message], merged.hold)
        self._charge(merged, nbytes)

    def _charge(self, merged: _Merged, nbytes: int) -> None:
        self.chain.charge(merged.claim, nbytes - merged.nbytes)
        merged.nbytes = nbytes

    def mark(self, marker: Marker) -> None:
        if isinstance(marker, Passed):
            self._farthest = max(self._farthest, marker.mark)
            self.turn()
        else:
            self.emit_marker(marker)

    def turn(self) -> None:
        """Give the windows that all have passed: Rx may have merged several ways into this one."""
        if self._farthest > self._mark:
            passed = min([self._farthest, *(at - 1 for upstream in self.above for at in _closing(upstream))])
            if passed > self._mark:
                self._give(passed)
                self.emit_marker(Passed(passed))

    def closes(self) -> int | None:
        return min((window.stop for window in self._windows), default=None)

    def finish(self) -> None:
        self._give(LAST)

    def _give(self, mark: int) -> None:
        """Give the merged results of the windows that are over."""
        self._mark = max(self._mark, mark)
        over = sorted(window for window in self._windows if window.stop <= self._mark)
        self.emit([self._message(window, self._windows.pop(window)) for window in over])

    def _message(self, window: Window, merged: _Merged) -> Message:
        try:
            value = merged.value if self._result is None else self._result(merged.value)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return failed(self._with_value(window, merged, None), error, self._name)
        return self._with_value(window, merged, value)

    def _with_value(self, window: Window, merged: _Merged, value: Any) -> Message:
        result = Result(
            None,
            window,
            value,
            merged.count,
            "late" if merged.late else "final",
            partial=merged.partial,
            resumed=merged.resumed,
        )
        self._charge(merged, 0)
        nbytes = self._size_of(value) + OVERHEAD
        return self.chain.result(result, (merged.hold,), nbytes, merged.claim)

    def abandon(self, claims: Collection[Claim]) -> None:
        """Forget windows of which nothing is ours; of the others nothing can be taken out again."""
        for window, merged in list(self._windows.items()):
            if not merged.hold.ours:
                del self._windows[window]
                self._charge(merged, 0)
                self.chain.forget([merged.hold], claims)

    def close(self, timeout: float) -> None:
        for merged in self._windows.values():
            self._charge(merged, 0)


def _closing(upstream: Upstream) -> Iterator[int]:
    """Yield the watermarks at which windows close next whose results come from `upstream`."""
    if not isinstance(upstream, Stage):
        return
    if upstream.windowed:
        if (at := upstream.closes()) is not None:
            yield at
        return
    for above in upstream.above:
        yield from _closing(above)
