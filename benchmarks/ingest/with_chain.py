"""Ours, of tiles: a chain whose workers decode, transform and store, a chunk each."""

import numpy as np
from ingest.trial import Trial, Watch
from ingest.workloads import LEVEL, SIDE, transformed

import streamzarr as sz
from streamzarr.flow import Demand, Message, Stop, from_topic, ops, run

WORKERS = 3


def main() -> None:
    trial = Trial.given()
    watch, stop = Watch(trial), Stop()
    array = sz.create_array(
        trial.folder,
        shape=(trial.messages, SIDE, SIDE),
        dtype="f4",
        chunks=(1, SIDE, SIDE),
        compressors=[{"name": "zstd", "configuration": {"level": LEVEL}}],
    )

    def store(value: bytes) -> None:
        number, tile = transformed(value)
        array[number] = tile

    def settled(messages: list[Message]) -> None:
        assert not any(message.failure for message in messages)
        watch.took(len(messages))
        if not watch.left:
            watch.end()
            stop.drain(30.0)

    with sz.open_broker(f"kafka://{trial.servers}") as broker:
        source = from_topic(broker, trial.topic, group=trial.group, demand=Demand(256, max_bytes="64MB"))
        run(source.pipe(ops.dispatch(store, workers=WORKERS), ops.settle(settled)), stop=stop)
    tiles = (np.asarray(array[number]) for number in range(trial.messages))
    watch.tell(trial.messages, sum(float(tile.sum(dtype="f8")) for tile in tiles))


if __name__ == "__main__":
    main()
