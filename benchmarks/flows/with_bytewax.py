"""Bytewax: it hands its sink batches, and keeps offsets in a database of its own instead of the group's."""

from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from confluent_kafka import OFFSET_BEGINNING
from trial import CLIENT, COMMIT_EVERY, Reading, Sink, Trial, decode


class Batches(DynamicSink[Reading], StatelessSinkPartition[Reading]):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "Batches":
        return self

    def write_batch(self, items: list[Reading]) -> None:
        self._sink.take(items)


def main() -> None:
    trial = Trial.given()
    sink = Sink(trial)
    source = KafkaSource(
        [trial.servers],
        [trial.topic],
        tail=False,
        starting_offset=OFFSET_BEGINNING,
        add_config={name: str(value) for name, value in CLIENT.items()},
        batch_size=trial.batch,
    )
    flow = Dataflow("trial")
    records = op.input("records", flow, source)
    op.output("sink", op.map("decode", records, lambda record: decode(record.value)), Batches(sink))
    init_db_dir(Path(trial.folder), 1)
    cli_main(
        flow,
        epoch_interval=timedelta(seconds=COMMIT_EVERY),
        recovery_config=RecoveryConfig(Path(trial.folder)),
    )
    sink.tell()


if __name__ == "__main__":
    main()
