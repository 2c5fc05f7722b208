"""Broker settings that both test brokers share, so that a process and a container behave alike."""

from __future__ import annotations

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # A topic that appears by mistyping its name would hide TopicNotFoundError.
    "auto.create.topics.enable": "false",
    # One node holds everything.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    # Tests kill members and wait until the others get their partitions: notice in seconds, not in 45.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.assignment.interval.ms": "0",
    # Deleted records and topics really go away while a test looks on.
    "log.segment.delete.delay.ms": "1000",
    "log.initial.task.delay.ms": "500",
}


def properties(settings: dict[str, str]) -> str:
    """Return `settings` as the text of a ``server.properties`` file."""
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Return `settings` as the variables that the ``apache/kafka`` image reads (``a.b`` is ``KAFKA_A_B``)."""
    return {f"KAFKA_{key.replace('.', '_').upper()}": value for key, value in settings.items()}
