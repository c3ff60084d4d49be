"""What is to be told at a destination, as the values that composing a message asks for. Statements only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, or_, select

from syncd.core.audience import Audience
from syncd.core.canon import Json, decode
from syncd.core.changes import Change, price_since
from syncd.core.compose import ChangeDue, ConditionDue, Due, NoticeDue
from syncd.store import announcements as announced
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
    return _read(connection, destination, waiting, audience)


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
        wanted = {row.change_id: row for row in rows}
        for part in chunks(wanted):
            query = (
                select(changes, api_keys.c.name.label("key_name"))
                .join(api_keys, api_keys.c.id == changes.c.key_id)
                .where(changes.c.id.in_(part))
            )
            found = self.connection.execute(query).all()
            gone = {row.slug for row in found if row.kind == "model.removed"}
            elsewhere = _Elsewhere(self.connection, lambda key: self.audience.sees(self.destination.spec, key), gone)
            some_untold = announced.has_untold(self.connection, self.destination.spec)
            for row in found:
                told = wanted[row.id]
                change = self._as_told(row) if some_untold else change_of(row)
                others = elsewhere.of(row) if change.kind == "model.removed" else {}
                yield ChangeDue(told.id, row.key_name, row.detected_at, change, self._mention(told), others)

    def _as_told(self, row: Row[Any]) -> Change:
        """The change; of a price, from the one this destination was told last."""
        change = change_of(row)
        if not change.kind.startswith("credits.band."):
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
            yield ConditionDue(
                announcement=row.id,
                condition=one.id,
                keys=tuple(_named(one.subject, detail, lambda key: self.audience.sees(self.destination.spec, key))),
                at=one.closed_at if row.edge == "closed" and one.closed_at is not None else one.opened_at,
                kind=one.kind,
                edge=row.edge,
                subject=one.subject,
                opened_at=one.opened_at,
                detail=detail,
                closed_at=one.closed_at,
                mention=self._mention(row),
            )

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


class _Elsewhere:
    """Which other keys list models that are gone for one, of those that the destination may read of."""

    def __init__(self, connection: Connection, visible: Callable[[str], bool], slugs: Iterable[str]) -> None:
        self._asked: dict[str, datetime | None] = {}
        self._listing: dict[str, set[str]] = {}
        slugs = list(slugs)
        if not slugs:
            return
        keys = select(api_keys.c.name, api_keys.c.observed_at).where(api_keys.c.retired_at.is_(None))
        self._asked = {row.name: row.observed_at for row in connection.execute(keys) if visible(row.name)}
        for part in chunks(slugs):
            query = (
                select(listings.c.slug, api_keys.c.name)
                .join(api_keys, api_keys.c.id == listings.c.key_id)
                .where(listings.c.slug.in_(part), listings.c.valid_to.is_(None))
            )
            for row in connection.execute(query):
                self._listing.setdefault(row.slug, set()).add(row.name)

    def of(self, change: Row[Any]) -> dict[str, bool | None]:
        """Whether each lists the model; None of those that were not asked since."""
        lists = self._listing.get(change.slug, set())
        return {
            name: None if at is None or at < change.detected_at else name in lists
            for name, at in self._asked.items()
            if name != change.key_name
        }


def _named(subject: str, detail: Mapping[str, Json], visible: Callable[[str], bool]) -> Iterable[str]:
    """The keys to name: of a condition that keys share, those the destination may read of.

    A key's own condition names its key. It was routed there with it, whatever the configuration says by now.
    """
    kind, _, name = subject.partition(":")
    if kind == "key":
        return (name,)
    return filter(visible, dict.fromkeys([*detail.get("keys", {}), *detail.get("recovered", [])]))
