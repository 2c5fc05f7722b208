"""Partitions that pause rather than dead-letter everything: nothing is lost, it is told, and they go on."""

import json
import math

import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError
from streamzarr.flow import DeadLetterLimit
from streamzarr.pipeline import Batcher, Pipeline, RetryTopic, telemetry
from streamzarr.pipeline.processes import supervised
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.letters import paused_partitions
from streamzarr.queue.retry import RetryPolicy
from streamzarr.supervisor.protocol import EXIT_PAUSED
from tests.support.heavy_pipelines import Limited
from tests.support.pipelines import Noted, until

TOLD = DeadLetterLimit(in_a_row=2, probe_after=math.inf)
TRIED = DeadLetterLimit(in_a_row=2, probe_after=0.05, probe_longest=0.2)


class World(Noted):
    """What handlers saw; and whether what they need is there."""

    away: BaseException | None = None


class Storing(Pipeline):
    """Stores what is no poison, in batches, as long as there is a store."""

    batchers = {"default": Batcher(size=100, timeout=0.02)}
    retry = RetryPolicy(attempts=2, base=0.001)
    ordering = "partition"

    def handle_message(self, message, context):
        if message.value.startswith(b"poison"):
            raise ValueError("poison")
        return message

    def handle_batch(self, batcher, messages, info, context):
        with context.lock:
            context.calls.append(info.size)
        if context.away is not None:
            raise context.away
        context.note(context.stored, [message.value for message in messages])
        return messages


def values(count, prefix=b"n"):
    return [prefix + b"%d" % n for n in range(count)]


@pytest.fixture
def told():
    found = []
    events = [f"streamzarr.pipeline.partition.{what}" for what in ("paused", "resumed")]
    telemetry.attach("limits", events, found.append)
    yield found
    telemetry.detach("limits")


def dlq(place, *words, code=0):
    result = CliRunner().invoke(cli, ["dlq", *words, "--broker", place.broker.url])
    assert result.exit_code == code, result.output
    return result.output


def test_ten_poison_messages_with_a_limit_of_two_lose_nothing(place, told, caplog):
    topic, dead, world = place.topic("in", partitions=2), place.topic("dead"), World()
    poison = values(10, b"poison")
    place.fill(topic, [b"first", *poison, b"last"])
    with Storing.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=TOLD, context=world
    ) as pipeline:
        until(lambda: pipeline.paused_partitions, "a pause")
        assert place.letters(dead)[-1].value == b"poison1"
        [paused] = pipeline.topology()["paused_partitions"]
        assert (paused["topic"], paused["partition"]) == (topic, 0)
        assert paused["position"] in (0, 3), "the first message may have been waiting for its batch"
        assert "2 dead letters in a row; the last error is ValueError: poison" in paused["reason"]
        place.fill(topic, [b"beside"], partition=1)
        until(lambda: b"beside" in world.stored, "the other partition goes on")
        until(lambda: paused_partitions(place.broker, dead), "it is told to others")
        assert place.committed(topic).get(0, 0) == paused["position"]
        while place.committed(topic).get(0) != 12:  # somebody has looked, and lets them all become letters
            dlq(place, "resume", f"{topic}:0", "--topic", dead)
            until(lambda: pipeline.paused_partitions or place.committed(topic).get(0) == 12)
    assert [letter.value for letter in place.letters(dead)] == poison
    assert set(world.stored) == {b"beside", b"first", b"last"}
    assert f"pauses at {paused['position']}: 2 dead letters in a row" in caplog.text
    names = [event.name.rpartition(".")[2] for event in told]
    assert names[:3] == ["paused", "resumed", "paused"]
    assert names.count("paused") == names.count("resumed") >= 4
    assert told[0].metadata["paused"].position == paused["position"]
    assert paused_partitions(place.broker, dead) == []


def test_what_pauses_is_listed_and_resumed_from_another_process(place):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    place.fill(topic, values(3, b"poison"))
    with Storing.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=TOLD, context=world
    ) as pipeline:
        until(lambda: json.loads(dlq(place, "paused", "--topic", dead, "--json")))
        [listed] = json.loads(dlq(place, "paused", "--topic", dead, "--json"))
        assert (listed["group"], listed["topic"], listed["position"]) == (place.group, topic, 2)
        assert f"{topic}:0" in dlq(place, "paused", "--topic", dead)
        assert dlq(place, "resume", "elsewhere", "--topic", dead) == "told 0 partitions to go on\n"
        assert "say which" in dlq(place, "resume", "--topic", dead, code=2)
        assert len(pipeline.paused_partitions) == 1
        assert dlq(place, "resume", "--all", "--topic", dead) == "told 1 partition to go on\n"
        until(lambda: place.committed(topic) == {0: 3})
        assert dlq(place, "paused", "--topic", dead) == "no partition pauses\n"
    assert len(place.letters(dead)) == 3
    assert len(json.loads(dlq(place, "ls", "--topic", dead, "--json"))) == 3


def test_by_share_of_the_last(place):
    topic, dead = place.topic("in"), place.topic("dead")
    place.fill(topic, [b"poison" if n % 2 else b"n%d" % n for n in range(40)])
    limit = DeadLetterLimit(ratio=0.3, of=10, probe_after=math.inf)
    with Storing.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=limit, context=World()
    ) as pipeline:
        until(lambda: pipeline.paused_partitions)
    report = pipeline.wait()
    assert "3 dead letters among the last 10 messages" in str(report)
    assert len(place.letters(dead)) == 3
    assert report.delivered == report.ok + report.failed + report.handed_back


