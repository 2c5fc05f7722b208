"""Apache Kafka through confluent-kafka (librdkafka): ``kafka://host:9092[,host:9092]?option=value``.

What librdkafka logs goes to ``logging.getLogger("streamzarr.queue.kafka")``.
"""

from streamzarr.queue.kafka.broker import KafkaBroker

__all__ = ["KafkaBroker"]
