"""That a condition lasts, told again and again to those who heard of its beginning. Statements only.

open for so long since it began or was last told ──> told again now, however often that was missed
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select, update

from syncd.core.routing import Announcement
from syncd.store import announcements as announced
from syncd.store.announcements import Told
from syncd.store.statements import chunks
from syncd.store.tables import announcements, conditions, destinations
from syncd.store.types import Utc

# Since when nobody was told of it.
_since: Final[ColumnElement[datetime]] = func.coalesce(conditions.c.reminded_at, conditions.c.opened_at, type_=Utc)


class Reminders:
    """The reminders, within a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def queue(self, every: timedelta, now: datetime) -> None:
        """Have those told again who were told that a condition opened, if it has been open for so long since."""
        # In the order in which polls lock them: on PostgreSQL each would wait for the other.
        lasting = (
            select(conditions.c.id)
            .where(conditions.c.closed_at.is_(None), _since <= now - every)
            .order_by(conditions.c.id)
            .with_for_update()
        )
        told: list[Told] = []
        for part in chunks(self._connection.scalars(lasting)):
            self._connection.execute(update(conditions).where(conditions.c.id.in_(part)).values(reminded_at=now))
            told += self._of(part, now)
        announced.write(self._connection, told)

    def _of(self, lasting: Sequence[int], now: datetime) -> list[Told]:
        """Not where the beginning is muted, dropped or waits, nor where the last reminder is on its way."""
        waits = announcements.alias("waits")
        on_its_way = select(waits.c.id).where(
            waits.c.condition_id == announcements.c.condition_id,
            waits.c.destination_id == announcements.c.destination_id,
            waits.c.edge == "reminder",
            waits.c.state == "queued",
        )
        query = (
            select(announcements.c.condition_id, announcements.c.route, destinations.c.spec)
            .join(destinations, destinations.c.id == announcements.c.destination_id)
            .where(
                announcements.c.condition_id.in_(lasting),
                announcements.c.edge == "opened",
                announcements.c.state == "sent",
                ~on_its_way.exists(),
            )
            .order_by(announcements.c.id)
        )
        return [
            Told(Announcement(row.spec, row.route, now), now, condition=row.condition_id, edge="reminder")
            for row in self._connection.execute(query)
        ]

    def clock_was_ahead(self, now: datetime) -> None:
        """A time that is ahead of the clock would be waited for."""
        ahead = update(conditions).where(conditions.c.closed_at.is_(None), _since > now)
        self._connection.execute(ahead.values(reminded_at=now))
