"""A parameter that went and one that came in the same model may be one under another name.

An explanation, not a discount: requests that send the old name are refused all the same, so the one change that stands
for both is as severe as the worse of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from syncd.core import compat
from syncd.core.canon import Json, canonical
from syncd.core.changes.likeness import alike, pairs
from syncd.core.changes.values import Change
from syncd.core.rules import rank

# num_images and number_images are alike enough, width and length are not.
_ALIKE: Final = 0.7

# What tells nothing of the values a parameter admits.
_WORDS: Final = compat.ANNOTATIONS - {"type", "required", "default"}


def with_renames(found: list[Change]) -> list[Change]:
    """The changes of a model, with one change for each parameter that was renamed, in the place of its removal."""
    gone = {change.param or "": change for change in found if change.kind == "param.removed"}
    if not gone:
        return found
    new = {change.param or "": change for change in found if change.kind.startswith("param.added.")}
    renamed = pairs(list(gone), list(new), lambda a, b: _score(a, b, gone[a].before, new[b].after))
    as_one = {id(gone[old]): _as_one(gone[old], new[now]) for old, now in renamed.items()}
    told = {id(new[now]) for now in renamed.values()}
    return [as_one.get(id(change), change) for change in found if id(change) not in told]


def _score(old: str, new: str, before: Json, after: Json) -> float:
    """How likely the one is the other: 0 unless they admit the same values and look alike."""
    if compat.is_required(before) != compat.is_required(after) or not _same_values(before, after):
        return 0
    likeness = alike(old, new) if _numbers(old) == _numbers(new) else 0
    described = ("default", "description")
    same = all(
        before.get(each) is not None and canonical(before[each]) == canonical(after.get(each)) for each in described
    )
    return likeness + same if likeness >= _ALIKE or same else 0


def _numbers(name: str) -> list[str]:
    """image_1 and image_2 are two parameters."""
    return re.findall(r"\d+", name)


def _same_values(before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    old, new = compat.domain(before), compat.domain(after)
    if old.decided and new.decided and not old.opaque and not new.opaque:
        return compat.escape_domain(old, new) is None and compat.escape_domain(new, old) is None
    return canonical(_values_part(before)) == canonical(_values_part(after))


def _values_part(spec: Mapping[str, Json]) -> dict[str, Json]:
    return {name: argument for name, argument in spec.items() if name not in _WORDS}


def _as_one(gone: Change, new: Change) -> Change:
    worst = min(gone, new, key=lambda change: rank(change.severity))
    return Change(
        "param.renamed",
        gone.path,
        worst.severity,
        gone.before,
        new.after,
        gone.slug,
        gone.category,
        decided=gone.decided and new.decided,
        witness=worst.witness,
        detail={"replacement": new.param},
        ops=(*gone.ops, *new.ops),
    )
