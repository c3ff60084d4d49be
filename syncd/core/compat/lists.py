"""Candidates among lists: of the length at which a constraint tells, made of elements that tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice, product, takewhile
from typing import Final

from syncd.core.canon import MISSING, Json, Missing
from syncd.core.compat.domain import Constraint, Domain, exact
from syncd.core.compat.numbers import wanted

# A longer list is reckoned with but never built.
LONGEST: Final = 1000


def candidates(of: Domain, against: Constraint, elements: Sequence[Json | Missing]) -> Iterator[Json | Missing]:
    """Lists of the domain made of these elements, with one outside `against` if any is.

    MISSING stands for a list that is outside but too large to be built.
    """
    least, most = _extent(of, elements)
    if most is not None and least > most:
        return
    if against.attribute == "values":
        yield from _several(least, most, elements, wanted(against))
        return
    length = _telling_length(least, against)
    length = length if most is None else min(length, most)
    if length > LONGEST or (length and elements[0] is MISSING):
        yield from (MISSING,) if _refuses_length(against, length) else ()
    else:
        yield [elements[0]] * length if length else []


def _extent(of: Domain, elements: Sequence[Json | Missing]) -> tuple[int, int | None]:
    """The least and the greatest length; without elements only the empty list is left."""
    least = max(0, math.ceil(of.number("min_items") or 0))
    high = of.number("max_items")
    if not elements:
        return least, 0 if high is None else min(0, math.floor(high))
    return least, None if high is None else math.floor(high)


def _telling_length(least: int, against: Constraint) -> int:
    if against.attribute == "max_items":
        return max(least, math.floor(exact(against.argument)) + 1)
    # The empty list holds no element that could be refused.
    return max(least, 1) if against.attribute == "items" else least


def _refuses_length(against: Constraint, length: int) -> bool:
    """`not admits` for a list of a length at which none is built."""
    match against.attribute:
        case "type":
            return against.argument not in ("array", "enum")
        case "min_items":
            return bool(length < against.argument)
        case "max_items":
            return bool(length > against.argument)
    return True


def _several(least: int, most: int | None, elements: Sequence[Json | Missing], many: int) -> Iterator[Json | Missing]:
    """So many different lists, the shortest first."""
    if least > LONGEST or any(element is MISSING for element in elements):
        yield MISSING
        return
    lengths = count(least) if elements else iter([0] if least == 0 else [])
    allowed = takewhile(lambda length: (most is None or length <= most) and length <= LONGEST, lengths)
    yield from islice((list(made) for length in allowed for made in product(elements, repeat=length)), many)
