"""What README and docs show, runs."""

import re
import sys
import tomllib

import pytest

from tests.docs.snippets import LANGUAGES, PAGES, ROOT, Reader, snippets

ALL = [snippet for page in PAGES for snippet in snippets(page)]
EVERYWHERE = [page for page in PAGES if any(s.runs and not s.needs_kafka for s in snippets(page))]
ON_KAFKA = [page for page in PAGES if any(s.runs and s.needs_kafka for s in snippets(page))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("streamzarr.jobs.transforms._registered", {})  # pages share names
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


@pytest.mark.parametrize("page", EVERYWHERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(page, folder):
    with Reader(folder) as reader:
        for snippet in snippets(page):
            if snippet.runs and not snippet.needs_kafka:
                reader.follow(snippet)


@pytest.mark.kafka
@pytest.mark.parametrize("page", ON_KAFKA, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs_on_kafka(page, folder, kafka_broker_url):
    if any(snippet.needs_faust for snippet in snippets(page)):
        pytest.importorskip("faust", reason="the page needs Faust: pip install 'streamzarr[faust]'")
    with Reader(folder, kafka_broker_url) as reader:
        for snippet in snippets(page):
            if snippet.runs:
                reader.follow(snippet)


@pytest.mark.parametrize("snippet", ALL, ids=str)
def test_no_snippet_is_left_out_in_silence(snippet):
    assert snippet.language in LANGUAGES, f"{snippet}: a block without a known language"
    assert not snippet.note or re.match(r"needs: kafka( faust)?$|not run: \w", snippet.note), (
        f"{snippet}: {snippet.note}"
    )


def test_make_targets_and_extras_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        text = page.read_text()
        for target in re.findall(r"(?:\$ |`)make (\w+)", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"
        for names in re.findall(r"(?:streamzarr|\.)\[([\w,]+)\]", text):
            assert set(names.split(",")) <= set(extras), f"{page.name}: [{names}]"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
    for path in re.findall(r"`((?:tests|streamzarr|examples|benchmarks|compose|workers)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{page.name}: {path}"
