"""Members that join at once, far from their broker: no partition is with two of them."""

import threading
import uuid

import pytest

from streamzarr.queue import open_broker
from tests.kafka.process import KafkaProcess, missing
from tests.support.far import Far
from tests.support.feeds import until

pytestmark = pytest.mark.kafka

SECONDS = 0.1
GROUPS = 6
"""Without a mend, two of three joins give a partition to both."""
PARTITIONS = 4


class Owners:
    """Who has which partition, and those that somebody was given while another had them."""

    def __init__(self):
        self.of, self.twice = {}, []
        self._lock = threading.Lock()

    def listener(self, name):
        owners = self

        class Member:
            def on_assigned(self, partitions):
                with owners._lock:
                    for each in partitions:
                        if owners.of.setdefault(each, name) != name:
                            owners.twice.append(each)
                threading.Event().wait(3 * SECONDS)  # so long it takes to begin

            def on_revoked(self, partitions):
                with owners._lock:
                    for each in partitions:
                        if owners.of.get(each) == name:
                            del owners.of[each]

            on_lost = on_revoked

        return Member()


@pytest.fixture
def broker():
    if what := missing():
        pytest.skip(f"needs {what}")
    with Far(SECONDS) as way:
        process = KafkaProcess(advertised=way.address)
        host, _, port = process.bootstrap.partition(":")
        way.upstream = host, int(port)
        with process, open_broker(f"kafka://{way.address}?group.protocol=consumer") as broker:
            yield broker


def test_no_partition_is_with_two_members(broker):
    topic = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(topic, PARTITIONS)
    for number in range(GROUPS):
        owners, ended = Owners(), threading.Event()

        def member(name, wait, group=f"{topic}.{number}", owners=owners, ended=ended):
            ended.wait(wait)
            with broker.consumer([topic], group, listener=owners.listener(name)) as consumer:
                while not ended.is_set():
                    consumer.poll(0, 0.05)

        threads = [
            threading.Thread(target=member, args=(name, wait))
            for name, wait in (("one", 0.0), ("other", 0.02 * number))
        ]
        for each in threads:
            each.start()
        try:
            until(lambda owners=owners: sorted(owners.of.values()) == ["one"] * 2 + ["other"] * 2)
        finally:
            ended.set()
            for each in threads:
                each.join()
        assert owners.twice == []
