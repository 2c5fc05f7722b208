import importlib

import pytest

from streamzarr.errors import ConfigError
from streamzarr.stores import LocalStore, MemoryStore, known_schemes, open_store, register_store, registry


@pytest.fixture(autouse=True)
def _clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def test_paths_urls_and_stores_open(tmp_path):
    for target in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"file://localhost{tmp_path}"):
        store = open_store(target)
        assert isinstance(store, LocalStore)
        assert store.root == str(tmp_path)
    assert open_store(store) is store


def test_opening_makes_nothing(tmp_path):
    store = open_store(tmp_path / "new")
    assert not store.exists("zarr.json")
    assert list(store.list()) == []
    store.delete("a")
    assert not (tmp_path / "new").exists()


def test_memory_is_shared_by_name_and_new_without():
    open_store("memory://shared-by-name").put("a", b"1")
    assert open_store("memory://shared-by-name").get("a") == b"1"
    assert not open_store("memory://another").exists("a")
    nameless = open_store("memory://")
    nameless.put("a", b"1")
    assert not open_store("memory://").exists("a")
    assert open_store(nameless.url).get("a") == b"1"


def test_unknown_scheme_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'ftp'.*file://.*memory://"):
        open_store("ftp://host/a")


@pytest.mark.parametrize("url", ["file:///a?fsnyc=false", "file:///a?fsync=maybe", "memory://a?b=c"])
def test_unknown_options_are_errors(url):
    with pytest.raises(ConfigError, match="option"):
        open_store(url)


def test_unknown_mode(tmp_path):
    with pytest.raises(ConfigError, match="'w'"):
        open_store(tmp_path, mode="w")


def test_third_parties_register_a_scheme():
    register_store("mine", lambda url: MemoryStore(f"mine-{url.authority}"))
    assert "mine" in known_schemes()
    assert open_store("mine://x").url == "memory://mine-x"
    with pytest.raises(ConfigError, match="'mine' is taken"):
        register_store("mine", lambda url: MemoryStore())
    with pytest.raises(ConfigError, match="'file' is taken"):
        register_store("file", lambda url: MemoryStore())
    register_store("mine", lambda url: MemoryStore(f"other-{url.authority}"), replace=True)
    assert open_store("mine://x").url == "memory://other-x"


def test_entry_points_are_found(tmp_path, monkeypatch):
    package = tmp_path / "acme_store-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-store\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[streamzarr.stores]\nacme = acme_store:open_it\n")
    (tmp_path / "acme_store.py").write_text(
        "from streamzarr.stores import MemoryStore\n\n"
        "def open_it(url):\n    return MemoryStore('acme-' + url.path)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert "acme" in known_schemes()
    assert open_store("acme://host/p").url == "memory://acme-p"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(registry._BUILT_IN, "far", "streamzarr_no_such_package.far:FarStore")
    monkeypatch.setitem(registry._EXTRAS, "far", "far")
    with pytest.raises(ConfigError, match=r"pip install 'streamzarr\[far\]'"):
        open_store("far://x")
