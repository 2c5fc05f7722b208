"""Letters about runs that overlap, against what is known of each chunk."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.letters import fates
from streamzarr.jobs.wire import Dead, Results, Written

CHUNKS = 12
runs = st.tuples(st.integers(0, CHUNKS - 1), st.integers(1, CHUNKS)).map(
    lambda each: range(each[0], min(CHUNKS, sum(each)))
)


def ledger_of(states):
    """Return a ledger in which each chunk is w(ritten), d(ead) or o(pen)."""
    ledger = Ledger([len(states)])
    written = tuple(Written(number, 1, 1) for number, state in enumerate(states) if state == "w")
    dead = tuple(Dead(number, 1, "E") for number, state in enumerate(states) if state == "d")
    ledger.apply(Results("j", "w", written, dead))
    return ledger


@given(st.text("wdo", min_size=CHUNKS, max_size=CHUNKS), st.lists(runs, max_size=6))
def test_a_letter_is_open_for_dead_chunks_that_no_newer_one_covers(states, letters):
    found = fates(letters, ledger_of(states))
    for place, (letter, fate) in enumerate(zip(letters, found, strict=True)):
        newer = {number for other in letters[place + 1 :] for number in other}
        own = {states[number] for number in letter if number not in newer}
        assert fate == ("open" if "d" in own else "queued" if "o" in own else "moot")
    dead = {number for number, state in enumerate(states) if state == "d"}
    covered = {number for letter in letters for number in letter}
    shown = {
        number for letter, fate in zip(letters, found, strict=True) if fate == "open" for number in letter
    }
    assert shown >= dead & covered


@given(st.text("wdo", min_size=CHUNKS, max_size=CHUNKS), st.lists(runs, max_size=6))
def test_what_is_not_known_to_be_written_is_open_where_results_were_lost(states, letters):
    ledger = ledger_of(states)
    expected = ["moot" if fate == "moot" else "open" for fate in fates(letters, ledger)]
    assert fates(letters, ledger, lost=True) == expected


def test_a_chunk_that_failed_alone_stands_in_place_of_the_letter_of_its_whole_task():
    # The first time the task could not be opened and the worker died; the second time chunk 3 failed.
    assert fates([range(8), range(3, 4)], ledger_of("wwwdwwww")) == ["moot", "open"]
    assert fates([range(3, 4), range(8)], ledger_of("dddddddd")) == ["moot", "open"]


def test_a_letter_about_numbers_that_the_job_does_not_have_is_open():
    assert fates([range(2, 4)], ledger_of("www")) == ["open"]
