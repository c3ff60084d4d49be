"""Changes that need no design of their own: of a model, and of the account."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.core.compose.items import Item, count_slugs, keys_of, lines, phrase, phrase_of_model, section, slug_of
from syncd.core.compose.saved import touched
from syncd.core.compose.section import Section
from syncd.core.message import EMOJI
from syncd.core.text import count


def of_models(items: list[Item]) -> Iterable[Section]:
    """A line each, under the model's name if it is one."""
    one = count_slugs(items) == 1
    title = f"{slug_of(items[0].change) if one else count(count_slugs(items), 'model')} changed"
    said = lines(items, phrase if one else phrase_of_model)
    yield section("other_changed", EMOJI[items[0].change.severity], title, items, *touched(items), *said)


def of_account(items: list[Item]) -> Iterable[Section]:
    """A line each."""
    title = f"Account of {keys_of(items)} changed"
    yield section("other_changed", EMOJI[items[0].change.severity], title, items, *lines(items, phrase))
