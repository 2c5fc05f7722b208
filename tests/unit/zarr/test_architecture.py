"""No circle between files: of the stores, the arrays, and the batches that learners read."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import streamzarr

ROOT = Path(streamzarr.__file__).parent
PACKAGES = ["streamzarr.stores", "streamzarr.zarr", "streamzarr.data"]


def files_of(package: str) -> dict[str, Path]:
    """Every file below a package, by the name of its module; a package below it is its ``__init__``."""
    found = {}
    for path in ROOT.joinpath(*package.split(".")[1:]).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(("streamzarr", *(parts[:-1] if parts[-1] == "__init__" else parts)))
        if name != package:
            found[name] = path
    return found


def imports_of(path: Path, files: dict[str, Path]) -> set[str]:
    """Modules that a file imports, for type checking or inside of functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {module if module in files else node.module for module in modules}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & files.keys()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_part_of_a_circle(package):
    files = files_of(package)
    assert files
    graph = {name: imports_of(path, files) for name, path in files.items()}
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
