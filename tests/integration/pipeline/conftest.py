"""Pipelines on real brokers of both kinds."""

import uuid

import pytest

from streamzarr.queue import open_broker
from tests.support.pipelines import Place


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request, tmp_path):
    """A broker of each kind, with names of its own for topics and groups."""
    url = f"sqlite:///{tmp_path}/queue.db"
    if request.param == "kafka":
        url = request.getfixturevalue("kafka_broker_url")
    with open_broker(url) as broker:
        made = Place(broker, f"pipe-{uuid.uuid4().hex[:10]}")
        yield made
        made.tidy()
