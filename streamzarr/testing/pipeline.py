"""Pipelines under test: messages go in from the test, and what became of each of them comes back.

::

    test ── test_batch(datas) ──► DummySource ──► the pipeline's own handlers ──► CallerAcknowledger ──► test
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from reactivex import Observable

from streamzarr.errors import describe
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.message import Batch, Failure
from streamzarr.flow.running import RunReport
from streamzarr.flow.sources.iterable import from_pull
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.options import Options
from streamzarr.pipeline.pipeline import Pipeline
from streamzarr.pipeline.running import RunningPipeline
from streamzarr.queue.record import Headers
from streamzarr.runtime import SYSTEM, Runtime

TIMEOUT: Final = 30.0
"""Seconds that a test waits for what shall become of its messages."""
TOPIC: Final = "test"
"""Topic of the records that :meth:`TestPipeline.test_batch` makes of bytes."""


class DummySource:
    """A source that gives what a test has pushed, as a pipeline's ``source=``.

    Threads: any thread may call any method; none blocks.

    Examples
    --------
    >>> from streamzarr.pipeline import Pipeline
    >>> source = DummySource()
    >>> source.push([1, 2, 3])
    >>> source.close()
    >>> Pipeline.run(source=source).ok
    3
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._closed = False
        self._demand: Demand | None = None

    def push(self, items: Sequence[Any], then: Callable[[], None] | None = None) -> None:
        """Have the pipeline get `items`, when it has demand, and call `then` when it has got them."""
        self._items.extend(items)
        if then is not None:
            self._items.append(_Then(then))
        if self._demand is not None:
            self._demand.wake()

    def close(self) -> None:
        """Let the pipeline come to its end, when it has got everything."""
        self._closed = True
        if self._demand is not None:
            self._demand.wake()

    def __call__(self, demand: Demand) -> Observable[Batch]:
        """Return the flow's source."""
        self._demand = demand
        return from_pull(self._pull, demand)

    def _pull(self, count: int) -> list[Any] | None:
        closed = self._closed  # looked at first: what is pushed before it is closed is not behind the end
        taken: list[Any] = []
        while self._items and len(taken) < count:
            item = self._items.popleft()
            if isinstance(item, _Then):
                item.call()
                return taken
            taken.append(item)
        return None if closed and not taken else taken


