"""Models that came and went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from syncd.core import credits, wording
from syncd.core.canon import Json
from syncd.core.compose.causes import causes
from syncd.core.compose.examples import start_with
from syncd.core.compose.items import Item, differ, keys_of, lines, more, section, slug_of
from syncd.core.compose.saved import touched
from syncd.core.compose.section import MOST_LINES, Section
from syncd.core.message import Block, Paragraph, Span, Table, code, names
from syncd.core.text import clean, count, moment, shown

T = TypeVar("T")

# Few enough to show how to start with each.
_MOST_EXAMPLES: Final = 3


def unlocked(items: list[Item]) -> Iterable[Section]:
    """Models that can be called now: a table, and how to start with each if they are few."""
    title = f"{count(len(items), 'model')} {_how_unlocked(items)} for {keys_of(items)}"
    examples = _examples(items) if len(items) <= _MOST_EXAMPLES else ()
    blocks = (*touched(items), _table(items), *more(items), *_renamed(items), *examples)
    yield section("models_unlocked", "🔓", title, items, *blocks)


def _renamed(items: list[Item]) -> Iterable[Block]:
    """Which of them are known by another name already."""
    old = [(item, slug) for item in items if (slug := _agreed(item, lambda detail: _text(detail.get("replaces"))))]
    for item, slug in old[:_MOST_EXAMPLES]:
        same = "it is the same model under another name, so only the name has to change."
        yield Paragraph((code(slug_of(item.change)), Span(" replaces "), code(clean(slug, 80)), Span(f": {same}")))


def _how_unlocked(items: list[Item]) -> str:
    back = sum(item.change.kind == "model.returned" for item in items)
    return "unlocked" if back == 0 else "back" if back == len(items) else "unlocked or back"


def _examples(items: list[Item]) -> Iterable[Block]:
    for item in items:
        yield from start_with(slug_of(item.change), _body(item.change.after))


def _table(items: list[Item]) -> Table:
    with_keys = differ(items)
    header = ("Model", "Type", "Credits", "Creator", *(("Keys",) if with_keys else ()))
    return Table(header, tuple(_row(item, with_keys=with_keys) for item in items[:MOST_LINES]))


def _row(item: Item, *, with_keys: bool) -> tuple[str, ...]:
    body = _body(item.change.after)
    price = wording.price_text(body.get("credits_band"))
    row = (slug_of(item.change), _word(body, "category", 20), price, _word(body, "creator", 30))
    return (*row, names(item.keys)) if with_keys else row


def removed(items: list[Item]) -> Iterable[Section]:
    """Models that cannot be called any longer: a line each, with what they were."""
    at_once = len({item.at for item in items}) == 1

    def line(item: Item) -> tuple[Span, ...]:
        since = "" if at_once else f" · gone since {moment(item.at)}"
        was = Span(f" · {_what_it_was(_body(item.change.before))}{since}")
        return (code(slug_of(item.change)), was, *instead(item))

    title = f"{count(len(items), 'model')} removed for {keys_of(items)}"
    yield section("models_removed", "🗑️", title, items, *touched(items), *lines(items, line), *causes(items))


def instead(item: Item) -> Iterable[Span]:
    """What to call instead, as far as the listing tells."""
    if heir := _agreed(item, _heir):
        words, slug = heir
        yield from (Span(f" · {words} "), code(clean(slug, 80)))


def _heir(detail: Mapping[str, Json]) -> tuple[str, str] | None:
    candidates = detail.get("replacement_candidates")
    likely = candidates[0] if isinstance(candidates, list) and candidates else None
    heirs = (
        ("now called", detail.get("replacement")),
        ("newer version", detail.get("successor")),
        ("likely replacement", likely),
    )
    return next(((words, slug) for words, slug in heirs if isinstance(slug, str)), None)


def _agreed(item: Item, read: Callable[[Mapping[str, Json]], T]) -> T | None:
    """What the listings of all its keys say alike: another key may list something else, and must not be sent there."""
    first, *others = map(read, item.details)
    return first if all(other == first for other in others) else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _what_it_was(body: Mapping[str, Json]) -> str:
    text = wording.price_text(body.get("credits_band"))
    is_known = credits.read_band(body.get("credits_band")).form == "ok"
    return f"{_word(body, 'category', 20)} · {f'{text} credits' if is_known else f'price {text}'}"


def _body(side: object) -> Mapping[str, Json]:
    """A model's body (the first one, where contents conflict)."""
    first = side[0] if isinstance(side, list) and side else side
    return first if isinstance(first, Mapping) else {}


def _word(body: Mapping[str, Json], name: str, limit: int) -> str:
    value = body.get(name)
    return "-" if value is None else shown(value, limit)
