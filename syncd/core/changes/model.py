"""One model that is listed on both sides.

ops --scopes--> changes --nothing broke if nothing was accepted--> --prices name what may be their reason--> changes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from syncd.core import compat
from syncd.core.canon import Json
from syncd.core.changes.groups import Group, Minimal, category_of
from syncd.core.changes.scopes import changes_of
from syncd.core.changes.values import Change, Policy
from syncd.core.ops import Set, ops

# What may be the reason of another price.
_PRICED: Final = tuple(
    f"param.{what}" for what in ("added", "removed", "default", "enum", "max", "min", "step", "type")
)


def model_changes(slug: str, old: Json, new: Json, policy: Policy) -> list[Change]:
    """Every change of one model that is listed on both sides."""
    found = ops(old, new, ("models", slug))
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [_variants(slug, old, new, policy)] if found else []
    whole = Group((), (), old, new, policy, slug, _minimal(old))
    changes = list(changes_of(found, whole))
    return [_link(change, changes) for change in _unless_uncallable(changes, whole)]


def _minimal(model: Mapping[str, Json]) -> Minimal:
    stated = model.get("params")
    params = stated if isinstance(stated, dict) else {}
    return cache(lambda grid_at_min: compat.minimal_request(params, grid_at_min=grid_at_min))


def _unless_uncallable(changes: list[Change], whole: Group) -> list[Change]:
    """Where no request at all was accepted before, nothing can break."""
    if not any(change.severity == "breaking" for change in changes) or whole.request() is not None:
        return changes
    return [
        replace(change, severity="informational", witness=None, detail={**change.detail, "was_uncallable": True})
        if change.severity == "breaking"
        else change
        for change in changes
    ]


def _link(change: Change, changes: list[Change]) -> Change:
    """Name the parameter changes of the same poll beside a price change: they may be its reason."""
    if not change.kind.startswith("credits.band."):
        return change
    related = [c.pointer for c in changes if c.kind.startswith(_PRICED)]
    return replace(change, detail={**change.detail, "related": related}) if related else change


def _variants(slug: str, old: Json, new: Json, policy: Policy) -> Change:
    """A slug with conflicting contents on either side: a request is accepted only if every content accepts it."""
    path = ("models", slug)
    kind = "catalogue.duplicate-slug.conflicting" if isinstance(new, list) else "catalogue.duplicate-slug.resolved"
    olds, news = (side if isinstance(side, list) else [side] for side in (old, new))
    readable = len(olds) == 1 and all(isinstance(side, dict) for side in (*olds, *news))
    inner = [change for side in news for change in model_changes(slug, olds[0], side, policy)] if readable else []
    worst = next((c for c in inner if c.severity == "breaking"), None)
    return Change(
        kind,
        path,
        "breaking" if worst is not None else "risky",
        old,
        new,
        slug,
        category_of(new),
        decided=worst is not None,
        witness=worst.witness if worst is not None else None,
        detail={"variants": len(news), "variants_before": len(olds)},
        ops=(Set(path, old, new),),
    )
