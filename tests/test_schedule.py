"""When keys are asked: the rules as tables and laws, and days of a timetable lived through with a made-up clock."""

from __future__ import annotations

import heapq
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from apscheduler.job import Job
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.judge import KeyState
from syncd.core.reading import Facts, Retry
from syncd.core.routing import KeyFacts
from syncd.core.schedule import (
    LOW,
    NEVER_ASKED,
    KeySchedule,
    Rhythm,
    Turns,
    first_run,
    in_hash_order,
    next_run,
    pause,
    phase,
    rhythms,
    steps_aside,
    waiting,
    waits_until,
)
from syncd.poll import Polled
from syncd.service import Following
from syncd.service.timetable import Timetable

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

moments = st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones
intervals = st.timedeltas(SECOND, timedelta(days=31))
names = st.text(min_size=1, max_size=64)


def key(name: str, account: str = "", base_url: str = "https://vendor.example") -> KeyFacts:
    return KeyFacts(name, account or name, base_url)


def rhythm_of(name: str, interval: timedelta) -> Rhythm:
    return rhythms([key(name)], {name: interval})[name]


# --- rhythm ----------------------------------------------------------------------------------------------------------


@given(name=names, interval=intervals, now=moments)
def test_a_key_never_waits_longer_than_its_interval(name, interval, now):
    assert timedelta(0) < rhythm_of(name, interval).after(now) - now <= interval


@given(name=names, interval=intervals, now=moments)
def test_an_undisturbed_key_is_polled_at_exactly_its_interval(name, interval, now):
    rhythm = rhythm_of(name, interval)
    first = rhythm.after(now)
    assert rhythm.after(first) - first == interval


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (NOW - SECOND, NOW - 55 * MINUTE + HOUR),
        (NOW, NOW + 5 * MINUTE),
        (NOW + 5 * MINUTE, NOW + 65 * MINUTE),
        (NOW + timedelta(minutes=5, microseconds=-1), NOW + 5 * MINUTE),
    ],
)
def test_the_next_point_is_later_than_now(after, expected):
    assert Rhythm(HOUR, 5 * MINUTE).after(after) == expected


def test_a_rhythm_is_the_same_in_every_process():
    program = (
        "from datetime import timedelta\n"
        "from syncd.core.routing import KeyFacts\n"
        "from syncd.core.schedule import rhythms\n"
        "keys = [KeyFacts(name, 'acme', 'https://vendor.example') for name in ('prod', 'spare')]\n"
        "print(*(r.phase for r in rhythms(keys, dict.fromkeys(('prod', 'spare'), timedelta(hours=1))).values()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("7", "8")
    ]
    assert [run.stdout.decode().split() for run in runs] == [["0:32:18.413586", "0:02:18.413586"]] * 2


def test_accounts_are_spread_over_the_interval():
    keys = [key(f"tenant-{number}") for number in range(1_000)]
    found = rhythms(keys, dict.fromkeys((one.name for one in keys), HOUR))
    tenths = Counter(int(rhythm.phase / HOUR * 10) for rhythm in found.values())
    assert sorted(tenths) == list(range(10))
    assert all(60 < count < 140 for count in tenths.values())


@given(st.sets(names, min_size=1, max_size=50), intervals)
def test_the_keys_of_an_account_are_spread_evenly(members, interval):
    found = rhythms([key(name, "acme") for name in members], dict.fromkeys(members, interval))
    phases = sorted(rhythm.phase for rhythm in found.values())
    assert timedelta(0) <= phases[0]
    assert phases[-1] < interval
    gaps = [later - earlier for earlier, later in pairwise([*phases, phases[0] + interval])]
    assert all(abs(gap - interval / len(members)) <= timedelta(microseconds=2) for gap in gaps)


def test_keys_of_an_account_that_are_asked_elsewhere_or_at_another_interval_are_spread_apart():
    keys = [key("a", "acme"), key("b", "acme"), key("c", "acme", "https://other.example"), key("d", "acme")]
    found = rhythms(keys, {"a": HOUR, "b": HOUR, "c": HOUR, "d": MINUTE})
    assert abs(found["a"].phase - found["b"].phase) == HOUR / 2
    assert found["d"].phase < MINUTE
    assert found == {**rhythms(keys[:2], {"a": HOUR, "b": HOUR}), **rhythms(keys[2:], {"c": HOUR, "d": MINUTE})}


