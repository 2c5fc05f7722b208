"""Who is told what became of messages, before their credit and offsets are released."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol, cast

from streamzarr.errors import ConfigError, FailedError, describe
from streamzarr.flow.arguments import shown
from streamzarr.pipeline.letters import Letters
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.options import ON_FAILURE, OnFailure
from streamzarr.pipeline.retries import RetryTopic


class Acknowledger(Protocol):
    """Is told, once or more, what became of each message of a source.

    Threads: called on the thread that drives the pipeline, but :meth:`configure`, which any handler may call.
    """

    def configure(self, ref: Hashable, ack_data: Any, options: Mapping[str, Any]) -> Any:
        """Return other `ack_data` for a message: what :meth:`Message.configure_ack` was given changes it.

        Raises
        ------
        streamzarr.errors.ConfigError
            There is no such option, or value.
        """

    def ack(self, ref: Hashable, successful: Sequence[Message], failed: Sequence[Message]) -> None:
        """Take note of messages of one `ref`, durably when it returns; blocks for a request at most.

        What it raises holds their credit and offsets: transient errors have it called again later with the
        same messages, others end the pipeline. After a crash it may be told of a message again.
        """


class RecordAcknowledger:
    """The acknowledger of all sources that bring none: what failed becomes a dead letter, or not.

    That the topic's offsets are committed, as far as all before them are acknowledged, is the flow's affair
    (:class:`streamzarr.queue.offsets.OffsetWindow`), after this.

    Parameters
    ----------
    on_failure
        What becomes of failed messages that do not say otherwise.
    letters
        Writes dead letters; ``None``: there is no broker for them.
    tiers
        The retry topics.
    """

    def __init__(
        self, on_failure: OnFailure, letters: Letters | None, tiers: Sequence[RetryTopic] = ()
    ) -> None:
        self._on_failure, self._letters, self._tiers = on_failure, letters, tiers

    def configure(self, ref: Hashable, ack_data: Any, options: Mapping[str, Any]) -> Any:
        """Return what becomes of a message when it fails."""
        if unknown := options.keys() - {"on_failure"}:
            raise ConfigError(f"configure_ack: {min(unknown)!r} is no option, expected on_failure")
        choice = options.get("on_failure", ack_data)
        if choice not in ON_FAILURE:
            expected = " or ".join(f'"{name}"' for name in ON_FAILURE)
            raise ConfigError(f"configure_ack: on_failure is {shown(choice)}, expected {expected}")
        if choice == "dead" and not self._has_topic:
            raise ConfigError('configure_ack: on_failure is "dead", but the pipeline has no dead_letters')
        return choice

    def ack(self, ref: Hashable, successful: Sequence[Message], failed: Sequence[Message]) -> None:
        """Write dead letters; raises ``FailedError`` for what may not be passed over."""
        letters = self._letters
        final = [message for message in failed if not message.waits]
        if letters is not None and len(final) < len(failed):
            waiting = [message for message in failed if message.waits]
            refused = letters.put_off(waiting, self._tiers)
            final += [message.replace(waits=False) for message in refused]
        dead = []
        for message in final:
            if self.buries(message):
                dead.append(message)
            elif self._choice(message) != "skip":
                raise _unsettled(message)
        if letters is not None and dead:
            letters.write(dead)

    def buries(self, message: Message) -> bool:
        """Tell whether a failed message becomes a dead letter."""
        return (
            not message.waits
            and message.row is not None
            and self._has_topic
            and self._choice(message) == "dead"
        )

    def _choice(self, message: Message) -> OnFailure:
        return cast(OnFailure, message.ack_data or self._on_failure)

    @property
    def _has_topic(self) -> bool:
        return self._letters is not None and self._letters.has_topic


def _unsettled(message: Message) -> FailedError:
    failure = message.failure
    assert failure is not None
    error = FailedError(
        f"{message.replace(failure=None)!r} failed in {failure.stage}: {describe(failure.error)}; nothing of "
        "it is acknowledged (expected dead_letters= for records, or on_failure='skip', to go on)"
    )
    error.__cause__ = failure.error
    return error
