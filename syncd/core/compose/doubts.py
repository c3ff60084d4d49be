"""Models that may be gone: told at once where a saved request uses them, before it is certain, and how that ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncd.core.compose.causes import still_listed
from syncd.core.compose.items import Item, keys_of, lines, section, slug_of
from syncd.core.compose.models import instead
from syncd.core.compose.saved import users
from syncd.core.compose.section import Section
from syncd.core.message import Block, Paragraph, Span, bold, code
from syncd.core.text import count, duration, moment


def not_listed(items: list[Item]) -> Iterable[Section]:
    """A line each: who uses it, and what may replace it."""
    first = min(item.at for item in items)
    at_once = all(item.at == first for item in items)

    def line(item: Item) -> tuple[Span, ...]:
        since = () if at_once else (Span(f" · since {moment(item.at)}"),)
        return (code(slug_of(item.change)), *users(item), *since, *instead(item))

    blocks: tuple[Block, ...] = (
        Paragraph((Span(f"Missing since {moment(first)}. "), bold("Not certain yet:"), Span(_WHAT_FOLLOWS))),
        *lines(items, line),
        *still_listed(items),
        Paragraph((Span("What waits to be certain: "), code("syncd held list"))),
    )
    yield section("not_listed", "❓", f"{_which(items)} not listed for {keys_of(items)} (unconfirmed)", items, *blocks)


_WHAT_FOLLOWS: Final = " it is told once it is removed for certain, or listed again."


def listed_again(items: list[Item]) -> Iterable[Section]:
    """How long it was missing. What else is new of it is told as any change is."""

    def line(item: Item) -> tuple[Span, ...]:
        return (code(slug_of(item.change)), Span(f" was missing{_for(item)}"))

    alone = len(items) == 1
    missing = f"It was missing{_for(items[0])}. " if alone else ""
    end = "Nothing was told as removed; what else has changed meanwhile is told as usual."
    blocks = (Paragraph((Span(missing + end),)), *([] if alone else lines(items, line)))
    yield section("not_listed", "✅", f"{_which(items)} listed again for {keys_of(items)}", items, *blocks)


def _for(item: Item) -> str:
    return "" if item.lasted is None else f" for {duration(item.lasted)}"


def _which(items: list[Item]) -> str:
    return f"{slug_of(items[0].change)} is" if len(items) == 1 else f"{count(len(items), 'model')} are"