@dataclass(frozen=True, slots=True)
class _Then:
    call: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a message."""

    message: Message
    """As the handlers left it."""

    @property
    def acked(self) -> bool:
        """True when it was acknowledged as done."""
        return self.message.failure is None

    @property
    def failed(self) -> Failure | None:
        """Why it failed, and in which handler; ``None``: it did not."""
        return self.message.failure

    @property
    def data(self) -> Any:
        """What the handlers made of it."""
        return self.message.data


class CallerAcknowledger:
    """An acknowledger that tells whoever waits for it what became of messages.

    Threads: any thread may call :meth:`wait`, which blocks.

    Examples
    --------
    >>> from streamzarr import flow
    >>> from streamzarr.pipeline import Message, Pipeline
    >>> acknowledger = CallerAcknowledger()
    >>> messages = [Message(data=n, acknowledger=acknowledger, ack_ref=n) for n in range(3)]
    >>> Pipeline.run(source=lambda demand: flow.from_iterable(messages, demand)).ok
    3
    >>> [ack.acked for ack in acknowledger.wait(range(3))]
    [True, True, True]
    """

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self._changed = runtime.condition()
        self._acks: dict[Hashable, Ack] = {}
        self._over: str | None = None

    def configure(self, ref: Hashable, ack_data: Any, options: Mapping[str, Any]) -> Any:
        """Note what ``configure_ack`` was given: it is the message's `ack_data`."""
        return {**(ack_data or {}), **options}

    def ack(self, ref: Hashable, successful: Sequence[Message], failed: Sequence[Message]) -> None:
        """Take note of messages, of which each has a `ref` of its own."""
        with self._changed:
            for message in (*successful, *failed):
                self._acks[message.ack_ref] = Ack(message)
            self._changed.notify_all()

    def wait(self, refs: Sequence[Hashable], timeout: float = TIMEOUT) -> list[Ack]:
        """Return what became of the messages of these `refs`, when it is decided.

        Raises
        ------
        TimeoutError
            Not within `timeout` seconds; says how many are missing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._over is not None or self._acks.keys() >= set(refs), timeout)
            missing = [ref for ref in refs if ref not in self._acks]
            if missing:
                why = self._over or f"nothing has become of them within {timeout:g} s"
                raise TimeoutError(f"{len(missing)} of {len(refs)} messages are not acknowledged: {why}")
            return [self._acks[ref] for ref in refs]

    def give_up(self, why: str) -> None:
        """Have whoever waits raise: nothing more will come."""
        with self._changed:
            self._over = why
            self._changed.notify_all()


class TestPipeline:
    """A pipeline that runs for a test; made by :func:`start`.

    Threads: the test's may call any method; :meth:`test_batch` and :meth:`stop` block, as they say.
    """

    __test__ = False  # it is no test itself, whatever its name says

    def __init__(
        self, source: DummySource, running: RunningPipeline, acknowledger: CallerAcknowledger
    ) -> None:
        self.running = running
        """What steers it: pause, resize, topology."""
        self._source, self._acknowledger = source, acknowledger
        self._refs = itertools.count()

    def test_message(self, data: Any, **options: Any) -> Ack:
        """Return what becomes of one message; `options` as for :meth:`test_batch`."""
        return self.test_batch([data], **options)[0]

    def test_batch(
        self,
        datas: Sequence[Any],
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = 0,
        flush: bool = True,
        timeout: float = TIMEOUT,
    ) -> list[Ack]:
        """Return what becomes of messages, in their order.

        Parameters
        ----------
        datas
            Bytes become the value of a record, other data are the messages'; or whole messages.
        key, headers, partition
            Of the records.
        flush
            Let batches go when the messages have come to them; else they wait, as in earnest, until they
            are full or their time is over.
        timeout
            Seconds to wait.

        Raises
        ------
        TimeoutError
            Nothing has become of some of them in that time, or the pipeline has ended.
        """
        messages = []
        for data in datas:
            ref = next(self._refs)
            message = data if isinstance(data, Message) else Message(data=data)
            if isinstance(data, bytes):
                message = message.replace(row=(TOPIC, partition, ref, key, data, headers, 0))
            messages.append(message.replace(acknowledger=self._acknowledger, ack_ref=ref))
        self._source.push(messages, self.running.flush if flush else None)
        return self._acknowledger.wait([message.ack_ref for message in messages], timeout)

    def stop(self, drain: float | None = None) -> RunReport:
        """Stop the pipeline and report, as :meth:`RunningPipeline.stop`."""
        return self.running.stop(drain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()
        self.running.__exit__(kind, error, trace)


def start(pipeline: type[Pipeline], *, runtime: Runtime = SYSTEM, **options: Any) -> TestPipeline:
    """Run `pipeline` for a test: with its own handlers and options, but no source and no letters of its own.

    Nothing outside is touched unless a handler does it. What fails comes back to the test.

    Parameters
    ----------
    pipeline
        The class.
    runtime
        Clocks, threads and chance.
    **options
        Override the class's own, such as ``context=``.

    Examples
    --------
    >>> from streamzarr.pipeline import Pipeline
    >>> from streamzarr.testing import start
    >>> class Numbers(Pipeline):
    ...     def handle_message(self, message, context):
    ...         return message.replace(data=int(message.value))
    >>> with start(Numbers) as numbers:
    ...     [good, bad] = numbers.test_batch([b"21", b"no number"])
    >>> good.acked, good.data, bad.failed.stage
    (True, 21, 'handle_message')
    """
    source, acknowledger = DummySource(), CallerAcknowledger(runtime)
    given = {"source": source, "dead_letters": None, "on_failure": None, "retry_topics": (), **options}
    running = RunningPipeline(pipeline(), Options.of(pipeline, given), runtime)

    def drive() -> None:
        try:
            running.drive()
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            acknowledger.give_up(f"the pipeline ended with {describe(error)}")
        else:
            acknowledger.give_up("the pipeline has ended")

    runtime.thread(drive, f"streamzarr-test-{running.name}").start()
    return TestPipeline(source, running, acknowledger)
