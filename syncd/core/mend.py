"""What a value that is refused might have been meant to be: candidates, the likeliest first.

    "12" --as another type--> 12 --nearest in the domain--> 10
    "1k" --the listed twin, else the closest--> "1K"
    ...  --default--> listed --> leave it out, where that is allowed --> any admitted value, where it is not

A candidate may be refused as well: whoever asks tries them in turn. None is null, so that null can stand for "leave it
out" wherever an edit is written as JSON.

Only processes data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import SequenceMatcher, get_close_matches
from fractions import Fraction
from itertools import islice
from typing import Final, Literal, TypeAlias

from syncd.core import compat
from syncd.core.canon import MISSING, Json, Missing, canonical, fits, is_number
from syncd.core.compat import Constraint, Domain, numbers
from syncd.core.text import fold

# What to do where nothing is like the value: a parameter that must be sent gets any value, one that need not is left
# out, an element is left to its list.
Otherwise: TypeAlias = Literal["any", "leave-out", "nothing"]

_NUMBER: Final = re.compile(r"\s*-?(0|[1-9]\d{0,99})(\.\d{1,99})?\s*", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
# Longer texts are not compared letter by letter: it takes the product of the lengths, and nobody mistypes prose.
_COMPARED: Final = 100
# Of a name that long hardly anybody mistypes a letter.
_COMPARED_NAMES: Final = 64
_CLOSE: Final = 0.6
# The likest name may be another's already; a few more are enough.
_FEW: Final = 5


def candidates(
    value: Json, domains: Sequence[Domain], defaults: Iterable[Json], otherwise: Otherwise
) -> Iterator[Json | Missing]:
    """What to try instead of the value, in turn."""
    if value is None and otherwise != "any":
        yield from [MISSING] * (otherwise == "leave-out")
        return
    listed = [each for each in _listed(domains) if each is not None]
    alike = [each for each in (value, *_converted(value)) if each is not None]
    for each in alike:
        yield each
        yield from _near(each, domains)
        yield from _likest(each, listed)
    yield from (default for default in defaults if default is not None)
    if isinstance(value, str):
        yield from (found for found in _samples(domains) if isinstance(found, str) and found.startswith(value))
    yield from listed
    if otherwise == "leave-out":
        yield MISSING
    elif otherwise == "any":
        yield from _samples(domains)


def _converted(value: Json) -> Iterator[Json]:
    """The value as another type, where it reads like one of it."""
    match value:
        case str():
            if _NUMBER.fullmatch(value):
                yield Decimal(value.strip()) if "." in value else int(value)
            if (flag := _BOOLEANS.get(fold(value))) is not None:
                yield flag
        case bool():
            yield "true" if value else "false"
        case int() | Decimal():
            yield canonical(value)
        case [only]:
            yield only
    if value is not None and not isinstance(value, list):
        yield [value]


# --- the nearest ---------------------------------------------------------------------------------------------------


def _near(value: Json, domains: Sequence[Domain]) -> Iterator[Json]:
    """What differs from the value by as little as the bounds demand."""
    if is_number(value):
        yield from _nearest_numbers(value, domains)
    elif isinstance(value, str):
        yield value.strip()
        yield from _cut(value, "max_length", domains)
    elif isinstance(value, list):
        yield from _cut(value, "max_items", domains)


def _cut(value: str | list[Json], limit: str, domains: Sequence[Domain]) -> Iterator[Json]:
    limits = [high for of in domains if (high := of.number(limit)) is not None]
    if limits and 0 <= (most := math.floor(min(limits))) < len(value):
        yield value[:most]


def _nearest_numbers(value: Json, domains: Sequence[Domain]) -> Iterator[Json]:
    first = [near for of in domains for near in _neighbours(of, value)]
    # What one domain made of it may have to be fitted into the next.
    second = [further for near in first for of in domains for further in _neighbours(of, near)]
    yield from sorted((*first, *second), key=lambda number: _distance(number, value))


def _distance(a: Json, b: Json) -> Fraction:
    return abs(Fraction(a) - Fraction(b))


def _neighbours(of: Domain, value: Json) -> Iterator[Json]:
    """The nearest that is listed; else the greatest element not above the value and the least not below it."""
    listed = of.get("values")
    if listed is not None:
        by_distance = sorted(filter(is_number, listed.argument), key=lambda each: _distance(each, value))
        yield from islice((each for each in by_distance if compat.contains(of, each)), 1)
    elif of.kind in ("integer", "number"):
        for side, tighter in (("max", min), ("min", max)):
            stated = of.get(side)
            bound = Constraint(side, value if stated is None else tighter(value, stated.argument))
            others = tuple(c for c in of.constraints if c.attribute != side)
            # Against its own bound, a domain's candidate is its outermost element.
            for found in numbers.candidates(of._replace(constraints=(*others, bound)), bound):
                if is_number(found) and fits(found) and compat.contains(of, found):
                    yield found


# --- the likest ----------------------------------------------------------------------------------------------------


def _listed(domains: Sequence[Domain]) -> list[Json]:
    """What every list holds (the first list says it all where there is only one)."""
    lists = [found.argument for of in domains if (found := of.get("values")) is not None]
    return lists[0] if lists else []


def _likest(value: Json, listed: Sequence[Json]) -> Iterator[str]:
    """The listed text that differs in case or space alone; else the one with most letters in common."""
    if not isinstance(value, str) or len(value) > _COMPARED:
        return
    folded: dict[str, list[str]] = {}
    for each in listed:
        if isinstance(each, str) and len(each) <= _COMPARED:
            folded.setdefault(fold(each), []).append(each)
    for alike in get_close_matches(fold(value), folded, 1, _CLOSE):
        yield from get_close_matches(value, folded[alike], 1, 0)


def by_folded(names: Iterable[str]) -> dict[str, str]:
    """The names by what is left of each without what people overlook."""
    return {fold(name): name for name in names}


def likest_names(name: str, among: Mapping[str, str], at_least: float) -> list[tuple[float, str]]:
    """The few of `by_folded` names that have so much in common with this one, and how much: from 0 to 1."""
    own = fold(name)
    if len(own) > _COMPARED_NAMES:
        return [(1, among[own])] if own in among else []
    # What is too long or too short to be alike is passed over before any letter is compared.
    close = get_close_matches(own, [each for each in among if len(each) <= _COMPARED_NAMES], _FEW, at_least)
    return [(SequenceMatcher(None, each, own).ratio(), among[each]) for each in close]


def _samples(domains: Sequence[Domain]) -> Iterator[Json]:
    for of in domains:
        found = compat.sample(of)
        if found is not None and found.value is not MISSING and found.value is not None:
            yield found.value
