"""One thing to say of a change: the same change of several keys is one item that names them, and takes one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from syncd.core import wording
from syncd.core.balance import Wallet
from syncd.core.canon import Json
from syncd.core.changes import Change
from syncd.core.compose.due import ChangeDue, Elsewhere
from syncd.core.compose.section import MOST_LINES, Section, and_more, merged
from syncd.core.compose.tellings import How, Telling, tellings
from syncd.core.message import Block, Bullets, Span, code, names
from syncd.core.rules import Severity, rank
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
    """One thing to say: a change, every key it happened to, and `how` it is told.

    What a change does to requests may differ by key: `change` is the worst of them, `details` are those of all. Of a
    model that is gone, `elsewhere` tells whether keys list it, if that is known, and `planned` are those of its own
    keys whose plan changed at the same poll. `requests` are the saved ones that it touches, of every key. `lasted` is
    how long that was which it ends, `first` the change that it takes back where both are told together. `calls` are
    those it calls. Of a price, `wallet` is that of the keys' account.
    """

    change: Change
    keys: tuple[str, ...]
    at: datetime
    how: How = "change"
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    planned: tuple[str, ...] = ()
    requests: tuple[Touch, ...] = ()
    details: tuple[Mapping[str, Json], ...] = ()
    lasted: timedelta | None = None
    first: Change | None = None
    calls: tuple[str, ...] = ()
    wallet: Wallet | None = None

    @property
    def is_over(self) -> bool:
        """Whether it tells that all is as it was. What that breaks was written meanwhile, and is news."""
        return self.how in ("back", "undone") or (self.how == "reverted" and self.change.severity != "breaking")

    @property
    def severity(self) -> Severity:
        """How bad the news is."""
        return "informational" if self.is_over else self.change.severity


# How an item is said in a line.
Saying: TypeAlias = Callable[[Item], tuple[Span, ...]]


def items_of(due: Iterable[ChangeDue]) -> list[Item]:
    """The same change of several keys is one item. The worst come first, and of these what is gone."""
    grouped: dict[tuple[How, str], list[Telling]] = {}
    for each in tellings(due):
        grouped.setdefault((each.how, each.one.change.fingerprint), []).append(each)
    items = (_item(how, same) for (how, _), same in grouped.items())
    return sorted(items, key=lambda item: (rank(item.severity), item.change.kind != "model.removed"))


def _item(how: How, same: list[Telling]) -> Item:
    due = [each.one for each in same]
    keys = tuple(dict.fromkeys(one.key for one in due))
    item = Item(
        change=min((one.change for one in due), key=_worst_first),
        keys=keys,
        at=min(one.at for one in due),
        how=how,
        elsewhere=_elsewhere(due),
        planned=tuple(dict.fromkeys(one.key for one in due if one.change.detail.get("cause") == "tier-change")),
        requests=tuple(touch for one in due for touch in _requests(one)),
        details=tuple(one.change.detail for one in due),
        lasted=max((lasted for each in same if (lasted := _lasted(each)) is not None), default=None),
        first=next((each.first.change for each in same if each.first is not None), None),
        wallet=_wallet(due),
    )
    called = dict.fromkeys(one.mention for one in due if one.mention is not None)
    return item if item.is_over else replace(item, calls=tuple(called))


def _lasted(each: Telling) -> timedelta | None:
    since = each.one.since if each.first is None else each.first.at
    return None if since is None else max(timedelta(0), each.one.at - since)


def _wallet(due: list[ChangeDue]) -> Wallet | None:
    """What the keys' account holds; None where they are of several."""
    known = {one.wallet.account: one.wallet for one in due if one.wallet is not None}
    return next(iter(known.values())) if len(known) == 1 and all(one.wallet is not None for one in due) else None


def _worst_first(change: Change) -> tuple[int, bool, bool]:
    """A saved request of one key may prove what is undecided for the others: that is then the one to tell."""
    return (rank(change.severity), not change.decided, change.witness is None)


def _requests(one: ChangeDue) -> Iterable[Touch]:
    """The same change may touch other requests for another key."""
    how = one.change.detail.get("requests") or {}
    return (Touch(one.key, name, how.get(name, {}), one.change.decided) for name in one.change.affects)


def _elsewhere(due: list[ChangeDue]) -> dict[str, Elsewhere]:
    """What is known of every key; of one that was not asked since each of these changes, that it was not."""
    found: dict[str, Elsewhere] = {}
    for one in due:
        for name, known in one.elsewhere.items():
            if found.get(name) != "later":
                found[name] = known
    return found


def section(kind: str, emoji: str, title: str, items: list[Item], *blocks: Block) -> Section:
    """The section that tells the items, as severe as the worst of them."""
    worst = min((item.severity for item in items), key=rank)
    at = min(item.at for item in items)
    # That a model is listed again, and never was told as gone, is no change.
    changes = sum(item.how != "back" for item in items)
    return Section(kind, worst, emoji, title, blocks, merged(item.keys for item in items), at, changes)


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
