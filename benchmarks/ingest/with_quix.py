"""Quix Streams: gather in a sink, which it flushes whenever it commits."""

from flows.quix import opened
from flows.trial import CLIENT
from ingest.sink import open_sink
from ingest.trial import Trial, Watch
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

FLUSH_EVERY = 0.2
"""Seconds between two flushes, which are all that its sink hears of."""


class Batches(BatchingSink):
    def __init__(self, trial: Trial, watch: Watch, application: Application) -> None:
        super().__init__()
        self._watch, self._application, self._sink = watch, application, open_sink(trial)
        self.found = self._sink.found

    def write(self, batch: SinkBatch) -> None:
        if not self._watch.left:
            return
        items = [(item.value, item.offset) for item in batch][: self._watch.left]
        self._sink.take(*map(list, zip(*items, strict=True)))
        self._watch.took(len(items))
        if not self._watch.left:
            self._sink.flush()
            self._watch.end()
            self._application.stop()


def main() -> None:
    trial = Trial.given()
    watch = Watch(trial)
    application, records = opened(trial, CLIENT, FLUSH_EVERY, f"{trial.folder}.state")
    sink = Batches(trial, watch, application)
    records.sink(sink)
    application.run()
    watch.tell(*sink.found())


if __name__ == "__main__":
    main()
