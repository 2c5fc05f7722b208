"""Branches: named chains of operators inside a chain, whose results are joined again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable

from streamzarr.errors import ConfigError, TransformError
from streamzarr.flow.arguments import checked, function, functions, optional, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, connecting, feeding
from streamzarr.flow.message import Batch, Marker, Message
from streamzarr.flow.ops.branch import Branch, Rejoin
from streamzarr.flow.ops.each import failed
from streamzarr.flow.stage import Stage

Branches = Mapping[str, Sequence[Operator]]


def _branches(value: Any) -> str | None:
    fits = isinstance(value, Mapping) and value and not any(map(text, value))
    fits = fits and not any(map(functions, value.values()))
    return None if fits else "lists of operators by name, at least one"


def _selectors(value: Any) -> str | None:
    fits = isinstance(value, Mapping) and not any(map(function, value.values()))
    return None if fits else "functions by the names of branches"


@checked("ops.route", fn=function, branches=_branches, stage=text)
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

    def names(message: Message) -> Sequence[str]:
        name: object = fn(message)
        if not isinstance(name, str) or name not in branches:
            raise TransformError(f"{stage} chose {name!r}, expected one of {', '.join(map(repr, branches))}")
        return (name,)

    return _branching(branches, names, stage)


@checked("ops.broadcast", branches=_branches, selectors=optional(_selectors), stage=text)
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
    if unknown := chosen.keys() - branches.keys():
        raise ConfigError(
            f"ops.broadcast: selectors are for {sorted(unknown)}, expected names of {sorted(branches)}"
        )

    def names(message: Message) -> Sequence[str]:
        return [name for name in branches if name not in chosen or chosen[name](message)]

    return _branching(branches, names, stage)


def _branching(branches: Branches, names: Callable[[Message], Sequence[str]], stage_name: str) -> Operator:
    """Return the operator that puts each message into the branches that ``names(message)`` says."""

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            entries = {name: Branch() for name in branches}
            with connecting() as wiring:
                join = Rejoin(wiring.graph.chain, observer, entries.values())
                subscriptions = []
                for name, operators in branches.items():
                    entry, before = entries[name], len(wiring.graph.stages)
                    results = entry.observable().pipe(*operators)
                    subscriptions.append(
                        results.subscribe(partial(join.take, entry), observer.on_error, scheduler=scheduler)
                    )
                    entry.stages = wiring.graph.stages[: len(wiring.graph.stages) - before]
                stage = _Branching(wiring.graph.chain, observer, entries, join, names, stage_name)
                stage.loose = not all(entry.below for entry in entries.values())
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
    """Puts messages into branches, and markers into all of them; holds nothing."""

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        entries: Mapping[str, Branch],
        join: Rejoin,
        names: Callable[[Message], Sequence[str]],
        name: str,
    ) -> None:
        super().__init__(chain, observer)
        self._entries, self._join = entries, join
        self._names, self._name = names, name

    def receive(self, messages: Sequence[Message]) -> None:
        chosen: dict[str, list[Message]] = {name: [] for name in self._entries}
        passed_by = []
        for message in messages:
            if message.failure is not None:
                passed_by.append(message)
                continue
            try:
                names = self._names(message)
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                passed_by.append(failed(message, error, self._name))
                continue
            if len(names) == 1:
                chosen[names[0]].append(message)
                continue
            copies = self.chain.split(message, [message.data] * len(names))
            for name, copy in zip(names, copies, strict=True):
                chosen[name].append(copy)
        for name, going in chosen.items():
            if going:
                self._entries[name].put(Batch(tuple(going)))
        self.emit(passed_by)

    def turn(self) -> None:
        self._join.advance()

    def mark(self, marker: Marker) -> None:
        self._join.enter(marker)
        for entry in self._entries.values():
            entry.put(Batch((), marker))
