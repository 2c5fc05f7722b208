"""Worker processes of one feed, supervised: what ``streamzarr ingest`` and scripts run."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from streamzarr.errors import (
    AccessDeniedError,
    ConfigError,
    LimitExceededError,
    MetadataError,
    NodeExistsError,
    OffsetOutOfRangeError,
    QueueError,
    SourceChangedError,
    StreamGoneError,
    TopicNotFoundError,
    UnsupportedError,
)
from streamzarr.feeds.begin import look_at_all
from streamzarr.feeds.config import Feed
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.outcome import Outcome, Since
from streamzarr.feeds.progress import behind, ends_of
from streamzarr.feeds.toml import placed
from streamzarr.feeds.worker import Supervision, run_feed
from streamzarr.options import integer, takes_options
from streamzarr.queue import open_broker
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Deadline, Runtime
from streamzarr.stores import open_store, split_url
from streamzarr.stream.acquire import require_conditional_put
from streamzarr.supervisor import SupervisionOptions, Supervisor, WorkerSpec
from streamzarr.supervisor.host import HostMaker
from streamzarr.supervisor.local import LocalHost

_log = logging.getLogger(__name__)

FEED_TARGET = "streamzarr.feed_fleet:work"
GC_OBJECTS = 20_000
"""More objects than before, after which a worker looks for garbage."""
GONE_SECONDS = 1.0
"""After which a topic that was not there is looked for again."""
LOOK_SECONDS = 0.1
"""Between looks at how far the target is."""
_FOR_GOOD = (
    AccessDeniedError,
    PermissionError,
    StreamGoneError,
    OffsetOutOfRangeError,
    SourceChangedError,
    UnsupportedError,
    LimitExceededError,
    NodeExistsError,
    MetadataError,
)
"""What a fresh process would find the same."""


def work(supervision: Supervision, feed: Mapping[str, Any]) -> None:
    """Run one feed worker; the target of each worker process."""
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    logging.getLogger("streamzarr.feeds").setLevel(logging.INFO)  # it says how far it is
    # By default all young objects are looked at each time that there are 700 more, as one poll has, and what
    # was imported again and again. The process is ours, and runs nothing but the chain.
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)
    try:
        run_feed(Feed.of(feed), supervision)
    except _FOR_GOOD as error:
        raise ConfigError(str(error)) from error
    except TopicNotFoundError as error:
        if _is_gone(feed["source"], supervision.runtime):
            raise ConfigError(str(error)) from error
        raise


def _is_gone(source: Mapping[str, Any], runtime: Runtime) -> bool:
    """Tell whether a topic is gone, and is so in a moment: a server that has just started may err."""
    runtime.event().wait(GONE_SECONDS)
    with open_broker(source["broker"], runtime=runtime) as broker:
        try:
            for topic in source["topics"]:
                broker.describe(topic)
        except TopicNotFoundError:
            return True
        except QueueError:
            return False
    return False


@takes_options(SupervisionOptions)
class FeedFleet(Supervisor):
    """Supervised worker processes that share the partitions of one feed.

    Parameters
    ----------
    feed
        What :meth:`streamzarr.feeds.Feed.of` takes, such a feed, or the path of its TOML file.
    processes
        Number of processes; more than there are partitions have nothing to do.
    env
        Environment variables to add to this process's for the workers.
    stderr
        Where the workers' output goes, line by line after the worker's name; by default ``sys.stderr``.
    host
        What makes the host of the processes: this machine, unless it is simulated.
    runtime
        Clock and threads of this side.
    {options}

    Raises
    ------
    streamzarr.errors.ConfigError
        Something in the feed cannot be used; names file, line and key.
    streamzarr.errors.SourceChangedError, streamzarr.errors.OffsetOutOfRangeError
        The target's rows come from another topic, or what comes next is gone.
    streamzarr.errors.QueueError, streamzarr.errors.StoreError
        Broker or store cannot be reached, or there is no such topic.

    Examples
    --------
    >>> import json, tempfile
    >>> import streamzarr as sz
    >>> from streamzarr.queue import NewRecord
    >>> folder = tempfile.mkdtemp()
    >>> with sz.open_broker(f"sqlite:///{folder}/queue.db") as broker:
    ...     broker.create_topic("ticks")
    ...     with broker.producer() as producer:
    ...         producer.send("ticks", [NewRecord(json.dumps({"bid": bid}).encode()) for bid in (1.5, 1.25)])
    >>> feed = {
    ...     "source": {"broker": f"sqlite:///{folder}/queue.db", "topics": ["ticks"]},
    ...     "decode": {"format": "json"},
    ...     "columns": {"bid": "f8"},
    ...     "target": {"url": f"{folder}/ticks.zarr"},
    ... }
    >>> with FeedFleet(feed) as fleet:
    ...     fleet.wait_caught_up(timeout=60)
    >>> sz.open_stream(f"{folder}/ticks.zarr", "p00000")["bid"][:]
    array([1.5 , 1.25])
    """

    def __init__(
        self,
        feed: Feed | Mapping[str, Any] | str | Path,
        processes: int = 1,
        *,
        env: Mapping[str, str] | None = None,
        stderr: TextIO | None = None,
        host: HostMaker = LocalHost,
        runtime: Runtime = SYSTEM,
        **options: Any,
    ) -> None:
        # Everything that all workers would stumble over is found here, once, in the caller's thread.
        path = None
        if isinstance(feed, str | Path):
            path = feed
            feed = Feed.load(path)
        elif not isinstance(feed, Feed):
            feed = Feed.of(feed)
        SupervisionOptions(**options)
        processes = integer("processes", processes, minimum=1)
        if split_url(feed.target.url).scheme == "memory":
            raise ConfigError(
                f"target {redacted(feed.target.url)}: only this process can see it, expected what workers "
                "can open"
            )
        decoder = dict(feed.decode)
        with placed(path, ("decode", "format"), options=True):
            open_decoder(
                decoder.pop("format"),
                {name: each for name, each in feed.columns.items() if not each.of_record},
                **decoder,
            )
        told = feed.to_builtins()
        with placed(path, ("source", "broker")):
            opened = open_broker(feed.source.broker, runtime=runtime)
        with opened as broker:
            with placed(path, ("target", "url")):
                store = open_store(feed.url)
            partitions = look_at_all(feed, broker, store)
            require_conditional_put(store)
            told["source"]["broker"] = broker.url
            self.broker = str(broker)
            """The broker, for people."""
            self._broker_url = broker.url
            letters = {feed.dead_topic(topic) for topic in feed.source.topics}
            self._since = Since.now(broker, feed.url, letters)
        self._runtime = runtime
        told["target"]["url"] = feed.url
        if processes > partitions:
            _log.warning(
                "partitions of %s: %d, so %d of %d processes will have nothing to do",
                ", ".join(feed.source.topics),
                partitions,
                processes - partitions,
                processes,
            )
        self.feed = feed
        """What the processes do."""
        spec = WorkerSpec(target=FEED_TARGET, config={"feed": told}, name="feed")
        super().__init__(spec, processes, env=env, stderr=stderr, host=host, runtime=runtime, **options)

    @property
    def broker_url(self) -> str:
        """The broker, for programs: with its password."""
        return self._broker_url

    def outcome(self) -> Outcome:
        """Return what became of the records since this was made: how many, and how many of them are bad.

        Raises
        ------
        streamzarr.errors.QueueError, streamzarr.errors.StoreError
            Broker or store cannot be reached.
        """
        with open_broker(self._broker_url, runtime=self._runtime) as broker:
            return self._since.outcome(broker, self.feed.url)

    def wait_caught_up(self, timeout: float | None = None) -> None:
        """Block until all that the topics have now is committed, or in the dead letters.

        Raises
        ------
        TimeoutError
            Not within `timeout` seconds.
        streamzarr.errors.WorkerError, streamzarr.errors.ConfigError
            The processes have ended before.
        """
        deadline, pause = Deadline(self._runtime, timeout), self._runtime.event()
        with open_broker(self._broker_url, runtime=self._runtime) as broker:
            ends = ends_of(broker, self.feed.source.topics)
        while left := behind(self.feed.url, ends):
            if self.failed is not None:
                self.wait()  # raises why
            if deadline.passed:
                raise TimeoutError(f"{left} records are not committed after {timeout:g} s")
            pause.wait(LOOK_SECONDS)
