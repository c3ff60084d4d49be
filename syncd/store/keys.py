"""The keys the configuration names, and what is known of them at start. Statements only; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, case, insert, select, update

from syncd.core.canon import dumps
from syncd.core.routing import KeyFacts
from syncd.store import conditions
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, polls


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """What start-up needs of a key: when it was asked last, and until when its account or vendor asked to wait."""

    last_poll_at: datetime | None
    retry_at: datetime | None
    retry_scope: str | None


def register(connection: Connection, keys: Iterable[KeyFacts], now: datetime) -> None:
    """Make `api_keys` agree with the configuration: new keys added, missing ones retired, a changed secret noted."""
    rows = connection.execute(select(api_keys).order_by(api_keys.c.id)).mappings()
    stored = {row["name"]: row for row in rows}
    named = {key.name: key for key in keys}
    for name, key in named.items():
        if name not in stored:
            connection.execute(insert(api_keys).values(**_new(key, now)))
        elif changed := _changed(stored[name], key, now):
            connection.execute(update(api_keys).where(api_keys.c.name == name).values(**changed))
    _retire(connection, [name for name, row in stored.items() if name not in named and row["retired_at"] is None], now)
    # A key that is asked elsewhere has left the outages of its old address.
    conditions.retire(
        connection, [n for n, key in named.items() if stored.get(n, _wanted(key))["base_url"] != key.base_url], now
    )


def _wanted(key: KeyFacts) -> dict[str, Any]:
    return {
        "account": key.account,
        "base_url": key.base_url,
        "labels": dumps(dict(sorted(key.labels.items()))),
        "fingerprint": key.fingerprint,
        "retired_at": None,
    }


def _new(key: KeyFacts, now: datetime) -> dict[str, Any]:
    return {"name": key.name, **_wanted(key), "added_at": now, "state": "new", "state_since": now, "failures": 0}


def _changed(stored: RowMapping, key: KeyFacts, now: datetime) -> dict[str, Any]:
    changed = {name: value for name, value in _wanted(key).items() if stored[name] != value}
    return {**changed, "rotated_at": now} if "fingerprint" in changed else changed


def _retire(connection: Connection, names: Sequence[str], now: datetime) -> None:
    """Keys leave with their conditions closed: one that comes back is judged by its next polls, not by its last."""
    known = case((api_keys.c.snapshot_id.is_(None), "new"), else_="ok")
    # The keys before the conditions, as a poll locks them.
    for part in chunks(names):
        leaving = update(api_keys).where(api_keys.c.name.in_(part))
        connection.execute(leaving.values(retired_at=now, state=known, state_since=now, failures=0))
    conditions.retire(connection, names, now)


def schedules(connection: Connection) -> dict[str, KeySchedule]:
    """Of each configured key, when it was asked last and how long it has to wait."""
    query = (
        select(api_keys.c.name, polls.c.last_at, polls.c.retry_at, polls.c.retry_scope)
        .outerjoin(polls, polls.c.id == api_keys.c.last_poll_id)
        .where(api_keys.c.retired_at.is_(None))
    )
    return {row.name: KeySchedule(row.last_at, row.retry_at, row.retry_scope) for row in connection.execute(query)}
