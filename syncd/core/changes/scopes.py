"""What an operation is about, and which family of changes says so.

operations --the longest pattern that their path begins with--> (path, family) --Group--> changes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from syncd.core import compat
from syncd.core.canon import Path
from syncd.core.changes import account, constraints, enums, fields, params
from syncd.core.changes.groups import Family, Group, Sides
from syncd.core.changes.values import Change
from syncd.core.ops import Op

_PARAM: Final = ("models", "*", "params", "*")

_TEXTS: Final = ("name", "category", "creator", "description")
_BOUNDS: Final = ("min", "max", "step", "min_length", "max_length", "min_items", "max_items")
_DOCS: Final = ("description", "title", "label", "placeholder", "help", "example")

# ``*`` stands for any name.
SCOPES: Final[Mapping[Path, Family]] = {
    ("tier",): account.tier,
    ("rate_limit", "calls_per_minute"): account.limit,
    ("rate_limit", "concurrent_jobs"): account.limit,
    ("rate_limit", "*"): account.unknown,
    ("rate_limit",): account.limits_replaced,
    ("credits_balance",): account.balance,
    (*_PARAM, "type"): constraints.retyped,
    **{(*_PARAM, name): constraints.bound for name in _BOUNDS},
    (*_PARAM, "pattern"): constraints.pattern,
    (*_PARAM, "values"): enums.listed,
    (*_PARAM, "items"): constraints.items,
    (*_PARAM, "nullable"): constraints.nullable,
    (*_PARAM, "format"): params.format_,
    (*_PARAM, "required"): params.required,
    (*_PARAM, "default"): params.default_value,
    **{(*_PARAM, name): params.doc for name in _DOCS},
    (*_PARAM, "deprecated"): params.deprecated,
    (*_PARAM, "*"): params.unknown,
    _PARAM: params.whole,
    ("models", "*", "params"): fields.params_replaced,
    ("models", "*", "credits_band"): fields.band,
    ("models", "*", "example_request"): fields.example,
    **{("models", "*", name): fields.text for name in _TEXTS},
    ("models", "*", "*"): fields.unknown,
    ("*",): account.unknown,
}

# What a change of type owns beside the type.
_OF_TYPE: Final = compat.CONSTRAINTS.keys() | {"nullable"}

# /models/{slug}/params/{name}, and one attribute more.
_SPEC_DEPTH: Final = len(_PARAM)

About: TypeAlias = tuple[Path, Family]


def changes_of(found: Iterable[Op], sides: Sides) -> Iterator[Change]:
    """The changes behind operations between the two sides."""
    for (where, family), owned in _grouped(list(found)).items():
        yield from family(Group.of(sides, where, tuple(owned)))


def _grouped(found: list[Op]) -> Mapping[About, list[Op]]:
    retyped = {op.path[:_SPEC_DEPTH] for op in found if _attribute(op) == "type"}
    grouped: dict[About, list[Op]] = {}
    for op in found:
        spec = op.path[:_SPEC_DEPTH]
        # The change of type owns every constraint of its parameter, so that nothing is told twice.
        owned = spec in retyped and _attribute(op) in _OF_TYPE
        grouped.setdefault(_scope((*spec, "type") if owned else op.path), []).append(op)
    return grouped


def _attribute(op: Op) -> str | None:
    """The attribute of a parameter that the operation concerns."""
    path = op.path
    return path[_SPEC_DEPTH] if len(path) > _SPEC_DEPTH and path[0] == "models" and path[2] == "params" else None


def _scope(path: Path) -> About:
    """The longest beginning of the path that `SCOPES` knows, by name before by ``*``."""
    pattern = tuple("*" if n in (1, 3) else name for n, name in enumerate(path)) if path[0] == "models" else path
    for depth in range(min(len(path), _SPEC_DEPTH + 1), 0, -1):
        family = SCOPES.get(pattern[:depth]) or SCOPES.get((*pattern[: depth - 1], "*"))
        if family is not None:
            return path[:depth], family
    raise AssertionError(path)  # ("*",) matches every path
