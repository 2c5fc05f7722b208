"""Fuzzes one decoder, guided by what of ``streamzarr.feeds`` an input reaches; by hand, not by the tests.

    python tests/support/fuzz_by_coverage.py json -max_total_time=600 -rss_limit_mb=1024 -timeout=10

needs atheris (``pip install atheris``), takes the options of libFuzzer, and checks what ``decoded_soundly``
does. The input is cut at the bytes 0xFF 0xFE into the messages of a batch; it starts from messages that are
right.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["streamzarr.feeds"]):
    from tests.support.decoding import decoded_soundly
    from tests.support.fuzz_decoders import DECODERS, SEEDS

    decoder = DECODERS[sys.argv[1]]()  # which imports its module

MARK = b"\xff\xfe"


def main() -> None:
    name, *options = sys.argv[1:]
    decoder(SEEDS[name])

    def one(data: bytes) -> None:
        decoded_soundly(decoder, data.split(MARK))

    with tempfile.TemporaryDirectory() as corpus:
        for at, seed in enumerate([*SEEDS[name], MARK.join(SEEDS[name])]):
            (Path(corpus) / str(at)).write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
