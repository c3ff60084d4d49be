"""Commands that answer questions about the catalogue: models, changes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from syncd.cli.common import reading
from syncd.cli.output import FormatOption, write
from syncd.core.rules import SEVERITIES, Severity, at_least
from syncd.errors import UsageError

KeyOption = Annotated[str | None, typer.Option("--key", help="Only this key.")]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime) -> datetime:
    """A time as people give it: 7d or 90m ago, a date, or an ISO time (UTC unless it says otherwise)."""
    if found := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is not a time", "write 7d, 12h, 2026-11-23 or 2026-11-23T10:00:00Z") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def models(
    ctx: typer.Context,
    *,
    key: KeyOption = None,
    at: Annotated[str | None, typer.Option(help="As of a time: 7d (ago), 2026-05-01, 2026-05-01T12:00:00Z.")] = None,
    category: Annotated[
        str | None, typer.Option(help="Only this category: image, video, audio, text, utility.")
    ] = None,
    form: FormatOption = None,
) -> None:
    """Show what each key can call now, or could at any time.

    A model whose removal waits for confirmation is still shown, with the time since when it is missing.
    """
    from syncd.store import queries

    with reading(ctx.obj) as connection:
        found = queries.models(connection, key=key, category=category, at=moment(at, datetime.now(UTC)) if at else None)
    shown = [column for column in found.columns if column not in ("params", "missing_since" if at else "")]
    write(found.columns, found.dicts(), form, shown=shown)


def changes(
    ctx: typer.Context,
    *,
    key: KeyOption = None,
    since: Annotated[str | None, typer.Option(help="Only what was found since: 7d (ago), 2026-05-01.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only kinds that match this glob: 'param.*'.")] = None,
    severity: Annotated[
        str | None, typer.Option(help=f"Only this severity or higher: {', '.join(SEVERITIES)}.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only models whose slug matches this glob.")] = None,
    held: Annotated[bool, typer.Option("--held", help="Only removals that wait for confirmation.")] = False,
    form: FormatOption = None,
) -> None:
    """Show the change log, oldest first."""
    from syncd.store import queries

    after = moment(since, datetime.now(UTC)) if since else None
    with reading(ctx.obj) as connection:
        found = queries.changes(connection, key=key, since=after, severity=_at_least(severity), held=held)
    rows = [
        {**row, "decided": bool(row["decided"])}
        for row in found.dicts()
        if fnmatchcase(str(row["kind"]), kind or "*") and fnmatchcase(str(row["slug"] or ""), model or "*")
    ]
    write(found.columns, rows, form, shown=["detected_at", "key_name", "severity", "kind", "summary", "state"])


def _at_least(severity: str | None) -> list[Severity]:
    if severity is None:
        return []
    if severity not in SEVERITIES:
        raise UsageError(f"{severity!r} is not a severity", f"one of {', '.join(SEVERITIES)}")
    return [one for one in SEVERITIES if at_least(one, severity)]
