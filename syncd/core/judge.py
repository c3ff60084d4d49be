"""Decides what a poll means: what is recorded, what is held, which conditions open or close, and who is told.

    reading ─┬─ good ──── first catalogue? ── a baseline; that watching begins is told
             │            changes ─────────── announced, recorded, or held (removals out of an empty listing)
             │            held removals ───── one step nearer to confirmation, confirmed, or retracted
             │            open conditions ─── closed
             └─ failed ── access refused ──── opens access.*
                          second in a row ─── opens vendor.unreachable, or joins the open one
                          (the catalogue is never touched)

Only processes data: it sees values and returns `News`; `store` writes them in the poll's one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

from syncd.core.canon import MISSING, Json
from syncd.core.changes import Change
from syncd.core.credits import Band, read_band
from syncd.core.reading import (
    ACCESS,
    Failed,
    Good,
    Listing,
    Outcome,
    Reading,
    Refused,
    Same,
    explain,
    facts_of,
    outcome,
)
from syncd.core.routing import Announcement, Event, KeyFacts, Route, announce
from syncd.core.rules import BASELINE, CONDITIONS

ChangeState: TypeAlias = Literal["baseline", "held", "announced", "retracted", "recorded"]
KeyState: TypeAlias = Literal["new", "ok", "rejected", "tier_locked", "forbidden", "unreachable"]

# One lost packet is no outage; two polls without a usable answer are.
FAILURES_TO_TELL: Final = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """The operator's settings as far as judging needs them.

    A removal is confirmed by `confirm_polls` good polls without the model, the one that saw it go included, and
    `confirm_after` since then: both.
    """

    routes: tuple[Route, ...] = ()
    record_only: tuple[str, ...] = ()
    confirm_polls: int = 2
    confirm_after: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Held:
    """A removal that waits for confirmation: `polls` good polls have missed the model so far."""

    id: int
    change: Change
    polls: int
    detected_at: datetime


@dataclass(frozen=True, slots=True)
class OpenCondition:
    """A condition that has not closed. `told` are the destinations that heard of its opening, with their routes."""

    id: int
    kind: str
    subject: str
    opened_at: datetime
    detail: Mapping[str, Json]
    told: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The few stored facts a judgement needs.

    `failures` counts the failed polls in a row before this one. `stale` tells that an answer to a later request has
    been applied already. `digest` addresses the last observed state.
    """

    key: KeyFacts
    state: KeyState
    failures: int
    has_baseline: bool
    digest: str | None
    stale: bool = False
    held: tuple[Held, ...] = ()
    open: tuple[OpenCondition, ...] = ()
    told_band: Callable[[str, str], Band | None] = lambda _slug, _destination: None


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change to record, in its state, with who is told."""

    change: Change
    state: ChangeState
    announcements: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldStep:
    """What becomes of a held removal: still held (with one poll more), confirmed, or retracted.

    `learned` is the removal with what this poll tells of it, such as what the model is called now; None if nothing new.
    """

    id: int
    state: ChangeState
    polls: int
    announcements: tuple[Announcement, ...] = ()
    learned: Change | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A condition opens."""

    kind: str
    subject: str
    detail: Mapping[str, Json]
    announcements: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionEdit:
    """An open condition learns something. `closed` ends it; the announcements are of its end, else of its opening.

    `revisions` go where its opening was told: the message that told it is to be brought up to date.
    """

    id: int
    detail: Mapping[str, Json]
    closed: bool
    announcements: tuple[Announcement, ...] = ()
    revisions: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """Everything a poll leads to. `listing` is None where no catalogue is to be stored."""

    outcome: Outcome
    state: KeyState
    failures: int
    listing: Listing | None = None
    changes: tuple[NewChange, ...] = ()
    holds: tuple[HoldStep, ...] = ()
    openings: tuple[Opening, ...] = ()
    edits: tuple[ConditionEdit, ...] = ()

    @property
    def announced(self) -> bool:
        """Whether anybody is to be told anything."""
        parts: tuple[NewChange | HoldStep | Opening | ConditionEdit, ...]
        parts = (*self.changes, *self.holds, *self.openings, *self.edits)
        return any(a.state == "queued" for part in parts for a in part.announcements)


def judge(reading: Reading, changes: Iterable[Change], context: Context, policy: Judgement, now: datetime) -> News:
    """The verdict on one poll. `changes` are those of a `Listing` against the confirmed catalogue, else none."""
    if context.stale:
        return News("stale", context.state, context.failures)
    if isinstance(reading, Listing | Same):
        return _good(reading, tuple(changes), context, policy, now)
    return _failed(reading, context, policy, now)


