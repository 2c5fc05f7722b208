"""Snippets of Markdown pages, and running them in order, as a reader would.

``python`` blocks of a page share one namespace and run in the page's folder. One whose first line is
``# name.py`` is written to that file instead, a ``toml`` block that begins with ``# name.toml`` likewise.
Blocks that begin with ``>>>`` are checked by doctest.
``console`` blocks run each ``$ command`` in a shell; what stands below a command is what it must print, where
ids, times, rates and folders may differ and ``...`` or ``…`` stands for any text. Progress is left out.
A command that ends with ``&`` runs until the page is over, and must then stop cleanly.
A comment above a block says what keeps it from running everywhere::

    <!-- needs: kafka -->      run where tests have a Kafka, whose URL takes the place of kafka://localhost:9092
    <!-- needs: kafka faust -->  likewise, where Faust is installed too
    <!-- not run: reason -->   not run here
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
)
LANGUAGES = {"python", "console", "text", "toml", "yaml"}
KAFKA = "kafka://localhost:9092"
DIFFERS = (
    (re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{10}(?:[0-9A-HJKMNP-TV-Z]{14})?\b"), "JOB"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "WHEN"),
    (re.compile(r"\b[\d.]+ (?:B|[kMG]B)/s"), "RATE"),
    (re.compile(r"\b\d+ min \d+ s\b|\b[\d.]+ (?:s|min)\b"), "TIME"),
    (re.compile(r"\(\d+(?:, \d+)*\) on "), "PIDS on "),
    (re.compile(r"\bprocess \d+\b"), "PID"),
    (re.compile(r"\bfile:///\S*/"), "file:///"),
    (re.compile(r"\bworker-\d+\b"), "WORKER"),
)
"""What is another each time, and what to put in its place before comparing."""
PROGRESS = re.compile(r"^job \w{26}  \d+/\d+ chunks .*\n", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS = 120

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Snippet:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    note: str

    @property
    def runs(self) -> bool:
        runs = self.language in ("python", "console") or self.text.startswith("# ")
        return runs and not self.note.startswith("not run: ")

    @property
    def needs_kafka(self) -> bool:
        return self.note.startswith("needs: kafka")

    @property
    def needs_faust(self) -> bool:
        return self.note == "needs: kafka faust"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Commands of a console block with the output that they must give."""
        found: list[tuple[str, str]] = []
        for line in self.text.replace("\\\n", "").splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].strip(), ""))
            else:
                assert found, f"{self}: output before the first command"
                found[-1] = (found[-1][0], found[-1][1] + line)
        return found

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets(page: Path) -> list[Snippet]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Snippet(
            page=str(page.relative_to(ROOT)),
            line=text[: match.start("text")].count("\n"),
            language=match["language"],
            text=match["text"],
            note=match["note"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


class Reader:
    """Does what a page says, in one folder; a context manager that stops what still runs."""

    def __init__(self, folder: Path, kafka: str | None = None) -> None:
        self.folder = folder
        self._kafka = kafka
        self._namespace: dict[str, object] = {"__name__": "__main__"}
        self._running: list[tuple[str, subprocess.Popen[str]]] = []
        self._environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "COLUMNS": "110",
        }
        for name in [name for name in self._environment if name.startswith("STREAMZARR_")]:
            del self._environment[name]

    def follow(self, snippet: Snippet) -> None:
        """Run one snippet; raises ``AssertionError`` with its place in the page."""
        text = snippet.text.replace(KAFKA, self._kafka) if self._kafka else snippet.text
        if snippet.language == "console":
            for command, expected in snippet.commands:
                self._command(snippet, command.replace(KAFKA, self._kafka or KAFKA), expected)
        elif named := re.match(r"# (\w+\.(?:py|toml))\n", text):
            (self.folder / named[1]).write_text(text)
        elif text.startswith(">>>"):
            self._examples(snippet, text)
        else:
            exec(compile("\n" * snippet.line + text, snippet.page, "exec"), self._namespace)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for command, process in self._running:
            process.send_signal(signal.SIGTERM)
            try:
                out, _ = process.communicate(timeout=60)
            finally:
                process.kill()
            if kind is None:
                assert process.returncode == 0, f"{command}: exit code {process.returncode}\n{out}"

    def _command(self, snippet: Snippet, command: str, expected: str) -> None:
        if command.endswith("&"):
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command[:-1]}"],
                cwd=self.folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._running.append((command, process))
            if expected:
                assert process.stdout is not None
                self._compare(snippet, command, expected, process.stdout.readline())
            return
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        printed = PROGRESS.sub("", done.stderr) + done.stdout
        if expected:
            self._compare(snippet, command, expected, printed)
        else:
            assert done.returncode == 0, f"{snippet}: {command}\n{printed}"

    @staticmethod
    def _compare(snippet: Snippet, command: str, expected: str, got: str) -> None:
        wanted, given = expected.replace("…", "..."), got
        for pattern, word in DIFFERS:
            wanted, given = pattern.sub(word, wanted), pattern.sub(word, given)
        same = doctest.OutputChecker().check_output(wanted, given, FLAGS)
        assert same, f"{snippet}: {command}\nexpected:\n{expected}\ngot:\n{got}"

    def _examples(self, snippet: Snippet, text: str) -> None:
        test = doctest.DocTestParser().get_doctest(text, {}, str(snippet), snippet.page, snippet.line)
        test.globs = self._namespace
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
        with contextlib.redirect_stderr(io.StringIO()):
            runner.run(test, out=report.write, clear_globs=False)
        assert runner.failures == 0, f"{snippet}\n{report.getvalue()}"
