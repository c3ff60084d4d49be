"""The outbox as a person looks after it: what was composed, what waits and why, and what is done to it by hand.

Reading is on a connection that cannot write. Writing is in a transaction of the outbox; what may be done to a delivery
is decided in `core.by_hand`. Statements only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, column, func, literal_column, or_, select, table, update

from syncd.core.by_hand import DROPPED, REQUEUED, Drop, Handled, Requeue
from syncd.store import queries
from syncd.store.destinations import BROKEN, UNSETTLED, Destination
from syncd.store.queries import Cell, Rows, cell
from syncd.store.tables import announcements, conditions, deliveries, destinations, notices
from syncd.store.types import Utc

# The view: the columns by which it is searched.
_LOG: Final = table("alert_log", column("delivery_id"), column("created_at", Utc), column("channel"), column("state"))

_QUEUED: Final = and_(announcements.c.state == "queued", announcements.c.delivery_id.is_(None))


# --- looking ---------------------------------------------------------------------------------------------------------


def log(
    connection: Connection,
    *,
    state: str | None = None,
    among: Sequence[str] | None = None,
    since: datetime | None = None,
    limit: int,
) -> Rows:
    """What was composed, the newest first: only of this state, for one of these destinations, composed since then."""
    query: Select[Any] = (
        select(literal_column("*")).select_from(_LOG).order_by(_LOG.c.created_at.desc(), _LOG.c.delivery_id.desc())
    )
    if state is not None:
        query = query.where(_LOG.c.state == state)
    if among is not None:
        query = query.where(_LOG.c.channel.in_(among))
    if since is not None:
        query = query.where(_LOG.c.created_at >= since)
    result = connection.execute(query.limit(limit))
    return Rows(tuple(result.keys()), [tuple(map(cell, row)) for row in result])


def specs(connection: Connection) -> list[str]:
    """Every destination that was ever to be told something."""
    return list(connection.scalars(select(destinations.c.spec).order_by(destinations.c.spec)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one route has queued for one destination and no delivery has taken: how many, since when, due when first.

    `ahead` is the delivery that is on its way there, with its state and its next try. The rest is of the destination.
    """

    destination: str
    route: str
    announcements: int
    oldest: datetime
    due: datetime
    ahead: str | None
    ahead_state: str | None
    ahead_at: datetime | None
    frozen_until: datetime | None
    broken_since: datetime | None
    error: str | None


def waiting(connection: Connection) -> list[Waiting]:
    """Everything that waits to be composed, by destination and route."""
    groups = _groups().subquery()
    ahead = deliveries.alias("ahead")
    query = (
        select(
            destinations.c.spec,
            groups.c.route,
            groups.c.announcements,
            groups.c.oldest,
            groups.c.due,
            ahead.c.id,
            ahead.c.state,
            ahead.c.retry_at,
            destinations.c.frozen_until,
            destinations.c.broken_since,
            destinations.c.last_error,
        )
        .join(groups, groups.c.destination_id == destinations.c.id)
        .outerjoin(ahead, and_(ahead.c.destination_id == destinations.c.id, ahead.c.state.in_(UNSETTLED)))
        .order_by(destinations.c.spec, groups.c.route)
    )
    return [Waiting(*row) for row in connection.execute(query)]


def _groups() -> Select[Any]:
    return (
        select(
            announcements.c.destination_id,
            announcements.c.route,
            func.count().label("announcements"),
            func.min(announcements.c.created_at, type_=Utc).label("oldest"),
            func.min(announcements.c.not_before, type_=Utc).label("due"),
        )
        .where(_QUEUED)
        .group_by(announcements.c.destination_id, announcements.c.route)
    )


def beginning_with(connection: Connection, start: str, most: int) -> list[str]:
    """The ids that begin so, the newest first."""
    query = select(deliveries.c.id).where(func.substr(deliveries.c.id, 1, len(start)) == start)
    return list(connection.scalars(query.order_by(deliveries.c.created_at.desc(), deliveries.c.id).limit(most)))


