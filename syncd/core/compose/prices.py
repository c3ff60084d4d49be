"""Prices that moved."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from syncd.core.canon import is_number
from syncd.core.compose.items import Item, count_slugs, lines, phrase, phrase_of_model, section, slug_of
from syncd.core.compose.section import Section
from syncd.core.message import Block, Paragraph, Span
from syncd.core.text import count, percent

_UP: Final = frozenset({"raised", "raised-disjoint", "ceiling-raised", "floor-raised"})
_DOWN: Final = frozenset({"lowered", "lowered-disjoint", "ceiling-lowered", "floor-lowered"})


def moved(items: list[Item]) -> Iterable[Section]:
    """A line each; the title says which way, and for one model by how much."""
    moves = {item.change.kind.removeprefix("credits.band.") for item in items}
    emoji, word = ("📈", "up") if moves <= _UP else ("📉", "down") if moves <= _DOWN else ("💱", "changed")
    one = count_slugs(items) == 1
    if one:
        title = f"Price {word}{_by(items) if word != 'changed' else ''}: {slug_of(items[0].change)}"
    else:
        title = f"Price {word}: {count(count_slugs(items), 'model')}"
    said = lines(items, phrase if one else phrase_of_model)
    yield section(
        "price_changed", emoji, title, items, *said, *_reason(items, "Its parameters" if one else "Parameters")
    )


def _by(items: list[Item]) -> str:
    """By how much at most, where that can be said."""
    edges = [item.change.detail.get(name) for item in items for name in ("min_percent", "max_percent")]
    most = max((abs(Decimal(edge)) for edge in edges if edge is not None and is_number(edge)), default=Decimal(0))
    return f" {percent(most).lstrip('+')}" if most else ""


def _reason(items: list[Item], subject: str) -> Iterable[Block]:
    if any("related" in item.change.detail for item in items):
        yield Paragraph((Span(f"{subject} changed at the same poll, which may be the reason."),))
