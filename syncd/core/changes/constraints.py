"""Changes of what values a parameter admits: its type, and the bounds of numbers and texts."""

from __future__ import annotations

from collections.abc import Iterator

from syncd.core import compat
from syncd.core.canon import Json
from syncd.core.changes.groups import Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.changes.verdict import Loss, domains, first_loss, is_decidable, is_misplaced, of_attribute, witness


def retyped(group: Group) -> Iterator[Change]:
    """The verdict compares both specs as wholes; the change owns every constraint that moved with the type."""
    old_spec, new_spec = group.spec("old"), group.spec("new")
    detail = {"spec_before": old_spec, "spec_after": new_spec}
    old, new = compat.domain(old_spec), compat.domain(new_spec)
    if old.kind is None or new.kind is None:
        yield group.change("param.type.undecided", decided=False, detail=detail)
        return
    lost, gained = _exchange(group)
    if not old.decided or (lost is None and not new.decided):
        # An attribute that syncd does not know may have kept out the very value that would prove a loss.
        yield group.change("param.type.undecided", decided=False, detail=detail)
    elif lost is not None:
        kind = "param.type.changed" if gained else "param.type.narrowed"
        yield group.change(kind, witness=witness(group, lost), detail=detail)
    elif gained:
        yield group.change("param.type.widened", detail=detail)
    else:
        kind = "param.type.alias" if old.kind == new.kind else "param.type.equivalent"
        yield group.change(kind, detail={**detail, "effective": False})


def _exchange(group: Group) -> tuple[Loss | None, bool]:
    """What the new spec as a whole loses, and whether it gains, under either reading of the grid."""
    losses: list[Loss] = []
    gained = False
    for readings, old, new in domains(group):
        found = compat.escape_domain(old, new)
        losses += [] if found is None else [Loss(found.value, readings)]
        gained = gained or compat.escape_domain(new, old) is not None
    return first_loss(group, losses), gained


def bound(group: Group) -> Iterator[Change]:
    """min, max, step, min_length, max_length: one attribute, one verdict."""
    old, new = group.before, group.after
    readable_old, readable_new = (compat.well_formed(group.name, side) for side in (old, new))
    stem = "param." + group.name.replace("_", "-")
    if is_misplaced(group):
        yield group.change("param.attr-misplaced", detail={"effective": False})
    elif is_absent(old) and is_absent(new):
        yield group.change(f"{stem}.null-absent", detail={"effective": False})
    elif not readable_old and not readable_new:
        yield group.change(f"param.attr-unknown.{group.presence}", decided=False)
    else:
        move = _move(old, new) if readable_old and readable_new else "added" if readable_new else "removed"
        yield of_attribute(group, f"{stem}.{move}", decided=is_decidable(group))


def _move(old: Json, new: Json) -> str:
    return "raised" if old < new else "lowered"
