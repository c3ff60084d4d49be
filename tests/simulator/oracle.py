"""What must come of a history, worked out from its answers by the rules alone: nothing of `core.judge` is used here.

    answers ── Key.poll ──> what was observed   every difference from what was confirmed before
                            absences            since when, how often, confirmed or back, and when
                            conditions          from when until when
                            known               the confirmed catalogue, at the end

Catalogues of random histories are written as text: ``a10 b20+ …`` lists a for 10 credits and b for 20 with one more
parameter, and the cursor at its end says that there may be more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from tests.simulator.history import Said, having, lists, priced
from tests.watching import model

CURSOR: Final = "…"
EMPTY: Final = "an empty list"
EXTRA: Final = {"type": "boolean", "default": False}


@dataclass(frozen=True, slots=True, order=True)
class Offer:
    """What a model of a random history is: its price, and whether it takes the parameter."""

    price: int
    extra: bool = False


Offers: TypeAlias = Mapping[str, Offer]


def catalogue(text: str) -> Said:
    """The answer that lists what the text says."""
    offers, complete = read(text)
    listed = [having(priced(model(slug), one.price), **_extra(one)) for slug, one in offers.items()]
    return lists(*listed, what=text, **({} if complete else {"next_cursor": "p2"}))


def _extra(one: Offer) -> dict[str, Mapping[str, object] | None]:
    return {"extra": EXTRA if one.extra else None}


def read(text: str) -> tuple[Offers, bool]:
    """What the text lists, and whether that is all."""
    words = [] if text == EMPTY else text.split()
    offers = {word[0]: Offer(int(word[1:].rstrip("+")), word.endswith("+")) for word in words if word != CURSOR}
    return offers, CURSOR not in words


def write(offers: Offers, *, complete: bool = True) -> str:
    """The text of a catalogue."""
    words = [f"{slug}{one.price}{'+' if one.extra else ''}" for slug, one in sorted(offers.items())]
    return " ".join([*words, *([] if complete else [CURSOR])]) or EMPTY


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator set."""

    polls: int = 2
    after: timedelta = timedelta(minutes=30)
    drop_count: int = 3
    drop_share: Fraction = Fraction(1, 5)


What: TypeAlias = Literal["added", "returned", "removed", "price", "param"]


@dataclass(frozen=True, slots=True, order=True)
class Observed:
    """A difference from what was confirmed."""

    at: datetime
    slug: str
    what: What


@dataclass(slots=True)
class Absence:
    """A model that is missing. `end` is when it was certain that it is gone, or when it was back."""

    slug: str
    since: datetime
    suspect: bool
    polls: list[datetime] = field(default_factory=list)
    end: datetime | None = None
    back: bool = False


@dataclass(slots=True)
class Trouble:
    """A condition."""

    kind: str
    opened: datetime
    closed: datetime | None = None


# A suspicious listing is believed, and forgiven, when so many complete ones running say the same.
PROOF: Final = 3
ACCESS: Final = {401: "access.rejected", 403: "access.tier-locked"}


