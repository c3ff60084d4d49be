"""Changes of the values that a parameter lists, one per element.

operations on `values` --whole list came or went--> one change
                       --else, by element---------> listed more or less often | new or gone | only reordered
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from syncd.core import compat
from syncd.core.canon import MISSING, Json, Missing, canonical
from syncd.core.changes.groups import Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.changes.verdict import (
    Loss,
    derived,
    domains,
    first_loss,
    is_decidable,
    is_misplaced,
    kinds,
    of_attribute,
)
from syncd.core.ops import Op, Reordered, Set, ValueAdded, ValueRemoved

Moved: TypeAlias = ValueAdded | ValueRemoved


def listed(group: Group) -> Iterator[Change]:
    """One change per element; a list that came or went as a whole is one change."""
    if any(isinstance(op, Set) for op in group.ops):
        yield _as_whole(group)
        return
    on_both = _elements(group.before) & _elements(group.after)
    for owned in _by_element(group.ops):
        alone, first = replace(group, ops=owned), owned[0]
        if isinstance(first, Reordered):
            yield alone.change("param.enum.reordered", before=list(first.before), after=list(first.after))
        elif isinstance(first, Moved):
            change = _again(alone, first) if canonical(first.value) in on_both else _element(alone, first)
            yield _of_element(change, first)


def _elements(values: Json | Missing) -> set[str]:
    return {canonical(v) for v in values} if isinstance(values, list) else set()


def _by_element(owned: tuple[Op, ...]) -> Iterable[tuple[Op, ...]]:
    """Operations on equal elements belong together: a value listed three times that goes is one change."""
    grouped: dict[object, list[Op]] = {}
    for op in owned:
        element = canonical(op.value) if isinstance(op, Moved) else None
        grouped.setdefault((type(op), element), []).append(op)
    return map(tuple, grouped.values())


def _as_whole(group: Group) -> Change:
    kind = "param.enum.values-unpublished"
    if is_misplaced(group):
        return group.change("param.attr-misplaced", detail={"effective": False})
    if is_absent(group.before) and is_absent(group.after):
        return group.change(kind, "informational", detail={"effective": False})
    # On an enum an absent list is not published; on any other type it means that there is no such restriction.
    return of_attribute(group, kind, decided=is_decidable(group) and "enum" not in kinds(group))


def _of_element(change: Change, op: Moved) -> Change:
    if isinstance(op, ValueAdded):
        return replace(change, before=MISSING, after=op.value)
    return replace(change, before=op.value, after=MISSING)


def _again(group: Group, op: Moved) -> Change:
    """The value is listed on both sides, only not as often."""
    return group.change(f"param.enum.duplicate-{'added' if isinstance(op, ValueAdded) else 'removed'}")


def _element(group: Group, op: Moved) -> Change:
    kind = f"param.enum.value-{'added' if isinstance(op, ValueAdded) else 'removed'}"
    if is_misplaced(group):
        return group.change("param.attr-misplaced", detail={"effective": False})
    if None in kinds(group):
        return group.change(kind, "risky", decided=False)
    sides = list(domains(group))
    if isinstance(op, ValueAdded):
        return derived(group, kind, None, gained=any(compat.contains(new, op.value) for _, _, new in sides))
    losses = (Loss(op.value, readings) for readings, old, _ in sides if compat.contains(old, op.value))
    return derived(group, kind, first_loss(group, losses), gained=False)
