"""The verdict on a parameter: what its old spec admitted and the new one refuses, and the request that proves it.

group --domains--> D_old, D_new under each reading of the grid
                       |
                       +-- lost: a value of D_old is refused ----> breaking, with a witness
                       +-- lost, perhaps (a pattern) ------------> risky, undecided
                       +-- else gained: a value is new ----------> additive
                       +-- neither ------------------------------> informational
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from syncd.core import compat
from syncd.core.canon import MISSING, Json, Missing, same
from syncd.core.changes.groups import EITHER, Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.compat import Constraint, Domain, Escape, Kind


@dataclass(frozen=True, slots=True)
class Loss:
    """A value that is accepted no longer, and the readings of the grid (at the minimum, or not) under which it was.

    Where it is not `certain`, there may be such a value or none.
    """

    value: Json | Missing
    readings: tuple[bool, ...] = EITHER
    certain: bool = True


def of_attribute(group: Group, kind: str, *, decided: bool) -> Change:
    """X(k): the verdict on one attribute, whatever else changed beside it."""
    if not decided:
        return group.change(kind, "risky", decided=False)
    lost, gained = _exclusion(group)
    return derived(group, kind, lost, gained=gained)


def derived(group: Group, kind: str, lost: Loss | None, *, gained: bool) -> Change:
    """The theorem's verdict on a change: what is lost breaks, what is only gained is additive."""
    if lost is not None and not lost.certain:
        return group.change(kind, "risky", decided=False)
    if lost is not None:
        return breaking(group, kind, lost)
    if gained:
        return group.change(kind, "additive")
    return group.change(kind, "informational", detail={"effective": False})


def breaking(group: Group, kind: str, lost: Loss | None = None) -> Change:
    """A change that breaks, with its proof: the smallest request, with this parameter set to the value that is lost.

    It is not decided where nobody can tell whether there is any such request.
    """
    request = group.sides.request() if lost is None else group.sides.request(lost.readings)
    if request is None:
        return group.change(kind, "breaking")
    whole = dict(request.values) if lost is None else {**request.values, group.param: lost.value}
    # What the lost value stands in for is no longer open.
    certain = request.certain or all(value is not MISSING for name, value in whole.items() if name != group.param)
    return group.change(kind, "breaking", decided=certain, witness=None if MISSING in whole.values() else whole)


# --- whether anything can be said ----------------------------------------------------------------------------------


def kinds(group: Group) -> tuple[Kind | None, Kind | None]:
    """The kind before and after; None for one that syncd does not know."""
    return group.domain("old").kind, group.domain("new").kind


def is_misplaced(group: Group) -> bool:
    """Whether the attribute means nothing on a parameter of this kind."""
    _, kind = kinds(group)
    return kind is not None and kind not in compat.CONSTRAINTS[group.name]


def is_decidable(group: Group) -> bool:
    """Whether both kinds are known, and the attribute on both sides is absent or of a form it can take."""
    return None not in kinds(group) and all(is_readable(group.name, side) for side in (group.before, group.after))


def is_readable(attribute: str, argument: Json | Missing) -> bool:
    """Whether the attribute says something that syncd understands, or nothing at all."""
    return is_absent(argument) or compat.well_formed(attribute, argument)


# --- what is lost and gained ---------------------------------------------------------------------------------------


def domains(group: Group) -> Iterator[tuple[tuple[bool, ...], Domain, Domain]]:
    """Both sides, under each reading of where a step's grid begins; once where it makes no difference."""
    old, new = group.spec("old"), group.spec("new")
    readings = ((False,), (True,)) if compat.anchors_matter(old) or compat.anchors_matter(new) else (EITHER,)
    for reading in readings:
        grid_at_min = reading[0]
        yield reading, group.domain("old", grid_at_min=grid_at_min), group.domain("new", grid_at_min=grid_at_min)


def first_loss(group: Group, losses: Iterable[Loss]) -> Loss | None:
    """One that a whole request can show: a reading under which nothing at all was accepted loses nothing.

    A certain one before one that may be. Where nothing was accepted under any, the first: `model_changes` will say so.
    """
    found = sorted(losses, key=lambda loss: not loss.certain)
    shown = next((loss for loss in found if group.sides.request(loss.readings) is not None), None)
    return shown or (found[0] if found and group.sides.request() is None else None)


def _exclusion(group: Group) -> tuple[Loss | None, bool]:
    """What the attribute alone loses, under either reading of the grid; if nothing, whether it gains."""
    sides = list(domains(group))
    # Where the grid begins at the minimum, the minimum moves it; a step that changed answers for its grid itself.
    names = ("min", "step") if group.name == "min" and len(sides) > 1 and _keeps_step(group) else (group.name,)
    losses = (
        Loss(found.value, readings, found.certain)
        for readings, old, new in sides
        for name in names
        if (found := _escape(old, new.get(name), group.used)) is not None
    )
    lost = first_loss(group, losses)
    gains = (_escape(new, old.get(name)) for _, old, new in sides for name in names)
    return lost, lost is None and any(gain is not None for gain in gains)


def _keeps_step(group: Group) -> bool:
    return same(group.spec("old").get("step"), group.spec("new").get("step"))


def _escape(of: Domain, constraint: Constraint | None, used: Iterable[Json] = ()) -> Escape | None:
    return None if constraint is None else compat.escape(of, constraint, used)
