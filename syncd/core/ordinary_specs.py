"""Specs in which nothing can be odd, seen at a glance: what nearly every parameter is.

A comparison of hundreds of models asks `findings.of_spec` about each parameter that changed; this is why it may.
`is_ordinary` only ever errs to one side: of what it says no to, the careful look may still find nothing.
Only processes data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from syncd.core.canon import Json, is_number
from syncd.core.compat import ANNOTATIONS
from syncd.core.compat.domain import exact


def is_ordinary(spec: Json) -> bool:
    """Whether the spec is of a known type, in its simplest form, in which no finding is possible."""
    if not isinstance(spec, dict):
        return False
    kind = spec.get("type")
    if not isinstance(kind, str) or kind not in _ATTRIBUTES or not spec.keys() <= _ATTRIBUTES[kind]:
        return False
    default, required = spec.get("default"), spec.get("required")
    if required is True and default is not None:
        return False
    return (required is None or isinstance(required, bool)) and _FORMS[kind](spec, default)


def _text(spec: Mapping[str, Json], default: Json) -> bool:
    most = spec.get("max_length")
    if most is None:
        return default is None or isinstance(default, str)
    if type(most) is not int or most < 0:
        return False
    return default is None or (isinstance(default, str) and len(default) <= most)


def _integer(spec: Mapping[str, Json], default: Json) -> bool:
    # Between bounds that are no whole numbers there may be none.
    return all(type(edge) is int for edge in _edges(spec, default)) and _number(spec, default)


def _number(spec: Mapping[str, Json], default: Json) -> bool:
    stated = _edges(spec, default)
    # In their order: the default lies within, and the bounds do not cross.
    return all(map(is_number, stated)) and stated == sorted(stated) and _is_on_grid(spec.get("step"), default)


def _edges(spec: Mapping[str, Json], default: Json) -> list[Json]:
    return [edge for edge in (spec.get("min"), default, spec.get("max")) if edge is not None]


def _is_on_grid(step: Json, default: Json) -> bool:
    """The default is a multiple of the step, so that it is admitted, and something is."""
    if step is None:
        return True
    return default is not None and is_number(step) and step > 0 and exact(default) % exact(step) == 0


def _flag(_: Mapping[str, Json], default: Json) -> bool:
    return default is None or isinstance(default, bool)


def _choice(spec: Mapping[str, Json], default: Json) -> bool:
    values = spec.get("values")
    if not isinstance(values, list) or set(map(type, values)) != {str} or len(set(values)) != len(values):
        return False
    return default is None or (isinstance(default, str) and default in values)


_ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "string": ANNOTATIONS | {"max_length"},
    "integer": ANNOTATIONS | {"min", "max", "step"},
    "number": ANNOTATIONS | {"min", "max", "step"},
    "boolean": ANNOTATIONS,
    "enum": ANNOTATIONS | {"values"},
}
_FORMS: Final[Mapping[str, Callable[[Mapping[str, Json], Json], bool]]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _flag,
    "enum": _choice,
}
