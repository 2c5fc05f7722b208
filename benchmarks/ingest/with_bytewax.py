"""Bytewax: it hands its sink batches, and keeps offsets in a database of its own instead of the group's."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from confluent_kafka import OFFSET_BEGINNING
from flows.trial import CLIENT
from ingest.sink import open_sink
from ingest.trial import COMMIT_EVERY, Trial, Watch


class Batches(DynamicSink[Any], StatelessSinkPartition[Any]):
    def __init__(self, trial: Trial, watch: Watch) -> None:
        self._watch, self._sink = watch, open_sink(trial)
        self.found = self._sink.found

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "Batches":
        return self

    def write_batch(self, items: list[Any]) -> None:
        if not self._watch.left:
            return
        items = items[: self._watch.left]
        self._sink.take(*map(list, zip(*[(each.value, each.offset) for each in items], strict=True)))
        self._watch.took(len(items))
        if not self._watch.left:
            self._sink.flush()
            self._watch.end()


def main() -> None:
    trial = Trial.given()
    watch = Watch(trial)
    sink = Batches(trial, watch)
    source = KafkaSource(
        [trial.servers],
        [trial.topic],
        tail=False,
        starting_offset=OFFSET_BEGINNING,
        add_config={name: str(value) for name, value in CLIENT.items()},
        batch_size=1000,
    )
    flow = Dataflow("trial")
    op.output("sink", op.input("records", flow, source), sink)
    recovery = Path(f"{trial.folder}.recovery")
    recovery.mkdir()
    init_db_dir(recovery, 1)
    cli_main(flow, epoch_interval=timedelta(seconds=COMMIT_EVERY), recovery_config=RecoveryConfig(recovery))
    watch.tell(*sink.found())


if __name__ == "__main__":
    main()
