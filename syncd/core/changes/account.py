"""Changes of the account: its plan, its rate limits, its balance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from syncd.core.canon import MISSING, Json, Missing, is_number
from syncd.core.changes.groups import Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.rules import Severity

# Plans in the vendor's order. The API is there from `pro` upwards.
_TIERS: Final = ("free", "standard", "pro", "ultimate")
_WITH_API: Final = frozenset({"pro", "ultimate"})


def tier(group: Group) -> Iterator[Change]:
    """The plan, whose order decides the severity."""
    old, new = group.before, group.after
    if is_absent(old) and is_absent(new):
        yield group.change(f"account.tier.{_came_or_went(group)}", "informational", detail={"effective": False})
    elif is_absent(old) or is_absent(new):
        yield group.change(f"account.tier.{'disappeared' if is_absent(new) else 'appeared'}")
    elif not isinstance(old, str) or not isinstance(new, str):
        yield group.change("account.tier.changed", "risky")
    elif old.strip().casefold() == new.strip().casefold():
        yield group.change("account.tier.recased", detail={"effective": False})
    else:
        yield group.change("account.tier.changed", _tier_severity(old.strip().casefold(), new.strip().casefold()))


def _came_or_went(group: Group) -> str:
    return "appeared" if group.presence == "added" else "disappeared"


def _tier_severity(old: str, new: str) -> Severity:
    if old not in _TIERS or new not in _TIERS:
        return "risky"
    if _TIERS.index(new) > _TIERS.index(old):
        return "additive"
    return "risky" if new in _WITH_API else "breaking"


def limit(group: Group) -> Iterator[Change]:
    """One rate limit."""
    stem = "account.rate-limit." + group.name.replace("_", "-")
    old, new = group.before, group.after
    if not _is_limit(old) or not _is_limit(new):
        odd = {"findings": ["account.limit-invalid"]} if _is_limit(old) else {}
        yield group.change(f"{stem}.invalid", decided=False, detail=odd)
    elif is_absent(old) and is_absent(new):
        yield group.change(f"{stem}.limit-{group.presence}", "informational", detail={"effective": False})
    elif is_absent(new):
        yield group.change(f"{stem}.limit-removed", decided=False)
    elif is_absent(old):
        yield group.change(f"{stem}.limit-added")
    else:
        yield group.change(f"{stem}.{_move(old, new)}")


def _is_limit(value: Json | Missing) -> bool:
    return is_absent(value) or (is_number(value) and not _is_negative(value))


def _is_negative(number: Json) -> bool:
    return bool(number < 0)


def _move(old: Json, new: Json) -> str:
    if new > old:
        return "raised"
    return "zeroed" if new == 0 else "lowered"


def limits_replaced(group: Group) -> Iterator[Change]:
    """`rate_limit` as a whole came, went, or is no object."""
    old, new = group.before, group.after
    if not all(is_absent(limits) or isinstance(limits, dict) for limits in (old, new)):
        yield group.change(f"account.attr-unknown.{group.presence}", "risky", decided=False)
    elif not _states_limits(old) and not _states_limits(new):
        kind = f"account.rate-limit.limit-{'added' if _says_more(old, new) else 'removed'}"
        yield group.change(kind, "informational", detail={"effective": False})
    else:
        kind = "limit-added" if _states_limits(new) else "limit-removed"
        yield group.change(f"account.rate-limit.{kind}", decided=False)


def _says_more(old: Json | Missing, new: Json | Missing) -> bool:
    """Of sides that state no limit: left out says less than null, and null less than an object."""
    return new is not MISSING and (old is MISSING or isinstance(new, dict))


def _states_limits(limits: Json | Missing) -> bool:
    return isinstance(limits, dict) and any(stated is not None for stated in limits.values())


def balance(group: Group) -> Iterator[Change]:
    """What is left in the wallet. It moves with every call, so no stored state holds it: only saved responses do."""
    yield group.change("account.credits-balance.changed")


def unknown(group: Group) -> Iterator[Change]:
    """A field that syncd does not know."""
    yield group.change(f"account.attr-unknown.{group.presence}")