@given(st.dictionaries(names, st.sampled_from(["one", "two"]), min_size=1, max_size=20), names)
def test_another_key_of_one_account_moves_no_key_of_another(accounts, new):
    def found(members: Mapping[str, str]) -> dict[str, Rhythm]:
        return rhythms([key(name, account) for name, account in members.items()], dict.fromkeys(members, HOUR))

    before, after = found(accounts), found({**accounts, new: "one"})
    others = [name for name, account in accounts.items() if account == "two" and name != new]
    assert [before[name] for name in others] == [after[name] for name in others]


@given(st.lists(names, unique=True), st.randoms())
def test_the_order_of_keys_does_not_depend_on_the_configuration(members, random):
    shuffled = list(members)
    random.shuffle(shuffled)
    assert in_hash_order(shuffled) == in_hash_order(members)


# --- pauses ----------------------------------------------------------------------------------------------------------


def dead(dead_for: timedelta, state: KeyState = "rejected") -> KeySchedule:
    """A key that has been dead for so long when it was asked last, which was now."""
    return KeySchedule(NOW, state=state, state_since=NOW - dead_for)


@pytest.mark.parametrize("state", ["rejected", "tier_locked", "forbidden"])
@pytest.mark.parametrize(
    ("dead_for", "expected"),
    [
        (timedelta(0), 15 * MINUTE),
        (15 * MINUTE, 30 * MINUTE),
        (45 * MINUTE, HOUR),
        (345 * MINUTE, 6 * HOUR),
        (timedelta(days=900), 6 * HOUR),
        (-HOUR, 15 * MINUTE),  # the clock was set back
    ],
)
def test_a_dead_key_is_left_alone_as_long_again_as_it_has_been_dead(state, dead_for, expected):
    assert pause(dead(dead_for, state)) == expected


@pytest.mark.parametrize("state", ["new", "ok", "unreachable"])
def test_other_keys_are_not_left_alone(state):
    assert pause(KeySchedule(NOW, state=state, state_since=NOW - HOUR)) == timedelta(0)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (10**6, 30)])
def test_a_key_that_fails_is_left_alone_for_half_a_minute_at_most(failures, seconds):
    assert pause(KeySchedule(NOW, state="unreachable", failures=failures)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (NEVER_ASKED, NOW),
        (KeySchedule(NOW - 2 * HOUR), NOW),
        (KeySchedule(NOW - HOUR), NOW),
        (KeySchedule(NOW - 20 * MINUTE), NOW + 40 * MINUTE),
        (KeySchedule(NOW), NOW + HOUR),
        (KeySchedule(NOW + timedelta(days=900)), NOW + HOUR),  # the clock was set back
        (KeySchedule(NOW - 20 * MINUTE, rotated_at=NOW), NOW),
        (KeySchedule(NOW - 20 * MINUTE, rotated_at=NOW - 30 * MINUTE), NOW + 40 * MINUTE),
        (dead(timedelta(0)), NOW + HOUR),  # never sooner than its interval
        (dead(3 * HOUR), NOW + 3 * HOUR + 15 * MINUTE),
        (dead(timedelta(days=9)), NOW + 6 * HOUR),
        (replace(dead(timedelta(days=9)), rotated_at=NOW + SECOND), NOW),
        (replace(dead(timedelta(days=9)), last_poll_at=NOW - 7 * HOUR), NOW),
        (KeySchedule(NOW, state="unreachable", failures=9), NOW + HOUR),
    ],
)
def test_when_a_key_is_due_at_start(known, expected):
    assert first_run(known, HOUR, NOW) == expected


def test_a_failing_key_of_a_tiny_interval_keeps_its_pause_at_start():
    assert first_run(KeySchedule(NOW, failures=4), SECOND, NOW) == NOW + 8 * SECOND


