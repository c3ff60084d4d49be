"""What the outbox reads and writes: the delivery in flight, what became of it, what it told.

A destination has at most one unsettled delivery; a unique index holds the rule. What waits is read in `store.due`, the
destinations' own state in `store.destinations`, what is muted in `store.silences`. Statements only; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, insert, or_, select, update

from syncd.core import message as messages
from syncd.core.audience import Audience
from syncd.core.compose import ChangeEdge, Due
from syncd.core.delivery import LONGEST_SILENCE, DeliveryState, Queue, Rung, Settlement
from syncd.core.message import Message
from syncd.core.routing import Announcement
from syncd.store import destinations as places
from syncd.store import due, notices
from syncd.store.alerts import ByHand
from syncd.store.announcements import WAITING
from syncd.store.destinations import UNSETTLED, Destination
from syncd.store.notices import Notice
from syncd.store.reminders import Reminders
from syncd.store.silences import Silences
from syncd.store.statements import chunks
from syncd.store.summaries import Summaries
from syncd.store.tables import announcements, api_keys, attempts, changes, conditions, deliveries, destinations

_DIED: Final = "syncd ended while sending"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way. `attempts` counts those begun; `state` is as it was when it was read.

    `may_have_arrived` tells that of one of its attempts nobody knows how it ended, `looks` how often it was then looked
    for in vain. `started` is of its last attempt. It answers the delivery `parent`, or edits it where `op` says so;
    `reference` is the sink's own name of that one.
    """

    id: str
    destination: Destination
    message: Message
    state: DeliveryState
    attempts: int
    started: datetime
    op: str = "post"
    may_have_arrived: bool = False
    looks: int = 0
    rung: Rung = "rich"
    parent: str | None = None
    reference: str | None = None
    error: str | None = None
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that a destination has: the delivery, and the sink's own name of it."""

    id: str
    reference: str


