"""What ``produce`` sends of a file is read again by our decoders as it was in the file."""

import csv
import io

from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.produce import read_file
from tests.support.decoding import share, specs

ODD = [
    "",
    " ",
    '"',
    '""',
    ",",
    "\r",
    "\n",
    "\r\n",
    "two\r\nlines",
    "\ufeff",
    "\ufeffa",
    "\0",
    "a\u2028b",
    "'",
]
FIELDS = (
    st.sampled_from(ODD) | st.text(st.sampled_from('ab ",\r\n\t\ufeff\0é'), max_size=5) | st.text(max_size=3)
)


@settings(max_examples=share(60))
@given(st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width))))
@example([["1", "two\r\nlines"], ["2", "a\nb"], ["3", "plain"]])
@example([["\ufeffa", "b"], ["\ufeff", ""]])
@example([[""], ["\n"]])
def test_fields_of_csv(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("produced") / "a.csv"
    names = [f"c{at}" for at in range(len(rows[0]) if rows else 1)]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    path.write_bytes(text.getvalue().encode())
    values = [value for piece in read_file(path, format="csv") for value in piece.values]
    assert len(values) == len(rows)
    columns = specs(**dict.fromkeys(names, "string"))
    for arrow in (False, True):
        decode = open_decoder("csv", columns, arrow=arrow)
        for batch in (values, *([value] for value in values)):
            assert decode(batch).bad == {}
        found = decode(values)
        got = [list(row) for row in zip(*(found.columns[name].tolist() for name in names), strict=True)]
        assert got == rows
