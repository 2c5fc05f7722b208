"""Branches: named chains of operators inside a chain, whose results are joined again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from streamzarr.errors import ConfigError, TransformError, is_interrupt
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, connecting, fed, feeding
from streamzarr.flow.message import Batch, Marker, Message
from streamzarr.flow.stage import Stage

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

    def make(chain: Chain, observer: ObserverBase[Batch], entries: Mapping[str, _Entry]) -> Stage:
        return _Route(chain, observer, entries, fn, stage)

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

    def make(chain: Chain, observer: ObserverBase[Batch], entries: Mapping[str, _Entry]) -> Stage:
        return _Broadcast(chain, observer, entries, chosen, stage)

    return _branching(branches, make)


class _Entry:
    """The source of a branch: what the stage gives it goes into the branch's operators."""

    def __init__(self) -> None:
        self.observer: ObserverBase[Batch] | None = None
        self.below: tuple[Stage, ...] = ()

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
        self.observer.on_next(batch)


class _Join:
    """Where the branches end: batches go on, a marker when it has come out of all of them."""

    def __init__(self, observer: ObserverBase[Batch], branches: int) -> None:
        self._observer = observer
        self._branches = branches
        self._arrived: Counter[int] = Counter()

    def take(self, batch: Batch) -> None:
        """Pass on a batch of one of the branches."""
        if batch.messages:
            self._observer.on_next(Batch(batch.messages))
        if batch.marker is not None:
            self._arrived[id(batch.marker)] += 1
            if self._arrived[id(batch.marker)] == self._branches:
                del self._arrived[id(batch.marker)]
                self._observer.on_next(Batch((), batch.marker))


def _branching(
    branches: Branches, make: Callable[[Chain, ObserverBase[Batch], Mapping[str, _Entry]], Stage]
) -> Operator:
    """Return the operator of a stage whose messages go through `branches`."""

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            join = _Join(observer, len(branches))
            entries = {name: _Entry() for name in branches}
            with connecting() as wiring:
                subscriptions = [
                    entries[name]
                    .observable()
                    .pipe(*operators)
                    .subscribe(join.take, observer.on_error, scheduler=scheduler)
                    for name, operators in branches.items()
                ]
                stage = make(wiring.graph.chain, observer, entries)
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
        self, chain: Chain, observer: ObserverBase[Batch], entries: Mapping[str, _Entry], name: str
    ) -> None:
        super().__init__(chain, observer)
        self._entries, self._name = entries, name

    def mark(self, marker: Marker) -> None:
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
        fn: Callable[[Message], str],
        name: str,
    ) -> None:
        super().__init__(chain, observer, entries, name)
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
        selectors: Mapping[str, Callable[[Message], bool]],
        name: str,
    ) -> None:
        super().__init__(chain, observer, entries, name)
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
