"""Branches: named chains of operators inside a chain, whose results are joined again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from streamzarr.errors import ConfigError, TransformError, is_interrupt
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, connecting, fed, feeding
from streamzarr.flow.message import Batch, Marker, Message, Passed
from streamzarr.flow.stage import Stage
from streamzarr.flow.windows.moments import FIRST, LAST

Branches = Mapping[str, Sequence[Operator]]


def route(fn: Callable[[Message], str], branches: Branches, *, stage: str = "route") -> Operator:
    """Send each message through the branch that ``fn(message)`` names, and join what comes out.

    Each branch waits, flushes and drains by itself: a busy one does not hold back what waits in another.

    Parameters
    ----------
    fn
        Returns a name of `branches`; ``lambda message: message.output`` goes by the named output that an
        operator put it on. An exception, or another name, fails this message only.
    branches
        Operators by name; ``[]`` passes on. Messages that have failed do not enter any.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> seen = []
    >>> chain = from_iterable(range(4), Demand(10)).pipe(
    ...     ops.route(
    ...         lambda message: "odd" if message.data % 2 else "even",
    ...         {"odd": [ops.map(lambda n: -n)], "even": [ops.map(lambda n: n * 10)]},
    ...     ),
    ...     ops.settle(lambda messages: seen.extend(message.data for message in messages)),
    ... )
    >>> run(chain).ok, sorted(seen)
    (4, [-3, -1, 0, 20])
    """
    if not branches:
        raise ConfigError("ops.route() without branches, expected at least one")

    def make(
        chain: Chain, observer: ObserverBase[Batch], entries: Mapping[str, _Entry], join: _Join
    ) -> Stage:
        return _Route(chain, observer, entries, join, fn, stage)

    return _branching(branches, make)


def broadcast(
    branches: Branches,
    selectors: Mapping[str, Callable[[Message], bool]] | None = None,
    *,
    stage: str = "broadcast",
) -> Operator:
    """Send each message through every branch whose selector picks it, and join what comes out.

    The message's record is acknowledged when its copies in all branches are settled, and its credit returns
    then: demand is that of the slowest branch. A message that no selector picks is settled, as skipped.

    Parameters
    ----------
    branches
        Operators by name.
    selectors
        By the name of a branch; without one the branch gets everything. An exception fails the message.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> seen = []
    >>> chain = from_iterable([1, 2], Demand(10)).pipe(
    ...     ops.broadcast(
    ...         {"raw": [], "square": [ops.map(lambda n: n * n)]},
    ...         selectors={"square": lambda message: message.data > 1},
    ...     ),
    ...     ops.settle(lambda messages: seen.extend(message.data for message in messages)),
    ... )
    >>> run(chain).ok, sorted(seen)
    (2, [1, 2, 4])
    """
    chosen = dict(selectors or {})
    if not branches:
        raise ConfigError("ops.broadcast() without branches, expected at least one")
    if unknown := chosen.keys() - branches.keys():
        raise ConfigError(f"selectors for {sorted(unknown)}, expected names of {sorted(branches)}")

    def make(
        chain: Chain, observer: ObserverBase[Batch], entries: Mapping[str, _Entry], join: _Join
    ) -> Stage:
        return _Broadcast(chain, observer, entries, join, chosen, stage)

    return _branching(branches, make)


class _Entry:
    """The source of a branch: what the stage gives it goes into the branch's operators."""

    def __init__(self) -> None:
        self.observer: ObserverBase[Batch] | None = None
        self.below: tuple[Stage, ...] = ()
        self.stages: tuple[Stage, ...] = ()
        """All that hold messages in the branch."""
        self.given = FIRST
        """The farthest watermark that came into the branch."""
        self.mark = FIRST
        """The farthest watermark that came out of it."""

    def observable(self) -> Observable[Batch]:
        """Return what the branch's operators are piped to; connected once."""

        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            self.observer, self.below = observer, fed()
            return Disposable()

        return Observable(subscribe)

    def put(self, batch: Batch) -> None:
        """Pass a batch into the branch."""
        assert self.observer is not None
        if isinstance(batch.marker, Passed):
            self.given = max(self.given, batch.marker.mark)
        self.observer.on_next(batch)

    @property
    def passed(self) -> int:
        """Up to which watermark nothing of it is still to come, if no message comes into it."""
        if not any(stage.windowed for stage in self.stages):
            return LAST if self.mark >= self.given else self.mark
        if any(stage.working or stage.waiting for stage in self.stages):
            return self.mark
        closes = [at for stage in self.stages if (at := stage.closes()) is not None]
        return max(self.mark, min(closes, default=LAST) - 1)


