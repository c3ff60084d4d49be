"""The proof of a loss: a value that a domain holds and a constraint refuses.

domain, constraint --values that are known to be used--> first of all: nobody argues with them
                   --candidates of the domain's kind---> enough of them to decide
                   --admits-------------------------->   Escape, or None if nothing is refused
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from syncd.core.canon import MISSING, Json, Missing, fits, is_number
from syncd.core.compat import lists, numbers, patterns, texts
from syncd.core.compat.admission import admits, contains
from syncd.core.compat.domain import Constraint, Domain


@dataclass(frozen=True, slots=True)
class Escape:
    """A value of a domain that a constraint refuses: the proof that the constraint takes something away.

    `value` is MISSING for a text or a list too long to build, or a number of more digits than `canon` keeps: it
    exists, but nobody wants to be shown it. It is not `certain` where a pattern that syncd can try, but not solve,
    stands in between: then there may be such a value, or none.
    """

    value: Json | Missing
    certain: bool = True


def escape(of: Domain, constraint: Constraint, used: Iterable[Json] = ()) -> Escape | None:
    """A value in the domain and outside the constraint, or None if the constraint takes nothing away.

    `used` are values that are known to be sent, such as a default: if one of them is lost, it is the proof.
    """
    for value in used:
        if _is_refused(constraint, value) and contains(of, value):
            return Escape(value)
    if of.kind == "string" and of.get("values") is None:
        return _escaping_text(of, constraint)
    if of.kind == "array":
        return _escaping_list(of, constraint)
    return _first_refused(of, constraint, _candidates(of, constraint))


def _is_refused(constraint: Constraint, value: Json) -> bool:
    """Whether it is beyond doubt that the constraint refuses the value."""
    if admits(constraint, value):
        return False
    return constraint.attribute != "pattern" or patterns.is_refused_anywhere(constraint.argument, value)


def _first_refused(of: Domain, constraint: Constraint, candidates: Iterable[Json | Missing]) -> Escape | None:
    for candidate in candidates:
        if candidate is MISSING:
            return Escape(MISSING)
        if not admits(constraint, candidate) and contains(of, candidate):
            return Escape(candidate if not is_number(candidate) or fits(candidate) else MISSING)
    return None


def escape_domain(of: Domain, into: Domain, used: Iterable[Json] = ()) -> Escape | None:
    """A value in the first domain and outside the second: the theorem, over all constraints of the second."""
    values = (*used, None) if of.nullable else tuple(used)
    found = [one for c in into.constraints if (one := escape(of, c, values)) is not None]
    return next((one for one in found if one.certain), found[0] if found else None)


# Admits nothing: whatever a domain holds escapes it.
_NOTHING: Final = Constraint("values", [])


def sample(of: Domain) -> Escape | None:
    """Some value that the domain admits, or None if it is empty."""
    found = escape(of, _NOTHING)
    return Escape(None) if found is None and of.nullable else found


def _candidates(of: Domain, against: Constraint) -> Iterator[Json | Missing]:
    """Elements of the domain (and perhaps strangers: the caller filters) with one outside `against`, if any is.

    MISSING stands for one that is outside but too large to be built.
    """
    listed = of.get("values")
    if listed is not None:
        yield from listed.argument
    elif of.kind == "boolean":
        yield from (True, False)
    elif of.kind in ("integer", "number"):
        yield from numbers.candidates(of, against)


# --- texts ---------------------------------------------------------------------------------------------------------


def _escaping_text(of: Domain, against: Constraint) -> Escape | None:
    """A text that is refused. Where a pattern narrows the texts, one that matches it; else it may be that none does."""
    # Where a pattern is anchored, and in which dialect it is written, only the vendor knows: no text is made up for it.
    unsolved = against.attribute == "pattern"
    found = texts.outside(of, _NOTHING if unsolved else against)
    if found is None or unsolved:
        return None if found is None else Escape(MISSING, certain=False)
    pattern = of.get("pattern")
    matches = found is not MISSING and pattern is not None and admits(pattern, found)
    return Escape(found) if not of.opaque or matches else Escape(MISSING, certain=False)


# --- lists ---------------------------------------------------------------------------------------------------------


def _escaping_list(of: Domain, against: Constraint) -> Escape | None:
    """A list that is refused, made of elements that tell. Where it is open whether there are any, the list is too."""
    elements, certain = _elements(of, against)
    found = _first_refused(of, against, lists.candidates(of, against, elements))
    # Of the empty list nothing is open.
    return found if found is None or certain or found.value == [] else Escape(MISSING, certain=False)


def _elements(of: Domain, against: Constraint) -> tuple[list[Json | Missing], bool]:
    """Elements that tell, and whether it is certain that these are all that is to be told.

    One that is refused, where elements are what is judged; else so many that no list of values has them all.
    """
    items = of.items
    if items is None or not _is_published(items):
        return ["example"], True
    if against.attribute == "items":
        lost = escape_domain(items, against.argument)
        return ([], True) if lost is None else ([lost.value], lost.certain)
    some = against if against.attribute == "values" else _NOTHING
    # What an unreadable pattern lets through nobody knows.
    unread = items.opaque and items.get("pattern") is None
    every = (
        [value for value in _several(items, some) if value is MISSING or contains(items, value)] if not unread else []
    )
    every = [*every[: numbers.wanted(some)], *([None] if items.nullable else [])]
    if every:
        return every, True
    left = sample(items)
    return ([], True) if left is None else ([left.value], left.certain)


def _is_published(of: Domain) -> bool:
    return of.kind is not None and (of.kind != "enum" or of.get("values") is not None)


def _several(of: Domain, against: Constraint) -> Iterator[Json | Missing]:
    if of.kind == "string" and of.get("values") is None:
        yield from texts.several(of, against)
    elif of.kind == "array":
        elements, certain = _elements(of, against)
        yield from lists.candidates(of, against, elements) if certain else ()
    else:
        yield from _candidates(of, against)
