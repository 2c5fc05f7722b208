"""What a pipeline has to be, so that supervised processes run it: told before any begins."""

import subprocess
import sys

import pytest

from streamzarr.errors import ConfigError
from tests.support.heavy_pipelines import Deadly, Heavy

PROGRAM = """
from streamzarr.pipeline import Pipeline, TopicSource

class Ticks(Pipeline):
    source = TopicSource("sqlite:///none.db", topics=["in"], group="g")

try:
    Ticks.run(processes=2)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_options_of_the_pipeline_are_not_those_of_the_supervisor():
    with pytest.raises(
        ConfigError, match="Deadly: dead_letters cannot be given to other processes, expected"
    ):
        Deadly.run(processes=2, dead_letters="elsewhere")


@pytest.mark.parametrize("processes", [0, -1, True, "2", 1.5])
def test_a_number_of_processes_that_is_none_is_told(processes):
    with pytest.raises(ConfigError, match=r"workers is .*, expected an integer, 1 or more"):
        Deadly.run(processes=processes)


def test_a_source_is_needed():
    with pytest.raises(ConfigError, match="Heavy: source is missing"):
        Heavy.run(processes=1)


def test_a_class_of_the_program_itself_is_told():
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("ConfigError Ticks is a class of the program itself, which supervised")
