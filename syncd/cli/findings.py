"""What is odd about the catalogues as they are: rows for `models --findings`, lines for `check --online`."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from syncd.core.text import clean

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.core.catalog import Catalog
    from syncd.core.findings import Finding
    from syncd.store.confirmed import Confirmed

COLUMNS: Final = ("key_name", "slug", "finding", "place", "what")

# More of one key than anybody reads between other lines.
_MOST_LINES: Final = 10


def rows(connection: Connection, *, key: str | None, category: str | None) -> list[dict[str, Any]]:
    """Every finding in the current catalogue of each key; with a category, only those of its models."""
    from syncd.core.findings import of_account, of_model
    from syncd.store import confirmed

    found = []
    if category is None:
        for name, account in confirmed.accounts(connection, key=key).items():
            found += [_row(name, None, finding) for finding in of_account(account)]
    listed = confirmed.models(connection, key=key)
    of = {version: of_model(one.slug, one.body()) for version, one in confirmed.contents(connection, listed).items()}
    for name, models in groupby(listed, lambda model: model.key_name):
        found += _of_models(name, list(models), category, of)
    return sorted(found, key=lambda row: row["key_name"])  # the account of each key before its models


def _of_models(
    key: str, models: Sequence[Confirmed], category: str | None, of: Mapping[int, list[Finding]]
) -> Iterator[dict[str, Any]]:
    from syncd.core.findings import near_collisions

    alike: dict[str, list[Finding]] = {}
    for slug, finding in near_collisions(model.slug for model in models):
        alike.setdefault(slug, []).append(finding)
    for model in models:
        if category in (None, model.category):
            for finding in (*alike.get(model.slug, ()), *of[model.version]):
                yield _row(key, model.slug, finding)


def _row(key: str, slug: str | None, finding: Finding) -> dict[str, Any]:
    return dict(zip(COLUMNS, (key, slug, finding.id, finding.place, finding.what), strict=True))


def lines(catalog: Catalog) -> Iterator[str]:
    """The findings of a catalogue just read, a line each."""
    from syncd.core.findings import of_catalog

    found = of_catalog(catalog)
    for finding in found[:_MOST_LINES]:
        yield f"{finding.id} at {clean(finding.place, 200)}: {clean(finding.what, 300)}"
    if (more := len(found) - _MOST_LINES) > 0:
        yield f"and {more} more: syncd models --findings"