@dataclass
class Key:
    """One key, as its answers come in."""

    rules: Rules
    known: dict[str, Offer] = field(default_factory=dict)
    baseline: dict[str, Offer] | None = None
    ever: set[str] = field(default_factory=set)
    observed: list[Observed] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    good: list[datetime] = field(default_factory=list)
    bad: list[datetime] = field(default_factory=list)
    rotated: bool = False
    clean: int = 0
    failures: int = 0

    def poll(self, said: Said, at: datetime) -> None:
        """One answer."""
        if not said.good:
            self._fail(said, at)
            return
        self.good.append(at)
        self.failures = 0
        self._close(at, *ACCESS.values())
        offers, complete = read(said.what)
        if self.baseline is None:
            self.baseline, self.known = dict(offers), dict(offers)
            self.ever |= set(offers)
            self._weigh(at, doubtful=not complete, confirmed=False)
            return
        lacking = sorted(self.known.keys() - offers.keys()) if complete else []
        doubtful = not complete or self._is_suspicious(offers, lacking)
        confirmed = self._miss(lacking, at, doubtful=doubtful, complete=complete)
        self._list(offers, at)
        self._weigh(at, doubtful=doubtful, confirmed=confirmed)
        self.rotated = False

    def _is_suspicious(self, offers: Offers, lacking: list[str]) -> bool:
        if not lacking:
            return False
        # What went missing one by one before is no part of a sudden drop.
        earlier = {one.slug for one in self.missing().values() if not one.suspect}
        lost = [slug for slug in lacking if slug not in earlier]
        many = len(lost) >= self.rules.drop_count and len(lost) >= self.rules.drop_share * len(self.known)
        other = len(self.known.keys() ^ offers.keys()) * 2 >= len(self.known.keys() | offers.keys())
        return bool(lost and (not offers or many)) or (self.rotated and other)

    def _miss(self, lacking: list[str], at: datetime, *, doubtful: bool, complete: bool) -> bool:
        """Absences begin, go on, and are certain; whether a suspicious one is by now."""
        believed = False
        open_ones = self.missing()
        for slug in lacking:
            if slug not in open_ones:
                self.observed.append(Observed(at, slug, "removed"))
                self.absences.append(Absence(slug, at, doubtful))
        for one in self.missing().values():
            if complete and one.slug in lacking:
                one.polls.append(at)
                one.suspect = one.suspect or doubtful
                if self.is_certain(one, at, self.rules.after):
                    one.end = at
                    del self.known[one.slug]
                    believed = believed or one.suspect
        return believed

    def is_certain(self, one: Absence, at: datetime, after: timedelta) -> bool:
        """Whether it was missing often enough and for long enough."""
        needed = max(self.rules.polls, PROOF) if one.suspect else self.rules.polls
        return sum(poll <= at for poll in one.polls) >= needed and at - one.since >= after

    def missing(self) -> dict[str, Absence]:
        """The absences that are not settled."""
        return {one.slug: one for one in self.absences if one.end is None}

    def _list(self, offers: Offers, at: datetime) -> None:
        for one in self.missing().values():
            if one.slug in offers:
                one.end, one.back = at, True
        for slug, offer in offers.items():
            if slug not in self.known:
                self.observed.append(Observed(at, slug, "returned" if slug in self.ever else "added"))
            before = self.known.get(slug, self._last(slug) or offer)
            if before.price != offer.price:
                self.observed.append(Observed(at, slug, "price"))
            if before.extra != offer.extra:
                self.observed.append(Observed(at, slug, "param"))
            self.known[slug] = self.was[slug] = offer
            self.ever.add(slug)

    was: dict[str, Offer] = field(default_factory=dict)

    def _last(self, slug: str) -> Offer | None:
        """What it was when it was listed last."""
        return self.was.get(slug) or (self.baseline or {}).get(slug)

    # --- conditions ---

    def _fail(self, said: Said, at: datetime) -> None:
        self.bad.append(at)
        if (kind := ACCESS.get(said.status or 0)) is not None:
            self.failures = 0
            # One refusal at a time: another one takes its place.
            self._close(at, *(other for other in ACCESS.values() if other != kind))
            if all(one.kind != kind or one.closed for one in self.troubles):
                self.troubles.append(Trouble(kind, at))
            return
        self.failures += 1

    def _weigh(self, at: datetime, *, doubtful: bool, confirmed: bool) -> None:
        """The suspicion: it begins, it is believed, or it is forgiven."""
        is_open = any(one.kind == "listing.suspicious" and one.closed is None for one in self.troubles)
        if not is_open:
            self.clean, self.believed = 0, False
            if doubtful:
                self.troubles.append(Trouble("listing.suspicious", at))
            return
        missing = any(one.suspect for one in self.missing().values())
        self.believed = self.believed or confirmed
        self.clean = 0 if doubtful or missing else self.clean + 1
        if self.clean >= PROOF or (self.believed and not missing):
            self._close(at, "listing.suspicious")

    believed: bool = False

    def _close(self, at: datetime, *kinds: str) -> None:
        for one in self.troubles:
            if one.kind in kinds and one.closed is None:
                one.closed = at
