"""Showing the progress of a job: a bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from streamzarr.jobs.report import JobReport
from streamzarr.runtime import SYSTEM, Runtime

ProgressSink: TypeAlias = Callable[[JobReport], None]
LINE_SECONDS = 2.0
"""Time between two lines in a pipe."""
RATE_SECONDS = 5.0
"""Rates are means over this time."""


@contextmanager
def progress_sink(
    progress: bool | ProgressSink, worker: str, runtime: Runtime = SYSTEM
) -> Iterator[ProgressSink | None]:
    """Yield what shows each report, or None; `progress` as in :meth:`JobHandle.wait`.

    Where nobody can read it (standard error is closed) there is nothing to show it on, and the job goes on.
    `worker` is the command that starts a worker, which is shown while there is none.
    """
    if callable(progress):
        yield progress
    elif not progress or sys.stderr is None or sys.stderr.closed:
        yield None
    elif sys.stderr.isatty():
        with _bar(worker, runtime) as sink:
            yield sink
    else:
        yield _lines(worker, runtime)


class Rate:
    """Chunks and bytes a second over the last few seconds."""

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self._now = runtime.now
        self._seen: deque[tuple[float, int, int]] = deque()

    def update(self, report: JobReport) -> tuple[float, float]:
        """Take in a report; return chunks and bytes a second."""
        now = self._now()
        self._seen.append((now, report.written, report.bytes))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        then, chunks, size = self._seen[0]
        if now == then:
            return 0.0, 0.0
        return (report.written - chunks) / (now - then), (report.bytes - size) / (now - then)


def describe(report: JobReport, chunks_per_second: float, bytes_per_second: float, worker: str) -> str:
    """Return the figures of a report in one line."""
    line = (
        f"{report.written}/{report.tasks} chunks  {chunks_per_second:,.0f} chunks/s  "
        f"{bytes_per_second / 1e6:,.1f} MB/s  in flight {report.in_flight}  "
        f"retried {report.retried}  dead {report.dead}"
    )
    if report.workers == 0 and report.state in ("running", "open"):
        known = ", and --transforms with the module of its transform" if report.kind == "map" else ""
        line += f"  (no worker has joined the group: start one with {worker}{known})"
    return line


def _lines(worker: str, runtime: Runtime) -> ProgressSink:
    rate = Rate(runtime)
    due = runtime.now() + LINE_SECONDS
    read = True

    def show(report: JobReport) -> None:
        nonlocal due, read
        figures = rate.update(report)
        over = report.state not in ("running", "open")
        if read and (over or runtime.now() >= due):
            due = runtime.now() + LINE_SECONDS
            if over and report.seconds > 0:
                figures = (report.written / report.seconds, report.bytes / report.seconds)
            line = f"job {report.job}  {describe(report, *figures, worker)}"
            try:
                print(line, file=sys.stderr, flush=True)  # noqa: T201
            except (OSError, ValueError):  # whoever read it has gone, or it was closed: the job goes on
                read = False

    return show


@contextmanager
def _bar(worker: str, runtime: Runtime) -> Iterator[ProgressSink]:
    """Show two lines, a bar and the figures: together they are too long for 80 columns."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Lines(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            yield from (Text(f"    {row.fields['figures']}", overflow="fold") for row in self.tasks)

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None),
        TimeElapsedColumn(),
    )
    rate = Rate(runtime)
    with Lines(*columns, console=Console(stderr=True), expand=True) as bar:
        row = bar.add_task("job", total=None, figures="")

        def show(report: JobReport) -> None:
            figures = describe(report, *rate.update(report), worker)
            bar.update(
                row,
                description=f"job {report.job[:10]}…",
                total=report.tasks,
                completed=report.written,
                figures=figures,
            )

        yield show
