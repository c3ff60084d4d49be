"""Whether a value is let through: by one attribute, or by a whole domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from syncd.core.canon import Json, is_number, same
from syncd.core.compat import patterns
from syncd.core.compat.domain import Constraint, Domain, Kind, exact


def admits(constraint: Constraint, value: Json) -> bool:
    """Whether the attribute alone lets the value through. Attributes of numbers say nothing of strings, and so on."""
    return (value is None and constraint.nullable) or RULES[constraint.attribute](constraint, value)


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
        case "array":
            return isinstance(value, list)
        case "enum":
            return True  # its values say everything


RULES: Final[dict[str, Callable[[Constraint, Json], bool]]] = {
    "type": lambda of, value: _is_kind(of.argument, value),
    "values": lambda of, value: _is_listed(value, of.argument),
    "min": lambda of, value: not is_number(value) or value >= of.argument,
    "max": lambda of, value: not is_number(value) or value <= of.argument,
    "step": lambda of, value: not is_number(value) or (exact(value) - of.origin) % exact(of.argument) == 0,
    "min_length": lambda of, value: not isinstance(value, str) or len(value) >= of.argument,
    "max_length": lambda of, value: not isinstance(value, str) or len(value) <= of.argument,
    "pattern": lambda of, value: not isinstance(value, str) or patterns.matches(of.argument, value),
    "items": lambda of, value: not isinstance(value, list) or all(contains(of.argument, each) for each in value),
    "min_items": lambda of, value: not isinstance(value, list) or len(value) >= of.argument,
    "max_items": lambda of, value: not isinstance(value, list) or len(value) <= of.argument,
}


def contains(of: Domain, value: Json) -> bool:
    """Whether the known part of the domain admits the value."""
    for constraint in of.constraints:  # noqa: SIM110 - half the time of all(), and called most of all
        if not admits(constraint, value):
            return False
    return True


def refusals(of: Domain, value: Json) -> tuple[Constraint, ...]:
    """The constraints that refuse the value; none if the known part of the domain admits it."""
    return tuple(c for c in of.constraints if not admits(c, value))
