"""Whether the topics that a consumer reads are still the ones that it joined for.

A topic that is deleted and made again under its name has offsets that begin again. A member by the classic
protocol is told nothing of it: it would go on at its old position, past the first records of the new topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException

from streamzarr.errors import TopicReplacedError
from streamzarr.queue.kafka.admin import KafkaAdmin

LOOK_SECONDS: Final = 2.0
"""Between two looks, each of which is one small request that nobody waits for."""


class Identities:
    """The ids of topics, looked at again and again. Owned by one thread; does not block."""

    def __init__(self, admin: KafkaAdmin, ids: Mapping[str, str]) -> None:
        self._admin = admin
        self._ids = ids
        self._asked: Mapping[str, Future[Any]] = {}
        self._next = admin.config.runtime.now() + LOOK_SECONDS

    def look(self) -> TopicReplacedError | None:
        """Return the error when a topic is not the one of before any more.

        A topic that is not there, or a cluster that does not answer, is told of by those who read.
        """
        now = self._admin.config.runtime.now()
        if now < self._next:
            return None
        if not self._asked:
            self._asked = self._admin.describe_soon(list(self._ids))
            return None
        if not all(answer.done() for answer in self._asked.values()):
            return None
        asked, self._asked, self._next = self._asked, {}, now + LOOK_SECONDS
        for topic, answer in asked.items():
            try:
                found = str(answer.result().topic_id)
            except KafkaException:
                continue
            if found != self._ids[topic]:
                return TopicReplacedError(str(self._admin.config), topic)
        return None
