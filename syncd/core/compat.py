"""What a parameter spec admits, and the one theorem that every verdict rests on.

A spec denotes a set of JSON values D, the intersection of what each of its attributes admits:

    D = C_type ∩ C_min ∩ C_max ∩ C_step ∩ C_min_length ∩ C_max_length ∩ C_values

Hence "some value that used to be accepted is now refused" holds exactly if one attribute alone refuses it:

    D_old ⊄ D_new   <=>   there is an attribute k with  D_old ⊄ C_k(new)

`escape(domain, constraint)` decides the right-hand side and returns the value that proves it. It needs no case per pair
of attributes: `probes` lists the few elements of D among which there must be one outside C, if there is any at all
(the outermost or the one just beyond C's limit, two neighbours of which no grid holds both, one more than C lists),
and `admits` tries them.

Only processes data. Numbers are exact: integers and rationals, never floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import chain, islice
from typing import Final, Literal, TypeAlias

from syncd.core.canon import MISSING, Json, Missing, fits, is_number, same

# A JSON number without rounding. Integers stay integers: their arithmetic is ten times faster.
Exact: TypeAlias = int | Fraction

Kind: TypeAlias = Literal["string", "integer", "number", "boolean", "enum"]

ALIASES: Final[Mapping[str, Kind]] = {
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "select": "enum",
    "choice": "enum",
    **{kind: kind for kind in ("string", "integer", "number", "boolean", "enum")},
}

# Attributes that constrain the value, and the kinds on which they do. On another kind they mean nothing.
CONSTRAINTS: Final[Mapping[str, frozenset[str]]] = {
    "min": frozenset({"integer", "number"}),
    "max": frozenset({"integer", "number"}),
    "step": frozenset({"integer", "number"}),
    "min_length": frozenset({"string"}),
    "max_length": frozenset({"string"}),
    "values": frozenset({"enum", "string", "integer", "number"}),
}
# Attributes that say how the parameter is used or shown, not which values it admits.
ANNOTATIONS: Final = frozenset(
    {"type", "required", "default", "description", "title", "label", "placeholder", "help", "example", "deprecated"}
)

_KNOWN: Final = CONSTRAINTS.keys() | ANNOTATIONS


@dataclass(frozen=True, slots=True)
class Constraint:
    """One attribute on its own: the set of JSON values that it lets through.

    `origin` is where the grid of a `step` starts: at zero, or at the spec's own minimum. The vendor says neither,
    so a verdict holds if it holds under one of them.
    """

    attribute: str
    argument: Json
    origin: Exact = 0


@dataclass(frozen=True, slots=True)
class Domain:
    """What a spec admits. `decided` is false where an unknown attribute may narrow it further.

    `kind` is None for a type that syncd does not know: then nothing can be said about the values.
    """

    kind: Kind | None
    constraints: tuple[Constraint, ...] = ()
    decided: bool = True

    def get(self, attribute: str) -> Constraint | None:
        """The constraint of that attribute, if the spec has it."""
        return next((c for c in self.constraints if c.attribute == attribute), None)

    def number(self, attribute: str) -> Exact | None:
        """The argument of a numeric constraint."""
        found = self.get(attribute)
        return None if found is None else _exact(found.argument)


def _exact(number: Json) -> Exact:
    return number if isinstance(number, int) else Fraction(number)


def kind_of(spec: Json) -> Kind | None:
    """The kind behind the spec's ``type``, aliases resolved; None if it is missing or unknown."""
    name = spec.get("type") if isinstance(spec, dict) else None
    return ALIASES.get(name) if isinstance(name, str) else None


def domain(spec: Json, *, grid_at_min: bool = False) -> Domain:
    """Read a spec. Malformed attributes are treated as absent and leave the domain undecided."""
    kind = kind_of(spec)
    if kind is None:
        return Domain(None, decided=False)
    constraints = [Constraint("type", kind)]
    decided = spec.keys() <= _KNOWN
    origin = _origin(spec) if grid_at_min else 0
    for attribute, kinds in CONSTRAINTS.items():
        argument = spec.get(attribute)
        if kind not in kinds:
            continue
        if argument is None:
            # An enum without its values is not an empty set: they are not published.
            decided = decided and not (kind == "enum" and attribute == "values")
        elif well_formed(attribute, argument):
            constraints.append(Constraint(attribute, argument, origin))
        else:
            decided = False
    return Domain(kind, tuple(constraints), decided)


