"""The root of a stream: its group's ``zarr.json`` as a value.

It holds the commit record in its attributes and the documents of all fields as consolidated metadata, so one
put moves the length of every field and the position of the source at once. A reader of any Zarr library that
opens the group goes by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from streamzarr.errors import MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stream.record import CommitRecord
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.metadata import ArrayMetadataV3, GroupMetadataV3
from streamzarr.zarr.metadata.document import dump_document, parse_document
from streamzarr.zarr.metadata.v3 import parse_v3
from streamzarr.zarr.nodes.paths import key_below
from streamzarr.zarr.nodes.streams import STREAM_ATTRIBUTE

SHARDS: Final = "shards"
"""The group below a stream's with the arrays of what was compacted, each by the name of its field."""


@dataclass(frozen=True, slots=True)
class RootDocument:
    """A root; every field has as many rows as the record says.

    Nodes further down and attributes of others are kept as they are when the root is written again.
    """

    group: GroupMetadataV3
    record: CommitRecord
    fields: Mapping[str, ArrayMetadataV3]
    shards: Mapping[str, ArrayMetadataV3] = field(default_factory=dict)
    """For each field that was compacted the array of its shards."""

    @classmethod
    def new(
        cls, fields: Mapping[str, ArrayMetadataV3], record: CommitRecord, attributes: Mapping[str, Any]
    ) -> RootDocument:
        """Return the root of a stream of these fields."""
        documents = {name: each.to_json() for name, each in fields.items()}
        group = GroupMetadataV3(dict(attributes), documents)
        return cls(group, record, dict(fields)).committed(record)

    @classmethod
    def parse(cls, data: bytes, where: str, limits: Limits = DEFAULT_LIMITS) -> RootDocument | None:
        """Read a ``zarr.json``; None if it is that of a group which is no stream.

        Raises
        ------
        streamzarr.errors.MetadataError
            It is not valid, not a group's, or its fields are not what the record says.
        streamzarr.errors.LimitExceededError
            It is larger than `limits` allow.
        """
        group = parse_v3(parse_document(data, where, limits), where, limits)
        if not isinstance(group, GroupMetadataV3):
            raise MetadataError(f"{where}: is an array, expected a group that is a stream")
        if STREAM_ATTRIBUTE not in group.attributes:
            return None
        record = CommitRecord.from_json(group.attributes[STREAM_ATTRIBUTE], where)
        if group.consolidated is None:
            raise MetadataError(f"{where}: has a commit record and no consolidated metadata")
        fields = {}
        for name, document in group.consolidated.items():
            if "/" not in name:
                node = parse_v3(document, f"{where}: {name}", limits)
                if isinstance(node, ArrayMetadataV3):
                    fields[name] = _array(node, record.rows, f"{where}: {name}")
        if not fields:
            raise MetadataError(f"{where}: has a commit record and no field")
        shards = {}
        for name, rows in record.sealed.items():
            place = key_below(SHARDS, name)
            node = parse_v3(group.consolidated.get(place, {}), f"{where}: {place}", limits)
            if name not in fields or not isinstance(node, ArrayMetadataV3):
                raise MetadataError(f"{where}: {place}: expected the shards of a field")
            shards[name] = _array(node, rows, f"{where}: {place}")
            if rows > record.rows:
                raise MetadataError(f"{where}: {place}: has {rows} rows, the stream has {record.rows}")
        return cls(group, record, fields, shards)

    @property
    def members(self) -> frozenset[str]:
        """The names that are taken below the group, as far as it knows."""
        return frozenset(name.partition("/")[0] for name in self.group.consolidated or {})

    @property
    def arrays(self) -> Mapping[str, ArrayMetadataV3]:
        """All arrays by their path below the group: the fields, and their shards."""
        return {**self.fields, **{key_below(SHARDS, name): each for name, each in self.shards.items()}}

    def committed(self, record: CommitRecord) -> RootDocument:
        """Return the root with another record, and every field as long as that says."""
        documents = dict(self.group.consolidated or {})
        fields = {}
        for name, array in self.fields.items():
            shape = (record.rows, *array.shape[1:])
            fields[name] = replace(array, shape=shape)
            documents[name] = documents[name] | {"shape": list(shape)}
        attributes = self.group.attributes | {STREAM_ATTRIBUTE: record.to_json()}
        return RootDocument(
            replace(self.group, attributes=attributes, consolidated=documents), record, fields, self.shards
        )

    def sealed(self, rows: Mapping[str, int], shards: Mapping[str, ArrayMetadataV3]) -> RootDocument:
        """Return the root with so many rows of fields in shards, which are arrays like these unless there."""
        arrays = {
            name: replace(array, shape=(rows[name], *array.shape[1:]))
            for name, array in {**shards, **self.shards}.items()
        }
        documents = {**(self.group.consolidated or {}), SHARDS: GroupMetadataV3({}).to_json()}
        documents |= {key_below(SHARDS, name): array.to_json() for name, array in arrays.items()}
        record = replace(self.record, sealed=dict(rows))
        group = replace(self.group, consolidated=documents)
        return RootDocument(group, record, self.fields, arrays).committed(record)

    def grown(self, name: str, array: ArrayMetadataV3) -> RootDocument:
        """Return the root with one more field, of which no row so far is stored; itself if that is there."""
        if name in self.fields:
            return self
        since = {**self.record.since, name: self.record.rows} if self.record.rows else self.record.since
        documents = {**(self.group.consolidated or {}), name: array.to_json()}
        group = replace(self.group, consolidated=documents)
        record = replace(self.record, since=since)
        return RootDocument(group, record, {**self.fields, name: array}, self.shards).committed(record)

    def encode(self, where: str) -> bytes:
        """Return the bytes to store; `where` names them in errors."""
        return dump_document(self.group.to_json(), where, indent=None)

    def child(self, name: str) -> dict[str, Any]:
        """Return the document of a field, or of shards by their path, as it is consolidated here."""
        documents: Mapping[str, dict[str, Any]] = self.group.consolidated or {}
        return documents[name]


def _array(array: ArrayMetadataV3, rows: int, where: str) -> ArrayMetadataV3:
    if not array.shape or array.shape[0] != rows:
        raise MetadataError(f"{where}: shape is {list(array.shape)}, expected {rows} rows")
    if not isinstance(array.chunk_grid, RegularChunks):
        raise MetadataError(f"{where}: expected a regular chunk grid, got {array.chunk_grid}")
    return array
