"""Fixtures of the job and store tests, and one of all tests; pytest loads this module as a plugin."""

from __future__ import annotations

import os
import threading

import pytest

from tests.support.bench import TRANSFORMS, Bench
from tests.support.tls import certificate  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def _jobs_are_let_go():
    """A handle that is left open follows its job as long as the process lives, under all tests to come."""
    before = _following()
    yield
    left = _following() - before
    assert not left, f"handles of jobs were not closed: {sorted(thread.name for thread in left)}"


def _following():
    names = ("streamzarr-results-", "streamzarr-emit-")
    return {thread for thread in threading.enumerate() if thread.name.startswith(names)}


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bench(request, tmp_path):
    """A broker of each kind."""
    if request.param == "kafka":
        return Bench(request.getfixturevalue("kafka_broker_url"), tmp_path)
    return Bench(f"sqlite:///{tmp_path}/queue.db", tmp_path)


@pytest.fixture
def embedded(tmp_path):
    """The embedded broker, where the kind of broker does not matter."""
    return Bench(f"sqlite:///{tmp_path}/queue.db", tmp_path)


@pytest.fixture
def transforms(monkeypatch):
    """The modules of ``--transforms``, importable here and in workers."""
    monkeypatch.syspath_prepend(TRANSFORMS)
    monkeypatch.setenv("PYTHONPATH", TRANSFORMS, prepend=os.pathsep)
    return ["job_transforms"]
