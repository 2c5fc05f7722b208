"""Lines of files: bounded, in order, with positions that a restart can go on from."""

import gzip
import lzma

import numcodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import ConfigError, LimitExceededError
from streamzarr.flow import Demand, Stop, from_iterable, from_lines, ops, run
from streamzarr.flow.sources.lines import LineReader


def collect(into):
    return lambda messages: into.extend(message.data for message in messages)


def write(path, data):
    path.write_bytes(data)
    return str(path)


def test_lines_of_several_files_in_order(tmp_path):
    first = write(tmp_path / "a", b"one\ntwo\r\n\nfour")
    second = write(tmp_path / "b", b"")
    third = write(tmp_path / "c", b"five\n")
    seen = []
    report = run(from_lines([first, second, third], Demand(3)).pipe(ops.settle(collect(seen))))
    assert seen == [b"one", b"two", b"", b"four", b"five"]
    assert report.ok == 5


def test_a_message_knows_its_file_and_where_the_next_line_begins(tmp_path):
    path = write(tmp_path / "a", b"one\r\nthree\n")
    seen = []
    run(from_lines(path, Demand(9)).pipe(ops.settle(seen.extend)))
    assert [(m.record.topic, m.record.offset + 1, m.nbytes) for m in seen] == [(path, 5, 3), (path, 11, 5)]


def test_no_more_is_read_than_demand_allows(tmp_path, monkeypatch):
    path = write(tmp_path / "a", b"x\n" * 100)
    reads, settled, ahead = [], [], []
    read = LineReader.read
    monkeypatch.setattr(LineReader, "read", lambda self: reads.append(1) or read(self))

    def sink(messages):
        ahead.append(len(reads) - len(settled))
        settled.extend(messages)

    run(from_lines(path, Demand(4)).pipe(ops.settle(sink)))
    assert len(settled) == 100
    assert max(ahead) <= 4


def test_bytes_bound_what_is_in_flight(tmp_path):
    path, demand = write(tmp_path / "a", b"x" * 30 + b"\n" + b"y" * 70 + b"\n" + b"z" * 200), None
    demand = Demand(100, max_bytes=100)
    assert run(from_lines(path, demand).pipe(ops.settle())).ok == 3
    assert demand.peak_bytes == 200  # alone


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_as_long_as_the_bound_is_one(tmp_path, end):
    path, seen = write(tmp_path / "a", b"x" * 10 + end), []
    run(from_lines(path, Demand(9), max_line=10).pipe(ops.settle(collect(seen))))
    assert seen == [b"x" * 10]


@pytest.mark.parametrize("rest", [b"", b"\n", b"\r\n", b"x" * 100])
def test_a_longer_line_is_an_error_behind_the_lines_before_it(tmp_path, rest):
    path, seen = write(tmp_path / "a", b"ok\n" + b"x" * 11 + rest), []
    with pytest.raises(LimitExceededError, match=r"a: the line at byte 3 is longer than max_line, 10 bytes"):
        run(from_lines(path, Demand(9), max_line=10).pipe(ops.settle(collect(seen))))
    assert seen == [b"ok"]


def test_a_file_that_is_not_there_is_an_error_behind_the_others(tmp_path):
    path, seen = write(tmp_path / "a", b"ok\n"), []
    with pytest.raises(FileNotFoundError):
        run(from_lines([path, tmp_path / "gone"], Demand(9)).pipe(ops.settle(collect(seen))))
    assert seen == [b"ok"]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (1, "position 1 is inside a line"),
        (9, "position 9 is outside of the file, which has 8 bytes"),
    ],
)
def test_a_position_where_no_line_begins_is_refused(tmp_path, start, message):
    path = write(tmp_path / "a", b"one\ntwo\n")
    with pytest.raises(ConfigError, match=message):
        run(from_lines(path, Demand(9), start={path: start}).pipe(ops.settle()))


def test_a_start_in_another_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="start: 'b' is not among the files"):
        from_lines("a", Demand(9), start={"b": 0})


def test_files_are_closed_when_the_chain_ends(tmp_path, monkeypatch):
    path, closed, stop = write(tmp_path / "a", b"x\n" * 100), [], Stop()
    close = LineReader.close
    monkeypatch.setattr(LineReader, "close", lambda self: closed.append(1) or close(self))
    run(from_lines(path, Demand(4)).pipe(ops.settle(lambda _: stop.now())), stop=stop)
    assert closed == [1]


