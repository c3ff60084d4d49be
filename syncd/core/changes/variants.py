"""A slug that is listed with several contents, before or after. Two servers that disagree look exactly like this.

Which content answers a request nobody can know, so a request counts as accepted only if every content accepts it:

    V(old) = V(old_1) ∩ V(old_2) ∩ …          breaking   some request of V(old) is refused by a content of new
    V(new) = V(new_1) ∩ V(new_2) ∩ …          decided    so, or each content of new accepts all that one of old does
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from syncd.core.canon import Json
from syncd.core.changes.groups import category_of
from syncd.core.changes.values import Change, Policy
from syncd.core.ops import Set
from syncd.core.requests import accepts

# A slug that is listed so often is told as it is: comparing each content with each would take seconds.
MOST_PAIRS: Final = 25

# `model_changes`, which needs this module in turn.
Compare: TypeAlias = Callable[[str, Json, Json, Policy], list[Change]]


def conflict(slug: str, old: Json, new: Json, policy: Policy, compare: Compare) -> Change:
    """The one change between two contents of which at least one is a list of contents, or no object at all."""
    olds, news = (side if isinstance(side, list) else [side] for side in (old, new))
    few = len(olds) * len(news) <= MOST_PAIRS and _are_objects([*olds, *news])
    between = [[compare(slug, a, b, policy) for a in olds] for b in news] if few else None
    witness = None if between is None else _witness(between, old, policy)
    harmless = between is not None and all(any(map(_is_harmless, from_each)) for from_each in between)
    path = ("models", slug)
    return Change(
        f"catalogue.duplicate-slug.{'conflicting' if isinstance(new, list) else 'resolved'}",
        path,
        "risky" if witness is None else "breaking",
        old,
        new,
        slug,
        category_of(new),
        decided=witness is not None or harmless,
        witness=witness,
        detail={"variants": len(news), "variants_before": len(olds)},
        ops=(Set(path, old, new),),
    )


def _are_objects(sides: Sequence[Json]) -> bool:
    return all(isinstance(side, dict) for side in sides)


def _is_harmless(found: list[Change]) -> bool:
    """Whether what the one content accepts the other does too."""
    return all(change.decided and change.severity != "breaking" for change in found)


def _witness(between: Sequence[Sequence[list[Change]]], old: Json, policy: Policy) -> Mapping[str, Json] | None:
    """A request that one content of new refuses, and every content of old accepts."""
    proofs = (change.witness for found in between for changes in found for change in changes)
    return next((proof for proof in proofs if proof is not None and _is_accepted(proof, old, policy)), None)


def _is_accepted(proof: Mapping[str, Json], old: Json, policy: Policy) -> bool:
    unknown, with_default = policy.unknown_params, policy.required_with_default
    return accepts(proof, old, unknown_params=unknown, required_with_default=with_default) == "accepted"
