"""Silences as rows, and what they have muted. Statements only; decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from syncd.core.audience import Audience
from syncd.core.compose import ConditionDue, Due
from syncd.core.silence import Silence, matchers, silence_of
from syncd.store import due
from syncd.store.announcements import WAITING
from syncd.store.destinations import Destination
from syncd.store.due import MUTED
from syncd.store.queries import Rows, cell
from syncd.store.statements import chunks, inserted
from syncd.store.tables import announcements, api_keys, destinations, silences


class Silences:
    """The silences, within a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- for those who set them ---

    def add(self, silence: Silence, now: datetime) -> int:
        """Write down a new one, whatever its `id`; the id it has from now on."""
        row = {
            "matchers": json.dumps(matchers(silence)),
            "created_at": now,
            "until": silence.until,
            "author": silence.author,
            "comment": silence.comment,
        }
        return inserted(self._connection, silences, row)

    def find(self, silence: int) -> Silence | None:
        """The one with this id."""
        row = self._connection.execute(select(silences).where(silences.c.id == silence)).one_or_none()
        return None if row is None else _silence(row)

    def expire(self, silence: int, now: datetime) -> bool:
        """End it now; False if it had ended."""
        lasting = update(silences).where(silences.c.id == silence, silences.c.until > now)
        return self._connection.execute(lasting.values(until=now)).rowcount == 1

    # --- for the outbox ---

    def active(self, now: datetime) -> list[Silence]:
        """Those that have not ended."""
        query = select(silences).where(silences.c.until > now).order_by(silences.c.id)
        return [_silence(row) for row in self._connection.execute(query)]

    def mute(self, muted: Mapping[int, int]) -> None:
        """These announcements are not told: announcement -> silence."""
        by_silence: dict[int, list[int]] = {}
        for announcement, silence in muted.items():
            by_silence.setdefault(silence, []).append(announcement)
        for silence, ones in by_silence.items():
            for part in chunks(ones):
                queued = update(announcements).where(announcements.c.id.in_(part), announcements.c.state == "queued")
                self._connection.execute(queued.values(state="silenced", silence_id=silence))

    def beginnings(self, destination: Destination, audience: Audience) -> list[tuple[ConditionDue, Silence]]:
        """The beginnings that were muted there, of conditions that have changed since, with what muted each."""
        found = {one.announcement: one for one in due.muted_beginnings(self._connection, destination, audience)}
        by: list[tuple[ConditionDue, Silence]] = []
        for part in chunks(found):
            query = select(silences, announcements.c.id.label("announcement")).join(
                announcements, announcements.c.silence_id == silences.c.id
            )
            rows = self._connection.execute(query.where(announcements.c.id.in_(part)))
            by += [(found[row.announcement], _silence(row)) for row in rows]
        return by

    def unmute(self, destination: Destination, beginning: ConditionDue, now: datetime) -> None:
        """It is to be told after all, with all that has changed since."""
        told = update(announcements).where(announcements.c.id == beginning.announcement)
        self._connection.execute(told.values(state="queued", silence_id=None, not_before=now))
        changed = update(announcements).where(
            announcements.c.condition_id == beginning.condition,
            announcements.c.destination_id == destination.id,
            announcements.c.edge == "changed",
        )
        self._connection.execute(changed.values(state="dropped"))

    def mute_rest(self, destination: Destination) -> None:
        """What follows is not told where the beginning was muted: of a condition, and of a model that may be gone."""
        beginning = announcements.alias("beginning")
        for first, rest in (("opened", ("reminder", "closed", "changed")), ("unconfirmed", ("back",))):
            about = announcements.c.condition_id if first == "opened" else announcements.c.change_id
            by = (
                select(beginning.c.silence_id)
                .where(
                    beginning.c[about.name] == about,
                    beginning.c.destination_id == announcements.c.destination_id,
                    beginning.c.edge == first,
                    beginning.c.state == "silenced",
                )
                .scalar_subquery()
            )
            follows = update(announcements).where(
                announcements.c.destination_id == destination.id,
                WAITING,
                announcements.c.edge.in_(rest),
                by.is_not(None),
            )
            self._connection.execute(follows.values(state="silenced", silence_id=by))

    def muted_changes(self, changes: Iterable[int], destination: Destination) -> dict[int, int]:
        """Which of them were not told there: change -> silence."""
        found: dict[int, int] = {}
        for part in chunks(changes):
            query = select(announcements.c.change_id, announcements.c.silence_id).where(
                announcements.c.change_id.in_(part),
                announcements.c.edge.is_(None),
                announcements.c.destination_id == destination.id,
                MUTED,
            )
            found.update({row.change_id: row.silence_id for row in self._connection.execute(query)})
        return found

    def ended(self, now: datetime) -> list[tuple[Silence, Destination]]:
        """Those that have ended, with each destination where one has muted something and that was not told so."""
        over = select(silences).where(silences.c.until <= now, silences.c.told_at.is_(None)).order_by(silences.c.id)
        return [(_silence(row), one) for row in self._connection.execute(over).all() for one in self._missed(row.id)]

    def _missed(self, silence: int) -> list[Destination]:
        """Where it has muted something."""
        query = (
            select(destinations.c.id, destinations.c.spec)
            .join(announcements, announcements.c.destination_id == destinations.c.id)
            .where(announcements.c.silence_id == silence, MUTED)
            .distinct()
            .order_by(destinations.c.id)
        )
        return [Destination(row.id, row.spec) for row in self._connection.execute(query)]

    def close(self, now: datetime) -> None:
        """All that have ended by now were told of."""
        over = update(silences).where(silences.c.until <= now, silences.c.told_at.is_(None))
        self._connection.execute(over.values(told_at=now))

    def muted(self, silence: Silence, destination: Destination, audience: Audience) -> list[Due]:
        """What it kept from a destination."""
        return due.muted(self._connection, destination, silence.id, audience)


def _silence(row: Row[Any]) -> Silence:
    return silence_of(json.loads(row.matchers), silence=row.id, until=row.until, author=row.author, comment=row.comment)


# --- questions -----------------------------------------------------------------------------------------------------


def listed(connection: Connection, active_at: datetime | None) -> Rows:
    """Every silence, or those only that are active at a time, each with how much it has muted."""
    muted = (
        select(func.count()).where(MUTED, announcements.c.silence_id == silences.c.id).scalar_subquery().label("muted")
    )
    shown = [silences.c[name] for name in ("id", "matchers", "until", "author", "comment")]
    query = select(*shown, muted).order_by(silences.c.id)
    result = connection.execute(query if active_at is None else query.where(silences.c.until > active_at))
    return Rows(tuple(result.keys()), [tuple(map(cell, row)) for row in result])


def known_keys(connection: Connection) -> list[str]:
    """The names of the keys that are watched."""
    return list(connection.scalars(select(api_keys.c.name).where(api_keys.c.retired_at.is_(None))))


def known_destinations(connection: Connection) -> list[str]:
    """Where anything was ever to be told."""
    return list(connection.scalars(select(destinations.c.spec)))
