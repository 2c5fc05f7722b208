import pytest
from click.testing import CliRunner

from streamzarr.cli.failures import Failure
from streamzarr.cli.main import cli
from streamzarr.cli.pool import _tell
from streamzarr.supervisor import Report
from streamzarr.supervisor.protocol import EXIT_PAUSED
from streamzarr.supervisor.report import WorkerReport


def run(*arguments):
    return CliRunner().invoke(cli, ["pipeline", *arguments], prog_name="streamzarr")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere:Ticks"], "nowhere:Ticks: No module named 'nowhere'; expected MODULE:CLASS"),
        (["json:Nothing"], "has no attribute 'Nothing'; expected MODULE:CLASS"),
        (["json"], "expected MODULE:CLASS"),
        (["json:loads"], "expected a class derived from streamzarr.Pipeline"),
        (["tests.support.heavy_pipelines:Heavy"], "Heavy: source is missing, expected such as TopicSource"),
        (["json:loads", "--processes", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_sentence(arguments, words):
    done = run(*arguments)
    assert done.exit_code == 2 or done.exit_code == 1
    assert words in done.output + done.stderr
    assert "Traceback" not in done.output + done.stderr


def test_help_has_the_supervisors_options():
    text = run("--help").output
    for option in ("--processes", "--max-restarts", "--task-timeout", "--max-memory", "--drain"):
        assert option in text


@pytest.mark.parametrize(
    ("exit_codes", "code", "words"),
    [
        ([0, 0], None, "workers ended: 2 drained; restarts 0; left in flight 0"),
        ([0, EXIT_PAUSED], 4, "partitions paused, see above why: nothing of them is lost"),
    ],
)
def test_the_exit_code_says_whether_partitions_paused(exit_codes, code, words, capsys):
    workers = [
        WorkerReport(f"w-{n}", n, "drained", exit_code, 0, ()) for n, exit_code in enumerate(exit_codes)
    ]
    if code is None:
        _tell(Report(tuple(workers)))
        assert words in capsys.readouterr().err
        return
    with pytest.raises(Failure, match=words) as raised:
        _tell(Report(tuple(workers)))
    assert raised.value.exit_code == code
