"""What the outbox reads and writes: what is due, the delivery in flight, what became of it.

A destination has at most one unsettled delivery; a unique index holds the rule. Statements only; decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    update,
)

from syncd.core import message as messages
from syncd.core.canon import Json, decode
from syncd.core.changes import Change, price_since
from syncd.core.compose import ChangeDue, ConditionDue, Due
from syncd.core.delivery import DeliveryState, Rung, Settlement
from syncd.core.message import Message
from syncd.store import announcements as announced
from syncd.store.change_rows import change_of
from syncd.store.statements import chunks
from syncd.store.tables import announcements, api_keys, attempts, changes, conditions, deliveries, destinations
from syncd.store.types import Utc

UNSETTLED = ("sending", "retry", "unknown")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where alerts go: `spec` as the route names it, its scheme first. `broken` tells that it is out of order."""

    id: int
    spec: str
    broken: bool = False

    @property
    def scheme(self) -> str:
        """Which kind of sink sends there."""
        return self.spec.partition(":")[0]

    @property
    def target(self) -> str:
        """What the sink needs to know of it."""
        return self.spec.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way. `attempts` counts those begun; `state` is as it was when it was read.

    `may_have_arrived` tells that of one of its attempts nobody knows how it ended, `looks` how often it was then looked
    for in vain. `thread` is the sink's own reference of the message it answers. `started` is of its last attempt.
    """

    id: str
    destination: Destination
    message: Message
    state: DeliveryState
    attempts: int
    started: datetime
    may_have_arrived: bool = False
    looks: int = 0
    rung: Rung = "rich"
    parent: str | None = None
    thread: str | None = None
    error: str | None = None


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
            select(destinations.c.id, destinations.c.spec, destinations.c.broken_since)
            .where(
                or_(destinations.c.frozen_until.is_(None), destinations.c.frozen_until <= now),
                or_(
                    destinations.c.id.in_(waiting),
                    and_(destinations.c.id.in_(due), destinations.c.id.not_in(unsettled)),
                ),
            )
            .order_by(destinations.c.id)
        )
        found = self._connection.execute(query)
        return [Destination(row.id, row.spec, broken=row.broken_since is not None) for row in found]

    def unsettled(self, destination: Destination) -> Delivery | None:
        """The delivery that is on its way to the destination, if any."""
        doubtful = select(attempts.c.id).where(
            attempts.c.delivery_id == deliveries.c.id, attempts.c.outcome == "unknown"
        )
        parents = deliveries.alias("parents")
        query = (
            select(deliveries, doubtful.exists().label("doubtful"), parents.c.slack_ts.label("thread"))
            .outerjoin(parents, parents.c.id == deliveries.c.parent_id)
            .where(deliveries.c.destination_id == destination.id, deliveries.c.state.in_(UNSETTLED))
            .with_for_update(of=deliveries)
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        return Delivery(
            id=row.id,
            destination=destination,
            message=messages.decode(row.message),
            state=row.state,
            attempts=row.attempts,
            started=row.started_at,
            may_have_arrived=bool(row.doubtful),
            looks=row.looks,
            rung=row.rung,
            parent=row.parent_id,
            thread=row.thread,
            error=row.last_error,
        )

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
            yield ConditionDue(
                row.announcement, one.id, keys, at, one.kind, row.edge, one.subject, one.opened_at, detail
            )

    def open(self, delivery: Delivery, told: Iterable[int], changes_told: int, now: datetime) -> None:
        """Write a new delivery in state `sending`, and the announcements with it. Commit before touching a socket."""
        row = {
            "id": delivery.id,
            "destination_id": delivery.destination.id,
            "op": "post",
            "parent_id": delivery.parent,
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
            .where(deliveries.c.id == delivery.id, deliveries.c.state == "retry")
            .values(state="sending", started_at=now, retry_at=None, attempts=deliveries.c.attempts + 1)
        )
        return self._connection.execute(claimed).rowcount == 1

    def settle(self, delivery: Delivery, settlement: Settlement, started: datetime, now: datetime) -> None:
        """Write what became of an attempt, and of the announcements with it."""
        if not self._move(delivery, "sending", settlement, now):
            return
        outcome = {
            "delivery_id": delivery.id,
            "started_at": started,
            "ended_at": now,
            "outcome": settlement.state,
            "error": settlement.error,
        }
        self._connection.execute(insert(attempts).values(**outcome))
        if settlement.frozen_until is not None:
            self._freeze(delivery.destination, settlement, now)

    def settle_look(self, delivery: Delivery, settlement: Settlement, now: datetime) -> None:
        """Write what looking for a doubtful message has shown."""
        self._move(delivery, "unknown", settlement, now)

    def _move(self, delivery: Delivery, state: DeliveryState, settlement: Settlement, now: datetime) -> bool:
        """From one state to the next; False if somebody else has moved it."""
        values: dict[str, Any] = {
            "state": settlement.state,
            "retry_at": settlement.retry_at,
            "slack_ts": settlement.reference,
            "last_error": settlement.error,
            "rung": settlement.rung,
            "looks": settlement.looks,
            "sent_at": now if settlement.state == "sent" else None,
        }
        if settlement.apart:
            values["parent_id"] = None
        moved = update(deliveries).where(deliveries.c.id == delivery.id, deliveries.c.state == state).values(**values)
        if self._connection.execute(moved).rowcount != 1:
            return False
        if (final := {"sent": "sent", "dead": "dropped"}.get(settlement.state)) is not None:
            told = update(announcements).where(announcements.c.delivery_id == delivery.id)
            self._connection.execute(told.values(state=final))
        if settlement.state == "sent":
            self._mend(delivery.destination, last_sent_at=now)
        return True

    def _freeze(self, destination: Destination, settlement: Settlement, now: datetime) -> None:
        """The destination gets nothing for a while: it asked for that, or it is out of order."""
        values: dict[str, Any] = {"frozen_until": settlement.frozen_until}
        if settlement.unusable:
            values |= {
                "broken_since": func.coalesce(destinations.c.broken_since, literal(now, Utc())),
                "last_error": settlement.error,
            }
        self._connection.execute(update(destinations).where(destinations.c.id == destination.id).values(**values))

    def probed(self, destination: Destination, error: str | None, until: datetime) -> None:
        """Write what asking a destination that was out of order has shown: what still is, or nothing."""
        if error is None:
            self._mend(destination)
        else:
            still = update(destinations).where(destinations.c.id == destination.id)
            self._connection.execute(still.values(frozen_until=until, last_error=error))

    def _mend(self, destination: Destination, **more: datetime) -> None:
        works = update(destinations).where(destinations.c.id == destination.id)
        self._connection.execute(works.values(broken_since=None, frozen_until=None, last_error=None, **more))

    def reference(self, delivery: str) -> str | None:
        """The sink's own name for a message that was sent."""
        found = self._connection.scalar(select(deliveries.c.slack_ts).where(deliveries.c.id == delivery))
        return None if found is None else str(found)

    def opening(self, condition: int, destination: Destination) -> str | None:
        """The delivery that told the destination of a condition's opening, if it was sent and can be answered."""
        query = (
            select(deliveries.c.id)
            .join(announcements, announcements.c.delivery_id == deliveries.c.id)
            .where(
                announcements.c.condition_id == condition,
                announcements.c.edge == "opened",
                announcements.c.destination_id == destination.id,
                deliveries.c.state == "sent",
                deliveries.c.slack_ts.is_not(None),
            )
        )
        found = self._connection.scalar(query)
        return None if found is None else str(found)

    def next_due(self) -> datetime | None:
        """When something becomes due next, None if nothing waits. May be in the past."""
        unsettled = select(deliveries.c.destination_id).where(deliveries.c.state.in_(UNSETTLED))
        queued = (
            select(func.min(_not_frozen(announcements.c.not_before)))
            .join(destinations, destinations.c.id == announcements.c.destination_id)
            .where(
                announcements.c.state == "queued",
                announcements.c.delivery_id.is_(None),
                # What waits behind a delivery waits for it.
                announcements.c.destination_id.not_in(unsettled),
            )
        )
        waiting = (
            select(func.min(_not_frozen(deliveries.c.retry_at)))
            .join(destinations, destinations.c.id == deliveries.c.destination_id)
            .where(deliveries.c.state.in_(("retry", "unknown")))
        )
        moments = [self._connection.scalar(queued), self._connection.scalar(waiting)]
        return min((moment for moment in moments if moment is not None), default=None)


def _not_frozen(at: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """A time, or the end of the destination's silence if that is later."""
    frozen = destinations.c.frozen_until
    return type_coerce(case((frozen > at, frozen), else_=at), Utc())


def _named(subject: str, detail: Mapping[str, Json], visible: Callable[[str], bool]) -> Iterable[str]:
    """The keys to name: of a condition that keys share, those the destination may read of.

    A key's own condition names its key. It was routed there with it, whatever the configuration says by now.
    """
    kind, _, name = subject.partition(":")
    if kind == "key":
        return (name,)
    return filter(visible, dict.fromkeys([*detail.get("keys", {}), *detail.get("recovered", [])]))
