"""Commands that answer questions about the catalogue: models, changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from syncd.cli.common import reading
from syncd.cli.output import Format, FormatOption, chosen, write
from syncd.core.message import names
from syncd.core.rules import SEVERITIES, Severity, at_least
from syncd.errors import UsageError

KeyOption = Annotated[str | None, typer.Option("--key", help="Only this key.")]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime) -> datetime:
    """A time as people give it: 7d or 90m ago, a date, or an ISO time (UTC unless it says otherwise)."""
    try:
        if found := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a time", "write 7d, 12h, 2026-11-23 or 2026-11-23T10:00:00Z") from None


def models(
    ctx: typer.Context,
    *,
    key: KeyOption = None,
    at: Annotated[str | None, typer.Option(help="As of a time: 7d (ago), 2026-05-01, 2026-05-01T12:00:00Z.")] = None,
    category: Annotated[
        str | None, typer.Option(help="Only this category: image, video, audio, text, utility.")
    ] = None,
    findings: Annotated[
        bool, typer.Option("--findings", help="Instead of the models, what is odd about them as they are now.")
    ] = False,
    form: FormatOption = None,
) -> None:
    """Show what each key can call now, or could at any time.

    A model whose removal waits for confirmation is still shown, with the time since when it is missing.

    Findings are contradictions within one catalogue, such as a default that its own parameter refuses: docs/changes.md
    lists them. A model without a slug is never stored; check --online tells of it.
    """
    from syncd.store import queries

    if findings:
        _findings(ctx, key=key, at=at, category=category, form=form)
        return
    with reading(ctx.obj) as connection:
        found = queries.models(connection, key=key, category=category, at=moment(at, datetime.now(UTC)) if at else None)
    if chosen(form) is Format.table:
        rows = [_model(row) for row in found.dicts()]
        write(_filled(rows), rows, Format.table)
    else:
        write(found.columns, found.dicts(), form)


def _findings(ctx: typer.Context, *, key: str | None, at: str | None, category: str | None, form: FormatOption) -> None:
    from syncd.cli import findings

    if at is not None:
        raise UsageError("--findings is about the catalogue as it is now", "leave out --at")
    with reading(ctx.obj) as connection:
        rows = findings.rows(connection, key=key, category=category)
    write(findings.COLUMNS, rows, form)


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    """A model in as few columns as fit a terminal."""
    return {
        "key": row["key_name"],
        "model": row["slug"],
        "type": row["category"],
        "credits": _credits(row["credits_min"], row["credits_max"]),
        "creator": row["creator"],
        "since": row["since"][:10],
        "missing since": row["missing_since"],
    }


def _credits(low: float | None, high: float | None) -> str | None:
    if low is None or high is None:
        return None if low is high else f"{low if high is None else high}"
    return f"{low}" if low == high else f"{low} to {high}"


def _filled(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns in which something stands, in some row."""
    return [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]


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
    held: Annotated[
        bool, typer.Option("--held", help="Only what waits until it is certain: see `syncd held`.")
    ] = False,
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
    if chosen(form) is Format.table:
        told = [_change(row) for row in rows]
        write(_filled(told), told, Format.table)
    else:
        write(found.columns, rows, form)


def _change(row: Mapping[str, Any]) -> dict[str, Any]:
    """A change in as few columns as fit a terminal. What became of it is said where it was not simply told."""
    detail = json.loads(row["detail"])
    return {
        "detected": row["detected_at"],
        "key": row["key_name"],
        "severity": row["severity"],
        "change": row["summary"],
        "remark": "; ".join(filter(None, [_became(row["state"], detail), *_touched(detail)])) or None,
    }


def _became(state: str, detail: Mapping[str, Any]) -> str | None:
    if dropped := detail.get("dropped"):
        return f"dropped by {dropped['by']}: {dropped['reason']}"
    told = {"announced": None, "recorded": "not told: no route wants it"}
    return told.get(state, state)


_TOUCHED = {"rejected": "breaks", "different": "another result of", "accepted": "now accepted:"}


def _touched(detail: Mapping[str, Any]) -> Iterator[str]:
    """What it does to saved requests: breaks nightly hero."""
    effects = {name: how.get("effect") for name, how in detail.get("requests", {}).items()}
    for effect, said in _TOUCHED.items():
        if named := [name for name, each in effects.items() if each == effect]:
            yield f"{said} {names(named)}"


def _at_least(severity: str | None) -> list[Severity]:
    if severity is None:
        return []
    if severity not in SEVERITIES:
        raise UsageError(f"{severity!r} is not a severity", f"one of {', '.join(SEVERITIES)}")
    return [one for one in SEVERITIES if at_least(one, severity)]
