"""Conditions as rows: those that are open, one that opens, one that learns something or closes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, case, func, literal, or_, select, update

from syncd.core.canon import Json, dumps
from syncd.core.judge import ConditionEdit, OpenCondition, Opening, retired
from syncd.core.routing import KeyFacts
from syncd.core.rules import CONDITIONS
from syncd.store import announcements
from syncd.store.announcements import Told
from syncd.store.statements import inserted
from syncd.store.tables import conditions
from syncd.store.types import Utc

# The first half of PostgreSQL's name for the lock on an address, next to a hash of the address. "sync" in ASCII.
ADDRESS_LOCK: Final = 0x73796E63


def lock_address(connection: Connection, base_url: str) -> None:
    """One failed poll at an address at a time: two could each open the same condition. SQLite has one writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(ADDRESS_LOCK, func.hashtext(base_url))))


# In one order: on PostgreSQL two keys that lock the same ones wait for each other.
_OPEN: Final = select(conditions).where(conditions.c.closed_at.is_(None)).order_by(conditions.c.id).with_for_update()
# Built once, because every poll runs it.
_OPEN_FOR: Final = _OPEN.where(
    or_(
        conditions.c.key_id == bindparam("key"),
        conditions.c.subject.in_([bindparam("address"), bindparam("account")]),
    )
)


def open_for(connection: Connection, key: int, facts: KeyFacts) -> tuple[OpenCondition, ...]:
    """The open conditions of the key, its address and its account, which stay locked until the transaction ends."""
    shared = {"address": f"url:{facts.base_url}", "account": f"account:{facts.account}"}
    return _open(connection, _OPEN_FOR, key=key, **shared)


def _open(connection: Connection, query: Select[Any], **given: Any) -> tuple[OpenCondition, ...]:  # noqa: ANN401 - bound
    rows = connection.execute(query, given).all()
    if not rows:
        return ()
    told = announcements.of_openings(connection, [row.id for row in rows])
    return tuple(
        OpenCondition(row.id, row.kind, row.subject, row.opened_at, _exact(row.detail), tuple(told.get(row.id, ())))
        for row in rows
    )


def _exact(detail: str) -> dict[str, Json]:
    """It is written again: a fraction stays what it was."""
    found: dict[str, Json] = json.loads(detail, parse_float=Decimal)
    return found


def write_opening(connection: Connection, key: int, opening: Opening, now: datetime) -> list[Told]:
    """A condition opens; say who is to be told. `key` is the one whose poll opens it."""
    row = {
        "kind": opening.kind,
        "subject": opening.subject,
        "key_id": key if opening.subject.startswith("key:") else None,
        "severity": CONDITIONS[opening.kind],
        "opened_at": now,
        "detail": dumps(dict(opening.detail)),
    }
    opened = inserted(connection, conditions, row)
    return [Told(one, now, condition=opened, edge="opened") for one in opening.announcements]


def write_edit(connection: Connection, edit: ConditionEdit, now: datetime) -> list[Told]:
    """An open condition learns something, or closes; say who is to be told."""
    values: dict[str, Any] = {"detail": dumps(dict(edit.detail))}
    if edit.closed:
        # Never before it opened, even if the clock was set back.
        opened = conditions.c.opened_at
        values["closed_at"] = case((opened > now, opened), else_=literal(now, Utc()))
    connection.execute(update(conditions).where(conditions.c.id == edit.id).values(**values))
    edge = "closed" if edit.closed else "opened"
    told = [(one, edge) for one in edit.announcements] + [(one, "changed") for one in edit.revisions]
    return [Told(one, now, condition=edit.id, edge=name) for one, name in told]


def retire(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    """Keys have left the configuration: none of them holds a condition open any more."""
    _release(connection, dict.fromkeys(keys), now)


def leave(connection: Connection, subjects: Mapping[str, str], now: datetime) -> None:
    """Keys have left what they shared with others, each this subject: there they hold nothing open any more."""
    _release(connection, subjects, now)


def _release(connection: Connection, left: Mapping[str, str | None], now: datetime) -> None:
    if not left:
        return
    told: list[Told] = []
    for condition in _open(connection, _OPEN):
        keys = [key for key, subject in left.items() if subject in (None, condition.subject)]
        for edit in _retirements(condition, keys, now):
            told += write_edit(connection, edit, now)
    announcements.write(connection, told)


def _retirements(condition: OpenCondition, keys: Iterable[str], now: datetime) -> Iterable[ConditionEdit]:
    """One key after the other, each edit upon the one before."""
    for key in keys:
        if (edit := retired(condition, key, now)) is not None:
            yield edit
            condition = replace(condition, detail=edit.detail)
