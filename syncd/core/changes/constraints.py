"""Changes of what values a parameter admits: its type, bounds, pattern and elements, and whether null is one."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from syncd.core import compat
from syncd.core.canon import Json, Missing, is_number
from syncd.core.changes.groups import Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.changes.verdict import (
    Loss,
    breaking,
    derived,
    domains,
    first_loss,
    is_decidable,
    is_misplaced,
    is_readable,
    kinds,
    of_attribute,
)
from syncd.core.compat import Domain
from syncd.core.compat.patterns import is_trivial


def retyped(group: Group) -> Iterator[Change]:
    """The verdict compares both specs as wholes; the change owns every constraint that moved with the type."""
    old, new = group.domain("old"), group.domain("new")
    if not isinstance(group.before, str) or not isinstance(group.after, str):
        yield group.change("param.type.missing", decided=False)
        return
    if old.kind is None or new.kind is None:
        yield group.change("param.type.undecided", decided=False)
        return
    lost, gained = _exchange(group)
    maybe = lost is not None and not lost.certain
    known = lost is not None and (lost.value in group.used or _have_nothing_in_common(old, new))
    if maybe or (not old.decided and not known) or (lost is None and not new.decided):
        # An attribute that syncd does not know may have kept out the very value that would prove a loss.
        yield group.change("param.type.undecided", decided=False)
    elif lost is not None:
        kind = "param.type.changed" if gained else "param.type.narrowed"
        yield breaking(group, kind, lost)
    elif gained:
        yield group.change("param.type.widened")
    else:
        kind = "param.type.alias" if old.kind == new.kind else "param.type.equivalent"
        yield group.change(kind, detail={"effective": False})


def _have_nothing_in_common(old: Domain, new: Domain) -> bool:
    """Whether no value of the one is of a sort that the other could admit, whatever else narrows them."""
    return not old.nullable and _sorts(old).isdisjoint(_sorts(new))


def _sorts(of: Domain) -> frozenset[str]:
    values = of.get("values")
    if of.kind == "enum":
        return frozenset(_sort(value) for value in values.argument) if values is not None else _SORTS
    return frozenset({"number" if of.kind == "integer" else of.kind or "any"})


_SORTS: Final = frozenset({"string", "number", "boolean", "array", "other", "any"})


def _sort(value: Json) -> str:
    if is_number(value):
        return "number"
    return {str: "string", bool: "boolean", list: "array"}.get(type(value), "other")


def _exchange(group: Group) -> tuple[Loss | None, bool]:
    """What the new spec as a whole loses, and whether it gains, under either reading of the grid."""
    losses: list[Loss] = []
    gained = False
    for readings, old, new in domains(group):
        found = compat.escape_domain(old, new, group.used)
        losses += [] if found is None else [Loss(found.value, readings, found.certain)]
        gained = gained or compat.escape_domain(new, old) is not None
    return first_loss(group, losses), gained


def bound(group: Group) -> Iterator[Change]:
    """min, max, step, and the lengths of texts and lists: one attribute, one verdict."""
    if (said := _says_nothing(group, f"{_stem(group)}.null-absent")) is not None:
        yield said
    else:
        yield of_attribute(group, f"{_stem(group)}.{_move(group)}", decided=is_decidable(group))


def _stem(group: Group) -> str:
    return "param." + group.name.replace("_", "-")


def _says_nothing(group: Group, null_absent: str) -> Change | None:
    """The change of an attribute that says nothing of these values, on either side; None if it says something."""
    if is_misplaced(group):
        return group.change("param.attr-misplaced", detail={"effective": False})
    if is_absent(group.before) and is_absent(group.after):
        return group.change(null_absent, detail={"effective": False})
    if not any(compat.well_formed(group.name, side) for side in (group.before, group.after)):
        return group.change(f"param.attr-unknown.{group.presence}", decided=False)
    return None


def _move(group: Group) -> str:
    old: Json = group.before
    new: Json = group.after
    if not compat.well_formed(group.name, old) or not compat.well_formed(group.name, new):
        return "removed" if compat.well_formed(group.name, old) else "added"
    if group.name == "step" and not _divides(old, new) and not _divides(new, old):
        return "changed"
    return "raised" if old < new else "lowered"


def _divides(step: Json, other: Json) -> bool:
    return Fraction(other) % Fraction(step) == 0


def pattern(group: Group) -> Iterator[Change]:
    """What texts must look like. In which dialect, and whether anchored, only the vendor knows: no text is made up."""
    if is_misplaced(group):
        yield group.change("param.attr-misplaced", detail={"effective": False})
        return
    kind = f"{_stem(group)}.{_presence(group)}"
    if _restricts_nothing(group.before) and _restricts_nothing(group.after):
        yield group.change(kind, "informational", detail={"effective": False})
    elif None not in kinds(group) and _restricts_nothing(group.after) and not is_readable("pattern", group.before):
        yield group.change(kind, "additive")
    else:
        yield of_attribute(group, kind, decided=None not in kinds(group) and is_readable("pattern", group.after))


def _presence(group: Group) -> str:
    """As `Group.presence`, for which null is as good as nothing."""
    if is_absent(group.before) == is_absent(group.after):
        return "changed"
    return "added" if is_absent(group.before) else "removed"


def _restricts_nothing(pattern: Json | Missing) -> bool:
    return is_absent(pattern) or is_trivial(pattern)


def items(group: Group) -> Iterator[Change]:
    """What the elements of a list may be: the same verdict, of specs within specs."""
    kind = f"{_stem(group)}.{_presence(group)}"
    if is_misplaced(group):
        yield group.change("param.attr-misplaced", detail={"effective": False})
    elif is_absent(group.before) and is_absent(group.after):
        yield group.change(kind, "informational", detail={"effective": False})
    else:
        both = (group.domain("old").items, group.domain("new").items)
        yield of_attribute(group, kind, decided=all(one is not None and one.decided for one in both))


def nullable(group: Group) -> Iterator[Change]:
    """Whether null may be sent."""
    old, new = group.before, group.after
    if any(not is_absent(v) and not isinstance(v, bool) for v in (old, new)):
        yield group.change(f"param.attr-unknown.{group.presence}", decided=False)
    elif (old is True) == (new is True):
        yield group.change("param.nullable.normalised", detail={"effective": False})
    elif None in kinds(group):
        yield group.change(f"param.nullable.{'added' if new is True else 'removed'}", "risky", decided=False)
    else:
        yield _null_moved(group, "added" if new is True else "removed")


def _null_moved(group: Group, how: str) -> Change:
    """An enum may list null whether it is nullable or not."""
    held, holds = (compat.contains(of, None) for of in (group.domain("old"), group.domain("new")))
    lost = Loss(None) if held and not holds else None
    return derived(group, f"param.nullable.{how}", lost, gained=holds and not held)
