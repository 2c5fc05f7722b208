"""The topics that chunk jobs share, all named from one prefix."""

from __future__ import annotations

from dataclasses import dataclass

from streamzarr.queue.base import Broker
from streamzarr.queue.deadletter import dead_letter_topic

DEFAULT_PREFIX = "streamzarr"
DEFAULT_PARTITIONS = 16
"""Partitions of a new tasks topic: the most worker processes that can share it."""


@dataclass(frozen=True, slots=True)
class JobTopics:
    """Names of the topics and the consumer group of one set of workers.

    Examples
    --------
    >>> JobTopics("lab").tasks
    'lab.tasks'
    """

    prefix: str = DEFAULT_PREFIX

    @property
    def tasks(self) -> str:
        """Work: one record a task, spread over all partitions."""
        return f"{self.prefix}.tasks"

    @property
    def dead(self) -> str:
        """Tasks that failed for good."""
        return dead_letter_topic(self.tasks)

    @property
    def results(self) -> str:
        """What became of the tasks; one partition, in the order in which workers settled them."""
        return f"{self.prefix}.results"

    @property
    def jobs(self) -> str:
        """The register of jobs: submitted, cancelled, resumed."""
        return f"{self.prefix}.jobs"

    @property
    def group(self) -> str:
        """The workers' consumer group."""
        return f"{self.prefix}.workers"

    def ensure(self, broker: Broker, *, partitions: int = DEFAULT_PARTITIONS) -> None:
        """Create the topics that are missing; a tasks topic that is there keeps its partitions."""
        there = set(broker.topics())
        wanted = {self.tasks: partitions, self.dead: 1, self.results: 1, self.jobs: 1}
        for topic, count in wanted.items():
            if topic not in there:
                broker.create_topic(topic, count, exist_ok=True)
