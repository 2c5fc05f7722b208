"""The registry of transforms, and what a transform may return."""

import numpy as np
import pytest

from streamzarr.errors import ConfigError, TransformError
from streamzarr.jobs.transforms import (
    apply_transform,
    find_transform,
    known_transforms,
    load_transforms,
    transform,
)


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("streamzarr.jobs.transforms._registered", {})


def test_a_function_is_found_under_its_name_or_the_given_one(registry):
    @transform
    def double(block):
        return block * 2

    @transform(name="triple")
    def anything(block):
        return block * 3

    assert find_transform("double") is double
    assert find_transform("triple") is anything
    assert {"double", "triple"} <= set(known_transforms())


def test_two_functions_cannot_share_a_name(registry):
    transform(name="same")(np.negative.__class__)
    with pytest.raises(ConfigError, match="same"):
        transform(name="same")(test_two_functions_cannot_share_a_name)


def test_an_unknown_name_lists_the_known_ones(registry):
    transform(name="known")(lambda block: block)
    with pytest.raises(TransformError, match=r"'os.system'.*known"):
        find_transform("os.system")


def test_results_must_fit(registry):
    transform(name="shape")(lambda block: block[:1])
    transform(name="dtype")(lambda block: block.astype("f8"))
    block = np.ones((2, 2), "i4")
    with pytest.raises(TransformError, match=r"shape \(1, 2\), expected \(2, 2\)"):
        apply_transform("shape", block, {}, block.dtype)
    with pytest.raises(TransformError, match=r"float64.*int32.*dtype="):
        apply_transform("dtype", block, {}, block.dtype)
    assert apply_transform("dtype", block, {}, np.dtype("f4")).dtype == "f4"


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no_such_module"):
        load_transforms(["no_such_module"])
