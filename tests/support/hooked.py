"""Arrays in a store that can be made to change at any moment of a task."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import msgspec
import numpy as np

import streamzarr.zarr as sz
from streamzarr.jobs.execute import TaskExecutor, layout_of
from streamzarr.jobs.pin import metadata_etag
from streamzarr.jobs.wire import Stage, Task, encode
from streamzarr.stores import open_store, register_store
from streamzarr.testing.faults import Call, WrappedStore
from tests.support.inline import carry_out

SOURCE = np.arange(1, 25, dtype="i4")


class Hooked(WrappedStore):
    """Calls `hook` before each call of the store."""

    hook: Callable[[Call], None]

    def around(self, call, action):
        Hooked.hook(call)
        return action()

    @classmethod
    def scheme(cls, name, make):
        """Serve ``name://`` by what `make` returns, hooked."""
        cls.hook = staticmethod(lambda call: None)
        register_store(name, lambda url: cls(make(url)), replace=True)


@dataclass
class Place:
    """A source and a target; tasks name ``hooked`` URLs, everyone else ``plain`` ones."""

    plain: str
    hooked: str
    unwanted: set = field(default_factory=set)

    def __post_init__(self):
        sz.create_array(self.plain.format("a.zarr"), data=SOURCE, chunks=(2,), compressors=None)
        self.executor = TaskExecutor([self.hooked.format("")], is_wanted=lambda job: job not in self.unwanted)

    def execute(self, task, in_flight=nullcontext):
        return carry_out(self.executor, task, in_flight)

    def target(self, **options):
        options.setdefault("fill_value", 0)
        return sz.create_array(
            self.plain.format("b.zarr"), shape=(24,), chunks=(8,), dtype="i4", compressors=None, **options
        )

    def task(self, number=0, job="job1", **stage):
        target = sz.open_array(self.plain.format("b.zarr"))
        stage.setdefault("source_etag", metadata_etag(open_store(self.plain.format("a.zarr"))))
        made = Stage(
            "copy", self.hooked.format("a.zarr"), self.hooked.format("b.zarr"), layout_of(target), **stage
        )
        return Task(1, job, number, (number,), msgspec.Raw(encode(made)))

    def written(self):
        return sz.open_array(self.plain.format("b.zarr"))[...]

    def tree(self):
        store = open_store(self.plain.format("b.zarr"))
        return {key: store.get(key) for key in store.list()}

    def remove(self, name):
        open_store(self.plain.format(name)).delete_prefix("")

    def before(self, operation, key, action, nth=1):
        """Have `action` done once, right before the `nth` such call."""
        seen = 0

        def hook(call):
            nonlocal seen
            if call.operation.startswith(operation) and call.key == key:
                seen += 1
                if seen == nth:
                    action()

        Hooked.hook = staticmethod(hook)

    def overwrite(self, job="job1", fill=False):
        """What a second job does that overwrites the target and completes."""
        self.unwanted.add(job)
        self.remove("b.zarr")
        target = self.target()
        for index in range(3):
            block = np.zeros(8, "i4") if fill else np.arange(8, dtype="i4") + 1000 * (index + 1)
            target.write_chunk((index,), block, write_empty=True)
