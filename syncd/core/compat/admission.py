"""Whether a value is let through: by one attribute, or by a whole domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from syncd.core.canon import Json, is_number, same
from syncd.core.compat import patterns
from syncd.core.compat.domain import Constraint, Domain, Exact, Kind, exact


def admits(constraint: Constraint, value: Json) -> bool:
    """Whether the attribute alone lets the value through. Attributes of numbers say nothing of strings, and so on."""
    return (value is None and constraint.nullable) or RULES[constraint.attribute](constraint, value)


def _is_listed(value: Json, values: list[Json]) -> bool:
    """Typed membership. What Python does not even call equal is passed over at C speed; to it true is 1."""
    if value not in values:
        return False
    return same(values[values.index(value)], value) or any(same(each, value) for each in values)


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
        case "array":
            return isinstance(value, list)
        case "enum":
            return True  # its values say everything


def _is_on_grid(number: Exact, of: Constraint) -> bool:
    # Most grids begin at zero, and a difference of fractions costs as much as the rest.
    return (number - of.origin if of.origin else number) % exact(of.argument) == 0


RULES: Final[dict[str, Callable[[Constraint, Json], bool]]] = {
    "type": lambda of, value: _is_kind(of.argument, value),
    "values": lambda of, value: _is_listed(value, of.argument),
    "min": lambda of, value: not is_number(value) or value >= of.argument,
    "max": lambda of, value: not is_number(value) or value <= of.argument,
    "step": lambda of, value: not is_number(value) or _is_on_grid(exact(value), of),
    "min_length": lambda of, value: not isinstance(value, str) or len(value) >= of.argument,
    "max_length": lambda of, value: not isinstance(value, str) or len(value) <= of.argument,
    "pattern": lambda of, value: not isinstance(value, str) or patterns.matches(of.argument, value),
    "items": lambda of, value: not isinstance(value, list) or all(contains(of.argument, each) for each in value),
    "min_items": lambda of, value: not isinstance(value, list) or len(value) >= of.argument,
    "max_items": lambda of, value: not isinstance(value, list) or len(value) <= of.argument,
}


def contains(of: Domain, value: Json) -> bool:
    """Whether the known part of the domain admits the value."""
    # As `admits`, written out: half the time of all(map(...)), and called most of all.
    for constraint in of.constraints:
        if not RULES[constraint.attribute](constraint, value) and not (value is None and constraint.nullable):
            return False
    return True


def refusals(of: Domain, value: Json) -> tuple[Constraint, ...]:
    """The constraints that refuse the value; none if the known part of the domain admits it."""
    return tuple(c for c in of.constraints if not admits(c, value))
