"""``streamzarr dlq``: messages that failed for good, of jobs and of any other topic.

commands.py   what is typed         choice.py   which letters        views.py   jobs, and any topic
facts.py      what a letter tells   export.py   letters as lines
"""

from streamzarr.cli.dlq.commands import dlq

__all__ = ["dlq"]
