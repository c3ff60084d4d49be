"""The keys the configuration names, and what is known of them at start. Statements only; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, case, insert, select, update

from syncd.core.canon import dumps
from syncd.core.routing import KeyFacts
from syncd.core.schedule import KeySchedule
from syncd.store import conditions, renames
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, polls


def register(
    connection: Connection, keys: Iterable[KeyFacts], now: datetime, formerly: Mapping[str, Sequence[str]]
) -> None:
    """Make `api_keys` agree with the configuration.

    a former name   what is stored under it goes on under the new one; first, or it would be taken for one that left
    a new name      added
    a new secret    noted, and everything else that changed
    a missing name  retired
    """
    named = {key.name: key for key in keys}
    renames.follow(connection, formerly, {name: key.account for name, key in named.items()})
    rows = connection.execute(select(api_keys).order_by(api_keys.c.id)).mappings()
    stored = {row["name"]: row for row in rows}
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
    # Neither is its old account's balance its own.
    moved = {n: stored[n]["account"] for n, key in named.items() if n in stored and stored[n]["account"] != key.account}
    conditions.leave(connection, {name: f"account:{account}" for name, account in moved.items()}, now)


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
    """Of each configured key, when it was asked last and what came of it."""
    key, poll = api_keys.c, polls.c
    query = (
        select(key.name, poll.last_at, poll.retry_at, poll.retry_scope)
        .add_columns(key.state, key.state_since, key.failures, key.rotated_at)
        .outerjoin(polls, poll.id == key.last_poll_id)
        .where(key.retired_at.is_(None))
    )
    return {name: KeySchedule(*known) for name, *known in connection.execute(query)}
