"""Messages charged with what they hold in memory."""

import math

import numpy as np
import pytest

from streamzarr.flow import Demand, from_iterable, ops, run


def test_decoded_data_count_and_nothing_new_enters_until_they_fit():
    demand, seen = Demand(100, max_bytes=1000), []
    chain = from_iterable([b"x" * 10] * 50, demand, batch=1).pipe(
        ops.map(lambda data: data * 40),
        ops.charge(len),
        ops.map_messages(lambda m: seen.append((demand.in_flight, demand.in_flight_bytes, m.nbytes)) or m),
        ops.batch(size=20),
        ops.settle(),
    )
    assert run(chain).ok == 50
    assert {nbytes for _, _, nbytes in seen} == {400}
    assert max(total for _, total, _ in seen) <= 1000 + 400
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)


def test_a_size_that_cannot_be_told_fails_its_message():
    chain = from_iterable(["ab", 3, "c"], Demand(9)).pipe(
        ops.charge(len, stage="size"), ops.charge(lambda data: -1 if data == "c" else 1), ops.settle()
    )
    report = run(chain)
    assert (report.ok, report.failed) == (1, 2)


def test_pieces_share_the_bytes_of_their_record_and_may_be_charged_each():
    demand, peak = Demand(9, max_bytes=10_000), []
    chain = from_iterable([b"x" * 10], demand).pipe(
        ops.broadcast({"a": [ops.charge(lambda data: 100)], "b": [], "c": [ops.charge(lambda data: 0)]}),
        ops.map_messages(lambda m: peak.append(demand.in_flight_bytes) or m),
        ops.settle(),
    )
    assert run(chain).ok == 1
    assert max(peak) == 106
    assert demand.in_flight_bytes == 0


def test_credit_that_is_all_held_by_grown_data_does_not_deadlock():
    demand = Demand(100, max_bytes=100)
    chain = from_iterable([b"x" * 10] * 30, demand).pipe(
        ops.map(lambda data: data * 100), ops.charge(len), ops.batch(size=1000), ops.settle()
    )
    assert run(chain).ok == 30


@pytest.mark.parametrize("size", [0.5, math.nan, "9", None, -1, np.float64(2)])
def test_a_size_that_is_no_number_of_bytes_fails_its_message(size):
    demand, letters = Demand(10, max_bytes=10), []
    chain = from_iterable(range(20), demand).pipe(
        ops.charge(lambda data: size, stage="size"), ops.settle(dead_letters=letters.extend)
    )
    assert run(chain).failed == 20
    assert str(letters[0].failure.error) == f"size returned {size!r} bytes, expected an integer of at least 0"
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)


@pytest.mark.parametrize("size", [True, np.int32(1), np.uint8(1)])
def test_a_size_is_charged_as_a_plain_number(size):
    sizes = []
    chain = from_iterable(range(5), Demand(2, max_bytes=10)).pipe(
        ops.charge(lambda data: size), ops.settle(lambda messages: sizes.extend(m.nbytes for m in messages))
    )
    assert run(chain).ok == 5
    assert sizes == [1] * 5
    assert {type(nbytes) for nbytes in sizes} == {int}
