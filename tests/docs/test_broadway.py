"""Each name of Broadway that the page maps stands beside code that runs."""

import re

from tests.docs.snippets import ROOT

PAGE = (ROOT / "docs" / "broadway.md").read_text()


def rows():
    table = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
    return [line.split(" | ")[0].removeprefix("| ") for line in table]


def test_each_row_has_an_example_that_names_it():
    named = " ".join(line for line in PAGE.splitlines() if line.startswith(">>> # "))
    assert len(rows()) >= 20
    for row in rows():
        names = re.findall(r"[A-Za-z_]{4,}(?:/[0-9])?", row)
        assert any(name in named for name in names), row
