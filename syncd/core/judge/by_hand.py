"""What a person makes of a change that is held, where the judge would wait. Only processes data.

    release   it is certain: told by today's routes, as if the judge had confirmed it, and where it was told as
              unconfirmed; recorded where no route wants it
    drop      it is real, and nobody needs an alert: recorded. Only those who have read that a model of their saved
              requests may be gone read that it is: what they were told as unconfirmed must not stay so for ever, and
              that the model is back would not be true

Either way the change is settled: a removal takes the model out of the confirmed catalogue, and if the vendor lists it
again it has returned. What else was waited out of a model that is gone is not told any more. A removal of a suspicious
listing counts as confirmed; once none is left, the next good poll closes the condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from syncd.core.canon import Json
from syncd.core.changes import Change
from syncd.core.judge.listings import PROOF, SUSPICIOUS, is_suspect
from syncd.core.judge.telling import ToldBand, besides, state_of, tell, tell_again
from syncd.core.judge.toggles import FLAPPING, STABLE
from syncd.core.judge.values import ConditionEdit, Held, HoldStep, Judgement, OpenCondition
from syncd.core.routing import KeyFacts
from syncd.core.text import clean, count, duration

# In a change's detail: who decided, and why.
RELEASED: Final = "released"
DROPPED: Final = "dropped"

_MOST_NAME: Final = 60
_MOST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Chosen:
    """A held change that a person decides on, what else is held of its key, and which conditions are open for it.

    `untold` are destinations that were to hear of it as unconfirmed, and have not yet. `told_band` gives the price that
    a destination was told last.
    """

    held: Held
    others: tuple[Held, ...] = ()
    open: tuple[OpenCondition, ...] = ()
    untold: frozenset[str] = frozenset()
    told_band: ToldBand = lambda _slug, _destination: None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of it, of what is settled with it, and of the condition that told of it."""

    step: HoldStep
    others: tuple[HoldStep, ...] = ()
    edit: ConditionEdit | None = None


def release(chosen: Chosen, key: KeyFacts, policy: Judgement, now: datetime, author: str) -> Decision:
    """The person is certain of it."""
    held = chosen.held
    told = besides(tell(held.change, key, policy, now, chosen.told_band), tell_again(held.heard, now))
    learned = _noting(_so_far(held, now), RELEASED, {"by": clean(author, _MOST_NAME)})
    return _decided(chosen, HoldStep(held.id, state_of(told), held.polls, told, learned=learned))


def drop(chosen: Chosen, now: datetime, author: str, reason: str) -> Decision:
    """The person wants nobody to be alerted."""
    held = chosen.held
    told = tell_again(tuple(one for one in held.heard if one[0] not in chosen.untold), now)
    note = {"by": clean(author, _MOST_NAME), "reason": clean(reason, _MOST_REASON)}
    learned = _noting(held.change, DROPPED, note)
    return _decided(chosen, HoldStep(held.id, "recorded", held.polls, told, learned=learned))


def _decided(chosen: Chosen, step: HoldStep) -> Decision:
    return Decision(step, tuple(_with_it(chosen)), _counted(chosen))


def _with_it(chosen: Chosen) -> Iterable[HoldStep]:
    """Whether a price of a model that is gone has settled is nobody's question."""
    gone = chosen.held.change.slug if chosen.held.is_removal else None
    for other in chosen.others:
        if gone is not None and other.change.slug == gone:
            yield HoldStep(other.id, "retracted", other.polls)


def _counted(chosen: Chosen) -> ConditionEdit | None:
    """One more removal of a suspicious listing is certain."""
    suspicious = next((one for one in chosen.open if one.kind == SUSPICIOUS), None)
    if suspicious is None or not is_suspect(chosen.held.change):
        return None
    detail = {**suspicious.detail, "confirmed": suspicious.detail.get("confirmed", 0) + 1}
    return ConditionEdit(suspicious.id, detail, closed=False)


def _so_far(held: Held, now: datetime) -> Change:
    """What was flapping and is told before its time has been stable for as long as it has, and no longer."""
    flapping = held.change.detail.get(FLAPPING)
    if not isinstance(flapping, Mapping):
        return held.change
    seconds = max(0, int((now - held.detected_at).total_seconds()))
    stable = next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds >= size), "0s")
    return _noting(held.change, FLAPPING, {**flapping, "stable": stable})


_UNITS: Final = (("h", 3_600), ("m", 60), ("s", 1))


def _noting(change: Change, name: str, what: Json) -> Change:
    return replace(change, detail={**change.detail, name: what})


# --- what it waits for -----------------------------------------------------------------------------------------------


def why(held: Held, policy: Judgement, now: datetime) -> str:
    """Why it is held, and how much of what it waits for there is: `not confirmed: 1 of 2 polls, 12 m of 30 m`."""
    waited = max(now - held.detected_at, timedelta(0))
    if not held.is_removal:
        return f"flapping: unchanged for {_of(waited, STABLE)}"
    suspect = is_suspect(held.change)
    polls = max(policy.confirm_polls, PROOF) if suspect else policy.confirm_polls
    if held.polls >= polls and waited >= policy.confirm_after:
        # Certain by now, but for the poll that says so; of what keeps coming and going more is asked.
        return f"comes and goes: missing for {_of(waited, STABLE)}"
    cause = "suspicious listing" if suspect else "not confirmed"
    return f"{cause}: {', '.join(_progress(held.polls, polls, waited, policy.confirm_after, suspect=suspect))}"


def _progress(seen: int, polls: int, waited: timedelta, after: timedelta, *, suspect: bool) -> Iterable[str]:
    yield f"{min(seen, polls)} of {count(polls, 'listing' if suspect else 'poll')}"
    if after:
        yield _of(waited, after)


def _of(waited: timedelta, needed: timedelta) -> str:
    return f"{duration(min(waited, needed))} of {duration(needed)}"
