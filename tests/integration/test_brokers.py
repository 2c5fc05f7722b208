"""The one suite of brokers, on each broker."""

import pytest

from streamzarr.queue import open_broker
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.broker_fetching import FetchingCases
from streamzarr.testing.brokers import BrokerSuite


class TestEmbedded(BrokerSuite):
    session_timeout = 0.5

    @pytest.fixture
    def broker(self, tmp_path):
        with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
            yield broker


class TestFake(FetchingCases):
    """The fake one has no members that share, but it fetches as the others do."""

    @pytest.fixture
    def broker(self):
        return FakeBroker()


@pytest.mark.kafka
class TestKafka(BrokerSuite):
    @pytest.fixture
    def broker(self, kafka_broker_url):
        with open_broker(kafka_broker_url) as broker:
            yield broker
