"""What a key can call as far as syncd knows, model by model. Reads only.

A model whose removal waits for confirmation still counts, with the time since when it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, select

from syncd.core.canon import Json
from syncd.core.catalog import Listed
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, changes, listings, model_versions


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A model of a key: its decoded body (a list of them where contents conflict)."""

    body: Json
    missing_since: datetime | None


def keys(connection: Connection) -> dict[str, str]:
    """The state of every configured key that has a catalogue, by name."""
    known = and_(api_keys.c.retired_at.is_(None), api_keys.c.snapshot_id.is_not(None))
    rows = connection.execute(select(api_keys.c.name, api_keys.c.state).where(known).order_by(api_keys.c.name))
    return {row.name: row.state for row in rows}


def model(connection: Connection, key: str, slug: str) -> Confirmed | None:
    """The model as the key lists it; None if it does not."""
    query = (
        select(listings.c.key_id, listings.c.valid_to, model_versions.c.digest, model_versions.c.body)
        .join(model_versions, model_versions.c.id == listings.c.version_id)
        .join(api_keys, api_keys.c.id == listings.c.key_id)
        .where(api_keys.c.name == key, listings.c.slug == slug)
        .order_by(listings.c.valid_from.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None or (row.valid_to is not None and not _is_held(connection, row.key_id, slug)):
        return None
    return Confirmed(Listed(slug, row.digest, row.body).body(), row.valid_to)


def _held(key: int) -> ColumnElement[bool]:
    return and_(changes.c.key_id == key, changes.c.state == "held", changes.c.kind == "model.removed")


def _is_held(connection: Connection, key: int, slug: str) -> bool:
    query = select(changes.c.id).where(_held(key), changes.c.slug == slug).limit(1)
    return connection.scalar(query) is not None


def listed(connection: Connection, key: str) -> list[str]:
    """The models that the key lists now, those that are missing for a while left out."""
    query = (
        select(listings.c.slug)
        .join(api_keys, api_keys.c.id == listings.c.key_id)
        .where(api_keys.c.name == key, listings.c.valid_to.is_(None))
    )
    return sorted(connection.scalars(query))


def ever_listed(connection: Connection, key: str, slugs: Iterable[str]) -> set[str]:
    """Which of these models the key lists or listed at some time."""
    found: set[str] = set()
    for part in chunks(set(slugs)):
        query = (
            select(listings.c.slug)
            .join(api_keys, api_keys.c.id == listings.c.key_id)
            .where(api_keys.c.name == key, listings.c.slug.in_(part))
        )
        found.update(connection.scalars(query))
    return found
