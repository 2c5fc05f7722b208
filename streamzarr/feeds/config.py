"""What a feed is told: one tree of values, from a TOML file or from Python, checked as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

import msgspec
from msgspec import Meta, Struct, field

from streamzarr.errors import ConfigError, LimitExceededError, MetadataError
from streamzarr.feeds import mistakes
from streamzarr.feeds.columns import OFFSET, ColumnSpec, TimeUnit
from streamzarr.feeds.grid.spec import GridSpec, How, check_how
from streamzarr.feeds.of_record import OfRecord
from streamzarr.feeds.replayed.names import OWN
from streamzarr.feeds.route.spec import RouteSpec
from streamzarr.feeds.tables import Count, Seconds, Table, Text
from streamzarr.feeds.toml import parse_toml, place_of
from streamzarr.feeds.windows.config import WindowConfig
from streamzarr.flow.windows.moments import duration
from streamzarr.options import parse_bytes
from streamzarr.queue.deadletter import dead_letter_topic
from streamzarr.redact import redacted
from streamzarr.stores import split_url
from streamzarr.stream import CommitPolicy, Field
from streamzarr.stream.schema import CHUNK_ROWS

_AS_THEY_ARE: Final = (
    *(
        "sorted",
        "required",
        "fill",
        "unit",
        "format",
        "zone",
        "decimals",
        "ahead",
        "chunk_rows",
        "compressors",
    ),
)
_NESTED: Final = ("source", "decode", "columns", "target", "route", "grid", "window", "dead_letters")
_LAYOUTS: Final = {"grid": ("grid", "bars"), "window": ("windows",)}
"""Tables that are there for some layouts."""
MAX_OPEN_CELLS: Final = 1 << 24
"""Cells of open slots of one field: 128 MB of floats."""


class SourceConfig(Table, frozen=True):
    """``[source]``: where records come from."""

    broker: Text
    topics: Annotated[list[Text], Meta(min_length=1)]
    group: Text | None = None
    """Of those who share the work; made of the target's name when absent. It holds a gauge, no truth."""
    start: Literal["begin", "end"] = "begin"
    """Where a partition begins that the target does not know; one that comes later: at the beginning."""
    session_timeout: Seconds = 10.0
    max_records: Count = 131_072
    """Records in memory."""
    max_bytes: Count | Text = "32MB"
    """Bytes of records in memory: what is worked on at a time, the half of it, is to stay in the caches."""


class CommitConfig(Table, frozen=True):
    """``commit``: when rows become visible; whichever comes first."""

    seconds: Seconds = 1.0
    rows: Count | None = None
    bytes: Count | Text | None = None


class TargetConfig(Table, frozen=True):
    """``[target]``: where rows go."""

    url: Text
    layout: Literal["log", "grid", "bars", "windows"] = "log"
    """A row for each record; slots of each step with all keys; a row for each slot that has records; or one
    for each window."""
    chunk_rows: Count | None = None
    """65,536 when absent; of a grid as many as make 1 MiB."""
    commit: CommitConfig = field(default_factory=CommitConfig)
    max_bytes: Count | Text = "1GB"
    """Of rows in memory, for each partition."""