@pytest.mark.parametrize(
    ("known", "interval", "expected"),
    [
        (NEVER_ASKED, HOUR, NOW + 5 * MINUTE),
        (KeySchedule(NOW), HOUR, NOW + 5 * MINUTE),
        (dead(timedelta(0)), HOUR, NOW + 15 * MINUTE),
        (dead(15 * MINUTE), HOUR, NOW + 30 * MINUTE),
        (dead(timedelta(days=9)), HOUR, NOW + 6 * HOUR),
        (dead(timedelta(days=9)), timedelta(days=1), NOW + timedelta(hours=15, minutes=5)),
        (replace(dead(HOUR), last_poll_at=NOW + timedelta(days=900)), HOUR, NOW + 6 * HOUR),  # the clock was set back
        (KeySchedule(NOW, failures=5), SECOND, NOW + 16 * SECOND),
    ],
)
def test_when_a_key_is_due_while_syncd_runs(known, interval, expected):
    assert next_run(known, Rhythm(interval, 5 * MINUTE % interval), NOW) == expected


schedules = st.builds(
    KeySchedule,
    last_poll_at=st.none() | moments,
    state=st.sampled_from(["new", "ok", "rejected", "tier_locked", "forbidden", "unreachable"]),
    state_since=st.none() | moments,
    failures=st.integers(0, 10**9),
    rotated_at=st.none() | moments,
)


@given(schedules, names, intervals, moments)
def test_whatever_is_stored_a_key_is_asked_later_than_now_and_within_its_interval_or_six_hours(
    known, name, interval, now
):
    for due in (next_run(known, rhythm_of(name, interval), now), first_run(known, interval, now) + SECOND):
        assert now < due <= now + max(interval, 6 * HOUR) + SECOND


# --- waits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "until"),
    [
        (KeySchedule(NOW), None),
        (KeySchedule(NOW, NOW + MINUTE, "account"), NOW + MINUTE),
        (KeySchedule(NOW - HOUR, NOW, "account"), None),
        (KeySchedule(NOW + 900 * HOUR, NOW + 901 * HOUR, "account"), NOW + HOUR),  # the clock was set back
        (KeySchedule(NOW + 900 * HOUR, NOW + 800 * HOUR, "account"), None),
    ],
)
def test_a_wait_lasts_as_long_as_it_was_meant_to(known, until):
    assert waits_until(known, NOW) == until


def test_a_wait_concerns_the_account_or_the_address():
    keys = [key("a", "acme"), key("b", "acme", "https://other.example"), key("c")]
    limited = {"a": KeySchedule(NOW, NOW + MINUTE, "account")}
    down = {"c": KeySchedule(NOW, NOW + HOUR, "base_url")}
    assert waiting(keys, limited, NOW) == {"a": NOW + MINUTE, "b": NOW + MINUTE}
    assert waiting(keys, down, NOW) == {"a": NOW + HOUR, "c": NOW + HOUR}
    both = {"a": NOW + HOUR, "b": NOW + MINUTE, "c": NOW + HOUR}
    assert waiting(keys, limited | down, NOW) == both


@pytest.mark.parametrize(
    ("remaining", "last", "aside"),
    [
        (None, None, None),
        (LOW, None, None),
        (LOW - 1, None, NOW + MINUTE),
        (0, None, NOW + MINUTE),
        (0, NOW + MINUTE, None),  # another key of the account was told a moment ago
        (0, NOW - 59 * SECOND, None),
        (0, NOW - MINUTE, NOW + MINUTE),
    ],
)
def test_an_account_steps_aside_for_a_minute_where_its_limit_is_low(remaining, last, aside):
    assert steps_aside(remaining, NOW, last) == aside


# --- turns -----------------------------------------------------------------------------------------------------------


def test_keys_of_one_account_take_turns_and_those_of_others_do_not_wait():
    crowd = [key(f"key-{number}", "acme") for number in range(100)]
    alone = [key(f"alone-{number}") for number in range(100)]
    turns = Turns([*crowd, *alone], dict.fromkeys((one.name for one in (*crowd, *alone)), HOUR))
    assert [turns.take(one, NOW) - NOW for one in crowd] == [number * SECOND for number in range(100)]
    assert {turns.take(one, NOW) for one in alone} == {NOW}


def test_a_key_alone_is_no_crowd():
    one = key("one")
    turns = Turns([one], {"one": HOUR})
    assert [turns.take(one, NOW), turns.take(one, NOW)] == [NOW, NOW]


