"""A letter that is more than its topic takes is cut, and holds up neither its pipeline nor other letters."""

import uuid
from random import Random

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streamzarr.errors import MessageError, StoreError
from streamzarr.pipeline import Pipeline, RetryTopic
from streamzarr.queue import DeadLetterQueue, open_broker
from streamzarr.queue.deadletter import CUT_BYTES
from streamzarr.queue.kafka.clients import AdminClient
from streamzarr.queue.retry import RetryPolicy
from tests.support.pipelines import Noted, Place, until

LARGEST = {"embedded": 19_900, "kafka": 999_800}
"""Bytes of a value that a topic takes, but not with the reason of a failure added."""


class Failing(Pipeline):
    """Stores what begins with g; what begins with t may work later."""

    retry = RetryPolicy(attempts=1)

    def handle_message(self, message, context):
        if message.value.startswith(b"t"):
            raise StoreError("away")
        if not message.value.startswith(b"g"):
            raise ValueError("bad " + "x" * 500)
        context.note(context.stored, [message.value])
        return message


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def narrow(request, tmp_path):
    """A broker of each kind that takes little, and the largest value that it takes."""
    url = f"sqlite:///{tmp_path}/queue.db?max_record_bytes=20000"
    if request.param == "kafka":
        url = request.getfixturevalue("kafka_broker_url")
    with open_broker(url) as broker:
        made = Place(broker, f"pipe-{uuid.uuid4().hex[:10]}")
        yield made, LARGEST[request.param]
        made.tidy()


@pytest.fixture
def on_kafka(kafka_broker_url):
    """A broker whose topics have limits of their own."""
    with open_broker(kafka_broker_url) as broker:
        made = Place(broker, f"pipe-{uuid.uuid4().hex[:10]}")
        yield made
        made.tidy()


def bound(url, topic, nbytes):
    """Have a topic of Kafka take batches of so many bytes, at most."""
    entry = ConfigEntry("max.message.bytes", str(nbytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": url.removeprefix("kafka://")})
    [done] = client.incremental_alter_configs([resource]).values()
    done.result()


def run(place, topic, end, **options):
    noted = Noted()
    with Failing.start(source=place.source(topic), context=noted, **options):
        until(lambda: place.committed(topic) == {0: end}, "all are acknowledged")
    return noted


def check_letters(place, dead, values):
    """The letters are those of `values`, of which the large one is cut."""
    by_offset = {letter.offset: letter for letter in place.letters(dead)}
    assert {at: letter.value for at, letter in by_offset.items() if not letter.is_cut} == {
        at: value for at, value in values.items() if len(value) < 1000
    }
    [large] = [at for at, value in values.items() if len(value) >= 1000]
    cut = by_offset[large]
    assert cut.value == values[large][:CUT_BYTES]
    assert cut.headers == (("streamzarr.cut", b"%d" % len(values[large])),)
    assert cut.error_class in ("ValueError", "StoreError")


def test_a_letter_that_exceeds_the_limit_of_records_is_cut_and_the_others_are_whole(narrow):
    place, largest = narrow
    topic, dead = place.topic("in"), place.topic("dead")
    values = [b"b0", b"b" * largest, b"b2", b"g3", b"b4"]
    place.fill(topic, values)
    assert run(place, topic, 5, dead_letters=dead).stored == [b"g3"]
    check_letters(place, dead, {at: values[at] for at in (0, 1, 2, 4)})
    letters = DeadLetterQueue(place.broker, dead)
    with pytest.raises(MessageError, match=r"has only the beginning of its message.* offset 1"):
        letters.replay(entry for entry in letters.read() if entry[1].is_cut)


@pytest.mark.kafka
def test_a_letter_that_only_its_topic_refuses_is_cut_and_good_ones_of_its_batch_are_whole(
    on_kafka, kafka_broker_url
):
    place = on_kafka
    topic, dead = place.topic("in"), place.topic("dead")
    bound(kafka_broker_url, dead, 20_000)
    values = [b"b%d" % n + b"." * 900 for n in range(60)]  # too much for one batch, too
    values[41] = b"b" + Random(41).randbytes(30_000)  # which cannot be compressed
    place.fill(topic, [*values, b"good"])
    assert run(place, topic, 61, dead_letters=dead).stored == [b"good"]
    check_letters(place, dead, dict(enumerate(values)))


def test_what_is_too_large_for_a_retry_topic_is_a_letter_at_once(narrow):
    place, largest = narrow
    topic, dead, later = place.topic("in"), place.topic("dead"), place.topic("later")
    values = [b"t0", b"t" * largest]
    place.fill(topic, values)
    run(place, topic, 2, dead_letters=dead, retry_topics=[RetryTopic(later, 600)])
    [letter] = place.letters(dead)
    assert (letter.offset, letter.is_cut, letter.error_class) == (1, True, "StoreError")
    with place.broker.reader(later) as reader:
        assert {record.value for record in reader.poll(10, 10.0)} == {b"t0"}


@pytest.mark.kafka
def test_letters_wait_while_their_topic_takes_none_at_all(on_kafka, kafka_broker_url):
    place = on_kafka
    topic, dead = place.topic("in"), place.topic("dead")
    bound(kafka_broker_url, dead, 100)
    place.fill(topic, [b"b0", b"g1"])
    noted = Noted()
    with Failing.start(source=place.source(topic), dead_letters=dead, context=noted):
        until(lambda: noted.stored == [b"g1"])
        until(lambda: place.ahead(topic) == 1, "the good one is acknowledged")
        assert place.letters(dead) == []
        bound(kafka_broker_url, dead, 100_000)
        until(lambda: place.committed(topic) == {0: 2}, "both are acknowledged")
    assert [letter.value for letter in place.letters(dead)] == [b"b0"]
