"""The command that says how syncd is: status."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import typer

from syncd.cli.common import load, opened
from syncd.cli.output import Format, FormatOption, chosen, write
from syncd.core.text import count, duration

if TYPE_CHECKING:
    from syncd.core.balance import Wallet

# A delivery that is older than this and not sent is a fault, not a delay.
_LATE: Final = timedelta(minutes=15)


# So many polls may be missed, after a restart or because the vendor asked to wait, before somebody should look.
_MISSED: Final = 3


@dataclass(frozen=True, slots=True)
class Status:
    """Rows of the views, and what needs a person, each with what to do."""

    keys: list[dict[str, Any]]
    accounts: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    outbox: list[dict[str, Any]]
    needs: list[str]


def status(ctx: typer.Context, form: FormatOption = None) -> None:
    """Show how every key is, how long each wallet lasts, what is open and what waits to be sent.

    Exits 1 when something needs a person.
    """
    from syncd.store import balances, engine, queries

    config = load(ctx.obj, secrets=False)
    with opened(config.database.url) as connection:
        keys = queries.key_status(connection).dicts()
        accounts = [_account(wallet) for wallet in balances.wallets(connection)]
        conditions = queries.open_conditions(connection).dicts()
        outbox = queries.outbox(connection).dicts()
    needs = [
        *_of_keys(keys, {key.name: key.interval for key in config.keys}, datetime.now(UTC)),
        *_of_conditions(conditions),
        *_of_outbox(outbox, datetime.now(UTC)),
        *([] if config.routes else ["no route is configured, so nobody is told anything: add [[routes]]"]),
    ]
    where = {"configuration": config.source, "database": engine.shown_url(config.database.url)}
    _tell(Status(keys, accounts, conditions, outbox, needs), where, form)
    raise typer.Exit(1 if needs else 0)


def _account(wallet: Wallet) -> dict[str, Any]:
    """What an account holds as it was seen last, and how long that lasts; null where nothing can be said, or no end."""
    from syncd.core.balance import burn, days_left, rounded
    from syncd.store.queries import cell

    rate, days = burn(wallet), days_left(wallet)
    return {
        "account": wallet.account,
        "credits_balance": cell(wallet.balance),
        "seen_at": cell(wallet.at),
        "burn_per_day": None if rate is None else cell(rounded(rate)),
        "empty_in_days": None if days is None else cell(rounded(days)),
    }


def _of_keys(keys: Iterable[Mapping[str, Any]], intervals: Mapping[str, timedelta], now: datetime) -> Iterable[str]:
    polled = {key["key_name"]: key["last_poll_at"] for key in keys if key["last_poll_at"] is not None}
    for name, interval in sorted(intervals.items()):
        if name not in polled:
            yield f"key {name} has never been polled: is `syncd run` running?"
        elif now - _moment(polled[name]) > _MISSED * interval + timedelta(minutes=1):
            yield f"key {name} was last polled {_ago(polled[name], now)} ago: is `syncd run` running?"


def _of_conditions(conditions: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    from syncd.core.compose import condition_summary

    for one in conditions:
        detail = json.loads(one["detail"])
        if one["kind"] == "destination.broken":
            what = f"{detail['destination']} takes no alerts ({detail['what']}), since {one['opened_at'][:19]} UTC"
            yield f"{what}: {detail['hint'] or 'see `syncd check --online`'}; what waits is sent once it works"
            continue
        yield f"{condition_summary(one['kind'], detail)}, since {one['opened_at'][:19]} UTC"


def _of_outbox(outbox: Iterable[Mapping[str, Any]], now: datetime) -> Iterable[str]:
    late = (now - _LATE).strftime("%Y-%m-%d %H:%M:%S.%f")
    for row in outbox:
        if row["state"] == "dead":
            yield f"{count(row['deliveries'], 'alert')} could not be delivered: see `syncd alerts list --state dead`"
        elif row["state"] != "sent" and row["oldest"] < late:
            waiting = f"{count(row['deliveries'], 'alert')} to be sent ({row['state']})"
            yield f"{waiting}, the oldest since {row['oldest'][:19]} UTC: see `syncd alerts list`"


def _tell(found: Status, where: Mapping[str, str], form: Format | None) -> None:
    if chosen(form) is Format.table:
        _tell_people(found, where)
        return
    conditions = [{**one, "detail": json.loads(one["detail"])} for one in found.conditions]
    row = {
        **where,
        "keys": found.keys,
        "accounts": found.accounts,
        "conditions": conditions,
        "outbox": found.outbox,
        "needs": found.needs,
    }
    write(list(row), [row], form)


def _tell_people(found: Status, where: Mapping[str, str]) -> None:
    now = datetime.now(UTC)
    _table([_key(key, now) for key in found.keys])
    _table([_forecast(account) for account in found.accounts])
    _table([{"alerts": row["state"], "count": row["deliveries"], "oldest": row["oldest"]} for row in found.outbox])
    for name, value in where.items():
        typer.echo(f"{name}: {value}")
    for need in found.needs or ["all is well"]:
        typer.echo(f"! {need}" if found.needs else need)


def _key(key: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A key in as few columns as fit a terminal."""
    return {
        "key": key["key_name"],
        "state": key["state"].replace("_", " "),
        "for": _ago(key["state_since"], now),
        "last good poll": _ago(key["last_success_at"], now, " ago"),
        "tier": key["tier"],
        "credits": key["credits_balance"],
        "models": key["model_count"],
        "held": key["held_changes"],
    }


def _forecast(account: Mapping[str, Any]) -> dict[str, Any]:
    """An account as people read it."""
    from syncd.core.balance import MOST_DAYS

    burn, days = account["burn_per_day"], account["empty_in_days"]
    lasts = "not known yet" if burn is None else "no burn seen"
    if days is not None:
        lasts = f"{'more than' if days >= MOST_DAYS else 'about'} {days} {'day' if days == 1 else 'days'}"
    return {
        "account": account["account"],
        "credits": account["credits_balance"],
        "burn a day": burn,
        "empty in": lasts,
    }


def _ago(moment: str | None, now: datetime, suffix: str = "") -> str | None:
    return None if moment is None else duration(now - _moment(moment)) + suffix


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _table(rows: list[dict[str, Any]]) -> None:
    if rows:
        write(list(rows[0]), rows, Format.table)
        typer.echo()
