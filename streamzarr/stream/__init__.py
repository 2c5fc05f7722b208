"""Streams: groups of arrays that grow by rows, exactly once, and can be read at any moment.

One writer appends; each commit makes rows of all fields visible in one atomic step, together with the
position of the source that they came from. The order of its puts is the whole point: chunks, then the root
(the group's ``zarr.json``), then the documents of the fields. Nothing before the root is visible.

==============  =============================================================================
``writer``      :class:`StreamWriter`: rows in, commits out
``snapshot``    :func:`open_stream`: the rows of one commit
``schema``      :class:`Field`: what a row is made of
``policy``      :class:`CommitPolicy`: when a writer commits by itself
``record``      what a commit says: rows, position, epoch
``document``    the root as a value: record and shapes in one document
``standing``    is the root that a writer finds still its own? the decision
``root``        the root in the store, replaced by compare-and-swap
``acquire``     becoming the writer; ``recover``: going on where the last one was stopped
``tail``        the rows since the last chunk boundary; ``column``: with their chunks; ``columns``: all
``chunks``      puts that a fenced writer cannot carry out
``children``    the documents of the fields, which follow the root
``batches``     what can be appended; ``positions``: which position belongs to which row
``failpoints``  where tests stop the process
==============  =============================================================================

This layer knows no broker and no pipeline: a position is a number, whatever it counts.
"""

from streamzarr.stream.policy import CommitPolicy
from streamzarr.stream.record import CommitRecord
from streamzarr.stream.schema import Field
from streamzarr.stream.snapshot import Snapshot, open_stream
from streamzarr.stream.writer import StreamWriter

__all__ = ["CommitPolicy", "CommitRecord", "Field", "Snapshot", "StreamWriter", "open_stream"]
