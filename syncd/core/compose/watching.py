"""Keys that are seen for the first time: told as one notice, however many."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.core.compose.due import ChangeDue, Due
from syncd.core.compose.section import MOST_LINES, Section, and_more
from syncd.core.message import Block, Bullets, Paragraph, Span, code, names
from syncd.core.rules import BASELINE
from syncd.core.text import count


def is_first(one: Due) -> bool:
    """Whether it is a key's first catalogue, which is nothing that has changed."""
    return isinstance(one, ChangeDue) and one.change.kind == BASELINE.id


def sections(due: Iterable[ChangeDue]) -> Iterable[Section]:
    """That syncd watches them from now on: a sign of life, and the point from which changes are told."""
    firsts = list({one.key: one for one in due}.values())
    if not firsts:
        return
    keys = tuple(one.key for one in firsts)
    several = len(keys) > 1
    what = f"{count(len(keys), 'key')}: {names(keys)}" if several else f"{_models(firsts[0])} for {names(keys)}"
    told = Paragraph((Span("Changes are told from here on. What can be called now: "), code("syncd models")))
    blocks = (*(_list(firsts) if several else ()), told)
    at = min(one.at for one in firsts)
    yield Section("watching", "informational", "👀", f"Watching {what}", blocks, keys, at)


def _list(firsts: list[ChangeDue]) -> Iterable[Block]:
    yield Bullets(tuple((code(names([one.key])), Span(f": {_models(one)}")) for one in firsts[:MOST_LINES]))
    yield from and_more(len(firsts), "syncd status")


def _models(one: ChangeDue) -> str:
    known = one.change.detail.get("models")
    return count(known if isinstance(known, int) else 0, "model")
