"""From a spec to what it says about values: its kind, and one constraint for each attribute that narrows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from syncd.core.canon import Json, is_number
from syncd.core.compat import patterns

# A JSON number without rounding. Integers stay integers: their arithmetic is ten times faster.
Exact: TypeAlias = int | Fraction

Kind: TypeAlias = Literal["string", "integer", "number", "boolean", "enum", "array"]
_KINDS: Final[tuple[Kind, ...]] = ("string", "integer", "number", "boolean", "enum", "array")

ALIASES: Final[Mapping[str, Kind]] = {
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "select": "enum",
    "choice": "enum",
    **{kind: kind for kind in _KINDS},
}

# `string[]` is an array of strings.
_LIST_SUFFIX: Final = "[]"

# Attributes that constrain the value, and the kinds on which they do. On another kind they mean nothing.
CONSTRAINTS: Final[Mapping[str, frozenset[str]]] = {
    "min": frozenset({"integer", "number"}),
    "max": frozenset({"integer", "number"}),
    "step": frozenset({"integer", "number"}),
    "min_length": frozenset({"string"}),
    "max_length": frozenset({"string"}),
    "pattern": frozenset({"string"}),
    "values": frozenset({"enum", "string", "integer", "number"}),
    "items": frozenset({"array"}),
    "min_items": frozenset({"array"}),
    "max_items": frozenset({"array"}),
}
# Attributes that say how the parameter is used or shown, not which values it admits.
ANNOTATIONS: Final = frozenset(
    {"type", "required", "default", "description", "title", "label", "placeholder", "help", "example", "deprecated"}
)

_KNOWN: Final = CONSTRAINTS.keys() | ANNOTATIONS | {"nullable"}


# Tuples, because a diff makes thousands of both, and a frozen dataclass takes three times as long.


class Constraint(NamedTuple):
    """One attribute on its own: the set of JSON values that it lets through.

    The argument of `items` is a `Domain`, of any other the JSON value that the spec states. `origin` is where the grid
    of a `step` starts: at zero, or at the spec's own minimum. The vendor says neither, so a verdict holds if it holds
    under one of them. Where `nullable`, null passes whatever the attribute says.
    """

    attribute: str
    argument: Any
    origin: Exact = 0
    nullable: bool = False


class Domain(NamedTuple):
    """What a spec admits. `decided` is false where an attribute that cannot be read may narrow it further.

    `kind` is None for a type that syncd does not know: then nothing can be said about the values.
    """

    kind: Kind | None
    constraints: tuple[Constraint, ...] = ()
    decided: bool = True
    nullable: bool = False
    # A pattern narrows the texts: single ones can be tried, but not all be listed.
    opaque: bool = False

    def get(self, attribute: str) -> Constraint | None:
        """The constraint of that attribute, if the spec has it."""
        for constraint in self.constraints:  # half the time of next(), and called most of all
            if constraint.attribute == attribute:
                return constraint
        return None

    def number(self, attribute: str) -> Exact | None:
        """The argument of a numeric constraint."""
        found = self.get(attribute)
        return None if found is None else exact(found.argument)

    @property
    def items(self) -> Domain | None:
        """What the elements of a list may be, None if nothing is said of them."""
        found = self.get("items")
        return None if found is None else found.argument


def exact(number: Json) -> Exact:
    """The number for arithmetic."""
    return number if isinstance(number, int) else _fraction(number)


# The same few decimals stand in most specs.
@lru_cache(maxsize=1000)
def _fraction(number: Decimal | Fraction) -> Fraction:
    return Fraction(number)


def kind_of(spec: Json) -> Kind | None:
    """The kind behind the spec's ``type``, aliases resolved; None if it is missing or unknown."""
    name = spec.get("type") if isinstance(spec, dict) else None
    if not isinstance(name, str):
        return None
    return ALIASES.get(name) or ("array" if name.removesuffix(_LIST_SUFFIX) in ALIASES else None)


def items_of(spec: Json) -> Json | None:
    """The spec of a list's elements: as stated under `items`, else as the type implies; None if neither says it."""
    if spec.get("items") is not None:
        return spec["items"]
    name = spec.get("type")
    return {"type": name.removesuffix(_LIST_SUFFIX)} if isinstance(name, str) and name.endswith(_LIST_SUFFIX) else None


def domain(spec: Json, *, grid_at_min: bool = False) -> Domain:
    """Read a spec. Malformed attributes are treated as absent and leave the domain undecided."""
    kind = kind_of(spec)
    if kind is None:
        return Domain(None, decided=False)
    nullable = spec.get("nullable")
    admits_null = nullable is True
    constraints = [Constraint("type", kind, nullable=admits_null)]
    decided = spec.keys() <= _KNOWN and (nullable is None or isinstance(nullable, bool))
    origin = _origin(spec) if grid_at_min else 0
    for attribute, is_well_formed in _OF_KIND[kind]:
        argument = spec.get(attribute)
        if argument is None:
            # An enum without its values is not an empty set: they are not published.
            decided = decided and not (attribute == "values" and kind == "enum")
        elif not is_well_formed(argument):
            decided = False
        elif attribute != "pattern" or not patterns.is_trivial(argument):
            constraints.append(Constraint(attribute, argument, origin, admits_null))
    if kind == "array":
        items = domain(items_of(spec), grid_at_min=grid_at_min)
        decided = decided and items.decided
        constraints.append(Constraint("items", items, nullable=admits_null))
    return Domain(kind, tuple(constraints), decided, admits_null, _is_opaque(kind, spec))


def _is_opaque(kind: Kind, spec: Mapping[str, Json]) -> bool:
    return kind == "string" and spec.get("pattern") is not None and not patterns.is_trivial(spec["pattern"])


def _origin(spec: Mapping[str, Json]) -> Exact:
    low = spec.get("min")
    return exact(low) if is_number(low) else 0


def anchors_matter(spec: Json) -> bool:
    """Whether it makes a difference where the grid of a step begins, the spec's own or that of a list's elements."""
    if not isinstance(spec, dict):
        return False
    step: Json = spec.get("step")
    low: Json = spec.get("min")
    # A minimum that is a multiple of the step, as most are, begins the same grid as zero does.
    if low and is_number(low) and is_number(step) and step > 0:
        return exact(low) % exact(step) != 0
    return kind_of(spec) == "array" and anchors_matter(items_of(spec))


def well_formed(attribute: str, argument: Json) -> bool:
    """Whether the argument is of the form its attribute takes; `max: "4"`, `step: 0` and `values: null` are not."""
    return _FORMS.get(attribute, is_number)(argument)


_FORMS: Final[Mapping[str, Callable[[Json], bool]]] = {
    "values": lambda argument: isinstance(argument, list),
    "step": lambda argument: is_number(argument) and argument > 0,
    "pattern": lambda argument: isinstance(argument, str) and patterns.is_readable(argument),
    "items": lambda argument: domain(argument).kind is not None,
}

# What is read of each kind. `items` is a spec of its own.
_OF_KIND: Final[Mapping[str, tuple[tuple[str, Callable[[Json], bool]], ...]]] = {
    kind: tuple(
        (name, _FORMS.get(name, is_number)) for name, kinds in CONSTRAINTS.items() if kind in kinds and name != "items"
    )
    for kind in _KINDS
}
