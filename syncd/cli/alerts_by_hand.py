"""Commands that put the outbox right: retry, drop."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from syncd.cli.common import load, user
from syncd.core import by_hand
from syncd.core.audience import Operator
from syncd.core.by_hand import Handled, No
from syncd.core.text import clean, count, moment
from syncd.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.core.compose import Due
    from syncd.store import Store
    from syncd.store.alerts import ByHand
    from syncd.store.destinations import Destination
    from syncd.store.outbox import OutboxTransaction

# How an id begins, and how many that begin alike are named.
_ID: Final = "dlv_"
_MOST_NAMED: Final = 4

# What is done to one delivery: what is to be said of it, or why it stays as it is.
_Act: TypeAlias = "Callable[[ByHand, Handled], str | No]"

_Identities = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, or enough of each.")]


def found(connection: Connection, given: str) -> str:
    """The one alert whose id begins so, in any case, with or without what all of them begin with."""
    from syncd.store import alerts

    start = _ID + given.strip().lower().removeprefix(_ID).upper()
    ids = alerts.beginning_with(connection, start, _MOST_NAMED + 1) if start != _ID else []
    if start in ids or len(ids) == 1:
        return start if start in ids else ids[0]
    if not ids:
        raise UsageError(f"there is no alert {clean(given, 40)!r}", "`syncd alerts list` shows their ids")
    named = ", ".join(ids[:_MOST_NAMED]) + (" and more" if len(ids) > _MOST_NAMED else "")
    raise UsageError(f"several alerts begin with {clean(given, 40)!r}: {named}", "write more of the id")


def author_of(given: str | None) -> str:
    """Who does it: the name given, else the user's; under sudo the person, not root."""
    return given or user()


@contextmanager
def writing(url: str) -> Iterator[Store]:
    """The database, to be written to beside the daemon: a transaction is enough. Never migrates."""
    from syncd.store import Store

    store = Store(url)
    try:
        store.open()
        yield store
    finally:
        store.close()


# --- retry -----------------------------------------------------------------------------------------------------------


def retry(
    ctx: typer.Context,
    identities: _Identities = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every dead alert that nobody has seen to.")] = False,  # noqa: FBT002
) -> None:
    """Try again what could not be delivered.

    A dead alert stays as it is, and what it was to tell waits anew: it is composed with whatever else waits there, so
    that nobody reads old news twice. A dead reply is sent as it is. One that waits for its next try is tried now; a
    destination that is out of order is asked now whether it works, one that asked for silence has it.

    An alert that may have arrived (unknown) is not sent again blindly: syncd looks for it.
    The daemon sends what is due within seconds; without one, `syncd once` does. Exits 1 if one was not tried again.
    """
    if bool(identities) == all_dead:
        raise UsageError("alerts retry: which?", "give ids, or --all-dead; `syncd alerts list --state dead` shows them")
    with _opened(ctx) as store:
        ids = _dead(store) if all_dead else _find(store, identities or ())
        if not ids:
            typer.echo("no alert is dead that nobody has seen to")
        done = [_done(store, one, _retry) for one in ids]
    raise typer.Exit(0 if all(done) else 1)


def _dead(store: Store) -> list[str]:

    with store.outbox() as tx:
        return tx.by_hand.dead()


def _retry(hand: ByHand, one: Handled) -> str | No:
    now = datetime.now(UTC)
    match decided := by_hand.retry(one, now):
        case by_hand.Requeue():
            hand.requeue(one, decided, now)
            return f"{one.id}  queued anew for {one.destination}: {count(one.told, 'announcement')}"
        case by_hand.SendAgain():
            hand.send_again(one, now)
            return f"{one.id}  is sent again to {one.destination}"
        case by_hand.Hasten(datetime() as until):
            hand.hasten(one, now)
            return f"{one.id}  is tried at {moment(until)}: until then {one.destination} asked for silence"
        case by_hand.Hasten():
            hand.hasten(one, now)
            return f"{one.id}  is tried now at {one.destination}"
        case No():
            return decided


# --- drop ------------------------------------------------------------------------------------------------------------


