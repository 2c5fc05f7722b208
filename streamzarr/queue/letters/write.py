"""Writing letters, of which one may be more than its topic takes."""

from __future__ import annotations

from collections.abc import Sequence

from streamzarr.errors import MessageError
from streamzarr.queue.base import Producer
from streamzarr.queue.deadletter import CUT_BYTES, DeadLetter


def write_letters(
    producer: Producer, topic: str, letters: Sequence[DeadLetter], timeout: float = 30.0
) -> None:
    """Return when letters are durable; one that is more than `topic` takes is cut, and the others are whole.

    The broker may refuse good letters together with one that is too large: they are halved until that one
    stands alone. Some letters may be written twice on the way: letters about one message are one.

    Parameters
    ----------
    timeout
        Seconds for the broker to take what it is sent at a time.

    Raises
    ------
    streamzarr.errors.MessageError
        The topic does not even take a letter that is cut.
    streamzarr.errors.QueueError
        The broker did not take them all.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.queue import DeadLetterQueue, Record, open_broker
    >>> folder = tempfile.TemporaryDirectory()
    >>> broker = open_broker(f"sqlite:///{folder.name}/queue.db?max_record_bytes=10000")
    >>> broker.create_topic("ticks.dead")
    >>> records = [Record("ticks", 0, at, None, b"x" * size, (), 0) for at, size in ((7, 9), (8, 9990))]
    >>> with broker.producer() as producer:
    ...     write_letters(
    ...         producer, "ticks.dead", [DeadLetter.of(r, error=ValueError("?"), stage="s") for r in records]
    ...     )
    >>> written = [letter for _, letter in DeadLetterQueue(broker, "ticks.dead").ls()]
    >>> [(letter.offset, len(letter.value), letter.is_cut) for letter in written]
    [(7, 9, False), (8, 4096, True)]
    >>> broker.close(); folder.cleanup()
    """
    try:
        _send(producer, topic, letters, timeout)
    except MessageError:
        if len(letters) > 1:
            middle = len(letters) // 2
            write_letters(producer, topic, letters[:middle], timeout)
            write_letters(producer, topic, letters[middle:], timeout)
        else:
            _send_beginning(producer, topic, letters[0], timeout)


def _send_beginning(producer: Producer, topic: str, letter: DeadLetter, timeout: float) -> None:
    try:
        _send(producer, topic, [letter.cut()], timeout)
    except MessageError as error:
        raise MessageError(
            f"topic {topic!r} does not even take a dead letter with the first {CUT_BYTES} bytes of its "
            f"message, expected it to take records of 16 kB: {error}"
        ) from error


def _send(producer: Producer, topic: str, letters: Sequence[DeadLetter], timeout: float) -> None:
    producer.send(topic, [letter.to_record() for letter in letters])
    producer.flush(timeout)
