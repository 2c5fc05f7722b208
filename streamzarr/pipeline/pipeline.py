"""What users write: a class with handlers, and its options as attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, overload

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import function, shown
from streamzarr.flow.limit import DeadLetterLimit
from streamzarr.flow.rate import Rate
from streamzarr.flow.running import RunReport
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.handlers import HANDLERS
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.options import Batcher, OnFailure, Options, Ordering, Processors
from streamzarr.pipeline.processes import supervised
from streamzarr.pipeline.retries import RetryTopic
from streamzarr.pipeline.running import RunningPipeline
from streamzarr.pipeline.sources import Source
from streamzarr.queue.retry import RetryPolicy, is_transient
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.supervisor import Report


class Pipeline:
    """Messages from a source, handled one by one, then in batches, then acknowledged.

    A subclass has handlers, and options as class attributes, which ``run`` and ``start`` may override
    (:class:`~streamzarr.pipeline.Options` has them all).

    Notes
    -----
    Threads: handlers are called from several threads at the same time, `handle_message` from as many as
    ``Processors.concurrency`` says, `handle_batch` from as many as that of its batcher. They may block.
    `handle_failed` runs where the failure was. One instance serves all of them.

    Failure is data: an exception in `handle_message` fails that message only, one in `handle_batch` the
    messages that it keeps raising for. What :meth:`retryable` says may work later is tried again before.

    Examples
    --------
    >>> from streamzarr import flow
    >>> from streamzarr.pipeline import Batcher, Pipeline
    >>> class Squares(Pipeline):
    ...     source = staticmethod(lambda demand: flow.from_iterable(range(5), demand))
    ...     batchers = {"default": Batcher(size=5)}
    ...
    ...     def handle_message(self, message, context):
    ...         return message.replace(data=message.data**2)
    ...
    ...     def handle_batch(self, batcher, messages, info, context):
    ...         print(sorted(message.data for message in messages), info.trigger)
    ...         return messages
    >>> Squares.run().ok
    [0, 1, 4, 9, 16] size
    5
    """

    # -- options -----------------------------------------------------------------------------------------

    source: ClassVar[Source | Sequence[Source]]
    processors: ClassVar[Processors]
    batchers: ClassVar[Mapping[str, Batcher]]
    ordering: ClassVar[Ordering | None]
    dead_letters: ClassVar[str | None]
    dead_letter_limit: ClassVar[DeadLetterLimit | None]
    on_failure: ClassVar[OnFailure | None]
    retry: ClassVar[RetryPolicy]
    rate: ClassVar[Rate | None]
    max_in_flight: ClassVar[int | None]
    max_bytes: ClassVar[int | str | None]
    retry_topics: ClassVar[Sequence[RetryTopic]]
    drain: ClassVar[float]

    # -- handlers ----------------------------------------------------------------------------------------

    def prepare_messages(self, messages: Sequence[Message], context: Any) -> Sequence[Message]:
        """Return `messages` with what they need, such as rows that one query has read for all of them."""
        return messages

    def handle_message(self, message: Message, context: Any) -> Message:
        """Return `message` with new data, and the batcher that it goes to."""
        return message

    def handle_batch(
        self, batcher: str, messages: Sequence[Message], info: BatchInfo, context: Any
    ) -> Sequence[Message]:
        """Store a batch, durably, and return its messages; those that could not be, as ``message.fail()``.

        When it raises it is called again, with parts of the batch: it does all of a call, or nothing, or
        what may be done twice. What it does not return has failed.
        """
        return messages

    def handle_failed(self, messages: Sequence[Message], context: Any) -> Sequence[Message]:
        """Look at failed messages before they are acknowledged, and return them.

        What makes its partition pause (`dead_letter_limit`) is seen again when that goes on.

        One that is returned without its `failure` is done, and meets no batcher. When it raises nothing of
        these messages is acknowledged, and it is called with them again.
        """
        return messages

    def retryable(self, error: BaseException) -> bool:
        """Tell whether what raised `error` may work later: broker, store and network failures, as a rule.

        Where it raises itself, that rule counts.
        """
        return is_transient(error)

    def make_context(self) -> Any:
        """Return what all handlers are given; called once in each process, before anything begins."""
        return None

    def close_context(self, context: Any) -> None:
        """Release what :meth:`make_context` returned; called in each process when everything there has ended.

        Not in one that dies or is killed. A process of handlers has some seconds for it.
        """

    # -- running -----------------------------------------------------------------------------------------

    @overload
    @classmethod
    def run(
        cls,
        *,
        processes: None = None,
        runtime: Runtime = SYSTEM,
        install_signal_handlers: bool = False,
        **options: Any,
    ) -> RunReport: ...
    @overload
    @classmethod
    def run(cls, *, processes: int, **options: Any) -> Report: ...
    @classmethod
    def run(
        cls,
        *,
        processes: int | None = None,
        runtime: Runtime = SYSTEM,
        install_signal_handlers: bool = False,
        **options: Any,
    ) -> RunReport | Report:
        """Run on the calling thread until the source has ended or the pipeline is stopped, and report.

        Parameters
        ----------
        processes
            Run so many supervised processes instead, and wait for them: one that dies is replaced, and the
            message that killed it is found. SIGTERM and SIGINT drain them. `options` are then those of
            :class:`~streamzarr.supervisor.Supervisor`, and the pipeline's own are attributes of its class,
            which stands at the top of a module.
        runtime
            Clocks, threads and chance.
        install_signal_handlers
            SIGTERM and SIGINT drain, a second one stops at once. Main thread only.
        **options
            Override the class's own.

        Returns
        -------
        RunReport or streamzarr.supervisor.Report
            What became of the messages; of processes, how they ended.

        Raises
        ------
        streamzarr.errors.ConfigError
            An option cannot be used.
        streamzarr.errors.FailedError
            A message has failed, and `on_failure` is ``"stop"``.
        Exception
            What broke the pipeline.
        """
        if processes is not None:
            return supervised(cls, processes, **options).run()
        return cls._made(options, runtime).drive(install_signal_handlers=install_signal_handlers)

    @classmethod
    def start(cls, *, runtime: Runtime = SYSTEM, **options: Any) -> RunningPipeline:
        """Run in the background, on a thread of its own, and return what steers it.

        Examples
        --------
        >>> from streamzarr import flow
        >>> with Pipeline.start(source=lambda demand: flow.from_iterable(range(10), demand)) as pipeline:
        ...     pipeline.wait().ok
        10
        """
        return cls._made(options, runtime).begin()

    @classmethod
    def of(cls, name: str, **handlers: Callable[..., Any]) -> type[Pipeline]:
        """Return a pipeline whose handlers are plain functions.

        Parameters
        ----------
        name
            Of the class.
        **handlers
            Functions by the names of handlers, with the same parameters but for ``self``.

        Examples
        --------
        >>> from streamzarr import flow
        >>> Doubles = Pipeline.of("Doubles", handle_message=lambda message, context: message.with_data(2))
        >>> Doubles.run(source=lambda demand: flow.from_iterable(range(3), demand)).ok
        3
        """
        for handler, call in handlers.items():
            if handler not in HANDLERS:
                raise ConfigError(
                    f"Pipeline.of: no handler {handler!r}, expected one of {', '.join(HANDLERS)}"
                )
            if (expected := function(call)) is not None:
                raise ConfigError(f"Pipeline.of: {handler} is {shown(call)}, expected {expected}")
        return type(name, (cls,), {handler: staticmethod(call) for handler, call in handlers.items()})

    @classmethod
    def _made(cls, options: dict[str, Any], runtime: Runtime) -> RunningPipeline:
        return RunningPipeline(cls(), Options.of(cls, options), runtime)

    def overrides(self, handler: str) -> bool:
        """Tell whether `handler` is the subclass's own."""
        return getattr(type(self), handler) is not getattr(Pipeline, handler)