def _origin(spec: Mapping[str, Json]) -> Exact:
    low = spec.get("min")
    return _exact(low) if is_number(low) else 0


def anchors_matter(spec: Json) -> bool:
    """Whether it makes a difference where the grid of the spec's step begins."""
    return isinstance(spec, dict) and is_number(spec.get("step")) and is_number(spec.get("min"))


def well_formed(attribute: str, argument: Json) -> bool:
    """Whether the argument is of the form its attribute takes; `max: "4"`, `step: 0` and `values: null` are not."""
    if attribute == "values":
        return isinstance(argument, list)
    if attribute == "step":
        return is_number(argument) and argument > 0
    return is_number(argument)


def admits(constraint: Constraint, value: Json) -> bool:
    """Whether the attribute alone lets the value through. Attributes of numbers say nothing of strings, and so on."""
    argument = constraint.argument
    match constraint.attribute:
        case "type":
            return _is_kind(argument, value)
        case "values":
            return _is_listed(value, argument)
        case "min":
            return not is_number(value) or value >= argument
        case "max":
            return not is_number(value) or value <= argument
        case "step":
            return not is_number(value) or (_exact(value) - constraint.origin) % _exact(argument) == 0
        case "min_length":
            return not isinstance(value, str) or len(value) >= argument
        case "max_length":
            return not isinstance(value, str) or len(value) <= argument
    raise ValueError(constraint.attribute)


def _is_listed(value: Json, values: list[Json]) -> bool:
    """Typed membership. `list.index` skips at C speed what is not even equal to Python, to which true is 1."""
    at = -1
    try:
        while not same(values[at := values.index(value, at + 1)], value):
            pass
    except ValueError:
        return False
    return True


def _is_kind(kind: Kind, value: Json) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return is_number(value) and value == int(value)
        case "number":
            return is_number(value)
        case "enum":
            return True  # its values say everything


def contains(of: Domain, value: Json) -> bool:
    """Whether the known part of the domain admits the value."""
    return all(admits(c, value) for c in of.constraints)


@dataclass(frozen=True, slots=True)
class Escape:
    """A value of a domain that a constraint refuses: the proof that the constraint takes something away.

    `value` is MISSING for a text of more than `LONGEST` characters, or a number of more digits than `canon` keeps: it
    exists, but nobody wants to be shown it.
    """

    value: Json | Missing


def escape(of: Domain, constraint: Constraint) -> Escape | None:
    """A value in the domain and outside the constraint, or None if the constraint takes nothing away."""
    if of.kind == "string" and of.get("values") is None:
        return _escaping_text(of, constraint)
    for value in probes(of, constraint):
        if contains(of, value) and not admits(constraint, value):
            return Escape(value if not is_number(value) or fits(value) else MISSING)
    return None


def escape_domain(of: Domain, into: Domain) -> Escape | None:
    """A value in the first domain and outside the second: the theorem, over all constraints of the second."""
    return next((found for c in into.constraints if (found := escape(of, c)) is not None), None)


# Admits nothing: whatever a domain holds escapes it.
_NOTHING: Final = Constraint("values", [])


def sample(of: Domain) -> Escape | None:
    """Some value that the domain admits, or None if it is empty."""
    return escape(of, _NOTHING)


def _is_enumerable(of: Domain) -> bool:
    return of.kind != "enum" or of.get("values") is not None


# --- texts ---------------------------------------------------------------------------------------------------------

# A longer text is reckoned with but never built: specs may state limits of billions.
LONGEST: Final = 100_000


def _escaping_text(of: Domain, against: Constraint) -> Escape | None:
    length = _telling_length(of, against)
    if length is None:
        return None
    if length > LONGEST:
        return Escape(MISSING) if _refuses_length(against, length) else None
    found = next((text for text in _texts(length, against) if not admits(against, text)), None)
    return None if found is None else Escape(found)


