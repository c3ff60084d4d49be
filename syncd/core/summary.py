"""The line that says all is well: when it is due, and what it counts. Only processes data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from syncd.core.canon import Json
from syncd.core.routing import Route
from syncd.core.text import moment

# The notice that it is.
SUMMARY: Final = "summary"

# A summary that comes later than this is news of yesterday: the next one tells it.
FRESH: Final = timedelta(hours=12)

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """What a summary for a destination is about: from the time of the one before, at its own time `slot`."""

    destination: str
    since: datetime
    slot: datetime

    @property
    def subject(self) -> str:
        """What it is told once for."""
        return f"{self.destination}|{self.slot.isoformat()}"


@dataclass(frozen=True, slots=True)
class Run:
    """So many like polls in a row, from the first to the last."""

    good: bool
    first: datetime
    last: datetime
    polls: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is to count of some keys in a period."""

    models: int
    changes: int
    runs: tuple[Run, ...]


def periods(routes: Iterable[Route], now: datetime) -> tuple[Period, ...]:
    """The summaries for which it is time; of a time that several routes to one destination name, one."""
    found: dict[str, Period] = {}
    for route in routes:
        if route.summary is None:
            continue
        slot = route.summary.before(now)
        if now - slot < FRESH:
            period = Period(route.to, route.summary.before(slot - _TICK), slot)
            found.setdefault(period.subject, period)
    return tuple(found.values())


def summed_up(period: Period, keys: Sequence[str], counts: Counts) -> dict[str, Json]:
    """What the destination is told."""
    polls = [(run.good, _since(run, period.since)) for run in counts.runs]
    return {
        "keys": list(keys),
        "models": counts.models,
        "changes": counts.changes,
        "polls": sum(number for _, number in polls),
        "failed": sum(number for good, number in polls if not good),
        "since": moment(period.since),
    }


def _since(run: Run, since: datetime) -> int:
    """How many of its polls came since then. Only its ends are kept, so of one that began earlier it is an estimate."""
    if run.first >= since:
        return run.polls
    if run.last < since:
        return 0
    return 1 + (run.polls - 1) * (run.last - since) // (run.last - run.first)
