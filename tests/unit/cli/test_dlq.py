"""``streamzarr dlq`` on letters of any topic."""

import base64
import json

import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.queue import DeadLetter, NewRecord, Record, open_broker

BINARY = b"\xff\x00\x1b[2J"


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(url) as broker:
        for topic, partitions in (("ticks", 2), ("ticks.dead", 2), ("fixed", 1), ("one.dead", 1)):
            broker.create_topic(topic, partitions)
        with broker.producer() as producer:
            for n, (key, value, error) in enumerate(
                [
                    (b"a", b"1", KeyError("x")),
                    (b"b", BINARY, ValueError("no price")),
                    (None, None, ValueError("y")),
                ]
            ):
                record = Record("ticks", 1, n, key, value, (("h", b"\xfe"),), 1_767_225_600_000)
                letter = DeadLetter.of(record, error=error, stage="decode", first_seen=1_767_225_600_000)
                new = letter.to_record()
                for topic in ("ticks.dead", "one.dead"):
                    producer.send(topic, [type(new)(new.value, new.key, new.headers, 0, new.timestamp)])
    return url


@pytest.fixture
def run(url):
    def run(*words, code=0, topic="ticks.dead"):
        result = CliRunner().invoke(
            cli, ["dlq", *map(str, words), "--broker", url, *(["--topic", topic] if topic else [])]
        )
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_ls(run):
    lines = run("ls").splitlines()
    assert lines[0].split() == ["number", "origin", "key", "error", "message", "stage", "attempts", "age"]
    assert lines[1].split()[:4] == ["0:0", "ticks:1:0", "a", "KeyError"]
    assert [each["number"] for each in json.loads(run("ls", "--json"))] == ["0:0", "0:1", "0:2"]
    assert [each["number"] for each in json.loads(run("ls", "--json", topic="one.dead"))] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--error", "Key*"], [0]),
        (["--stage", "store"], []),
        (["--key", "b"], [1]),
        (["--origin", "ticks"], [0, 1, 2]),
        (["--origin", "ticks:0"], []),
        (["--origin", "ticks:1:1-2"], [1, 2]),
        (["--origin", "ticks:1:2"], [2]),
        (["--older-than", "1d", "--error", "ValueError"], [1, 2]),
        (["--younger-than", "1d"], []),
    ],
)
def test_letters_are_chosen(run, options, expected):
    assert [each["offset"] for each in json.loads(run("ls", "--json", *options))] == expected


def test_ls_is_cut_and_says_so(run):
    assert "and more: the first 2 are shown" in run("ls", "--limit", 2)
    assert "and more" not in run("ls", "--limit", 3)


def test_show(run):
    shown = run("show", "0:1")
    assert "no price" in shown
    assert "ticks[1] offset 1" in shown
    assert "\x1b" not in shown
    told = json.loads(run("show", "0:1", "--json"))
    assert base64.b64decode(told["value"]["base64"]) == BINARY
    assert told["headers"] == [["h", {"base64": "/g=="}]]


def test_replay_sends_each_once(run, url):
    assert run("replay", "0:1") == "replayed 1 dead letter\n"
    assert json.loads(run("replay", "--error", "ValueError", "--rate", "1000", "--json"))["replayed"] == 1
    assert json.loads(run("replay", "--all", "--to", "fixed", "--json"))["replayed"] == 1
    assert run("replay", "--all") == "replayed 0 dead letters\n"
    assert run("ls") == "no dead letters\n"
    with open_broker(url) as broker:
        assert broker.describe("ticks").end == {0: 0, 1: 2}
        assert broker.describe("fixed").end == {0: 1}


def test_drop_and_purge(run, url):
    assert run("drop", "--error", "KeyError") == "dropped 1 dead letter\n"
    assert run("purge") == "purged 1 record\n"
    assert json.loads(run("purge", "--json")) == {"purged": 0}
    assert len(json.loads(run("ls", "--json"))) == 2


def test_export_loses_nothing(run, tmp_path):
    lines = [json.loads(line) for line in run("export").splitlines()]
    assert [line["key"] for line in lines] == ["a", "b", None]
    assert [line["value"] for line in lines][::2] == ["1", None]
    assert base64.b64decode(lines[1]["value"]["base64"]) == BINARY
    run("export", "--output", tmp_path / "letters.jsonl")
    assert len((tmp_path / "letters.jsonl").read_text().splitlines()) == 3
    assert len(json.loads(run("ls", "--json"))) == 3, "they stay open"


