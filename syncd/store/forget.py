"""Erases a retired key: what it has for itself goes, what it shares with others loses its name. In one transaction.

    alone     its polls, listings, snapshots, changes, conditions, what was announced of them,     erased
              versions that no other key lists, the days of an account that no other key uses
    messages  that told of it alone, and what followed them                                        erased
              that told of others too                                                              emptied
    shared    outages, notices, silences and other messages that name it                           struck out

Nobody writes meanwhile. Rows go in the order in which they refer to each other: first what refers, then what is
referred to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, exists, or_, select, text, update

from syncd.core import message as messages
from syncd.core.canon import Json, dumps
from syncd.core.forgetting import FORGOTTEN, emptied, struck, struck_text
from syncd.core.key_names import named, renamed
from syncd.core.message import Message, names
from syncd.core.text import clean
from syncd.errors import UsageError
from syncd.store.destinations import UNSETTLED
from syncd.store.renames import rewrite
from syncd.store.statements import chunks
from syncd.store.tables import (
    announcements,
    api_keys,
    attempts,
    balance_days,
    changes,
    conditions,
    deliveries,
    listings,
    model_versions,
    notices,
    polls,
    silences,
    snapshots,
)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was erased, and of how many messages, `emptied` or `struck` out, something is left."""

    polls: int
    changes: int
    conditions: int
    versions: int
    balance_days: int
    messages: int
    emptied: int
    struck: int


def forget(connection: Connection, name: str) -> Forgotten:
    """Erase the retired key of this name. Raises `UsageError` where it must stay."""
    _lock(connection)
    key = _retired(connection, name)
    accounts = _own_accounts(connection, key)
    _claim_conditions(connection, key, accounts)
    fates = _fates(connection, key)
    _refuse_unsettled(connection, name, fates)
    _erase(connection, announcements, _told_of(key))
    _erase_messages(connection, fates.gone)
    _change_messages(connection, fates.emptied, partial(emptied, name=name))
    struck_out = _strike_messages(connection, name)
    _strike_rest(connection, name)
    erased = Forgotten(
        changes=_erase(connection, changes, changes.c.key_id == key.id),
        polls=_erase(connection, polls, polls.c.key_id == key.id),
        versions=_erase_listings(connection, key),
        conditions=_erase(connection, conditions, conditions.c.key_id == key.id),
        balance_days=_erase(connection, balance_days, balance_days.c.account.in_(accounts)),
        messages=len(fates.gone),
        emptied=len(fates.emptied),
        struck=struck_out,
    )
    _erase(connection, snapshots, snapshots.c.key_id == key.id)
    _erase(connection, api_keys, api_keys.c.id == key.id)
    return erased


def retired_keys(connection: Connection) -> list[str]:
    """The names that can be forgotten."""
    query = select(api_keys.c.name).where(api_keys.c.retired_at.is_not(None)).order_by(api_keys.c.name)
    return list(connection.scalars(query))


# --- before anything is erased -------------------------------------------------------------------------------------


def _lock(connection: Connection) -> None:
    """No poll and no alert meanwhile, or a version could be stored again, or a message sent, while it is erased.

    SQLite has one writer. Alerts write to their tables in this order, too.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE api_keys, deliveries, announcements IN EXCLUSIVE MODE"))


def _retired(connection: Connection, name: str) -> Row[Any]:
    key: Row[Any] | None = connection.execute(select(api_keys).where(api_keys.c.name == name)).one_or_none()
    if key is None:
        known = retired_keys(connection)
        hint = f"retired: {names(known)}" if known else "no key is retired"
        raise UsageError(f"there is no key {clean(name, 64)!r}", hint)
    if key.retired_at is None:
        raise UsageError(
            f"the key {name!r} is not retired: syncd has not run since it left the configuration",
            "restart syncd, or run `syncd once`, with the configuration of now",
        )
    return key


def _own_accounts(connection: Connection, key: Row[Any]) -> list[str]:
    """The account it uses, and the one called as it that it may have used before, unless another key does."""
    theirs = select(api_keys.c.account).where(api_keys.c.id != key.id)
    shared = set(connection.scalars(theirs.distinct()))
    return sorted({key.account, key.name} - shared)


def _claim_conditions(connection: Connection, key: Row[Any], accounts: Iterable[str]) -> None:
    """Conditions of its accounts, and outages that name it alone, are its own from here on."""
    subjects = [f"account:{account}" for account in accounts]
    query = select(conditions.c.id, conditions.c.subject, conditions.c.detail).where(
        or_(conditions.c.subject.in_(subjects), conditions.c.detail.contains(dumps(key.name), autoescape=True)),
        conditions.c.key_id.is_(None),
    )
    rows = connection.execute(query).all()
    own = [row.id for row in rows if row.subject in subjects or named(json.loads(row.detail)) == {key.name}]
    for part in chunks(own):
        connection.execute(update(conditions).where(conditions.c.id.in_(part)).values(key_id=key.id))


# --- messages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fates:
    """Messages that told of the key alone, and those that told of others too."""

    gone: set[str]
    emptied: set[str]


def _told_of(key: Row[Any]) -> ColumnElement[bool]:
    """The announcements of what is the key's own."""
    return or_(
        announcements.c.change_id.in_(select(changes.c.id).where(changes.c.key_id == key.id)),
        announcements.c.condition_id.in_(select(conditions.c.id).where(conditions.c.key_id == key.id)),
    )