def test_a_turn_is_kept_whoever_asks_meanwhile():
    one, two, three = (key(name, "acme") for name in ("one", "two", "three"))
    turns = Turns([one, two, three], dict.fromkeys(("one", "two", "three"), HOUR))
    assert [turns.take(each, NOW) for each in (one, two, two, two)] == [NOW, NOW + SECOND, NOW + SECOND, NOW + SECOND]
    assert turns.take(three, NOW) == NOW + 2 * SECOND
    later = NOW + 1.5 * SECOND
    assert turns.take(two, later) == later  # a worker came free only now
    assert turns.take(one, later) == NOW + 3 * SECOND


def test_turns_that_were_slept_over_are_taken_anew():
    crowd = [key(f"key-{number}", "acme") for number in range(5)]
    turns = Turns(crowd, dict.fromkeys((one.name for one in crowd), HOUR))
    for one in crowd:
        turns.take(one, NOW)
    awake = NOW + 5 * HOUR
    assert [turns.take(one, awake) - awake for one in crowd] == [number * SECOND for number in range(5)]


def test_turns_leave_room_for_twice_the_ordinary_polls():
    crowd = [key(f"key-{number}", "acme") for number in range(100)]
    turns = Turns(crowd, dict.fromkeys((one.name for one in crowd), 10 * SECOND))
    assert turns.take(crowd[0], NOW) == NOW
    assert turns.take(crowd[1], NOW) == NOW + timedelta(seconds=0.05)


def test_a_clock_that_was_set_back_lets_nobody_wait_for_an_old_turn():
    one, two = key("one", "acme"), key("two", "acme")
    turns = Turns([one, two], {"one": HOUR, "two": HOUR})
    turns.take(one, NOW)
    turns.take(two, NOW)
    turns.forget()
    assert turns.take(two, NOW - 9 * HOUR) == NOW - 9 * HOUR


# --- a timetable, day after day --------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"outcome": "unchanged", "state": "ok"}
REJECTED: dict[str, Any] = {"outcome": "refused", "state": "rejected"}

Vendor = Callable[[str, datetime], Mapping[str, Any]]


class Life:
    """What the daemon does with a timetable, without the waiting: answers come at once."""

    def __init__(self, keys: Iterable[KeyFacts], interval: timedelta, answer: Vendor) -> None:
        self.keys = list(keys)
        self.intervals = {one.name: interval for one in self.keys}
        self.answer = answer
        self.now = NOW
        self.asked: list[tuple[datetime, str]] = []
        self.stored: dict[str, KeySchedule] = {}
        self.start()

    def start(self) -> None:
        """As after a restart: only what is stored is known."""
        self.table = Timetable(self.keys, self.intervals, self.stored, self.now)
        self.due = dict(self.table.first_runs(self.now))

    def live(self, how_long: timedelta) -> list[tuple[datetime, str]]:
        """Whom it asks from now until then, and when."""
        begun, end = len(self.asked), self.now + how_long
        queue = [(due, name) for name, due in self.due.items()]
        heapq.heapify(queue)
        while queue:
            due, name = heapq.heappop(queue)
            if due > end:
                break
            if due != self.due[name]:
                continue
            self.now = max(self.now, due)
            for moved in self._run(name):
                heapq.heappush(queue, (self.due[moved], moved))
        self.now = end
        return self.asked[begun:]

    def _run(self, name: str) -> Iterable[str]:
        until = self.table.not_before(name, self.now)
        if until > self.now:
            self.due[name] = until
            return [name]
        self.due[name] = self.table.following(name, self.now)
        self.asked.append((self.now, name))
        polled = Polled(
            **{"key": name, "duration": 0.1, "facts": Facts(), "ended": self.now, **self.answer(name, self.now)}
        )
        learned = self.table.learn(polled, self.now)
        self.due[name] = learned.next_run or self.due[name]
        self._store(polled)
        moved = self.table.siblings(name, self.now) if polled.changes else []
        self.due |= dict.fromkeys(moved, self.now)
        return [name, *moved]

    def _store(self, polled: Polled) -> None:
        """What `syncd.store` keeps of a poll."""
        before = self.stored.get(polled.key, NEVER_ASKED)
        since = before.state_since if before.state == polled.state else polled.ended
        at, scope = (polled.retry.at, polled.retry.scope) if polled.retry else (None, None)
        self.stored[polled.key] = KeySchedule(polled.ended, at, scope, polled.state, since, polled.failures)

    def minutes(self, name: str, of: Iterable[tuple[datetime, str]]) -> list[float]:
        """Minutes between the polls of a key."""
        times = [when for when, who in of if who == name]
        return [(later - earlier) / MINUTE for earlier, later in pairwise(times)]


