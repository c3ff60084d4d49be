"""What becomes of an attempt to deliver. Only processes data.

    sending ──> sent        the sink took it
       │  └───> retry       nothing arrived; again at a time, perhaps in a plainer form
       ├──────> unknown     it may have arrived (also: the process died while sending)
       └──────> dead        the sink will never take it, or a person dropped it

A sink that can be read back settles `unknown` by looking: found, it is `sent`; not found twice, it is sent again. One
that cannot gets the message once more, marked as perhaps a repetition: losing an alert is worse than saying so.

A message can be put in several forms, the rungs of a ladder. A sink that refuses one is offered the next.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias, assert_never

DeliveryState: TypeAlias = Literal["sending", "retry", "unknown", "sent", "dead"]

# rich: as designed; bare: without the metadata by which it can be found; plain: the words alone.
Rung: TypeAlias = Literal["rich", "bare", "plain"]
RUNGS: Final[tuple[Rung, ...]] = ("rich", "bare", "plain")

# What of a message a sink would not take.
Part: TypeAlias = Literal["payload", "metadata", "thread", "edit"]

# Backoff with full jitter: spread, doubling, and never longer than five minutes.
LONGEST_WAIT: Final = timedelta(minutes=5)

# A message that was posted may show up late where it is looked for: wait before the first look, and look twice.
BETWEEN_LOOKS: Final = timedelta(seconds=20)
LOOKS: Final = 2
BETWEEN_REPEATS: Final = timedelta(minutes=15)

# What changes, or ends, soon after is told with it.
BETWEEN_EDITS: Final = timedelta(seconds=10)

# No sink's wish for silence is believed for longer; so a time further ahead is a clock that was set back.
LONGEST_SILENCE: Final = timedelta(hours=1)

# An unclear answer so many times to one message, and it is tried in its plainest form.
STUBBORN: Final = 3

# How often a destination that is out of order is asked whether it works again; asking never posts.
PROBE_EVERY: Final = timedelta(minutes=5)

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)

MAY_REPEAT: Final = "may repeat an earlier alert"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The sink has it. `reference` is the sink's own name for the message, if it gives one."""

    reference: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing arrived, so another try cannot repeat it."""

    reason: str


@dataclass(frozen=True, slots=True)
class RateLimited:
    """Nothing arrived; the destination wants nothing before `until`. Costs no attempt."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """It may have arrived. `answered`: the sink did answer, with something that is no clear yes or no."""

    reason: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing arrived, and this form of it never will: `part` is what was refused."""

    part: Part
    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing arrived, and nothing will until a person has mended the channel or the token; `hint` says how."""

    what: Literal["channel", "token"]
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Impossible:
    """The sink will never take this message."""

    reason: str


Attempted: TypeAlias = Delivered | NotSent | RateLimited | Ambiguous | Refused | Unusable | Impossible


@dataclass(frozen=True, slots=True)
class Found:
    """The message is there, under this reference."""

    reference: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """The message is not there, as far as everything that was read tells."""


@dataclass(frozen=True, slots=True)
class CannotLook:
    """Whether it is there could not be read this time. Never a reason to send again.

    `why` is what the sink said where it said why: it is out of order, or wants nothing before a time.
    """

    reason: str
    why: Unusable | RateLimited | None = None


@dataclass(frozen=True, slots=True)
class CannotEverLook:
    """The sink cannot be read back (a webhook, the console, a token that may not read)."""


Looked: TypeAlias = Found | NotFound | CannotLook | CannotEverLook


@dataclass(frozen=True, slots=True)
class Settlement:
    """The next state of a delivery, and what follows for its destination.

    `rung` is the form for the next attempt; `apart` says that it leaves its thread, or the message it was to edit, and
    is posted by itself. `frozen_until` and `unusable` are of the destination.
    """

    state: DeliveryState
    retry_at: datetime | None = None
    reference: str | None = None
    error: str | None = None
    rung: Rung = "rich"
    apart: bool = False
    looks: int = 0
    frozen_until: datetime | None = None
    unusable: bool = False
    hint: str = ""


def settle(
    attempted: Attempted,
    attempts: int,
    rung: Rung,
    now: datetime,
    chance: random.Random,
    *,
    look_after: datetime | None = None,
    looks: int = 0,
) -> Settlement:
    """Decide after the `attempts`-th attempt, made in the form `rung`.

    Before `look_after` a message that did arrive might not be found yet. `looks` were in vain before this attempt.
    """
    settlement = _settled(attempted, attempts, rung, now + backoff(attempts, chance), now)
    if settlement.state == "unknown":
        return replace(settlement, retry_at=max(settlement.retry_at or now, look_after or now))
    return replace(settlement, looks=looks) if settlement.state == "retry" else settlement


def _settled(attempted: Attempted, attempts: int, rung: Rung, again: datetime, now: datetime) -> Settlement:
    match attempted:
        case Delivered(reference):
            return Settlement("sent", reference=reference, rung=rung)
        case NotSent(reason):
            return Settlement("retry", again, error=reason, rung=rung)
        case RateLimited(until, reason):
            return Settlement("retry", until, error=reason, rung=rung, frozen_until=until)
        case Ambiguous(reason, answered):
            # It answers so each time: perhaps it is the form that it cannot cope with.
            stubborn = answered and attempts >= STUBBORN
            return Settlement("unknown", again, error=reason, rung=RUNGS[-1] if stubborn else rung)
        case Refused(part, reason):
            return _plainer(part, reason, rung, now)
        case Unusable(_, reason, hint):
            later = now + PROBE_EVERY
            return Settlement("retry", later, error=reason, rung=rung, frozen_until=later, unusable=True, hint=hint)
        case Impossible(reason):
            return Settlement("dead", error=reason, rung=rung)
    assert_never(attempted)


def _plainer(part: Part, reason: str, rung: Rung, now: datetime) -> Settlement:
    """The next form of a message of which a part was refused; none is left after the plainest.

    An edit that is refused is given up: what it would have said has been told in the thread.
    """
    if part == "edit":
        return Settlement("dead", error=reason, rung=rung)
    if part == "thread":
        return Settlement("retry", now, error=reason, rung=rung, apart=True)
    if part == "metadata" and rung == "rich":
        return Settlement("retry", now, error=reason, rung="bare")
    if rung != "plain":
        return Settlement("retry", now, error=reason, rung="plain")
    return Settlement("dead", error=reason, rung=rung)


def settle_look(
    looked: Looked, looks: int, rung: Rung, now: datetime, error: str | None, *, attempts: int = 1
) -> Settlement:
    """Decide after looking for a message that may have arrived; `looks` were without success before this one.

    What cannot be looked for is sent again at once, and if that is as unclear, from then on ever so often: to lose it
    would be worse than to repeat it, but nobody wants it every minute.
    """
    match looked:
        case Found(reference):
            return Settlement("sent", reference=reference, rung=rung)
        case NotFound() if looks + 1 >= LOOKS:
            return Settlement("retry", now, error=error, rung=rung, looks=LOOKS)
        case NotFound():
            return Settlement("unknown", now + BETWEEN_LOOKS, error=error, rung=rung, looks=looks + 1)
        case CannotLook(reason, why):
            return _look_later(reason, why, Settlement("unknown", now + BETWEEN_LOOKS, rung=rung, looks=looks), now)
        case CannotEverLook():
            again = now if attempts == 1 else now + BETWEEN_REPEATS
            return Settlement("retry", again, error=error, rung=rung)
    assert_never(looked)


def _look_later(reason: str, why: Unusable | RateLimited | None, later: Settlement, now: datetime) -> Settlement:
    """It stays doubtful; what the sink said counts for the destination."""
    match why:
        case RateLimited(until):
            return replace(later, retry_at=until, error=reason, frozen_until=until)
        case Unusable(_, _, hint):
            again = now + PROBE_EVERY
            return replace(later, retry_at=again, error=reason, frozen_until=again, unusable=True, hint=hint)
    return replace(later, error=reason)


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits at a destination.

    Of a delivery on its way: its state, and when it is to be tried again. Of what is queued: when the first is due that
    is urgent, the first of the others, the first change to a message that is there already, and the first end of a
    condition. Where it is `broken`, there is always something to do: to ask whether it still is.
    """

    frozen_until: datetime | None = None
    last_sent_at: datetime | None = None
    on_its_way: DeliveryState | None = None
    retry_at: datetime | None = None
    urgent_at: datetime | None = None
    other_at: datetime | None = None
    edit_at: datetime | None = None
    broken: bool = False
    end_at: datetime | None = None


