"""What a transform may return, and what becomes of it."""

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CastingError, TransformError
from streamzarr.jobs.compute import compute_chunk, decoded_bytes
from streamzarr.jobs.execute import layout_of
from streamzarr.jobs.transforms import transform
from streamzarr.jobs.wire import Stage
from streamzarr.stores import MemoryStore

BLOCK = np.array([[1, 2], [3, 4]], "i4")


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("streamzarr.jobs.transforms._registered", {})


def applied(function, *, data=BLOCK, casting="same_kind", target=None, **options):
    """Return what a job stores where a transform was given `data`."""
    transform(name="given")(function)
    source = sz.create_array(MemoryStore(), data=data, chunks=data.shape)
    if target is None:
        how = {"shape": data.shape, "chunks": data.shape, "dtype": data.dtype}
        target = sz.create_array(MemoryStore(), **how | options)
    stage = Stage("map", source.url, target.url, layout_of(target), transform="given", casting=casting)
    chunk = (0,) * data.ndim
    block = compute_chunk(stage, source[...], source, target, chunk)
    target.write_chunk(chunk, block)
    return target[...].tolist()


def undefined(array):
    """Return a v2 array as `array`, without a fill value."""
    document = array.metadata.to_json() | {"fill_value": None}
    return sz.Array(array.store, array.path, type(array.metadata).from_json(document, "x"))


def test_shape_and_dtype_must_fit(registry):
    with pytest.raises(TransformError, match=r"shape \(1, 2\), expected \(2, 2\)"):
        applied(lambda block: block[:1])


def test_another_kind_of_dtype_is_refused_unless_asked_for(registry):
    def halves(block):
        return block / 2

    with pytest.raises(TransformError, match=r"float64.*int32.*same_kind.*dtype="):
        applied(halves)


def test_casting_and_dtype_let_another_kind_in(registry):
    assert applied(lambda block: block / 2, dtype="f4") == [[0.5, 1], [1.5, 2]]


def test_unsafe_takes_what_numpy_makes_of_it(registry):
    assert applied(lambda block: block / 2 + 70000, casting="unsafe", dtype="i4") == [
        [70000, 70001],
        [70001, 70002],
    ]


def test_a_value_that_does_not_fit_names_array_chunk_and_value(registry):
    with pytest.raises(
        CastingError, match=r"memory.*: chunk \[0, 0\]: the value 300 at \[1, 0\] and 1 others"
    ):
        applied(lambda block: block * 100, dtype="u1")


@pytest.mark.parametrize("fill", [0, -9])
def test_masked_cells_become_the_fill_value(registry, fill):
    stored = applied(lambda block: np.ma.masked_greater(block, 2), fill_value=fill)
    assert stored == [[1, 2], [fill, fill]]


def test_what_lies_under_a_mask_need_not_fit(registry):
    def far(block):
        return np.ma.masked_array(block * 100_000, block > 1)

    assert applied(far, dtype="i4", fill_value=-1) == [[100_000, -1], [-1, -1]]


def test_all_cells_masked(registry):
    assert applied(lambda block: np.ma.masked_all(block.shape, "i4"), fill_value=7) == [[7, 7], [7, 7]]


def test_masked_cells_without_a_fill_value_are_refused(registry):
    target = undefined(sz.create_array(MemoryStore(), shape=(2, 2), chunks=(2, 2), dtype="i4", zarr_format=2))
    with pytest.raises(TransformError, match=r"masked cells, and .* has no fill value"):
        applied(lambda block: np.ma.masked_equal(block, 1), target=target)
    assert target.nchunks_initialized == 0


def test_a_mask_of_nothing_needs_no_fill_value(registry):
    target = undefined(sz.create_array(MemoryStore(), shape=(2, 2), chunks=(2, 2), dtype="i4", zarr_format=2))
    assert applied(lambda block: np.ma.masked_equal(block, 9), target=target) == [[1, 2], [3, 4]]


def test_records_without_a_mask_are_records(registry):
    data = np.zeros(2, [("a", "i4"), ("b", "i4")])
    assert applied(lambda block: np.ma.masked_array(block, mask=False), data=data) == [(0, 0)] * 2


def test_masked_records_are_refused(registry):
    data = np.zeros(2, [("a", "i4"), ("b", "i4")])
    with pytest.raises(TransformError, match="masked records"):
        applied(lambda block: np.ma.masked_array(block, mask=[(1, 0), (0, 0)]), data=data)


def test_lists_are_arrays(registry):
    assert applied(lambda block: [[5, 6], [7, 8]]) == [[5, 6], [7, 8]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned None.*changed in place"),
        (5, r"shape \(\), expected \(2, 2\)"),
        (np.int32(5), r"shape \(\), expected"),
        (np.ma.masked, r"shape \(\), expected"),
        ([[1, 2], [3]], "returned a list that is no array"),
        ([], r"shape \(0,\), expected"),
        (np.array([[1, 2], [3, None]], object), "returned dtype object, expected one that casts to int32"),
        (np.array([["1", "2"], ["3", "4"]]), "returned dtype <U1"),
        ((each for each in [1]), r"shape \(\), expected"),
    ],
    ids=["none", "scalar", "numpy scalar", "masked", "ragged", "empty", "objects", "text", "generator"],
)
def test_what_is_no_block_is_an_error_that_says_so(registry, returned, message):
    with pytest.raises(TransformError, match=f"'given' {message}|{message}"):
        applied(lambda block: returned)


def test_an_array_that_cannot_be_made_is_the_transforms_error(registry):
    class Odd:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("not today")

    with pytest.raises(TransformError, match="returned a Odd that is no array: RuntimeError: not today"):
        applied(lambda block: Odd())


def test_a_block_changed_in_place_is_stored(registry):
    def shift(block):
        block += 1
        return block[:]

    assert applied(shift) == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda block: block.T, [[1, 3], [2, 4]]),
        (lambda block: np.broadcast_to(block[:1], block.shape), [[1, 2], [1, 2]]),
        (lambda block: np.asmatrix(block), [[1, 2], [3, 4]]),
        (lambda block: block.astype(">i8"), [[1, 2], [3, 4]]),
    ],
    ids=["transposed", "broadcast", "matrix", "big-endian"],
)
def test_views_and_subclasses_are_stored_by_value(registry, function, expected):
    assert applied(function) == expected


def test_a_scalar_is_the_block_of_an_array_without_axes(registry):
    assert applied(lambda block: float(block) * 2, data=np.array(1.5)) == 3.0


def test_text_and_bytes_of_any_length(registry):
    strings = np.array(["a", "bc"], np.dtypes.StringDType())
    assert applied(lambda block: np.array(["xyz", "\u00e9"]), data=strings) == ["xyz", "\u00e9"]


def test_numbers_are_no_text(registry):
    strings = np.array(["a", "bc"], np.dtypes.StringDType())
    with pytest.raises(TransformError, match="int64"):
        applied(lambda block: np.array([1, 2]), data=strings)


def test_objects_that_are_no_strings_are_refused(registry):
    strings = np.array(["a", "bc"], np.dtypes.StringDType())
    with pytest.raises(CastingError, match=r"chunk \[0\].*expected str elements"):
        applied(lambda block: np.array([1, "b"], object), data=strings)


def test_bytes_written_are_counted_for_elements_of_any_length():
    assert decoded_bytes(np.array(["a", "\u00e9"], np.dtypes.StringDType())) == 3
    assert decoded_bytes(np.array([b"abc", b""], object)) == 3
    assert decoded_bytes(np.zeros((2, 3), "f4")) == 24
