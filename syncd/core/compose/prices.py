"""Prices that moved."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from syncd.core.balance import MOST_DAYS, days_left, rounded
from syncd.core.canon import MISSING, is_number
from syncd.core.changes import Change
from syncd.core.compose.items import Item, count_slugs, lines, phrase, phrase_of_model, section, slug_of
from syncd.core.compose.section import Section
from syncd.core.credits import read_band
from syncd.core.message import Block, Paragraph, Span, code
from syncd.core.text import count, number, percent

_UP: Final = frozenset({"raised", "raised-disjoint", "ceiling-raised", "floor-raised"})
_DOWN: Final = frozenset({"lowered", "lowered-disjoint", "ceiling-lowered", "floor-lowered"})


def moved(items: list[Item]) -> Iterable[Section]:
    """A line each; the title says which way, and for one model by how much."""
    emoji, word = direction(item.change for item in items)
    one = count_slugs(items) == 1
    if one:
        title = f"Price {word}{_by(items) if word != 'changed' else ''}: {slug_of(items[0].change)}"
    else:
        title = f"Price {word}: {count(count_slugs(items), 'model')}"
    said = lines(items, phrase if one else phrase_of_model)
    reason = _reason(items, "Its parameters" if one else "Parameters")
    yield section("price_changed", emoji, title, items, *said, *reason, *_runway(items))


def direction(changes: Iterable[Change]) -> tuple[str, str]:
    """Which way they all went: an emoji and a word."""
    moves = {change.kind.removeprefix("credits.band.") for change in changes}
    return ("📈", "up") if moves <= _UP else ("📉", "down") if moves <= _DOWN else ("💱", "changed")


def most(items: Iterable[Item]) -> Decimal:
    """By how many percent one of their edges moved at most; 0 where that cannot be said."""
    edges = [item.change.detail.get(name) for item in items for name in ("min_percent", "max_percent")]
    return max((abs(Decimal(edge)) for edge in edges if edge is not None and is_number(edge)), default=Decimal(0))


def _by(items: list[Item]) -> str:
    """By how much at most, where that can be said."""
    furthest = most(items)
    return f" {percent(furthest).lstrip('+')}" if furthest else ""


def _reason(items: list[Item], subject: str) -> Iterable[Block]:
    if any("related" in item.change.detail for item in items):
        yield Paragraph((Span(f"{subject} changed at the same poll, which may be the reason."),))


def _runway(items: list[Item]) -> Iterable[Block]:
    """How long the wallet lasts, and what the ceiling that rose most, or fell least, would make of that by itself."""
    wallets = {item.wallet for item in items}
    wallet = next(iter(wallets)) if len(wallets) == 1 else None
    days = None if wallet is None else days_left(wallet)
    factor, item = max(((_factor(item.change), item) for item in items), key=lambda pair: pair[0] or 0)
    if days is None or days >= MOST_DAYS or factor is None:
        return
    what = Span("this model") if count_slugs(items) == 1 else code(slug_of(item.change))
    present = f"The wallet lasts about {_days(days)} at the present burn; if all of it were spent on "
    yield Paragraph((Span(present), what, Span(f", about {_days(days / factor)}.")))


def _days(days: Decimal) -> str:
    left = rounded(min(days, Decimal(MOST_DAYS)))
    return f"{number(left)} {'day' if left == 1 else 'days'}"


def _factor(change: Change) -> Decimal | None:
    """By what the dearest call was multiplied; None where it was not, or one of the two is no price."""
    old, new = (read_band(None if raw is MISSING else raw) for raw in (change.before, change.after))
    if old.form != "ok" or new.form != "ok" or old.high == new.high or not old.high or not new.high:
        return None
    return Decimal(new.high) / Decimal(old.high)
