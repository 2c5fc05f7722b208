"""``streamzarr dlq``: messages that failed for good, of jobs and of any other topic.

commands.py   what is typed         choice.py   which letters        views.py   jobs, and any topic
facts.py      what a letter tells   pauses.py   partitions that write no more letters
"""

from streamzarr.cli.dlq.commands import dlq
from streamzarr.cli.dlq.pauses import paused, resume

dlq.add_command(paused)
dlq.add_command(resume)

__all__ = ["dlq"]
