"""Who is told of what: announcements as rows, the destinations they go to, and what a destination was told before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, Update, and_, func, literal_column, select, update

from syncd.core import credits
from syncd.core.canon import decode
from syncd.core.credits import Band
from syncd.core.routing import Announcement, AnnouncementState
from syncd.store.statements import chunks, insert_if_new
from syncd.store.tables import announcements, changes, destinations

# Written and kept from the destination: too small a step, muted, or dropped. What it was told last is what it knows.
_UNTOLD: Final = ("below_threshold", "silenced", "dropped")


# Queued, and taken by no delivery. The state stands in it as text, so that the partial index serves it.
WAITING: Final = and_(announcements.c.state == literal_column("'queued'"), announcements.c.delivery_id.is_(None))


@dataclass(frozen=True, slots=True)
class Told:
    """An announcement with what it announces: a change, or an edge of a condition or of a held removal."""

    announcement: Announcement
    at: datetime
    change: int | None = None
    condition: int | None = None
    edge: str | None = None
    notice: int | None = None


def write(connection: Connection, told: Sequence[Told]) -> None:
    """Queue them, each for its destination. What was announced there before is not announced again."""
    ids = _destination_ids(connection, {one.announcement.destination for one in told})
    rows = [_row(one, ids[one.announcement.destination]) for one in told]
    if rows:
        connection.execute(insert_if_new(connection, announcements), rows)
    for row in rows:
        if row["edge"] in _AS_OFTEN:
            connection.execute(_again(row))


# That a condition has changed, or lasts, is told as often as it does.
_AS_OFTEN: Final = ("changed", "reminder")


def _again(row: Mapping[str, Any]) -> Update:
    """The same announcement once more."""
    same = [announcements.c[name] == row[name] for name in ("condition_id", "edge", "destination_id")]
    anew = {"state": "queued", "delivery_id": None, "silence_id": None}
    since = {name: row[name] for name in ("created_at", "not_before")}
    return update(announcements).where(*same).values(**anew, **since)


def closings(connection: Connection, condition: int, now: datetime) -> list[Told]:
    """The end of a condition, for those who heard of its beginning.

    Where the beginning waits to be told, there is nothing to tell any more: it is dropped with its end.
    """
    untold = announcements.c.condition_id == condition, WAITING
    connection.execute(update(announcements).where(*untold).values(state="dropped"))
    heard = connection.execute(_openings([condition]).where(announcements.c.state != "dropped")).all()
    return [
        Told(Announcement(row.spec, row.route, now), now, condition=condition, edge=edge)
        for row in heard
        for edge in ("closed", "changed")
    ]


def settle(connection: Connection, held: Iterable[int]) -> set[tuple[int, str]]:
    """What a removal was held for is known: that it is unconfirmed is told nobody any more.

    Returns who has not heard it, and now never will: the change, the destination.
    """
    unheard: set[tuple[int, str]] = set()
    for part in chunks(held):
        waiting = announcements.c.change_id.in_(part), announcements.c.edge == "unconfirmed", WAITING
        query = select(announcements.c.change_id, destinations.c.spec).join(
            destinations, destinations.c.id == announcements.c.destination_id
        )
        unheard.update((row.change_id, row.spec) for row in connection.execute(query.where(*waiting)))
        connection.execute(update(announcements).where(*waiting).values(state="dropped"))
    return unheard


def _row(one: Told, destination: int) -> dict[str, Any]:
    return {
        "change_id": one.change,
        "condition_id": one.condition,
        "edge": one.edge,
        "notice_id": one.notice,
        "destination_id": destination,
        "route": one.announcement.route,
        "created_at": one.at,
        "not_before": one.announcement.not_before,
        "state": one.announcement.state,
    }


def _destination_ids(connection: Connection, specs: Iterable[str]) -> dict[str, int]:
    """The destinations' ids; each is written down the first time something is to go there."""
    wanted = sorted(specs)  # in one order: on PostgreSQL two keys that write the same ones wait for each other
    known = _known_destinations(connection, wanted)
    if new := [{"spec": spec} for spec in wanted if spec not in known]:
        connection.execute(insert_if_new(connection, destinations), new)
        known = _known_destinations(connection, wanted)
    return known