@pytest.mark.parametrize(
    ("words", "topic", "says"),
    [
        (["ls"], "no.such", "no.such"),
        (["ls", "--job", "01"], "ticks.dead", "--job is for letters of jobs"),
        (["ls", "--origin", "a b"], "ticks.dead", "expected TOPIC"),
        (["replay"], "ticks.dead", "say which"),
        (["replay", "0:1", "--all"], "ticks.dead", "say which"),
        (["replay", "0:1", "--error", "x"], "ticks.dead", "say which"),
        (["replay", "0:9"], "ticks.dead", "no open dead letter has the number 0:9"),
        (["replay", "x"], "ticks.dead", "expected a number"),
        (["replay", "--all", "--rate", "0"], "ticks.dead", "0"),
        (["replay", "--all", "--to", "nowhere"], "ticks.dead", "nowhere"),
        (["replay", "--all", "--to", "ticks.dead"], "ticks.dead", "itself"),
        (["show", "1:0"], "ticks.dead", "no letter"),
    ],
)
def test_mistakes_are_one_sentence(run, words, topic, says):
    output = run(*words, topic=topic, code=2)
    assert says in output
    assert "Traceback" not in output


def test_an_export_that_fails_leaves_an_earlier_file_as_it_was(run, tmp_path):
    file = tmp_path / "letters.jsonl"
    run("export", "--output", file)
    before = file.read_text()
    assert len(before.splitlines()) == 3
    run("export", "--output", file, topic="nowhere", code=2)
    assert file.read_text() == before
    assert [each.name for each in tmp_path.glob("*letters*")] == ["letters.jsonl"]


def test_an_export_takes_the_place_of_a_file_where_a_link_leads_with_its_rights(run, tmp_path):
    file, link = tmp_path / "letters.jsonl", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o600)
    link.symlink_to(file)
    run("export", "--output", link)
    assert link.is_symlink()
    assert (len(file.read_text().splitlines()), file.stat().st_mode & 0o777) == (3, 0o600)


def test_a_full_disk_is_told_with_its_name(run):
    output = run("export", "--output", "/dev/full", code=2)
    assert "/dev/full: No space left on device" in output


@pytest.fixture
def kl(url):
    with open_broker(url) as broker, broker.producer() as producer:
        broker.create_topic("kl")
        broker.create_topic("kl.dead")
        producer.send("kl", [NewRecord(b"%d" % n) for n in range(5)])
    return "kl"


@pytest.mark.parametrize("words", [["drop", "--all"], ["drop", "3"], ["replay", "--all"], ["purge"]])
def test_a_topic_of_messages_is_not_taken_for_their_letters(run, url, kl, words):
    output = run(*words, topic=kl, code=2)
    assert "topic 'kl' has 5 records that are no dead letters" in output
    assert "name 'kl.dead' if you mean that" in output
    assert "--any-record" in output
    assert len(output.strip().splitlines()) == 1
    with open_broker(url) as broker:
        info = broker.describe(kl)
    assert (info.begin, info.end) == ({0: 0}, {0: 5})


def test_what_is_no_letter_goes_where_that_is_said(run, url, kl):
    assert run("drop", "--all", "--any-record", topic=kl) == "dropped 5 dead letters\n"
    assert "no dead letters, the first one at partition 0, offset 0" in run("purge", topic=kl, code=2)
    assert run("purge", "--any-record", topic=kl) == "purged 10 records\n"


def test_damaged_letters_and_what_is_told_of_pauses_are_no_messages(run, url):
    own = [
        NewRecord(b"v", headers=(("streamzarr.error.class", b"E"), ("streamzarr.error.offset", b"x"))),
        NewRecord(None, headers=(("streamzarr.resume", b"ticks:1"),)),
        NewRecord(None, headers=(("streamzarr.settled", b"999"), ("streamzarr.settled.as", b"dropped"))),
    ]
    with open_broker(url) as broker, broker.producer() as producer:
        producer.send("one.dead", own)
    assert run("drop", "--all", topic="one.dead") == "dropped 5 dead letters\n"
    assert run("purge", topic="one.dead") == "purged 11 records\n"
