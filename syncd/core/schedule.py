"""When a key is asked: rules over what is stored of it. Only processes data.

    in good health    at the next point of its rhythm: an interval apart, at a phase of its own
    failing           not before 1 s, 2 s, 4 s … half a minute after its last poll
    refused           not before 15 min, 30 min, 1 h … 6 h after it (the key is rejected, its plan has no access, …)
    asked to wait     not before the vendor said; it holds for all of the account, or for all at the address
    the limit is low  not before the next minute; it holds for all of the account
    in a crowd        keys of one account begin a moment apart, whatever brought them forward

Of these the latest counts. All but the last two follow from what is stored, so that a restart changes nothing: those
are about the next minute, which a restart does not hurry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from syncd.core.judge import KeyState
from syncd.core.reading import ACCESS, Scope
from syncd.core.routing import KeyFacts

_NONE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """What is stored of a key that its schedule needs: when it was asked last, and what came of it.

    `retry_at` is when its account or its address may be asked again. `state_since` is when it fell into its state,
    `rotated_at` when its secret was replaced.
    """

    last_poll_at: datetime | None
    retry_at: datetime | None = None
    retry_scope: str | None = None
    state: KeyState = "new"
    state_since: datetime | None = None
    failures: int = 0
    rotated_at: datetime | None = None

    @property
    def dead(self) -> bool:
        """Whether the vendor refuses this key, so that asking again soon is of no use."""
        return self.state in ACCESS


NEVER_ASKED: Final = KeySchedule(None)


# --- rhythm --------------------------------------------------------------------------------------------------------

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Fixed points of time, an interval apart. The same after every restart."""

    interval: timedelta
    phase: timedelta

    def after(self, moment: datetime) -> datetime:
        """The first point later than `moment`."""
        passed = (moment - _EPOCH - self.phase) // self.interval
        return _EPOCH + self.phase + (passed + 1) * self.interval


def phase(name: str, interval: timedelta) -> timedelta:
    """The offset within the interval that follows from a name, the same on every machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return interval * (int.from_bytes(digest, "big") / 2**64)


def in_hash_order(names: Iterable[str]) -> list[str]:
    """An order that favours nobody and never changes."""
    return sorted(names, key=lambda name: (phase(name, timedelta(days=1)), name))


def rhythms(keys: Iterable[KeyFacts], intervals: Mapping[str, timedelta]) -> dict[str, Rhythm]:
    """Each key's rhythm: accounts by their hash, and the keys of one account evenly over their interval.

    So no key of another account moves when one is added.
    """
    together: dict[tuple[Account, timedelta], list[str]] = {}
    for key in keys:
        together.setdefault((account_of(key), intervals[key.name]), []).append(key.name)
    found = {}
    for (account, interval), names in together.items():
        first = phase(" ".join(account), interval)
        for position, name in enumerate(in_hash_order(names)):
            found[name] = Rhythm(interval, (first + interval * position / len(names)) % interval)
    return found


# Who shares a rate limit: an account at an address.
Account: TypeAlias = tuple[str, str]


def account_of(key: KeyFacts) -> Account:
    """The key's account."""
    return key.base_url, key.account


# --- pauses --------------------------------------------------------------------------------------------------------

# A key that is refused is mended by a person, in minutes at the earliest; so often at first, and at least so often.
_DEAD_FIRST: Final = timedelta(minutes=15)
_DEAD_LAST: Final = timedelta(hours=6)

# Only a key that is asked more often than every half a minute notices these.
_FAILED_FIRST: Final = timedelta(seconds=1)
_FAILED_LAST: Final = timedelta(seconds=30)


def pause(known: KeySchedule) -> timedelta:
    """How long after its last poll a key is left alone at least, for what came of it.

    A dead key's pause is as long as it has been dead, and a quarter of an hour: so it doubles, and needs no counter.
    """
    if known.last_poll_at is not None and known.dead:
        dead_for = known.last_poll_at - (known.state_since or known.last_poll_at)
        # A state that begins after the last poll is a clock that was set back.
        return min(_DEAD_LAST, max(_NONE, dead_for) + _DEAD_FIRST)
    if known.failures > 0:
        return min(_FAILED_LAST, _FAILED_FIRST * (1 << min(known.failures - 1, 10)))
    return _NONE


def first_run(known: KeySchedule, interval: timedelta, now: datetime) -> datetime:
    """When a key is due at start: an interval or a pause after its last poll, at once if that has passed.

    At once too if it is new, or its secret: that is what somebody did for a key that was refused.
    """
    last = known.last_poll_at
    if last is None or (known.rotated_at is not None and known.rotated_at > last):
        return now
    # A last poll in the future is a clock that was set back: waiting for it could take years.
    return max(now, min(last, now) + max(interval, pause(known)))


