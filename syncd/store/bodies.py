"""What each configured key can call now, with the models' own texts: the rows of `current_models` and their contents.

The view shows what people ask for; which content that is, and its whole text, is read here. On a connection that cannot
write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from syncd.core.canon import Json, decode
from syncd.core.catalog import Listed
from syncd.store import versions


@dataclass(frozen=True, slots=True)
class Current:
    """A model that a key can call, and which content it has."""

    key_name: str
    slug: str
    category: str | None
    version: int
    digest: str


# An interval of a model whose removal is held ended when the model went missing; every other one is open.
_CURRENT = """
    SELECT m.key_name, m.slug, m.category, v.id AS version, v.digest
    FROM current_models m
    JOIN api_keys k ON k.name = m.key_name AND k.retired_at IS NULL
    JOIN listings l ON l.key_id = k.id AND l.slug = m.slug
        AND (l.valid_to = m.missing_since OR (l.valid_to IS NULL AND m.missing_since IS NULL))
    JOIN model_versions v ON v.id = l.version_id
    WHERE (CAST(:key AS VARCHAR) IS NULL OR m.key_name = :key) AND (CAST(:slug AS VARCHAR) IS NULL OR m.slug = :slug)
    ORDER BY m.key_name, m.slug
"""


def current(connection: Connection, *, key: str | None = None, slug: str | None = None) -> list[Current]:
    """The confirmed catalogue, all of it or of one key, one slug; by key and slug."""
    rows = connection.execute(text(_CURRENT), {"key": key, "slug": slug})
    return [Current(*row) for row in rows]


def contents(connection: Connection, models: Iterable[Current]) -> dict[int, Listed]:
    """The contents by their version. Most keys list the same, so there are far fewer than models."""
    wanted = {model.version: model for model in models}
    texts = versions.texts(connection, wanted)
    return {version: Listed(model.slug, model.digest, texts[version]) for version, model in wanted.items()}


def accounts(connection: Connection, *, key: str | None = None) -> dict[str, Json]:
    """What the last catalogue of each key said of its account, by key; keys without one are left out."""
    query = """
        SELECT k.name, s.account FROM api_keys k JOIN snapshots s ON s.id = k.snapshot_id
        WHERE k.retired_at IS NULL AND (CAST(:key AS VARCHAR) IS NULL OR k.name = :key) ORDER BY k.name
    """
    rows = connection.execute(text(query), {"key": key})
    return {row.name: decode(row.account).value for row in rows}


def slugs(connection: Connection, *, key: str | None = None) -> list[str]:
    """Every slug that is listed now, once."""
    query = """
        SELECT DISTINCT slug FROM current_models
        WHERE CAST(:key AS VARCHAR) IS NULL OR key_name = :key ORDER BY slug
    """
    return [row.slug for row in connection.execute(text(query), {"key": key})]
