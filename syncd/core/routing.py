"""Which destination is told of an event, and under which route's settings. Only processes data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from syncd.core.credits import Band, moved_by
from syncd.core.rules import CONDITIONS, Severity, at_least
from syncd.core.slots import Slots

AnnouncementState: TypeAlias = Literal["queued", "below_threshold"]


@dataclass(frozen=True, slots=True)
class Route:
    """A rule that sends events to a destination. Every matcher given must match; an empty one matches everything.

    `keys`, `kinds`, `models` and `categories` are globs, of which one must match. What it tells waits for `group_wait`,
    so that what comes soon after is told with it, or for the next time of its `digest`. `mention` calls people to an
    alert: ``@here``, ``@channel`` or the id of a user (``U…``) or a group (``S…``). `summary` tells when a line says
    that all is well.
    """

    name: str
    to: str
    kinds: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    min_severity: Severity | None = None
    min_percent: Decimal | None = None
    group_wait: timedelta = timedelta(0)
    mention: str | None = None
    digest: Slots | None = None
    summary: Slots | None = None


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What routes can match of a key, where it is asked, and the fingerprint that names its secret."""

    name: str
    account: str
    base_url: str
    labels: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that may be told: a change or an edge of a condition.

    Model matchers apply only to events that have a model. `band` is the credit band now, for changes of price only.
    """

    kind: str
    severity: Severity
    key: KeyFacts
    slug: str | None = None
    category: str | None = None
    band: Band | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event for one destination, frozen when it is written: a later configuration does not re-route it."""

    destination: str
    route: str
    not_before: datetime
    state: AnnouncementState = "queued"


# The band that a destination was told last; None if it was never told one.
Told: TypeAlias = Callable[[str], Band | None]


def announce(
    event: Event, routes: Iterable[Route], now: datetime, told: Told = lambda _: None
) -> tuple[Announcement, ...]:
    """One announcement per destination that some route names; the first route that matches gives the settings.

    Where only the threshold of `min_percent` stands against it, the announcement is written as below the threshold:
    the price told last stays known, and small steps add up.
    """
    chosen: dict[str, Announcement] = {}
    for route in routes:
        if not matches(route, event):
            continue
        enough = _moved_enough(route, event, told)
        earlier = chosen.get(route.to)
        if earlier is None or (enough and earlier.state == "below_threshold"):
            chosen[route.to] = Announcement(
                route.to, route.name, _not_before(route, event, now), "queued" if enough else "below_threshold"
            )
    return tuple(chosen.values())


def bystanders(
    broken: str, routes: Iterable[Route], record_only: Iterable[str], now: datetime
) -> tuple[Announcement, ...]:
    """Who is told that a destination is out of order: the others, where a route sees every key."""
    kind = "destination.broken"
    if any(fnmatchcase(kind, glob) for glob in record_only):
        return ()
    told: dict[str, Announcement] = {}
    for route in routes:
        sees_all = (not route.keys or "*" in route.keys) and not route.labels
        wants = _any(route.kinds, kind) and at_least(CONDITIONS[kind], route.min_severity)
        if route.to != broken and sees_all and wants:
            told.setdefault(route.to, Announcement(route.to, route.name, now))
    return tuple(told.values())


def _not_before(route: Route, event: Event, now: datetime) -> datetime:
    """A digest holds back neither what breaks requests nor the beginning or end of a condition."""
    waits = route.digest is not None and event.severity != "breaking" and event.kind not in CONDITIONS
    return route.digest.after(now) if waits and route.digest is not None else now + route.group_wait


def matches(route: Route, event: Event) -> bool:
    """Whether every matcher but the threshold lets the event through."""
    return (
        sees(route, event.key)
        and _any(route.kinds, event.kind)
        and at_least(event.severity, route.min_severity)
        and (event.slug is None or _any(route.models, event.slug))
        and (event.slug is None or _any(route.categories, event.category or ""))
    )


def sees(route: Route, key: KeyFacts) -> bool:
    """Whether the key is visible to the route: by name and labels alone."""
    return _any(route.keys, key.name) and all(key.labels.get(name) == value for name, value in route.labels.items())


def _any(globs: tuple[str, ...], text: str) -> bool:
    return not globs or any(fnmatchcase(text, glob) for glob in globs)


def _moved_enough(route: Route, event: Event, told: Told) -> bool:
    if route.min_percent is None or event.band is None:
        return True
    last = told(route.to)
    return last is None or moved_by(last, event.band, route.min_percent)
