"""From errors to one sentence on stderr and an exit code.

==  ==========================================================
0   done
2   an error; also: a job was cancelled
3   a job ended, and some of its chunks are in the dead letters; or `ingest --until-end` did, and so are half
    of its records or more
4   workers ended as they were told to, and some of their partitions paused
130 interrupted by Ctrl-C
==  ==========================================================
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import click

from streamzarr.cli.output import printable
from streamzarr.errors import MAX_TEXT, StreamzarrError, describe, message_of, name_of

EXIT_ERROR: Final = 2
EXIT_DEAD_LETTERS: Final = 3
EXIT_PAUSED: Final = 4
EXIT_INTERRUPTED: Final = 130


class Failure(click.ClickException):
    """An end of a command that is told in one sentence."""

    def __init__(self, sentence: str, exit_code: int = EXIT_ERROR) -> None:
        super().__init__(" ".join(sentence.split()))
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class


class RootCommand(click.Group):
    """A group of commands that turns every error into one sentence and an exit code.

    The option ``--debug`` of the group shows tracebacks as well.
    """

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a user's module may raise anything
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # `streamzarr ... | head` is no error; click ends quietly
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise Failure(sentence_of(error)) from error

    def main(  # noqa: D102
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            _say("interrupted")
            code = EXIT_INTERRUPTED
        except click.UsageError as error:
            if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2
                click.echo(error.format_message(), err=True)
            else:
                _say(_usage(error))
            code = EXIT_ERROR
        except click.ClickException as error:
            _say(error.format_message())
            code = error.exit_code
        sys.exit(code)


def sentence_of(error: BaseException) -> str:
    """Return what to tell a user about `error`.

    >>> sentence_of(FileNotFoundError(2, "No such file or directory", "a.zarr"))
    'a.zarr: No such file or directory'
    """
    if isinstance(error, StreamzarrError):
        return message_of(error, MAX_TEXT) or name_of(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return where + (error.strerror or message_of(error, MAX_TEXT) or name_of(error))
    return (
        f"{describe(error)}; this is a mistake in streamzarr, "
        "please report it with what the same command shows after STREAMZARR_DEBUG=1"
    )


def _usage(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    if error.ctx is None:
        return message
    return f"{message}; see `{error.ctx.command_path} --help`"


def _say(sentence: str) -> None:
    click.echo(
        f"{click.style('streamzarr:', fg='red', bold=True)} {printable(' '.join(sentence.split()))}", err=True
    )
