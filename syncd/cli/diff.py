"""The command that compares two catalogues: diff.

OLD.json NEW.json     two saved responses; needs no configuration and no database    diff_sources
--key --from [--to]   one key at two times, as it was observed                       diff_sources
--key --against       two keys, as they are                                          diff_sources
  -> two sides --core.changes--> changes --core.affected--> with the saved requests they touch
  -> lines or rows                                                                   diff_report
  -> 1 if one is as bad as --fail-on
"""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.output import Format, FormatOption, chosen
from syncd.core.rules import SEVERITIES, Severity, at_least
from syncd.errors import UsageError

if TYPE_CHECKING:
    from syncd.cli.diff_sources import Sides
    from syncd.core.changes import Change

_FORMS = "write syncd diff OLD.json NEW.json, or --key NAME --from TIME [--to TIME], or --key NAME --against NAME"


def diff(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OLD.json NEW.json",
            help="Two saved responses of GET /api/v1/models; - for one of them is standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    key: Annotated[str | None, typer.Option("--key", help="Compare what this key listed.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="As of a time: 7d (ago), 2026-05-01, 2026-05-01T12:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="As of this time; now, if not given.")] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare --key with this key, both as of now.")
    ] = None,
    request: Annotated[
        list[Path] | None,
        typer.Option(
            "--request", help="A request body you really send, as JSON: is it touched? - is standard input. Repeatable."
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(help=f"Exit 1 if a change is this severe or more: {', '.join(SEVERITIES)}.", show_default=False),
    ] = None,
    form: FormatOption = None,
) -> None:
    """Say what changed between two saved responses, two points in time, or two keys.

    The changes, severities and proofs are those of the alerts. Prices, parameters, plan and limits are compared; of two
    saved responses the balance, too.

    Two files need no configuration, and none is looked for: only one that is named, by --config or SYNCD_CONFIG, gives
    its [rules] and its [[requests]]; else every rule is as if it were not set. The other two ask the history of the
    configuration, and hold its [[requests]] for that key against the changes.

    What is odd in a response but no change, such as a slug listed twice, is told on standard error.
    """
    threshold = _threshold(fail_on)
    sides = _sides(ctx, files or [], key=key, since=since, until=until, against=against, requests=request or [])
    for note in sides.notes():
        typer.echo(f"note: {note}", err=True)
    changes = _changes(sides)
    # Whoever reads the first lines alone (`| head`) gets the answer all the same.
    with suppress(BrokenPipeError):
        _write(changes, sides, chosen(form))
    if threshold is not None and any(at_least(change.severity, threshold) for change in changes):
        raise typer.Exit(1)


def _threshold(given: str | None) -> Severity | None:
    found: Severity | None = next((severity for severity in SEVERITIES if severity == given), None)
    if given is not None and found is None:
        raise UsageError(f"--fail-on: {given!r} is not a severity", f"one of {', '.join(SEVERITIES)}")
    return found


def _sides(
    ctx: typer.Context,
    files: list[str],
    *,
    key: str | None,
    since: str | None,
    until: str | None,
    against: str | None,
    requests: list[Path],
) -> Sides:
    from syncd.cli import diff_sources as sources

    stored = (key, since, until, against)
    match files:
        case [] if key is not None and against is not None and since is None and until is None:
            return sources.two_keys(ctx.obj, key, against, requests)
        case [] if key is not None and since is not None and against is None:
            return sources.two_times(ctx.obj, key, since, until, requests)
        case [old, new] if stored == (None,) * len(stored):
            return sources.two_files(ctx.obj, old, new, requests)
    raise UsageError(_fault(files, key=key, since=since, until=until, against=against), _FORMS)


def _fault(files: list[str], *, key: str | None, since: str | None, until: str | None, against: str | None) -> str:
    """What is wrong with what was given together."""
    named = [name for name, given in (("--from", since), ("--to", until), ("--against", against)) if given is not None]
    if files and (key is not None or named):
        return "files are compared with each other, not with what a key listed"
    if files:
        return f"two files are compared, not {len(files)}"
    if key is None:
        return f"{named[0]} is about a key, and none is given" if named else "there is nothing to compare"
    if against is not None:
        return f"--against compares two keys as they are now, which does not go with {named[0]}"
    return "--to needs --from" if until is not None else "--key alone says nothing to compare with"


def _changes(sides: Sides) -> list[Change]:
    from syncd.core.affected import touched
    from syncd.core.changes import Before, diff

    before = Before(sides.old.catalog.account, sides.old.catalog.models, sides.gone)
    found = diff(before, sides.new.catalog, sides.policy)
    return touched(found, before, sides.new.catalog, sides.requests, sides.policy) if sides.requests else found


def _write(changes: list[Change], sides: Sides, form: Format) -> None:
    from syncd.cli import diff_report as report

    if form is Format.table:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        models = len(sides.old.catalog.models.keys() | sides.new.catalog.models.keys())
        report.write_text(changes, models=models, saved=len(sides.requests), colour=colour)
    else:
        report.write_rows(changes, form)
    sys.stdout.flush()  # here, where a full disk is still a failure of the command
