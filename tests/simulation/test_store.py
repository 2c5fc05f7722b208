"""The simulated store is a store: it passes the suite of stores, in virtual time; and its faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamzarr.errors import PreconditionFailedError, StoreError
from streamzarr.stores import Store, split_url
from streamzarr.testing.simulation.faults import Fault, Faults
from streamzarr.testing.simulation.kernel import Kernel
from streamzarr.testing.simulation.runtime import SimulatedRuntime
from streamzarr.testing.simulation.store import Disks
from streamzarr.testing.stores import StoreSuite


@pytest.fixture
def disks() -> Iterator[Callable[..., Disks]]:
    kernel = Kernel(1, max_seconds=1e9, max_steps=10**9)
    with kernel.running():
        yield lambda *faults: Disks(SimulatedRuntime(kernel, 1), Faults(faults), 1)


class TestSimulatedStore(StoreSuite):
    picklable = False

    @pytest.fixture
    def store(self, disks: Callable[..., Disks]) -> Store:
        return disks().open(split_url("sim://data"))

    # These use threads or processes of the machine, or open the URL again.
    test_concurrent_creators_have_one_winner = None
    test_concurrent_puts_are_never_torn = None
    test_concurrent_updaters_lose_no_update = None
    test_writers_and_deleters_of_one_directory_do_not_disturb_each_other = None
    test_url_opens_it_again = None


def test_a_lost_answer_leaves_the_value_behind(disks: Callable[..., Disks]) -> None:
    store = disks(Fault("write", 1, "lose")).open(split_url("sim://data"))
    with pytest.raises(StoreError, match="no answer"):
        store.put("a", b"1", if_none_match=True)
    assert store.get("a") == b"1"
    with pytest.raises(PreconditionFailedError):
        store.put("a", b"1", if_none_match=True)


def test_a_refused_write_leaves_nothing(disks: Callable[..., Disks]) -> None:
    store = disks(Fault("write", 1, "refuse")).open(split_url("sim://data"))
    with pytest.raises(StoreError, match="connection reset"):
        store.put("a", b"1")
    assert list(store.list()) == []


def test_a_full_disk_has_room_again_later(disks: Callable[..., Disks]) -> None:
    made = disks(Fault("write", 1, "full", 10.0))
    store = made.open(split_url("sim://data"))
    for _ in range(2):
        with pytest.raises(StoreError, match="no space left"):
            store.put("a", b"1")
    made.runtime.bell().wait(11.0)
    store.put("a", b"1")


def test_what_is_written_stays_for_other_processes(disks: Callable[..., Disks]) -> None:
    made = disks()
    made.open(split_url("sim://data/x")).put("a", b"1")
    assert made.open(split_url("sim://data")).get("x/a") == b"1"
    assert made.contents("data").get("x/a") == b"1"