def _fates(connection: Connection, key: Row[Any]) -> _Fates:
    query = select(announcements.c.id, announcements.c.delivery_id).where(_told_of(key))
    own = {row.id: row.delivery_id for row in connection.execute(query)}
    told = {delivery for delivery in own.values() if delivery is not None}
    shared = {delivery for one, delivery in _told_in(connection, told) if one not in own}
    fates = _Fates(told - shared, shared)
    _add_what_follows(connection, fates)
    for one, keys in _orphans(connection, key.name):
        if one not in fates.gone | fates.emptied:
            (fates.gone if keys == (key.name,) else fates.emptied).add(one)
    return fates


def _told_in(connection: Connection, told: Iterable[str]) -> Iterator[tuple[int, str]]:
    """All the announcements of these messages."""
    for part in chunks(told):
        query = select(announcements.c.id, announcements.c.delivery_id).where(announcements.c.delivery_id.in_(part))
        yield from ((row.id, row.delivery_id) for row in connection.execute(query))


_TELLS_NOTHING: Final = ~exists().where(announcements.c.delivery_id == deliveries.c.id)


def _add_what_follows(connection: Connection, fates: _Fates) -> None:
    """Edits and further parts of a message, which have no announcements of their own, share its fate."""
    for fate in (fates.gone, fates.emptied):
        new = set(fate)
        while new:
            found: set[str] = set()
            for part in chunks(new):
                following = select(deliveries.c.id).where(deliveries.c.parent_id.in_(part), _TELLS_NOTHING)
                found.update(connection.scalars(following))
            new = found - fates.gone - fates.emptied
            fate.update(new)


def _orphans(connection: Connection, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Messages about the key whose announcements another message has taken over, each with all the keys it is about."""
    query = select(deliveries.c.id, deliveries.c.message).where(_says(name), _TELLS_NOTHING)
    for row in connection.execute(query):
        keys = messages.decode(row.message).keys
        if name in keys:
            yield row.id, keys


def _says(name: str) -> ColumnElement[bool]:
    return deliveries.c.message.contains(name, autoescape=True)


def _refuse_unsettled(connection: Connection, name: str, fates: _Fates) -> None:
    """What is being sent must stay as it is: it would be sent with the name struck out, or twice."""
    said = set(connection.scalars(select(deliveries.c.id).where(_says(name))))
    for part in chunks(fates.gone | fates.emptied | said):
        query = select(deliveries.c.id).where(deliveries.c.id.in_(part), deliveries.c.state.in_(UNSETTLED))
        if (one := connection.scalar(query.limit(1))) is not None:
            raise UsageError(
                f"an alert about the key {name!r} is on its way: {one}",
                f"wait until it has arrived, or give it up: `syncd alerts drop {one}`",
            )


def _erase_messages(connection: Connection, gone: Iterable[str]) -> None:
    parts = list(chunks(gone))
    for part in parts:
        # What answered one of them and told of others stands for itself now.
        connection.execute(update(deliveries).where(deliveries.c.parent_id.in_(part)).values(parent_id=None))
        _erase(connection, attempts, attempts.c.delivery_id.in_(part))
    for part in parts:
        _erase(connection, deliveries, deliveries.c.id.in_(part))


def _strike_messages(connection: Connection, name: str) -> int:
    """Of how many of those that are left the name stands in the text."""
    said = set(connection.scalars(select(deliveries.c.id).where(_says(name))))
    return _change_messages(connection, said, partial(struck, name=name))


def _change_messages(connection: Connection, which: Iterable[str], changed: Callable[[Message], Message]) -> int:
    number = 0
    for part in chunks(which):
        query = select(deliveries.c.id, deliveries.c.message).where(deliveries.c.id.in_(part))
        for row in connection.execute(query).all():
            said = messages.encode(changed(messages.decode(row.message)))
            if said != row.message:
                connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(message=said))
                number += 1
    return number


# --- where else it stands ------------------------------------------------------------------------------------------


def _strike_rest(connection: Connection, name: str) -> None:
    """Outages that several keys shared, notices, silences."""
    rewrite(connection, conditions.c.detail, name, partial(renamed, old=name, new=FORGOTTEN))
    rewrite(connection, notices.c.detail, name, partial(_struck_notice, name=name))
    rewrite(connection, silences.c.matchers, name, partial(_struck_silence, name=name))


def _struck_notice(detail: Mapping[str, Json], name: str) -> dict[str, Json]:
    """The end of a silence quotes the titles of what is still going on."""
    titles = {"open": [struck_text(str(title), name) for title in detail["open"]]} if "open" in detail else {}
    return {**renamed(detail, name, FORGOTTEN), **titles}


def _struck_silence(matchers: Mapping[str, Json], name: str) -> dict[str, Json]:
    """Without the glob it would mute every key."""
    globs = {"key": [FORGOTTEN if glob == name else glob for glob in matchers["key"]]} if "key" in matchers else {}
    return {**matchers, **globs}


# --- rows ----------------------------------------------------------------------------------------------------------


def _erase_listings(connection: Connection, key: Row[Any]) -> int:
    """What it listed when, and every version that nobody else ever listed; of how many versions."""
    query = select(listings.c.version_id).where(listings.c.key_id == key.id).distinct()
    versions = connection.scalars(query).all()
    _erase(connection, listings, listings.c.key_id == key.id)
    unlisted = ~exists().where(listings.c.version_id == model_versions.c.id)
    return sum(_erase(connection, model_versions, model_versions.c.id.in_(part), unlisted) for part in chunks(versions))


def _erase(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    """How many rows it were."""
    return connection.execute(delete(table).where(*where)).rowcount
