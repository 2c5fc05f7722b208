"""Ours, with a message for each record."""

from trial import Sink, Trial, decode

from streamzarr.flow import Demand, Message, Stop, from_topic, ops, run
from streamzarr.queue import open_broker


def main() -> None:
    trial = Trial.given()
    sink, stop = Sink(trial), Stop()

    def take(messages: list[Message]) -> None:
        sink.take([message.data for message in messages])
        if sink.full:
            stop.drain(30.0)

    with open_broker(f"kafka://{trial.servers}") as broker:
        demand = Demand(max_demand=4 * trial.batch)
        source = from_topic(broker, trial.topic, group=trial.group, demand=demand)
        run(source.pipe(ops.map(decode), ops.batch(trial.batch), ops.settle(take)), stop=stop)
    sink.tell()


if __name__ == "__main__":
    main()
