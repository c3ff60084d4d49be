"""Listings that look like a fault at the vendor: what is missing from them needs more proof. Only processes data.

    a listing ── empty · lacks many models · one page of several · another account's ──> listing.suspicious opens
                 what is missing from it is suspect: it must be missing from PROOF complete listings running

    complete, and no suspect is missing ── PROOF running ──> closes: the listing is whole again
    the last suspect is confirmed ─────────────────────────> closes: they are gone

A listing that hints at more than it shows proves no absence: nothing is missing from it, it only adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from syncd.core.canon import Json
from syncd.core.changes import Change
from syncd.core.judge.telling import tell_again, tell_condition
from syncd.core.judge.values import Case, ConditionEdit, HoldStep, NewChange, OpenCondition, Opening
from syncd.core.reading import Good, Listing

SUSPICIOUS: Final = "listing.suspicious"

# So many complete listings running must agree: on what is missing, or on nothing being missing any more.
PROOF: Final = 3

Why: TypeAlias = Literal["emptied", "drop", "incomplete", "rotated"]

# In a change's detail: it was found missing from such a listing.
SUSPECT: Final = "suspicious"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a listing is suspicious: `missing` of the `known` models are not in it."""

    why: Why
    missing: int
    known: int
    requests: tuple[str, ...] = ()


def suspicion(reading: Good, changes: tuple[Change, ...], case: Case) -> Suspicion | None:
    """What is suspicious about a listing; None if nothing is, or if it is the one that was judged last time."""
    if not isinstance(reading, Listing):
        return None if reading.complete else Suspicion("incomplete", 0, 0)
    listed = len(reading.catalog.models)
    if not reading.catalog.complete:
        return Suspicion("incomplete", 0, listed)
    gone = [change for change in changes if change.kind == "model.removed"]
    # What went missing before, and one by one, is no part of a sudden drop.
    earlier = {held.change.slug for held in case.context.held if held.is_removal and not is_suspect(held.change)}
    lost = [change for change in gone if change.slug not in earlier]
    new = sum(change.kind in ("model.added", "model.returned") for change in changes)
    known = listed - new + len(gone)
    # Half of all that either of the two lists: it may well be another account's.
    other = case.context.rotated and 2 * (len(gone) + new) >= known + new
    why: Why | None = "rotated" if other and gone else _why(len(lost), known, listed, case)
    requests = tuple(dict.fromkeys(name for change in lost for name in change.affects))
    return None if why is None else Suspicion(why, len(lost), known, requests)


def _why(lost: int, known: int, listed: int, case: Case) -> Why | None:
    if not lost:
        return None
    if not listed:
        return "emptied"
    return "drop" if lost >= case.policy.drop_count and lost >= case.policy.drop_share * Decimal(known) else None


def is_suspect(change: Change) -> bool:
    """Whether the removal was found in a suspicious listing."""
    return change.detail.get(SUSPECT) is True


def named(found: Suspicion | None, case: Case) -> frozenset[str]:
    """The saved requests that the message of the condition names, or will."""
    current = next((c for c in case.context.open if c.kind == SUSPICIOUS), None)
    if current is not None:
        return frozenset(current.detail.get("requests", ()))
    return frozenset() if found is None else frozenset(found.requests)


# --- the condition -------------------------------------------------------------------------------------------------


def suspicions(
    found: Suspicion | None,
    fresh: Iterable[NewChange],
    steps: Iterable[HoldStep],
    case: Case,
) -> tuple[tuple[Opening, ...], tuple[ConditionEdit, ...]]:
    """The condition opens, counts listings, or closes. `fresh` and `steps` are what became of removals at this poll."""
    current = next((c for c in case.context.open if c.kind == SUSPICIOUS), None)
    if current is None:
        return ((_opening(found, case),) if found else ()), ()
    suspects = {held.id for held in case.context.held if is_suspect(held.change)}
    after = {step.id: step.state for step in steps if step.id in suspects}
    missing = any(state == "held" for state in after.values()) or any(
        new.state == "held" and is_suspect(new.change) for new in fresh
    )
    confirmed = sum(state in ("announced", "recorded") for state in after.values())
    edit = _edit(current, found, confirmed, case.now, missing=missing)
    return (), ((edit,) if edit is not None else ())


def _opening(found: Suspicion, case: Case) -> Opening:
    name = case.key.name
    detail = {**_facts(found), "clean": 0, "keys": {name: "suspicious"}}
    return Opening(SUSPICIOUS, f"key:{name}", detail, tell_condition(SUSPICIOUS, case))


def _facts(found: Suspicion) -> dict[str, Json]:
    facts: dict[str, Json] = {"why": found.why, "missing": found.missing, "of": found.known}
    return {**facts, "requests": list(found.requests)} if found.requests else facts


def _edit(
    current: OpenCondition, found: Suspicion | None, confirmed: int, now: datetime, *, missing: bool
) -> ConditionEdit | None:
    detail: Mapping[str, Json] = current.detail
    confirmed += detail.get("confirmed", 0)
    clean = 0 if found or missing else detail.get("clean", 0) + 1
    closed = clean >= PROOF or (confirmed > 0 and not missing)
    worse = _worse(found, detail)
    learned = {**detail, **worse, "clean": clean, **({"confirmed": confirmed} if confirmed else {})}
    told = tell_again(current.told, now)
    if closed:
        return ConditionEdit(current.id, learned, closed=True, announcements=told, revisions=told)
    if learned == detail:
        return None
    return ConditionEdit(current.id, learned, closed=False, revisions=told if worse else ())


def _worse(found: Suspicion | None, known: Mapping[str, Json]) -> dict[str, Json]:
    """What a listing adds to the trouble there is: more is missing, or more requests are in doubt."""
    if found is None or found.why == "incomplete":
        return {}
    requests = list(dict.fromkeys([*known.get("requests", []), *found.requests]))
    if found.missing <= known.get("missing", 0) and requests == known.get("requests", []):
        return {}
    most = found if found.missing > known.get("missing", 0) else None
    facts = {} if most is None else {"why": most.why, "missing": most.missing, "of": most.known}
    return {**facts, **({"requests": requests} if requests else {})}
