"""Who is told: of a change by the routes, of an edge by those who heard of its beginning. Only processes data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from fnmatch import fnmatchcase

from syncd.core.canon import MISSING
from syncd.core.changes import Change
from syncd.core.credits import Band, read_band
from syncd.core.judge.values import Case, ChangeState, Heard, Judgement
from syncd.core.routing import Announcement, Event, KeyFacts, announce
from syncd.core.rules import CONDITIONS

# The band of a model that a destination was told last.
ToldBand = Callable[[str, str], Band | None]


def tell(
    change: Change, key: KeyFacts, policy: Judgement, now: datetime, told_band: ToldBand = lambda _slug, _to: None
) -> tuple[Announcement, ...]:
    """An announcement of the change for every destination whose routes want it."""
    if _only_recorded(change, policy):
        return ()
    return announce(
        _event(change, key), policy.routes, now, lambda to: told_band(change.slug or "", to) or _old_band(change)
    )


def tell_in(case: Case, change: Change) -> tuple[Announcement, ...]:
    """An announcement of a change that the poll found."""
    return tell(change, case.key, case.policy, case.now, case.context.told_band)


def tell_condition(kind: str, case: Case) -> tuple[Announcement, ...]:
    """An announcement that a condition of the key opens, for every destination whose routes want it."""
    if never_announced(kind, case.policy):
        return ()
    return announce(Event(kind, CONDITIONS[kind], case.key), case.policy.routes, case.now)


def tell_again(heard: Heard, now: datetime) -> tuple[Announcement, ...]:
    """To everybody who heard of its beginning, and to nobody else."""
    return tuple(Announcement(destination, route, now) for destination, route in heard)


def besides(first: Iterable[Announcement], more: Iterable[Announcement]) -> tuple[Announcement, ...]:
    """The first, and those of the others that go elsewhere. Being told outweighs being below a threshold."""
    by_destination: dict[str, Announcement] = {}
    for one in (*first, *more):
        known = by_destination.get(one.destination)
        if known is None or (known.state != "queued" and one.state == "queued"):
            by_destination[one.destination] = one
    return tuple(by_destination.values())


def state_of(told: Iterable[Announcement]) -> ChangeState:
    """Told to nobody, or only weighed against thresholds, is recorded."""
    return "announced" if any(one.state == "queued" for one in told) else "recorded"


def never_announced(kind: str, policy: Judgement) -> bool:
    """Whether the operator wants the kind recorded only."""
    return any(fnmatchcase(kind, glob) for glob in policy.record_only)


def _only_recorded(change: Change, policy: Judgement) -> bool:
    unknown = change.severity == "informational" and ".attr-unknown." in change.kind
    return unknown or never_announced(change.kind, policy)


def _event(change: Change, key: KeyFacts) -> Event:
    is_price = change.kind.startswith("credits.band.")
    band = read_band(None if change.after is MISSING else change.after) if is_price else None
    return Event(change.kind, change.severity, key, change.slug, change.category, band)


def _old_band(change: Change) -> Band | None:
    return read_band(None if change.before is MISSING else change.before)
