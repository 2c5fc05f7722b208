"""What users of zarr-python look for: every public name of its arrays, groups and top level is here, or it is
said why not."""

from __future__ import annotations

import inspect

import pytest
import zarr

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError

NOT_HERE = {
    "top level": {
        "AsyncArray": "the core is synchronous; streams have `async for`",
        "AsyncGroup": "as AsyncArray",
        "array": "sz.create_array('memory://', data=...)",
        "copy_all": "zarr-python 3 has not implemented it; sz.copy",
        "copy_store": "zarr-python 3 has not implemented it; sz.copy",
        "create": "sz.create_array",
        "group": "sz.create_group, sz.open_group",
        "print_debug_info": "for reports of bugs in zarr-python",
        "tree": "group.tree()",
    },
    "Array": {
        "async_array": "the core is synchronous",
        "compressor": "deprecated there; compressors",
        "config": "options are arguments",
        "create": "sz.create_array",
        "from_dict": "ArrayMetadataV3.from_json",
        "open": "sz.open_array",
        "store_path": "store, path and url",
        "with_config": "open it again with other arguments",
    },
    "Group": {
        "array": "deprecated there; create_array",
        "create": "create_array",
        "create_dataset": "deprecated there; create_array",
        "empty": "create_array",
        "empty_like": "sz.empty_like(data, store=group.store, path=...)",
        "from_store": "sz.create_group",
        "full": "create_array(fill_value=...)",
        "full_like": "sz.full_like",
        "move": "zarr-python 3 has not implemented it",
        "ones": "create_array(fill_value=1)",
        "ones_like": "sz.ones_like",
        "open": "sz.open_group",
        "require_dataset": "deprecated there; require_array",
        "store_path": "store, path and url",
        "synchronizer": "zarr-python 3 has none",
        "update_attributes_async": "update_attributes",
        "zeros": "create_array",
        "zeros_like": "sz.zeros_like",
    },
}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("top level", sz), ("Array", sz.Array), ("Group", sz.Group)],
    ids=lambda each: str(each),
)
def test_a_name_is_here_or_it_is_said_why_not(theirs, ours):
    names = zarr.__all__ if theirs == "top level" else dir(getattr(zarr, theirs))
    offered = sz.__all__ if theirs == "top level" else dir(ours)
    missing = {name for name in names if not name.startswith("_")} - set(offered)
    # A newer zarr-python may have more; what is listed here must be true of the one that is installed.
    assert missing == set(NOT_HERE[theirs]) & missing
    assert set(NOT_HERE[theirs]) & set(offered) == set()


@pytest.mark.parametrize(
    "name",
    [
        *("create_array", "create_group", "open_array", "open_group", "open", "consolidate_metadata", "load"),
        *("save", "save_array", "save_group", "from_array", "full", "zeros", "ones", "empty", "open_like"),
    ],
)
def test_what_is_passed_by_position_there_is_passed_by_position_here(name):
    def positional(function):
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return sum(each.kind in kinds for each in inspect.signature(function).parameters.values())

    assert positional(getattr(sz, name)) >= min(positional(getattr(zarr, name)), 2)


def test_name_and_path_of_create_array_mean_the_same():
    assert sz.create_array("memory://", name="a/b", data=[1]).path == "a/b"
    with pytest.raises(ConfigError, match="mean the same"):
        sz.create_array("memory://", name="a", path="b", data=[1])
