"""What goes into a judgement and what comes out: plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from syncd.core.balance import Thresholds, Wallet
from syncd.core.canon import Json
from syncd.core.changes import Change
from syncd.core.credits import Band
from syncd.core.reading import Listing, Outcome
from syncd.core.routing import Announcement, KeyFacts, Route

ChangeState: TypeAlias = Literal["baseline", "held", "announced", "retracted", "recorded"]
KeyState: TypeAlias = Literal["new", "ok", "rejected", "tier_locked", "forbidden", "unreachable"]

# Where something was told, and under which route.
Heard: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The operator's settings as far as judging needs them.

    A removal is confirmed by `confirm_polls` good polls without the model, the one that saw it go included, and
    `confirm_after` since then: both. A listing that lacks `drop_count` models and `drop_share` of them, both at once,
    is suspicious.
    """

    routes: tuple[Route, ...] = ()
    record_only: tuple[str, ...] = ()
    confirm_polls: int = 2
    confirm_after: timedelta = timedelta(minutes=30)
    drop_share: Decimal = Decimal("0.2")
    drop_count: int = 5
    credits: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True, slots=True)
class Held:
    """A change that waits until it is certain: a removal, or the last step of something that flaps.

    `polls` good polls have missed the model of a removal so far. `heard` are the destinations that were told of it as
    unconfirmed.
    """

    id: int
    change: Change
    polls: int
    detected_at: datetime
    heard: Heard = ()

    @property
    def is_removal(self) -> bool:
        """Whether a model is missing."""
        return self.change.kind == "model.removed"


@dataclass(frozen=True, slots=True)
class Past:
    """A change of the last day, for what happens to the same path now. `told` are its announcements: where, and how."""

    id: int
    change: Change
    state: ChangeState
    at: datetime
    told: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenCondition:
    """A condition that has not closed. `told` are the destinations that heard of its opening, with their routes."""

    id: int
    kind: str
    subject: str
    opened_at: datetime
    detail: Mapping[str, Json]
    told: Heard = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The few stored facts a judgement needs.

    `failures` counts the failed polls in a row before this one. `stale` tells that an answer to a later request has
    been applied already. `digest` addresses the last observed state. `rotated` tells that the key's secret changed
    since. `past` gives the changes of the last day by path (a JSON Pointer), the oldest first, `told_of` who heard of a
    change, and `removal_told` who heard last that each of these models was removed. `wallet` is what the account holds,
    None where this answer shows nothing new.
    """

    key: KeyFacts
    state: KeyState
    failures: int
    has_baseline: bool
    digest: str | None
    stale: bool = False
    held: tuple[Held, ...] = ()
    open: tuple[OpenCondition, ...] = ()
    rotated: bool = False
    told_band: Callable[[str, str], Band | None] = lambda _slug, _destination: None
    past: Callable[[Iterable[str]], Mapping[str, tuple[Past, ...]]] = lambda _pointers: {}
    told_of: Callable[[int], Heard] = lambda _change: ()
    removal_told: Callable[[Iterable[str]], Mapping[str, Heard]] = lambda _slugs: {}
    wallet: Wallet | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A poll to be judged: what is stored, how the operator wants it judged, and when it is."""

    context: Context
    policy: Judgement
    now: datetime

    @property
    def key(self) -> KeyFacts:
        """The key that was polled."""
        return self.context.key


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change to record, in its state, with who is told.

    `unconfirmed` are those who are told at once of a removal that is held, because a saved request uses the model.
    """

    change: Change
    state: ChangeState
    announcements: tuple[Announcement, ...] = ()
    unconfirmed: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldStep:
    """What becomes of a held change: still held (a removal with one poll more), confirmed, or retracted.

    `learned` is the change with what this poll tells of it, such as what the model is called now; None if nothing new.
    `back` tells those who heard of a removal as unconfirmed that the model is there.
    """

    id: int
    state: ChangeState
    polls: int
    announcements: tuple[Announcement, ...] = ()
    learned: Change | None = None
    back: tuple[Announcement, ...] = ()


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
        return any(one.state == "queued" for one in self._announcements())

    def _announcements(self) -> Iterable[Announcement]:
        for new in self.changes:
            yield from (*new.announcements, *new.unconfirmed)
        for step in self.holds:
            yield from (*step.announcements, *step.back)
        for opening in self.openings:
            yield from opening.announcements
        for edit in self.edits:
            yield from edit.announcements
