"""What is to be told at a destination, as the values that composing a message asks for. Statements only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, or_, select

from syncd.core.audience import Audience
from syncd.core.balance import Wallet
from syncd.core.canon import Json, decode
from syncd.core.changes import Change, price_since
from syncd.core.compose import ChangeDue, ConditionDue, Due, Elsewhere, NoticeDue
from syncd.core.judge.wallet import holdings
from syncd.store import announcements as announced
from syncd.store import balances
from syncd.store.change_rows import change_of
from syncd.store.destinations import Destination
from syncd.store.statements import chunks
from syncd.store.tables import announcements, api_keys, changes, conditions, listings, notices

# Not told because of a silence. That a message was to be brought up to date would have alerted nobody.
MUTED: Final = and_(
    announcements.c.state == "silenced",
    announcements.c.silence_id.is_not(None),
    or_(announcements.c.edge.is_(None), announcements.c.edge != "changed"),
)


def due(connection: Connection, destination: Destination, now: datetime, audience: Audience) -> list[Due]:
    """Everything to be told there now, with what only waits for company, in the order in which it came up."""
    company = announcements.c.route.in_(sorted(audience.company))
    waiting = and_(
        announced.WAITING,
        # Of a condition only company holds back, and its beginning is told before its end.
        or_(announcements.c.not_before <= now, company, announcements.c.condition_id.is_not(None)),
        or_(announcements.c.edge.is_(None), announcements.c.edge != "changed"),
    )
    found = _read(connection, destination, waiting, audience)
    if not (earlier := _overtaken(connection, destination, found)):
        return found
    return _read(connection, destination, or_(waiting, announcements.c.id.in_(earlier)), audience)


def _overtaken(connection: Connection, destination: Destination, due: Iterable[Due]) -> list[int]:
    """What waits for its digest and is no longer so, by what is due: told with it, or it would be told after it."""
    paths = {(one.key, one.change.pointer) for one in due if isinstance(one, ChangeDue)}
    known = {one.announcement for one in due}
    found: list[int] = []
    for part in chunks(sorted({path for _, path in paths})):
        query = (
            select(announcements.c.id, api_keys.c.name, changes.c.path)
            .join(changes, changes.c.id == announcements.c.change_id)
            .join(api_keys, api_keys.c.id == changes.c.key_id)
            .where(announcements.c.destination_id == destination.id, announced.WAITING, changes.c.path.in_(part))
        )
        rows = connection.execute(query)
        found += [row.id for row in rows if (row.name, row.path) in paths and row.id not in known]
    return found


def told_in(connection: Connection, destination: Destination, delivery: str, audience: Audience) -> list[Due]:
    """What a delivery told, as it stands now: a condition of it may have changed."""
    return _read(connection, destination, announcements.c.delivery_id == delivery, audience)


def muted(connection: Connection, destination: Destination, silence: int, audience: Audience) -> list[Due]:
    """What a silence kept from it, as it stands now."""
    return _read(connection, destination, and_(MUTED, announcements.c.silence_id == silence), audience)


def muted_beginnings(connection: Connection, destination: Destination, audience: Audience) -> list[ConditionDue]:
    """The beginnings that silences kept from it, of conditions that have changed since."""
    found: list[Due] = []
    for part in chunks(set(revised(connection, destination).values())):
        theirs = and_(MUTED, announcements.c.edge == "opened", announcements.c.condition_id.in_(part))
        found += _read(connection, destination, theirs, audience)
    return [one for one in found if isinstance(one, ConditionDue)]


def revised(connection: Connection, destination: Destination) -> dict[int, int]:
    """The conditions that have changed since a message there told of them: announcement -> condition."""
    query = select(announcements.c.id, announcements.c.condition_id).where(
        announcements.c.destination_id == destination.id,
        announced.WAITING,
        announcements.c.edge == "changed",
    )
    return {row.id: row.condition_id for row in connection.execute(query.order_by(announcements.c.id))}


def _read(
    connection: Connection, destination: Destination, which: ColumnElement[bool], audience: Audience
) -> list[Due]:
    query = select(announcements).where(announcements.c.destination_id == destination.id, which)
    rows = connection.execute(query.order_by(announcements.c.id).with_for_update()).all()
    reading = _Reading(connection, destination, audience)
    found: list[Due] = [
        *reading.changes([row for row in rows if row.change_id is not None]),
        *reading.conditions([row for row in rows if row.condition_id is not None]),
        *reading.notices([row for row in rows if row.notice_id is not None]),
    ]
    return sorted(found, key=lambda one: one.announcement)


@dataclass(frozen=True, slots=True)
class _Reading:
    connection: Connection
    destination: Destination
    audience: Audience

    def changes(self, rows: Sequence[Row[Any]]) -> Iterable[ChangeDue]:
        """Of one change more than one edge may be due."""
        if not rows:
            return
        stored = self._changes({row.change_id for row in rows})
        told = {id_: change_of(one) for id_, one in stored.items()}
        gone = {one.slug for one in stored.values() if one.kind == "model.removed"}
        elsewhere = _Elsewhere(self.connection, lambda key: self.audience.sees(self.destination.spec, key), gone)
        reverted = self._heard({change.detail["reverts"] for change in told.values() if "reverts" in change.detail})
        told = {id_: _as_heard(change, reverted) for id_, change in told.items()}
        wallets = self._wallets({one.account for one in stored.values() if one.kind.startswith("credits.band.")})
        some_untold = announced.has_untold(self.connection, self.destination.spec)
        for row in rows:
            one, change = stored[row.change_id], told[row.change_id]
            back = row.edge == "back"
            yield ChangeDue(
                announcement=row.id,
                key=one.key_name,
                at=one.settled_at if back and one.settled_at is not None else one.detected_at,
                change=self._as_told(one, change) if some_untold else change,
                mention=self._mention(row),
                elsewhere=elsewhere.of(one) if one.kind == "model.removed" else {},
                edge=row.edge,
                id=one.id,
                since=one.detected_at if back else reverted.get(change.detail.get("reverts", 0)),
                wallet=wallets.get(one.account) if one.kind.startswith("credits.band.") else None,
            )

    def _wallets(self, accounts: Iterable[str]) -> dict[str, Wallet]:
        found = ((account, balances.stored(self.connection, account)) for account in sorted(accounts))
        return {account: wallet for account, wallet in found if wallet is not None}

    def _changes(self, ids: Iterable[int]) -> dict[int, Row[Any]]:
        """The changes, each with the name of its key and its account."""
        found: dict[int, Row[Any]] = {}
        for part in chunks(ids):
            query = (
                select(changes, api_keys.c.name.label("key_name"), api_keys.c.account)
                .join(api_keys, api_keys.c.id == changes.c.key_id)
                .where(changes.c.id.in_(part))
            )
            found.update({row.id: row for row in self.connection.execute(query)})
        return found

    def _heard(self, ids: Iterable[int]) -> dict[int, datetime]:
        """Of these changes those that the destination was told of, or is to be, and when each was found."""
        found: dict[int, datetime] = {}
        for part in chunks(ids):
            query = (
                select(changes.c.id, changes.c.detected_at)
                .join(announcements, announcements.c.change_id == changes.c.id)
                .where(changes.c.id.in_(part), announcements.c.destination_id == self.destination.id)
                .where(announcements.c.edge.is_(None), announcements.c.state.in_(("queued", "sent")))
            )
            found.update({row.id: row.detected_at for row in self.connection.execute(query)})
        return found

    def _as_told(self, row: Row[Any], change: Change) -> Change:
        """The change; of a price, from the one this destination was told last, unless it goes back and forth."""
        if not change.kind.startswith("credits.band.") or change.detail.keys() & {"reverts", "flapping"}:
            return change
        before = announced.first_untold(self.connection, row.key_id, row.slug, self.destination.spec, row.id)
        if before is None:
            return change
        since = price_since(change, decode(before).value)
        # Back where it was: the step itself is all there is to tell.
        return change if since.kind == "credits.band.raw-changed" else since

    def conditions(self, rows: Sequence[Row[Any]]) -> Iterable[ConditionDue]:
        stored = self._stored(conditions, {row.condition_id for row in rows})
        for row in rows:
            one = stored[row.condition_id]
            detail = json.loads(one.detail, parse_float=Decimal)
            detail = self._by_now(one.subject, detail) if row.edge == "reminder" else detail
            yield ConditionDue(
                announcement=row.id,
                condition=one.id,
                keys=tuple(self._keys(one.subject, detail, row.edge)),
                at=_when(row.edge, one),
                kind=one.kind,
                edge=row.edge,
                subject=one.subject,
                opened_at=one.opened_at,
                detail=detail,
                closed_at=one.closed_at,
                mention=self._mention(row),
            )

    def _by_now(self, subject: str, detail: dict[str, Json]) -> dict[str, Json]:
        """The facts of a balance move on without an edit of the condition."""
        kind, _, account = subject.partition(":")
        wallet = balances.stored(self.connection, account) if kind == "account" else None
        if wallet is None:
            return detail
        return {name: value for name, value in detail.items() if name not in ("burn", "days")} | holdings(wallet)

    def _keys(self, subject: str, detail: Mapping[str, Json], edge: str) -> Iterable[str]:
        """The keys to name: those that it concerned, or, where it lasts, those that it still does."""
        named = _named(subject, detail, lambda key: self.audience.sees(self.destination.spec, key))
        return (key for key in named if key in detail.get("keys", {})) if edge == "reminder" else named

    def notices(self, rows: Sequence[Row[Any]]) -> Iterable[NoticeDue]:
        stored = self._stored(notices, {row.notice_id for row in rows})
        for row in rows:
            one = stored[row.notice_id]
            yield NoticeDue(row.id, one.created_at, one.kind, json.loads(one.detail))

    def _stored(self, table: Table, ids: Iterable[int]) -> dict[int, Row[Any]]:
        found: dict[int, Row[Any]] = {}
        for part in chunks(ids):
            found.update({row.id: row for row in self.connection.execute(select(table).where(table.c.id.in_(part)))})
        return found

    def _mention(self, row: Row[Any]) -> str | None:
        return self.audience.mention(row.route, self.destination.spec)


def _as_heard(change: Change, reverted: Mapping[int, datetime]) -> Change:
    """The change; where that which it takes back was not told, it is news like any other."""
    if change.detail.get("reverts", 0) in reverted or "reverts" not in change.detail:
        return change
    return replace(change, detail={name: value for name, value in change.detail.items() if name != "reverts"})


# A key that had a model until so long before another lost it has lost it with it.
_LATELY: Final = timedelta(days=1)


class _Elsewhere:
    """Which other keys list models that are gone for one, of those that the destination may read of."""

    def __init__(self, connection: Connection, visible: Callable[[str], bool], slugs: Iterable[str]) -> None:
        self._keys: list[Row[str, datetime | None, str]] = []
        # By slug and key, until when it was listed: None where it still is.
        self._listed: dict[tuple[str, str], datetime | None] = {}
        slugs = list(slugs)
        if not slugs:
            return
        keys = select(api_keys.c.name, api_keys.c.observed_at, api_keys.c.state).where(api_keys.c.retired_at.is_(None))
        self._keys += [row for row in connection.execute(keys.order_by(api_keys.c.id)) if visible(row.name)]
        for part in chunks(slugs):
            query = (
                select(listings.c.slug, api_keys.c.name, listings.c.valid_to)
                .join(api_keys, api_keys.c.id == listings.c.key_id)
                .where(listings.c.slug.in_(part))
                .order_by(listings.c.valid_from)
            )
            self._listed.update({(row.slug, row.name): row.valid_to for row in connection.execute(query)})

    def of(self, change: Row[Any]) -> dict[str, Elsewhere]:
        """What is known of each. Of a key whose own removal is held, that it does not list the model."""
        return {key.name: self._known(change, key) for key in self._keys if key.name != change.key_name}

    def _known(self, change: Row[Any], key: Row[str, datetime | None, str]) -> Elsewhere:
        if key.state != "ok" or key.observed_at is None:
            return "silent"
        if key.observed_at < change.detected_at:
            return "later"
        if (change.slug, key.name) not in self._listed:
            return "without"
        until = self._listed[change.slug, key.name]
        return "lists" if until is None else "gone" if until >= change.detected_at - _LATELY else "without"


def _when(edge: str, condition: Row[Any]) -> datetime:
    """When the edge came up."""
    at: datetime | None = {"closed": condition.closed_at, "reminder": condition.reminded_at}.get(edge)
    began: datetime = condition.opened_at
    return began if at is None else at


def _named(subject: str, detail: Mapping[str, Json], visible: Callable[[str], bool]) -> Iterable[str]:
    """The keys to name: of a condition that keys share, those the destination may read of.

    A key's own condition names its key. It was routed there with it, whatever the configuration says by now.
    """
    kind, _, name = subject.partition(":")
    if kind == "key":
        return (name,)
    return filter(visible, dict.fromkeys([*detail.get("keys", {}), *detail.get("recovered", [])]))
