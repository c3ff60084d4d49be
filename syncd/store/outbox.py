"""What the outbox reads and writes: what is due, the delivery in flight, what became of it.

A destination has at most one unsettled delivery; a unique index holds the rule. Statements only; decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, literal, or_, select, update

from syncd.core import message as messages
from syncd.core.canon import Json, decode
from syncd.core.changes import Change, price_since
from syncd.core.compose import ChangeDue, ConditionDue, Due
from syncd.core.delivery import DeliveryState, Settlement
from syncd.core.message import Message
from syncd.store import announcements as announced
from syncd.store.change_rows import change_of
from syncd.store.statements import chunks
from syncd.store.tables import announcements, api_keys, attempts, changes, conditions, deliveries, destinations
from syncd.store.types import Utc

UNSETTLED = ("sending", "retry", "unknown")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where alerts go: `spec` as the route names it."""

    id: int
    spec: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way. `attempts` counts those begun; `state` is as it was when it was read.

    `may_have_arrived` tells that of one of its attempts nobody knows how it ended.
    """

    id: str
    destination: Destination
    message: Message
    state: DeliveryState
    attempts: int
    may_have_arrived: bool = False


class OutboxTransaction:
    """A write transaction of the outbox."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def recover(self, now: datetime) -> int:
        """At start: what a dead process was sending may have arrived. Returns how many there were."""
        said = "syncd ended while sending"
        sending = deliveries.c.state == "sending"
        lost = select(deliveries.c.id, deliveries.c.started_at, literal(now, Utc()), literal("unknown"), literal(said))
        columns = ["delivery_id", "started_at", "ended_at", "outcome", "error"]
        self._connection.execute(insert(attempts).from_select(columns, lost.where(sending)))
        orphaned = update(deliveries).where(sending).values(state="unknown", retry_at=now, last_error=said)
        return self._connection.execute(orphaned).rowcount

    def hurry(self, now: datetime) -> None:
        """Every delivery that waits for another try is due now."""
        later = update(deliveries).where(deliveries.c.state.in_(("retry", "unknown")), deliveries.c.retry_at > now)
        self._connection.execute(later.values(retry_at=now))

    def ready(self, now: datetime) -> list[Destination]:
        """The destinations at which something can be done now."""
        due = select(announcements.c.destination_id).where(
            announcements.c.state == "queued", announcements.c.delivery_id.is_(None), announcements.c.not_before <= now
        )
        unsettled = select(deliveries.c.destination_id).where(deliveries.c.state.in_(UNSETTLED))
        waiting = unsettled.where(
            or_(deliveries.c.retry_at.is_(None), deliveries.c.retry_at <= now), deliveries.c.state != "sending"
        )
        query = (
            select(destinations.c.id, destinations.c.spec)
            .where(
                or_(destinations.c.frozen_until.is_(None), destinations.c.frozen_until <= now),
                or_(
                    destinations.c.id.in_(waiting),
                    and_(destinations.c.id.in_(due), destinations.c.id.not_in(unsettled)),
                ),
            )
            .order_by(destinations.c.id)
        )
        return [Destination(row.id, row.spec) for row in self._connection.execute(query)]

    def unsettled(self, destination: Destination) -> Delivery | None:
        """The delivery that is on its way to the destination, if any."""
        doubtful = select(attempts.c.id).where(
            attempts.c.delivery_id == deliveries.c.id, attempts.c.outcome == "unknown"
        )
        query = (
            select(deliveries, doubtful.exists().label("doubtful"))
            .where(deliveries.c.destination_id == destination.id, deliveries.c.state.in_(UNSETTLED))
            .with_for_update(of=deliveries)
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        message = messages.decode(row.message)
        return Delivery(row.id, destination, message, row.state, row.attempts, may_have_arrived=bool(row.doubtful))

    def due(self, destination: Destination, now: datetime, visible: Callable[[str, str], bool]) -> list[Due]:
        """Everything to be told there now. `visible(destination, key)`: whether the destination may read of a key."""
        query = (
            select(
                announcements.c.id.label("announcement"),
                announcements.c.change_id,
                announcements.c.condition_id,
                announcements.c.edge,
            )
            .where(
                announcements.c.destination_id == destination.id,
                announcements.c.state == "queued",
                announcements.c.delivery_id.is_(None),
                announcements.c.not_before <= now,
            )
            .order_by(announcements.c.id)
            .with_for_update()
        )
        rows = self._connection.execute(query).all()
        edges = [row for row in rows if row.condition_id is not None]
        found: list[Due] = [
            *self._changes(destination, {row.change_id: row.announcement for row in rows if row.change_id is not None}),
            *self._conditions(edges, lambda key: visible(destination.spec, key)),
        ]
        return sorted(found, key=lambda one: one.announcement)

    def _changes(self, destination: Destination, wanted: dict[int, int]) -> Iterable[ChangeDue]:
        for part in chunks(wanted):
            query = (
                select(changes, api_keys.c.name.label("key_name"))
                .join(api_keys, api_keys.c.id == changes.c.key_id)
                .where(changes.c.id.in_(part))
            )
            for row in self._connection.execute(query):
                yield ChangeDue(wanted[row.id], row.key_name, row.detected_at, self._as_told(destination, row))

    def _as_told(self, destination: Destination, row: Row[Any]) -> Change:
        """The change; of a price, from the one this destination was told last."""
        change = change_of(row)
        if not change.kind.startswith("credits.band."):
            return change
        before = announced.first_untold(self._connection, row.key_id, row.slug, destination.spec, row.id)
        return change if before is None else price_since(change, decode(before).value)

    def _conditions(
        self, rows: Sequence[Row[*tuple[Any, ...]]], visible: Callable[[str], bool]
    ) -> Iterable[ConditionDue]:
        stored: dict[int, Row[Any]] = {}
        for part in chunks({row.condition_id for row in rows}):
            query = select(conditions).where(conditions.c.id.in_(part))
            stored.update({one.id: one for one in self._connection.execute(query)})
        for row in rows:
            one = stored[row.condition_id]
            detail = json.loads(one.detail)
            keys = tuple(_named(one.subject, detail, visible))
            at = one.closed_at if row.edge == "closed" and one.closed_at is not None else one.opened_at
            yield ConditionDue(row.announcement, keys, at, one.kind, row.edge, one.subject, one.opened_at, detail)

    def open(self, delivery: Delivery, told: Iterable[int], changes_told: int, now: datetime) -> None:
        """Write a new delivery in state `sending`, and the announcements with it. Commit before touching a socket."""
        row = {
            "id": delivery.id,
            "destination_id": delivery.destination.id,
            "op": "post",
            "kind": delivery.message.kind,
            "severity": delivery.message.severity,
            "change_count": changes_told,
            "message": messages.encode(delivery.message),
            "state": "sending",
            "created_at": now,
            "started_at": now,
            "attempts": 1,
        }
        self._connection.execute(insert(deliveries).values(**row))
        for part in chunks(told):
            taken = update(announcements).where(announcements.c.id.in_(part)).values(delivery_id=delivery.id)
            self._connection.execute(taken)

    def again(self, delivery: Delivery, now: datetime) -> bool:
        """Claim an unsettled delivery for another attempt; False if somebody else has."""
        claimed = (
            update(deliveries)
            .where(
                deliveries.c.id == delivery.id, deliveries.c.state == delivery.state, deliveries.c.state != "sending"
            )
            .values(state="sending", started_at=now, retry_at=None, attempts=deliveries.c.attempts + 1)
        )
        return self._connection.execute(claimed).rowcount == 1

    def settle(self, delivery: Delivery, settlement: Settlement, started: datetime, now: datetime) -> None:
        """Write what became of the attempt, and of the announcements with it."""
        settled = (
            update(deliveries)
            .where(deliveries.c.id == delivery.id, deliveries.c.state == "sending")
            .values(
                state=settlement.state,
                retry_at=settlement.retry_at,
                slack_ts=settlement.reference,
                last_error=settlement.error,
                sent_at=now if settlement.state == "sent" else None,
            )
        )
        self._connection.execute(settled)
        outcome = {
            "delivery_id": delivery.id,
            "started_at": started,
            "ended_at": now,
            "outcome": settlement.state,
            "error": settlement.error,
        }
        self._connection.execute(insert(attempts).values(**outcome))
        final = {"sent": "sent", "dead": "dropped"}.get(settlement.state)
        if final is not None:
            self._connection.execute(
                update(announcements).where(announcements.c.delivery_id == delivery.id).values(state=final)
            )
        if settlement.state == "sent":
            sent = update(destinations).where(destinations.c.id == delivery.destination.id).values(last_sent_at=now)
            self._connection.execute(sent)

    def next_due(self) -> datetime | None:
        """When something becomes due next, None if nothing waits. May be in the past."""
        unsettled = select(deliveries.c.destination_id).where(deliveries.c.state.in_(UNSETTLED))
        queued = select(func.min(announcements.c.not_before)).where(
            announcements.c.state == "queued",
            announcements.c.delivery_id.is_(None),
            # What waits behind a delivery waits for it.
            announcements.c.destination_id.not_in(unsettled),
        )
        waiting = select(func.min(deliveries.c.retry_at)).where(deliveries.c.state.in_(("retry", "unknown")))
        moments = [self._connection.scalar(queued), self._connection.scalar(waiting)]
        return min((moment for moment in moments if moment is not None), default=None)


def _named(subject: str, detail: Mapping[str, Json], visible: Callable[[str], bool]) -> Iterable[str]:
    """The keys to name: of a condition that keys share, those the destination may read of.

    A key's own condition names its key. It was routed there with it, whatever the configuration says by now.
    """
    kind, _, name = subject.partition(":")
    if kind == "key":
        return (name,)
    return filter(visible, dict.fromkeys([*detail.get("keys", {}), *detail.get("recovered", [])]))
