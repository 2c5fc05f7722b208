"""Bugs that are planted into the code to see whether the simulator finds them, one context manager each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from unittest.mock import patch

from streamzarr.errors import QueueError, StoreError
from streamzarr.flow.acknowledge import Claim, Released
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.ops.schedule import Schedule
from streamzarr.flow.ops.settle import _Sinking
from streamzarr.flow.sources.membership import Membership
from streamzarr.flow.windows.panes import Panes
from streamzarr.jobs.bookkeeper import Bookkeeper
from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.opened import OpenStage
from streamzarr.jobs.wire import Results
from streamzarr.supervisor.board import CrashTable

Planted = Callable[[], AbstractContextManager[object]]


def commit_before_write() -> AbstractContextManager[object]:
    """Messages are settled, and their offsets committed, before the sink has stored them."""

    def settle_first(self: _Sinking) -> None:
        given, self._given = self._ours(self._given), []
        self._done(given)
        if given and self._sink is not None:
            self._sink(given)

    return patch.object(_Sinking, "_give", settle_first)


def revoked_without_draining() -> AbstractContextManager[object]:
    """What was read of a revoked partition is committed, whether it is settled or not."""

    def on_revoked(self: Membership, partitions: Sequence[Any]) -> None:
        with suppress(QueueError):
            read = self.consumer.positions()
            self.consumer.commit({partition: read[partition] for partition in partitions})
        self.end(partitions)

    return patch.object(Membership, "on_revoked", on_revoked)


@contextmanager
def losses_ignored() -> Iterator[None]:
    """Revoked and lost partitions are not heard of; one that comes back goes on under its old claim."""
    assigned = Membership.on_assigned

    def on_assigned(self: Membership, partitions: Sequence[Any]) -> None:
        assigned(self, [partition for partition in partitions if partition not in self._claims])

    def ignore(self: Membership, partitions: Sequence[Any]) -> None:
        """Do nothing."""

    with (
        patch.object(Membership, "on_assigned", on_assigned),
        patch.object(Membership, "on_revoked", ignore),
        patch.object(Membership, "on_lost", ignore),
    ):
        yield


@contextmanager
def commit_after_lost() -> Iterator[None]:
    """The positions of claims that have ended are still committed, when the partition is ours again."""
    end, commit = Membership.end, Membership.commit
    ended: dict[int, list[Claim]] = {}

    def remember(self: Membership, partitions: Sequence[Any]) -> None:
        partitions = list(partitions)
        gone = [self._claims[each] for each in partitions if each in self._claims]
        ended.setdefault(id(self), []).extend(gone)
        end(self, partitions)

    def commit_all(self: Membership) -> None:
        commit(self)
        for claim in ended.pop(id(self), []):
            position = claim.position
            if claim.partition in self.consumer.assignment() and position is not None:
                self.consumer.commit({claim.partition: position})

    with patch.object(Membership, "end", remember), patch.object(Membership, "commit", commit_all):
        yield


def dead_letter_skipped() -> AbstractContextManager[object]:
    """Failed messages are settled without a dead letter."""

    def bury(self: _Sinking) -> None:
        letters, self._letters = self._ours(self._letters), []
        self._done(letters)

    return patch.object(_Sinking, "_bury", bury)


def credit_returned_twice() -> AbstractContextManager[object]:
    """Credit comes back twice, as long as nobody notices."""
    settle = Demand.settle

    def twice(self: Demand, count: int, nbytes: int) -> None:
        settle(self, count, nbytes)
        if self.in_flight >= count and self.in_flight_bytes >= nbytes:
            settle(self, count, nbytes)

    return patch.object(Demand, "settle", twice)


@contextmanager
def sibling_acknowledged() -> Iterator[None]:
    """A record is acknowledged when the first of its pieces is settled."""
    release, release_run = Claim.release, Claim.release_run
    early: set[tuple[int, int]] = set()

    def release_early(self: Claim, seq: int, outcome: Any, hold: Any = None) -> Any:
        if self._pieces.pop(seq, None) is not None:
            early.add((id(self), seq))
            return release(self, seq, outcome, hold)
        return None if (id(self), seq) in early else release(self, seq, outcome, hold)

    def release_most(self: Claim, seq: int, most: int, outcome: Any, hold: Any = None) -> Any:
        if (id(self), seq) in early:
            return 1, Released(0, 0, outcome)
        return release_run(self, seq, 1, outcome, hold)

    with patch.object(Claim, "release", release_early), patch.object(Claim, "release_run", release_most):
        yield


def timer_lost_at_a_rebalance() -> AbstractContextManager[object]:
    """Messages that wait for another attempt are forgotten when some others are withdrawn."""
    withdraw = Schedule.withdraw

    def forgetful(self: Schedule, belongs: Any) -> Any:
        withdrawn = withdraw(self, belongs)
        self._later.clear()
        return withdrawn

    return patch.object(Schedule, "withdraw", forgetful)


def watermark_off_by_one() -> AbstractContextManager[object]:
    """The position to commit is the one behind the first unsettled offset."""
    position = Claim.position

    def one_more(self: Claim) -> int | None:
        found: int | None = position.__get__(self)
        return found + 1 if found is not None and self.open else found

    return patch.object(Claim, "position", property(one_more))


def retry_dropped() -> AbstractContextManager[object]:
    """A message that shall be tried again never is."""

    def put_off(self: Schedule, worker: Any, item: Any, due: float) -> None:
        self._stop(item)

    return patch.object(Schedule, "put_off", put_off)


@contextmanager
def commit_taken_for_granted() -> Iterator[None]:
    """A commit that has failed counts as one that was stored."""
    commit = Membership._commit

    def careless(self: Membership, claims: Any) -> None:
        claims = list(claims)
        positions = {claim: claim.position for claim in claims if claim.ours}
        try:
            commit(self, claims)
        finally:
            for claim, position in positions.items():
                claim.committed = position

    with patch.object(Membership, "_commit", careless):
        yield


def result_applied_twice() -> AbstractContextManager[object]:
    """What a task that ran twice has written is counted twice."""
    apply = Ledger.apply

    def again(self: Ledger, results: Results) -> None:
        before = self.nbytes
        apply(self, results)
        self.nbytes = before + sum(written.nbytes for written in results.written)

    return patch.object(Ledger, "apply", again)


def result_lost() -> AbstractContextManager[object]:
    """That results and dead letters could not be written is passed over."""
    call = Bookkeeper.__call__

    def careless(self: Bookkeeper, messages: Sequence[Any]) -> None:
        with suppress(QueueError):
            call(self, messages)

    return patch.object(Bookkeeper, "__call__", careless)


def letter_forgotten() -> AbstractContextManager[object]:
    """A chunk is reported as dead and has no dead letter."""
    return patch.object(Bookkeeper, "_letters", lambda self, message, lost: iter(()))


def failed_write_passed_over() -> AbstractContextManager[object]:
    """A chunk that could not be stored counts as written."""
    write = OpenStage.write

    def careless(self: OpenStage, *arguments: Any) -> None:
        with suppress(StoreError):
            write(self, *arguments)

    return patch.object(OpenStage, "write", careless)


def suspicion_forgotten() -> AbstractContextManager[object]:
    """A task that was in flight when a worker died is carried out as if nothing had happened."""
    return patch.object(CrashTable, "look_up", lambda self, token: None)


def part_given_again() -> AbstractContextManager[object]:
    """What an early result has given comes again with the next one."""
    return patch.object(Panes, "_reset", lambda self, pane: None)


BUGS: dict[str, tuple[str, Planted]] = {
    "commit before write": ("chain", commit_before_write),
    "revoked without draining": ("chain", revoked_without_draining),
    "losses ignored": ("chain", losses_ignored),
    "commit after lost": ("chain", commit_after_lost),
    "dead letter skipped": ("graph", dead_letter_skipped),
    "credit returned twice": ("chain", credit_returned_twice),
    "sibling acknowledged": ("graph", sibling_acknowledged),
    "timer lost at a rebalance": ("chain", timer_lost_at_a_rebalance),
    "watermark off by one": ("chain", watermark_off_by_one),
    "retry dropped": ("chain", retry_dropped),
    "commit taken for granted": ("chain", commit_taken_for_granted),
    "part given again": ("window-parts", part_given_again),
    "result applied twice": ("jobs", result_applied_twice),
    "result lost": ("jobs", result_lost),
    "letter forgotten": ("jobs", letter_forgotten),
    "failed write passed over": ("jobs", failed_write_passed_over),
    "suspicion forgotten": ("jobs", suspicion_forgotten),
}
"""By name: the scenario that finds it, and what plants it."""