def test_a_dead_key_is_asked_after_15_minutes_doubling_to_6_hours_for_ever():
    life = Life([key("dead")], 5 * MINUTE, lambda _, __: REJECTED)
    gaps = life.minutes("dead", life.live(timedelta(days=3)))
    assert gaps[:7] == [15, 30, 60, 120, 240, 360, 360]
    assert set(gaps[7:]) == {360}


def test_restarts_change_nothing_of_that():
    life = Life([key("dead")], 5 * MINUTE, lambda _, __: REJECTED)
    for _ in range(60):
        life.live(47 * MINUTE)
        life.start()
    assert life.minutes("dead", life.asked)[:7] == [15, 30, 60, 120, 240, 360, 360]


def test_a_good_poll_returns_a_dead_key_to_its_rhythm():
    back = NOW + 2 * HOUR
    life = Life([key("one")], 5 * MINUTE, lambda _, now: GOOD if now >= back else REJECTED)
    asked = life.live(timedelta(hours=8))
    gaps = life.minutes("one", [one for one in asked if one[0] >= back])
    assert gaps[0] <= 5
    assert set(gaps[1:]) == {5}
    rhythm = rhythms(life.keys, life.intervals)["one"]
    assert asked[-1][0] == rhythm.after(asked[-1][0] - SECOND)


def test_another_reason_to_be_refused_begins_anew():
    life = Life(
        [key("one")], 5 * MINUTE, lambda _, now: REJECTED | {"state": "forbidden" if now > NOW + HOUR else "rejected"}
    )
    assert life.minutes("one", life.live(10 * HOUR))[:6] == [15, 30, 60, 15, 30, 60]


def test_a_dead_key_is_not_asked_for_the_news_of_another():
    keys = [key("news"), key("calm"), key("dead")]
    day = timedelta(days=1)
    known = {"news": GOOD, "calm": GOOD, "dead": REJECTED}
    news = GOOD | {"outcome": "changed", "changes": 1}
    life = Life(keys, day, lambda name, now: news if name == "news" and now > NOW + MINUTE else known[name])
    life.live(HOUR)
    asked = life.live(day)
    told = next(when for when, who in asked if who == "news")
    assert [who for when, who in asked if when == told] == ["news", "calm"]


def test_nobody_of_an_account_is_asked_while_little_is_left_of_its_limit():
    keys = [*(key(f"key-{number}", "acme") for number in range(10)), key("other")]
    low = GOOD | {"facts": Facts(rate_limit_remaining=3)}
    told = NOW + 10 * MINUTE
    life = Life(keys, 2 * MINUTE, lambda name, now: low if told < now < told + MINUTE and name != "other" else GOOD)
    asked = life.live(30 * MINUTE)
    first = next(when for when, who in asked if when > told and who != "other")
    meanwhile = [who for when, who in asked if first < when < first + MINUTE]
    assert set(meanwhile) <= {"other"}
    assert set(life.minutes("other", asked[len(keys) :])) == {2}
    after = [who for when, who in asked if first + MINUTE <= when < first + 3 * MINUTE]
    assert set(after) >= {one.name for one in keys}


def test_an_account_whose_limit_is_always_low_is_still_asked():
    keys = [key(f"key-{number}", "acme") for number in range(100)]
    life = Life(keys, 15 * MINUTE, lambda _, __: GOOD | {"facts": Facts(rate_limit_remaining=0)})
    asked = life.live(3 * HOUR)
    assert all(len(life.minutes(one.name, asked)) >= 10 for one in keys)


