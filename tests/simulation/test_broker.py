"""The simulated broker is a broker: it passes the suite of brokers, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from streamzarr.testing.brokers import BrokerSuite
from streamzarr.testing.simulation.broker import SimulatedBroker
from streamzarr.testing.simulation.cluster import Cluster
from streamzarr.testing.simulation.faults import Faults
from streamzarr.testing.simulation.kernel import Kernel
from streamzarr.testing.simulation.runtime import SimulatedRuntime


class TestSimulatedBroker(BrokerSuite):
    patience: ClassVar[float] = 20.0

    @pytest.fixture
    def broker(self) -> Iterator[SimulatedBroker]:
        kernel = Kernel(1, max_seconds=1e9, max_steps=10**9)
        with kernel.running():
            yield SimulatedBroker(Cluster(SimulatedRuntime(kernel, 1), Faults(), 1))

    # These use threads and processes of the machine, or its clock.
    test_many_producers = None
    test_a_producer_shared_by_threads = None
    test_a_killed_member_is_replaced_and_what_it_did_not_commit_comes_again = None
    test_a_broker_travels_by_its_url = None
    test_a_timestamp_is_given_when_absent = None
    test_a_reader_waits_for_new_records = None
