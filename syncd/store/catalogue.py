"""What a key lists: the confirmed catalogue is read here, an observed one written.

snapshots        one per state of the whole catalogue, with what it says of the account
listings         of each model, from when until when it was listed with which content
model_versions   the contents                                                             (store.versions)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, insert, or_, select, update

from syncd.core.canon import FORM, Json, decode, dumps, is_number
from syncd.core.catalog import Catalog, Listed
from syncd.core.changes import Before
from syncd.store import versions
from syncd.store.statements import chunks, inserted
from syncd.store.tables import changes, listings, model_versions, snapshots

# Built once, because every poll runs it.
_DIGEST: Final = select(snapshots.c.digest).where(snapshots.c.id == bindparam("snapshot"))


def digest(connection: Connection, snapshot: int | None) -> str | None:
    """The digest of a stored state, None if there is none yet."""
    return None if snapshot is None else connection.scalar(_DIGEST, {"snapshot": snapshot})


# --- what is confirmed ---------------------------------------------------------------------------------------------


def before(connection: Connection, key: int, snapshot: int | None, after: Catalog) -> Before:
    """The confirmed catalogue: what is listed, with models whose removal is held as they were.

    Only the texts that differ from `after` are read; of models that are back after an absence, what they were.
    """
    refs = {row.slug: row for row in connection.execute(_confirmed(key))}
    differing = (row.version_id for slug, row in refs.items() if _differs(after.models.get(slug), row))
    texts = versions.texts(connection, differing)
    models = {slug: Listed(slug, row.digest, texts.get(row.version_id, "")) for slug, row in refs.items()}
    account = connection.scalar(select(snapshots.c.account).where(snapshots.c.id == snapshot))
    return Before(decode(account or "{}").value, models, _gone(connection, key, after.models.keys() - refs.keys()))


def _differs(now: Listed | None, stored: Row[Any]) -> bool:
    return now is None or now.digest != stored.digest


def _confirmed(key: int) -> Select[Any]:
    # A model whose removal is held has no open interval: its last one counts.
    held = select(changes.c.slug).where(
        changes.c.key_id == key, changes.c.state == "held", changes.c.kind == "model.removed"
    )
    return (
        select(listings.c.slug, listings.c.version_id, model_versions.c.digest)
        .join(model_versions, model_versions.c.id == listings.c.version_id)
        .where(
            listings.c.key_id == key,
            or_(listings.c.valid_to.is_(None), and_(listings.c.slug.in_(held), is_last())),
        )
    )


def _gone(connection: Connection, key: int, slugs: Iterable[str]) -> dict[str, Listed]:
    """What these models were when they were listed last; those that never were are left out."""
    found: dict[str, Listed] = {}
    for part in chunks(sorted(slugs)):
        query = (
            select(listings.c.slug, model_versions.c.digest, model_versions.c.body)
            .join(model_versions, model_versions.c.id == listings.c.version_id)
            .where(listings.c.key_id == key, listings.c.slug.in_(part), is_last())
        )
        found.update({row.slug: Listed(row.slug, row.digest, row.body) for row in connection.execute(query)})
    return found


def is_last() -> ColumnElement[bool]:
    """Whether an interval is the last one of its key and model."""
    later = listings.alias("later")
    return ~(
        select(later.c.id)
        .where(
            later.c.key_id == listings.c.key_id,
            later.c.slug == listings.c.slug,
            later.c.valid_from > listings.c.valid_from,
        )
        .exists()
    )


# --- what was observed ---------------------------------------------------------------------------------------------


def store(connection: Connection, key: int, catalog: Catalog, observed: datetime) -> int:
    """Write the catalogue as the key's state from now on; the id of its snapshot."""
    snapshot = inserted(connection, snapshots, _snapshot(key, catalog, observed))
    current = {row.slug: row for row in connection.execute(_current(key))}
    changed = [model for slug, model in catalog.models.items() if _is_new(model, current.get(slug))]
    ended = [current[model.slug].id for model in changed if model.slug in current]
    if catalog.complete:
        ended += [row.id for slug, row in current.items() if slug not in catalog.models]
    _end(connection, ended, observed)
    _begin(connection, key, changed, observed)
    return snapshot


def _snapshot(key: int, catalog: Catalog, observed: datetime) -> dict[str, Any]:
    limits = catalog.account.get("rate_limit")
    limits = limits if isinstance(limits, dict) else {}
    tier = catalog.account.get("tier")
    return {
        "key_id": key,
        "taken_at": observed,
        "form": FORM,
        "digest": catalog.digest,
        "complete": catalog.complete,
        "tier": tier if isinstance(tier, str) else None,
        "calls_per_minute": _amount(limits.get("calls_per_minute")),
        "concurrent_jobs": _amount(limits.get("concurrent_jobs")),
        "model_count": len(catalog.models),
        "account": dumps(dict(catalog.account)),
    }


def _amount(value: Json) -> Json:
    return value if is_number(value) else None


def _current(key: int) -> Select[Any]:
    return (
        select(listings.c.id, listings.c.slug, model_versions.c.digest)
        .join(model_versions, model_versions.c.id == listings.c.version_id)
        .where(listings.c.key_id == key, listings.c.valid_to.is_(None))
    )


def _is_new(model: Listed, current: Row[Any] | None) -> bool:
    return current is None or current.digest != model.digest


def _end(connection: Connection, intervals: Iterable[int], observed: datetime) -> None:
    for part in chunks(intervals):
        connection.execute(update(listings).where(listings.c.id.in_(part)).values(valid_to=observed))


def _begin(connection: Connection, key: int, models: Sequence[Listed], observed: datetime) -> None:
    ids = versions.store(connection, models)
    rows = [{"key_id": key, "version_id": ids[m.digest], "slug": m.slug, "valid_from": observed} for m in models]
    if rows:
        connection.execute(insert(listings), rows)
