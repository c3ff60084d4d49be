"""One thing to say of a change: the same change of several keys is one item that names them, and takes one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from syncd.core import wording
from syncd.core.canon import Json
from syncd.core.changes import Change
from syncd.core.compose.due import ChangeDue
from syncd.core.compose.section import MOST_LINES, Section, and_more, merged
from syncd.core.message import Block, Bullets, Span, code, names
from syncd.core.rules import rank
from syncd.core.text import clean


@dataclass(frozen=True, slots=True)
class Touch:
    """A saved request of a key that the change touches there: `effect`, `why`, and of some `pin` or `edit`.

    `decided` is false where it could not be known of that key whether requests break.
    """

    key: str
    request: str
    how: Mapping[str, Json]
    decided: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to say: a change, and every key it happened to.

    What a change does to requests may differ by key: `change` is the worst of them, `details` are those of all. Of a
    model that is gone, `still` names the keys that list it yet; None where that is not known of all, or where there is
    nobody to compare with. `requests` are the saved ones that it touches, of every key.
    """

    change: Change
    keys: tuple[str, ...]
    at: datetime
    still: tuple[str, ...] | None = None
    requests: tuple[Touch, ...] = ()
    details: tuple[Mapping[str, Json], ...] = ()


# How an item is said in a line.
Saying: TypeAlias = Callable[[Item], tuple[Span, ...]]


def items_of(due: Iterable[ChangeDue]) -> list[Item]:
    """The same change of several keys is one item. The worst come first, and of these what is gone."""
    grouped: dict[str, list[ChangeDue]] = {}
    for one in _standing(due):
        grouped.setdefault(one.change.fingerprint, []).append(one)
    items = (_item(same) for same in grouped.values())
    return sorted(items, key=lambda item: (rank(item.change.severity), item.change.kind != "model.removed"))


_PRESENCE: Final = frozenset({"model.added", "model.returned", "model.removed"})


def _standing(due: Iterable[ChangeDue]) -> list[ChangeDue]:
    """Without what no longer holds: of a model that came and went meanwhile, only what happened last is told."""
    every = list(due)
    last = {(one.key, one.change.slug): one for one in every if one.change.kind in _PRESENCE}
    return [one for one in every if one.change.kind not in _PRESENCE or last[one.key, one.change.slug] is one]


def _item(same: list[ChangeDue]) -> Item:
    keys = tuple(dict.fromkeys(one.key for one in same))
    requests = tuple(touch for one in same for touch in _requests(one))
    details = tuple(one.change.detail for one in same)
    worst = min((one.change for one in same), key=_worst_first)
    return Item(worst, keys, min(one.at for one in same), _still(same, keys), requests, details)


def _worst_first(change: Change) -> tuple[int, bool, bool]:
    """A saved request of one key may prove what is undecided for the others: that is then the one to tell."""
    return (rank(change.severity), not change.decided, change.witness is None)


def _requests(one: ChangeDue) -> Iterable[Touch]:
    """The same change may touch other requests for another key."""
    how = one.change.detail.get("requests") or {}
    return (Touch(one.key, name, how.get(name, {}), one.change.decided) for name in one.change.affects)


def _still(same: list[ChangeDue], keys: tuple[str, ...]) -> tuple[str, ...] | None:
    told = [(name, lists) for one in same for name, lists in one.elsewhere.items() if name not in keys]
    if any(lists is None for _, lists in told) or not any(one.elsewhere for one in same):
        return None
    return tuple(dict.fromkeys(name for name, lists in told if lists))


def section(kind: str, emoji: str, title: str, items: list[Item], *blocks: Block) -> Section:
    """The section that tells the items, as severe as the worst of them."""
    worst = min((item.change.severity for item in items), key=rank)
    at = min(item.at for item in items)
    return Section(kind, worst, emoji, title, blocks, merged(item.keys for item in items), at, len(items))


# --- keys ----------------------------------------------------------------------------------------------------------


def keys_of(items: Iterable[Item]) -> str:
    """The keys that the items are about, in words."""
    return names(merged(item.keys for item in items))


def differ(items: Iterable[Item]) -> bool:
    """Whether it must be said of each item which keys it is about."""
    return len({frozenset(item.keys) for item in items}) > 1


# --- models --------------------------------------------------------------------------------------------------------


def slug_of(change: Change) -> str:
    """The model's name to show."""
    return clean(change.slug or "", 80) or "(a slug without a visible character)"


def count_slugs(items: Iterable[Item]) -> int:
    """How many models the items are about."""
    return len({item.change.slug for item in items})


# --- lines ---------------------------------------------------------------------------------------------------------


def lines(items: list[Item], say: Saying) -> list[Block]:
    """A bullet per item, with its keys where they differ, and how many more there are."""
    with_keys = differ(items)
    said = [(*say(item), Span(f" · for {names(item.keys)}" if with_keys else "")) for item in items[:MOST_LINES]]
    return [Bullets(tuple(tuple(span for span in line if span.text) for line in said)), *more(items)]


def more(items: list[Item]) -> list[Block]:
    """How many items no line was left for."""
    return and_more(len(items), "syncd changes --since 1d")


def phrase(item: Item) -> tuple[Span, ...]:
    """The change alone, under a title that names its model."""
    return wording.phrase(item.change)


def phrase_of_model(item: Item) -> tuple[Span, ...]:
    """The change and its model, beside changes of other models."""
    return (code(slug_of(item.change)), Span(": "), *wording.phrase(item.change))