# --- a good answer -------------------------------------------------------------------------------------------------


def _good(reading: Good, changes: tuple[Change, ...], context: Context, policy: Judgement, now: datetime) -> News:
    digest = reading.digest if isinstance(reading, Same) else reading.catalog.digest
    edits = _recoveries(context, now)
    if not context.has_baseline:
        if isinstance(reading, Same):
            raise ValueError("a key without a catalogue cannot repeat one")
        first = _baseline(reading)
        told = _tell(first, context, policy, now)
        return News("changed", "ok", 0, reading, (NewChange(first, "baseline", told),), edits=edits)
    return News(
        "unchanged" if digest == context.digest else "changed",
        "ok",
        0,
        reading if isinstance(reading, Listing) else None,
        tuple(_verdicts(reading, changes, context, policy, now)),
        tuple(_steps(reading, changes, context, policy, now)),
        edits=edits,
    )


def _baseline(reading: Listing) -> Change:
    return Change(BASELINE.id, (), "informational", MISSING, MISSING, detail={"models": len(reading.catalog.models)})


def _verdicts(
    reading: Good, changes: tuple[Change, ...], context: Context, policy: Judgement, now: datetime
) -> Iterable[NewChange]:
    already_held = {held.change.slug for held in context.held}
    # An empty list looks the same whether the account lost everything or the vendor's filter failed.
    doubtful = isinstance(reading, Listing) and not reading.catalog.models and not _confirmed(1, timedelta(0), policy)
    for change in changes:
        if change.kind == "model.removed" and change.slug in already_held:
            continue
        if change.kind == "model.removed" and doubtful:
            yield NewChange(change, "held")
        else:
            told = _tell(change, context, policy, now)
            yield NewChange(change, _state(told), told)


def _confirmed(polls: int, since: timedelta, policy: Judgement) -> bool:
    return polls >= policy.confirm_polls and since >= policy.confirm_after


def _state(told: tuple[Announcement, ...]) -> ChangeState:
    """Told to nobody, or only weighed against thresholds, is recorded."""
    return "announced" if any(one.state == "queued" for one in told) else "recorded"


def _tell(change: Change, context: Context, policy: Judgement, now: datetime) -> tuple[Announcement, ...]:
    if _only_recorded(change, policy):
        return ()
    return announce(
        _event(change, context.key),
        policy.routes,
        now,
        lambda to: context.told_band(change.slug or "", to) or _old_band(change),
    )


def _only_recorded(change: Change, policy: Judgement) -> bool:
    unknown = change.severity == "informational" and ".attr-unknown." in change.kind
    return unknown or _never_announced(change.kind, policy)


def _never_announced(kind: str, policy: Judgement) -> bool:
    return any(fnmatchcase(kind, glob) for glob in policy.record_only)


def _event(change: Change, key: KeyFacts) -> Event:
    band = (
        read_band(None if change.after is MISSING else change.after)
        if change.kind.startswith("credits.band.")
        else None
    )
    return Event(change.kind, change.severity, key, change.slug, change.category, band)


def _old_band(change: Change) -> Band | None:
    return read_band(None if change.before is MISSING else change.before)


def _steps(
    reading: Good, changes: tuple[Change, ...], context: Context, policy: Judgement, now: datetime
) -> Iterable[HoldStep]:
    fresh = {change.slug: change for change in changes if change.kind == "model.removed"} if context.held else {}
    for held in context.held:
        step = _step(held, reading, context, policy, now)
        yield replace(step, learned=_learned(held.change, fresh.get(held.change.slug), reading))


def _learned(held: Change, fresh: Change | None, reading: Good) -> Change | None:
    """The same removal, found again: what is listed by now may explain it, which an empty listing did not."""
    if fresh is None or (fresh.detail, fresh.affects) == (held.detail, held.affects):
        return None
    # A model is new in one listing only: that it is this one under another slug holds while it is listed.
    heir = held.detail.get("replacement")
    still_listed = isinstance(reading, Listing) and heir in reading.catalog.models
    return None if still_listed and "replacement" not in fresh.detail else fresh


def _step(held: Held, reading: Good, context: Context, policy: Judgement, now: datetime) -> HoldStep:
    """A listing with the model retracts; a complete one without it counts; an incomplete one proves no absence."""
    if isinstance(reading, Listing) and held.change.slug in reading.catalog.models:
        return HoldStep(held.id, "retracted", held.polls)
    complete = reading.complete if isinstance(reading, Same) else reading.catalog.complete
    if not complete:
        return HoldStep(held.id, "held", held.polls)
    polls = held.polls + 1
    if not _confirmed(polls, now - held.detected_at, policy):
        return HoldStep(held.id, "held", polls)
    told = _tell(held.change, context, policy, now)
    return HoldStep(held.id, _state(told), polls, told)