def delivery(connection: Connection, identity: str) -> dict[str, Cell]:
    """One delivery: what the view shows of it, and how it is sent. It is there."""
    query = """
        SELECT a.*, d.op, d.parent_id, d.started_at, d.retry_at, d.rung, d.looks, d.message
        FROM alert_log a JOIN deliveries d ON d.id = a.delivery_id WHERE a.delivery_id = :id
    """
    return queries.select(connection, query, id=identity).dicts()[0]


def attempts(connection: Connection, identity: str) -> Rows:
    """How often it was tried, and what came of it."""
    query = "SELECT started_at, ended_at, outcome, error FROM attempts WHERE delivery_id = :id ORDER BY id"
    return queries.select(connection, query, id=identity)


def children(connection: Connection, identity: str) -> Rows:
    """What answered or edited it."""
    query = """
        SELECT a.delivery_id, a.created_at, d.op, a.state, a.last_error
        FROM alert_log a JOIN deliveries d ON d.id = a.delivery_id
        WHERE d.parent_id = :id ORDER BY a.created_at, a.delivery_id
    """
    return queries.select(connection, query, id=identity)


def told(connection: Connection, identity: str) -> Rows:
    """The changes, conditions and notices that it told, or was to tell."""
    query = """
        SELECT 'change' AS what, c.change_id AS id, c.kind, c.key_name AS about, c.detected_at AS at, c.summary
        FROM announcements a JOIN change_log c ON c.change_id = a.change_id WHERE a.delivery_id = :id
        UNION ALL
        SELECT 'condition', o.id, o.kind, o.subject, CASE WHEN a.edge = 'closed' THEN o.closed_at ELSE o.opened_at END,
            a.edge
        FROM announcements a JOIN conditions o ON o.id = a.condition_id WHERE a.delivery_id = :id
        UNION ALL
        SELECT 'notice', n.id, n.kind, NULL, n.created_at, NULL
        FROM announcements a JOIN notices n ON n.id = a.notice_id WHERE a.delivery_id = :id
        ORDER BY 1, 2
    """
    return queries.select(connection, query, id=identity)


