"""Candidates among numbers: the outermost, the first beyond a limit, or a few neighbours; exact, near and far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from syncd.core.canon import Json
from syncd.core.compat.domain import Constraint, Domain, Exact, exact


def candidates(of: Domain, against: Constraint) -> Iterator[Json]:
    """Numbers of the domain, with one outside `against` if any is."""
    return map(_plain, _numbers(of, against))


def _plain(number: Exact) -> Json:
    """The number as JSON. Every probe is made of decimals, so it has a finite decimal form."""
    if number.denominator == 1:
        return int(number)
    digits = next(n for n in range(number.denominator.bit_length() + 1) if 10**n % number.denominator == 0)
    return Decimal(f"{number.numerator * 10**digits // number.denominator}E-{digits}")


def _numbers(of: Domain, against: Constraint) -> Iterator[Exact]:
    low, high = of.number("min"), of.number("max")
    if low is not None and high is not None and low > high:
        return
    limit = exact(against.argument) if against.attribute in ("min", "max") else None
    step = of.get("step")
    if of.kind == "number" and step is None:
        yield from _in_interval(low, high, against, limit)
        return
    grid: tuple[Exact, Exact] | None = (0, 1) if step is None else (step.origin, exact(step.argument))
    if grid is not None and of.kind == "integer":
        grid = _integers_of(*grid)
    if grid is not None:
        yield from _on_grid(grid, low, high, against, limit)


def _integers_of(origin: Exact, step: Exact) -> tuple[int, int] | None:
    """The integers among origin + n * step, which are evenly spaced: one of them and the spacing; None if none is.

    Multiples of 1/2 hold every integer, those of 3/2 every third.
    """
    whole = math.lcm(origin.denominator, step.denominator)
    start, pitch = int(origin * whole), int(step * whole)
    # origin + n * step is an integer exactly if start + n * pitch = 0 modulo whole.
    common = math.gcd(pitch, whole)
    if start % common:
        return None
    n = -start // common * pow(pitch // common, -1, whole // common) % (whole // common)
    return (start + n * pitch) // whole, pitch // common


def _on_grid(
    grid: tuple[Exact, Exact], low: Exact | None, high: Exact | None, against: Constraint, limit: Exact | None
) -> Iterator[Exact]:
    """The outermost point, or the first beyond the limit where there is none; else a few neighbours.

    Two neighbours both lie on another grid, or are both integers, only if all points are.
    """
    origin, pitch = grid
    first = None if low is None else -((origin - low) // pitch)
    last = None if high is None else (high - origin) // pitch
    if first is not None and last is not None and first > last:
        return
    if limit is not None and against.attribute == "min":
        below = -((origin - limit) // pitch) - 1
        numbers: Sequence[int] = [first if first is not None else below if last is None else min(below, last)]
    elif limit is not None:
        above = (limit - origin) // pitch + 1
        numbers = [last if last is not None else above if first is None else max(above, first)]
    else:
        numbers = _run(first, last, wanted(against))
    yield from (origin + n * pitch for n in numbers)


def _run(first: int | None, last: int | None, wanted: int) -> Sequence[int]:
    """So many integers in a row from one end of a range, or all if there are fewer."""
    if first is not None:
        return range(first, first + wanted if last is None else min(first + wanted, last + 1))
    return range(wanted) if last is None else range(last, last - wanted, -1)


def wanted(against: Constraint) -> int:
    """How many different elements must include one that the constraint refuses, if it refuses any."""
    return len(against.argument) + 1 if against.attribute == "values" else 2


def _in_interval(low: Exact | None, high: Exact | None, against: Constraint, limit: Exact | None) -> Iterator[Exact]:
    """As `_on_grid`, of an interval without a grid: its neighbours lie closer together than any grid's points."""
    if limit is not None and against.attribute == "min":
        yield low if low is not None else (limit if high is None else min(limit, high)) - 1
    elif limit is not None:
        yield high if high is not None else (limit if low is None else max(limit, low)) + 1
    elif low is not None and low == high:
        yield low
    else:
        many = wanted(against)
        pitch = Fraction(1, 2)
        while (against.attribute == "step" and pitch >= against.argument) or (
            low is not None and high is not None and pitch * (many + 1) > high - low
        ):
            pitch /= 5 if pitch == Fraction(1, 2) else 10
        first = None if low is None else -(-low // pitch)
        last = None if high is None else high // pitch
        yield from (n * pitch for n in _run(first, last, many))
