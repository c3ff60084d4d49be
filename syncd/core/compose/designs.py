"""Which design a change is shown in.

items --_design_of--> design --> sections
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from syncd.core.changes import Change
from syncd.core.compose import models, other, parameters, prices
from syncd.core.compose.items import Item
from syncd.core.compose.section import Section

Design: TypeAlias = Callable[[list[Item]], Iterable[Section]]


def sections(items: Iterable[Item]) -> Iterable[Section]:
    """What changed, by design, in the order of the items."""
    families: dict[Design, list[Item]] = {}
    for item in items:
        families.setdefault(_design_of(item.change), []).append(item)
    for design, members in families.items():
        yield from design(members)


def _design_of(change: Change) -> Design:
    if change.kind in ("model.added", "model.returned"):
        return models.unlocked
    if change.kind == "model.removed":
        return models.removed
    if change.kind.startswith("credits.band."):
        return prices.moved
    if change.slug is None:
        return other.of_account
    return parameters.changed if change.kind.startswith("param.") else other.of_models
