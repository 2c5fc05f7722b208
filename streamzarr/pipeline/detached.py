"""Messages that were acknowledged before their time: their work goes on, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from streamzarr.flow.chain import claim_of
from streamzarr.flow.demand.credits import Credits
from streamzarr.flow.message import Message as Part
from streamzarr.flow.message import leaves
from streamzarr.pipeline.message import Message


def detach(part: Part, message: Message) -> Part:
    """Return what goes on in place of `part`, which leaves the chain by itself."""
    return part.replace(
        data=message.replace(acked=True),
        failure=message.failure,
        claim=None,
        parts=(),
        holds=(),
        run=None,
    )


def is_detached(part: Part) -> bool:
    """Tell whether the flow's message has left the chain already."""
    return part.claim is None and not part.parts


class Detached:
    """The credit of messages that were acknowledged early: room in memory that they still take.

    Owned by the chain's thread.
    """

    def __init__(self) -> None:
        self._charged: dict[int, list[tuple[Credits, int, int]]] = {}  # by place

    def enter(self, part: Part) -> None:
        """Charge once more what `part` counts for: its own credit returns when it is acknowledged."""
        charged = []
        for leaf in leaves(part):
            credits = claim_of(leaf).credits  # noqa: A001 - the field's word
            credits.charge(leaf.nbytes, records=leaf.count)
            charged.append((credits, leaf.count, leaf.nbytes))
        self._charged[part.data.place] = charged

    def leave(self, parts: Sequence[Part]) -> list[Part]:
        """Return the credit of those that are detached, and the other parts."""
        for part in parts:
            if is_detached(part):
                self._release(part.data.place)
        return [part for part in parts if not is_detached(part)]

    def close(self) -> None:
        """Return all credit."""
        for place in list(self._charged):
            self._release(place)

    def _release(self, place: int) -> None:
        for credits, count, nbytes in self._charged.pop(place, ()):  # noqa: A001
            credits.settle(count, nbytes)
