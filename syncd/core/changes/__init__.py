"""Layer 2 of the diff: from operations to changes for people, each with a severity and a proof if it breaks.

    diff             which models came, went and stayed; the account                        here
      explained      what became of models that are gone                                    lineage
      model_changes  one model that stayed: its ops, then what only the whole can tell      model
        SCOPES       ops -> groups by what they are about -> the family that names them     scopes, groups
          families   a group -> changes, with an id from `core.rules`                       account, fields, params,
                                                                                            constraints, enums
            verdict  the severity where the rule leaves it open, by `core.compat`           verdict
        with_renames a parameter under another name is one change                           renames, likeness
    -> Change                                                                               values

A change of one attribute k is breaking exactly if some value that the old spec admits is refused by k alone:

    X(k) = breaking       if D_old ⊄ C_k(new)          with the value that proves it
           additive       if not, and D_new ⊄ C_k(old)
           informational  if neither
           risky          if it cannot be decided

Whether a step counts from zero or from the minimum the vendor does not say: what breaks under either reading breaks.

Only processes data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final

from syncd.core.canon import MISSING, Json, Missing
from syncd.core.catalog import Catalog, Listed, bodies
from syncd.core.changes.fields import price_since
from syncd.core.changes.groups import Sides, category_of, stated
from syncd.core.changes.lineage import explained
from syncd.core.changes.model import model_changes
from syncd.core.changes.scopes import SCOPES, changes_of
from syncd.core.changes.values import Before, Change, Policy
from syncd.core.ops import Set, ops

# So many models gone at once, and such a share of all, look like a filter that failed.
MANY: Final = 5
MANY_SHARE: Final = Fraction(1, 5)

__all__ = ["SCOPES", "Before", "Change", "Policy", "diff", "model_changes", "price_since"]


def diff(before: Before, after: Catalog, policy: Policy) -> list[Change]:
    """Every change from the confirmed catalogue to the one just read, in a fixed order.

    A model that had gone and is back is `model.returned`, and is compared with what it was before it went.
    """
    found = _account_changes(before.account, after.account)
    tier_moved = any(change.kind == "account.tier.changed" for change in found)
    for slug in sorted(before.models.keys() | after.models.keys()):
        old, new = before.models.get(slug), after.models.get(slug)
        if old is not None and new is not None:
            found += _stayed(slug, old, new, policy)
        elif new is not None:
            found += _arrived(slug, new, before.gone.get(slug), policy)
        elif old is not None and after.complete:
            cause = "tier-change" if tier_moved else "allowlist-or-removed"
            found.append(_removed(slug, old.body(), cause))
    return explained(_swept(found, before, after), after)


def _swept(found: list[Change], before: Before, after: Catalog) -> list[Change]:
    """Where the list emptied, filled, or lost many models at once, each of them says so."""
    finding, kind = _sweep(sum(change.kind == "model.removed" for change in found), before, after)
    if finding is None:
        return found
    return [
        replace(change, detail={**change.detail, "findings": [finding]}) if change.kind == kind else change
        for change in found
    ]


def _sweep(removed: int, before: Before, after: Catalog) -> tuple[str | None, str]:
    if not before.models and after.models:
        return "catalogue.populated", "model.added"
    if removed and not after.models:
        return "catalogue.emptied", "model.removed"
    many = removed >= MANY and removed >= MANY_SHARE * len(before.models)
    return ("catalogue.mass-removal" if many else None), "model.removed"


def _account_changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    return list(changes_of(ops(dict(old), dict(new)), Sides(old, new, Policy())))


def _stayed(slug: str, old: Listed, new: Listed, policy: Policy) -> list[Change]:
    return [] if old.digest == new.digest else model_changes(slug, *bodies(old, new), policy)


def _arrived(slug: str, new: Listed, gone: Listed | None, policy: Policy) -> list[Change]:
    kind = "model.added" if gone is None else "model.returned"
    since = [] if gone is None else _stayed(slug, gone, new, policy)
    return [
        _whole_model(kind, slug, MISSING, new.body()),
        *(replace(change, detail={**change.detail, "after_absence": True}) for change in since),
    ]


def _removed(slug: str, body: Json, cause: str) -> Change:
    """A model that is gone. The proof is the smallest request that it accepted."""
    change = _whole_model("model.removed", slug, body, MISSING, cause=cause)
    request = Sides(body, {}, Policy()).request() if isinstance(body, dict) else None
    if request is None or MISSING in request.values.values():
        return change
    return replace(change, witness={"model": slug, **request.values})


def _whole_model(kind: str, slug: str, before: Json | Missing, after: Json | Missing, **detail: Json) -> Change:
    path = ("models", slug)
    category = category_of(before if after is MISSING else after)
    return Change(
        kind, path, stated(kind), before, after, slug, category, detail=detail, ops=(Set(path, before, after),)
    )
