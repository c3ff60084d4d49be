"""More changes than a message can hold: a table of what changed, the worst of it, and the rest in the thread.

items, the worst first ─┬─ all ─────────────────> a table: what changed, of how many models, the worst
                        ├─ the first breaking ──> a line each
                        └─ the rest ────────────> replies of `MOST_LINES` lines; after the last, how many are left
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

import msgspec

from syncd.core.compose import prices
from syncd.core.compose.items import Item, count_slugs, differ, keys_of, slug_of
from syncd.core.compose.saved import touched, users
from syncd.core.compose.section import MOST_LINES, merged
from syncd.core.compose.tellings import How
from syncd.core.message import EMOJI, Block, Bullets, Message, Paragraph, Span, Table, bold, code, flat, names
from syncd.core.text import clean, count, moment, number, percent
from syncd.core.wording import phrase

# A digest names so many of the changes that break requests before the thread does.
MOST_BREAKING: Final = 10
MOST_REPLIES: Final = 4


@dataclass(frozen=True, slots=True)
class Digest:
    """What stands in the message itself, and what follows in its thread."""

    blocks: tuple[Block, ...]
    replies: tuple[Message, ...]


def digest(items: Sequence[Item]) -> Digest:
    """The items (the worst first; never none) as a digest."""
    breaking = sum(item.severity == "breaking" for item in items)
    first = list(items[: min(breaking, MOST_BREAKING)])
    parts, left = _parts(items[len(first) :])
    seen = [item.at for item in items]
    head = Paragraph(tuple(_sentence(min(seen), max(seen), breaking, thread=bool(parts))))
    lines = _lines(first, items)
    more = _and_more(breaking - len(first), "breaking, first in the thread")
    replies = tuple(_reply(part, position, len(parts)) for position, part in enumerate(parts, 1))
    # No line each: what a change does to them, with its remedy, stands in `syncd changes` and the change log.
    lasting = [item for item in items if not item.is_over and item.how != "unconfirmed"]
    return Digest((head, *touched(lasting, told=0), _table(items), *lines, *more), _with_rest(replies, left, min(seen)))


def _sentence(first: datetime, last: datetime, breaking: int, *, thread: bool) -> Iterable[Span]:
    until = "" if moment(first) == moment(last) else f" to {moment(last)}"
    yield Span(f"Seen {moment(first)}{until}. ")
    if breaking:
        yield bold(f"{number(breaking)} can break requests.")
    if thread:
        yield Span(" The rest is in the thread.")


# --- the table -----------------------------------------------------------------------------------------------------


def _table(items: Sequence[Item]) -> Table:
    families: dict[str, list[Item]] = {}
    for item in items:
        families.setdefault(_family(item), []).append(item)
    return Table(
        ("Change", "Models", "Worst"), tuple(_row(name, members) for name, members in families.items()), named=2
    )


def _row(name: str, members: list[Item]) -> tuple[str, ...]:
    worst = max(members, key=lambda item: prices.most([item]))  # the first of them where none is a price
    if worst.change.slug is None:
        return (name, "-", names(worst.keys))
    moved = prices.most([worst])
    by = f" {percent(moved).lstrip('+')}" if moved else ""
    return (name, number(count_slugs(members)), f"{slug_of(worst.change)}{by}")


_OF_MODELS: Final = {"model.added": "🔓 Unlocked", "model.returned": "🔓 Back", "model.removed": "🗑️ Removed"}


_OF_DOUBTS: Final[Mapping[How, str]] = {
    "unconfirmed": "❓ Not listed",
    "back": "✅ Listed again",
    "reverted": "↩️ Changed back",
    "undone": "↩️ Changed back",
    "flapping": "🌀 Keeps changing",
    "settled": "🌀 Settled",
}


def _family(item: Item) -> str:
    """What kind of news it is, in a word or two."""
    change = item.change
    if (doubt := _OF_DOUBTS.get(item.how)) is not None:
        return doubt
    if change.kind.startswith("credits.band."):
        emoji, word = prices.direction([change])
        return f"{emoji} Price {word}"
    if (name := _OF_MODELS.get(change.kind)) is not None:
        return name
    what = "Account" if change.slug is None else "Parameters" if change.kind.startswith("param.") else "Other fields"
    return f"{EMOJI[change.severity]} {f'Breaking {what.lower()}' if change.severity == 'breaking' else what}"


# --- lines ---------------------------------------------------------------------------------------------------------


def _lines(items: Sequence[Item], among: Sequence[Item]) -> list[Block]:
    """A bullet per item, with its keys where they differ among all."""
    with_keys = differ(among)
    return [Bullets(tuple(_line(item, with_keys=with_keys) for item in items))] if items else []


# Slack takes only so much: as many lines as a part has must fit, however long the slugs are.
_MOST_IN_A_LINE: Final = 120
_LEAST_WORDS: Final = 24


def _line(item: Item, *, with_keys: bool) -> tuple[Span, ...]:
    """In as few pieces as can be, each of which costs room."""
    change = item.change
    slug = "" if change.slug is None else slug_of(change)
    keys = f" · for {names(item.keys)}" if with_keys else ""
    room = max(_LEAST_WORDS, _MOST_IN_A_LINE - len(slug) - len(keys))
    words = clean(_words(item), room) + keys
    mark = f"{EMOJI[item.severity]} "
    return (Span(mark), code(slug), Span(f" {words}")) if slug else (Span(f"{mark}{words}"),)


_OF_PRESENCE: Final = {"model.added": "unlocked", "model.returned": "back", "model.removed": "removed"}


def _words(item: Item) -> str:
    words = _OF_PRESENCE.get(item.change.kind) or flat(phrase(item.change))
    match item.how:
        case "unconfirmed":
            return f"not listed (unconfirmed){flat(users(item))}"
        case "back":
            return "listed again"
        case "reverted":
            return f"back as it was: {words}"
        case "undone":
            return f"there and back: {words}"
        case "flapping":
            return f"keeps changing, now: {words}"
        case "settled":
            return f"settled: {words}"
        case "change":
            return words
    assert_never(item.how)


def _and_more(rest: int, where: str) -> list[Block]:
    return [Paragraph((Span(f"and {number(rest)} more {where}"),))] if rest > 0 else []


# --- the thread ----------------------------------------------------------------------------------------------------


def _parts(items: Sequence[Item]) -> tuple[list[Sequence[Item]], int]:
    """The items in as many parts as there are replies, and how many find no room."""
    parts = [items[at : at + MOST_LINES] for at in range(0, len(items), MOST_LINES)]
    return parts[:MOST_REPLIES], sum(map(len, parts[MOST_REPLIES:]))


def _reply(part: Sequence[Item], position: int, of: int) -> Message:
    keys = merged(item.keys for item in part)
    title = f"{count(len(part), 'change')} for {keys_of(part)}{f' ({position} of {of})' if of > 1 else ''}"
    return Message(
        kind="digest_part",
        severity=part[0].severity,
        emoji="📦",
        title=title,
        summary=title,
        blocks=tuple(_lines(part, part)),
        keys=tuple(clean(key, 64) for key in keys),
        detected=min(item.at for item in part),
        reference="",
    )


def _with_rest(replies: tuple[Message, ...], left: int, first: datetime) -> tuple[Message, ...]:
    """The last reply says what found no room."""
    if not left:
        return replies
    # Rounded down, so that the command shows the first of them too.
    since = first.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rest = Paragraph((Span(f"and {number(left)} more: "), code(f"syncd changes --since {since}")))
    *others, last = replies
    return (*others, msgspec.structs.replace(last, blocks=(*last.blocks, rest)))
