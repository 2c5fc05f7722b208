"""A pipeline that runs, or is about to: steered from any thread, stopped within one deadline."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from streamzarr.errors import ConfigError
from streamzarr.flow.control import Control
from streamzarr.flow.dispatch.process import import_path as path_of
from streamzarr.flow.pausing import PausedPartition
from streamzarr.flow.run import run
from streamzarr.flow.running import RunReport
from streamzarr.flow.stop import Stop
from streamzarr.pipeline.acknowledger import Acknowledger, RecordAcknowledger
from streamzarr.pipeline.assemble import assemble, controls
from streamzarr.pipeline.elsewhere import Elsewhere, import_path
from streamzarr.pipeline.guard import Guard, Supervision
from streamzarr.pipeline.handlers import Handlers, Rules, check_handlers
from streamzarr.pipeline.letters import Letters
from streamzarr.pipeline.notices import Notices
from streamzarr.pipeline.options import Options
from streamzarr.pipeline.sources import Brokers, TopicSource, split
from streamzarr.pipeline.telemetry import Teller
from streamzarr.pipeline.works import Works
from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import Runtime

if TYPE_CHECKING:
    from streamzarr.pipeline.pipeline import Pipeline

_log = logging.getLogger(__name__)


class RunningPipeline:
    """One run of a pipeline in this process: made by :meth:`Pipeline.start`, or by ``run``.

    Notes
    -----
    Threads: any thread may call any method but :meth:`drive`, which is the one that runs it. Only
    :meth:`stop`, :meth:`wait` and :meth:`barrier` block, as they say.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: Options,
        runtime: Runtime,
        supervision: Supervision | None = None,
    ) -> None:
        self.name = type(pipeline).__name__
        check_handlers(pipeline, options.batchers)
        self._pipeline, self._options, self._runtime = pipeline, options, runtime
        self._guard = Guard(supervision)
        self._teller = Teller(self.name, runtime)
        self._stop = Stop(runtime)
        self._control = Control(runtime=runtime)
        self._controls = controls(options, runtime)
        self._ended = runtime.event()
        self._report: RunReport | None = None
        self._error: BaseException | None = None

    # -- running -----------------------------------------------------------------------------------------

    def drive(self, *, install_signal_handlers: bool = False) -> RunReport:
        """Run it on the calling thread until its source has ended or it is stopped; return the report."""
        try:
            self._report = self._drive(install_signal_handlers)
            return self._report
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ended.set()

    def _drive(self, install_signal_handlers: bool) -> RunReport:
        options, runtime = self._options, self._runtime
        context = options.context
        letters: Letters | None = None
        with ExitStack() as closing:  # backwards, each even if another one raises
            notices: Notices | None = None
            brokers = Brokers(runtime)
            closing.callback(brokers.close)
            if options.dead_letters is not None or options.retry_topics:
                letters, notices = self._letters(brokers)
                closing.callback(letters.close)
                if notices is not None:
                    closing.callback(notices.close)
            if context is None:
                context = self._pipeline.make_context()
                closing.callback(self._pipeline.close_context, context)
            acknowledger: Acknowledger = RecordAcknowledger(options.failures, letters, options.retry_topics)
            works = self._works(context)
            closing.callback(works.close)
            chain = assemble(
                *(options, works, self._controls, acknowledger, brokers, notices, self._guard.beat),
                teller=self._teller,
                runtime=runtime,
            )
            self._teller.tell("streamzarr.pipeline.init", topology=self.topology())
            report = run(
                chain,
                stop=self._stop,
                control=self._control,
                runtime=runtime,
                install_signal_handlers=install_signal_handlers,
                drain=options.drain,
            )
        level = logging.WARNING if report.left or report.paused else logging.INFO
        _log.log(level, "%s ended: %s", self.name, report)
        return report

    def _works(self, context: Any) -> Works:
        options, owner = self._options, type(self._pipeline)
        tiers = len(options.retry_topics)
        pauses_on = None if options.limit is None else options.limit.is_environmental
        rules = Rules(tuple(options.batchers), options.order != "none", options.retry, tiers, pauses_on)
        elsewhere = None
        if options.processors.kind == "processes" or self._guard.supervised:
            if pauses_on is not None:
                path_of(pauses_on)  # other processes are to find it, too
            elsewhere = Elsewhere(import_path(owner), rules)
        handlers = Handlers(self._pipeline, context, rules, self._runtime)
        return Works(
            *(handlers, elsewhere, self._guard, self._teller), ordered=rules.ordered, runtime=self._runtime
        )

    def _letters(self, brokers: Brokers) -> tuple[Letters, Notices | None]:
        options = self._options
        source = next((each for each in split(options.source) if isinstance(each, TopicSource)), None)
        topics = [each.topic for each in options.retry_topics]
        if options.dead_letters is not None:
            topics.append(options.dead_letters)
        if source is None:
            raise ConfigError(
                f"{self.name}: topic {topics[0]!r} is for failures, but no source has a broker; "
                "expected a TopicSource"
            )
        broker = brokers.open(source.broker)
        for topic in topics:
            broker.describe(topic)  # its absence is found now, and not with the first failure
        worker = f"{socket.gethostname()}:{os.getpid()}"
        letters = Letters(broker, options.dead_letters, worker)
        if options.dead_letters is None:
            return letters, None
        return letters, Notices(broker, options.dead_letters, worker, self._control, self._runtime)

    def begin(self) -> Self:
        """Run it on a thread of its own."""
        self._runtime.thread(self._behind, f"streamzarr-{self.name}").start()
        return self

    def _behind(self) -> None:
        try:
            self.drive()
        except BaseException:  # noqa: BLE001 - raised by wait()
            _log.debug("%s ended by an error, which wait() raises", self.name, exc_info=True)

    # -- ending ------------------------------------------------------------------------------------------

    def stop(self, drain: float | None = None) -> RunReport:
        """Take nothing new, finish what has begun within `drain` seconds, hand back the rest, and report.

        Blocks for about as long, at most. May be called again, and when it has ended.

        Raises
        ------
        Exception
            What broke the pipeline.
        """
        self.request_stop(drain)
        return self.wait()

    def request_stop(self, drain: float | None = None) -> None:
        """Begin to stop; returns at once."""
        self._stop.drain(self._options.drain if drain is None else drain)

    def wait(self, timeout: float | None = None) -> RunReport:
        """Block until it has ended, and report.

        Raises
        ------
        TimeoutError
            Not within `timeout` seconds.
        Exception
            What broke the pipeline.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.name} has not ended within {timeout:g} s")
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report

    @property
    def ended(self) -> bool:
        """True when it has come to its end, by whatever."""
        return self._ended.is_set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.request_stop()
        if error is None:
            self.wait()
        else:
            self._ended.wait()

    # -- steering ----------------------------------------------------------------------------------------

    def topology(self) -> dict[str, Any]:
        """Return what it is made of, with figures, as JSON could hold it."""
        controls, options = self._controls, self._options
        state = "ended" if self.ended else "draining" if self._stop.requested else "running"
        sources = [
            {"topics": list(each.topics), "group": each.group} if isinstance(each, TopicSource) else {}
            for each in split(options.source)
        ]
        return {
            "name": self.name,
            "state": "paused" if state == "running" and self.paused else state,
            "ordering": options.order,
            "sources": sources,
            "in_flight": sum(demand.in_flight for demand in controls.demands),
            "in_flight_bytes": sum(demand.in_flight_bytes for demand in controls.demands),
            "max_in_flight": options.in_flight,
            "paused_partitions": [_shown(each) for each in self.paused_partitions],
            "stages": [
                {"name": name, "concurrency": size.size, **controls.figures[name].shown(size.size)}
                for name, size in controls.sizes.items()
            ],
        }

    def pause(self) -> None:
        """Let nothing more in; what is in flight goes on, and so does membership of a group."""
        self._control.pause()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._control.resume()

    @property
    def paused(self) -> bool:
        """True between :meth:`pause` and :meth:`resume`."""
        return self._control.paused

    @property
    def paused_partitions(self) -> list[PausedPartition]:
        """Partitions that pause by themselves, and why (`dead_letter_limit`)."""
        return self._control.paused_partitions

    def resume_partitions(self, *partitions: TopicPartition) -> None:
        """Let these partitions, or all that pause by themselves, go on at once, with their limits anew."""
        self._control.resume_partitions(*partitions)

    def flush(self) -> None:
        """Let go the batches that wait for more messages, as far as these were delivered before."""
        self._control.flush()

    def barrier(self, timeout: float) -> bool:
        """Block until all that was delivered before is acknowledged; tell whether it is, in time."""
        return self._control.barrier(timeout)

    def set_rate(self, messages: float | None = None, bytes: float | str | None = None) -> None:  # noqa: A002
        """Let no more than so many messages and bytes a second begin; what is not given is not limited."""
        self._controls.rate.set(messages, bytes)

    def resize(self, name: str, concurrency: int) -> None:
        """Have `concurrency` workers from now on: of ``"processors"``, or of the batcher `name`.

        Raises
        ------
        streamzarr.errors.ConfigError
            There is no such batcher, or the number is below 1.
        """
        sizes = self._controls.sizes
        if name not in sizes:
            known = ", ".join(map(repr, sizes))
            raise ConfigError(f"{self.name}.resize: name is {name!r}, expected one of {known}")
        sizes[name].resize(concurrency)


def _shown(paused: PausedPartition) -> dict[str, Any]:
    topic, number = paused.partition
    return {
        "topic": topic,
        "partition": number,
        "position": paused.position,
        "reason": paused.reason,
        "tries": paused.tries,
    }
