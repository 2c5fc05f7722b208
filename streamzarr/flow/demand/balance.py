"""The arithmetic of demand, GenStage's (``gen_stage/lib/gen_stage/utils.ex``): pure functions over values."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from streamzarr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be in flight at once.

    Raises
    ------
    streamzarr.errors.ConfigError
        Not ``0 <= min_demand < max_demand``, or `max_bytes` below 1.
    """

    max_demand: int
    min_demand: int
    """New messages are asked for when no more than this are outstanding."""
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.max_demand < 1:
            raise ConfigError(f"Demand: max_demand is {self.max_demand}, expected at least 1")
        if not 0 <= self.min_demand < self.max_demand:
            raise ConfigError(f"Demand: min_demand is {self.min_demand}, expected 0 to {self.max_demand - 1}")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(f"Demand: max_bytes is {self.max_bytes}, expected at least 1")


@dataclass(frozen=True, slots=True)
class Balance:
    """`credit` is asked for and not delivered yet, `in_flight` is delivered and not settled yet."""

    credit: int = 0
    in_flight: int = 0
    in_flight_bytes: int = 0


def refill(credit: int, in_flight: int, bounds: Bounds) -> int:
    """Return the new credit: nothing is asked for until enough is settled to ask for much at once.

    That hysteresis is what keeps messages moving in batches: without it a full pipeline would fetch one
    message for each one that it settles. Whatever comes in, ``in_flight + credit`` never exceeds
    ``max_demand`` (or `in_flight` itself, where somebody else has raised it).

    Examples
    --------
    >>> bounds = Bounds(max_demand=10, min_demand=5)
    >>> refill(0, 6, bounds), refill(0, 5, bounds), refill(3, 2, bounds), refill(4, 9, bounds)
    (0, 5, 8, 1)
    """
    space = max(0, bounds.max_demand - in_flight)
    return space if credit + in_flight <= bounds.min_demand else min(credit, space)


def split(count: int, bounds: Bounds) -> list[int]:
    """Cut `count` messages into batches after each of which demand may be asked for again.

    A batch of ``max - min`` is the largest one whose settling alone brings the outstanding messages down to
    ``min_demand``: the next ones are fetched while the rest is being worked on.

    Examples
    --------
    >>> split(1000, Bounds(max_demand=1000, min_demand=600))
    [400, 400, 200]
    """
    step = bounds.max_demand - bounds.min_demand
    return [min(step, count - start) for start in range(0, count, step)]


def admit(
    balance: Balance, sizes: Sequence[int], bounds: Bounds, counts: Sequence[int] | None = None
) -> tuple[Balance, int]:
    """Let in as many of the messages, in order, as credit and bytes allow; return how many.

    `sizes` are their bytes, `counts` the records that each stands for (``None``: one each). A message bigger
    than ``max_bytes``, or of more records than ``max_demand``, is let in alone: else it could never travel.

    Examples
    --------
    >>> bounds = Bounds(max_demand=10, min_demand=5, max_bytes=100)
    >>> admit(Balance(credit=10), [60, 30, 20], bounds)
    (Balance(credit=8, in_flight=2, in_flight_bytes=90), 2)
    >>> admit(Balance(credit=10), [500, 1], bounds)
    (Balance(credit=9, in_flight=1, in_flight_bytes=500), 1)
    >>> admit(Balance(credit=10), [1, 1, 1], bounds, counts=[4, 4, 4])
    (Balance(credit=2, in_flight=8, in_flight_bytes=2), 2)
    """
    if counts is not None:
        return _admit_runs(balance, sizes, counts, bounds)
    count = min(balance.credit, len(sizes))
    if bounds.max_bytes is None:
        nbytes = sum(sizes[:count])
    else:
        count, nbytes = _fitting(sizes[:count], bounds.max_bytes, balance)
    if count == 0:
        return balance, 0
    return Balance(balance.credit - count, balance.in_flight + count, balance.in_flight_bytes + nbytes), count


def _fitting(sizes: Sequence[int], max_bytes: int, balance: Balance) -> tuple[int, int]:
    free = max_bytes - balance.in_flight_bytes
    nbytes = sum(sizes)
    if nbytes <= free:
        return len(sizes), nbytes
    fitting = bisect_right(list(accumulate(sizes)), free)
    if fitting == 0 and balance.in_flight == 0:
        fitting = 1  # alone
    return fitting, sum(sizes[:fitting])


def release(balance: Balance, count: int, nbytes: int, bounds: Bounds) -> Balance:
    """Take back `count` settled messages of `nbytes` in all.

    Raises
    ------
    ValueError
        More is taken back than is in flight.

    Examples
    --------
    >>> release(Balance(0, 10, 80), 5, 40, Bounds(max_demand=10, min_demand=5))
    Balance(credit=5, in_flight=5, in_flight_bytes=40)
    """
    in_flight, in_flight_bytes = balance.in_flight - count, balance.in_flight_bytes - nbytes
    if in_flight < 0 or in_flight_bytes < 0:
        raise ValueError(
            f"{count} messages of {nbytes} bytes settled, "
            f"but {balance.in_flight} of {balance.in_flight_bytes} bytes are in flight"
        )
    return Balance(refill(balance.credit, in_flight, bounds), in_flight, in_flight_bytes)


def _admit_runs(
    balance: Balance, sizes: Sequence[int], counts: Sequence[int], bounds: Bounds
) -> tuple[Balance, int]:
    fitting, nbytes = (
        (len(sizes), sum(sizes)) if bounds.max_bytes is None else _fitting(sizes, bounds.max_bytes, balance)
    )
    admitted = records = 0
    for count in counts[:fitting]:
        alone = admitted == 0 and balance.in_flight == 0
        if records + count > balance.credit and not alone:
            break
        admitted, records = admitted + 1, records + count
    nbytes = sum(sizes[:admitted])
    credit = max(0, balance.credit - records)
    return Balance(credit, balance.in_flight + records, balance.in_flight_bytes + nbytes), admitted
