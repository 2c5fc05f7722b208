"""Decoding on a thread of its own: in order, beside the fetching, and nothing is lost that it cannot do."""

import threading

import numpy as np
import pytest
import reactivex.operators as rx

from streamzarr.errors import SchemaRegistryError
from streamzarr.feeds.beside import decoding
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.base import Decoded, TooMuchError
from streamzarr.feeds.rows import Pieces, Undecoded
from streamzarr.flow import Demand, Stop, from_topic_columns, ops, run
from streamzarr.testing.broker_fake import FakeBroker

COLUMNS = {"n": ColumnSpec("n", "i8")}


class Plain:
    """Decodes numbers; notes on which threads. What `odd` does with a batch that holds a 7 comes instead."""

    def __init__(self, unlocked, threads, odd=None):
        self.unlocked, self._threads, self._odd = unlocked, threads, odd

    def __call__(self, values):
        self._threads.append(threading.get_ident())
        numbers = np.array([int(value) for value in values])
        if self._odd is not None and 7 in numbers:
            self._odd(numbers)
        return Decoded({"n": numbers}, None, {})


def ingest(count, decoder, runs=5):
    """Return what comes out of a topic of the numbers up to `count`, and the letters."""
    broker, stop = FakeBroker(), Stop()
    broker.create_topic("t")
    broker.append("t", 0, *(b"%d" % number for number in range(count)))
    out, letters = [], []

    def seen(batch):
        if sum(len(data.run) for data in out) + len(letters) >= count:
            stop.drain(5.0)
        return batch

    demand = Demand(max(2, 2 * count // runs))
    chain = from_topic_columns(broker, "t", group="g", demand=demand, stop=stop).pipe(
        decoding(COLUMNS, decoder),
        ops.settle(
            lambda messages: out.extend(message.data for message in messages), dead_letters=letters.extend
        ),
        rx.map(seen),
    )
    run(chain, stop=stop)
    return out, letters


def numbers_of(out):
    return [int(number) for rows in out for number in rows.columns["n"]]


def test_runs_are_decoded_on_one_other_thread_and_keep_their_order():
    threads = []
    out, _ = ingest(100, lambda: Plain(True, threads))
    assert numbers_of(out) == list(range(100))
    assert len(out) > 1
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


def test_what_needs_the_interpreters_lock_stays_on_the_chains_thread():
    threads = []
    out, _ = ingest(100, lambda: Plain(False, threads))
    assert numbers_of(out) == list(range(100))
    assert set(threads) == {threading.get_ident()}


def test_json_is_decoded_beside_where_pyarrow_parses_it():
    assert open_decoder("json", COLUMNS).unlocked
    assert not open_decoder("json", COLUMNS, arrow=False).unlocked
    assert not getattr(open_decoder("struct", COLUMNS), "unlocked", False)


def test_of_a_run_that_raises_only_the_bad_record_becomes_a_letter():
    def refuse(numbers):
        raise ValueError(f"no {len(numbers)}")

    out, letters = ingest(100, lambda: Plain(True, [], refuse))
    assert sorted(numbers_of(out)) == [number for number in range(100) if number != 7]
    assert [(letter.record.offset, str(letter.failure.error)) for letter in letters] == [(7, "no 1")]


@pytest.mark.parametrize(
    ("odd", "kind"), [(TooMuchError("too much"), Pieces), (SchemaRegistryError("is away"), Undecoded)]
)
def test_what_waits_or_is_too_much_at_a_time_is_left_to_the_chain(odd, kind):
    def raises(_):
        raise odd

    out, letters = ingest(4, lambda: Plain(True, [], raises))
    assert numbers_of(out) == [0, 1, 2, 3]
    assert not letters
    out, letters = ingest(10, lambda: Plain(True, [], raises), runs=1)
    assert [type(data) for data in out] == [kind]
    assert not letters
