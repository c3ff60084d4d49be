"""Removals that wait until they are certain. Only processes data.

    missing from a complete listing ──> held                          a saved request uses it: told as unconfirmed
      listed again                  ──> retracted                     … and those who heard are told that it is back
      missing from the N-th one, T after the first ──> confirmed, told     … as an answer to that

N and T are the operator's; a suspicious listing asks for more proof (`listings`), and what keeps coming and going must
have been gone for longer (`toggles`). There is no timer: a hold takes its steps at the key's good polls, so it lasts
until the N-th of them after T, never longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from syncd.core.canon import Json
from syncd.core.changes import Change
from syncd.core.judge import toggles
from syncd.core.judge.listings import PROOF, SUSPECT, Suspicion, is_suspect, named
from syncd.core.judge.telling import besides, state_of, tell_again, tell_in
from syncd.core.judge.values import Case, Held, HoldStep, NewChange
from syncd.core.reading import Good, Listing, Same


def held_back(change: Change, case: Case, found: Suspicion | None) -> NewChange:
    """A removal that is seen for the first time. `found` is what is suspicious about the listing."""
    if found is None and _is_certain(1, timedelta(0), case, suspect=False):
        return toggles.told(change, case)
    # A suspicious listing is told of as such, with the requests; once it has been, only more of them are news.
    users = set(change.affects) - (named(found, case) if found is not None else set())
    told = tell_in(case, change) if users and not _keeps_blinking(change, case) else ()
    unconfirmed = tuple(one for one in told if one.state == "queued")
    return NewChange(_suspected(change) if found is not None else change, "held", unconfirmed=unconfirmed)


def _suspected(change: Change) -> Change:
    return replace(change, detail={**change.detail, SUSPECT: True})


def _keeps_blinking(change: Change, case: Case) -> bool:
    """Whether it was missing and came back so often lately that its hold alone decides whether to tell."""
    past = case.context.past([change.pointer]).get(change.pointer, ())
    return sum(one.state == "retracted" for one in past) >= toggles.MANY - 1


def steps(reading: Good, changes: tuple[Change, ...], case: Case, *, suspicious: bool = False) -> Iterable[HoldStep]:
    """What this listing makes of every removal that is held. One that is suspicious makes it suspect, no more."""
    removals = [held for held in case.context.held if held.is_removal]
    fresh = {change.slug: change for change in changes if change.kind == "model.removed"} if removals else {}
    for held in removals:
        found = fresh.get(held.change.slug)
        learned = _learned(held.change, found, reading)
        if suspicious and found is not None and not is_suspect(held.change):
            learned = _suspected(learned or held.change)
        yield _step(held, learned, reading, case)


def _step(held: Held, learned: Change | None, reading: Good, case: Case) -> HoldStep:
    """A listing with the model retracts; a complete one without it counts; an incomplete one proves no absence."""
    if isinstance(reading, Listing) and held.change.slug in reading.catalog.models:
        return HoldStep(held.id, "retracted", held.polls, back=tell_again(held.heard, case.now))
    complete = reading.complete if isinstance(reading, Same) else reading.catalog.complete
    polls = held.polls + 1 if complete else held.polls
    waited = case.now - held.detected_at
    if not complete or not _is_certain(polls, waited, case, suspect=is_suspect(learned or held.change)):
        return HoldStep(held.id, "held", polls, learned=learned)
    return _confirmed(held, learned, polls, case)


def _confirmed(held: Held, learned: Change | None, polls: int, case: Case) -> HoldStep:
    found = toggles.told(learned or held.change, case, since=held.detected_at, itself=held.id)
    learned = found.change if found.change.detail != held.change.detail else learned
    if found.state == "held":
        return HoldStep(held.id, "held", polls, learned=learned)
    # Who was told that it may be gone is told that it is.
    told = besides(found.announcements, tell_again(held.heard, case.now))
    return HoldStep(held.id, state_of(told), polls, told, learned=learned)


# What was found so long from now was found before the clock was set back: how long it has waited nobody can say.
_SET_BACK: Final = timedelta(minutes=5)


def _is_certain(polls: int, waited: timedelta, case: Case, *, suspect: bool) -> bool:
    untimed = waited < -_SET_BACK
    needed = max(case.policy.confirm_polls, PROOF) if suspect or untimed else case.policy.confirm_polls
    return polls >= needed and (untimed or waited >= case.policy.confirm_after)


def _kept(held: Change) -> dict[str, Json]:
    """What a later listing knows nothing of: beside what else it went missing, and what was concluded from that."""
    return {name: held.detail[name] for name in ("cause", SUSPECT, toggles.FLAPPING) if name in held.detail}


def _learned(held: Change, fresh: Change | None, reading: Good) -> Change | None:
    """The same removal, found again: what is listed by now may explain it, which an empty listing did not."""
    if fresh is None:
        return None
    fresh = replace(fresh, detail={**fresh.detail, **_kept(held)})
    if (fresh.detail, fresh.affects) == (held.detail, held.affects):
        return None
    # A model is new in one listing only: that it is this one under another slug holds while it is listed.
    heir = held.detail.get("replacement")
    still_listed = isinstance(reading, Listing) and heir in reading.catalog.models
    return None if still_listed and "replacement" not in fresh.detail else fresh
