"""What each configured key can call as far as syncd knows: the rows of `current_models`, with the models' own texts.

A model whose removal waits for confirmation still counts, with the time since when it is missing. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, true

from syncd.core.canon import Json, decode
from syncd.core.catalog import Listed
from syncd.store import versions
from syncd.store.catalogue import is_last
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, changes, listings, model_versions, snapshots


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A model that a key can call, and which content it has (`contents` reads it)."""

    key_name: str
    slug: str
    category: str | None
    version: int
    digest: str
    missing_since: datetime | None


def states(connection: Connection) -> dict[str, str]:
    """The state of every configured key that has a catalogue, by name."""
    known = and_(_configured(), api_keys.c.snapshot_id.is_not(None))
    rows = connection.execute(select(api_keys.c.name, api_keys.c.state).where(known).order_by(api_keys.c.name))
    return {row.name: row.state for row in rows}


def models(connection: Connection, *, key: str | None = None, slug: str | None = None) -> list[Confirmed]:
    """All models, or those of one key, of one slug; by key and slug."""
    query = (
        _listed(
            api_keys.c.name.label("key_name"),
            listings.c.slug,
            model_versions.c.category,
            model_versions.c.id.label("version"),
            model_versions.c.digest,
            listings.c.valid_to.label("missing_since"),
        )
        .join(model_versions, model_versions.c.id == listings.c.version_id)
        .where(_configured(), _is(api_keys.c.name, key), _is(listings.c.slug, slug), _is_confirmed())
        .order_by(api_keys.c.name, listings.c.slug)
    )
    return [Confirmed(*row) for row in connection.execute(query)]


def contents(connection: Connection, found: Iterable[Confirmed]) -> dict[int, Listed]:
    """The contents by their version. Most keys list the same, so there are far fewer than models."""
    wanted = {model.version: model for model in found}
    texts = versions.texts(connection, wanted)
    return {version: Listed(model.slug, model.digest, texts[version]) for version, model in wanted.items()}


def accounts(connection: Connection, *, key: str | None = None) -> dict[str, Json]:
    """What the last catalogue of each key said of its account, by key; keys without one are left out."""
    query = (
        select(api_keys.c.name, snapshots.c.account)
        .join(snapshots, snapshots.c.id == api_keys.c.snapshot_id)
        .where(_configured(), _is(api_keys.c.name, key))
        .order_by(api_keys.c.name)
    )
    return {row.name: decode(row.account).value for row in connection.execute(query)}


def slugs(connection: Connection, *, key: str | None = None) -> list[str]:
    """Every slug that is listed now, once; those that are missing for a while are left out."""
    here = (_configured(), _is(api_keys.c.name, key), listings.c.valid_to.is_(None))
    return sorted(connection.scalars(_listed(listings.c.slug).where(*here).distinct()))


def ever_listed(connection: Connection, key: str, of: Iterable[str]) -> set[str]:
    """Which of these models the key lists or listed at some time."""
    found: set[str] = set()
    for part in chunks(set(of)):
        here = _listed(listings.c.slug).where(api_keys.c.name == key, listings.c.slug.in_(part))
        found.update(connection.scalars(here.distinct()))
    return found


def _listed(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).select_from(listings).join(api_keys, api_keys.c.id == listings.c.key_id)


def _is(column: ColumnElement[Any], wanted: str | None) -> ColumnElement[bool]:
    return true() if wanted is None else column == wanted


def _configured() -> ColumnElement[bool]:
    return api_keys.c.retired_at.is_(None)


def _is_confirmed() -> ColumnElement[bool]:
    """Whether the interval is open, or is the last of a model whose removal is held."""
    held = select(changes.c.id).where(
        changes.c.key_id == listings.c.key_id,
        changes.c.slug == listings.c.slug,
        changes.c.state == "held",
        changes.c.kind == "model.removed",
    )
    return or_(listings.c.valid_to.is_(None), and_(held.exists(), is_last()))
