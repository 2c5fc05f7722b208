"""What a pipeline's handlers are given: one record, or item, and what is to become of it. A value."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from streamzarr.errors import ConfigError, FailedError
from streamzarr.flow.arguments import shown
from streamzarr.flow.message import Failure
from streamzarr.queue.record import Headers, Record

if TYPE_CHECKING:
    from streamzarr.pipeline.acknowledger import Acknowledger

_TOPIC, _PARTITION, _OFFSET, _KEY, _VALUE, _HEADERS, _TIMESTAMP = range(len(Record._fields))

DEFAULT = "default"
"""The batcher of messages for which none is named."""


class Message(Struct, frozen=True):
    """A message on its way through a pipeline.

    Handlers change copies of it and return those: ``message.replace(data=..., batcher="archive")``.

    Examples
    --------
    >>> message = Message(data=b"21")
    >>> message.replace(data=int(message.data), batch_key="EURUSD").data
    21
    >>> message.fail("not a number").failure.error
    FailedError('not a number')
    """

    data: Any = None
    """What handlers make of it; at first the record's value, or the source's item."""
    batcher: str = DEFAULT
    """Name of the batcher that it goes to."""
    batch_key: Hashable = None
    """Messages with different keys never share a batch; batches of one key follow each other."""
    flush: bool = False
    """Its batch leaves with it, full or not."""
    failure: Failure | None = None
    """Why it failed; it then passes by the handlers that are still to come."""
    row: tuple[Any, ...] | None = None
    """The fields of :attr:`record`."""
    nbytes: int = 0
    """Bytes that it counts for."""
    attempts: int = 0
    """How often in a row the handler that has it raised a transient error."""
    first_seen: int = 0
    """When it was delivered, milliseconds since the epoch."""
    place: int = 0
    """Its number among all messages of the running pipeline: handlers return it as it is."""
    acknowledger: Acknowledger | None = None
    """Who is told what became of it."""
    ack_ref: Hashable = None
    """Messages of one acknowledger with the same one are acknowledged together."""
    ack_data: Any = None
    """What the acknowledger has to know of it."""
    tier: int = 0
    """How many retry topics it has been to."""
    waits: bool = False
    """It has failed, and goes to the next retry topic."""
    acked: bool = False
    """It was acknowledged before its time (:meth:`ack_immediately`)."""
    recovered: bool = False
    """``handle_failed`` took its failure away: it is done, and passes by the handlers still to come."""

    # -- where it came from ------------------------------------------------------------------------------

    @property
    def record(self) -> Record | None:
        """The record of a topic that it came from; ``None``: from elsewhere."""
        return None if self.row is None else Record._make(self.row)

    @property
    def value(self) -> bytes | None:
        """The value of the record, whatever `data` has become."""
        return self._row()[_VALUE]  # type: ignore[no-any-return]

    @property
    def key(self) -> bytes | None:
        """The key of the record."""
        return self._row()[_KEY]  # type: ignore[no-any-return]

    @property
    def headers(self) -> Headers:
        """The headers of the record."""
        return self._row()[_HEADERS]  # type: ignore[no-any-return]

    @property
    def topic(self) -> str:
        """The topic of the record."""
        return self._row()[_TOPIC]  # type: ignore[no-any-return]

    @property
    def partition(self) -> int:
        """The partition of the record."""
        return self._row()[_PARTITION]  # type: ignore[no-any-return]

    @property
    def offset(self) -> int:
        """The offset of the record."""
        return self._row()[_OFFSET]  # type: ignore[no-any-return]

    @property
    def timestamp(self) -> int:
        """The time of the record, milliseconds since the epoch."""
        return self._row()[_TIMESTAMP]  # type: ignore[no-any-return]

    def _row(self) -> tuple[Any, ...]:
        if self.row is None:
            raise ConfigError(f"{self!r} came from no topic, so it has no record; expected use of its data")
        return self.row

    # -- what is to become of it -------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Message:
        """Return a copy with other values in some fields."""
        return replace(self, **changes)

    def with_data(self, data: Any) -> Message:
        """Return a copy with other data."""
        return replace(self, data=data)

    def to_batcher(self, name: str, key: Hashable = None) -> Message:
        """Return a copy that goes to the batcher `name`, into a batch of `key`."""
        return replace(self, batcher=name, batch_key=key)

    def fail(self, reason: str | BaseException, stage: str = "") -> Message:
        """Return a copy that has failed for good: ``handle_failed`` gets it, and then the acknowledger.

        Parameters
        ----------
        reason
            Words for people, or the exception.
        stage
            Where it failed; the handler that returns it, if nothing is said.

        Raises
        ------
        streamzarr.errors.ConfigError
            `stage` is no text.
        """
        if not isinstance(stage, str):
            raise ConfigError(f"Message.fail: stage is {shown(stage)}, expected text")
        error = reason if isinstance(reason, BaseException) else FailedError(reason)
        return replace(self, failure=Failure(stage, error, self.attempts + 1))

    def configure_ack(self, **options: Any) -> Message:
        """Return a copy that is acknowledged in another way than others of its source.

        Of topics: ``on_failure="dead"``, ``"skip"`` or ``"stop"``, as the pipeline's option of that name.

        Raises
        ------
        streamzarr.errors.ConfigError
            The acknowledger does not know such an option, or value.
        """
        if self.acknowledger is None:
            raise ConfigError(f"{self!r} has no acknowledger that could be configured")
        return replace(self, ack_data=self.acknowledger.configure(self.ack_ref, self.ack_data, dict(options)))

    def ack_immediately(self) -> Message:
        """Acknowledge now, as it is, and return a copy that is not acknowledged again.

        For a handler that goes on with work which must not be repeated. What fails afterwards is lost to
        the source: nothing delivers it again, and no dead letter is written.
        """
        if self.acked:
            return self
        acked = replace(self, acked=True)
        (_desk.get() or _nobody)(acked)
        return acked

    def __repr__(self) -> str:
        record = self.record
        where = f"{record.topic}[{record.partition}]@{record.offset}, " if record else ""
        failed = f", failure={shown(self.failure)}" if self.failure else ""
        return f"Message({where}data={shown(self.data)}{failed})"


_desk: ContextVar[Callable[[Message], None] | None] = ContextVar("streamzarr.pipeline.desk", default=None)
"""Who acknowledges at once, where a handler is called."""


def acknowledging(ack: Callable[[Message], None] | None) -> None:
    """Have :meth:`Message.ack_immediately` call `ack` on this thread."""
    _desk.set(ack)


def _nobody(message: Message) -> None:
    """Leave it to whoever gets the copy."""