def next_run(known: KeySchedule, rhythm: Rhythm, now: datetime) -> datetime:
    """When a key is due while syncd runs: always later than now, and missed points are not made up for.

    A point soon after a poll out of turn is kept: no healthy key waits longer than its interval.
    """
    last = min(known.last_poll_at or now, now)
    return max(rhythm.after(now), last + pause(known))


# --- what the vendor asks for --------------------------------------------------------------------------------------


def waits_until(known: KeySchedule, now: datetime) -> datetime | None:
    """Until when the last answer asked to wait; None if that is over."""
    if known.retry_at is None or known.last_poll_at is None:
        return None
    # The wait begins with its answer, and at the latest now: an answer in the future is a clock that was set back.
    until = known.retry_at - max(_NONE, known.last_poll_at - now)
    return until if until > now else None


def concerned(key: KeyFacts, scope: str | None) -> tuple[Scope, str]:
    """Whom a wait that this key was asked for concerns."""
    return ("account", key.account) if scope == "account" else ("base_url", key.base_url)


def waiting(keys: Iterable[KeyFacts], schedules: Mapping[str, KeySchedule], now: datetime) -> dict[str, datetime]:
    """The keys whose account or address the vendor asked to leave alone, each with until when."""
    keys = list(keys)
    asked: dict[tuple[Scope, str], datetime] = {}
    for key in keys:
        known = schedules.get(key.name, NEVER_ASKED)
        if (until := waits_until(known, now)) is not None:
            who = concerned(key, known.retry_scope)
            asked[who] = max(until, asked.get(who, until))
    found = {key.name: [asked[who] for who in both(key) if who in asked] for key in keys}
    return {name: max(untils) for name, untils in found.items() if untils}


def both(key: KeyFacts) -> tuple[tuple[Scope, str], tuple[Scope, str]]:
    """All who are asked to wait for this key too."""
    return concerned(key, "account"), concerned(key, "base_url")


# Calls left of a minute at which syncd steps aside: a tenth of what the smaller plan grants (240). The polls share the
# limit with the customer's own calls, which matter more than a poll that comes a minute later.
LOW: Final = 24

# The limit counts by the minute, and when its minute began is not said: one whole minute is enough.
_MINUTE: Final = timedelta(minutes=1)


def steps_aside(remaining: int | None, answered: datetime, last: datetime | None) -> datetime | None:
    """Until when an account is left alone because little is left of its limit; None if nobody has to.

    `last` is until when it was left alone for that the last time. Not again within a minute of it: an account whose
    limit is always low, or whose header is stuck, is asked half of the time.
    """
    if remaining is None or remaining >= LOW:
        return None
    if last is not None and answered < last + _MINUTE:
        return None
    return answered + _MINUTE


# --- a crowd -------------------------------------------------------------------------------------------------------

# At most a quarter of the smaller plan's 240 calls a minute, however many keys have to catch up.
_APART: Final = timedelta(seconds=1)

# A turn is taken when it comes. One that is older was missed while the machine slept or the workers were busy.
_MISSED: Final = timedelta(seconds=10)


class Turns:
    """Keys of one account begin a moment apart, first come, first served. Keys of different accounts do not wait.

    They come together after an outage, on request and when a wait ends. The moment is a second, or less where the keys
    are asked so often that this would not do: it leaves room for twice their ordinary polls.
    """

    def __init__(self, keys: Iterable[KeyFacts], intervals: Mapping[str, timedelta]) -> None:
        members: dict[Account, list[float]] = {}
        for key in keys:
            members.setdefault(account_of(key), []).append(1 / intervals[key.name].total_seconds())
        self._apart = {
            account: min(_APART, timedelta(seconds=0.5 / sum(often)))
            for account, often in members.items()
            if len(often) > 1  # a key alone is no crowd
        }
        self._free: dict[Account, datetime] = {}
        self._given: dict[str, datetime] = {}

    def take(self, key: KeyFacts, now: datetime) -> datetime:
        """When this key may begin: now, or its turn, which is kept for it."""
        account = account_of(key)
        if account not in self._apart:
            return now
        turn = self._given.pop(key.name, None)
        if turn is None or turn < now - _MISSED:
            turn = max(now, self._free.get(account, now))
            self._free[account] = turn + self._apart[account]
        if turn > now:
            self._given[key.name] = turn
        return max(turn, now)

    def forget(self) -> None:
        """Nobody waits for a turn any more: the clock that they were given by was set back."""
        self._free.clear()
        self._given.clear()
