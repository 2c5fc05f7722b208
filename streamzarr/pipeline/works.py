"""Where the messages of a call are handled: here, in a process for heavy handlers, or alone, on trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from streamzarr.flow.dispatch.process import ChildProcess
from streamzarr.flow.ops.crew import Callee
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.bisect import Again, Outcome
from streamzarr.pipeline.child import WORK
from streamzarr.pipeline.elsewhere import Elsewhere
from streamzarr.pipeline.guard import Guard
from streamzarr.pipeline.handlers import Handlers, Ours
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.telemetry import Teller
from streamzarr.pipeline.trial import Trial
from streamzarr.runtime import Runtime

Call: TypeAlias = Callable[[Sequence[Message]], Outcome]


class Works:
    """Has handlers called for the workers. Threads: any number of them; each may block for long.

    Parameters
    ----------
    elsewhere
        Calls handlers in other processes; ``None``: no other process finds them.
    """

    def __init__(
        self,
        handlers: Handlers,
        elsewhere: Elsewhere | None,
        guard: Guard,
        teller: Teller,
        *,
        ordered: bool,
        runtime: Runtime,
    ) -> None:
        self._handlers, self._elsewhere, self._guard = handlers, elsewhere, guard
        self._teller = teller
        self._ordered, self._runtime = ordered, runtime
        self._trying = runtime.lock()
        self._trial: Trial | None = None  # under the lock

    @property
    def prepares(self) -> bool:
        """Whether the pipeline wants to see many messages at once before they are handled."""
        return self._handlers.prepares

    def process(self, callee: Callee, messages: Sequence[Message], ours: Ours) -> Outcome:
        """Prepare and handle messages, and look at those that failed."""
        elsewhere = self._elsewhere

        def here(some: Sequence[Message]) -> Outcome:
            if elsewhere is not None and isinstance(callee, ChildProcess):
                return elsewhere.process(callee, some, ours)
            return self._handlers.process(some, ours)

        def alone(trial: Callee, some: Sequence[Message]) -> Outcome:
            assert elsewhere is not None
            return elsewhere.process(trial, some, ours)

        with self._teller.span("streamzarr.pipeline.processor", len(messages), messages=messages):
            return self._handlers.tell_failed(self._judged(messages, here, alone))

    def batch(self, name: str, messages: Sequence[Message], info: BatchInfo | None, ours: Ours) -> Outcome:
        """Handle a batch, and look at messages that failed; without `info` all of them have, before."""
        elsewhere = self._elsewhere

        def here(some: Sequence[Message]) -> Outcome:
            return Outcome(list(some)) if info is None else self._handlers.batch(name, some, info, ours)

        def alone(trial: Callee, some: Sequence[Message]) -> Outcome:
            assert elsewhere is not None
            return here(some) if info is None else elsewhere.batch(trial, name, some, info, ours)

        return self._handlers.tell_failed(self._judged(messages, here, alone))

    def _judged(
        self, messages: Sequence[Message], here: Call, alone: Callable[[Callee, Sequence[Message]], Outcome]
    ) -> Outcome:
        """Handle messages here, but for those that may have killed a process before."""
        suspects = self._guard.suspects(messages) if self._elsewhere is not None else set()
        if not suspects:
            with self._guard.watching(messages):
                return here(messages)
        tried = [each for each in messages if self._ordered or each.place in suspects]
        safe = [each for each in messages if not self._ordered and each.place not in suspects]
        outcome = self._judged(safe, here, alone) if safe else Outcome()
        with self._trying:  # one at a time: what a trial does is rare, and a process each would cost more
            self._trial = self._trial or Trial(WORK, self._guard.task_timeout, self._runtime)
            found = alone(self._trial, tried)
        outcome.decided += found.decided
        outcome.put_off(Again(found.again, found.after))
        return outcome

    def close(self) -> None:
        """End the process of trials; nothing is called any more."""
        if self._trial is not None:
            self._trial.close()
