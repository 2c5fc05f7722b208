"""Records that a broker refuses at first, as it does while it has yet to make their partition."""

from streamzarr.queue import NewRecord, open_broker
from streamzarr.queue.scan import scan


def test_records_of_a_new_partition_that_are_refused_at_first_are_not_lost_to_those_behind_them(
    proxied_kafka,
):
    """A broker takes records of a producer that it does not know from whatever number on (KAFKA-15591)."""
    kafka, proxy = proxied_kafka
    with open_broker(kafka.url) as broker:
        broker.create_topic("new", 1)
        with broker.producer() as producer:
            arrived = proxy.refuse("new", seconds=1.0)
            producer.send("new", [NewRecord(b"0")])
            assert arrived.wait(60)
            producer.send("new", [NewRecord(b"%d" % n) for n in range(1, 5)])
            producer.flush(60)
        assert [int(record.value) for record in scan(broker, "new")] == [0, 1, 2, 3, 4]
