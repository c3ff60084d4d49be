"""Changes of the values that a parameter lists, one per element.

operations on `values` --whole list came or went-----> one change
                       --else, by element------------> listed more or less often, or only in another order
                       --one went, one alike came----> spelled differently
                       --else------------------------> went, or came
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

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
from syncd.core.text import fold


@dataclass(frozen=True, slots=True)
class _Element:
    """A value that came or went, with every operation on it: one that was listed three times is one change."""

    value: Json
    came: bool
    ops: tuple[Op, ...]


def listed(group: Group) -> Iterator[Change]:
    """One change per element; a list that came or went as a whole is one change."""
    if any(isinstance(op, Set) for op in group.ops):
        yield _as_whole(group)
        return
    on_both = _values(group.before) & _values(group.after)
    elements = list(_elements(group.ops))
    yield from (_again(group, one) for one in elements if canonical(one.value) in on_both)
    for gone, new in _paired([one for one in elements if canonical(one.value) not in on_both]):
        yield _moved(group, gone, new)
    yield from (_reordered(replace(group, ops=(op,)), op) for op in group.ops if isinstance(op, Reordered))


def _as_whole(group: Group) -> Change:
    kind = "param.enum.values-unpublished"
    if is_misplaced(group):
        return group.change("param.attr-misplaced", detail={"effective": False})
    if is_absent(group.before) and is_absent(group.after):
        return group.change(kind, "informational", detail={"effective": False})
    # On an enum an absent list is not published; on any other type it means that there is no such restriction.
    return of_attribute(group, kind, decided=is_decidable(group) and "enum" not in kinds(group))


def _values(listed: Json | Missing) -> set[str]:
    return {canonical(v) for v in listed} if isinstance(listed, list) else set()


def _elements(ops: Iterable[Op]) -> Iterator[_Element]:
    grouped: dict[tuple[bool, str], list[ValueAdded | ValueRemoved]] = {}
    for op in ops:
        if isinstance(op, ValueAdded | ValueRemoved):
            grouped.setdefault((isinstance(op, ValueAdded), canonical(op.value)), []).append(op)
    return (_Element(alike[0].value, came, tuple(alike)) for (came, _), alike in grouped.items())


def _again(group: Group, one: _Element) -> Change:
    """The value is listed on both sides, only not as often."""
    alone = replace(group, ops=one.ops)
    sides = {"before": MISSING, "after": one.value} if one.came else {"before": one.value, "after": MISSING}
    return alone.change(f"param.enum.duplicate-{'added' if one.came else 'removed'}", **sides)


def _reordered(group: Group, op: Reordered) -> Change:
    before, after = list(op.before), list(op.after)
    return group.change("param.enum.reordered", before=before, after=after, detail=_preselected(group))


def _preselected(group: Group) -> Mapping[str, Json]:
    """What a form shows selected where no default says it: the first value, if it is another one now."""
    old, new = group.spec("old")["values"][0], group.spec("new")["values"][0]
    says_itself = is_absent(group.spec("new").get("default")) and canonical(old) != canonical(new)
    return {"preselected": new} if says_itself else {}


def _paired(elements: Iterable[_Element]) -> Iterator[tuple[_Element | None, _Element | None]]:
    """What went and what came. Two that only case, spacing or composition tell apart are one, if there is no third."""
    alike: dict[str, list[_Element]] = {}
    for one in elements:
        alike.setdefault(_spelling(one.value), []).append(one)
    for same in alike.values():
        if [one.came for one in same] == [False, True]:
            yield same[0], same[1]
        else:
            yield from ((None, one) if one.came else (one, None) for one in same)


def _spelling(value: Json) -> str:
    # No text without U+0000 passes for a number.
    return fold(value) if isinstance(value, str) else "\0" + canonical(value)


def _moved(group: Group, gone: _Element | None, new: _Element | None) -> Change:
    """The verdict on a value that went, one that came, or one that is spelled differently."""
    before, after = (MISSING if one is None else one.value for one in (gone, new))
    ops = tuple(op for one in (gone, new) if one is not None for op in one.ops)
    alone = Group(group.path, ops, group.sides, before, after)
    kind = f"param.enum.value-{'added' if gone is None else 'removed' if new is None else 'recased'}"
    if is_misplaced(group):
        change = alone.change("param.attr-misplaced", detail={"effective": False})
    elif None in kinds(group):
        change = alone.change(kind, "risky", decided=False)
    else:
        change = derived(alone, kind, _lost(group, before), gained=_gained(group, after))
    return change if None in (gone, new) else replace(change, detail={**change.detail, "replacement": after})


def _lost(group: Group, value: Json | Missing) -> Loss | None:
    """The value, which is listed no longer, if it was admitted and null does not pass unlisted now."""
    if value is MISSING:
        return None
    refused = (
        Loss(value, readings)
        for readings, old, new in domains(group)
        if _admitted_beside(old, value) and not (value is None and new.nullable)
    )
    return first_loss(group, refused)


def _gained(group: Group, value: Json | Missing) -> bool:
    return value is not MISSING and any(
        _admitted_beside(new, value) and not (value is None and old.nullable) for _, old, new in domains(group)
    )


def _admitted_beside(of: compat.Domain, value: Json) -> bool:
    """Whether everything but the list, which is known to hold it, lets the value through."""
    return all(compat.admits(constraint, value) for constraint in of.constraints if constraint.attribute != "values")
