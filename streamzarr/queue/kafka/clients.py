"""librdkafka's clients, such that a fork does no harm.

Destroying a client joins its threads. In a forked child they do not exist, and the join crashes or never
returns. So a child keeps all clients of its parent for ever. Which there are is known of the clients
themselves: one that its owner has given up may live on in a traceback, in garbage, or in what belongs to
another thread, which Python clears in the child before anybody else has a say.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import confluent_kafka
from confluent_kafka import KafkaException, admin
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.queue.kafka.extension import extension
from streamzarr.runtime import SYSTEM, Deadline

if TYPE_CHECKING:
    from streamzarr.queue.kafka import _intake

_LOOK_UP_SECONDS: Final = 5.0
_living: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
_held: Final[list[list[Any]]] = []
"""What lives, once for each fork under way."""


class _Kept:
    """A client that forked children keep."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _living[id(self)] = self


class AdminClient(_Kept, admin.AdminClient):
    """librdkafka's client for questions and orders to the cluster."""


class Consumer(_Kept, confluent_kafka.Consumer):
    """librdkafka's consumer."""

    __slots__ = ("__weakref__",)


class Source(Consumer):
    """A consumer whose records are taken as columns, where our extension is there.

    Without it, or with ``STREAMZARR_NO_EXTENSIONS`` set, `intake` is ``None``: then they come as messages.
    """

    __slots__ = ("intake",)

    def __init__(self, settings: Mapping[str, Any], **kwargs: Any) -> None:
        self.intake: _intake.Intake | None = None
        module = extension()
        if module is None:
            super().__init__(settings, **kwargs)
            return
        plugins = [settings.get("plugin.library.paths"), module.__file__]
        try:
            super().__init__({**settings, "plugin.library.paths": ";".join(filter(None, plugins))}, **kwargs)
        except KafkaException as error:
            if "plugin" not in str(error):
                raise
            super().__init__(settings, **kwargs)  # this librdkafka takes none, or not one that the URL names
        else:
            self.intake = module.claim()

    def assign(self, partitions: list[KafkaPartition]) -> None:
        """Read these partitions, and no others."""
        self.unassign()  # on its own, that is over before they are told of once more
        with self._forwarded(partitions):
            super().assign(partitions)

    def incremental_assign(self, partitions: list[KafkaPartition]) -> None:
        """Read these partitions, too."""
        with self._forwarded(partitions):
            super().incremental_assign(partitions)

    @contextmanager
    def _forwarded(self, partitions: list[KafkaPartition]) -> Iterator[None]:
        """Have the records of partitions that are assigned inside come to the intake.

        Told before, librdkafka does not put the first ones elsewhere. Told after, one that was being given up
        just now, at the end of which librdkafka forgets it, is told again; its records have waited.
        """
        self._forward(partitions)
        try:
            yield
        finally:
            self._forward(partitions)

    def _forward(self, partitions: Iterable[KafkaPartition]) -> None:
        if self.intake is not None:
            for each in partitions:
                self.intake.forward(each.topic, each.partition)


class Member(Source):
    """A consumer that joins a group.

    One that nobody holds any more is closed: destroyed in the middle of a rebalance it would never end.
    """

    __slots__ = ("_tells_early", "leaving")

    def __init__(self, settings: Mapping[str, Any], **kwargs: Any) -> None:
        self.leaving = False
        """Whether it is being closed; what it is assigned meanwhile it gives back at once."""
        self._tells_early = settings.get("group.protocol") == "consumer"
        super().__init__(settings, **kwargs)

    def subscribe(self, topics: list[str], *args: Any, **callbacks: Any) -> None:
        """Join the group, when the topics are known.

        By KIP-848, librdkafka (seen with 2.16.0) that is given partitions of a topic it does not know yet
        looks it up, and tells the group meanwhile that it has none of them: another member that has joined is
        given some at once, and both begin with them.
        """
        if self._tells_early:
            deadline = Deadline(SYSTEM, _LOOK_UP_SECONDS)  # of all: without a broker each would take so long
            for topic in topics:
                if deadline.passed:
                    break
                with suppress(KafkaException):  # it was there just now: if it is gone, joining tells
                    self.list_topics(topic, timeout=max(0.001, deadline.left))
        super().subscribe(topics, *args, **callbacks)

    def close(self) -> None:
        """Leave the group."""
        self.leaving = True
        super().close()

    def __del__(self) -> None:
        with suppress(RuntimeError):  # it is closed already, or was never made
            self.close()


class Producer(_Kept, confluent_kafka.Producer):
    """librdkafka's producer."""

    __slots__ = ("__weakref__",)


if hasattr(confluent_kafka, "ShareConsumer"):  # 2.16 or later

    class ShareConsumer(_Kept, confluent_kafka.ShareConsumer):
        """librdkafka's member of a share group."""

        __slots__ = ("__weakref__",)


def _hold() -> None:
    # `valuerefs` is a list made at once: other threads make and drop clients meanwhile.
    _held.append([client for each in _living.valuerefs() if (client := each()) is not None])


def _release() -> None:
    _held.pop(0)  # the oldest: what another thread's fork relies on was found later, or just now


def _keep_forever() -> None:
    for clients in _held:
        for client in clients:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    _held.clear()


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_keep_forever)
