"""Decides what a poll means: what is recorded, what is held, which conditions open or close, and who is told.

    reading ─┬─ good ──── first catalogue? ── a baseline; that watching begins is told
             │            removals ────────── held; one step nearer to confirmation; confirmed, or retracted    holds
             │            other changes ───── announced or recorded; taken back: a reply; flapping: held       toggles
             │            the listing ─────── looks like a fault: listing.suspicious opens, counts, closes    listings
             │            the balance ─────── balance.low opens or closes                                      wallet
             │            open conditions ─── those that a good poll ends are closed                       conditions
             └─ failed ── access refused ──── opens access.*                                               conditions
                          second in a row ─── opens vendor.unreachable, or joins the open one
                          (the catalogue is never touched)

Only processes data: it sees values (`values`) and returns `News`; who is told is decided in `telling`, and `store`
writes everything in the poll's one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from syncd.core.canon import MISSING
from syncd.core.changes import Change
from syncd.core.judge import conditions, holds, listings, toggles
from syncd.core.judge.conditions import retired
from syncd.core.judge.listings import Suspicion
from syncd.core.judge.telling import tell_in
from syncd.core.judge.values import (
    Case,
    ChangeState,
    ConditionEdit,
    Context,
    Held,
    HoldStep,
    Judgement,
    KeyState,
    NewChange,
    News,
    OpenCondition,
    Opening,
    Past,
)
from syncd.core.judge.wallet import wallet_news
from syncd.core.reading import ACCESS, Failed, Good, Listing, Reading, Refused, Same, outcome
from syncd.core.rules import BASELINE

__all__ = [
    "FAILURES_TO_TELL",
    "ChangeState",
    "ConditionEdit",
    "Context",
    "Held",
    "HoldStep",
    "Judgement",
    "KeyState",
    "NewChange",
    "News",
    "OpenCondition",
    "Opening",
    "Past",
    "judge",
    "retired",
]

# One lost packet is no outage; two polls without a usable answer are.
FAILURES_TO_TELL: Final = 2


def judge(reading: Reading, changes: Iterable[Change], context: Context, policy: Judgement, now: datetime) -> News:
    """The verdict on one poll. `changes` are those of a `Listing` against the confirmed catalogue, else none."""
    if context.stale:
        return News("stale", context.state, context.failures)
    case = Case(context, policy, now)
    if isinstance(reading, Listing | Same):
        return _good(reading, tuple(changes), case)
    return _failed(reading, case)


# --- a good answer -------------------------------------------------------------------------------------------------


def _good(reading: Good, changes: tuple[Change, ...], case: Case) -> News:
    case = replace(case, context=_remembering(changes, case.context))
    found = listings.suspicion(reading, changes, case)
    fresh, steps = _changes(reading, changes, found, case)
    suspected, doubts = listings.suspicions(found, fresh, steps, case)
    poor, wallets = wallet_news(case)
    digest = reading.digest if isinstance(reading, Same) else reading.catalog.digest
    return News(
        "unchanged" if digest == case.context.digest else "changed",
        "ok",
        0,
        reading if isinstance(reading, Listing) else None,
        fresh,
        steps,
        (*suspected, *poor),
        (*conditions.recoveries(case), *doubts, *wallets),
    )


def _remembering(changes: Iterable[Change], context: Context) -> Context:
    """What happened before is asked for once, however many changes there are."""
    pointers = {change.pointer for change in changes} | {held.change.pointer for held in context.held}
    back = {change.slug or "" for change in changes if change.kind == "model.returned"}
    past = context.past(pointers) if pointers else {}
    told = context.removal_told(back) if back else {}
    return replace(context, past=lambda _: past, removal_told=lambda _: told)


def _changes(
    reading: Good,
    changes: tuple[Change, ...],
    found: Suspicion | None,
    case: Case,
) -> tuple[tuple[NewChange, ...], tuple[HoldStep, ...]]:
    if not case.context.has_baseline:
        return (_baseline(reading, case),), ()
    removals = tuple(holds.steps(reading, changes, case, suspicious=found is not None))
    certain = {step.id for step in removals if step.state in ("announced", "recorded")}
    gone = {held.change.slug or "" for held in case.context.held if held.id in certain}
    fresh = tuple(_verdicts(changes, case, found))
    return fresh, (*removals, *toggles.steps(changes, gone, case))


def _baseline(reading: Good, case: Case) -> NewChange:
    if isinstance(reading, Same):
        raise ValueError("a key without a catalogue cannot repeat one")  # noqa: TRY004 - it comes too early
    models = len(reading.catalog.models)
    first = Change(BASELINE.id, (), "informational", MISSING, MISSING, detail={"models": models})
    return NewChange(first, "baseline", tell_in(case, first))


def _verdicts(changes: tuple[Change, ...], case: Case, found: Suspicion | None) -> Iterable[NewChange]:
    already_held = {held.change.slug for held in case.context.held if held.is_removal}
    waiting = toggles.waiting(case)
    for change in changes:
        if (undone := toggles.undone(change, waiting)) is not None:
            yield undone
        elif change.kind != "model.removed":
            yield toggles.told(change, case)
        elif change.slug not in already_held:
            yield holds.held_back(change, case, found)


# --- a failed one --------------------------------------------------------------------------------------------------


def _failed(reading: Failed, case: Case) -> News:
    if isinstance(reading, Refused) and reading.why in ACCESS:
        # The vendor was reached, so the key no longer belongs to an outage.
        reached = conditions.recoveries(case, [conditions.UNREACHABLE])
        opened = conditions.access_lost(reading, case)
        return News(outcome(reading), _refused(reading), 0, openings=opened, edits=reached)
    failures = case.context.failures + 1
    # A key that the vendor refused stays refused until a good poll says otherwise. It is asked so rarely that an outage
    # which it belonged to would seem to last for hours longer.
    if failures < FAILURES_TO_TELL or case.context.state in ACCESS:
        return News(outcome(reading), case.context.state, failures)
    opened, edits = conditions.unreachable(reading, case)
    return News(outcome(reading), "unreachable", failures, openings=opened, edits=edits)


def _refused(reading: Refused) -> KeyState:
    match reading.why:
        case "rejected" | "tier_locked":
            return reading.why
    return "forbidden"
