"""librdkafka's consumer as far as ours uses it, commanded by a test, and a listener that takes notes."""

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition


class Message:
    """A record, as librdkafka hands it over."""

    def __init__(self, partition, offset, error=None):
        self._partition, self._offset, self._error = partition, offset, error

    def error(self):
        return self._error

    def __len__(self):
        return 0

    def topic(self):
        return self._partition.topic

    def partition(self):
        return self._partition.partition

    def offset(self):
        return self._offset

    def key(self):
        return None

    value = headers = key

    def timestamp(self):
        return 1, 0


class Client:
    """librdkafka as far as a consumer uses it: `events` are served one by one by `poll` and `consume`."""

    intake = None

    def __init__(self, settings, logger):
        self.on_commit = settings["on_commit"]
        self.events = []
        self.calls = []
        self.committing = []
        self.paused = False
        self.leaving = False
        self.stored = None  # what the coordinator says when asked

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self.on_assign, self.on_revoke, self.on_lost = on_assign, on_revoke, on_lost

    def assign(self, *partitions):
        self.events.append(lambda: self.on_assign(self, [KafkaPartition(*each) for each in partitions]))

    def revoke(self, *partitions):
        self.events.append(lambda: self.on_revoke(self, [KafkaPartition(*each) for each in partitions]))

    def lose(self, *partitions):
        self.events.append(lambda: self.on_lost(self, [KafkaPartition(*each) for each in partitions]))

    def answer(self, error=None):
        def event():
            offsets = self.committing.pop(0)
            self.on_commit(None if error is None else KafkaError(error), offsets)

        self.events.append(event)

    def record(self, partition, offset):
        self.events.append(Message(partition, offset))

    def fail(self, partition, code, offset=-1):
        self.events.append(Message(partition, offset, KafkaError(code)))

    def poll(self, timeout):
        return next(iter(self.consume(1, timeout)), None)

    def consume(self, count, timeout):
        messages = []
        while self.events and len(messages) < count:
            if not isinstance(self.events[0], Message):
                self.events.pop(0)()
            elif self.paused:
                break
            else:
                messages.append(self.events.pop(0))
        return messages

    def commit(self, offsets, asynchronous):
        assert asynchronous, "the synchronous one may never return"
        self.committing.append(offsets)

    def committed(self, partitions, timeout):
        if self.stored is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [KafkaPartition(each.topic, each.partition, self.stored) for each in partitions]

    def close(self):
        self.calls.append(("close",))

    def __getattr__(self, name):
        def call(partitions):
            partitions = partitions if isinstance(partitions, list) else [partitions]
            for each in partitions:
                self.calls.append((name, (each.topic, each.partition), each.offset))
                if name in ("pause", "resume"):
                    self.paused = name == "pause"

        return call


class Listener:
    def __init__(self):
        self.log = []
        self.during = {}

    def _note(self, event, partitions):
        self.log.append((event, set(partitions)))
        if event in self.during:
            self.during[event](partitions)

    def on_assigned(self, partitions):
        self._note("assigned", partitions)

    def on_revoked(self, partitions):
        self._note("revoked", partitions)

    def on_lost(self, partitions):
        self._note("lost", partitions)
