"""Commands for what is held until it is certain: held list, held release, held drop."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from syncd.cli.alerts_by_hand import author_of, writing
from syncd.cli.common import load, opened
from syncd.cli.output import Format, FormatOption, chosen, write
from syncd.cli.show import KeyOption
from syncd.core.by_hand import No
from syncd.core.text import clean, count, moment
from syncd.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.config import Config
    from syncd.core.judge.by_hand import Decision
    from syncd.core.routing import KeyFacts
    from syncd.store.held import Found, HeldByHand, Row

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What waits until it is certain: look at it, or decide by hand.",
)

# A greater number fits no database.
_MOST_ID = 2**63 - 1

_Identities = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID", min=1, max=_MOST_ID, help="Its id, as `syncd held list` shows it."),
]
_OfKey = Annotated[str | None, typer.Option("--key", help="Instead of ids: everything that is held of this key.")]
_Author = Annotated[str | None, typer.Option(help="Who says so. Your user name if you leave it out.")]

# What is done to one held change: the steps it takes and what is to be said, or why it stays as it is.
_Act: TypeAlias = "Callable[[Found, datetime], tuple[Decision, str] | No]"


# --- list ------------------------------------------------------------------------------------------------------------

_COLUMNS = ("id", "key_name", "kind", "slug", "path", "severity", "since", "why", "affects", "summary")


@app.command("list")
def list_held(ctx: typer.Context, *, key: KeyOption = None, form: FormatOption = None) -> None:
    """Show what is held, and what each waits for.

    A removal waits for polls that confirm it, one from a suspicious listing for more of them, and what keeps changing
    until it has been the same for a while. Each takes its steps at good polls of its key.
    """
    from syncd.store import held

    config = load(ctx.obj, secrets=False)
    with opened(config.database.url) as connection:
        _check(connection, key)
        found = held.listed(connection, key=key)
    rows = list(_rows(found, config, datetime.now(UTC)))
    if chosen(form) is not Format.table:
        write(_COLUMNS, rows, form)
    elif rows:
        write(_HEADINGS, [_brief(row) for row in rows], form)
    else:
        typer.echo("nothing is held")


def _rows(found: Iterable[Row], config: Config, now: datetime) -> Iterable[dict[str, Any]]:
    from syncd.app import judgement_of
    from syncd.core.canon import dumps
    from syncd.core.judge.by_hand import why
    from syncd.store.queries import cell

    policy = judgement_of(config)
    configured = {key.name for key in config.keys}
    for row in found:
        held, change = row.held, row.held.change
        yield {
            "id": held.id,
            "key_name": row.key_name,
            "kind": change.kind,
            "slug": change.slug,
            "path": change.pointer,
            "severity": change.severity,
            "since": cell(held.detected_at),
            "why": why(held, policy, now) if row.key_name in configured else "its key is not configured any more",
            "affects": dumps(change.affects),
            "summary": row.summary,
        }


_HEADINGS = ("id", "key", "severity", "change", "since", "why", "breaks")


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """In as few columns as fit a terminal."""
    return {
        "id": row["id"],
        "key": row["key_name"],
        "severity": row["severity"],
        "change": row["summary"],
        "since": row["since"][:19],
        "why": row["why"],
        "breaks": _names(row["affects"]),
    }


def _names(affects: str) -> str | None:
    from syncd.core.canon import decode
    from syncd.core.message import names

    requests = decode(affects).value
    return names(requests) if requests else None


# --- release ---------------------------------------------------------------------------------------------------------


def _told_at(decided: Decision) -> str:
    """Where it is told."""
    told = [one for one in decided.step.announcements if one.state == "queued"]
    return ", ".join(dict.fromkeys(one.destination for one in told))


@app.command()
def release(ctx: typer.Context, identities: _Identities = None, *, key: _OfKey = None, author: _Author = None) -> None:
    """Decide that it is certain, and have it told now.

    It is told as if the polls had confirmed it: by the routes of today, and wherever it was told as unconfirmed. Where
    no route wants it, it is recorded. A running daemon sends it within seconds; without one, `syncd once` does.
    Exits 1 if one is not held any more.
    """
    from syncd.app import facts_of, judgement_of
    from syncd.core.judge import by_hand

    config = load(ctx.obj, secrets=False)
    policy = judgement_of(config)
    facts: dict[str, KeyFacts] = {one.name: facts_of(one) for one in config.keys}
    who = author_of(author)

    def act(found: Found, now: datetime) -> tuple[Decision, str] | No:
        if found.chosen is None:
            return _settled(found)
        if found.key_name not in facts:
            why = f"{found.id} is of key {found.key_name}, which is not configured any more: no route can want it"
            return No(why, f"`syncd held drop {found.id} --reason …` settles it")
        decided = by_hand.release(found.chosen, facts[found.key_name], policy, now, who)
        where = _told_at(decided)
        return decided, f"released, told at {where}" if where else "released, and recorded: no route wants it"

    _settle(config, "release", identities, key, act)


# --- drop ------------------------------------------------------------------------------------------------------------


@app.command()
def drop(
    ctx: typer.Context,
    identities: _Identities = None,
    *,
    reason: Annotated[str, typer.Option(help="Why nobody needs an alert; kept with the change.")],
    key: _OfKey = None,
    author: _Author = None,
) -> None:
    """Decide that nobody needs an alert.

    The change is real and stays in the history, with the reason. A model whose removal is dropped is gone; if the
    vendor lists it again it has returned, which is told as ever. Who was told that a model may be gone is told that it
    is, and nobody else.
    Exits 1 if one is not held any more.
    """
    from syncd.core.judge import by_hand

    if not clean(reason).strip():
        raise UsageError("held drop: the reason is empty", "say why, in a few words: others will read it")
    who = author_of(author)

    def act(found: Found, now: datetime) -> tuple[Decision, str] | No:
        if found.chosen is None:
            return _settled(found)
        decided = by_hand.drop(found.chosen, now, who, reason)
        where = _told_at(decided)
        return decided, f"dropped; told only at {where}, where it was unconfirmed" if where else "dropped"

    _settle(load(ctx.obj, secrets=False), "drop", identities, key, act)


# --- both ------------------------------------------------------------------------------------------------------------


def _settle(config: Config, name: str, identities: list[int] | None, key: str | None, act: _Act) -> None:
    """Do it to each, in a transaction of its own, and say what came of it. Nothing is done if one is unknown."""
    if bool(identities) == (key is not None):
        raise UsageError(f"held {name}: which?", "give ids, or --key for everything of a key; `syncd held list`")
    with writing(config.database.url) as store:
        with store.read() as connection:
            wanted = _held_of(connection, key) if key is not None else _known(connection, identities or ())
        if not wanted:
            typer.echo(f"nothing is held of key {clean(key or '', 60)}")
        done = []
        for one in wanted:
            with store.held() as hand:
                said = _act_on(hand, one, act)
            done.append(_say(said))
    raise typer.Exit(0 if all(done) else 1)


def _act_on(hand: HeldByHand, identity: int, act: _Act) -> str | No:
    found = hand.find(identity)
    if found is None:
        return No(f"there is no change {identity} any more", "`syncd held list` shows what is held")
    now = datetime.now(UTC)
    answer = act(found, now)
    if isinstance(answer, No):
        return answer
    decided, said = answer
    hand.settle(decided, now)
    others = len(decided.others)
    also = f"; with it {count(others, 'change')} of the model that kept going back and forth" if others else ""
    return f"{identity}  {found.key_name}: {clean(found.summary)}: {said}{also}"


def _settled(found: Found) -> No:
    """Somebody or something was faster, or it never was held."""
    at = "" if found.settled_at is None else f" at {moment(found.settled_at)}"
    return No(f"{found.id} is not held: it was {found.state}{at}", "`syncd held list` shows what is held")


def _say(said: str | No) -> bool:
    if isinstance(said, No):
        typer.echo(f"syncd: {said.why}; {said.hint}", err=True)
        return False
    typer.echo(said)
    return True


def _known(connection: Connection, identities: Iterable[int]) -> list[int]:
    """All of them, each once."""
    from syncd.store import held

    wanted = list(dict.fromkeys(identities))
    known = held.known(connection, wanted)
    if unknown := [one for one in wanted if one not in known]:
        raise UsageError(f"there is no change {unknown[0]}", "`syncd held list` shows what is held, with ids")
    return wanted


def _held_of(connection: Connection, key: str) -> list[int]:
    from syncd.store import held

    _check(connection, key)
    return [row.held.id for row in held.listed(connection, key=key)]


def _check(connection: Connection, key: str | None) -> None:
    from syncd.store import held

    if key is not None and key not in (known := held.keys(connection)):
        raise UsageError(f"there is no history of key {clean(key, 60)!r}", f"there is of: {', '.join(known) or 'none'}")
