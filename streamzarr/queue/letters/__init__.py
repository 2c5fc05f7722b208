"""What becomes of dead letters: they are listed, replayed, dropped, and removed in the end.

That a letter was replayed or dropped is itself a record, a *marker*, behind it in the same partition. The
original and its marker are written together or not at all (:class:`streamzarr.queue.atomic.AtomicWriter`),
and of two replays at a time only the later one goes on: however often a replay is killed and begun again,
each original is sent once.

A worker that dies after it wrote a letter gets its message again, and may write another. Letters about the
same message are one: the newest stands for all, and what closes one closes them. Parts of one record are
messages of their own if their keys differ.

Partitions that pause rather than write letters tell of it there too, and are told to go on. A purge tells
which letters of feeds are gone.
"""

from streamzarr.queue.letters.filter import ANY_LETTER, LetterFilter
from streamzarr.queue.letters.index import open_letters
from streamzarr.queue.letters.pauses import PauseNotice, paused_partitions, resume_partitions
from streamzarr.queue.letters.purged import PurgeNotice
from streamzarr.queue.letters.queue import DeadLetterQueue
from streamzarr.queue.letters.replay import Replay
from streamzarr.queue.letters.write import write_letters

__all__ = [
    "ANY_LETTER",
    "DeadLetterQueue",
    "LetterFilter",
    "PauseNotice",
    "PurgeNotice",
    "Replay",
    "open_letters",
    "paused_partitions",
    "resume_partitions",
    "write_letters",
]
