import math
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.queue.outage import GRACE_SECONDS, REPEAT_SECONDS, Contact, Outage
from tests.support.clockwork import Clockwork


def test_one_line_when_it_goes_one_a_minute_one_when_it_is_back():
    it = Outage()
    said = [now for now in range(600) if it.failed(now / 2) is not None]
    assert said == [0, 120, 240, 360, 480]
    assert it.over(300.0) == 300.0
    assert it.over(301.0) is None


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=200))
def test_lines_are_never_closer_than_a_minute_and_never_forgotten(events):
    it, now, away, said, ended = Outage(), 0.0, False, 0.0, -math.inf
    for step, fails in events:
        now += step
        if fails:
            line = it.failed(now)
            if not away:
                assert line == (None if now - ended < GRACE_SECONDS else 0.0)
                away = line is not None
            else:
                assert (line is not None) == (now - said >= REPEAT_SECONDS)
            if line is not None:
                said = now
        else:
            assert (it.over(now) is not None) == away
            ended = now if away else ended
            away = False


@pytest.fixture
def clock():
    return Clockwork()


def test_a_contact_says_it_without_secrets(clock, caplog):
    contact = Contact("kafka://host:9092?sasl.password=geheim", clock)
    for _ in range(500):
        contact.failed("Connection refused")
        clock.time += 0.25
    contact.reached()
    contact.reached()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert "cannot be reached, trying again: Connection refused" in lines[0]
    assert "for 60 s" in lines[1]
    assert "for 120 s" in lines[2]
    assert "reached again, after 125 s" in lines[3]
    assert "geheim" not in caplog.text


def test_that_failures_cease_is_no_end(clock, caplog):
    """Perhaps nobody has asked: only what comes from there says that it is back."""
    contact = Contact("kafka://host:9092", clock)
    contact.failed("Connection refused")
    for _ in range(10):
        clock.time += 1000.0
        assert contact.away
    assert len(caplog.records) == 1
    contact.reached()
    assert not contact.away
    assert [record.getMessage() for record in caplog.records][1:] == [
        "kafka://host:9092 is reached again, after 10000 s"
    ]


def test_it_is_back_when_all_who_waited_for_it_are_served(clock, caplog):
    contact = Contact("/disk", clock)
    contact.failed("full", "large")
    contact.failed("full", "small")
    contact.reached("small")
    contact.reached("other")
    assert contact.away
    contact.reached("large")
    assert not contact.away
    clock.time += GRACE_SECONDS
    contact.failed("full", "large")
    contact.gone("large")
    assert contact.away
    contact.reached("other")
    assert not contact.away
    clock.time += GRACE_SECONDS
    contact.failed("full", "large")
    contact.reached()
    assert not contact.away
    assert len(caplog.records) == 6


@pytest.mark.parametrize("answered", [True, False, None])
def test_an_answer_of_a_cluster_says_that_it_is_there(answered, monkeypatch, caplog):
    admin = pytest.importorskip("streamzarr.queue.kafka.admin")
    config = pytest.importorskip("streamzarr.queue.kafka.config").KafkaConfig.parse("kafka://host:9092")
    coming = Future()

    class Client:
        def describe_topics(self, *_, **__):
            return {"t": coming}

        def poll(self, _):
            pass

    monkeypatch.setattr(admin.KafkaAdmin, "_client", lambda _: Client())
    admin.KafkaAdmin(config).describe_soon(["t"])
    config.contact.failed("Connection refused")
    if answered:
        coming.set_result("it")
    elif answered is None:  # what confluent-kafka makes of a leader that says nothing in time
        coming.set_result(SimpleNamespace(offset=-1001))
    else:
        coming.set_exception(RuntimeError("timed out"))
    assert config.contact.away == (not answered)


def test_what_librdkafka_says_of_a_server_that_is_away_is_left_to_the_contact(caplog):
    config = pytest.importorskip("streamzarr.queue.kafka.config")
    log = config.KafkaConfig.parse("kafka://host:9092").log
    for _ in range(100):
        log.log(3, "%s [%s] %s", "FAIL", "rdkafka#consumer-1", "host:9092: Connect to host failed: refused")
        log.log(3, "%s [%s] %s", "ERROR", "rdkafka#producer-2", "1/1 brokers are down")
    log.log(40, "%s [%s] %s", "MAXPOLL", "rdkafka#consumer-1", "Application maximum poll interval exceeded")
    said = "Failed to acquire idempotence PID from broker 1: Broker: Coordinator load in progress: retrying"
    config.KafkaConfig.parse("kafka://other:9092").log.log(4, "%s [%s] %s", "GETPID", "rdkafka#1", said)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "kafka://host:9092 cannot be reached, trying again" in lines[0]
    assert "maximum poll interval" in lines[1]


def test_an_offset_that_no_leader_has_told_is_none():
    admin = pytest.importorskip("streamzarr.queue.kafka.admin")
    with pytest.raises(Exception, match=r"timed out|TIMED_OUT"):
        admin.offset_of(SimpleNamespace(offset=-1001))
    assert admin.offset_of(SimpleNamespace(offset=-1)) == -1  # none is that late
