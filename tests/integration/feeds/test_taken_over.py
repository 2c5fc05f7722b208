"""A stream that somebody takes over though the group has given its partition to us, and keeps it with us.

Members of a Kafka group that join at once may both be given a partition: the one that hears of it late takes
over the stream of the other, learns that it is not its own, and is silent from then on.
"""

import contextlib

import pytest

from streamzarr.errors import FencedError, NodeNotFoundError
from streamzarr.stream import StreamWriter
from tests.support.feeds import FeedBench, until

SESSION = 1.0


@pytest.fixture
def bench(tmp_path):
    return FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1, session_timeout=SESSION)


def rows(bench):
    with contextlib.suppress(NodeNotFoundError):
        return bench.streams()["p00000"].rows
    return 0


def take_over(bench):
    StreamWriter(bench.target, "p00000", source=bench.streams()["p00000"].record.source)


@pytest.mark.parametrize("more", [0, 2], ids=["and nothing more comes", "and more comes"])
def test_what_was_taken_over_in_passing_is_taken_back(bench, more):
    bench.ticks(3)
    with bench.running() as ended:
        until(lambda: rows(bench) == 3, "the first rows")
        take_over(bench)
        bench.ticks(2, start=3)  # taken, and refused when it is committed: nothing of it is left in the chain
        until(lambda: bench.streams()["p00000"].record.epoch == 3, "the way back")
        bench.ticks(more, start=5)
        until(lambda: rows(bench) == 5 + more, "the rows that were refused")
        assert not ended
    assert bench.report(ended).left == 0
    assert bench.streams()["p00000"]["n"][:].tolist() == list(range(5 + more))


def test_who_takes_over_again_is_outside_of_the_group_and_breaks_the_chain(bench):
    bench.ticks(3)
    with bench.running() as ended:
        until(lambda: rows(bench) == 3, "the first rows")
        for number in (3, 4):
            until(lambda number=number: rows(bench) == number, "the way back")
            take_over(bench)
            bench.ticks(1, start=number)
        until(lambda: ended, "the end of the feed")
    with pytest.raises(FencedError, match="outside of the group"):
        bench.report(ended)
    assert rows(bench) == 4
    assert bench.ingest().delivered == 1  # whoever starts anew takes it back
    assert bench.streams()["p00000"]["n"][:].tolist() == list(range(5))
