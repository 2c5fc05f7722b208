"""Arrow: values that are one in memory and many in a column."""

import io
import tracemalloc

import numpy as np
import pytest

from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.base import TooMuchError
from streamzarr.limits import Limits
from tests.support.decoding import specs

pa = pytest.importorskip("pyarrow")

SMALL = Limits(max_message_bytes=40_000, max_message_records=5000)
LONG = "a" * 10_000
RAW = LONG.encode()
FIRST = pa.array([0] * 4000, "i1")


def message(array, other=None, name="x") -> bytes:
    columns = {name: array} if other is None else {name: array, "other": other}
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def views(value, kind, count):
    """One text, which is shown many times."""
    _, shown, *texts = pa.array([value], kind).buffers()
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(shown.to_pybytes() * count), *texts])


def shared(words):
    return pa.DictionaryArray.from_arrays(FIRST, words)


def runs(values, rows=4000):
    return pa.RunEndEncodedArray.from_arrays(pa.array([rows], "i4"), values)


def structs(array):
    return pa.StructArray.from_arrays([array], ["x"])


LISTS = pa.ListViewArray.from_arrays(
    pa.array([0] * 100, "i4"), pa.array([900] * 100, "i4"), pa.array([7] * 900)
)
BY_VIEWS = "got views of 9000000 bytes, expected 640000 at most"
TEXTS = "got 4000 texts of up to 10000 bytes by"
VALUES = "got 4000 values of up to 10000 bytes by"
CASES = {
    "string_view": (views(LONG, pa.string_view(), 900), BY_VIEWS),
    "binary_view": (views(RAW, pa.binary_view(), 900), BY_VIEWS),
    "runs": (runs(pa.array([LONG])), f"{TEXTS} runs"),
    "runs of words": (runs(shared(pa.array([LONG])).slice(0, 1)), f"{TEXTS} runs"),
    "binary words": (shared(pa.array([RAW])), f"{VALUES} a dictionary"),
    "large_binary words": (shared(pa.array([RAW], pa.large_binary())), f"{VALUES} a dictionary"),
    "fixed words": (shared(pa.array([RAW], pa.binary(10_000))), f"{VALUES} a dictionary"),
    "views for words": (shared(views(LONG, pa.string_view(), 2)), f"{TEXTS} a dictionary"),
    "runs for words": (shared(runs(pa.array([LONG]), 1 << 30)), f"{TEXTS} runs"),
    "dense union": (
        pa.UnionArray.from_dense(FIRST, pa.array([0] * 4000, "i4"), [pa.array([LONG])]),
        f"{VALUES} a union",
    ),
    "sparse union": (
        pa.UnionArray.from_sparse(FIRST, [runs(pa.array([LONG]))]),
        f"{VALUES} a union",
    ),
    "list_view": (LISTS, "got list_view<item: int64> in {}, expected one value"),
    "lists for words": (
        shared(pa.array([[7] * 900])),
        "got dictionary<values=list<item: int64>, indices=int8, ordered=0> in {}, expected one value",
    ),
    "nothing, often": (
        pa.FixedSizeListArray.from_arrays(pa.nulls(1 << 30), 1 << 28),
        "got fixed_size_list<item: null>[268435456] in {}, expected one value",
    ),
    "words in structs": (structs(shared(pa.array([LONG]))), "expected one value"),
}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_what_is_shared_is_bounded_by_what_it_would_become(case, deep):
    array, says = CASES[case]
    path = "s.x" if deep else "x"
    decode = open_decoder("arrow", specs(x=("string", {"source": path})), limits=SMALL)
    arrays = [pa.array(["b"]), array, pa.array(["c"])]
    decoded = decode([message(structs(each), name="s") if deep else message(each) for each in arrays])
    assert decoded.bad.keys() == {1}
    assert says.format(path) in decoded.bad[1]
    assert decoded.columns["x"].tolist() == ["b", "c"]


def test_views_that_no_column_takes_are_bounded_too():
    """Each is read when its text is checked."""
    shown = views(LONG, pa.string_view(), 100)
    lists = pa.ListArray.from_arrays(pa.array(range(101), "i4"), shown)
    decoded = open_decoder("arrow", specs(x="f8"), limits=SMALL)(
        [message(pa.array([1.5] * 100), each) for each in (shown, structs(lists))]
    )
    says = "arrow: got views of 1000000 bytes, expected 640000 at most"
    assert decoded.bad == {0: says, 1: says}