# --- a test ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """What has become of a test at one destination.

    `state` is its announcement's, `delivery` has taken it. `what` and `hint` say what is out of order there.
    """

    destination: str
    state: str
    delivery: str | None
    delivery_state: str | None
    reference: str | None
    changes: int
    error: str | None
    retry_at: datetime | None
    ahead: str | None
    ahead_at: datetime | None
    ahead_error: str | None
    frozen_until: datetime | None
    broken: bool
    detail: str | None


def trials(connection: Connection, subjects: Sequence[str]) -> list[Trial]:
    """What has become of the tests with these subjects."""
    ahead = deliveries.alias("ahead")
    broken = and_(
        conditions.c.kind == BROKEN,
        conditions.c.subject == "destination:" + destinations.c.spec,
        conditions.c.closed_at.is_(None),
    )
    query: Select[Any] = (
        select(
            destinations.c.spec,
            announcements.c.state,
            deliveries.c.id,
            deliveries.c.state,
            deliveries.c.slack_ts,
            func.coalesce(deliveries.c.change_count, 0),
            deliveries.c.last_error,
            deliveries.c.retry_at,
            ahead.c.id,
            ahead.c.retry_at,
            ahead.c.last_error,
            destinations.c.frozen_until,
            destinations.c.broken_since.is_not(None),
            conditions.c.detail,
        )
        .select_from(announcements)
        .join(notices, notices.c.id == announcements.c.notice_id)
        .join(destinations, destinations.c.id == announcements.c.destination_id)
        .outerjoin(deliveries, deliveries.c.id == announcements.c.delivery_id)
        .outerjoin(ahead, and_(ahead.c.destination_id == destinations.c.id, ahead.c.state.in_(UNSETTLED)))
        .outerjoin(conditions, broken)
        .where(notices.c.kind == "test", notices.c.subject.in_(subjects))
        .order_by(announcements.c.id)
    )
    return [Trial(*row) for row in connection.execute(query)]


# --- by hand ---------------------------------------------------------------------------------------------------------


class ByHand:
    """What a person does to the outbox, within one of its transactions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def handled(self, identity: str) -> Handled:
        """The delivery, which is there and which nobody else moves until the transaction ends."""
        query = (
            select(deliveries, destinations.c.spec, destinations.c.frozen_until, destinations.c.broken_since)
            .join(destinations, destinations.c.id == deliveries.c.destination_id)
            .where(deliveries.c.id == identity)
            .with_for_update(of=deliveries)
        )
        row = self._connection.execute(query).one()
        return Handled(
            id=identity,
            destination=row.spec,
            state=row.state,
            op=row.op,
            parent=row.parent_id,
            told=self._count_told(identity),
            error=row.last_error,
            retry_at=row.retry_at,
            sent_at=row.sent_at,
            busy=self._busy(identity, row.destination_id),
            frozen_until=row.frozen_until,
            broken=row.broken_since is not None,
        )

    def dead(self) -> list[str]:
        """The dead deliveries that no person has seen to, the oldest first."""
        error = func.coalesce(deliveries.c.last_error, "")
        seen_to = or_(error.startswith(REQUEUED), error.startswith(DROPPED))
        query = select(deliveries.c.id).where(deliveries.c.state == "dead", ~seen_to)
        return list(self._connection.scalars(query.order_by(deliveries.c.created_at, deliveries.c.id)))

    def requeue(self, one: Handled, decided: Requeue, now: datetime) -> None:
        """Its announcements wait again; it stays dead and says so."""
        mine = update(announcements).where(announcements.c.delivery_id == one.id, announcements.c.state == "dropped")
        self._connection.execute(mine.values(state="queued", delivery_id=None))
        self._move(one, last_error=decided.error)
        self.ask_now([one.destination], now)

    def send_again(self, one: Handled, now: datetime) -> None:
        """It is on its way again, in its best form: what refused that may have been mended."""
        self._move(one, state="retry", retry_at=now, rung="rich")
        self.ask_now([one.destination], now)

    def hasten(self, one: Handled, now: datetime) -> None:
        """It is due now."""
        self.ask_now([one.destination], now)

    def drop(self, one: Handled, decided: Drop) -> None:
        """It is dead, and what it was to tell is dropped. The changes themselves stay in the history."""
        self._move(one, state="dead", retry_at=None, last_error=decided.error)
        mine = update(announcements).where(announcements.c.delivery_id == one.id)
        self._connection.execute(mine.values(state="dropped"))

    def destination(self, spec: str) -> Destination | None:
        """The destination, if anything was ever to be told there."""
        row = self._connection.execute(select(destinations).where(destinations.c.spec == spec)).one_or_none()
        return None if row is None else Destination(row.id, row.spec, broken=row.broken_since is not None)

    def ask_now(self, specs: Sequence[str], now: datetime) -> None:
        """At these destinations, what waits for another try is tried now, out of order or not."""
        these = destinations.c.spec.in_(specs)
        broken = update(destinations).where(these, destinations.c.broken_since.is_not(None))
        self._connection.execute(broken.values(frozen_until=None))
        ids = select(destinations.c.id).where(these)
        later = update(deliveries).where(
            deliveries.c.destination_id.in_(ids), deliveries.c.state == "retry", deliveries.c.retry_at > now
        )
        self._connection.execute(later.values(retry_at=now))

    def withdraw(self, subjects: Sequence[str]) -> None:
        """Tests that no delivery has taken are told to nobody."""
        ids = select(notices.c.id).where(notices.c.kind == "test", notices.c.subject.in_(subjects))
        mine = update(announcements).where(announcements.c.notice_id.in_(ids), _QUEUED)
        self._connection.execute(mine.values(state="dropped"))

    def _count_told(self, identity: str) -> int:
        query = select(func.count()).select_from(announcements).where(announcements.c.delivery_id == identity)
        return self._connection.scalar(query) or 0

    def _busy(self, identity: str, destination: int) -> str | None:
        """The other delivery that is on its way there."""
        query = select(deliveries.c.id).where(
            deliveries.c.destination_id == destination, deliveries.c.state.in_(UNSETTLED), deliveries.c.id != identity
        )
        return self._connection.scalar(query)

    def _move(self, one: Handled, **values: object) -> None:
        self._connection.execute(update(deliveries).where(deliveries.c.id == one.id).values(**values))
