import pytest

from streamzarr import flow
from streamzarr.errors import ConfigError
from streamzarr.pipeline import Batcher, Options, Pipeline, Processors, TopicSource
from streamzarr.pipeline.schema import settings_of, table

SOURCE = TopicSource("sqlite:///q.db", topics=["ticks"], group="g")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Processors(concurrency=0),
            "Processors: concurrency is 0, expected an integer of at least 1",
        ),
        (lambda: Processors(kind="fibres"), 'kind is \'fibres\', expected "threads" or "processes"'),
        (lambda: Processors(partition_by="key"), "partition_by is 'key', expected a function, or None"),
        (lambda: Batcher(size=True), "Batcher: size is True, expected an integer of at least 1"),
        (lambda: Batcher(bytes="64 parsecs"), "bytes is '64 parsecs', expected bytes"),
        (lambda: Batcher(timeout=-1), "timeout is -1, expected a number of seconds, at least 0, or None"),
        (lambda: TopicSource("sqlite:///q.db", "ticks", "g"), "topics is 'ticks', expected a list of names"),
        (lambda: TopicSource("sqlite:///q.db", [], "g"), r"topics is \[\], expected a list of names"),
        (lambda: TopicSource("sqlite:///q.db", ["t"], ""), "group is '', expected text that is not empty"),
        (
            lambda: TopicSource("sqlite:///q.db", ["t"], "g", session_timeout=6, drain_timeout=6),
            "TopicSource: drain_timeout is 6, expected less than the session_timeout of 6",
        ),
        (lambda: TopicSource("kafka://me:secret@h", ["t"], "g", on_gap="jump"), "on_gap is 'jump', expected"),
        (lambda: Options(source=3), "Options: source is 3, expected a TopicSource, a flow source"),
        (lambda: Options(source=[]), r"source is \[\], expected"),
        (lambda: Options(SOURCE, batchers={"a": 5}), "batchers is {'a': 5}, expected batchers by name"),
        (lambda: Options(SOURCE, ordering="some"), "ordering is 'some', expected"),
        (lambda: Options(SOURCE, on_failure="dead"), 'on_failure is "dead" without dead_letters'),
        (lambda: Options(SOURCE, max_in_flight=0), "max_in_flight is 0, expected"),
        (lambda: Options(SOURCE, retry=5), "retry is 5, expected a RetryPolicy"),
        (lambda: Options(SOURCE, drain=-1), "drain is -1, expected"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_an_option_is_an_attribute_of_the_class_or_an_argument_which_wins():
    class Ticks(Pipeline):
        source = SOURCE
        ordering = "partition"
        drain = 5.0

    assert Options.of(Ticks, {}).drain == 5.0
    assert Options.of(Ticks, {"drain": 1.0, "ordering": "key"}).order == "key"


def test_a_name_that_is_no_option_is_told():
    with pytest.raises(ConfigError, match="Pipeline: 'processor' is no option, expected one of source, proc"):
        Pipeline.run(processor=3)


def test_a_source_is_needed():
    with pytest.raises(ConfigError, match="Pipeline: source is missing, expected such as TopicSource"):
        Pipeline.run()


def test_letters_need_a_broker():
    with pytest.raises(ConfigError, match="topic 'dead' is for failures, but no source has a broker"):
        Pipeline.run(source=lambda demand: flow.from_iterable([1], demand), dead_letters="dead")


def test_what_may_be_in_flight_follows_from_the_batchers():
    options = Options(
        SOURCE, Processors(max_demand=100), {"a": Batcher(size=10, concurrency=2), "b": Batcher(5)}
    )
    assert options.in_flight == 100 + 10 * 3 + 5 * 2
    assert Options(SOURCE, max_in_flight=7).in_flight == 7


def test_order_and_failures_follow_from_others_where_nothing_is_said():
    assert Options(SOURCE).order == "none"
    assert Options(SOURCE, Processors(partition_by=len)).order == "key"
    assert Options(SOURCE, Processors(partition_by=len), ordering="none").order == "none"
    assert Options(SOURCE).failures == "stop"
    assert Options(SOURCE, dead_letters="dead").failures == "dead"
    assert Options(SOURCE, dead_letters="dead", on_failure="skip").failures == "skip"


def test_every_option_is_in_its_table_with_what_is_expected():
    for owner in (Options, Processors, Batcher, TopicSource):
        text = table(owner)
        for field, known in settings_of(owner):
            assert f"| `{field.name}` |" in text
            assert known.doc.endswith((".", ")"))


def test_several_sources_are_one_pipeline():
    ten = lambda demand: flow.from_iterable(range(10), demand)  # noqa: E731
    report = Pipeline.run(source=[ten, flow.from_iterable(range(5), flow.Demand(2))])
    assert report.ok == 15
