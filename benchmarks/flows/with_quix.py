"""Quix Streams: decode, gather in a sink, which it flushes whenever it commits."""

from quix import opened
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
    application, records = opened(trial, CLIENT, COMMIT_EVERY, trial.folder)
    records.apply(decode).sink(Batches(sink, application))
    application.run()
    sink.tell()


if __name__ == "__main__":
    main()
