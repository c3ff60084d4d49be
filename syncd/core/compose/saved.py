"""What changes do to saved requests: which break, which mean something else now, which are accepted at last.

items -> each saved request that they touch, once, by the worst that happens to it -> a sentence, and how to mend a few

The requests are those of keys that the destination may read of, for so are the items. Only processes data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from syncd.core.canon import Json, dumps, pointer
from syncd.core.compose.items import Item, Touch
from syncd.core.message import Block, Paragraph, Span, bold, code, names
from syncd.core.text import clean, number

# Refused by a change of which it could not be known whether it breaks requests.
_REFUSED: Final = "refused"

# The worst first: what stands before the requests that are touched so.
_SAID: Final[Mapping[str, str]] = {
    "rejected": "Breaks",
    _REFUSED: "Refuses now (nobody could tell before)",
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


def users(item: Item) -> tuple[Span, ...]:
    """Who uses the model that it is about."""
    requests = sorted({touch.request for touch in item.requests})
    return (Span(" · used by "), *_named(requests)) if requests else ()


def _by_effect(items: Iterable[Item]) -> Mapping[str, Mapping[str, Sequence[Touch]]]:
    """Each request under its worst effect alone, with everything that does this to it, and what is to be pinned."""
    found: dict[str, list[Touch]] = {}
    for touch in (touch for item in items for touch in item.requests):
        found.setdefault(touch.request, []).append(touch)
    every: dict[str, dict[str, Sequence[Touch]]] = {}
    for name in sorted(found):
        worst = min((_effect(touch) for touch in found[name]), key=_WORST_FIRST.index)
        every.setdefault(worst, {})[name] = [
            touch for touch in found[name] if _effect(touch) == worst or "pin" in touch.how
        ]
    return every


def _effect(touch: Touch) -> str:
    effect = str(touch.how.get("effect"))
    if effect == "rejected" and not touch.decided:
        return _REFUSED
    # What a newer version calls otherwise is at least worth a look.
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
    """Why, and what to send instead: once for all keys of which it is the same, or for each."""
    of_key: dict[str, list[Mapping[str, Json]]] = {}
    for touch in touches:
        of_key.setdefault(touch.key, []).append(touch.how)
    told: dict[tuple[Span, ...], list[str]] = {}
    for key, hows in of_key.items():
        told.setdefault((*_why(hows), *_pins(hows), *_edits(hows)), []).append(key)
    if len(told) == 1:
        return (_name(name), *next(iter(told)), Span("."))
    few = list(told.items())[:_MOST_TOLD]
    each = [span for spans, keys in few for span in (Span(f" For {names(keys)}"), *spans, Span("."))]
    return (_name(name), Span("."), *each, *([Span(" …")] if len(told) > len(few) else []))


def _why(touches: Sequence[Mapping[str, Json]]) -> Iterator[Span]:
    reasons = dict.fromkeys(str(touch["why"]) for touch in touches if touch.get("why"))
    if why := clean("; ".join(reasons), _MOST_WORDS):
        yield Span(f": {why}")


def _pins(touches: Sequence[Mapping[str, Json]]) -> Iterator[Span]:
    if pins := _all(touches, "pin"):
        yield from (Span(". Pin "), code(_members({pointer((name,)): pins[name] for name in pins})))
        yield Span(" to keep what you got")


def _edits(touches: Sequence[Mapping[str, Json]]) -> Iterator[Span]:
    """What mends it, if anything mends all of it; null in an edit stands for "leave it out"."""
    refused = [touch for touch in touches if "pin" not in touch]
    edits = _all(refused, "edit")
    if not edits or not all(touch.get("edit") for touch in refused):
        return
    sent = {place: value for place, value in edits.items() if value is not None}
    left_out = [place for place, value in edits.items() if value is None]
    yield from (Span(". Send "), code(_members(sent))) if sent else ()
    yield from (Span(" and leave out " if sent else ". Leave out "), code(_places(left_out))) if left_out else ()


def _all(touches: Sequence[Mapping[str, Json]], which: str) -> dict[str, Json]:
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
