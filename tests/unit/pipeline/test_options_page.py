"""The page of options is what the options say of themselves.

``python -m tests.unit.pipeline.test_options_page`` writes it.
"""

from pathlib import Path

from streamzarr.pipeline import Batcher, Options, Processors, RetryTopic, TopicSource
from streamzarr.pipeline.schema import table

PAGE = Path(__file__).parents[3] / "docs" / "pipeline-options.md"
OWNERS = {
    "Pipeline": (Options, "Class attributes of a pipeline, or arguments of `run` and `start`."),
    "Processors": (Processors, "`streamzarr.Processors(...)`"),
    "Batcher": (Batcher, "`streamzarr.Batcher(...)`"),
    "RetryTopic": (RetryTopic, "`streamzarr.pipeline.RetryTopic(...)`"),
    "TopicSource": (TopicSource, "`streamzarr.TopicSource(...)`"),
}


def page():
    parts = [
        "# Options of pipelines",
        "Made of `streamzarr/pipeline/options.py`; [Pipelines](pipelines.md) tells what they are for.",
    ]
    for name, (owner, what) in OWNERS.items():
        parts += [f"## {name}", what, table(owner)]
    return "\n\n".join(parts) + "\n"


def test_the_page_is_as_the_options_are():
    assert PAGE.read_text() == page(), "python -m tests.unit.pipeline.test_options_page"


if __name__ == "__main__":
    PAGE.write_text(page())
