"""What a person may do to a delivery: have it tried again, or drop it. Only processes data.

    retry    dead, with what it was to tell   that waits anew, and is composed with whatever else waits
             dead, a reply                    sent again as it is
             retry                            due now
             unknown, sending, sent           no, and why
    drop     retry, unknown, dead             dead, and what it was to tell with it
             sending, sent                    no, and why

A delivery that was seen to stays `dead`; its error begins with what was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from syncd.core.delivery import DeliveryState
from syncd.core.text import clean, moment

# How the error of a delivery begins that a person has seen to.
REQUEUED: Final = "queued anew "
DROPPED: Final = "dropped by "

_MOST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Handled:
    """A delivery as a person finds it.

    `told` counts the announcements that are still its own. `busy` is another delivery that is on its way to the same
    destination. `frozen_until` and `broken` are of the destination.
    """

    id: str
    destination: str
    state: DeliveryState
    op: str = "post"
    parent: str | None = None
    told: int = 0
    error: str | None = None
    retry_at: datetime | None = None
    sent_at: datetime | None = None
    busy: str | None = None
    frozen_until: datetime | None = None
    broken: bool = False

    @property
    def seen_to(self) -> bool:
        """Whether a person has dropped it or had it queued anew."""
        return self.state == "dead" and (self.error or "").startswith((REQUEUED, DROPPED))


@dataclass(frozen=True, slots=True)
class Requeue:
    """Its announcements wait again."""

    error: str


@dataclass(frozen=True, slots=True)
class SendAgain:
    """It is sent once more as it is."""


@dataclass(frozen=True, slots=True)
class Hasten:
    """It is due now. `silent_until`: its destination asked for silence, which counts."""

    silent_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """It is given up, with what it was to tell."""

    error: str


@dataclass(frozen=True, slots=True)
class No:
    """It stays as it is: why, and what to do instead."""

    why: str
    hint: str


def retry(one: Handled, now: datetime) -> Requeue | SendAgain | Hasten | No:
    """What trying again means for this one."""
    match one.state:
        case "dead":
            return _revive(one, now)
        case "retry":
            return Hasten(_silence(one, now))
        case "unknown":
            return No(
                f"{one.id} may have arrived, so it is not sent again blindly",
                f"syncd looks for it{_at(one.retry_at)}, and sends it again if it is not there",
            )
        case "sending":
            return _under_way(one)
        case "sent":
            return No(f"{one.id} was sent{_at(one.sent_at)}", "nothing is told twice: `syncd alerts show` has its text")
    assert_never(one.state)


def drop(one: Handled, note: str) -> Drop | No:
    """Whether it can be given up; `note` is then its error (see `dropped`)."""
    match one.state:
        case "sending":
            return _under_way(one)
        case "sent":
            return No(f"{one.id} was sent{_at(one.sent_at)}", "delete it at its destination, if it must go")
        case "dead" if (one.error or "").startswith(REQUEUED):
            return No(f"{one.id} was queued anew", f"drop what waits: `syncd alerts drop --queued '{one.destination}'`")
        case "dead" | "retry" | "unknown":
            return Drop(note)
    assert_never(one.state)


def dropped(author: str, reason: str) -> str:
    """What is noted of a delivery that was given up."""
    return f"{DROPPED}{clean(author, 60)}: {clean(reason, _MOST_REASON)}"


def _revive(one: Handled, now: datetime) -> Requeue | SendAgain | No:
    if one.told:
        return Requeue(f"{REQUEUED}{moment(now)}: {one.error or 'nothing is known of why it died'}")
    if (one.error or "").startswith(REQUEUED):
        return No(f"{one.id} was queued anew already", "`syncd alerts list` shows what waits")
    if one.op == "update" or one.parent is None:
        # Of an edit: a later one has taken over what it told, and an older text must not overwrite a newer one.
        return No(
            f"{one.id} has nothing left to tell", "what it was about is told elsewhere; `syncd alerts drop` settles it"
        )
    if one.busy is not None:
        return No(
            f"{one.id} must wait: {one.busy} is on its way to {one.destination}", "retry it once that has settled"
        )
    return SendAgain()


def _silence(one: Handled, now: datetime) -> datetime | None:
    """Until when a destination that works wants nothing. One that is out of order may be asked at any time."""
    wanted = one.frozen_until is not None and one.frozen_until > now and not one.broken
    return one.frozen_until if wanted else None


def _under_way(one: Handled) -> No:
    return No(f"{one.id} is being sent", "try again in a minute; if syncd died meanwhile, its next start looks into it")


def _at(at: datetime | None) -> str:
    return "" if at is None else f" at {moment(at)}"
