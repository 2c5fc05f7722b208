"""URLs of Kafka brokers; needs no broker."""

import pickle  # noqa: TID251 - multiprocessing does

import pytest

from streamzarr.errors import ConfigError
from streamzarr.queue import open_broker
from streamzarr.queue.kafka.config import OURS, KafkaConfig


def test_servers_options_and_our_own_options():
    config = KafkaConfig.parse(
        "kafka://a:9092,b,[::1]:9093?request_timeout=2.5&group.protocol=classic&security.protocol=SSL"
    )
    assert config.servers == "a:9092,b:9092,[::1]:9093"
    assert (config.request_timeout, config.group_protocol) == (2.5, "classic")
    assert config.options == {"security.protocol": "SSL"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://", "host:9092"),
        ("kafka://h:0", "'h:0'"),
        ("kafka://h:99999", "host:port"),
        ("kafka://h:9092,,", "host:port"),
        ("kafka://h/topic", "host:9092"),
        ("kafka://user:secret@h", "sasl.username"),
        ("kafka://h?no.such.option=1", "no.such.option"),
        ("kafka://h?linger.ms=soon", "Invalid value"),
        ("kafka://h?group.protocol=other", "classic or consumer"),
        ("kafka://h?request_timeout=0", "request_timeout"),
        ("kafka://h?request_timeout=nan", "request_timeout"),
        ("kafka://h?security.protocol=SASL_SSL&sasl.mechanism=FOO", "FOO"),
        *((f"kafka://h?{name}=1", name) for name in OURS),
    ],
)
def test_what_a_url_may_not_say(url, says):
    with pytest.raises(ConfigError) as caught:
        open_broker(url)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_passwords_are_in_the_url_only():
    url = "kafka://h?sasl.username=me&sasl.password=secret&security.protocol=SASL_SSL&sasl.mechanism=PLAIN"
    broker = open_broker(url)
    assert "secret" not in repr(broker)
    assert "secret" not in repr(KafkaConfig.parse(url))
    assert pickle.loads(pickle.dumps(broker)).url == url


def test_a_url_tunes_every_kind_of_client_but_not_what_promises_depend_on():
    config = KafkaConfig.parse("kafka://h?linger.ms=50&queued.max.messages.kbytes=100")
    assert config.producer()["linger.ms"] == "50"
    assert config.consumer("g", "classic", 10.0, 300.0)["queued.max.messages.kbytes"] == "100"
    assert config.producer()["enable.idempotence"] is True
    assert config.reader("g")["auto.offset.reset"] == "error"


def test_a_classic_member_beats_several_times_a_session():
    member = KafkaConfig.parse("kafka://h").consumer("g", "classic", 10.0, 300.0)
    assert member["session.timeout.ms"] >= 5 * member["heartbeat.interval.ms"]
    assert member["partition.assignment.strategy"] == "cooperative-sticky"


def test_a_kip_848_member_leaves_sessions_to_the_cluster():
    member = KafkaConfig.parse("kafka://h").consumer("g", "consumer", 10.0, 300.0)
    assert member["group.protocol"] == "consumer"
    assert not {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"} & set(member)
