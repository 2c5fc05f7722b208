"""The architecture of streamzarr.flow by itself."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import streamzarr.flow

ROOT = Path(streamzarr.flow.__file__).parent


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, for type checking or inside of functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamzarr.flow"):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("streamzarr.flow")}
    return found


def test_no_file_of_the_flow_is_part_of_a_cycle():
    files = {
        ".".join(("streamzarr.flow", *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in ROOT.rglob("*.py")
        if path.name != "__init__.py"
    }
    graph = {name: imports_of(path) & files.keys() for name, path in files.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_inside_the_flow_nothing_imports_through_a_package():
    """``from streamzarr.flow import ...`` inside the package would hide cycles from the test above."""
    packages = {
        ".".join(("streamzarr.flow", *path.parent.relative_to(ROOT).parts))
        for path in ROOT.rglob("__init__.py")
    }
    for path in ROOT.rglob("*.py"):
        if path.name == "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in packages, f"{path.name} imports {node.module}"
