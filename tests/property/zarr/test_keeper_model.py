"""Whatever is done through whichever handle, consolidated metadata say what the documents below say."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import streamzarr.zarr as sz
from streamzarr.errors import MetadataError, NodeExistsError, NodeNotFoundError, UnsupportedError
from streamzarr.stores import MemoryStore

PATHS = ["a", "b", "a/x", "a/b", "a/b/x", "b/x", "b/y"]
paths = st.sampled_from(PATHS)
values = st.sampled_from([1, True, 1.0, [1], [True], None, "m"])


def documents(group):
    """Return the documents of all nodes below, but for what they consolidate themselves."""
    found = {}
    for path, node in group.members(None):
        found[path] = {name: dict(each) for name, each in node.metadata.documents().items()}
        found[path].pop(".zmetadata", None)
        for each in found[path].values():
            each.pop("consolidated_metadata", None)
    return found


class Keeping(RuleBasedStateMachine):
    """One hierarchy, and handles of its groups and arrays that may be older than what is stored."""

    @initialize(zarr_format=st.sampled_from([2, 3]), consolidated=st.booleans())
    def create(self, zarr_format, consolidated):
        self.store = MemoryStore()
        self.groups = [sz.create_group(self.store, zarr_format=zarr_format)]
        self.arrays = []
        if consolidated:
            self.groups.append(sz.consolidate_metadata(self.store))

    def group(self, data):
        return data.draw(st.sampled_from(self.groups))

    def tried(self, action):
        """Return what comes of `action`; None where an old handle asks for what is not possible any more."""
        try:
            return action()
        except (NodeExistsError, NodeNotFoundError, UnsupportedError, MetadataError):
            return None

    @rule(data=st.data(), path=paths, overwrite=st.booleans())
    def create_array(self, data, path, overwrite):
        group = self.group(data)
        made = self.tried(lambda: group.create_array(path, data=np.arange(4), chunks=2, overwrite=overwrite))
        self.arrays += [made] if made is not None else []

    @rule(data=st.data(), path=paths, overwrite=st.booleans())
    def create_group(self, data, path, overwrite):
        group = self.group(data)
        made = self.tried(lambda: group.create_group(path, attributes={"k": 1}, overwrite=overwrite))
        self.groups += [made] if made is not None else []

    @rule(data=st.data(), several=st.lists(paths, unique=True, max_size=3))
    def create_hierarchy(self, data, several):
        group = self.group(data)
        nodes = {path: {"data": np.arange(3)} if path[-1] in "xy" else {} for path in several}
        self.tried(lambda: group.create_hierarchy(nodes))

    @rule(data=st.data(), path=paths)
    def find(self, data, path):
        found = self.tried(lambda: self.group(data)[path])
        if found is not None:
            (self.arrays if isinstance(found, sz.Array) else self.groups).append(found)

    @rule(data=st.data(), path=paths)
    def delete(self, data, path):
        group = self.group(data)
        self.tried(lambda: group.__delitem__(path))

    @rule(data=st.data(), count=st.integers(0, 3))
    def append(self, data, count):
        if self.arrays:
            array = data.draw(st.sampled_from(self.arrays))
            self.tried(lambda: array.append(np.arange(count)))

    @rule(data=st.data(), length=st.integers(0, 6))
    def resize(self, data, length):
        if self.arrays:
            array = data.draw(st.sampled_from(self.arrays))
            self.tried(lambda: array.resize(length))

    @rule(data=st.data(), value=values)
    def set_attribute(self, data, value):
        node = data.draw(st.sampled_from([*self.groups, *self.arrays]))
        self.tried(lambda: node.attrs.__setitem__("v", value))

    @rule(data=st.data())
    def consolidate(self, data):
        path = data.draw(st.sampled_from(["", "a", "a/b"]))
        found = self.tried(lambda: sz.consolidate_metadata(self.store, path))
        if found is not None and not path:  # what is opened at a place of its own is kept up to there only
            self.groups.append(found)

    @rule(use_consolidated=st.sampled_from([None, False]))
    def reopen(self, use_consolidated):
        opened = sz.open_group(self.store, mode="r+", use_consolidated=use_consolidated)
        self.groups, self.arrays = [opened], []

    @invariant()
    def true(self):
        if not hasattr(self, "store"):
            return
        for path in ["", "a", "a/b"]:
            kept = self.tried(lambda path=path: sz.open_group(self.store, path=path))
            if kept is not None:
                plain = sz.open_group(self.store, path=path, use_consolidated=False)
                assert str(documents(kept)) == str(documents(plain))


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
