"""A group: named arrays and groups, with attributes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np

from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    ContainsGroupError,
    NodeNotFoundError,
    UnsupportedError,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.configure import ArrayConfig
from streamzarr.zarr.create import make_array, write_all
from streamzarr.zarr.info import Below, GroupInfo
from streamzarr.zarr.metadata import (
    ArrayMetadataV2,
    ArrayMetadataV3,
    GroupMetadata,
    NodeMetadata,
    new_group,
)
from streamzarr.zarr.nodes.attributes import Attributes, Change
from streamzarr.zarr.nodes.create_many import NodeSpec, plan_hierarchy, write_hierarchy
from streamzarr.zarr.nodes.creation import Creation
from streamzarr.zarr.nodes.documents import change_node, find_or_make
from streamzarr.zarr.nodes.keeper import Edit, Keeper
from streamzarr.zarr.nodes.members import Members, Unreadable
from streamzarr.zarr.nodes.node import Node
from streamzarr.zarr.nodes.paths import key_below, normalize_path
from streamzarr.zarr.nodes.streams import check_no_stream
from streamzarr.zarr.nodes.tree import Tree, TreeNode
from streamzarr.zarr.settings import ZarrFormat


class Group(Node):
    """A Zarr group. Made by :func:`streamzarr.zarr.open_group` and :func:`streamzarr.zarr.create_group`.

    Children are found in the group's consolidated metadata where it has some, which then counts more than the
    children's own documents (trap T20), and in the store otherwise. For one thread at a time; pickles like an
    array.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> root = zarr.create_group("memory://", attributes={"run": 7})
    >>> temperature = root.create_array("air/temperature", shape=(4, 4), dtype="f4")
    >>> root["air"]["temperature"].shape, "air/wind" in root
    ((4, 4), False)
    >>> print(root.tree())
    /
    └── air
        └── temperature (4, 4) float32
    """

    def __init__(
        self,
        store: Store,
        path: str,
        metadata: GroupMetadata,
        *,
        use_consolidated: bool = True,
        limits: Limits = DEFAULT_LIMITS,
        cache: ChunkCache | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        super().__init__(store, path)
        self._metadata = metadata
        self._limits = limits
        self._cache = cache
        self._use_consolidated = use_consolidated
        self._keeper = keeper
        self._own_keeper: Keeper | None = None
        self._found: tuple[GroupMetadata, Members] | None = None

    @property
    def metadata(self) -> GroupMetadata:
        """The metadata as last read or written; immutable."""
        return self._metadata

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return self._metadata.zarr_format

    @property
    def attrs(self) -> Attributes:
        """The attributes, as a mapping that writes through."""
        return Attributes(lambda: self._metadata.attributes, self._change_attributes, self._url, self._limits)

    def update_attributes(self, attributes: dict[str, Any]) -> Self:
        """Set several attributes in one write, and return this group."""
        self.attrs.update(attributes)
        return self

    # Children

    def __getitem__(self, path: str) -> Array | Group:
        """Return the array or group at `path` below this group.

        Raises
        ------
        streamzarr.errors.NodeNotFoundError
            There is none. It is a ``KeyError``, too.
        """
        relative = normalize_path(path)
        if not relative:
            return self._node(self._path, self._metadata)
        return self._node(key_below(self._path, relative), self._members.find(relative))

    def get(self, path: str, default: Any = None) -> Any:
        """Return the array or group at `path`, or `default` when there is none."""
        try:
            return self[path]
        except NodeNotFoundError:
            return default

    def __contains__(self, path: str) -> bool:
        relative = normalize_path(path)
        return not relative or self._members.has(relative)

    def __delitem__(self, path: str) -> None:
        """Delete the array or group at `path`, readable or not, and all that is below it."""
        self._require_open_to_change()
        relative = normalize_path(path)
        if not relative:
            raise UnsupportedError(f"{self._url}: a group cannot delete itself")
        place = key_below(self._path, relative)
        if not self._members.has(relative):
            raise NodeNotFoundError(f"no array or group at {join_url(self._store.url, place)}")
        self._keeper_of_children().removed(place)
        self._store.delete_prefix(place)
        if self._cache is not None:
            self._cache.invalidate(join_url(self._store.url, place))

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._members.walk(0))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Iterator[str]:
        """Yield the name of every child, of those that cannot be read as well."""
        return iter(self)

    def members(self, max_depth: int | None = 0) -> Iterator[tuple[str, Array | Group]]:
        """Yield path and node of what is below, sorted by path; `max_depth` 0 is the children, None is all.

        What lies in the store and is no node is passed over. So is, with a warning that names it, a node that
        cannot be read, for its type or codec say; see :meth:`walk`.
        """
        for path, node in self.walk(max_depth):
            if isinstance(node, Unreadable):
                warnings.warn(f"{self._url}: {path!r} is passed over: {node}", stacklevel=2)
            else:
                yield path, node

    def walk(self, max_depth: int | None = 0) -> Iterator[tuple[str, Array | Group | Unreadable]]:
        """Yield what :meth:`members` does, and the error in place of a node that cannot be read."""
        for path, node in self._members.walk(max_depth):
            place = key_below(self._path, path)
            yield path, node if isinstance(node, Unreadable) else self._node(place, node)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield name and array of every child array."""
        return ((name, node) for name, node in self.members() if isinstance(node, Array))

    def groups(self) -> Iterator[tuple[str, Group]]:
        """Yield name and group of every child group."""
        return ((name, node) for name, node in self.members() if isinstance(node, Group))

    def array_keys(self) -> Iterator[str]:
        """Yield the name of every child array."""
        return (name for name, _ in self.arrays())

    def group_keys(self) -> Iterator[str]:
        """Yield the name of every child group."""
        return (name for name, _ in self.groups())

    def array_values(self) -> Iterator[Array]:
        """Yield every child array."""
        return (array for _, array in self.arrays())

    def group_values(self) -> Iterator[Group]:
        """Yield every child group."""
        return (group for _, group in self.groups())

    def nmembers(self, max_depth: int | None = 0) -> int:
        """Return the number of nodes below; see :meth:`members`."""
        return sum(1 for _ in self.members(max_depth))

    @property
    def info(self) -> GroupInfo:
        """A description to print."""
        return GroupInfo.of(self, self._metadata)

    def info_complete(self) -> GroupInfo:
        """Return a description with what is below counted; lists the store."""
        below = [isinstance(node, Array) for _, node in self.members(max_depth=None)]
        return GroupInfo.of(self, self._metadata, Below(sum(below), len(below) - sum(below)))

    def tree(self, level: int | None = None) -> Tree:
        """Return the hierarchy below, to print; `level` limits its depth."""
        found = self.walk(None if level is None else level - 1)
        return Tree(self.name, tuple(TreeNode(path, _shown(node)) for path, node in found))

    # Making children

    def create_array(
        self,
        name: str,
        *,
        data: Any = None,
        shape: Any = None,
        dtype: Any = None,
        overwrite: bool = False,
        **options: Any,
    ) -> Array:
        """Create the array `name`; groups in between are made. Options as in ``create_array``."""
        self._require_open_to_change()
        return make_array(
            self._store,
            self._child_path(name),
            data=data,
            shape=shape,
            dtype=dtype,
            overwrite=overwrite,
            limits=self._limits,
            cache=self._cache,
            created=self._remember,
            keeper=self._keeper_of_children(),
            **{"zarr_format": self.zarr_format} | options,
        )

    def create_group(
        self, name: str, *, attributes: dict[str, Any] | None = None, overwrite: bool = False
    ) -> Group:
        """Create the group `name`; groups in between are made."""
        self._require_open_to_change()
        path = self._child_path(name)
        metadata = new_group(self.zarr_format, attributes, join_url(self._store.url, path), self._limits)
        with Creation(self._store, self._limits) as creation:
            creation.begin(path, metadata, overwrite=overwrite)
            self._remember(path, metadata)
        group = self._node(path, metadata)
        assert isinstance(group, Group)
        return group

    def create_hierarchy(
        self, nodes: Mapping[str, NodeSpec], *, overwrite: bool = False, concurrency: int = 10
    ) -> dict[str, Array | Group]:
        """Create arrays and groups at many paths at once, and the groups in between.

        Everything is checked before anything is written; then metadata is written, and `data` where given,
        without which an array has no elements yet. After an error what was made is removed again.

        Parameters
        ----------
        nodes
            What to make at each path: metadata; the arguments of ``create_array``, with shape or data among
            them; or those of ``create_group``, as a mapping that may be empty.
        overwrite
            Replace the nodes at the paths, with all that is below them.
        concurrency
            How many requests are sent to the store at a time.

        Returns
        -------
        dict
            Every node that was made, groups in between included, by path.

        Raises
        ------
        streamzarr.errors.NodeExistsError
            Something is at one of the paths and `overwrite` is false, or an array above one; with
            `overwrite`, foreign files are there.
        streamzarr.errors.ConfigError, streamzarr.errors.MetadataError
            What is to be made makes no sense; names the path.

        Examples
        --------
        >>> import streamzarr.zarr as zarr
        >>> root = zarr.create_group("memory://")
        >>> made = root.create_hierarchy(
        ...     {"run/air": {"shape": (4, 4), "dtype": "f4"}, "notes": {"attributes": {"by": "me"}}}
        ... )
        >>> print(root.tree())
        /
        ├── notes
        └── run
            └── air (4, 4) float32
        """
        self._require_open_to_change()
        zarr_format: ZarrFormat = 2 if self.zarr_format == 2 else 3
        planned = plan_hierarchy(nodes, zarr_format, self._limits)
        if "" in planned:
            raise ConfigError(f"{self._url}: a child needs a name, got ''")
        with Creation(self._store, self._limits) as creation:
            between = write_hierarchy(
                creation,
                self._store,
                self._path,
                planned,
                zarr_format,
                overwrite=overwrite,
                concurrency=concurrency,
            )
            written = {path: each.metadata for path, each in planned.items()} | between
            found = {path: self._node(key_below(self._path, path), written[path]) for path in sorted(written)}
            for path, each in planned.items():
                node = found[path]
                if self._cache is not None:
                    self._cache.invalidate(node.url)  # of what was overwritten
                if each.data is not None and isinstance(node, Array):
                    write_all(node, each.data)
                creation.finish(node.path)
            self._keeper_of_children().made({node.path: node.metadata for node in found.values()})
        return found

    def require_groups(self, *names: str) -> tuple[Group, ...]:
        """Return the groups `names`, each made when it is not there; see :meth:`require_group`."""
        return tuple(self.require_group(name) for name in names)

    def require_group(
        self, name: str, *, attributes: dict[str, Any] | None = None, overwrite: bool = False
    ) -> Group:
        """Return the group `name`, which is made when it is not there.

        Parameters
        ----------
        attributes
            Of a group that is made.
        overwrite
            Replace the node that is there.

        Raises
        ------
        streamzarr.errors.ContainsArrayError
            `name` is an array.
        """
        if overwrite:
            return self.create_group(name, attributes=attributes, overwrite=True)
        found = find_or_make(lambda: self[name], lambda: self.create_group(name, attributes=attributes))
        if isinstance(found, Array):
            raise ContainsArrayError(f"{found.url} is an array, expected a group")
        return found

    def require_array(
        self, name: str, *, shape: Any, dtype: Any, exact: bool = False, **options: Any
    ) -> Array:
        """Return the array `name`, which is made when it is not there.

        Raises
        ------
        streamzarr.errors.ContainsGroupError
            `name` is a group.
        streamzarr.errors.ContainsArrayError
            `name` is an array of another shape, or of a dtype that cannot be cast to `dtype`
            (with `exact`: of another dtype).
        """
        filters = options.get("filters", "auto")  # by which objects are known
        zarr_format: ZarrFormat = 2 if self.zarr_format == 2 else 3
        wanted = ArrayConfig(shape, dtype, zarr_format=zarr_format, filters=filters).metadata()
        found = find_or_make(
            lambda: self[name], lambda: self.create_array(name, shape=shape, dtype=dtype, **options)
        )
        if isinstance(found, Group):
            raise ContainsGroupError(f"{found.url} is a group, expected an array")
        same = found.dtype == wanted.dtype if exact else _castable(found, wanted.dtype)
        if found.shape != wanted.shape or not same:
            raise ContainsArrayError(
                f"{found.url} has shape {found.shape} and dtype {found.dtype}, "
                f"expected {wanted.shape} and {wanted.dtype}"
            )
        return found

    def __setitem__(self, name: str, value: Any) -> None:
        """Store a numpy array under `name`, replacing the node that is there."""
        self.create_array(name, data=value, overwrite=True)

    # Inside

    def _child_path(self, name: str) -> str:
        relative = normalize_path(name)
        if not relative:
            raise ConfigError(f"{self._url}: a child needs a name, got {name!r}")
        return key_below(self._path, relative)

    def _node(self, path: str, metadata: NodeMetadata) -> Array | Group:
        keeper = self._keeper if path == self._path else self._keeper_of_children()
        if isinstance(metadata, ArrayMetadataV2 | ArrayMetadataV3):
            return Array(self._store, path, metadata, limits=self._limits, cache=self._cache, keeper=keeper)
        return Group(
            self._store,
            path,
            metadata,
            use_consolidated=self._use_consolidated,
            limits=self._limits,
            cache=self._cache,
            keeper=keeper,
        )

    @property
    def _members(self) -> Members:
        if self._found is None or self._found[0] is not self._metadata:
            found = Members(
                self._store,
                self._path,
                self._metadata,
                use_consolidated=self._use_consolidated,
                limits=self._limits,
                cache=self._cache,
            )
            self._found = self._metadata, found
        return self._found[1]

    # Metadata

    def _keeper_of_children(self) -> Keeper:
        """Return what keeps consolidated metadata true, here and above, where there are any by then."""
        if self._own_keeper is None:
            kind = type(self._metadata)
            self._own_keeper = Keeper(self._store, self._path, kind, self._limits, self._keeper, self._tell)
        return self._own_keeper

    def _tell(self, edit: Edit) -> None:
        self._metadata = edit(self._metadata)

    def _remember(self, path: str, metadata: NodeMetadata) -> None:
        """Keep consolidated metadata true when a child has been made."""
        self._keeper_of_children().made({path: metadata})

    def _change_attributes(self, change: Change) -> None:
        self._require_writable()
        changed = change_node(
            self._store,
            self._path,
            type(self._metadata),
            lambda metadata: metadata.with_attributes(change(metadata.attributes)),
            self._limits,
        )
        if self._keeper is None:
            self._metadata = changed.after
            return
        # What is consolidated above goes for all below, whatever this group's own document says.
        self._metadata = replace(changed.after, consolidated=self._metadata.consolidated)
        self._keeper.changed(self._path, changed.after)

    def _require_open_to_change(self) -> None:
        """Raise unless members may be made and deleted here."""
        self._require_writable()
        check_no_stream(self._url, self._metadata.attributes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_own_keeper": None}  # which tells this very handle

    def __repr__(self) -> str:
        return f"<Group {self._url}>"


def _shown(node: Array | Group | Unreadable) -> str | None:
    if isinstance(node, Group):
        return None
    return f"{node.shape} {node.dtype}" if isinstance(node, Array) else f"(cannot be read: {node})"


def _castable(array: Array, dtype: Any) -> bool:
    return bool(np.can_cast(dtype, array.dtype))
