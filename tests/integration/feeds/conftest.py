"""What tests of feeds share: a topic on a broker of each kind, with a folder for the target."""

import pytest

from tests.support.feeds import FeedBench


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bench(request, tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    if request.param == "kafka":
        url = request.getfixturevalue("kafka_broker_url")
    return FeedBench(url, tmp_path)
