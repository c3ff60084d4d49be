"""A key's changes as rows: written, held until they are certain, read back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, literal_column, select, update

from syncd.core.canon import MISSING, Json, Missing, decode, dumps
from syncd.core.changes import Change
from syncd.core.judge import ChangeState, Held, HoldStep, NewChange, Past
from syncd.core.wording import summary
from syncd.store import announcements
from syncd.store.announcements import Told
from syncd.store.statements import chunks
from syncd.store.tables import changes


def write(
    connection: Connection, key: int, news: Sequence[NewChange], snapshot: int | None, observed: datetime
) -> list[Told]:
    """Store the changes that the snapshot brought, and say who is to be told of which."""
    if not news:
        return []
    returning = insert(changes).returning(changes.c.id, sort_by_parameter_order=True)
    found = {"key_id": key, "snapshot_id": snapshot, "detected_at": observed}
    ids = connection.scalars(returning, [{**found, **_row(new)} for new in news])
    return [told for new, id_ in zip(news, ids, strict=True) for told in _told_of(new, id_, observed)]


def _told_of(new: NewChange, change: int, observed: datetime) -> Iterable[Told]:
    for one in new.announcements:
        yield Told(one, observed, change=change)
    for one in new.unconfirmed:
        yield Told(one, observed, change=change, edge="unconfirmed")


# Built once, because every poll runs it. The state stands in it as text, so that the partial index serves it.
_HELD: Final = (
    select(changes)
    .where(changes.c.key_id == bindparam("key"), changes.c.state == literal_column("'held'"))
    .order_by(changes.c.id)
)


def held(connection: Connection, key: int) -> tuple[Held, ...]:
    """The key's changes that wait until they are certain, in the order in which they were found."""
    rows = connection.execute(_HELD, {"key": key}).all()
    heard = announcements.of_unconfirmed(connection, [row.id for row in rows])
    return tuple(
        Held(row.id, change_of(row), row.held_polls, row.detected_at, tuple(heard.get(row.id, ()))) for row in rows
    )


# Of one path more than these tell nothing more of the last day.
_MOST_OF_A_PATH: Final = 50


def past(connection: Connection, key: int, since: datetime, pointers: Iterable[str]) -> dict[str, tuple[Past, ...]]:
    """The key's changes of these paths since a time, by path, the oldest first."""
    wanted = dict.fromkeys(pointers, ())
    query = select(changes).where(changes.c.key_id == key, changes.c.detected_at >= since)
    by_path: dict[str, deque[Row[Any]]] = {}
    for row in connection.execute(query.order_by(changes.c.id)):
        if row.path in wanted and row.state != "baseline":
            by_path.setdefault(row.path, deque(maxlen=_MOST_OF_A_PATH)).append(row)
    told = announcements.of_changes(connection, (row.id for rows in by_path.values() for row in rows))
    return {
        path: tuple(
            Past(row.id, change_of(row), row.state, row.detected_at, tuple(told.get(row.id, ()))) for row in rows
        )
        for path, rows in by_path.items()
    }


def step(connection: Connection, steps: Sequence[HoldStep], observed: datetime) -> list[Told]:
    """Take held changes a step further, and say who is to be told of those that are certain, or taken back."""
    _explain(connection, steps)
    unheard = announcements.settle(connection, (one.id for one in steps if one.state != "held"))
    alike: dict[tuple[ChangeState, int], list[int]] = {}
    for one in steps:
        alike.setdefault((one.state, one.polls), []).append(one.id)
    for (state, polls), ids in alike.items():
        values = {"state": state, "held_polls": polls, "settled_at": None if state == "held" else observed}
        for part in chunks(ids):
            waiting = update(changes).where(changes.c.id.in_(part), changes.c.state == "held")
            connection.execute(waiting.values(**values))
    return [
        *(Told(told, observed, change=one.id) for one in steps for told in one.announcements),
        *(
            Told(told, observed, change=one.id, edge="back")
            for one in steps
            for told in one.back
            if (one.id, told.destination) not in unheard
        ),
    ]


def _explain(connection: Connection, steps: Sequence[HoldStep]) -> None:
    """Write what the poll tells of held removals."""
    learned = [{"held": one.id, **_told(one.learned)} for one in steps if one.learned is not None]
    if learned:
        waiting = update(changes).where(changes.c.id == bindparam("held"), changes.c.state == "held")
        connection.execute(waiting, learned)


# --- change <-> row ------------------------------------------------------------------------------------------------


def _row(new: NewChange) -> dict[str, Any]:
    change = new.change
    return {
        "kind": change.kind,
        "severity": change.severity,
        "slug": change.slug,
        "category": change.category,
        "path": change.pointer,
        "old": _text(change.before),
        "new": _text(change.after),
        "decided": change.decided,
        "witness": None if change.witness is None else dumps(change.witness),
        **_told(change),
        "fingerprint": change.fingerprint,
        "state": new.state,
        "held_polls": 1 if new.state == "held" else 0,
        "settled_at": None,
    }


def _told(change: Change) -> dict[str, str]:
    """What explains the change, and may be learned after it was found."""
    return {
        "affects": dumps(change.affects),
        "summary": summary(change),
        "detail": dumps(dict(change.detail)),
    }


def change_of(row: Row[Any]) -> Change:
    """The change as it was when it was stored (its operations are not kept)."""
    return Change(
        kind=row.kind,
        path=tuple(_path(row.path)),
        severity=row.severity,
        before=_value(row.old),
        after=_value(row.new),
        slug=row.slug,
        category=row.category,
        decided=bool(row.decided),
        witness=None if row.witness is None else decode(row.witness).value,
        detail=decode(row.detail).value,
        affects=tuple(decode(row.affects).value),
    )


def _path(pointer: str) -> Iterable[str]:
    return (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _text(value: Json | Missing) -> str | None:
    return None if value is MISSING else dumps(value)


def _value(text: str | None) -> Json | Missing:
    return MISSING if text is None else decode(text).value
