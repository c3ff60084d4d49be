"""Commands that answer questions: status, models, changes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from syncd.cli.common import Options, load, reading
from syncd.cli.output import Format, FormatOption, chosen, write
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
    key: KeyOption = None,
    at: Annotated[str | None, typer.Option(help="As of a time: 7d (ago), 2026-05-01, 2026-05-01T12:00:00Z.")] = None,
    category: Annotated[str | None, typer.Option(help="Only this category: image, video, audio, text, utility.")] = None,
    form: FormatOption = None,
) -> None:
    """Show the catalogue: what each key can call now, or could at any time.

    A model whose removal waits for confirmation is still shown, with the time since when it is missing.
    """
    from syncd.app import utc_now
    from syncd.store import queries

    with reading(ctx.obj) as connection:
        found = queries.models(connection, key=key, category=category, at=moment(at, utc_now()) if at else None)
    shown = [column for column in found.columns if column not in ("params", "missing_since" if at else "")]
    write(found.columns, found.dicts(), form, shown=shown)


def changes(
    ctx: typer.Context,
    key: KeyOption = None,
    since: Annotated[str | None, typer.Option(help="Only what was found since: 7d (ago), 2026-05-01.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only kinds that match this glob: 'param.*'.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only this severity or higher: breaking, risky, additive, informational.")] = None,
    model: Annotated[str | None, typer.Option(help="Only models whose slug matches this glob.")] = None,
    held: Annotated[bool, typer.Option("--held", help="Only removals that wait for confirmation.")] = False,  # noqa: FBT002
    form: FormatOption = None,
) -> None:
    """Show the change log, oldest first."""
    from syncd.app import utc_now
    from syncd.store import queries

    after = moment(since, utc_now()) if since else None
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


def status(ctx: typer.Context, form: FormatOption = None) -> None:
    """Show how every key is, what is open and what waits to be sent. Exits 1 when something needs a person."""
    options: Options = ctx.obj
    config = load(options, secrets=False)
    from syncd.app import utc_now
    from syncd.store import engine, queries

    with reading(options) as connection:
        keys = queries.key_status(connection).dicts()
        conditions = queries.open_conditions(connection).dicts()
        outbox = queries.outbox(connection).dicts()
    needs = _needs(keys, conditions, outbox, utc_now(), routed=bool(config.routes))
    where = {"configuration": config.source, "database": engine.shown_url(config.database.url)}
    if chosen(form) is Format.table:
        _tell_status(keys, outbox, needs, where)
    else:
        rows = [{**where, "keys": keys, "conditions": conditions, "outbox": outbox, "needs": needs}]
        write(list(rows[0]), rows, form)
    raise typer.Exit(1 if needs else 0)


def _tell_status(keys: list[dict[str, Any]], outbox: list[dict[str, Any]], needs: list[str], where: dict[str, str]) -> None:
    shown = ["key_name", "state", "state_since", "last_poll_at", "last_success_at", "tier", "credits_balance", "model_count", "held_changes"]
    write(shown, keys, Format.table)
    if outbox:
        write(["state", "deliveries", "oldest"], outbox, Format.table)
    for name, value in where.items():
        typer.echo(f"{name}: {value}")
    for need in needs:
        typer.echo(f"! {need}")
    if not needs:
        typer.echo("all is well")


# A delivery that is older than this and not sent is a fault, not a delay.
_LATE = timedelta(minutes=15)


def _needs(keys: list[dict[str, Any]], conditions: list[dict[str, Any]], outbox: list[dict[str, Any]], now: datetime, *, routed: bool) -> list[str]:
    """What a person has to look at, each with what to do."""
    import json

    from syncd.core.compose import condition_summary

    late = (now - _LATE).strftime("%Y-%m-%d %H:%M:%S.%f")
    found = [f"{condition_summary(str(c['kind']), json.loads(c['detail']))}, since {c['opened_at'][:19]} UTC" for c in conditions]
    found += [f"key {key['key_name']} has never been polled: is `syncd run` running?" for key in keys if key["last_poll_at"] is None]
    for row in outbox:
        if row["state"] == "dead":
            found.append(f"{row['deliveries']} alerts could not be delivered: see the view alert_log")
        elif row["state"] != "sent" and str(row["oldest"]) < late:
            found.append(f"{row['deliveries']} alerts wait to be sent ({row['state']}), the oldest since {str(row['oldest'])[:19]} UTC")
    if not routed:
        found.append("no route is configured, so nobody is told anything: add [[routes]]")
    return found
