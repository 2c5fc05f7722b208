"""Quix Streams: decode, gather in a sink, which it flushes whenever it commits."""

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch
from trial import CLIENT, COMMIT_EVERY, Sink, Trial, decode


class Batches(BatchingSink):
    def __init__(self, sink: Sink, application: Application) -> None:
        super().__init__()
        self._sink, self._application = sink, application

    def write(self, batch: SinkBatch) -> None:
        self._sink.take([item.value for item in batch])
        if self._sink.full:
            self._application.stop()


def main() -> None:
    trial = Trial.given()
    sink = Sink(trial)
    application = Application(
        trial.servers,
        consumer_group=trial.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_EVERY,
        consumer_extra_config=CLIENT,
        state_dir=trial.folder,
        loglevel="WARNING",
    )
    topic = application.topic(trial.topic, value_deserializer="bytes", key_deserializer="bytes")
    application.dataframe(topic).apply(decode).sink(Batches(sink, application))
    application.run()
    sink.tell()


if __name__ == "__main__":
    main()
