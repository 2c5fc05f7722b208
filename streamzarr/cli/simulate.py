"""``streamzarr simulate``: chains, transforms and scenarios on a simulated machine, seed after seed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from streamzarr.cli.options import examples, json_option
from streamzarr.cli.output import print_json
from streamzarr.hints import hint

if TYPE_CHECKING:
    from streamzarr.testing.simulation.catalog import Named
    from streamzarr.testing.simulation.examine import Finding

DEFAULT_SECONDS = 60
EXIT_FOUND = 1
"""Some seed has found a broken promise."""


@click.command(
    epilog=examples(
        "streamzarr simulate --seeds 1000",
        "streamzarr simulate --first 4711 --seeds 1",
        "streamzarr simulate --transform mymodule:to_celsius --seeds 500",
        "streamzarr simulate --chain mymodule:chain --seeds 500 --json",
        "streamzarr simulate --scenario mymodule:MyScenario",
    )
)
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="How many runs.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="The first seed.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="One of streamzarr's own, or module:name of a Scenario; may be given several times. Default: all.",
)
@click.option("--chain", metavar="MODULE:FUNCTION", help="Your function that makes a chain of a Bench.")
@click.option("--transform", metavar="MODULE:FUNCTION", help="Your function of a record's value.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 86_400),
    default=DEFAULT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Real time after which a run that is not over has failed.",
)
@click.option("--processes", type=click.IntRange(min=1), help="How many at a time; one a core by default.")
@click.option("--keep-going", is_flag=True, help="Do not end at the first seed that finds something.")
@json_option
def simulate(
    seeds: int,
    first: int,
    scenarios: tuple[str, ...],
    chain: str | None,
    transform: str | None,
    timeout: int,
    processes: int | None,
    keep_going: bool,
    as_json: bool,
) -> None:
    """Run the real code on a simulated machine, with faults, and check that every promise is kept.

    Processes are killed and stopped, partitions revoked and lost, answers lost, disks full, clocks set; all
    from the seed, in virtual time. A seed that finds something is played again, made as short as possible and
    told step by step. Exit code 1 when a promise was broken.
    """
    from streamzarr.testing.simulation.many import examine_many
    from streamzarr.testing.simulation.rehearsal import rehearse

    named = _named(scenarios, chain, transform)
    with redirect_stdout(sys.stderr):  # what a user's module prints
        for each in named:
            rehearse(each.find(), timeout)  # what cannot be played is said once, here
    findings = examine_many(named, range(first, first + seeds), processes or os.cpu_count() or 1, timeout)
    if as_json:
        found, count = _gather(findings, keep_going)
    else:
        with click.progressbar(findings, length=seeds, label="seeds", file=sys.stderr) as shown:
            found, count = _gather(shown, keep_going)
    if as_json:
        print_json({"seeds": count, "failures": found})
    else:
        _tell(found, count, named, timeout)
    if found:
        raise click.exceptions.Exit(EXIT_FOUND)


def _named(scenarios: tuple[str, ...], chain: str | None, transform: str | None) -> list[Named]:
    from streamzarr.testing.simulation.catalog import BUILT_IN, Named

    named = [Named("scenario", name) for name in scenarios]
    if chain is not None:
        named.append(Named("chain", chain))
    if transform is not None:
        named.append(Named("transform", transform))
    return named or [Named("scenario", name) for name in BUILT_IN]


def _gather(findings: Iterable[Finding], keep_going: bool) -> tuple[list[Finding], int]:
    """Return those that found something, and the number of all."""
    found: list[Finding] = []
    count = 0
    for finding in findings:
        count += 1
        if not finding.ok:
            found.append(finding)
            if not keep_going:
                break
    return found, count


def _tell(found: list[Finding], count: int, named: list[Named], timeout: int) -> None:
    for finding in found:
        click.echo(f"\nseed {finding.seed} of {finding.outcome.scenario}: {finding.outcome.failure}")
        if not finding.replayed:
            click.echo("the same plan did not give the same run again: something is not simulated")
        click.echo(f"the shortest run that fails alike:\n\n{finding.shortest}\n")
        it = named[finding.seed % len(named)]
        words = ["simulate", f"--{it.sort}", it.name, "--first", str(finding.seed), "--seeds", "1"]
        if timeout != DEFAULT_SECONDS:
            words += ["--timeout", str(timeout)]
        click.echo(f"again: {hint(*words)[1:-1]}")
    click.echo(f"{count} seeds, {len(found)} found something")
