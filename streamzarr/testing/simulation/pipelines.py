"""A pipeline under simulation: its own handlers, batchers, retries and acknowledgement, on a bench."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from reactivex import Observable

from streamzarr.errors import StoreError
from streamzarr.flow import Batch
from streamzarr.pipeline import Batcher, BatchInfo, Message, Options, Pipeline, Processors
from streamzarr.pipeline.assemble import assemble, controls
from streamzarr.pipeline.guard import Guard
from streamzarr.pipeline.handlers import Handlers, Rules
from streamzarr.pipeline.sources import Brokers
from streamzarr.pipeline.telemetry import Teller
from streamzarr.pipeline.works import Works
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.simulation.bench import Bench, Fate
from streamzarr.testing.simulation.chain import ChainScenario

RETRY = RetryPolicy(attempts=4, base=0.05)


class Squares(Pipeline):
    """Squares numbers; some cannot be handled, some cannot be stored, some only at the second attempt."""

    def __init__(self) -> None:
        self._stumbled: set[Hashable] = set()

    def _stumble(self, over: Hashable) -> None:
        if over not in self._stumbled:
            self._stumbled.add(over)
            raise StoreError(f"{over} does not work yet")

    def handle_message(self, message: Message, context: Bench) -> Message:
        """Square it, or fail."""
        number = int(message.value or b"")
        if number % 7 == 3:
            raise ValueError(f"{number} cannot be squared")
        if number % 5 == 1:
            self._stumble(number)
        context.runtime.bell().wait(context.runtime.random() * 0.1)
        return message.replace(data=number * number)

    def handle_batch(
        self, batcher: str, messages: Sequence[Message], info: BatchInfo, context: Bench
    ) -> Sequence[Message]:
        """Take a while, and refuse what cannot be stored."""
        numbers = [int(message.value or b"") for message in messages]
        if any(number % 13 == 2 for number in numbers):
            self._stumble(tuple(numbers))
        context.runtime.bell().wait(context.runtime.random() * 0.3)
        if any(number % 11 == 5 for number in numbers):
            raise ValueError("one of them cannot be stored")
        return messages

    def handle_failed(self, messages: Sequence[Message], context: Bench) -> Sequence[Message]:
        """Raise, the first time."""
        numbers = tuple(int(message.value or b"") for message in messages)
        if sum(numbers) % 3 == 0:
            self._stumble(("failed", numbers))
        return messages


class _Bookkeeper:
    """Acknowledges by the bench's own topics."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def configure(self, ref: Hashable, ack_data: Any, options: Mapping[str, Any]) -> Any:
        return ack_data

    def ack(self, ref: Hashable, successful: Sequence[Message], failed: Sequence[Message]) -> None:
        messages: list[Any] = [*successful, *failed]  # the bench asks for what those of the flow have, too
        self._bench.sink(messages)


def _chain(bench: Bench) -> Observable[Batch]:
    options = Options(
        source=bench.source(max_demand=20, max_bytes=200, remember=True),
        processors=Processors(concurrency=2),
        batchers={"default": Batcher(size=5, timeout=0.5, concurrency=2)},
        ordering="partition",
        retry=RETRY,
    )
    runtime, teller = bench.runtime, Teller("Squares", bench.runtime)
    rules = Rules(("default",), ordered=True, retry=RETRY)
    handlers = Handlers(Squares(), bench, rules, runtime)
    works = Works(handlers, None, Guard(None), teller, ordered=True, runtime=runtime)
    return assemble(
        *(options, works, controls(options, runtime), _Bookkeeper(bench), Brokers(runtime)),
        notices=None,
        beat=lambda: None,
        teller=teller,
        runtime=runtime,
    )


def _fate(value: bytes) -> Fate:
    number = int(value)
    return "dead" if number % 7 == 3 or number % 11 == 5 else "written"


PIPELINE = ChainScenario(_chain, name="pipeline", fate=_fate)
"""A pipeline with batches, bisecting, retries, and a ``handle_failed`` that raises."""
