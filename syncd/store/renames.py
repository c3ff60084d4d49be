"""Keys that go on under another name: what is stored under the old one is theirs. Statements only; decides nothing.

follow ── the old name is stored, the new one is not ──> everything that bears the name is renamed
          both are stored ─────────────────────────────> an error: of two histories nobody could make one
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Row, select, update

from syncd.core.canon import Json, dumps
from syncd.core.key_names import renamed
from syncd.errors import StoreError
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, balance_days, conditions


def follow(connection: Connection, formerly: Mapping[str, Sequence[str]], accounts: Mapping[str, str]) -> None:
    """Rename the keys that are stored under a former name. Both mappings are by the name that a key has now."""
    stored = _stored(connection, [name for new, olds in formerly.items() for name in (new, *olds)])
    for new, olds in formerly.items():
        known = [name for name in (new, *olds) if name in stored]
        if len(known) > 1:
            raise _two_histories(new, known)
        if known and known[0] != new:
            _rename(connection, stored[known[0]], new, accounts[new])


def _stored(connection: Connection, names: Iterable[str]) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    for part in chunks(names):
        query = select(api_keys.c.id, api_keys.c.name, api_keys.c.account).where(api_keys.c.name.in_(part))
        found.update({row.name: row for row in connection.execute(query)})
    return found


def _two_histories(new: str, known: Sequence[str]) -> StoreError:
    rest = ", ".join(repr(name) for name in known[1:])
    return StoreError(
        f"there is a history of the key {known[0]!r} and one of {rest}, and they cannot be made one",
        f"take {rest} out of `formerly` of {new!r}: what is stored stays under the name it has",
    )


def _rename(connection: Connection, key: Row[Any], new: str, account: str) -> None:
    old = key.name
    connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(name=new))
    own = update(conditions).where(conditions.c.key_id == key.id, conditions.c.subject == f"key:{old}")
    connection.execute(own.values(subject=f"key:{new}"))
    rewrite(connection, conditions.c.detail, old, partial(renamed, old=old, new=new))
    if key.account == old and account == new and _has_its_own_wallet(connection, key.id, old, new):
        _rename_account(connection, old, new)


def rewrite(
    connection: Connection,
    column: Column[str],
    name: str,
    changed: Callable[[Mapping[str, Json]], Mapping[str, Json]],
) -> None:
    """Change what this column of a table holds as JSON, where a name may stand in it."""
    identity = column.table.c.id
    for row in connection.execute(select(identity, column).where(column.contains(name, autoescape=True))).all():
        before = json.loads(row[1], parse_float=Decimal)
        if (after := changed(before)) != before:
            connection.execute(update(column.table).where(identity == row[0]).values({column: dumps(dict(after))}))


def _has_its_own_wallet(connection: Connection, key: int, *accounts: str) -> bool:
    """Whether it shares neither account, now or under the new name: what several share is called as they say."""
    others = select(api_keys.c.id).where(api_keys.c.id != key, api_keys.c.account.in_(accounts))
    return connection.execute(others.limit(1)).first() is None


def _rename_account(connection: Connection, old: str, new: str) -> None:
    """Its days and its conditions, unless a key that is long gone left some under the new name."""
    left = (
        select(conditions.c.id).where(conditions.c.subject == f"account:{new}"),
        select(balance_days.c.day).where(balance_days.c.account == new),
    )
    if any(connection.execute(query.limit(1)).first() is not None for query in left):
        return
    connection.execute(update(balance_days).where(balance_days.c.account == old).values(account=new))
    theirs = update(conditions).where(conditions.c.subject == f"account:{old}")
    connection.execute(theirs.values(subject=f"account:{new}"))
    rewrite(connection, conditions.c.detail, old, partial(_of_account, old=old, new=new))


def _of_account(detail: Mapping[str, Json], old: str, new: str) -> dict[str, Json]:
    return {**detail, "account": new} if detail.get("account") == old else dict(detail)