def test_what_several_messages_become_is_bounded():
    some = message(shared(pa.array(["a" * 30_000])))
    decode = open_decoder("arrow", specs(x="bytes"))
    with pytest.raises(TooMuchError):
        decode([some] * 3)
    assert decode([some]).rows == 4000


def test_shared_values_are_what_they_are():
    words = [None, "b", "b", "a", None]
    plain = pa.array(words)
    several = pa.RunEndEncodedArray.from_arrays(
        pa.array([1, 3, 4, 5], "i2"), pa.array([None, "b", "a", None])
    )
    union = pa.UnionArray.from_dense(
        pa.array([1, 0, 0, 0, 1], "i1"), pa.array([0, 0, 0, 1, 0], "i4"), [pa.array(["b", "a"]), pa.nulls(1)]
    )
    arrays = [
        plain,
        plain.dictionary_encode(),
        plain.cast(pa.string_view()),
        several,
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3, None], "u8"), several),
        pa.DictionaryArray.from_arrays(
            pa.array([2, 0, 0, 1, None], "i1"), pa.array(["b", "a", None], pa.string_view())
        ),
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 5], "i8"), plain.dictionary_encode().slice(1, 3)),
        union,
        plain.cast(pa.large_string()),
    ]
    expected = [["", "b", "b", "a", ""]] * 9
    expected[6] = ["b", "b", "a", "a", "a"]
    decode = open_decoder("arrow", specs(x=("string", {"required": False})))
    for array, each in zip(arrays, expected, strict=True):
        assert decode([message(array)]).columns["x"].tolist() == each
    together = decode([message(array) for array in arrays])
    assert not together.bad
    assert together.columns["x"].tolist() == [each for some in expected for each in some]


@pytest.mark.parametrize("kind", ["runs", "union", "words", "views"])
def test_what_is_shared_is_null_where_its_struct_is(kind):
    inner = {
        "runs": runs(pa.array([1.5]), 3),
        "union": pa.UnionArray.from_dense(
            pa.array([0] * 3, "i1"), pa.array([0] * 3, "i4"), [pa.array([1.5])]
        ),
        "words": pa.array([1.5] * 3).dictionary_encode(),
        "views": pa.array(["1.5"] * 3, pa.string_view()),
    }[kind]
    outer = pa.StructArray.from_arrays([inner], ["x"], mask=pa.array([False, True, False]))
    decode = open_decoder("arrow", specs(x=("f8", {"source": "s.x", "required": False})))
    found = decode([message(outer, name="s"), message(structs(inner), name="s")]).columns["x"]
    np.testing.assert_array_equal(found, [1.5, np.nan, 1.5, 1.5, 1.5, 1.5])


def test_lists_that_are_all_null_are_no_values():
    """Also those of a fixed size, which take room where they are null."""
    array = pa.array([None] * 4000, pa.list_(pa.null(), 1 << 18))
    decode = open_decoder("arrow", specs(x=("f8", {"required": False, "fill": -1})))
    assert set(decode([message(array), message(shared(array.slice(0, 1)))]).columns["x"].tolist()) == {-1.0}


@pytest.mark.parametrize("deep", [False, True])
def test_views_of_nulls_lead_nowhere(deep):
    """Nothing validates them."""
    long = "b" * 40
    there, shown, text = pa.array([long, None, long[1:]], pa.string_view()).buffers()
    bad = bytearray(shown.to_pybytes())
    bad[16:32] = np.array([2**30, 0, 2**30, 2**30], "i4").tobytes()
    array = pa.Array.from_buffers(pa.string_view(), 3, [there, pa.py_buffer(bytes(bad)), text])
    if deep:
        array = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], "i1"), array)
    decode = open_decoder("arrow", specs(x=("string", {"required": False})))
    assert decode([message(array)]).columns["x"].tolist() == [long, "", long[1:]]


@pytest.mark.parametrize("kind", ["f8", "i8", "string", "bytes", "U8", "M8[ms]"])
@pytest.mark.parametrize("case", ["words", "views"])
def test_what_is_made_of_shared_values_is_some_times_what_they_are(case, kind):
    text = "x" * 1_000_000
    array = pa.DictionaryArray.from_arrays(FIRST[:40], pa.array([text]))
    value = message(array if case == "words" else views(text, pa.string_view(), 40))
    decode = open_decoder("arrow", specs(x=(kind, {})))
    decode([value])
    tracemalloc.start()
    try:
        decode([value])
        assert tracemalloc.get_traced_memory()[1] < 5 * 40_000_000
    finally:
        tracemalloc.stop()
