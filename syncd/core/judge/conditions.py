"""States with an opening and a closing that failed polls open and good ones close. Only processes data.

access refused        access.* of the key                   until its next good poll
second failed poll    vendor.unreachable of the address     until a good poll of every key that it names
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from syncd.core.judge.telling import tell_again, tell_condition
from syncd.core.judge.values import Case, ConditionEdit, OpenCondition, Opening
from syncd.core.reading import Failed, Refused, Why, explain, facts_of
from syncd.core.routing import KeyFacts

UNREACHABLE: Final = "vendor.unreachable"

ACCESS_KINDS: Final[Mapping[Why, str]] = {
    "rejected": "access.rejected",
    "tier_locked": "access.tier-locked",
    "forbidden": "access.forbidden",
}

# What a good poll of every key they name ends. Others have levels of their own.
_ENDED_BY_A_GOOD_POLL: Final = frozenset({UNREACHABLE, *ACCESS_KINDS.values()})


def recoveries(case: Case, kinds: Iterable[str] = _ENDED_BY_A_GOOD_POLL) -> tuple[ConditionEdit, ...]:
    """The edits to every open condition of these kinds that names this key."""
    named = (c for c in case.context.open if c.kind in kinds and case.key.name in c.detail.get("keys", {}))
    return tuple(_recovered(condition, case.key, case.now) for condition in named)


def _recovered(condition: OpenCondition, key: KeyFacts, now: datetime) -> ConditionEdit:
    """The key works again: its own conditions close, a shared one closes when every key it names works again."""
    keys = {name: state for name, state in condition.detail.get("keys", {}).items() if name != key.name}
    recovered = list(dict.fromkeys([*condition.detail.get("recovered", []), key.name]))
    told = tell_again(condition.told, now)
    detail = {**condition.detail, "keys": keys, "recovered": recovered}
    return ConditionEdit(condition.id, detail, closed=not keys, announcements=() if keys else told, revisions=told)


def retired(condition: OpenCondition, key: str, now: datetime) -> ConditionEdit | None:
    """A key has left the configuration: it holds no condition open any more. None where the condition does not name it.

    That nobody asks any more is no news. But where another key has come through an outage that only this one held open,
    the outage is over, and those who heard of its beginning hear of that.
    """
    keys = condition.detail.get("keys", {})
    if key not in keys:
        return None
    rest = {name: state for name, state in keys.items() if name != key}
    detail = {**condition.detail, "keys": rest, "retired": [*condition.detail.get("retired", []), key]}
    over = not rest and condition.detail.get("recovered")
    told = tell_again(condition.told, now)
    return ConditionEdit(condition.id, detail, closed=not rest, announcements=told if over else (), revisions=told)


def access_lost(reading: Refused, case: Case) -> tuple[Opening, ...]:
    """The key's own condition, unless it is open already. Beside another refusal's: a good poll ends them all.

    One that ended when the next one began would begin anew wherever the vendor's answer swings between two.
    """
    kind = ACCESS_KINDS[reading.why]
    if any(condition.kind == kind for condition in case.context.open):
        return ()
    facts = reading.facts
    detail = {
        "code": facts.code,
        "status": facts.status,
        "request_id": facts.request_id,
        "message": reading.message,
        "next": reading.next,
        "fingerprint": case.key.fingerprint,
        "keys": {case.key.name: "failing"},
    }
    return (Opening(kind, f"key:{case.key.name}", detail, tell_condition(kind, case)),)


def unreachable(reading: Failed, case: Case) -> tuple[tuple[Opening, ...], tuple[ConditionEdit, ...]]:
    """The condition of the key's address: it opens, or the key joins the open one. Nobody is told of it twice."""
    name = case.key.name
    told = tell_condition(UNREACHABLE, case)
    subject = f"url:{case.key.base_url}"
    current = next((c for c in case.context.open if (c.kind, c.subject) == (UNREACHABLE, subject)), None)
    if current is None:
        facts = {"code": facts_of(reading).code, "status": facts_of(reading).status, "what": explain(reading)}
        return (Opening(UNREACHABLE, subject, {**facts, "keys": {name: "failing"}}, told),), ()
    if name in current.detail.get("keys", {}):
        return (), ()
    known = {destination for destination, _ in current.told}
    recovered = [other for other in current.detail.get("recovered", []) if other != name]
    joined = {**current.detail, "keys": {**current.detail.get("keys", {}), name: "failing"}, "recovered": recovered}
    new = tuple(one for one in told if one.destination not in known)
    revisions = tell_again(current.told, case.now)
    return (), (ConditionEdit(current.id, joined, closed=False, announcements=new, revisions=revisions),)
