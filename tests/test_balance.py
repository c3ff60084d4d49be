"""What is low, how fast an account spends, and when people hear of it: values only, no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core import canon
from syncd.core.balance import (
    MOST_DAYS,
    Amount,
    Cheapest,
    Day,
    Thresholds,
    Wallet,
    burn,
    cheapest_calls,
    days_left,
    dearest,
    levels,
    rounded,
)
from syncd.core.catalog import Listed
from syncd.core.changes import Change
from syncd.core.compose import ChangeDue, ConditionDue, compose
from syncd.core.judge import Context, Judgement, OpenCondition, retired
from syncd.core.judge.values import Case
from syncd.core.judge.wallet import wallet_news
from syncd.core.message import as_text
from syncd.core.requests import SavedRequest
from syncd.core.routing import KeyFacts, Route

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FIRST = date(2026, 2, 20)
PROD = KeyFacts("prod", "acme", "https://v.example", {"env": "prod"}, "3fa94c1e")
DEV = replace(PROD, name="dev", labels={"env": "dev"})
EVERYTHING = Route("everything", "console")
LOW = Thresholds(low=1000)
THREE_DAYS = Thresholds(runway=timedelta(days=3))


def spending(*amounts: Amount, balance: Amount = 10_000, first: date = FIRST, **more: Any) -> Wallet:
    """A wallet that was seen to spend so much, day by day. Its first day began unseen, its last is the present one."""
    days = tuple(Day(first + timedelta(days=n), amount) for n, amount in enumerate(amounts))
    return Wallet("acme", balance, days, **more)


# --- burn ----------------------------------------------------------------------------------------------------------


def test_the_burn_is_the_median_of_the_complete_days():
    assert burn(spending(5, 100, 300, 200, 7)) == 200
    assert burn(spending(5, 100, 200, 7)) == 150


def test_neither_the_first_day_nor_the_present_one_is_complete():
    assert burn(spending(9_999, 100, 9_999)) == 100


def test_only_the_last_week_counts():
    assert burn(spending(0, 900, 900, 900, 900, *[10] * 7, 3)) == 10


def test_one_night_of_batch_work_is_no_habit():
    assert burn(spending(0, 100, 100, 100, 50_000, 100, 100, 0)) == 100


def test_a_cycle_that_takes_unused_credits_away_is_no_burn():
    assert burn(spending(0, 0, 0, 15_000, 0, 0, 0)) == 0


def test_who_spends_on_most_days_burns_even_with_a_free_weekend():
    assert burn(spending(0, 100, 100, 100, 100, 100, 0, 0, 3)) == 100


def test_what_was_spent_unseen_was_spent_evenly():
    """Nobody looked for four days: the fifth finds what was spent in five."""
    days = (Day(FIRST, 0), Day(FIRST + timedelta(days=5), 500))
    assert burn(Wallet("acme", 1, days)) == 100
    assert burn(Wallet("acme", 1, (*days, Day(FIRST + timedelta(days=6), 3)))) == 100


def test_a_year_unseen_costs_no_more_than_a_week():
    days = (Day(FIRST, 0), Day(FIRST + timedelta(days=365), 3650))
    assert burn(Wallet("acme", 1, days)) == 10


@pytest.mark.parametrize(
    ("hours", "rate"), [(0, None), (5.9, None), (6, 800), (12, 400), (24, 200), (30, 160)], ids=str
)
def test_of_a_new_account_what_was_spent_so_far_is_scaled_to_a_day(hours: float, rate: int | None):
    seen = spending(150, 50, since=NOW, at=NOW + timedelta(hours=hours))
    assert burn(seen) == rate


def test_a_clock_that_was_set_back_says_nothing_of_a_day():
    assert burn(spending(150, since=NOW, at=NOW - timedelta(days=1))) is None


def test_nothing_is_known_of_an_account_without_days():
    assert burn(Wallet("acme", 5)) is None
    assert days_left(Wallet("acme", 5)) is None


@pytest.mark.parametrize(
    ("balance", "spent", "days"),
    [
        (1000, 100, 10),
        (0, 100, 0),
        (-50, 100, 0),
        (1000, 0, None),
        (Decimal("0.5"), Decimal("0.25"), 2),
        (10**15 - 1, Decimal("0.000001"), MOST_DAYS),
    ],
)
def test_the_days_that_are_left(balance: Amount, spent: Amount, days: int | None):
    assert days_left(spending(0, spent, 0, balance=balance)) == days


amounts = st.one_of(
    st.integers(-(10**15), 10**15),
    st.decimals(-(10**12), 10**12, allow_nan=False, places=6),
    st.just(Decimal("1e-300")),
)


@given(amounts, st.lists(amounts.map(abs), max_size=12))
def test_any_wallet_can_be_judged_and_said(balance: Amount, spent: list[Amount]):
    seen = spending(*spent, balance=balance, since=NOW, at=NOW + timedelta(hours=7))
    rate, days = burn(seen), days_left(seen)
    assert rate is None or rate >= 0
    assert days is None or 0 <= days <= MOST_DAYS
    for number in (rate, days):
        if number is not None:
            assert 0 <= rounded(number) <= number
            canon.dumps(rounded(number))
    assert len(levels(seen, Thresholds(5, timedelta(days=1)))) == 2


@pytest.mark.parametrize(
    ("exact", "shown"),
    [("0", "0"), ("876.4", "876"), ("10", "10"), ("9.99", "9.9"), ("2.10", "2.1"), ("0.0345", "0.034"), ("3", "3")],
)
def test_no_more_digits_than_are_known(exact: str, shown: str):
    assert str(rounded(Decimal(exact))) == shown


# --- what a call costs ---------------------------------------------------------------------------------------------


def listed(slug: str, band: object) -> Listed:
    text = canon.dumps({"slug": slug, "credits_band": band})
    return Listed(slug, "digest", text)


def test_of_the_requests_sent_with_a_key_the_dearest_counts():
    requests = [
        SavedRequest("small", {"model": "a"}),
        SavedRequest("large", {"model": "b"}),
        SavedRequest("theirs", {"model": "c"}, ("dev",)),
        SavedRequest("of nothing", {}),
    ]
    prices: dict[str, Amount] = {"a": 80, "b": 400, "c": 900}
    assert dearest(requests, "prod", prices) == Cheapest("large", "b", 400)
    assert dearest(requests, "dev", prices) == Cheapest("theirs", "c", 900)
    assert dearest(requests, "prod", {}) is None


def test_a_price_that_is_none_is_left_out():
    bands: dict[str, object] = {
        "ok": {"min": 80, "max": 200},
        "from": {"min": 5, "max": None},
        "to": {"min": None, "max": 5},
        "crossed": {"min": 9, "max": 5},
        "words": "80 to 200",
        "none": None,
    }
    models = {slug: listed(slug, band) for slug, band in bands.items()}
    models["twice"] = Listed("twice", "digest", '[{"credits_band": {"min": 1, "max": 2}}, {}]')
    assert cheapest_calls(models, [*models, "not listed"]) == {"ok": 80, "from": 5}


# --- when people hear of it ----------------------------------------------------------------------------------------


@dataclass
class Account:
    """An account whose polls are judged one after the other; the condition is kept as the database would keep it."""

    credits: Thresholds = LOW
    routes: tuple[Route, ...] = (EVERYTHING,)
    record_only: tuple[str, ...] = ()
    open: OpenCondition | None = None
    log: list[str] = field(default_factory=list)

    def seen(self, wallet: Wallet, key: KeyFacts = PROD) -> list[str]:
        """What becomes of it when the key sees this wallet; where each thing is told."""
        open_ = () if self.open is None else (self.open,)
        policy = Judgement(routes=self.routes, record_only=self.record_only, credits=self.credits)
        context = Context(key, "ok", 0, has_baseline=True, digest="d", open=open_, wallet=wallet)
        opened, edits = wallet_news(Case(context, policy, NOW))
        said: list[str] = []
        for opening in opened:
            assert (opening.kind, opening.subject) == ("balance.low", "account:acme")
            to = tuple((one.destination, one.route) for one in opening.announcements)
            self.open = OpenCondition(1, opening.kind, opening.subject, NOW, kept(opening.detail), to)
            said += ["opened", *(f"opened {destination}" for destination, _ in to)]
        for edit in edits:
            assert self.open is not None
            new = tuple((one.destination, one.route) for one in edit.announcements)
            said += ["closed" if edit.closed else "edited"]
            said += [f"{'closed' if edit.closed else 'opened'} {destination}" for destination, _ in new]
            told = self.open.told if edit.closed else (*self.open.told, *new)
            self.open = replace(self.open, detail=kept(edit.detail), told=told)
            self.last = self.open
            self.open = None if edit.closed else self.open
        self.log += said
        return said

    def has(self, balance: Amount, key: KeyFacts = PROD, **more: Any) -> list[str]:
        return self.seen(Wallet("acme", balance, **more), key)

    @property
    def detail(self) -> Mapping[str, Any]:
        assert self.open is not None
        return self.open.detail


def kept(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """As it comes back from the database."""
    found: Mapping[str, Any] = canon.decode(canon.dumps(dict(detail))).value
    return found


def test_it_opens_below_the_threshold_and_closes_at_the_re_arm_level():
    acme = Account()
    assert acme.has(1000) == []
    assert acme.has(999) == ["opened", "opened console"]
    assert acme.detail == {
        "account": "acme",
        "keys": {"prod": "low"},
        "why": "low",
        "left": 999,
        "below": 1000,
        "rearm": 1500,
        "unit": "credits",
    }
    assert acme.has(1499) == []
    assert acme.has(1500) == ["closed", "closed console"]
    assert acme.has(1200) == []
    assert (acme.last.detail["keys"], acme.last.detail["recovered"], acme.last.detail["left"]) == ({}, ["prod"], 1500)


def test_a_wallet_that_swings_around_the_threshold_opens_once():
    acme = Account()
    for _ in range(50):
        acme.has(990)
        acme.has(1010)
    assert acme.log == ["opened", "opened console"]


@pytest.mark.parametrize("refund", [1, 80, 400])
def test_refunds_at_every_poll_open_it_once(refund: int):
    acme = Account()
    for step in range(300):
        acme.has(1100 - step + (refund if step % 2 else 0))
    assert acme.log.count("opened") == 1
    assert "closed" not in acme.log


def test_an_edit_comes_only_when_half_of_what_was_told_is_gone():
    acme = Account()
    acme.has(800)
    balances = [700, 401, 400, 399, 1400, 300, 200, 150, 3, -7, -500, -20_000]
    assert [bool(acme.has(balance)) for balance in balances] == [
        *(False, False, True, False, False, False, True, False, True, True, False, False)
    ]
    assert acme.detail["left"] == -7
    assert "opened console" not in acme.log[2:]


def test_the_runway_opens_it_too_and_says_how_long_it_lasts():
    acme = Account(THREE_DAYS)
    assert acme.seen(spending(0, 876, 876, 300, balance=2700)) == []
    assert acme.seen(spending(0, 876, 876, 300, balance=1840)) == ["opened", "opened console"]
    assert {name: acme.detail[name] for name in ("why", "left", "burn", "days", "below", "rearm", "unit")} == {
        "why": "runway",
        "left": 1840,
        "burn": 876,
        "days": Decimal("2.1"),
        "below": 3,
        "rearm": Decimal("4.5"),
        "unit": "days",
    }
    assert acme.seen(spending(0, 876, 876, 300, balance=3900)) == []
    assert acme.seen(spending(0, 876, 876, 300, balance=3942)) == ["closed", "closed console"]


def test_a_runway_without_an_end_is_not_low():
    acme = Account(THREE_DAYS)
    assert acme.seen(spending(0, 0, 0, 0, balance=1)) == []
    assert acme.has(1) == []


def test_both_thresholds_have_to_be_well_again():
    acme = Account(Thresholds(1000, timedelta(days=3)))
    assert acme.seen(spending(0, 500, 0, balance=900))[0] == "opened"
    assert acme.detail["why"] == "low"
    assert acme.seen(spending(0, 500, 0, balance=1500)) == ["edited"], (
        "the balance is well, the runway is the reason now"
    )
    assert (acme.detail["why"], acme.detail["days"]) == ("runway", 3)
    assert acme.seen(spending(0, 500, 0, balance=2250))[0] == "closed"


def test_what_was_the_reason_stays_it_until_it_is_well():
    acme = Account(Thresholds(1000, timedelta(days=3)))
    acme.seen(spending(0, 500, 0, balance=1400))
    assert acme.detail["why"] == "runway"
    assert acme.seen(spending(0, 500, 0, balance=990)) == ["edited"]
    assert acme.detail["why"] == "low"
    for _ in range(20):
        acme.seen(spending(0, 500, 0, balance=1010))
        acme.seen(spending(0, 500, 0, balance=990))
    assert acme.log == ["opened", "opened console", "edited"]


# --- requests ------------------------------------------------------------------------------------------------------

HERO = Cheapest("nightly hero", "wan", 400)


def test_a_request_that_will_be_refused_needs_no_threshold():
    acme = Account(Thresholds())
    assert acme.has(400, cheapest=HERO) == []
    assert acme.has(399, cheapest=HERO) == ["opened", "opened console"]
    assert (acme.detail["why"], acme.detail["below"], acme.detail["rearm"]) == ("cheapest", 400, 600)
    assert acme.detail["requests"] == {"prod": {"request": "nightly hero", "model": "wan", "credits": 400}}
    assert acme.has(599, cheapest=HERO) == []
    assert acme.has(600, cheapest=HERO) == ["closed", "closed console"]


def test_without_thresholds_and_requests_nothing_is_watched():
    assert Account(Thresholds()).has(-5) == []


def test_a_request_that_is_refused_is_the_reason_before_any_threshold():
    acme = Account()
    acme.has(900, cheapest=HERO)
    assert acme.detail["why"] == "low"
    assert acme.has(399, cheapest=HERO) == ["edited"]
    assert acme.detail["why"] == "cheapest"


def test_another_key_sees_that_a_request_is_paid_for_again():
    acme = Account(Thresholds())
    acme.has(100, cheapest=HERO)
    assert acme.has(100, DEV) == [], "what is too dear for one key concerns no other"
    assert acme.has(500, DEV) == []
    assert acme.has(600, DEV) == ["closed", "closed console"]


def test_the_prices_of_two_keys_end_it_together():
    acme = Account(Thresholds())
    acme.has(100, cheapest=HERO)
    assert acme.has(100, DEV, cheapest=replace(HERO, credits=1000)) == ["edited"]
    assert acme.detail["below"] == 1000
    assert acme.has(700, cheapest=HERO) == ["edited"]
    assert list(acme.detail["requests"]) == ["dev"]
    assert acme.has(1499, cheapest=HERO) == []
    assert acme.has(1500, cheapest=HERO)[0] == "closed"


def test_a_price_that_falls_is_what_counts_from_now_on():
    acme = Account(Thresholds())
    acme.has(300, cheapest=HERO)
    assert acme.has(300, cheapest=replace(HERO, credits=250)) == ["edited"]
    assert acme.has(300, cheapest=replace(HERO, credits=200))[0] == "closed"


# --- several keys --------------------------------------------------------------------------------------------------

OF_PROD = Route("prod", "slack:#prod", labels={"env": "prod"})
OF_DEV = Route("dev", "slack:#dev", labels={"env": "dev"})


def test_another_key_of_the_account_joins_and_nobody_hears_twice():
    acme = Account(routes=(EVERYTHING, OF_PROD, OF_DEV))
    assert acme.has(900) == ["opened", "opened console", "opened slack:#prod"]
    assert acme.has(890, DEV) == ["edited", "opened slack:#dev"]
    assert acme.detail["keys"] == {"prod": "low", "dev": "low"}
    for step in range(20):
        assert acme.has(890 - step, DEV if step % 2 else PROD) == []
    assert acme.has(2000, DEV) == ["closed", "closed console", "closed slack:#prod", "closed slack:#dev"]


def test_a_key_that_leaves_closes_nothing_while_another_is_there():
    acme = Account()
    acme.has(900)
    acme.has(900, DEV)
    assert acme.open is not None
    left = retired(acme.open, "prod", NOW)
    assert left is not None
    assert (left.closed, left.detail["keys"]) == (False, {"dev": "low"})


def test_what_is_only_recorded_is_told_to_nobody():
    acme = Account(record_only=("balance.*",))
    assert acme.has(1) == ["opened"]
    assert acme.has(1, DEV) == ["edited"]
    assert acme.has(9000) == ["closed"]


def test_nobody_is_told_that_all_is_well_because_nothing_is_watched_any_more():
    acme = Account()
    acme.has(900)
    acme.credits = Thresholds()
    assert acme.has(900) == ["closed"]
    assert acme.last.detail["retired"] == ["prod"]
    assert "No longer watched" in said(acme.last, closed=True)


def test_a_lower_threshold_ends_what_is_well_by_it():
    acme = Account()
    acme.has(900)
    acme.credits = Thresholds(500)
    assert acme.has(900) == ["closed", "closed console"]


def test_a_threshold_that_moved_is_told_as_it_is_now():
    acme = Account()
    acme.has(900)
    acme.credits = Thresholds(2000)
    assert acme.has(900) == ["edited"]
    assert acme.detail["rearm"] == 3000


def test_without_a_new_balance_there_is_nothing_to_judge():
    context = Context(PROD, "ok", 0, has_baseline=True, digest="d")
    assert wallet_news(Case(context, Judgement(routes=(EVERYTHING,), credits=LOW), NOW)) == ((), ())


@given(st.lists(st.tuples(st.integers(-100, 3000), st.booleans()), max_size=60))
def test_every_opening_is_below_and_every_end_above(polls: Iterable[tuple[int, bool]]):
    acme = Account(routes=(EVERYTHING, OF_PROD, OF_DEV))
    for balance, by_dev in polls:
        was_open = acme.open is not None
        said = acme.has(balance, DEV if by_dev else PROD)
        assert ("opened" in said) == (not was_open and balance < 1000)
        assert ("closed" in said) == (was_open and balance >= 1500)
        if acme.open is not None:
            assert len(dict(acme.open.told)) == len(acme.open.told), "a destination heard twice"


# --- how it is said ------------------------------------------------------------------------------------------------


def said(condition: OpenCondition, *keys: str, closed: bool = False) -> str:
    due = ConditionDue(
        announcement=1,
        condition=1,
        keys=keys or ("prod",),
        at=NOW,
        kind=condition.kind,
        edge="opened",
        subject=condition.subject,
        opened_at=NOW,
        detail=condition.detail,
        closed_at=NOW if closed else None,
    )
    return as_text(compose([due], "dlv_1"))


def test_the_message_names_the_request_that_will_be_refused():
    acme = Account(Thresholds())
    acme.has(100, cheapest=HERO)
    assert acme.open is not None
    text = said(acme.open)
    assert "nightly hero" in text
    assert "at least 400 credits on wan" in text.replace("`", "")
    assert "100 of 400 credits" in text


def test_nobody_reads_of_the_requests_of_a_key_that_they_do_not_see():
    acme = Account(Thresholds(150))
    acme.has(100, cheapest=HERO)
    acme.has(100, DEV)
    assert acme.open is not None
    text = said(acme.open, "dev")
    assert "Left 100 credits" in text
    assert not {"hero", "wan", "400", "600"} & set(text.replace("`", "").split())


def dearer(slug: str, before: object, after: object, wallet: Wallet | None, key: str = "prod") -> ChangeDue:
    change = Change("credits.band.raised", ("models", slug, "credits_band"), "risky", before, after, slug=slug)
    return ChangeDue(1, key, NOW, change, wallet=wallet)


BAND = {"min": 10, "max": 100}
TWICE = {"min": 20, "max": 200}
MONTH = spending(0, 100, 50, balance=3000)


def test_a_price_change_says_what_it_does_to_the_runway():
    text = as_text(compose([dearer("wan", BAND, TWICE, MONTH)], "dlv_1"))
    assert (
        "The wallet lasts about 30 days at the present burn; if all of it were spent on this model, about 15 days."
    ) in text


def test_of_several_models_the_one_that_rose_most_is_said():
    due = [dearer("wan", BAND, TWICE, MONTH), dearer("grok", BAND, {"min": 10, "max": 300}, MONTH)]
    assert "if all of it were spent on grok, about 10 days." in as_text(compose(due, "dlv_1")).replace("`", "")


@pytest.mark.parametrize(
    ("before", "after", "wallet"),
    [
        (BAND, TWICE, None),
        (BAND, TWICE, Wallet("acme", 3000)),
        (BAND, TWICE, spending(0, 0, 0)),
        (BAND, {"min": 20, "max": 100}, MONTH),
        ({"min": 0, "max": 0}, TWICE, MONTH),
        (BAND, {"min": 0, "max": 0}, MONTH),
        (BAND, {"min": 20, "max": None}, MONTH),
        (BAND, None, MONTH),
        ("80", TWICE, MONTH),
    ],
)
def test_what_cannot_be_known_of_the_runway_is_not_said(before: object, after: object, wallet: Wallet | None):
    assert "wallet lasts" not in as_text(compose([dearer("wan", before, after, wallet)], "dlv_1"))


def test_of_keys_of_several_accounts_no_runway_is_said():
    due = [dearer("wan", BAND, TWICE, MONTH), dearer("wan", BAND, TWICE, replace(MONTH, account="other"), "dev")]
    assert "wallet lasts" not in as_text(compose(due, "dlv_1"))
