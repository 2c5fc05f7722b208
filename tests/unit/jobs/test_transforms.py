"""The registry of transforms."""

import functools
import importlib.util
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from streamzarr.errors import ConfigError, TransformError
from streamzarr.jobs.transforms import (
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


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no_such_module"):
        load_transforms(["no_such_module"])


@pytest.mark.parametrize(
    "module", ["./one", "one.py", "", ".one", "one.", "a b", "-x", "/tmp/one", "one/two", "./one.py"]
)
def test_what_is_no_module_s_name_is_told_so(module):
    with pytest.raises(ConfigError, match="is no module's name, expected one as in `import "):
        load_transforms([module])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_the_kind", "ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit()", "SystemExit"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise BaseException('own')", "BaseException: own"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("class E(BaseException):\n    def __str__(self): raise self\nraise E", "E: "),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_whatever_a_module_raises_while_it_is_imported_is_one_sentence(tmp_path, monkeypatch, text, says):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_transforms", raising=False)
    importlib.invalidate_caches()
    (tmp_path / "broken_transforms.py").write_text(text)
    with pytest.raises(ConfigError, match=f"'broken_transforms' cannot be imported: {says}") as caught:
        load_transforms(["broken_transforms"])
    assert "\n" not in str(caught.value)


def module(name, path, text):
    """Run a module's text as ``import`` does, under any name."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


PLAIN = "import streamzarr as sz\n@sz.transform\ndef f(block):\n    return block\n"


def test_one_definition_may_be_imported_twice(registry, tmp_path):
    first = module("lab", tmp_path / "lab.py", PLAIN)
    second = module("__main__", tmp_path / "lab.py", PLAIN)
    assert find_transform("f") is second.f is not first.f


DECORATED = """
import functools
import streamzarr as sz

def timed(function):
    @functools.wraps(function)
    def call(block):
        return function(block)
    return call

@sz.transform
@timed
def f(block):
    return block
"""


def test_a_decorated_definition_may_be_imported_twice(registry, tmp_path):
    module("lab", tmp_path / "lab.py", DECORATED)
    module("__main__", tmp_path / "lab.py", DECORATED)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PLAIN, PLAIN),  # the same text in another file
        (DECORATED, DECORATED),
        (PLAIN, DECORATED),
    ],
)
def test_the_same_name_in_another_file_is_refused(registry, tmp_path, one, other):
    module("one", tmp_path / "one.py", one)
    with pytest.raises(ConfigError, match=r"'f' is registered twice, by one\.f \(.*one\.py, line"):
        module("other", tmp_path / "other.py", other)
    assert find_transform("f").__module__ == "one"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN + PLAIN,
        "import streamzarr as sz\nfor k in 1, 2: sz.transform(name='f')(lambda block, k=k: block)"
        "; sz.transform(name='f')(lambda block: -block)",
        "import streamzarr as sz\ndef make(k):\n    def f(block): return block * k\n    return f\n"
        "for k in 1, 2: sz.transform(make(k))",
    ],
    ids=["defined twice", "on one line", "made twice"],
)
def test_the_same_name_twice_in_one_module_is_refused(registry, tmp_path, text):
    with pytest.raises(ConfigError, match="'f' is registered twice"):
        module("lab", tmp_path / "lab.py", text)


def test_a_name_is_needed(registry):
    with pytest.raises(ConfigError, match="name of a transform is ''"):
        transform(name="")(lambda block: block)
    with pytest.raises(ConfigError, match="name of a transform is ''"):
        transform(functools.partial(np.clip))


def installed(monkeypatch, *points):
    found = [EntryPoint(name, value, "streamzarr.transforms") for name, value in points]
    monkeypatch.setattr("streamzarr.jobs.transforms.entry_points", lambda group: found)


def test_names_of_installed_packages_may_not_collide_either(registry, monkeypatch):
    installed(monkeypatch, ("f", "numpy:negative"), ("f", "numpy:positive"))
    with pytest.raises(ConfigError, match="'f' is registered twice"):
        load_transforms()
    installed(monkeypatch, ("f", "numpy:negative"))
    load_transforms()
    transform(name="f")(np.positive)
    with pytest.raises(ConfigError, match="'f' is registered twice"):
        load_transforms()
    assert find_transform("f") is np.positive


def test_a_transform_that_its_package_registers_too_is_one(registry, monkeypatch):
    transform(name="f")(np.negative)
    installed(monkeypatch, ("f", "numpy:negative"), ("f", "numpy:negative"), ("g", "numpy:positive"))
    load_transforms()
    assert find_transform("g") is np.positive
    assert known_transforms() == ["f", "g"]


def test_an_installed_transform_that_cannot_be_loaded_is_one_sentence(registry, monkeypatch):
    installed(monkeypatch, ("f", "numpy:no_such_function"))
    with pytest.raises(ConfigError, match=r"'f' \(numpy:no_such_function\) cannot be loaded: AttributeError"):
        find_transform("f")
