"""The store that the documentation shows keeps the whole contract."""

import importlib.util
import sys
from pathlib import Path

import pytest

from streamzarr.stores import open_store, probe_conditional_put, register_store, registry
from streamzarr.testing.stores import StoreSuite

PATH = Path(__file__).parents[3] / "examples" / "custom_store.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("custom_store", PATH)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "custom_store", module)
        patch.setattr(registry, "_registered", {})
        spec.loader.exec_module(module)
        register_store("table", module.TableStore.from_url)
        yield module


class TestTableStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path, example):
        return example.TableStore(tmp_path / "values.db")


def test_its_conditional_put_works(tmp_path, example):
    store = open_store(f"table://{tmp_path}/values.db")
    assert isinstance(store, example.TableStore)
    probe_conditional_put(store)
