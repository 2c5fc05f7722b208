"""The one suite of brokers, once more: the other way to run Kafka, the other group protocol, no extension.

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


@pytest.mark.kafka
class TestWithoutTheExtension(BrokerSuite):
    """Records by confluent-kafka's messages, as where no compiler was."""

    @pytest.fixture
    def broker(self, kafka_broker_url, monkeypatch):
        monkeypatch.setenv("STREAMZARR_NO_EXTENSIONS", "1")
        with open_broker(kafka_broker_url) as broker:
            yield broker
