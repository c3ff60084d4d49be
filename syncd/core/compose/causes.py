"""Why a model is gone for some keys, as far as the other keys tell that were asked since. Only processes data.

    another key still lists it, and the plan changed at the same poll    the plan
                                and it did not                           an allowlist
    gone for every key that had it                                       the vendor

Nothing is concluded from keys that the destination may not read of, or that were not asked since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from syncd.core.compose.due import Elsewhere
from syncd.core.compose.items import Item, slug_of
from syncd.core.message import Block, Paragraph, Span, names


def causes(items: Iterable[Item]) -> Iterable[Block]:
    """A sentence, for each sort of cause where they differ."""
    return _said(items, _why)


def still_listed(items: Iterable[Item]) -> Iterable[Block]:
    """Where else they are listed, of what may be gone: too early to say why."""
    return _said(items, lambda item: f"Still listed for {names(on)}." if (on := _of(item, "lists")) else "")


def _said(items: Iterable[Item], say: Callable[[Item], str]) -> Iterable[Block]:
    said: dict[str, list[Item]] = {}
    for item in items:
        said.setdefault(say(item), []).append(item)
    for words, members in said.items():
        if words:
            which = "" if len(said) == 1 else f"{names([slug_of(item.change) for item in members])}: "
            yield Paragraph((Span(f"{which}{words}"),))


def _why(item: Item) -> str:
    if on := _of(item, "lists"):
        return f"Still listed for {names(on)}: it is the access that has changed{_how(item)}."
    gone = _of(item, "gone")
    if item.planned == item.keys:
        return "The plan changed at the same poll, which decides what a key may call."
    if not item.elsewhere or _of(item, "later"):
        return ""
    if len(item.keys) + len(gone) > 1:
        asked = " and could be asked" if _of(item, "silent") else ""
        return f"Gone for every key that had it{asked}: the vendor has likely withdrawn it."
    return "No other key that is watched here lists it." if _of(item, "without") else ""


def _how(item: Item) -> str:
    """By the plan where that changed at the same poll, else by an allowlist: for each of its keys."""
    others = [key for key in item.keys if key not in item.planned]
    if not item.planned:
        return ", likely an allowlist; the plan is as it was"
    with_plan = ", with the plan" if not others else f", of {names(item.planned)} with the plan"
    return f"{with_plan}, of {names(others)} likely by an allowlist" if others else with_plan


def _of(item: Item, known: Elsewhere) -> Sequence[str]:
    """Other keys of which this is known."""
    return [name for name, elsewhere in item.elsewhere.items() if elsewhere == known and name not in item.keys]
