"""A model's parameters as the fields of an input form, in the vendor's order. Only processes data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from syncd.core import compat, findings
from syncd.core.canon import Json, Path
from syncd.core.text import shown

_NUMERIC: Final = ("min", "max", "step")
_LENGTHS: Final = ("min_length", "max_length")
_COUNTS: Final = ("min_items", "max_items")
# More choices than anybody reads in a table.
_MOST_CHOICES: Final = 40


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter. `limits` holds what constrains its values, by attribute, and nothing that cannot be read.

    `kind` has aliases resolved and is the stated type where syncd does not know it, null where there is none.
    `remarks` say what is odd about the spec. `variant` numbers the contents of a slug that is listed with several.
    """

    name: str
    kind: str | None
    required: bool
    nullable: bool = False
    limits: Mapping[str, Json] = field(default_factory=dict)
    default: Json = None
    description: str | None = None
    remarks: tuple[str, ...] = ()
    variant: int | None = None


def fields(body: Json) -> list[Field] | None:
    """The fields of a model's form; None if the vendor does not publish its parameters (in any of its contents)."""
    if not isinstance(body, list):
        return _of_content(body, None)
    found = [_of_content(one, number) for number, one in enumerate(body, 1)]
    return None if None in found else [one for some in found for one in some or ()]


def _of_content(body: Json, variant: int | None) -> list[Field] | None:
    params = body.get("params") if isinstance(body, dict) else None
    if not isinstance(params, dict):
        return None
    return [_field(name, spec, variant) for name, spec in params.items()]


def _field(name: str, spec: Json, variant: int | None) -> Field:
    path: Path = ("models", "", "params", name)
    remarks = tuple(finding.what for finding in findings.of_spec(path, spec))
    if not isinstance(spec, dict):
        return Field(name, None, required=False, remarks=remarks, variant=variant)
    of = compat.domain(spec)
    description = spec.get("description")
    return Field(
        name=name,
        kind=_kind(spec),
        required=compat.is_required(spec),
        nullable=of.nullable,
        limits={c.attribute: c.argument for c in of.constraints if c.attribute not in ("type", "items")},
        default=spec.get("default"),
        description=description if isinstance(description, str) else None,
        remarks=remarks,
        variant=variant,
    )


def _kind(spec: Json) -> str | None:
    """`integer`; `string[]` for a list of texts; the stated type where it is not known."""
    kind = compat.kind_of(spec)
    if kind == "array":
        items = compat.items_of(spec)
        return "array" if compat.kind_of(items) is None else f"{_kind(items)}[]"
    stated = spec.get("type") if isinstance(spec, dict) else None
    return kind or (stated if isinstance(stated, str) else None)


def for_programs(one: Field) -> dict[str, Json]:
    """A field with one attribute to a column, the values as JSON."""
    limits = one.limits
    return {
        "field": one.name,
        "kind": one.kind,
        "required": one.required,
        **{name: limits.get(name) for name in (*_NUMERIC, *_LENGTHS, "pattern")},
        "choices": limits.get("values"),
        "default": one.default,
        "description": one.description,
        **{name: limits.get(name) for name in _COUNTS},
        "nullable": one.nullable,
        "variant": one.variant,
    }


# The columns for programs.
COLUMNS: Final = tuple(for_programs(Field("", None, required=False)))


def for_people(one: Field) -> dict[str, Json]:
    """A field in words, empty where nothing is said."""
    choices = one.limits.get("values")
    return {
        "variant": one.variant,
        "field": one.name,
        "kind": f"{one.kind or '?'}{' or null' if one.nullable else ''}",
        "required": one.required,
        "bounds": _bounds(one.limits) or None,
        "choices": None if choices is None else _choices(choices),
        "default": None if one.default is None else shown(one.default),
        "description": one.description,
        "remark": "; ".join(one.remarks) or None,
    }


def _choices(values: list[Json]) -> str:
    left = len(values) - _MOST_CHOICES
    named = ", ".join(shown(value, 40) for value in islice(values, _MOST_CHOICES))
    return (named if left <= 0 else f"{named} and {left} more") or "none"


def _bounds(limits: Mapping[str, Json]) -> str:
    said = [
        _between(limits.get("min"), limits.get("max"), ""),
        f"in steps of {shown(limits['step'])}" if "step" in limits else "",
        _between(limits.get("min_length"), limits.get("max_length"), " characters"),
        _between(limits.get("min_items"), limits.get("max_items"), " items"),
        f"matches {shown(limits['pattern'])}" if "pattern" in limits else "",
    ]
    return ", ".join(part for part in said if part)


def _between(low: Json, high: Json, unit: str) -> str:
    if low is None:
        return "" if high is None else f"at most {shown(high)}{unit}"
    return f"at least {shown(low)}{unit}" if high is None else f"{shown(low)} to {shown(high)}{unit}"