@pytest.mark.parametrize("error", [PermissionError(13, "a password is wanted"), OSError(28, "disk full")])
def test_errors_of_the_environment_pause_and_go_on_when_a_try_succeeds(place, error):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    place.fill(topic, values(300))
    world.away = error
    limit = DeadLetterLimit(probe_after=0.05, probe_longest=0.2)
    with Storing.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=limit, context=world
    ) as pipeline:
        until(lambda: any(each.tries >= 2 for each in pipeline.paused_partitions))
        calls = len(world.calls)
        world.away = None
        until(lambda: place.committed(topic) == {0: 300})
    assert place.letters(dead) == []
    assert set(world.stored) == set(values(300))
    assert calls < 100, "a batch is not searched for whom to blame"


def test_an_outage_is_over_though_the_first_message_behind_it_is_bad(place):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    place.fill(topic, [b"n0"])
    world.away = PermissionError(13, "a password is wanted")
    limit = DeadLetterLimit(in_a_row=5, probe_after=0.5, probe_longest=0.5)

    class Worse(Storing):
        def handle_batch(self, batcher, messages, info, context):
            if context.away is None:
                raise ValueError("bad")
            return super().handle_batch(batcher, messages, info, context)

    with Worse.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=limit, context=world
    ) as pipeline:
        until(lambda: pipeline.paused_partitions)
        world.away = None
        until(lambda: place.committed(topic) == {0: 1})
    assert [letter.value for letter in place.letters(dead)] == [b"n0"]


def test_an_outage_is_passed_over_by_no_message(place):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    place.fill(topic, values(20))
    world.away = PermissionError(13, "a password is wanted")
    with Storing.start(
        source=place.source(topic),
        dead_letters=dead,
        dead_letter_limit=TRIED,
        on_failure="skip",
        context=world,
    ) as pipeline:
        until(lambda: pipeline.paused_partitions)
        world.away = None
        until(lambda: place.committed(topic) == {0: 20})
    assert set(world.stored) == set(values(20))


def test_it_goes_on_by_itself_when_what_was_bad_is_mended(place):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    place.fill(topic, values(12))
    broken = set(values(12))

    class Mended(Storing):
        def handle_message(self, message, context):
            if message.value in broken:
                raise ValueError("bad")
            return message

    with Mended.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=TRIED, context=world
    ) as pipeline:
        until(lambda: any(each.tries >= 2 for each in pipeline.paused_partitions))
        broken.clear()
        until(lambda: place.committed(topic) == {0: 12})
    assert [letter.value for letter in place.letters(dead)] == values(2)
    assert set(world.stored) == set(values(12)[2:])


def test_letters_whose_topic_is_away_count_once(place):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    place.fill(topic, [b"n0"])
    with Storing.start(
        source=place.source(topic), dead_letters=dead, dead_letter_limit=TOLD, context=world
    ) as pipeline:
        until(lambda: world.stored == [b"n0"])
        place.broker.delete_topic(dead)
        place.fill(topic, [b"poison0", b"n1", b"poison1", b"poison2", b"n2"])
        until(lambda: b"n2" in world.stored)
        place.broker.create_topic(dead)
        until(lambda: place.committed(topic) == {0: 6})
        assert pipeline.paused_partitions == []
    assert [letter.value for letter in place.letters(dead)] == values(3, b"poison")


def test_what_waits_in_a_retry_topic_is_no_letter(place):
    topic, dead, world = place.topic("in"), place.topic("dead"), World()
    tier = RetryTopic(place.topic("retry"), 0.2)
    place.fill(topic, values(5))
    world.away = OSError(28, "disk full")
    with Storing.start(
        source=place.source(topic),
        dead_letters=dead,
        dead_letter_limit=DeadLetterLimit(probe_after=0.1, probe_longest=0.2),
        retry_topics=[tier],
        context=world,
    ) as pipeline:
        until(lambda: place.committed(topic) == {0: 5})
        until(lambda: pipeline.paused_partitions)
        assert pipeline.paused_partitions[0].partition == TopicPartition(tier.topic, 0)
        world.away = None
        until(lambda: set(world.stored) == set(values(5)))
    assert place.letters(dead) == []


@pytest.mark.chaos
@pytest.mark.timeout(700)
def test_the_exit_code_of_a_process_says_that_partitions_paused(place, tmp_path, monkeypatch):
    topic, dead = place.topic("in"), place.topic("dead")
    for name, value in {
        "PIPE_BROKER": place.broker.url,
        "PIPE_TOPIC": topic,
        "PIPE_GROUP": place.group,
        "PIPE_DEAD": dead,
        "PIPE_FOLDER": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Limited, "source", place.source(topic))
    monkeypatch.setattr(Limited, "dead_letters", dead)
    place.fill(topic, [b"n0", *[b"bad"] * 4, b"n1"])
    with supervised(Limited, 1) as pool:
        until(lambda: paused_partitions(place.broker, dead), "a pause")
        report = pool.stop()
    assert [(each.outcome, each.exit_code) for each in report.workers] == [("drained", EXIT_PAUSED)]
    assert report.paused
    assert report.clean
    with supervised(Limited, 1) as pool:
        until(lambda: place.committed(topic).get(0) == 6)
        assert not pool.stop().paused


def test_a_limit_without_dead_letters_is_a_mistake():
    with pytest.raises(ConfigError, match="dead_letter_limit without dead_letters"):
        Storing.run(source=lambda demand: None, dead_letter_limit=TOLD)
