"""Tasks on their way out: what is open, cut at the edges of blocks, as records."""

from itertools import islice

import msgspec
import pytest

from streamzarr.jobs.emit import TaskEncoder
from streamzarr.jobs.ledger import TO_DO, Ledger
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.wire import Layout, Results, Stage, Written, decode_task, task_of


def stage(shape, block=()):
    layout = Layout(shape, (1,) * len(shape), "<f4", 3, msgspec.Raw(b"[]"))
    return Stage("copy", "file:///s", "file:///t", layout, block=block)


PLAN = Numbering.of([stage((5,)), stage((4, 6), (2, 4))])


@pytest.mark.parametrize(
    ("run", "chunk", "partition"),
    [
        (range(3, 4), (3,), 9),  # the fourth of the first stage
        (range(5, 13), (0, 0), 7),  # the first block of the second
        (range(7, 8), (0, 2), 7),
        (range(17, 25), (2, 0), 8),
        (range(28, 29), (3, 5), 9),
    ],
)
def test_a_record_says_which_chunks_and_goes_where_the_turn_of_their_block_is(run, chunk, partition):
    record = TaskEncoder("01M7", PLAN, (7, 6, 8, 9)).record(run)
    task = decode_task(record.value)
    assert (task.numbers, task.chunk, task_of(record.headers)) == (run, chunk, ("01M7", run))
    assert record.partition == partition


def test_no_two_tasks_have_one_key():
    encoder = TaskEncoder("01M7", PLAN, (0,))
    runs = [range(first, end) for first in range(5, 13) for end in range(first + 1, 14)]
    assert len({encoder.record(run).key for run in runs}) == len(runs)


def test_what_is_open_of_a_huge_job_is_looked_at_little_ahead():
    plan = Numbering.of([stage((10**6, 10**5), (64, 64))])
    ledger = Ledger(plan.ends)
    ledger.apply(Results("j", "w", written=(Written(4096, 1, 4, 4000), Written(9000, 1, 4, 10))))
    runs = plan.runs(ledger.runs_in(plan.span(0), *TO_DO))
    assert list(islice(runs, 4)) == [range(4096), range(8096, 8192), range(8192, 9000), range(9010, 12288)]
