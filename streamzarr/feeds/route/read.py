"""The targets of a feed that has several, for readers."""

from __future__ import annotations

from collections.abc import Container, Mapping

from streamzarr.errors import ConfigError, NodeNotFoundError
from streamzarr.feeds.places import target_path
from streamzarr.feeds.route.ledger import START, TARGET
from streamzarr.feeds.target import Part, find_parts
from streamzarr.stores.parallel import in_parallel
from streamzarr.stream import Snapshot, open_stream


def open_targets(url: str) -> dict[str, dict[str, Snapshot]]:
    """Return the streams of each target of a feed that has several, by its name and that of the partition.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError, streamzarr.errors.ConfigError
        There is no feed with several targets.

    Examples
    --------
    >>> import json, tempfile
    >>> import streamzarr as sz
    >>> from streamzarr.queue import NewRecord
    >>> folder = tempfile.mkdtemp()
    >>> with sz.open_broker(f"sqlite:///{folder}/queue.db") as broker:
    ...     broker.create_topic("ticks")
    ...     with broker.producer() as producer:
    ...         ticks = [{"s": "BTC", "bid": 1.5}, {"s": "ETH", "bid": 2.5}]
    ...         producer.send("ticks", [NewRecord(json.dumps(tick).encode()) for tick in ticks])
    >>> feed = {
    ...     "source": {"broker": f"sqlite:///{folder}/queue.db", "topics": ["ticks"]},
    ...     "decode": {"format": "json"},
    ...     "columns": {"s": "string", "bid": "f8"},
    ...     "route": {"by": "s"},
    ...     "target": {"url": f"{folder}/ticks.zarr"},
    ... }
    >>> with sz.FeedFleet(feed) as fleet:
    ...     fleet.wait_caught_up(timeout=60)
    >>> {name: [*parts] for name, parts in open_targets(f"{folder}/ticks.zarr").items()}
    {'BTC': ['p00000'], 'ETH': ['p00000']}
    """
    found: dict[str, dict[str, Snapshot]] = {}
    for part in find_parts(url):
        if part.facts.layout != "routes":
            raise ConfigError(f"{url}: all of its rows are in one target, expected a feed with a [route]")
        for name, snapshot in targets_of(part).items():
            found.setdefault(name, {})[part.name] = snapshot
    return found


def starts_of(part: Part) -> Mapping[str, int]:
    """Return the offset that each target of a partition begins at, as its ledger says."""
    names, starts = part.snapshot[TARGET][:].tolist(), part.snapshot[START][:].tolist()
    return dict(zip(map(str, names), starts, strict=True))


def targets_of(part: Part, but: Container[str] = ()) -> dict[str, Snapshot]:
    """Return the stream of each target of a partition, by its name; of those that have been made, `but` some.

    What the ledger says is settled was settled before: the streams have it.
    """
    view, names = part.snapshot.view, [name for name in starts_of(part) if name not in but]

    def opened(name: str) -> Snapshot | None:
        try:
            return open_stream(view.store, target_path(name, view.path))
        except NodeNotFoundError:  # nothing has come to it yet that was committed
            return None

    snapshots = in_parallel(opened, names, view.store.capabilities.in_flight)
    return {name: each for name, each in zip(names, snapshots, strict=True) if each is not None}
