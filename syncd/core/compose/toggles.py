"""What goes back and forth: taken back, or kept up until somebody is told so once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from syncd.core import credits, wording
from syncd.core.canon import MISSING
from syncd.core.changes import Change
from syncd.core.compose.items import Item, Saying, count_slugs, keys_of, lines, section, slug_of
from syncd.core.compose.saved import touched
from syncd.core.compose.section import Section
from syncd.core.compose.tellings import PRESENCE
from syncd.core.message import Block, Paragraph, Span, code
from syncd.core.text import clean, count, duration, moment, shown

# --- taken back ----------------------------------------------------------------------------------------------------


def taken_back(items: list[Item]) -> Iterable[Section]:
    """A section for each family of changes, in its design."""
    families: dict[str, list[Item]] = {}
    for item in items:
        families.setdefault(_family(item.change), []).append(item)
    for design, members in families.items():
        lasting = [item for item in members if item.how == "reverted"]
        yield section(
            design,
            "↩️",
            _title(design, members),
            members,
            *touched(lasting),
            *lines(members, _there_and_back(_named(members))),
        )


def _family(change: Change) -> str:
    if change.kind.startswith("credits.band."):
        return "price_changed"
    return "parameters_changed" if change.kind.startswith("param.") else "other_changed"


def _title(design: str, items: list[Item]) -> str:
    """Price back at 90 to 120: wan-2.7; of several, how many."""
    there = "changed and changed " if all(item.how == "undone" for item in items) else ""
    whose = _whose(items)
    if design == "price_changed":
        prices = {wording.price_text(item.change.after) for item in items}
        at = f" at {prices.pop()}" if len(prices) == 1 and not there else ""
        return f"Price {there}back{at}: {whose}"
    return (
        f"Parameters {there}back: {whose}" if design == "parameters_changed" else f"{whose} {there or 'changed '}back"
    )


def _there_and_back(named: Saying) -> Saying:
    """What happened and that it is over; where it was told before, only the way back."""

    def line(item: Item) -> tuple[Span, ...]:
        after = "" if item.lasted is None else f" after {duration(item.lasted)}"
        if item.first is not None:
            return (*named(item), *wording.phrase(item.first), Span(f", and back{after}"))
        return (*named(item), *wording.phrase(item.change), Span(f": back as it was{after}"))

    return line


# --- kept up -------------------------------------------------------------------------------------------------------


def flapping(items: list[Item]) -> Iterable[Section]:
    """Told once: how often it has changed, what it is now, and when it is told of again."""
    whose = _whose(items)
    title = f"{whose}: {_fields(items)} keep changing" if items[1:] else f"{whose} keeps {_doing(items[0].change)}"
    later = Span(f"Told again once it has been the same for {_stable(items)}, if not as here: ")
    blocks = (*touched(items), *_said(items, _restless), Paragraph((later, code(_command(items)))))
    yield section("flapping", "🌀", title, items, *blocks)


def settled(items: list[Item]) -> Iterable[Section]:
    """What it is by now."""
    whose = _whose(items)
    title = f"{whose}: {_fields(items)} settled" if items[1:] else f"{whose} has settled{_in(items[0].change)}"
    stable = Paragraph((Span(f"So it has been for {_stable(items)}."),))
    yield section("flapping", "🌀", title, items, *touched(items), *_said(items, _at_rest), stable)


def _restless(item: Item) -> tuple[Span, ...]:
    did = "came and went" if item.change.kind in PRESENCE else "changed"
    return (*_what(item.change), Span(f" {did} {_times(item)}; it is now "), *_now(item.change))


def _at_rest(item: Item) -> tuple[Span, ...]:
    did = "came and went" if item.change.kind in PRESENCE else "changed"
    return (*_what(item.change), Span(" is "), *_now(item.change), Span(f", after it {did} {_times(item)}"))


def _said(items: list[Item], say: Saying) -> Iterable[Block]:
    """One in a sentence; of several a line each, which names its model."""
    if not items[1:]:
        return [Paragraph((*say(items[0]), Span(".")))]
    named = _named(items)
    return lines(items, lambda item: (*named(item), *say(item)))


def _times(item: Item) -> str:
    """3 times since a time, at most: keys may differ."""
    facts = [fact for detail in item.details if isinstance(fact := detail.get("flapping"), Mapping)]
    times = max((many for fact in facts if isinstance(many := fact.get("times"), int)), default=0)
    since = min((str(fact["since"]) for fact in facts if fact.get("since")), default="")
    return f"{count(times, 'time')}{f' since {_moment(since)}' if since else ''}"


def _moment(text: str) -> str:
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:
        return clean(text, 40)


_HOURS: Final = re.compile(r"(\d{1,4})([dhms])")


def _stable(items: list[Item]) -> str:
    """6 h."""
    facts = items[0].change.detail.get("flapping")
    given = clean(str(facts.get("stable")), 20) if isinstance(facts, Mapping) else ""
    return f"{found[1]} {found[2]}" if (found := _HOURS.fullmatch(given)) else "a while"


def _doing(change: Change) -> str:
    return f"{'coming and going' if change.kind in PRESENCE else 'changing'}{_in(change)}"


def _in(change: Change) -> str:
    return "" if change.kind in PRESENCE else f": {_place(change)}"


def _what(change: Change) -> tuple[Span, ...]:
    return (Span("The model"),) if change.kind in PRESENCE else (code(_place(change)),)


def _place(change: Change) -> str:
    """The field, in its model or account: params.duration.max."""
    return clean(".".join(change.path if change.slug is None else change.path[2:]), 80) or change.kind


def _now(change: Change) -> tuple[Span, ...]:
    """What it is now; where that is no plain value, the last change."""
    if change.kind in PRESENCE:
        return (Span("gone" if change.kind == "model.removed" else "there"),)
    if change.kind.startswith("credits.band.") and change.after is not MISSING:
        known = credits.read_band(change.after).form == "ok"
        return (Span(f"{wording.price_text(change.after)}{' credits' if known else ''}"),)
    if change.after is MISSING or isinstance(change.after, Mapping | list) or change.kind.startswith("param.enum."):
        return (Span("so: "), *wording.phrase(change))
    return (code(shown(change.after)),)


# --- whose it is ---------------------------------------------------------------------------------------------------


def _whose(items: list[Item]) -> str:
    """The model, or how many; the account of what is of no model."""
    if all(item.change.slug is None for item in items):
        return f"Account of {keys_of(items)}"
    models = [item for item in items if item.change.slug is not None]
    one = count_slugs(items) == 1
    return slug_of(models[0].change) if one else count(count_slugs(models), "model")


def _fields(items: list[Item]) -> str:
    return count(len(items), "field")


def _named(items: list[Item]) -> Saying:
    """What stands before each of them: nothing, if the title says whose they are."""
    one = count_slugs(items) == 1
    return lambda item: () if one or item.change.slug is None else (code(slug_of(item.change)), Span(": "))


# What can stand in a command as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@-]{1,80}")


def _command(items: list[Item]) -> str:
    """The command that shows everything that was recorded of them."""
    slug = items[0].change.slug
    one = count_slugs(items) == 1 and slug is not None and _PLAIN.fullmatch(slug)
    return f"syncd changes --model {slug}" if one else "syncd changes --since 2d"
