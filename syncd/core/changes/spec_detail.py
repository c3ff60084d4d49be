"""What is to be said of a parameter as a whole, in the detail of its worst change.

    spec_before, spec_after   how it was and is
    findings                  what is odd only since it changed: a default that lies outside its bounds although nobody
                              touched it, because the bounds moved; an example request that the model refuses now

No verdict follows from it: every operation has its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from syncd.core import compat, findings
from syncd.core.canon import Json, Path
from syncd.core.changes.groups import Sides
from syncd.core.changes.values import Change
from syncd.core.rules import rank

# Of this the change itself says all there is to say.
_SAID: Final = frozenset({"param.attr-unknown"})


def with_whole_specs(found: list[Change], sides: Sides) -> list[Change]:
    """The changes of a model; of those of one parameter the worst tells of the parameter as a whole."""
    worst: dict[Path, Change] = {}
    for change in found:
        spec = change.path[:_DEPTH]
        if change.kind.startswith("param.") and (spec not in worst or _rank(change) < _rank(worst[spec])):
            worst[spec] = change
    whole = {id(change): _whole(change, sides) for change in worst.values()}
    return [
        replace(change, detail={**change.detail, **whole[id(change)]}) if whole.get(id(change)) else change
        for change in found
    ]


# /models/{slug}/params/{name}
_DEPTH: Final = 4


def _rank(change: Change) -> int:
    return rank(change.severity)


def _whole(change: Change, sides: Sides) -> dict[str, Json]:
    name = change.path[_DEPTH - 1]
    before, after = sides.spec("old", name), sides.spec("new", name)
    odd = _new_findings(change, before, after)
    if change.severity == "breaking" and _breaks_example(name, before, after, sides):
        odd.append("model.example-request-invalid")
    # A change of the whole parameter holds its specs as they are, and what changes nothing needs none.
    is_whole = len(change.path) == _DEPTH or change.severity == "informational"
    specs = {} if is_whole else {"spec_before": before, "spec_after": after}
    return {**specs, **({"findings": odd} if odd else {})}


def _new_findings(change: Change, before: Json | None, after: Json | None) -> list[str]:
    """The ids of what holds of the new spec and did not of the old one."""
    path = change.path[:_DEPTH]
    found = [] if after is None else [one.id for one in findings.of_spec(path, after) if one.id not in _SAID]
    if not found or before is None:
        return found
    known = {one.id for one in findings.of_spec(path, before)}
    return [one for one in found if one not in known]


def _breaks_example(name: str, before: Json | None, after: Json | None, sides: Sides) -> bool:
    """Whether the vendor's example was right about the parameter, and is no longer."""
    if name not in sides.example:
        return bool(sides.example) and compat.is_required(after) and not compat.is_required(before)
    value = sides.example[name]
    if before is None or not compat.contains(sides.domain("old", name), value):
        return False
    return after is None or not compat.contains(sides.domain("new", name), value)