class GridConfig(Table, frozen=True):
    """``[grid]``: the slots, where the target's layout is that."""

    time: Text
    """The column with a record's time."""
    step: Text | Seconds
    key: Text | None = None
    """The column with its key; all records are of one when absent."""
    keys: Count | Annotated[list[Text], Meta(min_length=1)] = 64
    """How many keys there is room for, or which there are."""
    lateness: Text | Annotated[float, Meta(ge=0)] = 0.0
    """How late a record may be; so long its slot stays open."""
    ahead: Text | Seconds = "30d"
    """How far ahead of the clock a record may be, and of all before it, unless its own timestamp is near."""
    values: dict[str, str] = field(default_factory=dict)
    """What several values of a column in one slot come to: last first min max sum mean count ohlc."""

    def spec(self, *, dense: bool) -> GridSpec:
        """Return it, checked; `dense`: slots without records are stored."""
        check_how(self.values)
        spec = GridSpec(
            self.time,
            duration(self.step, "step", 1),
            self.key,
            (self.keys if isinstance(self.keys, int) else tuple(self.keys)) if self.key else 1,
            duration(self.lateness, "lateness"),
            duration(self.ahead, "ahead", 1),
            cast("dict[str, How]", self.values),
            dense,
        )
        cells = (spec.lateness // spec.step + 1) * spec.room
        if cells > MAX_OPEN_CELLS:
            raise ConfigError(
                f"lateness keeps {spec.lateness // spec.step + 1} slots of {spec.room} keys open, {cells} "
                f"cells, at most {MAX_OPEN_CELLS} allowed; a longer step, fewer keys, or less lateness"
            )
        return spec


class RouteConfig(Table, frozen=True):
    """``[route]``: which of several targets a row goes into."""

    by: Text
    """The column whose value names it."""
    targets: Count | Annotated[list[Text], Meta(min_length=1)] = 64
    """How many there is room for, or which there are."""
    other: Text | None = None
    """The target of rows that have none; without it their records are bad."""

    def spec(self) -> RouteSpec:
        """Return it."""
        return RouteSpec(
            self.by, self.targets if isinstance(self.targets, int) else tuple(self.targets), self.other
        )


class LettersConfig(Table, frozen=True):
    """``[dead_letters]``: what becomes of bad records."""

    topic: Text | None = None
    """Where they go; a topic's own are in ``TOPIC.dead`` when absent."""


class _Column(Table, frozen=True):
    dtype: Text
    source: Text | None = field(default=None, name="from")
    sorted: bool = False
    required: bool = True
    fill: Any = None
    missing: tuple[Any, ...] = ()
    unit: TimeUnit | None = None
    format: Text | None = None
    zone: Text | None = None
    decimals: int | None = None
    ahead: Text | Seconds | None = None
    chunk_rows: Count | None = None
    compressors: Any = "auto"
    attributes: dict[str, Any] = field(default_factory=dict)


class Feed(Struct, frozen=True, kw_only=True):
    """A feed: topics, how their records are decoded, the columns of the rows, and the target.

    Examples
    --------
    >>> feed = Feed.of({
    ...     "source": {"broker": "sqlite:///queue.db", "topics": ["fx.ticks"]},
    ...     "decode": {"format": "json"},
    ...     "columns": {"time": {"dtype": "datetime64[ns]", "from": "ts", "sorted": True}, "bid": "f8"},
    ...     "target": {"url": "fx.zarr", "commit": {"seconds": 0.5}},
    ... })
    >>> [*feed.columns], feed.target.commit.seconds
    (['time', 'bid', 'offset'], 0.5)
    """

    source: SourceConfig
    decode: dict[str, Any]
    """``format``, and the options of its decoder."""
    columns: dict[str, ColumnSpec]
    target: TargetConfig
    route: RouteConfig | None = None
    grid: GridConfig | None = None
    window: WindowConfig | None = None
    dead_letters: LettersConfig

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the feed that a TOML file describes.

        Raises
        ------
        streamzarr.errors.ConfigError
            It describes none; names file, line and key.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")  # editors begin with a mark
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        return cls._of(parse_toml(text, str(path)), str(path), text)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the feed that nested mappings describe, as the tables of the TOML file would."""
        return cls._of(given, "feed", "")

    @classmethod
    def _of(cls, given: Mapping[str, Any], where: str, text: str) -> Self:
        def fail(keys: tuple[str, ...], reason: str) -> ConfigError:
            return ConfigError(f"{place_of(text, keys, where)}: {'.'.join(keys)}: {reason}")

        if unknown := [name for name in given if name not in _NESTED]:
            raise fail((unknown[0],), f"unknown table, expected {', '.join(_NESTED)}")
        for name in ("source", "decode", "columns", "target"):
            if not isinstance(given.get(name), Mapping):
                raise fail((name,), f"expected a table, got {given.get(name, 'none')!r}")

        def part(kind: type[Any], keys: tuple[str, ...], value: Any) -> Any:
            try:
                return msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                below, reason = mistakes.told(error, kind)
                raise fail((*keys, *below), reason) from error

        decode = dict(given["decode"])
        if not isinstance(decode.get("format"), str) or not decode["format"]:
            raise fail(("decode", "format"), f"expected the name of a format, got {decode.get('format')!r}")
        columns: dict[str, ColumnSpec] = {}
        for name, each in given["columns"].items():
            keys = ("columns", str(name))
            try:
                told = part(_Column, keys, {"dtype": each} if isinstance(each, str) else each)
            except ConfigError as error:
                if isinstance(each, Mapping):
                    raise
                raise ConfigError(
                    f'{error}; a table such as {{ dtype = "f8" }}, or its dtype as a text'
                ) from error
            try:
                columns[name] = ColumnSpec(
                    name, **{**msgspec.structs.asdict(told), "source": told.source or ""}
                )
                columns[name].field()
                if columns[name].of_record:
                    OfRecord(columns[name])
            except ConfigError as error:
                raise fail(keys, str(error)) from error
        for name in columns.keys() & set(OWN):
            raise fail(("columns", name), "is what a feed calls a field of its own; give it another name")
        if not columns:
            raise fail(("columns",), "expected at least one column")
        target: TargetConfig = part(TargetConfig, ("target",), given["target"])
        if target.layout == "log":
            _add_offset(columns, fail)
        for name, layouts in _LAYOUTS.items():
            if (target.layout in layouts) != (name in given):
                told = " or ".join(f'"{each}"' for each in layouts)
                raise fail((name,), f"expected if and only if target.layout is {told}")
        if target.layout != "log" and "route" in given:
            raise fail(("route",), 'expected only if target.layout is "log"; a grid and windows have keys')
        feed = cls(
            source=part(SourceConfig, ("source",), given["source"]),
            decode=decode,
            columns=columns,
            target=target,
            route=part(RouteConfig, ("route",), given["route"]) if "route" in given else None,
            grid=part(GridConfig, ("grid",), given["grid"]) if "grid" in given else None,
            window=part(WindowConfig, ("window",), given["window"]) if "window" in given else None,
            dead_letters=part(LettersConfig, ("dead_letters",), given.get("dead_letters", {})),
        )
        if twice := [name for name in feed.source.topics if feed.source.topics.count(name) > 1]:
            raise fail(("source", "topics"), f"{twice[0]!r} is there twice")
        _check_all(feed, fail)
        return feed

    def to_builtins(self) -> dict[str, Any]:
        """Return what :meth:`of` takes: plain values, for another process."""
        columns = {
            name: {
                "dtype": each.type_name,
                **({"from": each.source} if each.source else {}),
                **{key: getattr(each, key) for key in _AS_THEY_ARE},
                "missing": list(each.missing),
                "attributes": dict(each.attributes),
            }
            for name, each in self.columns.items()
        }
        tables = {name: getattr(self, name) for name in _NESTED if name != "columns"}
        told: dict[str, Any] = msgspec.to_builtins(
            {name: table for name, table in tables.items() if table is not None}
        )
        return {**told, "columns": columns}

    # What follows from it

    @property
    def url(self) -> str:
        """The target, the same whatever the folder a process runs in."""
        url = split_url(self.target.url)
        return str(Path(url.path).absolute()) if url.scheme == "file" else self.target.url

    @property
    def group(self) -> str:
        """The consumer group of those who share the work: one for each target."""
        if self.source.group is not None:
            return self.source.group
        return f"streamzarr.feed.{blake2b(redacted(self.url).encode(), digest_size=6).hexdigest()}"

    @property
    def source_bytes(self) -> int:
        """Bytes of records in memory, at most."""
        return _bytes(self.source.max_bytes)

    @property
    def target_bytes(self) -> int:
        """Bytes of rows in memory, at most, for each partition."""
        return _bytes(self.target.max_bytes)

    @property
    def policy(self) -> CommitPolicy:
        """When a partition commits between two looks at the clock."""
        commit = self.target.commit
        nbytes = None if commit.bytes is None else _bytes(commit.bytes)
        return CommitPolicy(rows=commit.rows, bytes=nbytes)

    def check_route(self) -> None:
        """Raise :class:`~streamzarr.errors.ConfigError` unless rows of these columns can be routed."""
        if self.route is not None:
            self.route.spec().check(self.columns)

    @property
    def keyed(self) -> bool:
        """Whether slots or windows are of keys."""
        table = self.grid or self.window
        return table is not None and table.key is not None

    @property
    def grid_spec(self) -> GridSpec | None:
        """The grid, checked; None: the target has rows."""
        return None if self.grid is None else self.grid.spec(dense=self.target.layout == "grid")

    def schema(self) -> dict[str, Field]:
        """Return the fields of each partition's stream."""
        if self.grid is not None:
            spec = self.grid_spec
            assert spec is not None
            if self.target.layout == "bars":
                return spec.bars(self.columns)
            return spec.schema(self.columns, self.target.chunk_rows)
        if self.window is not None:
            return self.window.spec().schema(self.columns)
        return {name: each.field() for name, each in self.columns.items()}

    @property
    def offset_field(self) -> str:
        """The field with the offset of each row's record; empty: a grid and windows have none."""
        return next((name for name, each in self.columns.items() if each.source == OFFSET), "")

    def dead_topic(self, topic: str) -> str:
        """Return where bad records of `topic` go."""
        return self.dead_letters.topic or dead_letter_topic(topic)


def _check_all(feed: Feed, fail: Callable[[tuple[str, ...], str], ConfigError]) -> None:
    """Read what is only told when it is read."""
    arrays = [
        (("columns", name), partial(each.field().metadata, name, 0, feed.target.chunk_rows or CHUNK_ROWS))
        for name, each in (feed.columns.items() if feed.target.layout == "log" else ())
    ]
    reads: list[tuple[tuple[str, ...], Callable[[], object]]] = [
        (("source", "max_bytes"), lambda: feed.source_bytes),
        (("target", "max_bytes"), lambda: feed.target_bytes),
        (("target", "commit"), lambda: feed.policy),
        *(((("window", key), read) for key, read in feed.window.reads()) if feed.window else ()),
        *([(("grid", "values"), partial(check_how, feed.grid.values))] if feed.grid else ()),
        (("grid",) if feed.window is None else ("window",), feed.schema),
        *arrays,
        (("route",), feed.check_route),
    ]
    for keys, read in reads:
        try:
            read()
        except (ConfigError, MetadataError, LimitExceededError) as error:
            raise fail(keys, str(error)) from error


def _add_offset(columns: dict[str, ColumnSpec], fail: Callable[[tuple[str, ...], str], ConfigError]) -> None:
    """Add the column of the records' offsets, unless there is one: by it a feed can be checked."""
    if any(each.source == OFFSET for each in columns.values()):
        return
    if "offset" in columns:
        raise fail(
            ("columns", "offset"),
            "stands where the records' offsets would; add a column of another name for them, as in "
            f'record = {{ dtype = "i8", from = "{OFFSET}" }}',
        )
    columns["offset"] = ColumnSpec("offset", "i8", source=OFFSET, sorted=True)


def _bytes(given: int | str) -> int:
    """Return a number of bytes, at least one."""
    nbytes = parse_bytes(given)
    if nbytes < 1:
        raise ConfigError(f"{given!r} is none, expected bytes such as '64MB'")
    return nbytes
