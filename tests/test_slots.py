"""Times that come again: every hour, every day, every week, also where clocks are put forward, back or a day on."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.slots import HOUR, Slots

BERLIN = ZoneInfo("Europe/Berlin")  # 2026: forward on 29 March 02:00, back on 25 October 03:00
APIA = ZoneInfo("Pacific/Apia")  # 2011: 30 December did not happen
DAY = timedelta(days=1)
NINE = time(9)
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


TABLE = {
    "within the hour": (Slots(), "2026-03-02 09:59:59.999999", "2026-03-02 09:00", "2026-03-02 10:00"),
    "on the hour": (Slots(), "2026-03-02 10:00", "2026-03-02 10:00", "2026-03-02 11:00"),
    "over midnight": (Slots(), "2026-12-31 23:30", "2026-12-31 23:00", "2027-01-01 00:00"),
    "earlier that day": (Slots(NINE), "2026-03-02 08:59:59.999999", "2026-03-01 09:00", "2026-03-02 09:00"),
    "at that time": (Slots(NINE), "2026-03-02 09:00", "2026-03-02 09:00", "2026-03-03 09:00"),
    "later that day": (Slots(NINE), "2026-03-02 09:00:00.000001", "2026-03-02 09:00", "2026-03-03 09:00"),
    "a leap day": (Slots(NINE), "2028-02-28 12:00", "2028-02-28 09:00", "2028-02-29 09:00"),
    "a day that begins earlier there": (
        Slots(time(0, 30), None, ZoneInfo("Asia/Tokyo")),
        "2026-03-02 15:00",
        "2026-03-01 15:30",
        "2026-03-02 15:30",
    ),
    "a day that begins later there": (
        Slots(time(23), None, ZoneInfo("Pacific/Honolulu")),
        "2026-03-02 08:00",
        "2026-03-01 09:00",
        "2026-03-02 09:00",
    ),
    "the day of the week": (Slots(NINE, MONDAY), "2026-03-02 08:00", "2026-02-23 09:00", "2026-03-02 09:00"),
    "that time of the week": (Slots(NINE, MONDAY), "2026-03-02 09:00", "2026-03-02 09:00", "2026-03-09 09:00"),
    "the last day of the week": (Slots(NINE, SUNDAY), "2026-03-02 09:00", "2026-03-01 09:00", "2026-03-08 09:00"),
    "winter in Berlin": (Slots(NINE, None, BERLIN), "2026-03-28 07:00", "2026-03-27 08:00", "2026-03-28 08:00"),
    "into summer": (Slots(NINE, None, BERLIN), "2026-03-28 08:00", "2026-03-28 08:00", "2026-03-29 07:00"),
    "into winter": (Slots(NINE, None, BERLIN), "2026-10-24 07:00", "2026-10-24 07:00", "2026-10-25 08:00"),
    "into summer by the week": (
        Slots(NINE, MONDAY, BERLIN),
        "2026-03-23 08:00",
        "2026-03-23 08:00",
        "2026-03-30 07:00",
    ),
    "before a time that is skipped": (
        Slots(time(2, 30), None, BERLIN),
        "2026-03-29 00:59",
        "2026-03-28 01:30",
        "2026-03-29 01:30",  # 03:30: half an hour after the gap, as it would have been
    ),
    "after a time that is skipped": (
        Slots(time(2, 30), None, BERLIN),
        "2026-03-29 01:30",
        "2026-03-29 01:30",
        "2026-03-30 00:30",
    ),
    "before a time that comes twice": (
        Slots(time(2, 30), None, BERLIN),
        "2026-10-25 00:00",
        "2026-10-24 00:30",
        "2026-10-25 00:30",
    ),
    "the second time is no other": (
        Slots(time(2, 30), None, BERLIN),
        "2026-10-25 01:30",
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ),
    "before a day that is skipped": (
        Slots(NINE, None, APIA),
        "2011-12-29 19:00",
        "2011-12-29 19:00",
        "2011-12-30 19:00",  # 09:00 on the 30th, had it been, and on the 31st, which came in its place
    ),
    "after a day that is skipped": (
        Slots(NINE, None, APIA),
        "2011-12-30 19:00",
        "2011-12-30 19:00",
        "2011-12-31 19:00",
    ),
    "a weekday that is skipped comes a day later": (
        Slots(NINE, FRIDAY, APIA),
        "2011-12-30 18:59",
        "2011-12-23 19:00",
        "2011-12-30 19:00",
    ),
    "the week after it": (Slots(NINE, FRIDAY, APIA), "2011-12-30 19:00", "2011-12-30 19:00", "2012-01-05 19:00"),
    "the weekday after it": (Slots(NINE, SATURDAY, APIA), "2011-12-30 18:59", "2011-12-24 19:00", "2011-12-30 19:00"),
}


@pytest.mark.parametrize(("slots", "moment", "before", "after"), TABLE.values(), ids=TABLE)
def test_the_last_and_the_next(slots: Slots, moment: str, before: str, after: str) -> None:
    assert (slots.before(utc(moment)), slots.after(utc(moment))) == (utc(before), utc(after))


def test_a_moment_may_be_told_by_any_clock() -> None:
    slots, moment = Slots(NINE, MONDAY, BERLIN), datetime(2026, 3, 2, 8, tzinfo=UTC)

    for zone in (BERLIN, APIA, timezone(timedelta(hours=-9, minutes=-30))):
        assert slots.after(moment.astimezone(zone)) == slots.after(moment)
        assert slots.before(moment.astimezone(zone)) == slots.before(moment)


def test_an_hour_is_an_hour_when_the_clocks_are_put_forward() -> None:
    """03:10 in Berlin is ten minutes after 02:00, and what the clocks call an hour earlier did not happen."""
    moment = datetime(2026, 3, 29, 3, 10, tzinfo=BERLIN)

    assert Slots().before(moment) == utc("2026-03-29 01:00")
    assert Slots().after(moment) == utc("2026-03-29 02:00")


ZONES = ("UTC", "Europe/Berlin", "Pacific/Apia", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
MORE_ZONES = ("Pacific/Kwajalein", "Pacific/Kiritimati", "America/Juneau", "Africa/Casablanca", "America/Havana")
zones = st.sampled_from([ZoneInfo(name) for name in (*ZONES, *MORE_ZONES)])
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
hourly = st.just(Slots())
daily = st.builds(Slots, times, st.none(), zones)
weekly = st.builds(Slots, times, st.integers(0, 6), zones)
any_slots = hourly | daily | weekly
# What clocks do is most surprising around these.
TURNS = [
    utc(text)
    for text in ("2026-03-29 01:00", "2026-10-25 01:00", "2011-12-30 10:00", "1993-08-21 12:00", "1867-10-18 12:00")
]
FIRST, LAST = (utc(f"{year}-01-01").replace(tzinfo=None) for year in (1860, 2200))  # Hypothesis adds the zone
anywhen = st.datetimes(FIRST, LAST, timezones=zones)
near_a_turn = st.builds(
    lambda turn, by, zone: (turn + by).astimezone(zone),
    st.sampled_from(TURNS),
    st.timedeltas(timedelta(days=-9), timedelta(days=9)),
    zones,
)
moments = anywhen | near_a_turn


@given(any_slots, moments)
def test_the_next_is_later_and_the_last_is_not(slots: Slots, moment: datetime) -> None:
    now = moment.astimezone(UTC)

    assert slots.before(moment) <= now < slots.after(moment)


@given(any_slots, moments)
def test_nothing_lies_between_the_last_and_the_next(slots: Slots, moment: datetime) -> None:
    last, following = slots.before(moment), slots.after(moment)

    assert slots.after(last) == following
    assert slots.before(following) == following
    assert slots.before(following - timedelta(microseconds=1)) == last


@given(any_slots, moments)
def test_both_are_in_utc(slots: Slots, moment: datetime) -> None:
    assert slots.after(moment).tzinfo is UTC
    assert slots.before(moment).tzinfo is UTC


@given(any_slots, moments, st.timedeltas(timedelta(0), timedelta(days=10)))
def test_later_moments_have_no_earlier_slots(slots: Slots, moment: datetime, later: timedelta) -> None:
    now = moment.astimezone(UTC)

    assert slots.after(now) <= slots.after(now + later)
    assert slots.before(now) <= slots.before(now + later)


@given(hourly, moments)
def test_every_hour_has_one(slots: Slots, moment: datetime) -> None:
    assert slots.after(moment) - slots.before(moment) == HOUR
    assert slots.after(moment).strftime("%M:%S.%f") == "00:00.000000"


@given(daily, moments)
def test_every_day_has_one_at_its_time(slots: Slots, moment: datetime) -> None:
    following = slots.after(moment)

    assert following - slots.before(moment) <= 2 * DAY
    assert any(is_at(slots, following, day) for day in days_around(following, slots.zone))


@given(weekly, moments)
def test_every_week_has_one_on_its_day(slots: Slots, moment: datetime) -> None:
    following = slots.after(moment)
    days = [day for day in days_around(following, slots.zone) if day.weekday() == slots.weekday]

    assert following - slots.before(moment) <= 8 * DAY
    assert any(is_at(slots, following, day) for day in days)


@given(times, moments)
def test_where_no_clock_is_ever_changed_a_week_has_seven_days(at: time, moment: datetime) -> None:
    for slots, apart in ((Slots(at), DAY), (Slots(at, MONDAY), 7 * DAY)):
        assert slots.after(moment) - slots.before(moment) == apart
        assert slots.after(moment).time() == at


@given(times, st.dates(date(2020, 1, 1), date(2035, 1, 1)))
@example(time(2, 30), date(2026, 3, 28))
@example(time(2, 30), date(2026, 10, 24))
def test_a_day_in_berlin_has_23_to_25_hours(at: time, day: date) -> None:
    slots = Slots(at, None, BERLIN)
    first = slots.after(datetime.combine(day, at, UTC))

    assert slots.after(first) - first in (23 * HOUR, 24 * HOUR, 25 * HOUR)


def days_around(moment: datetime, zone: tzinfo) -> list[date]:
    """The local day and those beside it: a skipped time may come on the day after."""
    day = moment.astimezone(zone).date()
    return [day - DAY, day, day + DAY]


def is_at(slots: Slots, moment: datetime, day: date) -> bool:
    """Whether `moment` is the time of that day, as the clocks before a change would have shown it."""
    assert slots.at is not None
    return moment == datetime.combine(day, slots.at, slots.zone).astimezone(UTC)