def _telling_length(of: Domain, against: Constraint) -> int | None:
    """The length at which a text of the domain is refused, if at any; None if the domain is empty."""
    shortest = max(0, math.ceil(of.number("min_length") or 0))
    high = of.number("max_length")
    longest = None if high is None else math.floor(high)
    if longest is not None and longest < shortest:
        return None
    wanted = shortest
    if against.attribute == "max_length":
        # No longer than it takes.
        wanted = max(shortest, math.floor(_exact(against.argument)) + 1)
    elif against.attribute == "values":
        # Of the empty text there is only one.
        wanted = max(shortest, 1)
    return wanted if longest is None else min(wanted, longest)


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


def _texts(length: int, against: Constraint) -> Iterator[str]:
    """Texts of that length, one more than are listed, so that one is not among them."""
    if length == 0:
        yield ""
        return
    wanted = len(against.argument) + 1 if against.attribute == "values" else 1
    for last in islice(chain(range(0x61, 0x7B), range(0xA1, 0xD800), range(0xE000, 0x110000)), wanted):
        yield "a" * (length - 1) + chr(last)


# --- probes: elements of a domain, enough of them to decide --------------------------------------------------------


def probes(of: Domain, against: Constraint) -> Iterator[Json]:
    """Elements of `of` (and perhaps strangers: the caller filters) that include one outside `against` if any is."""
    listed = of.get("values")
    if listed is not None:
        yield from listed.argument
    elif of.kind == "boolean":
        yield from (True, False)
    elif of.kind in ("integer", "number"):
        yield from map(_plain, _numbers(of, against))


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
    limit = _exact(against.argument) if against.attribute in ("min", "max") else None
    step = of.get("step")
    if of.kind == "number" and step is None:
        yield from _in_interval(low, high, against, limit)
        return
    grid: tuple[Exact, Exact] | None = (0, 1) if step is None else (step.origin, _exact(step.argument))
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
        numbers = _run(first, last, _wanted(against))
    yield from (origin + n * pitch for n in numbers)


def _run(first: int | None, last: int | None, wanted: int) -> Sequence[int]:
    """So many integers in a row from one end of a range, or all if there are fewer."""
    if first is not None:
        return range(first, first + wanted if last is None else min(first + wanted, last + 1))
    return range(wanted) if last is None else range(last, last - wanted, -1)


def _wanted(against: Constraint) -> int:
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
        wanted = _wanted(against)
        pitch = Fraction(1, 2)
        while (against.attribute == "step" and pitch >= against.argument) or (
            low is not None and high is not None and pitch * (wanted + 1) > high - low
        ):
            pitch /= 5 if pitch == Fraction(1, 2) else 10
        first = None if low is None else -(-low // pitch)
        last = None if high is None else high // pitch
        yield from (n * pitch for n in _run(first, last, wanted))


# --- requests ------------------------------------------------------------------------------------------------------


def is_required(spec: Json) -> bool:
    """Absent, null and false mean optional; so does anything that is not exactly true."""
    return isinstance(spec, dict) and spec.get("required") is True


def minimal_request(params: Mapping[str, Json], *, grid_at_min: bool = False) -> dict[str, Json | Missing] | None:
    """The smallest request the parameters admit: every required one with some value; None if one admits nothing.

    For a type that syncd does not know, the default or a placeholder stands in: nothing better can be said. A value
    is MISSING where it would be too long to be shown (see `Escape`).
    """
    request: dict[str, Json | Missing] = {}
    for name, spec in params.items():
        if not is_required(spec):
            continue
        of = domain(spec, grid_at_min=grid_at_min)
        value = example_value(spec, of)
        if value is None:
            return None
        request[name] = value.value
    return request


def example_value(spec: Json, of: Domain) -> Escape | None:
    """A value to show for a parameter: its default if that is admitted, else some admitted value."""
    default = spec.get("default") if isinstance(spec, dict) else None
    if default is not None and contains(of, default):
        return Escape(default)
    if of.kind is None or not _is_enumerable(of):
        return Escape("example")
    return sample(of)
