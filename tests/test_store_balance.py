"""What accounts hold, as the polls of their keys write it down; and `balance.low` from the answer to the message."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from syncd.core.balance import Thresholds, Wallet, burn, days_left
from syncd.core.delivery import Attempted, CannotEverLook, Delivered, Looked, Unusable
from syncd.core.message import as_text
from syncd.core.requests import SavedRequest
from syncd.core.routing import Route
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from syncd.store import balances
from tests.conftest import Clock
from tests.watching import Watch, listing, listing_text, model, watching, with_price

A = model("a", price=(80, 200))
NUMBERS = count(1)
EVERYTHING = Route("everything", "console")
DAYS = "SELECT day, first, last, min, max, spent FROM balance_days WHERE account = 'acme' ORDER BY day"
CONDITIONS = "SELECT kind, subject, closed_at IS NOT NULL, detail FROM conditions ORDER BY id"
TOLD = (
    "SELECT d.spec, a.edge FROM announcements a JOIN destinations d ON d.id = a.destination_id"
    " WHERE a.condition_id IS NOT NULL ORDER BY a.id"
)


@pytest.fixture
def watch(migrated_url: str, clock: Clock) -> Iterator[Watch]:
    with watching(migrated_url, clock, routes=[EVERYTHING], credits=Thresholds(low=1000)) as watch:
        yield watch


def shows(watch: Watch, balance: object, key: str = "prod", **later: float) -> None:
    """A good poll of the key, so much later, shows this balance."""
    watch.clock.advance(**(later or {"minutes": 5}))
    watch.answer(key, listing(A, balance=balance))


def wallet(watch: Watch) -> Wallet:
    with watch.store.read() as connection:
        found = balances.stored(connection, "acme")
    assert found is not None
    return found


# --- days ----------------------------------------------------------------------------------------------------------


def test_a_day_adds_up_what_the_balance_fell_by_and_nothing_it_rose_by(watch: Watch):
    for balance in (5000, 4900, 4950, 4000, 9000, 8990):
        shows(watch, balance)
    assert watch.rows(DAYS) == [("2026-03-02", 5000, 8990, 4000, 9000, 100 + 950 + 10)]


def test_what_is_spent_over_midnight_belongs_to_the_new_day(watch: Watch):
    shows(watch, 5000)
    shows(watch, 4800, hours=15)
    assert watch.rows(DAYS) == [("2026-03-02", 5000, 5000, 5000, 5000, 0), ("2026-03-03", 4800, 4800, 4800, 4800, 200)]


def test_a_day_without_spending_has_a_row_too(watch: Watch):
    for _ in range(3):
        shows(watch, 5000, hours=24)
    assert [(row[0], row[5]) for row in watch.rows(DAYS)] == [("2026-03-03", 0), ("2026-03-04", 0), ("2026-03-05", 0)]


def test_days_that_nobody_watched_have_none(watch: Watch):
    shows(watch, 5000)
    shows(watch, 4400, days=3)
    assert [(row[0], row[5]) for row in watch.rows(DAYS)] == [("2026-03-02", 0), ("2026-03-05", 600)]
    shows(watch, 4400, days=1)
    assert burn(wallet(watch)) == 200


@pytest.mark.parametrize("balance", ["12.1", "0.30000000000000004", "999999999999999.123456", "7", "-3.5"])
def test_a_balance_that_stands_still_spends_nothing_whatever_number_it_is(watch: Watch, balance: str):
    body = listing_text('{"slug":"a"}').replace(b"1000", balance.encode(), 1)
    for _ in range(5):
        watch.clock.advance(minutes=5)
        watch.answer("prod", body)
    assert [row[5] for row in watch.rows(DAYS)] == [0]


def test_fractions_are_added_up_as_they_are(watch: Watch):
    for tenths in range(10, 0, -1):
        shows(watch, float(Decimal(tenths) / 10))
    assert watch.rows(DAYS) == [("2026-03-02", 1, 0.1, 0.1, 1, 0.9)]


@pytest.mark.parametrize("balance", [None, "plenty", True, 10**15, -(10**15), [1]])
def test_what_is_no_balance_is_none(watch: Watch, balance: object):
    shows(watch, balance)
    assert watch.rows(DAYS) == []
    assert watch.rows(CONDITIONS) == []


def test_a_balance_that_goes_missing_is_no_spending(watch: Watch):
    for balance in (5000, None, 4990):
        shows(watch, balance)
    assert [row[5] for row in watch.rows(DAYS)] == [10]


def test_a_failed_poll_says_nothing_of_a_balance(watch: Watch):
    shows(watch, 5000)
    watch.answer("prod", listing(A, balance=1), status=500)
    watch.no_answer("prod")
    assert [row[2] for row in watch.rows(DAYS)] == [5000]


def test_two_keys_of_one_account_see_one_wallet(watch: Watch):
    for step in range(10):
        shows(watch, 5000 - 10 * step, "dev" if step % 2 else "prod")
    assert watch.rows(DAYS) == [("2026-03-02", 5000, 4910, 4910, 5000, 90)]


def test_an_answer_that_was_overtaken_by_another_key_changes_nothing(watch: Watch):
    shows(watch, 5000)
    late = watch.request(listing(A, balance=4990))
    shows(watch, 4900, "dev", seconds=10)
    watch.record("prod", late)
    assert [row[5] for row in watch.rows(DAYS)] == [100]
    shows(watch, 4900)
    assert [row[5] for row in watch.rows(DAYS)] == [100]


def test_a_clock_that_is_set_back_stops_nothing(watch: Watch):
    shows(watch, 5000)
    shows(watch, 4900, days=-30)
    shows(watch, 4850)
    assert watch.rows(DAYS) == [("2026-03-02", 5000, 4850, 4850, 5000, 150)]
    shows(watch, 4800, days=31)
    assert [row[0] for row in watch.rows(DAYS)] == ["2026-03-02", "2026-03-03"]


def test_a_poll_that_shows_nothing_new_asks_the_database_for_nothing_more(watch: Watch):
    shows(watch, 5000)
    shows(watch, 5000)
    watch.write("DELETE FROM balance_days")
    shows(watch, 5000)
    assert watch.rows(DAYS) == []
    shows(watch, 4999)
    assert [row[2] for row in watch.rows(DAYS)] == [4999]


def test_keys_that_poll_at_once_lose_nothing_and_open_one_condition(migrated_url: str, clock: Clock):
    """Each on a connection of its own, again and again: every fall is counted once, whoever saw it."""
    with watching(migrated_url, clock, routes=[EVERYTHING], credits=Thresholds(low=10_000)) as watch:
        names = [f"key-{n}" for n in range(6)]
        for name in names:
            watch.add(name)
        answers = {name: [watch.request(listing(A, balance=9000 - 10 * n)) for n in range(8)] for name in names}

        def poll(name: str) -> None:
            for answer in answers[name]:
                watch.record(name, replace(answer, ended=clock.now))

        with ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(poll, names))
        [(_, subject, closed, detail)] = watch.rows(CONDITIONS)
        assert (subject, closed) == ("account:acme", False)
        assert sorted(detail["keys"]) == names
        [(first, last, spent, least)] = watch.rows("SELECT first, last, spent, min FROM balance_days")
        assert (first, least) == (9000, 8930)
        assert spent >= first - last
        assert watch.rows(TOLD)[0] == ("console", "opened")
        assert watch.rows(TOLD).count(("console", "opened")) == 1


# --- the wallet ----------------------------------------------------------------------------------------------------


def test_a_week_says_how_long_the_wallet_lasts(watch: Watch):
    balance = 10_000
    for _ in range(12):
        shows(watch, balance, hours=12)
        shows(watch, balance - 100, hours=12)
        balance -= 100
    found = wallet(watch)
    assert (found.balance, len(found.days)) == (8800, 9)
    assert burn(found) == 100
    assert days_left(found) == 88


def test_of_a_new_account_hours_are_scaled(watch: Watch):
    shows(watch, 5000)
    shows(watch, 4700, hours=3)
    assert burn(wallet(watch)) is None
    shows(watch, 4400, hours=3)
    found = burn(wallet(watch))
    assert found is not None
    assert round(found) == 2400


def test_a_top_up_does_not_hide_what_is_spent(watch: Watch):
    for balance in (1000, 900, 50_000, 49_900, 49_800):
        shows(watch, balance, hours=24)
    assert burn(wallet(watch)) == 100


def test_an_account_that_was_never_seen_has_no_wallet(watch: Watch):
    with watch.store.read() as connection:
        assert balances.stored(connection, "nobody") is None
        assert balances.wallets(connection) == []


def test_the_wallets_are_those_of_the_keys_that_are_configured(watch: Watch):
    shows(watch, 5000)
    with watch.store.read() as connection:
        assert [one.account for one in balances.wallets(connection)] == ["acme"]
    watch.retire("prod")
    with watch.store.read() as connection:
        assert balances.wallets(connection) == []


# --- the condition -------------------------------------------------------------------------------------------------


def test_a_low_balance_is_told_and_that_it_is_well_again(watch: Watch):
    for balance in (2000, 999, 998, 1200, 600, 1499, 1500, 1501):
        shows(watch, balance)
    [(kind, subject, closed, detail)] = watch.rows(CONDITIONS)
    assert (kind, subject, closed) == ("balance.low", "account:acme", True)
    assert (detail["left"], detail["recovered"]) == (1500, ["prod"])
    assert watch.rows(TOLD) == [("console", "opened"), ("console", "closed"), ("console", "changed")]


def test_a_first_poll_may_find_it_low(watch: Watch):
    shows(watch, 10)
    assert [row[0] for row in watch.rows(CONDITIONS)] == ["balance.low"]


def test_a_good_poll_alone_ends_nothing(watch: Watch):
    shows(watch, 900)
    watch.no_answer("prod")
    watch.no_answer("prod")
    shows(watch, 900)
    open_ = "SELECT kind FROM conditions WHERE closed_at IS NULL"
    assert watch.rows(open_) == [("balance.low",)]


def test_a_key_that_is_of_another_account_now_leaves_the_old_one_alone(watch: Watch):
    shows(watch, 900)
    watch.keys["prod"] = replace(watch.keys["prod"], account="other")
    watch.store.register(watch.keys.values(), watch.clock())
    assert [row[1:3] for row in watch.rows(CONDITIONS)] == [("account:acme", True)]
    shows(watch, 890)
    assert [row[1:3] for row in watch.rows(CONDITIONS)] == [("account:acme", True), ("account:other", False)]


def test_each_key_tells_those_who_see_it_and_nobody_twice(migrated_url: str, clock: Clock):
    routes = [EVERYTHING, Route("dev", "slack:#dev", keys=("dev",))]
    with watching(migrated_url, clock, routes=routes, credits=Thresholds(low=1000)) as watch:
        shows(watch, 5000)
        shows(watch, 5000, "dev")
        for step in range(6):
            shows(watch, 900 - step, "dev" if step % 2 else "prod")
        assert [row for row in watch.rows(TOLD) if row[1] == "opened"] == [
            ("console", "opened"),
            ("slack:#dev", "opened"),
        ]
        shows(watch, 5000, "dev")
        assert sorted(row for row in watch.rows(TOLD) if row[1] == "closed") == [
            ("console", "closed"),
            ("slack:#dev", "closed"),
        ]


def test_a_fraction_in_what_is_known_survives_every_edit(migrated_url: str, clock: Clock):
    """The runway, the burn and the re-arm level have fractions; a key joins, another leaves."""
    thresholds = Thresholds(runway=timedelta(days=3))
    with watching(migrated_url, clock, routes=[EVERYTHING], credits=thresholds) as watch:
        for balance in (30, 27.5, 25, 22.5, 20, 6):
            shows(watch, balance, hours=24)
        shows(watch, 6, "dev")
        watch.retire("prod")
        [(_, _, closed, detail)] = watch.rows(CONDITIONS)
        assert (closed, detail["keys"], detail["retired"]) == (False, {"dev": "low"}, ["prod"])
        assert (detail["why"], detail["burn"], detail["days"], detail["rearm"]) == ("runway", 2.5, 2.4, 4.5)


def test_a_restart_with_another_threshold_judges_a_balance_that_stands_still(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[EVERYTHING]) as watch:
        shows(watch, 900)
        shows(watch, 900)
        assert watch.rows(CONDITIONS) == []
    with watching(migrated_url, clock, routes=[EVERYTHING], credits=Thresholds(low=1000)) as watch:
        shows(watch, 900)
        assert [row[0] for row in watch.rows(CONDITIONS)] == ["balance.low"]
    with watching(migrated_url, clock, routes=[EVERYTHING]) as watch:
        shows(watch, 900)
        assert [row[2] for row in watch.rows(CONDITIONS)] == [True]
        assert [row for row in watch.rows(TOLD) if row[1] == "closed"] == []


# --- saved requests ------------------------------------------------------------------------------------------------

HERO = SavedRequest("nightly hero", {"model": "a"})


def test_a_balance_below_what_a_saved_request_costs_is_told(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[EVERYTHING], requests=[HERO]) as watch:
        shows(watch, 80)
        shows(watch, 80)
        assert watch.rows(CONDITIONS) == []
        shows(watch, 79)
        [(kind, _, closed, detail)] = watch.rows(CONDITIONS)
        assert (kind, closed, detail["why"]) == ("balance.low", False, "cheapest")
        assert detail["requests"] == {"prod": {"request": "nightly hero", "model": "a", "credits": 80}}
        shows(watch, 120)
        assert [row[2] for row in watch.rows(CONDITIONS)] == [True]


def test_a_price_that_rises_above_the_balance_is_told_with_the_answer_that_shows_it(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[EVERYTHING], requests=[HERO]) as watch:
        shows(watch, 100)
        clock.advance(minutes=5)
        watch.answer("prod", listing(model("a", price=(150, 200)), balance=100))
        [(_, _, _, detail)] = watch.rows(CONDITIONS)
        assert (detail["below"], detail["rearm"]) == (150, 225)


def test_a_request_is_the_business_of_the_keys_it_is_sent_with(migrated_url: str, clock: Clock):
    theirs = SavedRequest("theirs", {"model": "a"}, ("dev",))
    with watching(migrated_url, clock, routes=[EVERYTHING], requests=[theirs]) as watch:
        shows(watch, 5)
        assert watch.rows(CONDITIONS) == []
        shows(watch, 5, "dev")
        assert [row[3]["keys"] for row in watch.rows(CONDITIONS)] == [{"dev": "low"}]


@pytest.mark.parametrize(
    "band", [None, {"min": None, "max": 5}, {"min": 90, "max": 50}, "dear", {"min": 0.5, "max": 1}]
)
def test_what_the_key_lists_says_what_a_call_costs(watch: Watch, band: Any):
    priced = {**A, "credits_band": band}
    watch.answer("prod", listing(priced, balance=5000))
    [(key,)] = watch.rows("SELECT id FROM api_keys")
    with watch.store.read() as connection:
        found = balances.prices(connection, key, ["a", "b"])
    assert found == ({"a": Decimal("0.5")} if band == {"min": 0.5, "max": 1} else {})


# --- prices --------------------------------------------------------------------------------------------------------


@dataclass
class Paper:
    """A sink that keeps what it is given."""

    told: list[str] = field(default_factory=list)
    distance: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        self.told.append(as_text(parcel.message))
        return Delivered(str(len(self.told)))

    def look(self, parcel: Parcel) -> Looked:
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        return None


def delivered(watch: Watch) -> list[str]:
    """What everything that waits is told as."""
    paper = Paper()
    box = Outbox(
        store=watch.store,
        sinks={"console": paper},
        routes=(EVERYTHING,),
        keys=dict(watch.keys),
        clock=watch.clock,
        new_id=lambda: f"dlv_{next(NUMBERS)}",
    )
    while box.step():
        pass
    return paper.told


def test_a_price_change_says_what_it_does_to_the_runway(watch: Watch):
    for balance in (5000, 4900, 4800, 4700):
        shows(watch, balance, hours=24)
    delivered(watch)
    watch.clock.advance(minutes=5)
    watch.answer("prod", listing(with_price(A, 80, 400), balance=4700))
    [told] = delivered(watch)
    assert (
        "The wallet lasts about 47 days at the present burn; if all of it were spent on this model, about 23 days."
    ) in told


def test_a_low_balance_as_it_is_told(watch: Watch):
    shows(watch, 900)
    [told] = delivered(watch)
    assert "Balance low: acme" in told
    assert "900 of 1000 credits" in told
