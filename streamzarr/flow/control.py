"""Steering a running chain from other threads."""

from __future__ import annotations

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, flag, patience, runtime
from streamzarr.flow.drive import is_driving
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Barrier, Flush
from streamzarr.flow.pausing import PausedPartition
from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import SYSTEM, Deadline, Runtime


@checked("Control", start_paused=flag, runtime=runtime)
class Control:
    """Pauses a chain, flushes it, and tells when it has come so far; given to :func:`~streamzarr.flow.run`.

    Parameters
    ----------
    start_paused
        Let nothing enter before :meth:`resume`: until whoever the results are for is ready. Sources connect
        all the same, so that partitions are assigned and positions known.

    Notes
    -----
    Threads: any thread may call any method; only :meth:`barrier` blocks. One chain at a time runs under it;
    a pause outlives it.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> control = Control()
    >>> chain = from_iterable(range(3), Demand(2)).pipe(ops.settle(lambda _: control.flush()))
    >>> run(chain, control=control).ok
    3
    """

    def __init__(self, *, start_paused: bool = False, runtime: Runtime = SYSTEM) -> None:
        self._runtime = runtime
        self._changed = runtime.condition()
        self._graph: Graph | None = None
        self._paused = start_paused

    @property
    def paused(self) -> bool:
        """True after :meth:`pause`, until :meth:`resume`."""
        return self._paused

    def pause(self) -> None:
        """Let nothing more enter the chain; what is in flight goes on, and so does membership of a group."""
        with self._changed:
            self._paused = True
            if self._graph is not None:
                self._graph.pause()

    def resume(self) -> None:
        """Let messages enter again."""
        with self._changed:
            self._paused = False
            if self._graph is not None:
                self._graph.resume()

    @property
    def paused_partitions(self) -> list[PausedPartition]:
        """Partitions that pause by themselves, and why: see :class:`~streamzarr.flow.DeadLetterLimit`."""
        graph = self._graph
        return [] if graph is None else graph.pauses.paused

    def resume_partitions(self, *partitions: TopicPartition) -> None:
        """Let these partitions, or all that pause by themselves, go on at once.

        Their limits begin anew: as many more of their messages may become dead letters.
        """
        with self._changed:
            if self._graph is not None and self._graph.pauses.go_on(partitions or None):
                self._graph.chain.bell.ring()

    def flush(self) -> None:
        """Let go what waits for more, such as batches, as far as it was delivered before this call.

        The call travels through the chain behind those messages, as a :class:`~streamzarr.flow.Flush`, so
        what comes later is not hurried. Windows stay open. Nothing happens while no chain runs.
        """
        with self._changed:
            if self._graph is not None:
                self._graph.send(Flush())

    @checked("Control.barrier", timeout=patience)
    def barrier(self, timeout: float) -> bool:
        """Block until all that was delivered before this call is settled; tell whether it is.

        A :class:`~streamzarr.flow.Barrier` travels through the chain behind those messages; it hurries
        nothing (:meth:`flush` first, for that). Waits for a chain to begin, within the time.

        Parameters
        ----------
        timeout
            Seconds to wait, at most.

        Returns
        -------
        bool
            False: the time was up, or the chain ended before.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is called on the chain's own thread, which would wait for itself.
        """
        if is_driving():
            raise ConfigError("barrier() was called on the chain's own thread; it would wait for itself")
        deadline = Deadline(self._runtime, timeout)
        passed = self._runtime.event()
        with self._changed:
            if not self._changed.wait_for(lambda: self._graph is not None, deadline.left):
                return False
            graph = self._graph
            assert graph is not None

            def on_passed() -> None:
                with self._changed:
                    passed.set()
                    self._changed.notify_all()

            graph.send(Barrier(on_passed))
            self._changed.wait_for(lambda: passed.is_set() or self._graph is not graph, deadline.left)
        return passed.is_set()

    def attach(self, graph: Graph) -> None:
        """Steer `graph` from now on; called by whoever drives it.

        Raises
        ------
        streamzarr.errors.ConfigError
            Another chain runs under it.
        """
        with self._changed:
            if self._graph is not None:
                raise ConfigError("a control steers one chain at a time, and another one runs under it")
            self._graph = graph
            if self._paused:
                graph.pause()
            self._changed.notify_all()

    def detach(self) -> None:
        """Steer nothing any more: the chain has ended."""
        with self._changed:
            self._graph = None
            self._changed.notify_all()