# --- conditions ----------------------------------------------------------------------------------------------------


def _recoveries(context: Context, now: datetime, kinds: Iterable[str] = tuple(CONDITIONS)) -> tuple[ConditionEdit, ...]:
    """The edits to every open condition that names this key."""
    named = (c for c in context.open if c.kind in kinds and context.key.name in c.detail.get("keys", {}))
    return tuple(_recovered(condition, context.key, now) for condition in named)


def _recovered(condition: OpenCondition, key: KeyFacts, now: datetime) -> ConditionEdit:
    """The key works again: its own conditions close, a shared one closes when every key it names works again."""
    keys = {name: state for name, state in condition.detail.get("keys", {}).items() if name != key.name}
    recovered = list(dict.fromkeys([*condition.detail.get("recovered", []), key.name]))
    told = _heard(condition, now)
    detail = {**condition.detail, "keys": keys, "recovered": recovered}
    return ConditionEdit(condition.id, detail, closed=not keys, announcements=() if keys else told, revisions=told)


def _heard(condition: OpenCondition, now: datetime) -> tuple[Announcement, ...]:
    """To everybody who heard of its opening."""
    return tuple(Announcement(destination, route, now) for destination, route in condition.told)


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
    told = _heard(condition, now)
    return ConditionEdit(condition.id, detail, closed=not rest, announcements=told if over else (), revisions=told)


_ACCESS_KINDS: Final[Mapping[str, str]] = {
    "rejected": "access.rejected",
    "tier_locked": "access.tier-locked",
    "forbidden": "access.forbidden",
}


def _failed(reading: Failed, context: Context, policy: Judgement, now: datetime) -> News:
    if isinstance(reading, Refused) and reading.why in ACCESS:
        return _access_lost(reading, context, policy, now)
    failures = context.failures + 1
    if failures < FAILURES_TO_TELL:
        return News(outcome(reading), context.state, failures)
    detail = {"code": facts_of(reading).code, "status": facts_of(reading).status, "what": explain(reading)}
    opened, edits = _unreachable(detail, context, policy, now)
    # A key that the vendor refused stays refused until a good poll says otherwise.
    state: KeyState = context.state if context.state in ACCESS else "unreachable"
    return News(outcome(reading), state, failures, openings=opened, edits=edits)


def _access_lost(reading: Refused, context: Context, policy: Judgement, now: datetime) -> News:
    kind = _ACCESS_KINDS[reading.why]
    # The vendor was reached, so the key no longer belongs to an outage.
    edits = _recoveries(context, now, ["vendor.unreachable"])
    opened: tuple[Opening, ...] = ()
    if all(condition.kind != kind for condition in context.open):
        facts = reading.facts
        detail = {
            "code": facts.code,
            "status": facts.status,
            "request_id": facts.request_id,
            "message": reading.message,
            "next": reading.next,
            "fingerprint": context.key.fingerprint,
            "keys": {context.key.name: "failing"},
        }
        opened = (Opening(kind, f"key:{context.key.name}", detail, _tell_condition(kind, context.key, policy, now)),)
    state: KeyState = (
        "rejected" if reading.why == "rejected" else "tier_locked" if reading.why == "tier_locked" else "forbidden"
    )
    return News(outcome(reading), state, 0, openings=opened, edits=edits)


def _unreachable(
    detail: Mapping[str, Json], context: Context, policy: Judgement, now: datetime
) -> tuple[tuple[Opening, ...], tuple[ConditionEdit, ...]]:
    kind = "vendor.unreachable"
    name = context.key.name
    told = _tell_condition(kind, context.key, policy, now)
    current = next((condition for condition in context.open if condition.kind == kind), None)
    if current is None:
        return (Opening(kind, f"url:{context.key.base_url}", {**detail, "keys": {name: "failing"}}, told),), ()
    if name in current.detail.get("keys", {}):
        return (), ()
    known = {destination for destination, _ in current.told}
    recovered = [other for other in current.detail.get("recovered", []) if other != name]
    joined = {**current.detail, "keys": {**current.detail.get("keys", {}), name: "failing"}, "recovered": recovered}
    new = tuple(a for a in told if a.destination not in known)
    return (), (ConditionEdit(current.id, joined, closed=False, announcements=new, revisions=_heard(current, now)),)


def _tell_condition(kind: str, key: KeyFacts, policy: Judgement, now: datetime) -> tuple[Announcement, ...]:
    return () if _never_announced(kind, policy) else announce(Event(kind, CONDITIONS[kind], key), policy.routes, now)
