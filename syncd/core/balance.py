"""What an account has left, how fast it spends, and when that is too little. Only processes data.

days with what was spent --burn--> credits a day --days_left--> days until nothing is left
balance, thresholds --levels--> what is low, and from when on it is well again
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise
from statistics import median
from typing import Final, Literal, TypeAlias

from syncd.core.catalog import Listed
from syncd.core.credits import read_band
from syncd.core.requests import SavedRequest

Amount: TypeAlias = Decimal | int
Why: TypeAlias = Literal["low", "runway", "cheapest"]
Unit: TypeAlias = Literal["credits", "days"]

# So many complete days say how fast an account spends: a week has all its weekdays.
COMPLETE_DAYS: Final = 7
# Of an account that is new, a night says nothing of a day.
_LEAST_SEEN: Final = timedelta(hours=6)
# Further ahead a forecast means nothing.
MOST_DAYS: Final = 3650
# What was low is well again at so many times what counts as low: a refund does not end it, nor the next call begin it.
_REARM: Final = Decimal("1.5")
_DAY: Final = timedelta(days=1)
# From here on whole numbers are exact enough for people.
_WHOLE: Final = 10


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as low: `low` credits, or a wallet that lasts no longer than `runway` at the present burn."""

    low: Amount | None = None
    runway: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """What an account was seen to spend on a day in UTC, with what it spent unseen since the day before in the list."""

    day: date
    spent: Amount


@dataclass(frozen=True, slots=True)
class Cheapest:
    """A saved request whose model costs at least so much, which is the most of all saved requests' models."""

    request: str
    slug: str
    credits: Amount


@dataclass(frozen=True, slots=True)
class Wallet:
    """What an account holds, with what it spent on each of the last days (the oldest first, the present one last).

    `at` is when it was seen last. Of an account that has been seen for two days at most, `since` is when it was first.
    """

    account: str
    balance: Amount
    days: tuple[Day, ...] = ()
    since: datetime | None = None
    at: datetime | None = None
    cheapest: Cheapest | None = None


# --- how fast it spends --------------------------------------------------------------------------------------------


def burn(wallet: Wallet) -> Amount | None:
    """Credits a day: the median of what was spent on each of the last complete days; None where nothing can be said.

    The median, because one odd day is no habit: a night of batch work does not make tomorrow look like it, nor does a
    new cycle that takes back what was left of the old one. Who spends on fewer than half of the days burns nothing.

    As long as no day is complete, what was spent so far is scaled to a day, if some hours were seen of it.
    """
    if complete := _complete(wallet.days):
        return median(map(Decimal, complete))
    if wallet.since is None or wallet.at is None or wallet.at - wallet.since < _LEAST_SEEN:
        return None
    seen = Decimal((wallet.at - wallet.since) / timedelta(seconds=1)) / 86_400
    return sum((Decimal(day.spent) for day in wallet.days), Decimal(0)) / seen


def _complete(days: tuple[Day, ...]) -> list[Amount]:
    """What was spent on each of the last complete days: neither the first, which began unseen, nor the present one.

    What was spent while nobody looked is found out at the next look, and was spent evenly as far as anybody knows.
    """
    spent: list[Amount] = []
    for before, this in pairwise(days):
        apart = max(1, (this.day - before.day).days)
        unseen = min(apart, COMPLETE_DAYS + 1)
        spent += [Decimal(this.spent) / apart] * unseen
    return spent[:-1][-COMPLETE_DAYS:]


def days_left(wallet: Wallet) -> Decimal | None:
    """How many days the balance lasts at the present burn; None where no end is in sight, or nothing can be said."""
    rate = burn(wallet)
    if rate is None or rate <= 0:
        return None
    left = max(Decimal(0), Decimal(wallet.balance))
    return min(left / rate, Decimal(MOST_DAYS))


# --- what counts as low --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Level:
    """What there is of something, and below what it is low: credits, or days."""

    why: Why
    has: Amount
    below: Amount
    unit: Unit = "credits"

    @property
    def rearm(self) -> Amount:
        """From when on it is well again, once it was low."""
        return plain(self.below * _REARM)

    @property
    def is_low(self) -> bool:
        """Whether it is too little."""
        return self.has < self.below

    @property
    def is_well(self) -> bool:
        """Whether it is enough again. Between the two it stays what it was."""
        return self.has >= self.below * _REARM


def levels(wallet: Wallet, thresholds: Thresholds) -> tuple[Level, ...]:
    """What the operator watches of the account, the most urgent first."""
    found: list[Level] = []
    if thresholds.low is not None:
        found.append(Level("low", wallet.balance, thresholds.low))
    if thresholds.runway is not None:
        days = days_left(wallet)
        has = Decimal("Infinity") if days is None else days
        found.append(Level("runway", has, plain(Decimal(thresholds.runway / _DAY)), "days"))
    return tuple(found)


def cheapest_calls(models: Mapping[str, Listed], slugs: Iterable[str]) -> dict[str, Amount]:
    """What a call of each of these models costs at least; those that are not listed or state no price are left out."""
    found: dict[str, Amount] = {}
    for slug in slugs:
        body = models[slug].body() if slug in models else None
        band = read_band(body.get("credits_band")) if isinstance(body, dict) else None
        if band is not None and band.form in ("ok", "partial") and band.low is not None:
            found[slug] = band.low
    return found


def dearest(requests: Iterable[SavedRequest], key: str, prices: Mapping[str, Amount]) -> Cheapest | None:
    """Of the requests sent with the key, the one that asks for the most credits. `prices` are the cheapest calls."""
    theirs = [one for one in requests if one.is_for(key) and one.model in prices]
    most = max(theirs, key=lambda one: prices[one.model], default=None)
    return None if most is None else Cheapest(most.name, most.model, prices[most.model])


# --- numbers for people --------------------------------------------------------------------------------------------


def plain(value: Amount) -> Amount:
    """The same number, a whole one without a fraction."""
    whole = int(value)
    return whole if whole == value else value


def rounded(value: Amount) -> Amount:
    """A rate or a span as exact as it can be meant: whole from ten upwards, else two digits. Never more than it is."""
    exact = Decimal(value)
    places = 0 if abs(exact) >= _WHOLE or not exact else 1 - exact.adjusted()
    return plain(exact.quantize(Decimal(1).scaleb(-min(places, 6)), ROUND_FLOOR))
