"""The options of a pipeline, all of them: the one place that says what there is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import (
    anything,
    function,
    instance,
    integer,
    nbytes,
    one_of,
    optional,
    patience,
    seconds,
    text,
)
from streamzarr.flow.limit import DeadLetterLimit
from streamzarr.flow.rate import Rate
from streamzarr.options import parse_bytes
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.retries import RetryTopic, retry_topics
from streamzarr.pipeline.schema import check_settings, setting, settings_of
from streamzarr.pipeline.sources import Source, TopicSource, sources, split
from streamzarr.queue.retry import RetryPolicy

Ordering: TypeAlias = Literal["partition", "key", "none"]
OnFailure: TypeAlias = Literal["dead", "skip", "stop"]

ON_FAILURE: Final = ("dead", "skip", "stop")

PROCESSORS: Final = "processors"
"""What live figures, and ``resize``, call them, beside the names of the batchers."""


@dataclass(frozen=True, slots=True)
class Processors:
    """Who calls ``handle_message``, and how many of them.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option does not fit.

    Examples
    --------
    >>> Processors(concurrency=8).max_demand
    1000
    >>> Processors(concurrency=0)
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: Processors: concurrency is 0, expected an integer of at least 1
    """

    concurrency: int = setting("How many work at the same time; `resize` changes it.", integer(1), 4)
    max_demand: int = setting(
        "Messages on their way to a batch, at most; those of the batches themselves come on top.",
        integer(1),
        1000,
    )
    kind: Literal["threads", "processes"] = setting(
        "Processes are for handlers that hold Python's lock; the class then stands at the top of a module.",
        one_of("threads", "processes"),
        "threads",
    )
    partition_by: Callable[[Message], Hashable] | None = setting(
        "Gives a message its key: messages of one key keep their order through all layers.",
        optional(function),
        None,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Batcher:
    """When a batch is complete, and how many batches are handled at the same time.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option does not fit.

    Examples
    --------
    >>> Batcher(size=5000, bytes="64MB", timeout=0.5).bytes
    64000000
    """

    size: int = setting(
        "Messages in a batch, at most; with `size_by` what these count for together.", integer(1), 100
    )
    bytes: int | str | None = setting(
        'Bytes in a batch, at most, such as `"64MB"`; a single bigger message is a batch alone.',
        optional(nbytes),
        None,
    )
    timeout: float | None = setting(
        "Seconds that the first message of a batch waits for others.", optional(seconds()), 1.0
    )
    concurrency: int = setting("Batches handled at the same time; `resize` changes it.", integer(1), 1)
    size_by: Callable[[Message], float] | None = setting(
        "What a message counts for; 1 without it.", optional(function), None
    )
    until: Callable[[Sequence[Message]], bool] | None = setting(
        "Gets the messages of the batch, the newest last, and tells whether it is complete.",
        optional(function),
        None,
    )
    batch_key: Callable[[Message], Hashable] | None = setting(
        "Gives a message its `batch_key` where its handler gave none.", optional(function), None
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.bytes is not None:
            object.__setattr__(self, "bytes", parse_bytes(self.bytes))


def _batchers(value: Any) -> str | None:
    fits = isinstance(value, Mapping) and not any(map(text, value))
    fits = fits and all(isinstance(each, Batcher) for each in value.values())
    return None if fits else "batchers by name, e.g. {'default': Batcher(size=100)}"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a pipeline: class attributes of it, or arguments of ``run`` and ``start``.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option does not fit, or two do not fit together.
    """

    source: Source | Sequence[Source] = setting(
        "Where messages come from: a `TopicSource`, a flow source, a function that makes one of a `Demand`, "
        "or a list of these.",
        sources,
    )
    processors: Processors = setting(
        "Who calls `handle_message`.",
        instance(Processors, "Processors(...)"),
        Processors(),
        shown="`Processors()`",
    )
    batchers: Mapping[str, Batcher] = setting(
        "Who calls `handle_batch`, by name; without any, messages are done when they are handled.",
        _batchers,
        factory=dict,
    )
    ordering: Ordering | None = setting(
        "What keeps its order, through all layers: the records of a partition, those of a key "
        "(`partition_by`, or the record's own), or nothing.",
        optional(one_of("partition", "key", "none")),
        None,
        shown='`"key"` with `partition_by`, else `"none"`',
    )
    dead_letters: str | None = setting("Topic for messages that failed for good.", optional(text), None)
    dead_letter_limit: DeadLetterLimit | None = setting(
        "How many messages of a partition may become dead letters before it pauses; in any case it does when "
        "the environment fails, rather than a message.",
        optional(instance(DeadLetterLimit, "a DeadLetterLimit, e.g. DeadLetterLimit(in_a_row=10)")),
        None,
        shown="`DeadLetterLimit()`: any number, with `dead_letters`",
    )
    on_failure: OnFailure | None = setting(
        "What becomes of a failed message: a dead letter, nothing, or the pipeline's end with nothing lost.",
        optional(one_of(*ON_FAILURE)),
        None,
        shown='`"dead"` with `dead_letters`, else `"stop"`',
    )
    retry: RetryPolicy = setting(
        "How often to try again after a transient error (`retryable`), and when.",
        instance(RetryPolicy, "a RetryPolicy, e.g. RetryPolicy(attempts=5)"),
        RetryPolicy(attempts=10),
        shown="`RetryPolicy(attempts=10)`",
    )
    retry_topics: Sequence[RetryTopic] = setting(
        "Where messages wait, one after the other, that still fail after all of `retry` and may work later.",
        retry_topics,
        (),
        shown="none",
    )
    rate: Rate | None = setting(
        "Messages and bytes a second that may begin; `set_rate` changes it.",
        optional(instance(Rate, "a Rate, e.g. Rate(messages=1_000)")),
        None,
    )
    max_in_flight: int | None = setting(
        "Messages in flight in one process, at most.",
        optional(integer(1)),
        None,
        shown="`max_demand`, and `size * (concurrency + 1)` of each batcher",
    )
    max_bytes: int | str | None = setting(
        "Bytes in flight in one process, at most.", optional(nbytes), "256MB"
    )
    drain: float = setting("Seconds to finish what has begun, after a stop.", patience, 30.0)
    context: Any = setting("Given to every handler; without it, what `make_context` returns.", anything, None)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.on_failure == "dead" and self.dead_letters is None:
            raise ConfigError('on_failure is "dead" without dead_letters, expected the name of their topic')
        if self.dead_letter_limit is not None and self.dead_letters is None:
            raise ConfigError("dead_letter_limit without dead_letters, expected the name of their topic")
        if PROCESSORS in self.batchers:
            raise ConfigError(
                f"batchers: {PROCESSORS!r} is what resize calls the processors, expected another name"
            )
        if self.context is not None and self.processors.kind == "processes":
            raise ConfigError("context cannot be given to other processes, expected make_context")
        self._check_topics()

    def _check_topics(self) -> None:
        """Raise where messages that failed would be read as new ones, and fail again, for ever."""
        read = [each for each in split(self.source) if isinstance(each, TopicSource)]
        taken = {each.topics[0]: "topics of the source" for each in read if each.broker == read[0].broker}
        retries = [each.topic for each in self.retry_topics]
        letters = [] if self.dead_letters is None else [self.dead_letters]
        for option, names in (("retry_topics", retries), ("dead_letters", letters)):
            for name in names:
                if name in taken:
                    raise ConfigError(
                        f"{option}: {name!r} is among the {taken[name]} too, expected another topic"
                    )
                taken[name] = option

    @classmethod
    def of(cls, owner: type, given: Mapping[str, Any]) -> Options:
        """Return the options `given`, and for the others the attributes of `owner`.

        Raises
        ------
        streamzarr.errors.ConfigError
            There is no such option, or the source is missing.
        """
        known = [each.name for each, _ in settings_of(cls)]
        if unknown := [name for name in given if name not in known]:
            raise ConfigError(
                f"{owner.__name__}: {unknown[0]!r} is no option, expected one of {', '.join(known)}"
            )
        found = {name: getattr(owner, name) for name in known if hasattr(owner, name)} | dict(given)
        if "source" not in found:
            raise ConfigError(
                f"{owner.__name__}: source is missing, expected such as "
                'TopicSource("kafka://host:9092", topics=["ticks"], group="archive")'
            )
        return cls(**found)

    @property
    def order(self) -> Ordering:
        """What keeps its order."""
        return self.ordering or ("none" if self.processors.partition_by is None else "key")

    @property
    def failures(self) -> OnFailure:
        """What becomes of failed messages, unless they say otherwise."""
        return self.on_failure or ("stop" if self.dead_letters is None else "dead")

    @property
    def limit(self) -> DeadLetterLimit | None:
        """When a partition pauses; ``None``: there are no dead letters that could be too many."""
        return None if self.dead_letters is None else self.dead_letter_limit or DeadLetterLimit()

    @property
    def in_flight(self) -> int:
        """Messages in flight, at most."""
        if self.max_in_flight is not None:
            return self.max_in_flight
        batches = sum(each.size * (each.concurrency + 1) for each in self.batchers.values())
        return self.processors.max_demand + batches
