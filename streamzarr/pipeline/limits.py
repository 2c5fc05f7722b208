"""Which failed messages may become dead letters, and which make their partition pause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import claim_of
from streamzarr.flow.limit import DeadLetterLimit
from streamzarr.flow.message import Message as Part
from streamzarr.flow.ops.gate import Gate
from streamzarr.flow.pausing import Pause
from streamzarr.pipeline.acknowledger import RecordAcknowledger
from streamzarr.pipeline.message import Message


class Limits:
    """Judges what comes to the end of a pipeline, before its acknowledgers are told.

    Owned by the thread that drives the pipeline; never blocks.

    An error of the environment makes a partition pause whatever `on_failure` says of the message: it is not
    to blame, and neither a letter nor passing it over would do it justice.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._gate = Gate(limit)
        # Letters that may be written, by place: one whose topic is away comes again, and counts once.
        self._admitted: dict[Claim, set[int]] = {}

    def judge(self, parts: Sequence[Part]) -> dict[int, Pause]:
        """Return what is to be handed back, by place, with what makes its partition pause."""
        done = [part for part in parts if part.data.failure is None]
        failed = [part for part in parts if part.data.failure is not None and self._counts(part)]
        admitted, back = self._gate.judge(done, failed)
        for part in admitted:
            self._admit(part)
        return {part.data.place: why for part, why in back}

    def let_pause(self) -> None:
        """Let partitions pause, now that letters are written which may be."""
        self._gate.let_pause()

    def forget(self, parts: Iterable[Part]) -> None:
        """Forget messages that do not come again."""
        if any(self._admitted.values()):
            for part in parts:
                if part.claim in self._admitted:
                    self._admitted[part.claim].discard(part.data.place)

    def _counts(self, part: Part) -> bool:
        """Tell whether a failed message is one that the limit is about."""
        message: Message = part.data
        assert message.failure is not None
        if not isinstance(message.acknowledger, RecordAcknowledger) or message.waits or part.claim is None:
            return False
        if message.place in self._admitted.get(part.claim, ()):
            return False
        return message.acknowledger.buries(message) or self._limit.is_environmental(message.failure.error)

    def _admit(self, part: Part) -> None:
        claim = claim_of(part)
        if claim not in self._admitted:
            self._admitted = {each: places for each, places in self._admitted.items() if each.ours}
        self._admitted.setdefault(claim, set()).add(part.data.place)
