"""The one suite of brokers, once more: the other way to run Kafka and the other group protocol.

In ``tests/integration/test_brokers.py`` it runs with the groups that the cluster prefers, and in a container
where there is Docker.
"""

import pytest

from streamzarr.queue import open_broker
from streamzarr.testing.brokers import BrokerSuite


@pytest.mark.kafka
class TestClassicGroupsOnAProcess(BrokerSuite):
    @pytest.fixture
    def broker(self, kafka_process):
        with open_broker(f"{kafka_process.url}?group.protocol=classic") as broker:
            yield broker
