"""Ours, with a message for each run of records."""

from trial import Reading, Sink, Trial, decode

from streamzarr.flow import Demand, Message, Stop, from_topic_columns, ops, run
from streamzarr.queue import Columns, open_broker


def decode_run(columns: Columns) -> list[Reading]:
    return [decode(value) for value in columns.values]


def main() -> None:
    trial = Trial.given()
    sink, stop = Sink(trial), Stop()

    def take(messages: list[Message]) -> None:
        for message in messages:
            sink.take(message.data)
        if sink.full:
            stop.drain(30.0)

    with open_broker(f"kafka://{trial.servers}") as broker:
        demand = Demand(max_demand=4 * trial.batch)
        source = from_topic_columns(broker, trial.topic, group=trial.group, demand=demand)
        run(source.pipe(ops.decode(decode_run), ops.settle(take)), stop=stop)
    sink.tell()


if __name__ == "__main__":
    main()