def test_after_an_outage_the_keys_of_an_account_come_a_second_apart_and_all_others_at_once():
    keys = [*(key(f"key-{number}", "acme") for number in range(100)), *(key(f"alone-{n}") for n in range(100))]
    life = Life(keys, 15 * MINUTE, lambda _, __: GOOD)
    life.live(HOUR)
    life.now += HOUR
    life.start()
    asked = life.live(100 * SECOND)
    crowd = [when for when, who in asked if who.startswith("key")]
    assert min(later - earlier for earlier, later in pairwise(crowd)) >= SECOND - timedelta(microseconds=200)
    assert {who for _, who in asked} == {one.name for one in keys}
    assert sum(who.startswith("alone") and when < NOW + 2 * HOUR + SECOND for when, who in asked) >= 100


def test_when_a_wait_ends_the_keys_of_an_account_do_not_come_together():
    keys = [key(f"key-{number}", "acme") for number in range(30)]
    limited = {"outcome": "rate_limited", "state": "ok", "retry": Retry(NOW + HOUR, "account")}
    life = Life(keys, timedelta(days=30), lambda _, now: limited if now < NOW + SECOND else GOOD)
    asked = life.live(HOUR + 40 * SECOND)
    assert sorted(who for _, who in asked) == sorted(one.name for one in keys)  # one was told, the others came after it
    assert min(later - earlier for (earlier, _), (later, _) in pairwise(asked[1:])) >= SECOND


def test_when_an_address_is_back_its_keys_do_not_come_together_not_even_after_a_restart():
    keys = [key(f"key-{number}") for number in range(30)]
    down = {"outcome": "unreachable", "state": "ok", "retry": Retry(NOW + HOUR, "base_url")}
    life = Life(keys, timedelta(days=30), lambda _, now: down if now < NOW + SECOND else GOOD)
    assert len(life.live(SECOND)) == 1
    life.start()
    assert life.live(HOUR - 2 * SECOND) == []
    asked = life.live(12 * SECOND)
    assert len(asked) == 29
    assert len({when for when, _ in asked}) == 29


def test_ordinary_polls_of_an_account_are_evenly_apart():
    keys = [key(f"key-{number}", "acme") for number in range(60)]
    life = Life(keys, HOUR, lambda _, __: GOOD)
    life.live(2 * HOUR)
    asked = life.live(5 * HOUR)
    assert {(later - earlier) / MINUTE for (earlier, _), (later, _) in pairwise(asked)} == {1}


def test_waits_last_as_long_as_they_were_meant_to_when_the_clock_is_set_back():
    limited = {"outcome": "rate_limited", "state": "ok", "retry": Retry(NOW + MINUTE, "account")}
    life = Life([key("one")], SECOND, lambda _, now: limited)
    life.live(SECOND)
    life.table.set_back(9 * HOUR)
    early = NOW - 9 * HOUR
    assert life.table.not_before("one", early + 2 * SECOND) >= early + MINUTE
    assert life.table.not_before("one", early + MINUTE) == early + MINUTE


def test_turns_and_minutes_aside_do_not_outlast_a_clock_that_is_set_back():
    keys = [key("one", "acme"), key("two", "acme")]
    life = Life(keys, timedelta(days=30), lambda _, __: GOOD | {"facts": Facts(rate_limit_remaining=0)})
    life.live(MINUTE + SECOND)
    life.table.not_before("one", life.now)
    assert life.table.not_before("two", life.now) > life.now
    life.table.set_back(9 * HOUR)
    early = life.now - 9 * HOUR
    assert life.table.not_before("two", early) < early + MINUTE  # what is left of the minute, or its turn
    polled = Polled(key="one", duration=0.1, ended=early, **GOOD, facts=Facts(rate_limit_remaining=0))
    assert life.table.learn(polled, early).aside == early + MINUTE


@pytest.mark.parametrize("slept", [3 * MINUTE, 5 * HOUR, timedelta(days=400)])
def test_runs_that_were_missed_are_made_up_for_once(slept):
    """This is what the scheduler asks of a job when it wakes up."""
    table = Timetable([key("one")], {"one": MINUTE}, {}, NOW)
    job = Job.__new__(Job)
    job.trigger, job.next_run_time = Following(table, "one"), NOW
    assert job._get_run_times(NOW + slept) == [NOW]
    assert timedelta(0) < job.trigger.get_next_fire_time(NOW, NOW + slept) - (NOW + slept) <= MINUTE


def test_hashes_lie_within_the_interval():
    assert all(timedelta(0) <= phase(f"key-{number}", HOUR) < HOUR for number in range(1_000))
