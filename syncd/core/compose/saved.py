"""What changes do to saved requests: which break, which mean something else now, which are accepted at last.

items -> each saved request that they touch, once, by the worst that happens to it -> a sentence, and how to mend a few

The requests are those of keys that the destination may read of, for so are the items. Only processes data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from syncd.core.canon import Json, dumps, pointer
from syncd.core.compose.items import Item
from syncd.core.message import Block, Paragraph, Span, bold, code
from syncd.core.text import clean, number

# How a request is touched: `effect`, `why`, and of some `pin` or `edit` (`core.affected`).
Touch: TypeAlias = Mapping[str, Json]

# The worst first: what stands before the requests that are touched so.
_SAID: Final[Mapping[str, str]] = {
    "rejected": "Breaks",
    "different": "Another result, without an error, of",
    "accepted": "Now accepted:",
}
_WORST_FIRST: Final = tuple(_SAID)
# So many are named in a sentence, and so many told more of, with so many members each.
_MOST_NAMES: Final = 5
_MOST_TOLD: Final = 3
_MOST_MEMBERS: Final = 4
_MOST_WORDS: Final = 200


def touched(items: Iterable[Item], *, told: int = _MOST_TOLD) -> list[Block]:
    """A sentence for each thing that happens to saved requests, and one for each of so many that need to be mended."""
    every = _by_effect(items)
    return [block for effect in _WORST_FIRST if effect in every for block in _of(effect, every[effect], told)]


def _by_effect(items: Iterable[Item]) -> Mapping[str, Mapping[str, Sequence[Touch]]]:
    """Each request under its worst effect alone, with everything that does this to it."""
    found: dict[str, list[Touch]] = {}
    for name, touch in (pair for item in items for pair in item.requests):
        found.setdefault(name, []).append(touch)
    every: dict[str, dict[str, Sequence[Touch]]] = {}
    for name in sorted(found):
        worst = min((_effect(touch) for touch in found[name]), key=_WORST_FIRST.index)
        every.setdefault(worst, {})[name] = [touch for touch in found[name] if _effect(touch) == worst]
    return every


def _effect(touch: Touch) -> str:
    # What a newer version calls otherwise is at least worth a look.
    effect = str(touch.get("effect"))
    return effect if effect in _SAID else "different"


def _of(effect: str, requests: Mapping[str, Sequence[Touch]], told: int) -> Iterator[Block]:
    few = list(requests.items())[:told] if effect != "accepted" else []
    if len(requests) == len(few) == 1:
        ((name, touches),) = few
        yield Paragraph((bold(_SAID[effect]), Span(" your saved request "), *_more_of(name, touches)))
        return
    noun = "your saved request" if len(requests) == 1 else "your saved requests"
    yield Paragraph((bold(_SAID[effect]), Span(f" {noun} "), *_named(list(requests)), Span(".")))
    yield from (Paragraph(_more_of(name, touches)) for name, touches in few)


def _named(requests: Sequence[str]) -> Iterator[Span]:
    for n, name in enumerate(requests[:_MOST_NAMES]):
        yield from ([Span(", ")] if n else [])
        yield _name(name)
    if len(requests) > _MOST_NAMES:
        yield Span(f" and {number(len(requests) - _MOST_NAMES)} more")


def _name(name: str) -> Span:
    return code(clean(name, 64))


def _more_of(name: str, touches: Sequence[Touch]) -> tuple[Span, ...]:
    """Why, and what to send instead."""
    reasons = dict.fromkeys(str(touch["why"]) for touch in touches if touch.get("why"))
    why = clean("; ".join(reasons), _MOST_WORDS)
    return (_name(name), Span(f": {why}" if why else ""), *_pins(touches), *_edits(touches), Span("."))


def _pins(touches: Sequence[Touch]) -> Iterator[Span]:
    if pins := _all(touches, "pin"):
        yield from (Span(". Pin "), code(_members({pointer((name,)): pins[name] for name in pins})))
        yield Span(" to keep what you got")


def _edits(touches: Sequence[Touch]) -> Iterator[Span]:
    """What mends it, if anything mends all of it; null in an edit stands for "leave it out"."""
    edits = _all(touches, "edit")
    if not edits or not all(touch.get("edit") for touch in touches):
        return
    sent = {place: value for place, value in edits.items() if value is not None}
    left_out = [place for place, value in edits.items() if value is None]
    yield from (Span(". Send "), code(_members(sent))) if sent else ()
    yield from (Span(" and leave out " if sent else ". Leave out "), code(_places(left_out))) if left_out else ()


def _all(touches: Sequence[Touch], which: str) -> dict[str, Json]:
    return {name: value for touch in touches for name, value in (touch.get(which) or {}).items()}


def _members(values: Mapping[str, Json]) -> str:
    return _few([f"{_place(place)}: {dumps(value)}" for place, value in values.items()])


def _places(places: Iterable[str]) -> str:
    return _few([_place(place) for place in places])


def _place(place: str) -> str:
    """A member of the body as it is written; what lies deeper by its pointer."""
    name = place.removeprefix("/")
    return place if "/" in name else dumps(name.replace("~1", "/").replace("~0", "~"))


def _few(words: Sequence[str]) -> str:
    return ", ".join(clean(word, 80) for word in words[:_MOST_MEMBERS]) + (", …" if len(words) > _MOST_MEMBERS else "")
