"""Handlers called in another process, from here: who dies of a message is found, and the others go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from streamzarr.errors import ConfigError, ProcessDiedError, ProcessError
from streamzarr.flow.ops.crew import Callee
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.bisect import Again, Outcome, Verdict, bisect
from streamzarr.pipeline.child import Deferred, Order, find
from streamzarr.pipeline.handlers import Ours, Rules
from streamzarr.pipeline.message import Message

DEATHS = 2
"""Processes that a message may take along while it is alone: the first may have died of something else."""


def import_path(pipeline: type) -> str:
    """Return ``"module:Class"``, by which other processes find a pipeline.

    Raises
    ------
    streamzarr.errors.ConfigError
        It cannot be found that way.
    """
    path = f"{pipeline.__module__}:{pipeline.__qualname__}"
    try:
        if find(path) is pipeline:
            return path
    except (ImportError, AttributeError):
        pass
    raise ConfigError(f"{path} is not found by other processes, expected a class at the top of a module")


class Elsewhere:
    """Has handlers of one pipeline called by a child process. Threads: as the callee that it is given."""

    def __init__(self, pipeline: str, rules: Rules) -> None:
        self._pipeline, self._rules = pipeline, rules

    def process(self, call: Callee, messages: Sequence[Message], ours: Ours) -> Outcome:
        """Do as :meth:`streamzarr.pipeline.handlers.Handlers.process`."""
        return self._call(call, messages, None, "handle_message", ours)

    def batch(
        self, call: Callee, name: str, messages: Sequence[Message], info: BatchInfo, ours: Ours
    ) -> Outcome:
        """Do as :meth:`streamzarr.pipeline.handlers.Handlers.batch`."""
        return self._call(call, messages, (name, info), "handle_batch", ours)

    def _call(
        self,
        call: Callee,
        messages: Sequence[Message],
        batch: tuple[str, BatchInfo] | None,
        stage: str,
        ours: Ours,
    ) -> Outcome:
        put_off = Outcome()

        def handle(group: Sequence[Message]) -> list[Message]:
            if put_off.again and self._rules.ordered:  # nothing overtakes what is to be tried again
                put_off.put_off(Again(group, put_off.after))
                return []
            sent = tuple(message.replace(acknowledger=Deferred()) for message in group)
            answer = call(Order(self._pipeline, self._rules, sent, _cut(batch, group)))
            own = {message.place: message for message in group}
            decided, again, early = (
                [_back(each, own[each.place]) for each in part] for part in (answer[0], answer[1], answer[3])
            )
            for each in early:
                each.replace(acked=False).ack_immediately()
            put_off.put_off(Again(again, answer[2]))
            return decided

        found = bisect(
            [message for message in messages if message.failure is None], handle, _Coroner(), stage, ours
        )
        found.decided += [message for message in messages if message.failure is not None]
        found.put_off(Again(put_off.again, put_off.after))
        return found


class _Coroner:
    """Says what an error means for the messages that a process had; counts deaths of one message alone.

    Handlers' own errors do not come here. What else there is: the process died, there is none, or what was to
    go there, or came back, cannot travel.
    """

    def __init__(self) -> None:
        self._deaths: Counter[int] = Counter()

    def __call__(self, error: BaseException, messages: Sequence[Message]) -> Verdict:
        if isinstance(error, (ProcessError, OSError, MemoryError)):
            raise error  # the machine is at fault, or the program
        if len(messages) > 1 or not isinstance(error, ProcessDiedError):
            return Verdict.SOME
        place = messages[0].place
        self._deaths[place] += 1
        return Verdict.ONCE_MORE if self._deaths[place] < DEATHS else Verdict.SOME


def _cut(batch: tuple[str, BatchInfo] | None, messages: Sequence[Message]) -> tuple[str, BatchInfo] | None:
    if batch is None:
        return None
    nbytes = sum(message.nbytes for message in messages)
    return batch[0], replace(batch[1], size=len(messages), bytes=nbytes)


def _back(message: Message, own: Message) -> Message:
    """Return what came back of a message, with the acknowledger that could not travel."""
    data: Any = message.ack_data
    if not isinstance(data, Deferred) or own.acknowledger is None:
        return message.replace(acknowledger=own.acknowledger)
    back = message.replace(acknowledger=own.acknowledger, ack_data=own.ack_data)
    try:
        return back.configure_ack(**dict(data.options))
    except ConfigError as error:
        return back.fail(error, "handle_message")
