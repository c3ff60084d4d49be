"""What a key listed at a time, put together again from what was stored. Reads only.

    api_keys                     the key, by its name; retired ones too, for their history stays
    snapshots                    what the answer said of the account, and whether it was complete
    listings + model_versions    which models were listed then, with which content
      -> Catalog, as if it had just been read

It is what was observed: a removal that waits for confirmation counts as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true

from syncd.core.canon import decode
from syncd.core.catalog import Catalog, Listed, state_digest
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, listings, model_versions, snapshots


def keys(connection: Connection) -> dict[str, int]:
    """Every key there is a history of, by name."""
    rows = connection.execute(select(api_keys.c.name, api_keys.c.id).order_by(api_keys.c.name))
    return {row.name: row.id for row in rows}


def first(connection: Connection, key: int) -> datetime | None:
    """When the key's first catalogue was observed, None if there is none yet."""
    query = select(snapshots.c.taken_at).where(snapshots.c.key_id == key).order_by(snapshots.c.taken_at).limit(1)
    at: datetime | None = connection.scalar(query)
    return at


def catalogue(connection: Connection, key: int, at: datetime | None) -> Catalog | None:
    """What was observed last at a time, or by now; None if nothing was observed by then.

    Where it says that it is not `complete`, it holds what was listed before as well: no absence had been proved.
    """
    query = (
        select(snapshots.c.account, snapshots.c.complete)
        .where(snapshots.c.key_id == key, true() if at is None else snapshots.c.taken_at <= at)
        .order_by(snapshots.c.taken_at.desc(), snapshots.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    account = decode(row.account).value
    models = _listed(connection, listings.c.key_id == key, _at(at))
    return Catalog(state_digest(account, models), account, models, complete=bool(row.complete))


def gone(connection: Connection, key: int, slugs: Iterable[str], at: datetime) -> dict[str, Listed]:
    """What these models were when they were listed last before a time; those that never were are left out."""
    found: dict[str, Listed] = {}
    for part in chunks(sorted(slugs)):
        found |= _listed(connection, listings.c.key_id == key, listings.c.slug.in_(part), _is_last_before(at))
    return found


def _at(at: datetime | None) -> ColumnElement[bool]:
    if at is None:
        return listings.c.valid_to.is_(None)
    return and_(listings.c.valid_from <= at, or_(listings.c.valid_to.is_(None), listings.c.valid_to > at))


def _is_last_before(at: datetime) -> ColumnElement[bool]:
    """Whether an interval had ended by then, and is the last such one of its key and model."""
    later = listings.alias("later")
    overtaken = select(later.c.id).where(
        later.c.key_id == listings.c.key_id,
        later.c.slug == listings.c.slug,
        later.c.valid_from > listings.c.valid_from,
        later.c.valid_from <= at,
    )
    return and_(listings.c.valid_to <= at, ~overtaken.exists())


def _listed(connection: Connection, *where: ColumnElement[Any]) -> dict[str, Listed]:
    query = (
        select(listings.c.slug, model_versions.c.digest, model_versions.c.body)
        .join(model_versions, model_versions.c.id == listings.c.version_id)
        .where(*where)
        .order_by(listings.c.slug)
    )
    return {row.slug: Listed(row.slug, row.digest, row.body) for row in connection.execute(query)}
