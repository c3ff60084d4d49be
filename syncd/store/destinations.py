"""Where alerts go: what waits there, whether it takes anything, and how it is reached. Statements only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, case, func, insert, literal, literal_column, or_, select, update

from syncd.core.canon import dumps
from syncd.core.delivery import Queue
from syncd.core.routing import Announcement
from syncd.core.rules import CONDITIONS
from syncd.store import announcements as announced
from syncd.store.announcements import Told
from syncd.store.tables import announcements, changes, conditions, deliveries, destinations
from syncd.store.types import Utc

UNSETTLED: Final = ("sending", "retry", "unknown")
# As text, so that the partial index serves it.
_ON_ITS_WAY: Final = deliveries.c.state.in_([literal_column(f"'{state}'") for state in UNSETTLED])
BROKEN: Final = "destination.broken"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where alerts go: `spec` as the route names it, its scheme first. `broken` tells that it is out of order.

    `channel` is the sink's own name for it, once that is known.
    """

    id: int
    spec: str
    broken: bool = False
    channel: str | None = None

    @property
    def scheme(self) -> str:
        """Which kind of sink sends there."""
        return self.spec.partition(":")[0]

    @property
    def target(self) -> str:
        """What the sink needs to know of it."""
        return self.spec.partition(":")[2]


def waiting(connection: Connection, only: Destination | None = None) -> list[tuple[Destination, Queue]]:
    """Every destination at which something waits, or which is out of order, in the order of their first use."""
    queued, on_its_way = _queued().subquery(), _on_its_way().subquery()
    query = (
        select(
            destinations,
            queued.c.urgent_at,
            queued.c.other_at,
            queued.c.edit_at,
            queued.c.end_at,
            on_its_way.c.state,
            on_its_way.c.retry_at,
        )
        .outerjoin(queued, queued.c.destination_id == destinations.c.id)
        .outerjoin(on_its_way, on_its_way.c.destination_id == destinations.c.id)
        .where(
            or_(
                queued.c.destination_id.is_not(None),
                on_its_way.c.destination_id.is_not(None),
                destinations.c.broken_since.is_not(None),
            )
        )
        .order_by(destinations.c.id)
    )
    query = query if only is None else query.where(destinations.c.id == only.id)
    return [
        (
            Destination(row.id, row.spec, broken=row.broken_since is not None, channel=row.channel_id),
            Queue(
                row.frozen_until,
                row.last_sent_at,
                row.state,
                row.retry_at,
                row.urgent_at,
                row.other_at,
                row.edit_at,
                broken=row.broken_since is not None,
                end_at=row.end_at,
            ),
        )
        for row in connection.execute(query)
    ]


def _queued() -> Select[Any]:
    """When the first is due of what no delivery has taken.

    Urgent is what breaks requests, or may, and what is no change; that something works again, or still does not, can
    wait for more of it.
    """
    not_before = announcements.c.not_before
    edge = func.coalesce(announcements.c.edge, "")
    begins = edge.not_in((*_FOLLOWS, "changed"))
    urgent = and_(begins, or_(announcements.c.change_id.is_(None), _BREAKING, edge == "unconfirmed"))
    return (
        select(
            announcements.c.destination_id,
            func.min(case((urgent, not_before)), type_=Utc).label("urgent_at"),
            func.min(case((and_(begins, ~urgent), not_before)), type_=Utc).label("other_at"),
            func.min(case((edge.in_(_FOLLOWS), not_before)), type_=Utc).label("end_at"),
            func.min(case((edge == "changed", not_before)), type_=Utc).label("edit_at"),
        )
        .outerjoin(changes, changes.c.id == announcements.c.change_id)
        .where(announced.WAITING)
        .group_by(announcements.c.destination_id)
    )


# What follows what was told already.
_FOLLOWS: Final = ("closed", "back", "reminder")
_BREAKING: Final = changes.c.severity == "breaking"


def _on_its_way() -> Select[Any]:
    return select(deliveries.c.destination_id, deliveries.c.state, deliveries.c.retry_at).where(_ON_ITS_WAY)


def locate(connection: Connection, destination: Destination, channel: str | None) -> None:
    """Write down how the sink names it: a doubtful message is looked for where it was sent."""
    _update(connection, destination, {"channel_id": channel})


def freeze(connection: Connection, destination: Destination, until: datetime | None) -> None:
    """It gets nothing until then, or may be tried again."""
    _update(connection, destination, {"frozen_until": until})


def fail(
    connection: Connection,
    destination: Destination,
    why: Mapping[str, str],
    told: Sequence[Announcement],
    now: datetime,
) -> None:
    """It is out of order: a condition opens, unless one is open already."""
    since = func.coalesce(destinations.c.broken_since, literal(now, Utc()))
    _update(connection, destination, {"broken_since": since, "last_error": why["what"]})
    if _open_condition(connection, destination) is not None:
        return
    row = {
        "kind": BROKEN,
        "subject": f"destination:{destination.spec}",
        "severity": CONDITIONS[BROKEN],
        "opened_at": now,
        "detail": dumps({"destination": destination.spec, **why}),
    }
    opened = connection.execute(insert(conditions).values(**row).returning(conditions.c.id)).scalar_one()
    announced.write(connection, [Told(one, now, condition=opened, edge="opened") for one in told])


def mend(connection: Connection, destination: Destination, now: datetime, **more: datetime) -> None:
    """It works: its condition closes, and those who heard of its beginning hear of that."""
    _update(connection, destination, {"broken_since": None, "frozen_until": None, "last_error": None, **more})
    if destination.broken and (condition := _open_condition(connection, destination)) is not None:
        _close(connection, condition, now)
        announced.write(connection, announced.closings(connection, condition, now))


def leave(connection: Connection, destination: Destination, now: datetime) -> None:
    """Nobody is told anything there any more: that it is out of order is over, and no news."""
    _update(connection, destination, {"broken_since": None, "frozen_until": None, "last_error": None})
    if (condition := _open_condition(connection, destination)) is not None:
        _close(connection, condition, now)
        unsaid = announcements.c.condition_id == condition, announcements.c.state == "queued"
        connection.execute(update(announcements).where(*unsaid).values(state="dropped"))


def _close(connection: Connection, condition: int, now: datetime) -> None:
    """Never before it opened, even if the clock was set back."""
    opened = conditions.c.opened_at
    end = case((opened > now, opened), else_=literal(now, Utc()))
    connection.execute(update(conditions).where(conditions.c.id == condition).values(closed_at=end))


def _open_condition(connection: Connection, destination: Destination) -> int | None:
    query = select(conditions.c.id).where(
        conditions.c.kind == BROKEN,
        conditions.c.subject == f"destination:{destination.spec}",
        conditions.c.closed_at.is_(None),
    )
    found = connection.scalar(query)
    return None if found is None else int(found)


def _update(connection: Connection, destination: Destination, values: Mapping[str, Any]) -> None:
    connection.execute(update(destinations).where(destinations.c.id == destination.id).values(**values))
