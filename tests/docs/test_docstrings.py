"""The examples in the docstrings of all modules run."""

import doctest
import importlib.util
import pkgutil

import pytest

import streamzarr

NEEDS = {"streamzarr.data.torch": "torch"}
MODULES = sorted(
    ["streamzarr"]
    + [
        module.name
        for module in pkgutil.walk_packages(streamzarr.__path__, "streamzarr.")
        if not module.name.endswith("__main__")
        and (module.name not in NEEDS or importlib.util.find_spec(NEEDS[module.name]))
    ]
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_there_are_examples():
    """Guards the finder: were it to find nothing, every test above would pass."""
    finder = doctest.DocTestFinder()
    examples = sum(
        len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name), name)
    )
    assert examples > 200
