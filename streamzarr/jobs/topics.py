"""The topics that chunk jobs share, all named from one prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamzarr.errors import ConfigError
from streamzarr.hints import DEFAULT_PREFIX
from streamzarr.queue.base import Broker
from streamzarr.queue.deadletter import dead_letter_topic

_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")
DEFAULT_PARTITIONS = 16
"""Partitions of a new tasks topic: the most worker processes that can share it."""


@dataclass(frozen=True, slots=True)
class JobTopics:
    """Names of the topics and the consumer group of one set of workers.

    Raises
    ------
    streamzarr.errors.ConfigError
        The prefix can begin no topic's name.

    Examples
    --------
    >>> JobTopics("lab").tasks
    'lab.tasks'
    """

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix):
            raise ConfigError(
                f"prefix is {self.prefix!r:.80}, expected 1 to 200 letters, digits, '.', '_' or '-'"
            )

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