@given(
    st.lists(st.text("ab\r\n", max_size=4), max_size=12),
    st.integers(1, 5),
    st.integers(0, 14),
)
def test_a_restart_goes_on_behind_what_was_stored(tmp_path_factory, parts, max_demand, stop_after):
    data = "\n".join(parts).encode()
    path = write(tmp_path_factory.mktemp("lines") / "a", data)
    expected = [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]
    expected += [last] if (last := data.split(b"\n")[-1]) else []
    stored, position, stop = [], 0, Stop()

    def sink(messages):
        nonlocal position
        stored.extend(message.data for message in messages)
        position = messages[-1].record.offset + 1
        if len(stored) >= stop_after:
            stop.now()

    if stop_after == 0:
        stop.now()
    run(from_lines(path, Demand(max_demand), batch=2).pipe(ops.settle(sink)), stop=stop)
    run(from_lines(path, Demand(max_demand), start={path: position}).pipe(ops.settle(sink)), stop=Stop())
    assert stored == expected


def test_lines_can_be_joined(tmp_path):
    """A row of the right is let go when the left's position has passed what would want it again."""
    left = write(tmp_path / "left", b"".join(b"%d\n" % at for at in range(2, 300, 3)))
    right = write(tmp_path / "right", b"".join(b"%d\n" % at for at in range(0, 300, 2)))
    seen, demand = [], Demand(7)
    chain = from_lines(left, Demand(5)).pipe(
        ops.join_asof(from_lines(right, demand), by=lambda line: "", time=int),
        ops.settle(collect(seen)),
    )
    report = run(chain)
    assert [(int(a), int(b)) for a, b in seen] == [(at, at - at % 2) for at in range(2, 300, 3)]
    assert (report.ok, report.held, report.left) == (250, 0, 0)
    assert demand.in_flight == 0


@pytest.mark.parametrize("unfinished", [b"thr", b"thr\r", b"x" * 20])
def test_the_last_line_of_a_growing_file_is_left_until_it_has_ended(tmp_path, unfinished):
    path, seen = write(tmp_path / "log", b"one\ntwo\n" + unfinished), []

    def read(start):
        source = from_lines(path, Demand(9), start={path: start}, max_line=20, growing=True)
        assert run(source.pipe(ops.settle(seen.extend))).delivered == len(seen)
        return seen[-1].record.offset + 1

    position = read(0)
    assert [message.data for message in seen] == [b"one", b"two"]
    with open(path, "ab") as file:
        file.write(b"\nfour\nfi")
    del seen[:]
    assert read(position) == len(b"one\ntwo\n" + unfinished + b"\nfour\n")
    assert [message.data for message in seen] == [unfinished.removesuffix(b"\r"), b"four"]


def test_an_unfinished_line_that_is_too_long_already_is_an_error(tmp_path):
    path = write(tmp_path / "log", b"x" * 30)
    with pytest.raises(LimitExceededError, match="the line at byte 0 is longer than max_line"):
        run(from_lines(path, Demand(9), max_line=20, growing=True).pipe(ops.settle()))


@pytest.mark.parametrize(
    ("compress", "name"),
    [(gzip.compress, "gzip"), (lzma.compress, "xz"), (numcodecs.Zstd().encode, "zstandard")],
)
def test_a_compressed_file_is_refused_whatever_its_name(tmp_path, compress, name):
    path = write(tmp_path / "lines.txt", compress(b"one\ntwo\n"))
    with pytest.raises(
        ConfigError, match=rf"lines.txt is compressed \({name}\), expected lines of text; what"
    ):
        run(from_lines(path, Demand(9)).pipe(ops.settle()))


def test_what_a_decompressor_gives_can_be_read(tmp_path):
    path, seen = write(tmp_path / "lines.gz", gzip.compress(b"one\ntwo\n")), []
    with gzip.open(path) as lines:
        run(from_iterable(lines, Demand(9)).pipe(ops.map(bytes.rstrip), ops.settle(collect(seen))))
    assert seen == [b"one", b"two"]
