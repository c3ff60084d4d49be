"""Which design a change is shown in.

items --_design_of--> design --> sections
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

from syncd.core.changes import Change
from syncd.core.compose import doubts, models, other, parameters, prices, toggles
from syncd.core.compose.items import Item
from syncd.core.compose.section import Section

Design: TypeAlias = Callable[[list[Item]], Iterable[Section]]


def sections(items: Iterable[Item]) -> Iterable[Section]:
    """What changed, by design, in the order of the items."""
    families: dict[Design, list[Item]] = {}
    for item in items:
        families.setdefault(_design_of(item), []).append(item)
    for design, members in families.items():
        yield from design(members)


def _design_of(item: Item) -> Design:
    match item.how:
        case "unconfirmed":
            return doubts.not_listed
        case "back":
            return doubts.listed_again
        case "reverted" | "undone":
            return toggles.taken_back
        case "flapping":
            return toggles.flapping
        case "settled":
            return toggles.settled
        case "change":
            return _family(item.change)
    assert_never(item.how)


def _family(change: Change) -> Design:
    if change.kind in ("model.added", "model.returned"):
        return models.unlocked
    if change.kind == "model.removed":
        return models.removed
    if change.kind.startswith("credits.band."):
        return prices.moved
    if change.slug is None:
        return other.of_account
    return parameters.changed if change.kind.startswith("param.") else other.of_models
