"""The contents of models, each stored once for every key together, under its digest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from syncd.core import credits
from syncd.core.canon import FORM, Json, canonical
from syncd.core.catalog import Listed
from syncd.store.statements import chunks, insert_if_new
from syncd.store.tables import model_versions


def texts(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """The models' own texts."""
    found: dict[int, str] = {}
    for part in chunks(ids):
        query = select(model_versions.c.id, model_versions.c.body).where(model_versions.c.id.in_(part))
        found.update({row.id: row.body for row in connection.execute(query)})
    return found


def store(connection: Connection, models: Sequence[Listed]) -> dict[str, int]:
    """The ids of these contents by digest; those that are new are stored."""
    found = ids(connection, (m.digest for m in models))
    # In one order, whatever the answer's: on PostgreSQL two keys that store the same texts wait for each other.
    if new := [row(m) for m in sorted(models, key=lambda m: m.digest) if m.digest not in found]:
        connection.execute(insert_if_new(connection, model_versions), new)
        found |= ids(connection, (one["digest"] for one in new))
    return found


def ids(connection: Connection, digests: Iterable[str]) -> dict[str, int]:
    """The ids of those of these contents that are stored, by digest."""
    found: dict[str, int] = {}
    for part in chunks(digests):
        query = select(model_versions.c.digest, model_versions.c.id).where(model_versions.c.digest.in_(part))
        found.update({row.digest: row.id for row in connection.execute(query)})
    return found


def row(listed: Listed) -> dict[str, Any]:
    """The columns people query, beside the model's own text. Of conflicting contents the first stands for all."""
    body = listed.body()
    first = body[0] if isinstance(body, list) else body
    return {
        "digest": listed.digest,
        "form": FORM,
        "slug": listed.slug,
        "body": listed.text,
        **{name: _text(first.get(name)) for name in ("name", "category", "creator", "description")},
        **_prices(first.get("credits_band")),
        **{name: _canonical(first.get(name)) for name in ("params", "example_request")},
    }


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _canonical(value: Json) -> str | None:
    return None if value is None else canonical(value)


def _prices(value: Json) -> dict[str, Any]:
    band = credits.read_band(value)
    priced = band.form in ("ok", "partial", "crossed")
    return {"credits_min": band.low if priced else None, "credits_max": band.high if priced else None}
