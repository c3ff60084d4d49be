"""Commands about the outbox: what was sent and what was not, try again, drop, test, preview."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from syncd.cli import alerts_by_hand, alerts_preview, alerts_trial
from syncd.cli.common import load, opened, reading
from syncd.cli.output import Format, FormatOption, chosen, write
from syncd.cli.show import moment as moment_of
from syncd.core.text import clean, count, moment

if TYPE_CHECKING:
    from syncd.core.routing import Route
    from syncd.store.alerts import Waiting

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def alerts() -> None:
    """See what was told and what was not, and put it right.

    A change and the decision to tell it are written down together; what waits at a destination is composed into one
    message when its turn comes. These commands show that, and put right what only a person can.
    """


# --- list ------------------------------------------------------------------------------------------------------------


class State(StrEnum):
    """The states of a delivery, and of what no delivery has taken yet."""

    queued = "queued"
    sending = "sending"
    retry = "retry"
    unknown = "unknown"
    sent = "sent"
    dead = "dead"


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    state: Annotated[
        State | None, typer.Option(help="Only this state; queued is what no message was made of yet.")
    ] = None,
    destination: Annotated[str | None, typer.Option(help="Only destinations that match this glob: 'slack:*'.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what was composed since: 7d (ago), 2026-05-01.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many messages.")] = 50,
    form: FormatOption = None,
) -> None:
    """Show what was sent, what was not, and what waits.

    Messages come first, the newest on top. sending, retry: on its way. unknown: it may have arrived, syncd looks for
    it. dead: it was given up. The last rows, in state queued, say what waits at each destination to be composed into
    a message, and what for.
    """
    from syncd.store import alerts as store

    config = load(ctx.obj, secrets=False)
    now = datetime.now(UTC)
    with opened(config.database.url) as connection:
        among = (
            None if destination is None else [one for one in store.specs(connection) if fnmatchcase(one, destination)]
        )
        after = moment_of(since, now) if since else None
        composed = store.log(
            connection, state=None if state is None else state.value, among=among, since=after, limit=limit
        )
        waits = store.waiting(connection) if state in (None, State.queued) else []
    queued = [row for row in _queued(waits, config.routes, now) if among is None or row["channel"] in among]
    columns = (*composed.columns, *_OF_QUEUED)
    rows = [{**dict.fromkeys(columns), **row} for row in (*composed.dicts(), *queued)]
    if chosen(form) is Format.table:
        _tell_log(rows)
    else:
        write(columns, rows, form)


# What a row says of announcements that no delivery has taken, besides where and since when.
_OF_QUEUED: Final = ("announcements", "waits_for")


def _queued(waits: Iterable[Waiting], routes: Sequence[Route], now: datetime) -> Iterator[dict[str, Any]]:
    """A row for each destination at which something waits."""
    from syncd.store.queries import cell

    for destination, group in groupby(waits, key=lambda one: one.destination):
        parts = list(group)
        yield {
            "created_at": cell(min(part.oldest for part in parts)),
            "channel": destination,
            "state": State.queued.value,
            "announcements": sum(part.announcements for part in parts),
            "waits_for": "; ".join(_why(parts, routes, now)),
        }


def _why(parts: Sequence[Waiting], routes: Sequence[Route], now: datetime) -> Iterator[str]:
    """What keeps a destination's announcements from being composed, the strongest reason first."""
    one = parts[0]
    if one.broken_since is not None:
        again = "" if one.frozen_until is None else f", asked again at {moment(one.frozen_until)}"
        yield f"out of order since {moment(one.broken_since)}: it answers {clean(one.error or '?', 120)}{again}"
    elif one.frozen_until is not None and one.frozen_until > now:
        yield f"it asked for silence until {moment(one.frozen_until)}"
    if one.ahead is not None:
        again = "" if one.ahead_at is None else f", next try at {moment(one.ahead_at)}"
        yield f"{one.ahead} goes first ({one.ahead_state}{again})"
    later = [part for part in parts if part.due > now]
    if later == list(parts):
        yield from (_holds_back(part, routes) for part in later)
    elif one.broken_since is None and one.ahead is None:
        yield "due now: is `syncd run` running?"


