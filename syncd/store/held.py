"""What is held, as a person looks after it: listed, found, settled.

Reading is on a connection that cannot write. Settling is in a transaction that holds the key's row as a poll does, so a
poll that judges the same change comes before or after, and finds it held or settled. What settling means is decided in
`core.judge.by_hand`. Statements only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, literal_column, select, true

from syncd.core.judge import ChangeState, Held
from syncd.core.judge.by_hand import Chosen, Decision
from syncd.core.routing import KeyFacts
from syncd.store import announcements, change_rows, conditions
from syncd.store.statements import chunks
from syncd.store.tables import announcements as announced
from syncd.store.tables import api_keys, changes, destinations


@dataclass(frozen=True, slots=True)
class Row:
    """A held change and its key. `summary` says what it is."""

    key_name: str
    summary: str
    held: Held


def listed(connection: Connection, *, key: str | None = None) -> list[Row]:
    """Everything that is held, by key, in the order in which it was found."""
    query = (
        select(changes, api_keys.c.name.label("key_name"))
        .join(api_keys, api_keys.c.id == changes.c.key_id)
        # As text, so that the partial index serves it.
        .where(changes.c.state == literal_column("'held'"), true() if key is None else api_keys.c.name == key)
        .order_by(api_keys.c.name, changes.c.id)
    )
    return [
        Row(row.key_name, row.summary, Held(row.id, change_rows.change_of(row), row.held_polls, row.detected_at))
        for row in connection.execute(query)
    ]


def known(connection: Connection, ids: Iterable[int]) -> set[int]:
    """Those of these ids that are of changes, held or not."""
    found: set[int] = set()
    for part in chunks(ids):
        found.update(connection.scalars(select(changes.c.id).where(changes.c.id.in_(part))))
    return found


def keys(connection: Connection) -> list[str]:
    """Every key there is a history of."""
    return list(connection.scalars(select(api_keys.c.name).order_by(api_keys.c.name)))


@dataclass(frozen=True, slots=True)
class Found:
    """A change as a person finds it. `chosen` is None where it is not held (any more)."""

    id: int
    key_name: str
    summary: str
    state: ChangeState
    settled_at: datetime | None
    chosen: Chosen | None


class HeldByHand:
    """What a person does to held changes, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, change: int) -> Found | None:
        """The change with this id, which no poll judges until the transaction ends."""
        key = self._connection.scalar(select(changes.c.key_id).where(changes.c.id == change))
        if key is None:
            return None
        # As a poll does, before it looks at what is held.
        columns = api_keys.c.name, api_keys.c.account, api_keys.c.base_url
        locked = self._connection.execute(select(*columns).where(api_keys.c.id == key).with_for_update()).one_or_none()
        row = self._connection.execute(select(changes).where(changes.c.id == change)).one_or_none()
        if locked is None or row is None:
            return None
        facts = KeyFacts(locked.name, locked.account, locked.base_url)
        return Found(change, facts.name, row.summary, row.state, row.settled_at, self._chosen(key, facts, change))

    def _chosen(self, key: int, facts: KeyFacts, change: int) -> Chosen | None:
        held = {one.id: one for one in change_rows.held(self._connection, key)}
        if (one := held.pop(change, None)) is None:
            return None
        return Chosen(
            one,
            others=tuple(held.values()),
            open=conditions.open_for(self._connection, key, facts),
            untold=frozenset(self._untold(change)),
            told_band=partial(announcements.told_band, self._connection, key),
        )

    def _untold(self, change: int) -> Iterable[str]:
        query = (
            select(destinations.c.spec)
            .join(announced, announced.c.destination_id == destinations.c.id)
            .where(announced.c.change_id == change, announced.c.edge == "unconfirmed", announcements.WAITING)
        )
        return self._connection.scalars(query)

    def settle(self, decided: Decision, now: datetime) -> None:
        """Write what was decided, and queue what is to be told of it."""
        told = change_rows.step(self._connection, (decided.step, *decided.others), now)
        if decided.edit is not None:
            told += conditions.write_edit(self._connection, decided.edit, now)
        announcements.write(self._connection, told)
