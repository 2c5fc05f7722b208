"""What other libraries take from an array: numpy's protocol, and DLPack."""

import numpy as np
import pytest

import streamzarr.zarr as sz

DTYPES = ["u1", "i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_hands_over_a_copy_of_every_numeric_dtype(dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    z = sz.create_array("memory://", data=values, chunks=2)
    taken = np.from_dlpack(z)
    assert taken.dtype == values.dtype
    assert np.array_equal(taken, values)
    assert np.array_equal(np.from_dlpack(z, copy=True, device="cpu"), values)
    assert z.__dlpack_device__() == np.zeros(1).__dlpack_device__()
    z[:] = np.zeros_like(values)
    assert np.array_equal(taken, values)
    with pytest.raises(BufferError, match="copy=False"):
        np.from_dlpack(z, copy=False)


@pytest.mark.parametrize("dtype", ["M8[s]", "S3"])
def test_dlpack_refuses_what_it_has_no_name_for(dtype):
    z = sz.create_array("memory://", shape=(3,), dtype=dtype)
    with pytest.raises(BufferError):
        np.from_dlpack(z)


def test_numpy_functions_take_an_array():
    values = np.arange(12.0).reshape(3, 4)
    z = sz.create_array("memory://", data=values, chunks=2)
    assert np.array_equal(np.asarray(z), values)
    assert np.asarray(z, dtype="f4").dtype == "f4"
    assert np.mean(z) == values.mean()
    assert np.array_equal(np.array(z, copy=True), values)
    mine = np.asarray(z)
    mine[:] = -1
    assert np.array_equal(z[:], values)
    with pytest.raises(ValueError, match="copy=False"):
        np.array(z, copy=False)