class OutboxTransaction:
    """A write transaction of the outbox."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- what syncd says of itself ---

    @property
    def silences(self) -> Silences:
        """What is not to be told for a while."""
        return Silences(self._connection)

    @property
    def summaries(self) -> Summaries:
        """What a summary counts."""
        return Summaries(self._connection)

    @property
    def reminders(self) -> Reminders:
        """That conditions last."""
        return Reminders(self._connection)

    @property
    def by_hand(self) -> ByHand:
        """What a person does to deliveries."""
        return ByHand(self._connection)

    def said(self, kind: str, subject: str) -> bool:
        """Whether a notice of this was written."""
        return notices.said(self._connection, kind, subject)

    def say(self, notice: Notice, now: datetime) -> None:
        """Have it said, if it was not yet."""
        notices.say(self._connection, notice, now)

    # --- what waits ---

    def waiting(self) -> list[tuple[Destination, Queue]]:
        """Every destination at which something waits."""
        return places.waiting(self._connection)

    def queue(self, destination: Destination) -> Queue:
        """What waits at one of them."""
        found = places.waiting(self._connection, destination)
        return found[0][1] if found else Queue()

    def due(self, destination: Destination, now: datetime, audience: Audience) -> list[Due]:
        """Everything to be told there now."""
        return due.due(self._connection, destination, now, audience)

    def revised(self, destination: Destination) -> dict[int, int]:
        """The conditions of which a message there is out of date: announcement -> condition."""
        return due.revised(self._connection, destination)

    def told_in(self, destination: Destination, delivery: str, audience: Audience) -> list[Due]:
        """What a delivery told, as it stands now."""
        return due.told_in(self._connection, destination, delivery, audience)

    def recover(self, when: Callable[[str, datetime], datetime], now: datetime) -> int:
        """At start: what a dead process was sending may have arrived; look for it at `when(spec, started)`.

        Where the sink's name for the destination was not known yet, nothing was sent: it is sent again.
        """
        query = (
            select(deliveries.c.id, deliveries.c.started_at, destinations.c.spec, destinations.c.channel_id)
            .join(destinations, destinations.c.id == deliveries.c.destination_id)
            .where(deliveries.c.state == "sending")
        )
        orphans = self._connection.execute(query).all()
        for row in orphans:
            state = "retry" if row.channel_id is None else "unknown"
            self._attempted(row.id, row.started_at, now, state, _DIED)
            at = now if row.channel_id is None else when(row.spec, row.started_at)
            left = {"state": state, "retry_at": at, "last_error": _DIED}
            self._connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**left))
        return len(orphans)

    def revive(self, now: datetime) -> None:
        """Destinations that are out of order are asked now whether they still are: a person may have mended them."""
        broken = destinations.c.broken_since.is_not(None)
        self._connection.execute(update(destinations).where(broken).values(frozen_until=None))
        theirs = deliveries.c.destination_id.in_(select(destinations.c.id).where(broken))
        waiting = update(deliveries).where(theirs, deliveries.c.state == "retry")
        self._connection.execute(waiting.values(retry_at=now))

    def clock_was_ahead(self, now: datetime) -> None:
        """What was written down by a clock that was set back since must not be waited for."""
        ahead = {"last_sent_at": now, "frozen_until": now + LONGEST_SILENCE}
        for name, most in ahead.items():
            column = destinations.c[name]
            self._connection.execute(update(destinations).where(column > most).values({name: now}))
        later = update(deliveries).where(
            deliveries.c.state.in_(UNSETTLED), deliveries.c.retry_at > now + LONGEST_SILENCE
        )
        self._connection.execute(later.values(retry_at=now))
        queued = update(announcements).where(WAITING, announcements.c.created_at > now)
        self._connection.execute(queued.values(not_before=now, created_at=now))
        self.reminders.clock_was_ahead(now)

    def hurry(self, now: datetime) -> None:
        """Every delivery that waits for another try is due now."""
        later = update(deliveries).where(deliveries.c.state == "retry", deliveries.c.retry_at > now)
        self._connection.execute(later.values(retry_at=now))

    # --- a delivery ---

    def unsettled(self, destination: Destination) -> Delivery | None:
        """The delivery that is on its way to the destination, if any."""
        doubtful = select(attempts.c.id).where(
            attempts.c.delivery_id == deliveries.c.id, attempts.c.outcome == "unknown"
        )
        parents = deliveries.alias("parents")
        query = (
            select(deliveries, doubtful.exists().label("doubtful"), parents.c.slack_ts.label("reference"))
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
            started=row.started_at or row.created_at,
            op=row.op,
            may_have_arrived=bool(row.doubtful),
            looks=row.looks,
            rung=row.rung,
            parent=row.parent_id,
            reference=row.reference,
            error=row.last_error,
            changes=row.change_count,
        )

    def open(self, delivery: Delivery, told: Iterable[int], now: datetime) -> None:
        """Write a new delivery, and the announcements with it. Commit before touching a socket."""
        row = {
            "id": delivery.id,
            "destination_id": delivery.destination.id,
            "op": delivery.op,
            "parent_id": delivery.parent,
            "kind": delivery.message.kind,
            "severity": delivery.message.severity,
            "change_count": delivery.changes,
            "message": messages.encode(delivery.message),
            "state": delivery.state,
            "created_at": now,
            "started_at": now if delivery.state == "sending" else None,
            "retry_at": None if delivery.state == "sending" else now,
            "attempts": delivery.attempts,
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

    def drop_outdated(self, destination: Destination) -> None:
        """What waits there and no longer holds.

        That a model may be gone, once that is settled; that it is back, where nobody was told that it may be gone; that
        a condition lasts, once it has ended.
        """
        doubts = announcements.alias("doubts")
        told = select(doubts.c.id).where(
            doubts.c.change_id == announcements.c.change_id,
            doubts.c.destination_id == announcements.c.destination_id,
            doubts.c.edge == "unconfirmed",
            doubts.c.state != "dropped",
        )
        settled = select(changes.c.id).where(changes.c.id == announcements.c.change_id, changes.c.state != "held")
        ended = select(conditions.c.id).where(
            conditions.c.id == announcements.c.condition_id, conditions.c.closed_at.is_not(None)
        )
        outdated = or_(
            and_(announcements.c.edge == "unconfirmed", settled.exists()),
            and_(announcements.c.edge == "back", ~told.exists()),
            and_(announcements.c.edge == "reminder", ended.exists()),
        )
        here = announcements.c.destination_id == destination.id, WAITING, outdated
        self._connection.execute(update(announcements).where(*here).values(state="dropped"))

    def drop(self, told: Iterable[int]) -> None:
        """Announcements that there is no message for."""
        for part in chunks(told):
            gone = update(announcements).where(announcements.c.id.in_(part)).values(state="dropped")
            self._connection.execute(gone)

    def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        started: datetime,
        now: datetime,
        bystanders: Sequence[Announcement] = (),
    ) -> bool:
        """Write what became of an attempt, and of the announcements with it. False if somebody else has."""
        if not self._move(delivery, "sending", settlement, now):
            return False
        self._attempted(delivery.id, started, now, settlement.state, settlement.error)
        return self._stop(delivery, settlement, now, bystanders)

    def settle_look(
        self, delivery: Delivery, settlement: Settlement, now: datetime, bystanders: Sequence[Announcement] = ()
    ) -> bool:
        """Write what looking for a doubtful message has shown. False if somebody else has."""
        return self._move(delivery, "unknown", settlement, now) and self._stop(delivery, settlement, now, bystanders)

    def _stop(
        self, delivery: Delivery, settlement: Settlement, now: datetime, bystanders: Sequence[Announcement]
    ) -> bool:
        """Send nothing there for a while, where it asked for that or is out of order."""
        if settlement.frozen_until is not None:
            places.freeze(self._connection, delivery.destination, settlement.frozen_until)
        if settlement.unusable:
            why = {"what": settlement.error or "", "hint": settlement.hint}
            places.fail(self._connection, delivery.destination, why, bystanders, now)
        return True

    def _attempted(self, delivery: str, started: datetime, ended: datetime, outcome: str, error: str | None) -> None:
        row = {
            "delivery_id": delivery,
            "started_at": started,
            "ended_at": ended,
            "outcome": outcome,
            "error": error,
        }
        self._connection.execute(insert(attempts).values(**row))

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
            values |= {"parent_id": None, "op": "post"}
        moved = update(deliveries).where(deliveries.c.id == delivery.id, deliveries.c.state == state).values(**values)
        if self._connection.execute(moved).rowcount != 1:
            return False
        if (final := {"sent": "sent", "dead": "dropped"}.get(settlement.state)) is not None:
            told = update(announcements).where(announcements.c.delivery_id == delivery.id)
            self._connection.execute(told.values(state=final))
        if settlement.state == "sent":
            self._sent(delivery, now)
        return True

    def _sent(self, delivery: Delivery, now: datetime) -> None:
        """It works; and what comes next keeps its distance."""
        places.mend(self._connection, delivery.destination, now, last_sent_at=now)

    # --- the destination ---

    def locate(self, destination: Destination, channel: str | None) -> None:
        """Write down the sink's own name for it."""
        places.locate(self._connection, destination, channel)

    def probed(
        self,
        destination: Destination,
        why: Mapping[str, str] | None,
        until: datetime,
        now: datetime,
        bystanders: Sequence[Announcement] = (),
    ) -> None:
        """Write what asking a destination that was out of order has shown: what still is, or nothing."""
        if why is None:
            places.freeze(self._connection, destination, None)
        else:
            places.freeze(self._connection, destination, until)
            places.fail(self._connection, destination, why, bystanders, now)

    def works(self, destination: Destination, now: datetime) -> None:
        """It is no longer out of order."""
        places.mend(self._connection, destination, now)

    def leave(self, destination: Destination, now: datetime) -> None:
        """No route leads there any more, and nothing waits."""
        places.leave(self._connection, destination, now)

    # --- what was told there, and can be answered ---

    def opening(self, condition: int, destination: Destination) -> Arrived | None:
        """The message that told the destination of a condition's opening."""
        query = _arrived(destination, announcements.c.condition_id).where(
            announcements.c.condition_id == condition, announcements.c.edge == "opened"
        )
        return self._last(query).get(condition)

    def told(
        self, changes: Iterable[int], destination: Destination, edge: ChangeEdge | None = None
    ) -> dict[int, Arrived]:
        """By change, the message that told the destination of it, or of that edge of it."""
        found: dict[int, Arrived] = {}
        for part in chunks(changes):
            of_changes = _arrived(destination, announcements.c.change_id).where(
                announcements.c.change_id.in_(part), announcements.c.edge.is_not_distinct_from(edge)
            )
            found |= self._last(of_changes)
        return found

    def removals(self, slugs: Iterable[str], destination: Destination) -> dict[tuple[str, str], Arrived]:
        """By key and slug, the last message that told the destination of a model's removal."""
        found: dict[tuple[str, str], Arrived] = {}
        for part in chunks(slugs):
            of_removals = (
                _arrived(destination, api_keys.c.name, changes.c.slug)
                .join(changes, changes.c.id == announcements.c.change_id)
                .join(api_keys, api_keys.c.id == changes.c.key_id)
                .where(changes.c.slug.in_(part), changes.c.kind == "model.removed", announcements.c.edge.is_(None))
                .order_by(changes.c.id)
            )
            rows = self._connection.execute(of_removals)
            found.update({(row.name, row.slug): Arrived(row.id, row.reference) for row in rows})
        return found

    def _last(self, query: Select[Any]) -> dict[int, Arrived]:
        rows = self._connection.execute(query.order_by(announcements.c.id))
        return {row[0]: Arrived(row.id, row.reference) for row in rows}


def _arrived(destination: Destination, *columns: ColumnElement[Any]) -> Select[Any]:
    """The messages that were sent there and that the sink has a name for.

    Of one that is an answer itself it is the message it answers: sinks know threads, and no threads within them.
    """
    parents = deliveries.alias("parents")
    threaded = and_(deliveries.c.op == "post", parents.c.slack_ts.is_not(None))
    return (
        select(
            *columns,
            case((threaded, parents.c.id), else_=deliveries.c.id).label("id"),
            case((threaded, parents.c.slack_ts), else_=deliveries.c.slack_ts).label("reference"),
        )
        .select_from(announcements)
        .join(deliveries, deliveries.c.id == announcements.c.delivery_id)
        .outerjoin(parents, parents.c.id == deliveries.c.parent_id)
        .where(
            announcements.c.destination_id == destination.id,
            deliveries.c.state == "sent",
            deliveries.c.slack_ts.is_not(None),
        )
    )
