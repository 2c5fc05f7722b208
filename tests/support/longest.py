"""The files of tests that take longest come first when several processes share them: none is begun last."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LONGEST = (
    "chaos/test_bad_tasks.py",
    "simulation/test_seeds.py",
    "chaos/test_kill_streams.py",
    "chaos/test_kill_jobs.py",
    "docs/test_pages.py",
    "property/zarr/test_fuzz.py",
    "chaos/test_kill_feeds.py",
    "kafka/test_cluster.py",
    "chaos/test_kill_scratch.py",
    "chaos/test_kafka_pipelines.py",
    "chaos/test_rebalance.py",
    "chaos/test_kill_windows.py",
    "docs/test_examples.py",
    "integration/pipeline/test_supervised.py",
    "integration/jobs/test_backpressure.py",
    "kafka/test_outage.py",
    "kafka/test_faust.py",
    "property/flow/test_window_stops.py",
    "integration/jobs/test_compact_stream.py",
    "integration/cli/test_demo.py",
    "simulation/test_planted.py",
    "integration/cli/test_services.py",
    "integration/jobs/test_lost_results.py",
    "chaos/test_join_kill.py",
)
"""By how long they take; the others take seconds, and are shared out in the order of pytest."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort them so in a process of xdist; alone, pytest begins with what is quick."""
    if hasattr(config, "workerinput"):
        places = {TESTS / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))
