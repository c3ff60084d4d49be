"""One model that is listed on both sides.

ops --scopes--> changes --a parameter renamed is one--> --nothing broke if nothing was accepted-->
    --each parameter as a whole--> --prices name what may be their reason--> changes
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from syncd.core.canon import Json
from syncd.core.changes.groups import Sides
from syncd.core.changes.renames import with_renames
from syncd.core.changes.scopes import changes_of
from syncd.core.changes.spec_detail import with_whole_specs
from syncd.core.changes.values import Change, Policy
from syncd.core.changes.variants import conflict
from syncd.core.ops import ops

# What may be the reason of another price.
_PRICED: Final = tuple(
    f"param.{what}"
    for what in ("added", "removed", "renamed", "default", "enum", "max", "min", "step", "type", "items")
)
_DEARER: Final = frozenset(
    f"credits.band.{how}" for how in ("raised", "raised-disjoint", "ceiling-raised", "floor-raised", "widened")
)


def model_changes(slug: str, old: Json, new: Json, policy: Policy) -> list[Change]:
    """Every change of one model that is listed on both sides."""
    found = ops(old, new, ("models", slug))
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [conflict(slug, old, new, policy, model_changes)] if found else []
    sides = Sides(old, new, policy, slug)
    changes = _unless_uncallable(with_renames(list(changes_of(found, sides))), sides)
    return [_link(change, changes) for change in with_whole_specs(changes, sides)]


def _unless_uncallable(changes: list[Change], sides: Sides) -> list[Change]:
    """Where no request at all was accepted before, nothing can break."""
    if not any(change.severity == "breaking" for change in changes) or sides.request() is not None:
        return changes
    return [
        replace(change, severity="informational", witness=None, detail={**change.detail, "was_uncallable": True})
        if change.severity == "breaking"
        else change
        for change in changes
    ]


def _link(change: Change, changes: list[Change]) -> Change:
    """Name the parameter changes of the same poll beside a price change: they may be its reason.

    A new default may be what the price is for, so it names the price in turn.
    """
    if change.kind == "param.added.optional-with-default":
        prices = [c.pointer for c in changes if c.kind in _DEARER]
        return replace(change, detail={**change.detail, "related": prices}) if prices else change
    if not change.kind.startswith("credits.band."):
        return change
    related = [c.pointer for c in changes if c.kind.startswith(_PRICED)]
    return replace(change, detail={**change.detail, "related": related}) if related else change