def _known_destinations(connection: Connection, specs: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in chunks(specs):
        query = select(destinations.c.spec, destinations.c.id).where(destinations.c.spec.in_(part))
        found.update({row.spec: row.id for row in connection.execute(query)})
    return found


def of_openings(connection: Connection, conditions: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
    """Of each condition, where its opening was announced, and under which route."""
    found: dict[int, list[tuple[str, str]]] = {}
    for part in chunks(conditions):
        for row in connection.execute(_openings(part)):
            found.setdefault(row.condition_id, []).append((row.spec, row.route))
    return found


def of_changes(connection: Connection, of: Iterable[int]) -> dict[int, list[Announcement]]:
    """Of each change, who was told of it, or was not because of a threshold. What was muted or dropped is left out."""
    found: dict[int, list[Announcement]] = {}
    for part in chunks(of):
        for row in connection.execute(_of_changes(part).where(announcements.c.edge.is_(None))):
            state: AnnouncementState = "below_threshold" if row.state == "below_threshold" else "queued"
            told = Announcement(row.spec, row.route, row.not_before, state)
            found.setdefault(row.change_id, []).append(told)
    return found


def told_of(connection: Connection, change: int) -> tuple[tuple[str, str], ...]:
    """Who was told of the change, and under which route."""
    return heard(of_changes(connection, [change]).get(change, ()))


def heard(told: Iterable[Announcement]) -> tuple[tuple[str, str], ...]:
    """Where it was told, or is to be, and under which route."""
    return tuple((one.destination, one.route) for one in told if one.state == "queued")


def of_unconfirmed(connection: Connection, of: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
    """Of each held removal, where it is to be told as unconfirmed, and under which route."""
    found: dict[int, list[tuple[str, str]]] = {}
    for part in chunks(of):
        for row in connection.execute(_of_changes(part).where(announcements.c.edge == "unconfirmed")):
            found.setdefault(row.change_id, []).append((row.spec, row.route))
    return found


def _of_changes(of: Sequence[int]) -> Select[Any]:
    told = announcements.c
    return (
        select(told.change_id, destinations.c.spec, told.route, told.not_before, told.state)
        .join(destinations, destinations.c.id == told.destination_id)
        .where(told.change_id.in_(of), told.state.not_in(("silenced", "dropped")))
        .order_by(told.id)
    )


def removal_told(connection: Connection, key: int, slugs: Iterable[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Of each of these models, who heard last that it was removed, and under which route."""
    last: dict[int, str] = {}
    for part in chunks(sorted(slugs)):
        removals = (
            select(changes.c.slug, func.max(changes.c.id).label("last"))
            .where(
                changes.c.key_id == key,
                changes.c.slug.in_(part),
                changes.c.kind == "model.removed",
                changes.c.state.in_(("announced", "recorded")),
            )
            .group_by(changes.c.slug)
        )
        last.update({row.last: row.slug for row in connection.execute(removals)})
    return {last[change]: heard(told) for change, told in of_changes(connection, last).items()}


def _openings(conditions: Sequence[int]) -> Select[Any]:
    return (
        select(announcements.c.condition_id, destinations.c.spec, announcements.c.route)
        .join(destinations, destinations.c.id == announcements.c.destination_id)
        .where(announcements.c.condition_id.in_(conditions), announcements.c.edge == "opened")
        .order_by(announcements.c.id)
    )


def told_band(connection: Connection, key: int, slug: str, destination: str) -> Band | None:
    """The band this destination knows: the last one told, else the one before the first step it was not told of."""
    of_price = _of_price(key, slug, destination)
    told = of_price.where(announcements.c.state.not_in(_UNTOLD)).order_by(changes.c.id.desc()).limit(1)
    if (row := connection.execute(told).one_or_none()) is not None:
        return _band(row.new)
    untold = connection.execute(of_price.order_by(changes.c.id).limit(1)).one_or_none()
    return None if untold is None else _band(untold.old)


def has_untold(connection: Connection, destination: str) -> bool:
    """Whether a step of any price was too small to be told there, or was muted."""
    query = (
        select(announcements.c.id)
        .join(destinations, destinations.c.id == announcements.c.destination_id)
        .where(destinations.c.spec == destination, announcements.c.state.in_(_UNTOLD))
    )
    return connection.scalar(query.limit(1)) is not None


def first_untold(connection: Connection, key: int, slug: str, destination: str, change: int) -> str | None:
    """The price before the steps that were not told there before this change; None if there were none."""
    earlier = _of_price(key, slug, destination).where(changes.c.id < change)
    told = earlier.where(announcements.c.state.not_in(_UNTOLD)).with_only_columns(func.max(changes.c.id))
    since = connection.scalar(told) or 0
    untold = earlier.where(announcements.c.state.in_(_UNTOLD), changes.c.id > since)
    row = connection.execute(untold.order_by(changes.c.id).limit(1)).one_or_none()
    return None if row is None or row.old is None else str(row.old)


def _of_price(key: int, slug: str, destination: str) -> Select[Any]:
    return (
        select(changes.c.new, changes.c.old)
        .join(announcements, announcements.c.change_id == changes.c.id)
        .join(destinations, destinations.c.id == announcements.c.destination_id)
        .where(
            changes.c.key_id == key,
            changes.c.slug == slug,
            changes.c.kind.startswith("credits.band."),
            destinations.c.spec == destination,
        )
    )


def _band(text: str | None) -> Band:
    return credits.read_band(None if text is None else decode(text).value)
