"""How a transactional writer tells that another one has taken its name; needs no broker."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import FencedError, QueueError
from streamzarr.queue import NewRecord
from streamzarr.queue.kafka import atomic
from streamzarr.queue.kafka.config import KafkaConfig


def error(code, **kind):
    return KafkaException(KafkaError(code, **kind))


class Client:
    """A transactional producer that does as a test says."""

    def __init__(self, settings, logger):
        self.refusals = {}
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.calls.append(name)
            if name in self.refusals:
                raise self.refusals[name]

        return call


@pytest.fixture
def writer(monkeypatch):
    monkeypatch.setattr(atomic, "Client", Client)
    admin = SimpleNamespace(config=KafkaConfig.parse("kafka://h"), partitions=lambda topic: [0])
    return atomic.KafkaAtomicWriter(admin, "w")


UNCLEAR = error(KafkaError.UNKNOWN, txn_requires_abort=True)


@pytest.mark.parametrize("code", [KafkaError._FENCED, KafkaError.PRODUCER_FENCED])
def test_who_is_refused_without_a_reason_and_may_not_abort_is_fenced(writer, code):
    writer._handle.client.refusals = {"commit_transaction": UNCLEAR, "abort_transaction": error(code)}
    with pytest.raises(FencedError, match="there is a newer one"):
        writer.write([("t", NewRecord(b"v"))])
    with pytest.raises(QueueError, match="has failed"):
        writer.write([("t", NewRecord(b"v"))])


@pytest.mark.parametrize("aborting", [{}, {"abort_transaction": error(KafkaError._STATE)}])
def test_who_may_abort_is_told_what_was_wrong(writer, aborting):
    writer._handle.client.refusals = {"commit_transaction": UNCLEAR, **aborting}
    with pytest.raises(QueueError, match="UNKNOWN") as told:
        writer.write([("t", NewRecord(b"v"))])
    assert not isinstance(told.value, FencedError)
    assert writer._handle.client.calls[-1] == "abort_transaction"


def test_who_need_not_abort_does_not(writer):
    writer._handle.client.refusals = {"commit_transaction": error(KafkaError.PRODUCER_FENCED)}
    with pytest.raises(FencedError):
        writer.write([("t", NewRecord(b"v"))])
    assert "abort_transaction" not in writer._handle.client.calls
