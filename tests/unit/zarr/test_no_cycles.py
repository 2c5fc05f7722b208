"""What fails on several threads lets go of all that it worked on: nothing waits for the garbage collector."""

import gc
import threading
import weakref

import pytest

from streamzarr.stores.parallel import in_parallel
from streamzarr.zarr.chunks.parallel import for_each, hand_over


class Block:
    """Large, and to be gone."""


@pytest.mark.parametrize("share_out", [for_each, hand_over, in_parallel])
@pytest.mark.parametrize("failing", [range(1), range(20), range(15, 20)], ids=str)
def test_nothing_is_kept_by_an_error_that_was_caught(share_out, failing):
    gone = threading.Event()
    gc.collect()
    gc.disable()
    try:
        fail(share_out, failing, gone)
        assert gone.wait(20)
    finally:
        gc.enable()


def fail(share_out, failing, gone):
    block = Block()
    weakref.finalize(block, gone.set)

    def work(number, block=block):
        if number in failing:
            raise ValueError(number)

    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        share_out(work, range(20), 4)
