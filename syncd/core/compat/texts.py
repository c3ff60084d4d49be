"""Candidates among texts: of the length at which a constraint tells, and as many as it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from syncd.core.canon import MISSING, Missing
from syncd.core.compat.admission import admits
from syncd.core.compat.domain import Constraint, Domain, exact
from syncd.core.compat.numbers import wanted

# A longer text is reckoned with but never built: specs may state limits of billions.
LONGEST: Final = 100_000

# One of each sort that patterns ask for.
_LETTERS: Final = "aA0"


def outside(of: Domain, against: Constraint) -> str | Missing | None:
    """A text that the lengths of the domain admit and the constraint refuses, None if there is none.

    One that the domain's pattern matches is preferred. MISSING stands for a text too long to build.
    """
    length = _telling_length(of, against)
    if length is None:
        return None
    if length > LONGEST:
        return MISSING if _refuses_length(against, length) else None
    refused = (text for text in _of_length(length, against) if not admits(against, text))
    first = next(refused, None)
    pattern = of.get("pattern")
    if first is None or pattern is None or admits(pattern, first):
        return first
    return next((text for text in refused if admits(pattern, text)), first)


def several(of: Domain, against: Constraint) -> Iterator[str | Missing]:
    """Texts of the domain, one more than the constraint lists."""
    length = _telling_length(of, against)
    if length is not None:
        yield from _of_length(length, against) if length <= LONGEST else (MISSING,)


def _telling_length(of: Domain, against: Constraint) -> int | None:
    """The length at which a text of the domain is refused, if at any; None if the domain is empty."""
    shortest = max(0, math.ceil(of.number("min_length") or 0))
    high = of.number("max_length")
    longest = None if high is None else math.floor(high)
    if longest is not None and longest < shortest:
        return None
    telling = shortest
    if against.attribute == "max_length":
        # No longer than it takes.
        telling = max(shortest, math.floor(exact(against.argument)) + 1)
    elif against.attribute == "values":
        # Of the empty text there is only one.
        telling = max(shortest, 1)
    return telling if longest is None else min(telling, longest)


def _refuses_length(against: Constraint, length: int) -> bool:
    """`not admits` for some text of a length at which none is built, and none can be listed."""
    match against.attribute:
        case "type":
            return against.argument not in ("string", "enum")
        case "min_length":
            return bool(length < against.argument)
        case "max_length":
            return bool(length > against.argument)
    return against.attribute == "values"


def _of_length(length: int, against: Constraint) -> Iterator[str]:
    """Texts of that length: one of each sort of letter, or one more than are listed, so that one is not among them."""
    if length == 0:
        yield ""
    elif against.attribute == "values":
        yield from _of_one_letter(length)
        for last in islice(chain(range(0x62, 0x7B), range(0xA1, 0xD800), range(0xE000, 0x110000)), wanted(against)):
            yield "a" * (length - 1) + chr(last)
    else:
        yield from _of_one_letter(length)


def _of_one_letter(length: int) -> Iterator[str]:
    return (letter * length for letter in _LETTERS)
