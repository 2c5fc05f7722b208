"""No circle between files: of the codecs, the data types, and the batches that learners read."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import streamzarr

ROOT = Path(streamzarr.__file__).parent
PACKAGES = ["streamzarr.zarr.codecs", "streamzarr.zarr.dtypes", "streamzarr.data"]


def files_of(package: str) -> dict[str, Path]:
    folder = ROOT.joinpath(*package.split(".")[1:])
    return {f"{package}.{path.stem}": path for path in folder.glob("*.py") if path.stem != "__init__"}


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports, for type checking or inside of functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_part_of_a_circle(package):
    files = files_of(package)
    assert files
    graph = {name: imports_of(path) & files.keys() for name, path in files.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


@pytest.mark.parametrize("package", PACKAGES)
def test_inside_of_a_package_nothing_imports_through_it(package):
    """Which would hide circles from the test above; a file of the package may be had from it."""
    files = files_of(package)
    for path in files.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == package:
                assert {f"{package}.{alias.name}" for alias in node.names} <= files.keys(), path.name
