"""Points of time that come again: every hour, every day or every week at a time of a place. Only processes data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

HOUR: Final = timedelta(hours=1)
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Slots:
    """On the hour where `at` is None; else daily at that time in `zone`, or on one `weekday` (0 is Monday) only.

    A time that the clocks skip comes as much later as they were put forward; one that comes twice counts the first
    time.
    """

    at: time | None = None
    weekday: int | None = None
    zone: tzinfo = UTC

    def after(self, moment: datetime) -> datetime:
        """The first of them that is later than `moment`, in UTC."""
        if self.at is None:
            return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
        # The local day may have begun already, or its time may be moved past midnight by clocks: one day of margin.
        start = moment.astimezone(self.zone).date() - timedelta(days=1)
        days = (start + timedelta(days=n) for n in range(_WEEK + 3))
        slots = (
            datetime.combine(day, self.at, self.zone).astimezone(UTC)
            for day in days
            if self.weekday is None or day.weekday() == self.weekday
        )
        return min(slot for slot in slots if slot > moment)

    def before(self, moment: datetime) -> datetime:
        """The last of them that is not later than `moment`, in UTC."""
        # Within a zone, Python counts hours by its clocks, put forward or not.
        earlier = moment.astimezone(UTC) - (HOUR if self.at is None else timedelta(days=_WEEK + 1))
        slot = self.after(earlier)
        while (following := self.after(slot)) <= moment:
            slot = following
        return slot