class _Join:
    """Where the branches end: batches go on, a marker when it has come out of all of them.

    A watermark (``Passed``) may come out of one branch only, the one with those windows. It goes on when no
    branch can give a result of before: one in which such a window is open, or messages are on their way to
    windows, holds it back; one that is empty, or has no windows, does not. It is looked at between two
    batches of the source (:meth:`advance`), when each branch has got its part of the last one.
    """

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], branches: Collection[_Entry]) -> None:
        self._chain, self._observer, self._branches = chain, observer, branches
        self._inside: dict[int, tuple[Marker, int]] = {}  # by id: each, and out of how many it is to come
        self._passed = FIRST

    def take(self, branch: _Entry, batch: Batch) -> None:
        """Pass on a batch of one of the branches."""
        if batch.messages:
            self._observer.on_next(Batch(batch.messages))
        if isinstance(batch.marker, Passed):
            branch.mark = max(branch.mark, batch.marker.mark)
            self._chain.bell.ring()
        elif batch.marker is not None:
            self._count(batch.marker)

    def enter(self, marker: Marker) -> None:
        """Note a marker that goes into all branches."""
        if not isinstance(marker, Passed):
            self._inside[id(marker)] = marker, len(self._branches)

    def _count(self, marker: Marker) -> None:
        if id(marker) not in self._inside:  # a branch's own: it is behind nothing of the others
            return
        _, left = self._inside.pop(id(marker))
        if left > 1:
            self._inside[id(marker)] = marker, left - 1
        else:
            self._observer.on_next(Batch((), marker))

    def advance(self) -> None:
        """Pass on the watermark that all branches have passed, if it is another one."""
        farthest = max(branch.mark for branch in self._branches)
        if farthest <= self._passed:
            return
        passed = min(farthest, *(branch.passed for branch in self._branches))
        if passed > self._passed:
            self._passed = passed
            self._observer.on_next(Batch((), Passed(passed)))


def _branching(
    branches: Branches, make: Callable[[Chain, ObserverBase[Batch], Mapping[str, _Entry], _Join], Stage]
) -> Operator:
    """Return the operator of a stage whose messages go through `branches`."""

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            entries = {name: _Entry() for name in branches}
            with connecting() as wiring:
                join = _Join(wiring.graph.chain, observer, entries.values())
                subscriptions = []
                for name, operators in branches.items():
                    entry, before = entries[name], len(wiring.graph.stages)
                    results = entry.observable().pipe(*operators)
                    subscriptions.append(
                        results.subscribe(partial(join.take, entry), observer.on_error, scheduler=scheduler)
                    )
                    entry.stages = wiring.graph.stages[: len(wiring.graph.stages) - before]
                stage = make(wiring.graph.chain, observer, entries, join)
                below = {id(one): one for entry in entries.values() for one in entry.below}
                wiring.graph.join(stage, tuple(below.values()))
                with feeding((stage,)):
                    subscription = source.subscribe(
                        stage.take, observer.on_error, observer.on_completed, scheduler=scheduler
                    )
            return CompositeDisposable(subscription, *subscriptions)

        return Observable(subscribe)

    return operator


class _Branching(Stage):
    """What routing and broadcasting share: entries, and markers that go into all of them."""

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        entries: Mapping[str, _Entry],
        join: _Join,
        name: str,
    ) -> None:
        super().__init__(chain, observer)
        self._entries, self._join, self._name = entries, join, name

    def turn(self) -> None:
        self._join.advance()

    def mark(self, marker: Marker) -> None:
        self._join.enter(marker)
        for entry in self._entries.values():
            entry.put(Batch((), marker))

    def _pass_on(self, chosen: Mapping[str, list[Message]], failed: Sequence[Message]) -> None:
        for name, messages in chosen.items():
            if messages:
                self._entries[name].put(Batch(tuple(messages)))
        self.emit(failed)

    def _failed(self, message: Message, error: BaseException) -> Message:
        if is_interrupt(error):
            raise error
        return message.fail(error, self._name)


class _Route(_Branching):
    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        entries: Mapping[str, _Entry],
        join: _Join,
        fn: Callable[[Message], str],
        name: str,
    ) -> None:
        super().__init__(chain, observer, entries, join, name)
        self._fn = fn

    def receive(self, messages: tuple[Message, ...]) -> None:
        chosen: dict[str, list[Message]] = {name: [] for name in self._entries}
        failed = []
        for message in messages:
            if message.failure is not None:
                failed.append(message)
                continue
            try:
                self._branch(chosen, self._fn(message)).append(message)
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                failed.append(self._failed(message, error))
        self._pass_on(chosen, failed)

    def _branch(self, chosen: Mapping[str, list[Message]], name: Any) -> list[Message]:
        try:
            return chosen[name]
        except (KeyError, TypeError):
            raise TransformError(
                f"{self._name} chose {name!r}, expected one of {', '.join(map(repr, chosen))}"
            ) from None


class _Broadcast(_Branching):
    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        entries: Mapping[str, _Entry],
        join: _Join,
        selectors: Mapping[str, Callable[[Message], bool]],
        name: str,
    ) -> None:
        super().__init__(chain, observer, entries, join, name)
        self._selectors = selectors

    def receive(self, messages: tuple[Message, ...]) -> None:
        chosen: dict[str, list[Message]] = {name: [] for name in self._entries}
        failed = []
        for message in messages:
            if message.failure is not None:
                failed.append(message)
                continue
            try:
                names = [name for name in chosen if self._picks(name, message)]
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                failed.append(self._failed(message, error))
                continue
            copies = self.chain.split(message, [message.data] * len(names))
            for name, copy in zip(names, copies, strict=True):
                chosen[name].append(copy)
        self._pass_on(chosen, failed)

    def _picks(self, name: str, message: Message) -> bool:
        selector = self._selectors.get(name)
        return selector is None or bool(selector(message))
