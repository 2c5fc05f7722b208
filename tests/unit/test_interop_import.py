"""The interop layer does not make anyone import zarr-python."""

import subprocess
import sys

import pytest

import streamzarr.interop

WITHOUT_ZARR = """
import sys
sys.modules["zarr"] = None  # as if it were not installed
import streamzarr.interop
assert dir(streamzarr.interop) == ["ZarrStore"]
try:
    streamzarr.interop.ZarrStore
except streamzarr.errors.ConfigError as error:
    print(error)
"""


def test_zarr_python_is_imported_on_first_use_only():
    code = "import sys, streamzarr.interop; sys.exit('zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_named():
    done = subprocess.run([sys.executable, "-c", WITHOUT_ZARR], capture_output=True, text=True, check=False)
    assert "pip install 'streamzarr[zarr]'" in done.stdout, done.stderr


def test_names_that_do_not_exist():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        streamzarr.interop.Nothing  # noqa: B018