def drop(
    ctx: typer.Context,
    identities: _Identities = None,
    *,
    reason: Annotated[str, typer.Option(help="Why nobody needs to read it; kept with the alert.")],
    author: Annotated[str | None, typer.Option(help="Who says so. Your user name if you leave it out.")] = None,
    queued: Annotated[
        list[str] | None, typer.Option(metavar="DESTINATION", help="Also everything that waits to be composed there.")
    ] = None,
) -> None:
    """Give up alerts that nobody needs any more.

    They are dead, and not tried again by themselves. Nothing is deleted: the changes stay in the history, the alert
    keeps its text and the reason, and `syncd alerts retry` brings it back. With --queued, what waits at a destination
    that nobody will ever mend is composed into one last message, which is dropped.
    Exits 1 if one could not be dropped.
    """
    if not (identities or queued):
        raise UsageError("alerts drop: which?", "give ids, or --queued DESTINATION; `syncd alerts list` shows both")
    if not clean(reason).strip():
        raise UsageError("alerts drop: the reason is empty", "say why, in a few words: others will read it")
    note = by_hand.dropped(author_of(author), reason)

    def give_up(hand: ByHand, one: Handled) -> str | No:
        return _drop(hand, one, note)

    with _opened(ctx) as store:
        done = [_done(store, one, give_up) for one in _find(store, identities or ())]
        for destination in queued or ():
            typer.echo(_drop_queued(store, destination, note))
    raise typer.Exit(0 if all(done) else 1)


def _drop(hand: ByHand, one: Handled, note: str) -> str | No:
    decided = by_hand.drop(one, note)
    if isinstance(decided, No):
        return decided
    hand.drop(one, decided)
    return f"{one.id}  dropped, for {one.destination}: {count(one.told, 'announcement')}"


def _drop_queued(store: Store, spec: str, note: str) -> str:
    """What waits there becomes a message that is dropped at once, so that it is known what it was, and comes back."""
    with store.outbox() as tx:
        hand = tx.by_hand
        destination = hand.destination(spec)
        if destination is None:
            raise UsageError(
                f"nothing was ever to be told at {spec!r}", "`syncd alerts list` shows where something waits"
            )
        tx.drop(tx.revised(destination))
        due = tx.due(destination, _END, Operator())
        if not due:
            current = tx.unsettled(destination)
            also = "" if current is None else f"; but {current.id} is on its way: `syncd alerts drop {current.id}`"
            return f"nothing waits to be composed at {spec}{also}"
        one = hand.handled(_composed(tx, due, destination))
        hand.drop(one, by_hand.Drop(note))
    return f"{one.id}  dropped, for {spec}: {count(len(due), 'announcement')}"


# However long it was to wait.
_END: Final = datetime.max.replace(tzinfo=UTC)


def _composed(tx: OutboxTransaction, due: list[Due], destination: Destination) -> str:
    """A message of all of it, which is never sent. Its id."""
    from syncd.app import delivery_id
    from syncd.core.compose import ChangeDue, compose
    from syncd.store.outbox import Delivery

    now = datetime.now(UTC)
    identity = delivery_id(now)
    changes = sum(isinstance(one, ChangeDue) for one in due)
    message = compose(due, identity)
    tx.open(
        Delivery(identity, destination, message, "dead", 0, now, changes=changes),
        (one.announcement for one in due),
        now,
    )
    return identity


# --- both ------------------------------------------------------------------------------------------------------------


def _opened(ctx: typer.Context) -> AbstractContextManager[Store]:
    """The database of the configuration; needs no secret."""
    return writing(load(ctx.obj, secrets=False).database.url)


def _find(store: Store, identities: Iterable[str]) -> list[str]:
    """All of them, each once, before anything is done to any."""
    with store.read() as connection:
        return list(dict.fromkeys(found(connection, one) for one in identities))


def _done(store: Store, identity: str, act: _Act) -> bool:
    """Do it to one, in a transaction of its own, and say what came of it."""
    with store.outbox() as tx:
        hand = tx.by_hand
        said = act(hand, hand.handled(identity))
    if isinstance(said, No):
        typer.echo(f"syncd: {said.why}; {said.hint}", err=True)
        return False
    typer.echo(said)
    return True
