"""What goes back and forth: taken back once it is a reply, kept up it is told once and then waited out.

    A -> B          told
    B -> A          within WINDOW: a revert, told exactly where A -> B was, as an answer to it
    A -> B          the third in WINDOW: told as flapping, once
    B -> A …        held; what undoes it retracts both
      STABLE later  what is held then is told: it has settled

What is new and may break or cost something is never waited out: only what was there before, what is harmless, and what
nobody can judge anyway (a counter in a field that syncd does not know). Only processes data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from syncd.core.canon import MISSING, Json, Missing, same
from syncd.core.changes import Change
from syncd.core.judge.telling import besides, state_of, tell_again, tell_in
from syncd.core.judge.values import Case, Held, HoldStep, NewChange, Past
from syncd.core.routing import Announcement

# Changes of one path within so long belong together; so many are one too many; after so long it has settled.
WINDOW: Final = timedelta(hours=24)
MANY: Final = 3
STABLE: Final = timedelta(hours=6)

# In a change's detail.
FLAPPING: Final = "flapping"
REVERTS: Final = "reverts"

_PRESENCE: Final = frozenset({"model.added", "model.returned", "model.removed"})


def told(
    change: Change,
    case: Case,
    *,
    since: datetime | None = None,
    itself: int | None = None,
) -> NewChange:
    """The change in its state, told as what it is. `since` and `itself` are of one that was held until now."""
    usual = tell_in(case, change)
    steps = _steps(change, case, itself)
    last = steps[-1] if steps else None
    if last is not None and _restless(last, since or case.now) and not _is_news(change, steps):
        return _waited_out(_marked(change, last), usual, case, since)
    lately = _since_it_settled(steps)
    if len(lately) + 1 >= MANY and state_of(usual) == "announced" and not _is_news(change, lately):
        return NewChange(_noticed(change, lately), "announced", usual)
    if last is not None and change.kind not in _PRESENCE and _undoes(change, last.change) and last.state != "held":
        return _revert(change, last, usual, case.now)
    if change.kind == "model.returned":
        slug = change.slug or ""
        usual = besides(usual, tell_again(case.context.removal_told([slug]).get(slug, ()), case.now))
    return NewChange(change, state_of(usual), usual)


def _waited_out(change: Change, usual: Iterable[Announcement], case: Case, since: datetime | None) -> NewChange:
    """Held, unless it has held for long enough, or nobody would be told of it even then."""
    settled = _settled(change, usual, case)
    if settled.state == "recorded" or (since is not None and _is_stable(since, case.now)):
        return settled
    return NewChange(change, "held")


def _revert(change: Change, last: Past, usual: Iterable[Announcement], now: datetime) -> NewChange:
    """When the route would tell it, or with what it reverts where that still waits."""
    times = {one.destination: one.not_before for one in usual}
    where = tuple(replace(one, not_before=times.get(one.destination, max(now, one.not_before))) for one in last.told)
    where = besides(where, usual) if change.severity == "breaking" else where
    return NewChange(_with(change, REVERTS, last.id), state_of(where), where)


def waiting(case: Case) -> Mapping[tuple[str, ...], Held]:
    """What is waited out, by what goes back and forth."""
    return {held.change.track: held for held in case.context.held if not held.is_removal}


def undone(change: Change, waiting: Mapping[tuple[str, ...], Held]) -> NewChange | None:
    """It only takes back a change that is waited out: then there is nothing to tell of either. Else None."""
    held = waiting.get(change.track) if waiting else None
    if held is None or not _undoes(change, held.change):
        return None
    # It is one more step of what flaps, all the same.
    return NewChange(_with(change, FLAPPING, _counted(held.change)), "retracted")


def steps(changes: Iterable[Change], gone: Collection[str], case: Case) -> Iterable[HoldStep]:
    """What becomes of what is waited out: undone, replaced by a later change of the path, or settled.

    Of the models in `gone` the removal is confirmed by this poll; of one that may be gone nothing settles.
    """
    changed = {change.track for change in changes}
    missing = {held.change.slug for held in case.context.held if held.is_removal}
    for track, held in waiting(case).items():
        slug = held.change.slug
        if track in changed or slug in gone:
            yield HoldStep(held.id, "retracted", held.polls)
        elif slug not in missing and _is_stable(held.detected_at, case.now):
            settled = _settled(held.change, tell_in(case, held.change), case)
            yield HoldStep(held.id, settled.state, held.polls, settled.announcements)


def _settled(change: Change, usual: Iterable[Announcement], case: Case) -> NewChange:
    """Those who were told that it flaps are told what it is now, whether or not that alone would be told there."""
    notice = case.context.told_of(change.detail[FLAPPING]["notice"])
    where = besides(usual, tell_again(notice, case.now))
    return NewChange(change, state_of(where), where)


# --- what happened to the path before ------------------------------------------------------------------------------


def _steps(change: Change, case: Case, itself: int | None) -> list[Past]:
    """The path's changes of the last day that were told, or waited out. A removal that was only held is none."""
    past = case.context.past([change.pointer]).get(change.pointer, ())
    same_track = (one for one in past if one.id != itself and one.change.track == change.track)
    counted = ("announced", "recorded")
    return [one for one in same_track if one.state in counted or FLAPPING in one.change.detail]


def _restless(last: Past, now: datetime) -> bool:
    return FLAPPING in last.change.detail and not _is_stable(last.at, now)


def _is_stable(since: datetime, now: datetime) -> bool:
    """A clock that was set back far makes nobody wait until it shows again what it showed."""
    return abs(now - since) >= STABLE


def _since_it_settled(steps: Sequence[Past]) -> Sequence[Past]:
    """Those after the last that belonged to an earlier time of flapping."""
    flapped = [n for n, one in enumerate(steps) if FLAPPING in one.change.detail]
    return steps[flapped[-1] + 1 :] if flapped else steps


def _is_news(change: Change, steps: Sequence[Past]) -> bool:
    """Whether it may break or cost something, and is nothing that was there before."""
    if change.severity not in ("breaking", "risky") or not change.decided:
        return False
    seen = [
        value for one in steps for value in (_side(one.change, one.change.before), _side(one.change, one.change.after))
    ]
    return not any(_alike(_side(change, change.after), value) for value in seen)


def _undoes(change: Change, earlier: Change) -> bool:
    """Whether it leads back to where the earlier one began."""
    return (
        change.track == earlier.track
        and _alike(_side(change, change.after), _side(earlier, earlier.before))
        and _alike(_side(change, change.before), _side(earlier, earlier.after))
    )


def _side(change: Change, value: Json | Missing) -> Json | Missing:
    """The value; of a model that comes or goes, whether it is there."""
    return value is not MISSING if change.kind in _PRESENCE else value


def _alike(a: Json | Missing, b: Json | Missing) -> bool:
    return a is b if a is MISSING or b is MISSING else same(a, b)


# --- what is said of it --------------------------------------------------------------------------------------------


def _noticed(change: Change, lately: Sequence[Past]) -> Change:
    since = f"{lately[0].at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    hours = f"{STABLE // timedelta(hours=1)}h"
    return _with(change, FLAPPING, {"times": len(lately) + 1, "since": since, "stable": hours})


def _marked(change: Change, last: Past) -> Change:
    """One more of what was noticed."""
    return _with(change, FLAPPING, {"notice": last.id, **_counted(last.change)})


def _counted(last: Change) -> dict[str, Json]:
    before = last.detail[FLAPPING]
    return {**before, "times": before["times"] + 1}


def _with(change: Change, name: str, value: Json) -> Change:
    return replace(change, detail={**change.detail, name: value})
