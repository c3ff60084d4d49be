"""Changes of a model's own fields: its texts, its price, its example; of `params` only that it is no object."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from syncd.core import credits
from syncd.core.canon import MISSING, Json, Missing, canonical
from syncd.core.changes.groups import Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.findings import CATEGORIES
from syncd.core.rules import RULES, Severity

# Unknown fields that may decide whether a model can be called: announced. Every other unknown field is only recorded.
_WATCHED: Final = frozenset({"deprecated", "status", "disabled", "endpoint", "version", "sunset"})


# Forms of a price that are findings.
_ODD: Final = frozenset({"crossed", "invalid", "partial"})


def text(group: Group) -> Iterator[Change]:
    """A text for people: name, category, creator, description."""
    unchanged = _plain(group.before) == _plain(group.after)
    severity: Severity | None = "informational" if unchanged else None
    detail: dict[str, Json] = {"effective": False} if unchanged else {}
    if group.name == "category" and isinstance(group.after, str) and group.after not in CATEGORIES and not unchanged:
        detail["findings"] = ["category-unknown"]
    yield group.change(f"model.{group.name}.changed", severity, detail=detail)


def _plain(value: Json | Missing) -> str | None:
    """A text without what nobody sees: spacing, Unicode composition, and whether nothing is null or left out."""
    if is_absent(value):
        return None
    return (
        re.sub(r"\s+", " ", unicodedata.normalize("NFC", value)).strip() if isinstance(value, str) else canonical(value)
    )


def example(group: Group) -> Iterator[Change]:
    """The vendor's own example of a request."""
    yield group.change("model.example-request.changed")


def band(group: Group) -> Iterator[Change]:
    """The price."""
    old, new = (credits.read_band(None if v is MISSING else v) for v in (group.before, group.after))
    odd = {"findings": [f"credits.band-{new.form}"]} if new.form in _ODD and new.form != old.form else {}
    yield group.change(f"credits.band.{credits.outcome(old, new)}", detail={**credits.flags(old, new), **odd})


def price_since(change: Change, before: Json) -> Change:
    """The same price seen from an earlier one: what to tell who was not told of the steps in between."""
    old, new = (credits.read_band(None if v is MISSING else v) for v in (before, change.after))
    kind = f"credits.band.{credits.outcome(old, new)}"
    related = {name: value for name, value in change.detail.items() if name == "related"}
    severity = RULES[kind].severity or change.severity
    return replace(change, kind=kind, severity=severity, before=before, detail={**credits.flags(old, new), **related})


def params_replaced(group: Group) -> Iterator[Change]:
    """`params` as a whole came, went, or is no object."""
    yield group.change("model.params.replaced", decided=False)


def unknown(group: Group) -> Iterator[Change]:
    """A field that syncd does not know."""
    watched = group.name in _WATCHED
    severity: Severity = "risky" if watched else "informational"
    yield group.change(f"model.attr-unknown.{group.presence}", severity, decided=not watched)