def _holds_back(part: Waiting, routes: Sequence[Route]) -> str:
    digest = any(
        route.digest is not None for route in routes if (route.name, route.to) == (part.route, part.destination)
    )
    what = "the digest" if digest else "the group wait"
    return f"{what} of route {clean(part.route, 64)} until {moment(part.due)}"


def _tell_log(rows: Sequence[Mapping[str, Any]]) -> None:
    """Deliveries, then a line for each destination at which something waits."""
    composed = [
        {name: row[column] for name, column in _SHOWN.items()} for row in rows if row["delivery_id"] is not None
    ]
    queued = [row for row in rows if row["delivery_id"] is None]
    if composed or not queued:
        write(list(_SHOWN), composed, Format.table)
    for row in queued:
        many = count(row["announcements"], "announcement")
        typer.echo(f"{row['channel']}: {many} since {row['created_at'][:19]} UTC: {row['waits_for']}")


# A delivery in as few columns as fit a terminal, and what the view calls them.
_SHOWN: Final[Mapping[str, str]] = {
    "id": "delivery_id",
    "created": "created_at",
    "to": "channel",
    "kind": "kind",
    "severity": "severity",
    "state": "state",
    "attempts": "attempts",
    "changes": "change_count",
    "error": "last_error",
}


# --- show ------------------------------------------------------------------------------------------------------------


@app.command("show")
def show(
    ctx: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="The alert's id, or enough of its beginning.")],
    form: FormatOption = None,
) -> None:
    """Show everything about one message.

    Its text, each attempt, the changes and conditions that it told, what answered it. The text comes last.
    """
    from syncd.core.message import as_text, decode
    from syncd.store import alerts as store

    with reading(ctx.obj) as connection:
        found = alerts_by_hand.found(connection, identity)
        row: dict[str, Any] = store.delivery(connection, found)
        for name, part in (("tried", store.attempts), ("told", store.told), ("answers", store.children)):
            row[name] = part(connection, found).dicts()
    row["message"], message = json.loads(row["message"]), decode(row["message"])
    row["text"] = as_text(message)
    match chosen(form):
        case Format.table:
            _tell_one(row)
        case Format.csv:
            write(list(row), [{name: _flat(value) for name, value in row.items()}], form)
        case _:
            write(list(row), [row], form)


def _flat(value: Any) -> Any:  # noqa: ANN401 - any cell
    """What a cell of CSV can hold."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _tell_one(row: Mapping[str, Any]) -> None:
    for name, value in _facts(row):
        if value is not None:
            typer.echo(f"{name:<10} {clean(str(value), 400)}")
    for name, columns in _PARTS.items():
        for part in row[name]:
            said = (part[column] for column in columns)
            typer.echo(f"{name:<10} {'  '.join(clean(_short(value), 300) for value in said if value is not None)}")
    typer.echo(f"\n{row['text']}")


# Of the lists of `show`, what a line says.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "tried": ("started_at", "outcome", "error"),
    "told": ("what", "id", "at", "kind", "about", "summary"),
    "answers": ("created_at", "delivery_id", "op", "state", "last_error"),
}


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "id", row["delivery_id"]
    yield "to", row["channel"]
    yield "kind", f"{row['kind']}, {row['severity']}"
    yield "state", f"{row['state']} after {count(row['attempts'], 'attempt')}"
    yield "composed", _utc(row["created_at"])
    yield "sent", _utc(row["sent_at"])
    yield "next try", _utc(row["retry_at"]) if row["state"] in ("retry", "unknown") else None
    yield "its name", row["slack_ts"]
    yield ("edits" if row["op"] == "update" else "in thread"), row["parent_id"]
    yield "error", row["last_error"]


def _utc(value: str | None) -> str | None:
    return None if value is None else f"{value[:19]} UTC"


def _short(value: object) -> str:
    """A time to the second, anything else as it is."""
    text = str(value)
    return f"{text[:19]} UTC" if len(text) == len("2026-11-23 10:26:27.653438") and text[19:20] == "." else text


for name, command in (
    ("retry", alerts_by_hand.retry),
    ("drop", alerts_by_hand.drop),
    ("test", alerts_trial.trial),
    ("preview", alerts_preview.preview),
):
    app.command(name)(command)