def turn(queue: Queue, distance: timedelta) -> datetime | None:
    """When something can be done next at a destination, perhaps long ago; None if nothing waits.

    One delivery at a time. What is not urgent keeps its `distance` from what was sent before; edits and
    the ends of conditions keep less. Nothing is sent to what is out of order, but it is asked now and then.
    """
    if queue.broken:
        return queue.frozen_until or LONG_AGO
    if queue.on_its_way is not None:
        at = None if queue.on_its_way == "sending" else queue.retry_at
    else:
        other = _apart(queue.other_at, queue.last_sent_at, distance)
        less = min(distance, BETWEEN_EDITS)
        edit, end = (_apart(at, queue.last_sent_at, less) for at in (queue.edit_at, queue.end_at))
        at = min((one for one in (queue.urgent_at, other, edit, end) if one is not None), default=None)
    return at if at is None or queue.frozen_until is None else max(at, queue.frozen_until)


def _apart(at: datetime | None, last: datetime | None, distance: timedelta) -> datetime | None:
    return at if at is None or last is None else max(at, last + distance)


def overdue(queue: Queue, now: datetime) -> bool:
    """Whether something should have been told by now: what waits for its digest should not."""
    due = [at for at in (queue.urgent_at, queue.other_at, queue.end_at) if at is not None]
    return queue.on_its_way is not None or any(at <= now for at in due)


def backoff(attempts: int, chance: random.Random) -> timedelta:
    """How long to wait after so many attempts: a random part of min(5 min, 2^n s)."""
    longest = min(LONGEST_WAIT.total_seconds(), 2.0 ** min(attempts, 20))
    return timedelta(seconds=chance.uniform(0, longest))
