"""The writer of a stream: rows in, commits out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from streamzarr.errors import ConfigError, FencedError, NodeExistsError, StoreError, StreamzarrError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.options import parse_bytes
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import StoreLike, open_store
from streamzarr.stream import failpoints
from streamzarr.stream.acquire import Wanted, acquire, check_memory, chunk_bytes
from streamzarr.stream.batches import BatchLike, as_columns
from streamzarr.stream.children import Children
from streamzarr.stream.columns import Columns
from streamzarr.stream.failpoints import Failpoint
from streamzarr.stream.policy import CommitPolicy
from streamzarr.stream.positions import NextOffset, Positions, is_known_within
from streamzarr.stream.record import CommitRecord, Position, Source, check_source
from streamzarr.stream.recover import recover
from streamzarr.stream.schema import CHUNK_ROWS, Field, Schema, SchemaLike, check_name, check_sorted_fill
from streamzarr.zarr.chunks.parallel import AbandonedInterrupt
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.nodes.documents import check_absent
from streamzarr.zarr.nodes.paths import key_below, normalize_path

TailMode: TypeAlias = Literal["store", "memory"]


class StreamWriter:
    """Appends rows to a stream; a commit makes rows of all fields visible in one step, with their position.

    Making one takes the stream over: whoever wrote it before is fenced, and rows that it has not committed
    are gone. Rows are kept in memory until their chunk is full, or a commit puts it as it is. Nothing that is
    appended can be seen before it is committed; what is committed stays, whatever happens to the process or
    the machine.

    Parameters
    ----------
    store, path
        A URL, a local path or a store, and where in it the stream's group is. Made if it is not there.
    schema
        Fields by name, each a dtype or a :class:`Field`, or a structured dtype. None: the stream is there.
    chunk_rows
        Rows of a chunk, for fields that do not say otherwise. A commit rewrites the chunk that is not full,
        so let it hold what comes in a few seconds.
    source
        What positions count in: a name, or facts by name such as a topic and its id. Only compared: rows from
        another source are refused.
    tail
        ``"store"``: a commit makes all rows visible. ``"memory"``: only whole chunks, so no chunk is ever
        rewritten; what is left comes with :meth:`close`. The lengths of all fields' chunks then should be
        multiples of each other.
    commit
        When :meth:`append` commits by itself; without, only :meth:`commit` and :meth:`close` do.
    attributes
        Of the group, if it is made.
    max_bytes
        Bound on the rows in memory: one chunk of every field must fit, twice while rows are appended.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        The store cannot hold streams: its conditional put is missing or does not hold.
    streamzarr.errors.ConfigError
        The arguments make no sense, or the stream has other fields or rows from another source.
    streamzarr.errors.NodeExistsError, streamzarr.errors.NodeNotFoundError
        Something else is at `path`; there is nothing, and no schema to make it.
    streamzarr.errors.FencedError
        Another writer took the stream over at the same time.

    Notes
    -----
    Owned by one thread, in the process that made it. Everything may block for as long as the store takes.
    As a context manager it closes itself; when the block raises, rows that are not committed are dropped,
    since their source gives them again.

    Examples
    --------
    >>> import streamzarr as sz
    >>> fields = {"time": "M8[ns]", "price": "f8"}
    >>> with sz.StreamWriter("memory://ticks", schema=fields, source="ticks/3") as w:
    ...     w.append({"time": ["2026-01-05", "2026-01-06"], "price": [1.5, 1.25]}, next_offset=2)
    ...     w.commit()
    >>> sz.open_stream("memory://ticks")["price"][:]
    array([1.5 , 1.25])
    >>> sz.StreamWriter("memory://ticks").position  # where whoever goes on has to begin
    2
    """

    def __init__(
        self,
        store: StoreLike,
        path: str = "",
        *,
        schema: SchemaLike | None = None,
        chunk_rows: int = CHUNK_ROWS,
        source: Source | None = None,
        tail: TailMode = "store",
        commit: CommitPolicy | None = None,
        attributes: Mapping[str, Any] | None = None,
        max_bytes: int | str = "1GB",
        limits: Limits = DEFAULT_LIMITS,
        runtime: Runtime = SYSTEM,
    ) -> None:
        if tail not in ("store", "memory"):
            raise ConfigError(f"tail is {tail!r}, expected 'store' or 'memory'")
        self._tail, self._policy, self._runtime = tail, commit or CommitPolicy(), runtime
        self._max_bytes, self._chunk_rows, self._limits = parse_bytes(max_bytes), chunk_rows, limits
        self._store, self._path = open_store(store), normalize_path(path)
        self._process = os.getpid()
        self._ended: str | None = None
        self._fenced_as = FencedError
        wanted = Wanted(
            None if schema is None else Schema.of(schema),
            chunk_rows,
            _checked(source),
            attributes or {},
            self._max_bytes,
        )
        self._root = acquire(self._store, self._path, wanted, runtime, limits)
        failpoints.reach(Failpoint.AFTER_ACQUIRE)
        self._columns = Columns(self._store, self._path, self._root, runtime)
        self._children = Children(self._store, self._path, limits)
        recover(self._store, self._path, self._root, self._columns, self._children)
        self._growing: tuple[str, ArrayMetadataV3] | None = None
        """A field whose commit was not answered."""
        self._positions = Positions(self.record.position, self.record.rows)
        self._torn = False
        """It was broken off where a batch was taken in part, or in whole before its commit."""
        self._nbytes = 0
        self._since = runtime.now()

    # What is there

    @property
    def url(self) -> str:
        """The URL of the stream's group."""
        return self._root.url

    @property
    def record(self) -> CommitRecord:
        """What was last committed."""
        return self._root.record

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, which every batch has to have."""
        return tuple(self._columns.fields)

    @property
    def rows(self) -> int:
        """Number of rows, those that are not committed included."""
        return self._columns.rows

    @property
    def position(self) -> Position | None:
        """Where the source is to be read next, behind all that was appended; None: from its beginning."""
        return self._positions.last

    @property
    def last(self) -> dict[str, Any]:
        """The last value of each sorted field, below which :meth:`append` takes nothing; absent: any."""
        return {name: each[0] for name, each in self._columns.last.items()}

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far, each time that one was."""
        return self._columns.put_bytes

    # Writing

    def append(self, batch: BatchLike, *, next_offset: NextOffset = None) -> None:
        """Add rows; they are committed later, all or none of them.

        Whatever it raises, nothing of the batch was taken; after a ``StoreError`` append it again. A commit
        that the policy asks for and that fails is made by the next call, which raises if it fails then. After
        Ctrl-C in such a commit, or a second one, every call raises ``ConfigError``: make a new writer.

        Parameters
        ----------
        batch
            Columns by name, a structured array, or Arrow data: a table or batch of pyarrow, polars, pandas.
        next_offset
            Where the source goes on behind the batch: a number, numbers by name where the source has several
            parts, or one number behind each row (with ``tail="memory"`` a batch is cut at chunk boundaries).
            A batch without rows moves the position alone.

        Raises
        ------
        TypeError, ValueError
            The batch does not fit the fields, or the position goes back.
        streamzarr.errors.FencedError
            Another writer has taken over.
        streamzarr.errors.StoreError
            The store failed.
        """
        self._begin()
        rows = as_columns(batch, self._columns.fields, self.url)
        count = len(next(iter(rows.values())))
        position = self._positions.read(next_offset, count, self.url)
        if self._tail == "memory" and not is_known_within(position):
            self._check_uncut(count)
        self._columns.check_order(rows)
        self.commit_if_due()
        if self._gathered == 0:
            self._since = self._runtime.now()
        self._torn, before = True, self.rows
        try:
            with self._until_fenced():
                self._columns.take(rows, self._check_memory)
        except BaseException:
            self._torn = not self._columns.whole or self.rows != before
            raise
        self._positions.add(count, position)
        if self._tail == "store":
            self._positions.forget(self.rows)
        self._nbytes += sum(each.nbytes for each in rows.values())
        self._commit_early()
        self._torn = False

    def commit(self) -> None:
        """Make what was appended visible, with its position; on return it survives a kill and a power cut.

        Repeat it after a ``StoreError``: it may or may not have been carried out, and never is twice.

        Raises
        ------
        streamzarr.errors.FencedError
            Another writer has taken over; nothing that was not committed before becomes visible.
        streamzarr.errors.StoreError
            The store failed.
        """
        self._begin()
        self._publish(self._committable)

    def add_field(self, name: str, field: Any) -> None:
        """Let rows have one more field from here on; those so far hold its fill value.

        The field is there in one step, a commit of its own, which makes no row visible. Batches need it from
        now on. After a ``StoreError`` it may be there or not: any next call completes it, or raises as this.

        Parameters
        ----------
        field
            A dtype or a :class:`Field`.

        Raises
        ------
        streamzarr.errors.ConfigError
            It describes no field, or one that the stream has already.
        streamzarr.errors.NodeExistsError
            Something else is at its place.
        streamzarr.errors.LimitExceededError
            Its chunk does not fit into memory with those of the others.
        streamzarr.errors.FencedError, streamzarr.errors.StoreError
            As by :meth:`commit`.

        Examples
        --------
        >>> import streamzarr as sz
        >>> with sz.StreamWriter("memory://grown", schema={"price": "f8"}) as writer:
        ...     writer.append({"price": [1.5, 2.5]})
        ...     writer.add_field("size", Field("i4", fill_value=-1))
        ...     writer.append({"price": [3.5], "size": [7]})
        >>> sz.open_stream("memory://grown")["size"][:]
        array([-1, -1,  7], dtype=int32)
        """
        self._begin()
        check_name(name)
        if name in self._root.document.members:
            raise ConfigError(f"{self.url}: there is {name!r} already, add_field expects a new name")
        given = field if isinstance(field, Field) else Field(field)
        array = given.metadata(name, 0, self._chunk_rows, self._limits)
        if self.rows:
            check_sorted_fill(name, array)
        check_memory(self._columns.nbytes + chunk_bytes(array), self._max_bytes, self.url)
        self._check_free(name)
        self._growing = name, array
        self._begin()

    def commit_if_due(self) -> None:
        """Commit if the policy asks for it; for loops that wait for rows. Raises as :meth:`commit`."""
        self._check_usable()
        if self._is_due():
            self.commit()

    @property
    def seconds_left(self) -> float | None:
        """In how many seconds the policy commits what is there; None: at no time."""
        return self._policy.seconds_left(rows=self._due, seconds=self._runtime.now() - self._since)

    def require_ours(self) -> None:
        """Return if the stream is ours still, by a look at the store.

        For whoever takes over something else because this stream is theirs, such as another stream beside
        it: ask when that is yours. Who takes this one over later then comes later to the other one, too.

        Raises
        ------
        streamzarr.errors.FencedError
            Another writer has taken over.
        streamzarr.errors.StoreError
            The store failed.
        """
        self._check_usable()
        with self._until_fenced():
            self._root.require_ours()

    def close(self) -> None:
        """Commit everything, also with ``tail="memory"``, and end.

        Raises as :meth:`commit`; then call it again. The stream stays ours until another one takes it over.
        """
        if self._ended != _CLOSED:
            self._begin()
            self._publish(self.rows)
            self._ended = _CLOSED

    def drop(self) -> None:
        """End without a commit: rows that are not committed are given up. Touches nothing but memory."""
        self._ended = self._ended or _CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.drop()

    # Steps

    def _begin(self) -> None:
        """Complete what the call before has left, if this one may be made."""
        self._check_usable()
        if self._growing is not None:
            with self._until_fenced():
                self._root.grow(*self._growing)
                self._columns.add(*self._growing, self.record.rows)
                self._growing = None
                self._children.follow(self._root.document)

    def _publish(self, rows: int) -> None:
        """Commit the first `rows` rows: chunks, then the root, then the children."""
        with self._until_fenced():
            position = self._positions.at(rows)
            if rows > self.record.rows or position != self.record.position:
                if rows == self.rows:
                    self._columns.put_tails()
                failpoints.reach(Failpoint.BEFORE_ROOT)
                self._root.commit(rows, position, self._columns.bounds(rows))
                failpoints.reach(Failpoint.AFTER_ROOT)
                self._positions.forget(rows)
                self._nbytes, self._since = 0, self._runtime.now()
                self._columns.settle()
            self._children.follow(self._root.document)

    @contextmanager
    def _until_fenced(self) -> Iterator[None]:
        try:
            yield
        except FencedError as error:
            self._ended, self._fenced_as = str(error), type(error)
            raise
        except AbandonedInterrupt:
            self._torn = True
            raise

    # Conditions

    @property
    def _gathered(self) -> int:
        return self.rows - self.record.rows

    @property
    def _due(self) -> int:
        """Rows that the policy counts: none while a commit would make none of them visible."""
        return self._gathered if self._committable > self.record.rows else 0

    @property
    def _committable(self) -> int:
        if self._tail == "store":
            return self.rows
        return max(self.record.rows, self.rows - self.rows % self._columns.unit)

    def _is_due(self) -> bool:
        return self._policy.is_due(
            rows=self._due, nbytes=self._nbytes, seconds=self._runtime.now() - self._since
        )

    def _commit_early(self) -> None:
        if self._is_due():
            try:
                self._publish(self._committable)
            except (StoreError, OSError):
                return  # still due: the next call commits, and raises if that fails; this batch was taken

    def _check_usable(self) -> None:
        if self._ended == _CLOSED:
            raise ConfigError(f"{self.url}: the writer is closed")
        if self._ended is not None:
            raise self._fenced_as(self._ended)
        if self._torn:
            raise ConfigError(
                f"{self.url}: the writer was broken off, and may have taken anything; make a new one: "
                "its position says where to go on"
            )
        if os.getpid() != self._process:
            raise ConfigError(
                f"{self.url}: the writer belongs to process {self._process}, which forked this one"
            )

    def _check_memory(self) -> None:
        check_memory(self._columns.nbytes, self._max_bytes, self.url)

    def _check_free(self, name: str) -> None:
        try:
            check_absent(self._store, key_below(self._path, name))
        except NodeExistsError as error:
            self.require_ours()  # else it is a field of our successor
            raise NodeExistsError(f"{self.url}: something else is at {name!r}, give another name") from error

    def _check_uncut(self, count: int) -> None:
        rows, unit = self.rows, self._columns.unit
        if (rows + count - 1) // unit > rows // unit:
            cut = (rows // unit + 1) * unit
            raise ValueError(
                f"{self.url}: with tail='memory' a commit is made at row {cut}, within this batch: "
                f"pass one next_offset for each of its {count} rows"
            )


def _checked(source: Source | None) -> Source | None:
    try:
        return check_source(source, "source")
    except StreamzarrError as error:
        raise ConfigError(str(error)) from error


_CLOSED = "closed"
