"""Streams: groups of arrays that grow by rows, exactly once, and can be read at any moment.

One writer appends; each commit makes rows of all fields visible in one atomic step, together with the
position of the source that they came from. The order of its puts is the whole point: chunks, then the root
(the group's ``zarr.json``), then the documents of the fields. Nothing before the root is visible.

==============  =============================================================================
``writer``      :class:`StreamWriter`: rows in, commits out
``snapshot``    :func:`open_stream`: the rows of one commit
``rows``        some of its rows, with all fields; ``export``: as data of other libraries
``field_rows``  one field of them, read when it is indexed
``view``        the arrays by which a commit's rows are read, and the caches of their chunks
``follow``      rows in order, as they are committed
``search``      rows by value in sorted fields; ``labels``: what a value means
``bounds``      values of sorted fields at chunk boundaries, in the commit record
``merge``       several streams in the order of one field; ``partitions``: those below a group
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
``amend``       changes of a root by others than its writer
``retention``   rows at the front are given up; ``stored``: which chunks are there
``compaction``  full chunks are gathered in shards; ``shards``: what is in one
``checking``    does everything hold that a stream promises? ``findings``: what can be wrong
``repairing``   what can be mended without loss
``batches``     what can be appended; ``positions``: which position belongs to which row
``failpoints``  where tests stop the process
==============  =============================================================================

This layer knows no broker and no pipeline: a position is a number, whatever it counts.
"""

from streamzarr.stream.checking import check
from streamzarr.stream.compaction import Compacted, compact
from streamzarr.stream.field_rows import FieldRows
from streamzarr.stream.findings import Checked, Finding, Kind
from streamzarr.stream.follow import Follow
from streamzarr.stream.merge import Merged, MergedRows, merge
from streamzarr.stream.merge_follow import MergedFollow
from streamzarr.stream.partitions import open_streams
from streamzarr.stream.policy import CommitPolicy
from streamzarr.stream.record import CommitRecord
from streamzarr.stream.repairing import repair
from streamzarr.stream.retention import Retained, retain
from streamzarr.stream.rows import Rows
from streamzarr.stream.schema import Field
from streamzarr.stream.snapshot import Snapshot, open_stream
from streamzarr.stream.writer import StreamWriter

__all__ = [
    "Checked",
    "CommitPolicy",
    "CommitRecord",
    "Compacted",
    "Field",
    "FieldRows",
    "Finding",
    "Follow",
    "Kind",
    "Merged",
    "MergedFollow",
    "MergedRows",
    "Retained",
    "Rows",
    "Snapshot",
    "StreamWriter",
    "check",
    "compact",
    "merge",
    "open_stream",
    "open_streams",
    "repair",
    "retain",
]
