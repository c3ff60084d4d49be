"""`judge` and `announce`: what a poll means, and who is told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.canon import Json, Note
from syncd.core.catalog import Catalog, Listed, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.credits import Band, read_band
from syncd.core.judge import (
    ConditionEdit,
    Context,
    Held,
    Judgement,
    NewChange,
    News,
    OpenCondition,
    judge,
)
from syncd.core.reading import Facts, Listing, Malformed, Reading, Refused, Same, Unreachable, Why
from syncd.core.routing import Announcement, Event, KeyFacts, Route, announce, matches, sees

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PROD = KeyFacts("prod", "acme", "https://v.example", {"env": "prod", "tenant": "acme"}, "3fa94c1e")
DEV = replace(PROD, name="dev", labels={"env": "dev"})
EVERYTHING = Route("everything", "console")
POLICY = Judgement(routes=(EVERYTHING,))
AT_ONCE = replace(POLICY, confirm_polls=1, confirm_after=timedelta(0))
FACTS = Facts(status=200)

A = {"slug": "a", "category": "image", "credits_band": {"min": 80, "max": 200}}
B = {"slug": "b", "category": "video", "credits_band": {"min": 400, "max": 1440}}


def catalog(*models: Mapping[str, Json], complete: bool = True, **account: Json) -> Catalog:
    raws = [json.dumps(model).encode() for model in models]
    return assemble({"tier": "pro", **account}, raws, Memo(), complete=complete)


def listing(*models: Mapping[str, Json], complete: bool = True, **account: Json) -> Listing:
    found = catalog(*models, complete=complete, **account)
    return Listing(found, found.digest.encode(), FACTS)


def refused(why: Why, code: str | None = None, status: int = 401) -> Refused:
    return Refused(why, Facts(status=status, code=code, request_id="req_1"), "words", "do this")


MALFORMED = Malformed((Note("/models", "missing"),), FACTS)
TIMEOUT = Unreachable("timeout", "no answer within 20 s")
FAILURES: list[Reading] = [
    TIMEOUT,
    MALFORMED,
    refused("server_error", "INTERNAL_ERROR", 500),
    refused("rate_limited", None, 429),
    refused("moved", "MOVED", 308),
    refused("client_error", "NOT_FOUND", 404),
]
REFUSALS: list[Why] = ["rejected", "tier_locked", "forbidden"]
KINDS = {"rejected": "access.rejected", "tier_locked": "access.tier-locked", "forbidden": "access.forbidden"}


def context(before: Catalog | None = None, **changes: Any) -> Context:
    stored: dict[str, Any] = {
        "key": PROD,
        "state": "ok" if before else "new",
        "failures": 0,
        "has_baseline": before is not None,
        "digest": before.digest if before else None,
    }
    return Context(**{**stored, **changes})


def after(
    before: Catalog,
    now: Listing,
    policy: Judgement = POLICY,
    at: datetime = NOW,
    held: Sequence[Held] = (),
    **changes: Any,
) -> News:
    """The verdict on a listing after a confirmed catalogue."""
    found = diff(Before(before.account, before.models), now.catalog, Policy())
    return judge(now, found, context(before, held=tuple(held), **changes), policy, at)


def removal(model: Mapping[str, Json] = A, polls: int = 1, at: datetime = NOW, number: int = 1) -> Held:
    (change,) = diff(Before({"tier": "pro"}, catalog(model).models), catalog(), Policy())
    return Held(number, change, polls, at)


def kinds(news: News) -> list[tuple[str, str]]:
    return [(new.change.kind, new.state) for new in news.changes]


def told(news: News) -> list[tuple[str, list[str]]]:
    parts: list[tuple[str, Iterable[Any]]] = [
        *((new.change.kind, new.announcements) for new in news.changes),
        *((opening.kind, opening.announcements) for opening in news.openings),
        *(("closed" if edit.closed else "joined", edit.announcements) for edit in news.edits),
    ]
    return [(name, [one.destination for one in announcements]) for name, announcements in parts]


def revised(news: News) -> list[str]:
    """Where a message about a condition is to be brought up to date."""
    return [one.destination for edit in news.edits for one in edit.revisions]


# --- catalogues ----------------------------------------------------------------------------------------------------


def test_the_first_catalogue_is_one_row_which_is_told():
    news = judge(listing(A, B), (), context(), POLICY, NOW)
    assert (news.outcome, news.state, news.listing is not None) == ("changed", "ok", True)
    assert kinds(news) == [("catalogue.baseline", "baseline")]
    assert news.changes[0].change.detail == {"models": 2}
    assert news.changes[0].announcements == (Announcement("console", "everything", NOW),)
    assert news.announced


@pytest.mark.parametrize(
    "policy",
    [
        Judgement(),
        Judgement(routes=(Route("dev", "console", keys=("dev",)),)),
        Judgement(routes=(Route("models", "console", kinds=("model.*",)),)),
        Judgement(routes=(Route("loud", "console", min_severity="additive"),)),
        replace(POLICY, record_only=("catalogue.baseline",)),
    ],
    ids=["no route", "another key", "other kinds", "too mild", "only recorded"],
)
def test_a_first_catalogue_that_nobody_asked_for_stays_a_silent_baseline(policy: Judgement):
    news = judge(listing(A), (), context(), policy, NOW)
    assert kinds(news) == [("catalogue.baseline", "baseline")]
    assert told(news) == [("catalogue.baseline", [])]
    assert not news.announced


def test_a_key_that_begins_with_a_failure_is_told_of_when_it_lists_something():
    assert judge(TIMEOUT, (), context(), POLICY, NOW).changes == ()
    late = judge(listing(A), (), context(state="unreachable", failures=2), POLICY, NOW)
    assert told(late) == [("catalogue.baseline", ["console"])]


def test_a_key_without_a_catalogue_cannot_repeat_one():
    with pytest.raises(ValueError, match="cannot repeat"):
        judge(Same("x", FACTS), (), context(), POLICY, NOW)


def test_the_same_again_is_nothing():
    there = catalog(A)
    for reading in (Same(there.digest, FACTS), listing(A)):
        news = judge(reading, (), context(there), POLICY, NOW)
        assert (news.outcome, news.changes, news.holds, news.edits) == ("unchanged", (), (), ())
        assert not news.announced


def test_a_new_model_and_a_removed_one_are_announced_at_once():
    news = after(catalog(A), listing(B), AT_ONCE)
    assert kinds(news) == [("model.removed", "announced"), ("model.added", "announced")]
    assert told(news) == [("model.removed", ["console"]), ("model.added", ["console"])]
    assert news.announced


def test_without_a_route_a_change_is_only_recorded():
    news = after(catalog(A), listing(A, B), Judgement())
    assert kinds(news) == [("model.added", "recorded")]
    assert not news.announced


@pytest.mark.parametrize("reading", [*FAILURES, *map(refused, REFUSALS)], ids=repr)
def test_a_failure_never_touches_the_catalogue(reading: Reading):
    news = judge(reading, (), context(catalog(A), failures=5, held=(removal(),)), POLICY, NOW)
    assert (news.listing, news.changes, news.holds) == (None, (), ())


@pytest.mark.parametrize("reading", [listing(A, B), Same("x", FACTS), TIMEOUT, refused("rejected")], ids=repr)
def test_a_stale_answer_means_nothing(reading: Reading):
    stored = context(catalog(A), stale=True, state="rejected", failures=3, held=(removal(),))
    assert judge(reading, (), stored, POLICY, NOW) == News("stale", "rejected", 3)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ({**A, "colour": 1}, {**A, "colour": 2}, "model.attr-unknown.changed"),
        (A, {**A, "colour": 2}, "model.attr-unknown.added"),
    ],
)
def test_an_unknown_field_without_weight_is_only_recorded(before: dict[str, Json], now: dict[str, Json], kind: str):
    assert kinds(after(catalog(before), listing(now))) == [(kind, "recorded")]


def test_an_unknown_field_that_may_gate_calls_is_announced():
    assert kinds(after(catalog(A), listing({**A, "deprecated": True}))) == [("model.attr-unknown.added", "announced")]


def test_kinds_may_be_recorded_only():
    quiet = replace(POLICY, record_only=("model.added", "vendor.*"))
    assert kinds(after(catalog(A), listing(A, B), quiet)) == [("model.added", "recorded")]
    news = judge(TIMEOUT, (), context(catalog(A), failures=1), quiet, NOW)
    assert [(opening.kind, opening.announcements) for opening in news.openings] == [("vendor.unreachable", ())]


# --- held removals -------------------------------------------------------------------------------------------------


def test_removals_out_of_an_empty_listing_are_held():
    news = after(catalog(A, B), listing(tier="ultimate"))
    assert sorted(kinds(news)) == [
        ("account.tier.changed", "announced"),
        ("model.removed", "held"),
        ("model.removed", "held"),
    ]
    assert all(new.announcements == () for new in news.changes if new.state == "held")


def test_nothing_is_held_where_one_poll_confirms():
    assert kinds(after(catalog(A, B), listing(B), AT_ONCE)) == [("model.removed", "announced")]


def test_a_held_removal_is_not_held_again():
    assert kinds(after(catalog(A), listing(), held=[removal()])) == []
    assert kinds(after(catalog(A), listing(B), held=[removal()])) == [("model.added", "announced")]


NAMED = {**A, "creator": "Nobody", "name": "A", "params": {}}
MOVED = {**NAMED, "slug": "a-hd"}


def learned(news: News) -> list[Any]:
    return [None if step.learned is None else step.learned.detail.get("replacement") for step in news.holds]


def test_a_held_removal_learns_what_a_listing_tells_of_it():
    assert learned(after(catalog(NAMED), listing(MOVED), held=[removal(NAMED)])) == ["a-hd"]
    assert learned(after(catalog(NAMED), listing(), held=[removal(NAMED)])) == [None]


def test_what_a_held_removal_has_learned_holds_while_the_other_model_is_listed():
    (step,) = after(catalog(NAMED), listing(MOVED), held=[removal(NAMED)]).holds
    assert step.learned is not None
    known = Held(1, step.learned, 2, NOW)
    assert [step.learned for step in after(catalog(NAMED, MOVED), listing(MOVED), held=[known]).holds] == [None]
    (gone,) = after(catalog(NAMED, MOVED), listing(B), held=[known]).holds
    assert gone.learned is not None
    assert "replacement" not in gone.learned.detail


@pytest.mark.parametrize(
    ("polls", "minutes", "state"),
    [(1, 29, "held"), (1, 30, "announced"), (1, 300, "announced"), (7, 29, "held"), (7, 30, "announced")],
)
def test_both_polls_and_time_confirm(polls: int, minutes: int, state: str):
    news = after(catalog(A, B), listing(B), at=NOW + minutes * MINUTE, held=[removal(polls=polls)])
    assert [(step.id, step.state, step.polls) for step in news.holds] == [(1, state, polls + 1)]
    assert news.announced == (state == "announced")


def test_why_a_model_went_is_known_from_the_listing_that_it_was_missing_from_first():
    found = after(catalog(A, B), listing(B, tier="standard"))
    (held,) = [new.change for new in found.changes if new.state == "held"]
    assert held.detail["cause"] == "tier-change"
    known = Held(1, held, 1, NOW)
    (step,) = after(catalog(A, B, tier="standard"), listing(B, tier="standard"), held=[known]).holds
    assert (step.learned or held).detail["cause"] == "tier-change"


@pytest.mark.parametrize(("polls", "state"), [(1, "held"), (2, "announced")])
def test_where_the_clock_was_set_back_three_listings_must_agree(polls: int, state: str):
    a_year_ago = NOW - timedelta(days=365)
    news = after(catalog(A, B), listing(B), at=a_year_ago, held=[removal(polls=polls)])
    assert [step.state for step in news.holds] == [state]


def test_three_polls_may_be_asked_for():
    patient = replace(POLICY, confirm_polls=3)
    late = NOW + 60 * MINUTE
    assert [step.state for step in after(catalog(A), listing(), patient, late, [removal(polls=1)]).holds] == ["held"]
    assert [step.state for step in after(catalog(A), listing(), patient, late, [removal(polls=2)]).holds] == [
        "announced"
    ]


def test_the_same_bytes_step_a_hold_too():
    empty = catalog()
    late = NOW + 60 * MINUTE
    news = judge(Same(empty.digest, FACTS), (), context(empty, held=(removal(),)), POLICY, late)
    assert [step.state for step in news.holds] == ["announced"]


@pytest.mark.parametrize("reading", [listing(B, complete=False), Same(catalog().digest, FACTS, complete=False)])
def test_an_incomplete_listing_neither_counts_nor_retracts(reading: Listing | Same):
    news = judge(reading, (), context(catalog(), held=(removal(),)), POLICY, NOW + 60 * MINUTE)
    assert [(step.state, step.polls) for step in news.holds] == [("held", 1)]


def test_an_incomplete_listing_retracts_what_it_lists():
    news = judge(listing(A, complete=False), (), context(catalog(), held=(removal(),)), POLICY, NOW)
    assert [step.state for step in news.holds] == ["retracted"]


def test_a_model_back_within_its_hold_is_retracted_and_compared_with_what_it_was():
    news = after(catalog(A), listing({**A, "category": "video"}), held=[removal()])
    assert [(step.state, step.announcements) for step in news.holds] == [("retracted", ())]
    assert kinds(news) == [("model.category.changed", "announced")]


def test_a_confirmed_removal_goes_through_the_routes_and_the_rules():
    late = NOW + 60 * MINUTE
    quiet = replace(POLICY, record_only=("model.removed",))
    assert [step.state for step in after(catalog(A), listing(), quiet, late, [removal()]).holds] == ["recorded"]
    videos = Judgement(routes=(Route("videos", "console", categories=("video",)),))
    assert [step.state for step in after(catalog(A), listing(), videos, late, [removal(A)]).holds] == ["recorded"]
    assert [step.state for step in after(catalog(B), listing(), videos, late, [removal(B)]).holds] == ["announced"]


def test_back_after_its_removal_was_told_is_a_return():
    found = diff(Before({"tier": "pro"}, {}, catalog(A).models), catalog({**A, "category": "video"}), Policy())
    news = judge(listing({**A, "category": "video"}), found, context(catalog()), POLICY, NOW)
    assert kinds(news) == [("model.returned", "announced"), ("model.category.changed", "announced")]
    assert news.changes[1].change.detail["after_absence"] is True


# --- access --------------------------------------------------------------------------------------------------------


def opened(
    kind: str, *keys: str, told: Sequence[tuple[str, str]] = (("console", "everything"),), number: int = 7
) -> OpenCondition:
    detail = {"keys": dict.fromkeys(keys or ("prod",), "failing")}
    subject = f"url:{PROD.base_url}" if kind == "vendor.unreachable" else f"key:{(keys or ('prod',))[0]}"
    return OpenCondition(number, kind, subject, NOW, detail, tuple(told))


@pytest.mark.parametrize("why", REFUSALS)
def test_a_refusal_opens_its_condition_at_the_first_time(why: Why):
    news = judge(refused(why, "CODE"), (), context(catalog(A)), POLICY, NOW)
    assert (news.outcome, news.state, news.failures) == ("refused", why, 0)
    (opening,) = news.openings
    assert (opening.kind, opening.subject) == (KINDS[why], "key:prod")
    assert opening.detail == {
        "code": "CODE",
        "status": 401,
        "request_id": "req_1",
        "message": "words",
        "next": "do this",
        "fingerprint": "3fa94c1e",
        "keys": {"prod": "failing"},
    }
    assert told(news) == [(KINDS[why], ["console"])]


@pytest.mark.parametrize("why", REFUSALS)
def test_it_opens_once_and_closes_once(why: Why):
    there = catalog(A)
    open_one = opened(KINDS[why])
    again = judge(refused(why), (), context(there, state=why, open=(open_one,)), POLICY, NOW)
    assert (again.openings, again.edits) == ((), ())
    well = judge(Same(there.digest, FACTS), (), context(there, state=why, open=(open_one,)), POLICY, NOW)
    assert well.state == "ok"
    assert [(edit.id, edit.closed, edit.detail) for edit in well.edits] == [
        (7, True, {"keys": {}, "recovered": ["prod"]})
    ]
    assert told(well) == [("closed", ["console"])]
    assert revised(well) == ["console"]


def test_another_refusal_opens_another_condition_and_one_good_poll_closes_both():
    rejected = opened("access.rejected")
    news = judge(refused("tier_locked"), (), context(catalog(A), state="rejected", open=(rejected,)), POLICY, NOW)
    assert [opening.kind for opening in news.openings] == ["access.tier-locked"]
    both = (rejected, opened("access.tier-locked", number=8))
    closed = judge(listing(A), (), context(catalog(A), state="tier_locked", open=both), POLICY, NOW)
    assert [(edit.id, edit.closed) for edit in closed.edits] == [(7, True), (8, True)]


def test_a_closing_goes_where_the_opening_went():
    elsewhere = opened("access.rejected", told=[("slack:#old", "gone route")])
    news = judge(listing(A), (), context(catalog(A), open=(elsewhere,)), POLICY, NOW)
    (edit,) = news.edits
    assert [(one.destination, one.route) for one in edit.announcements] == [("slack:#old", "gone route")]
    assert edit.revisions == edit.announcements


def test_a_refused_key_stays_refused_through_an_outage():
    for why in REFUSALS:
        stored = context(catalog(A), state=why, failures=4, open=(opened(KINDS[why]),))
        assert judge(TIMEOUT, (), stored, POLICY, NOW).state == why


def test_a_refusal_during_an_outage_takes_the_key_out_of_it():
    outage = opened("vendor.unreachable", "prod", "dev")
    news = judge(refused("rejected"), (), context(catalog(A), failures=4, open=(outage,)), POLICY, NOW)
    assert [opening.kind for opening in news.openings] == ["access.rejected"]
    left = {"keys": {"dev": "failing"}, "recovered": ["prod"]}
    heard = (Announcement("console", "everything", NOW),)
    assert news.edits == (ConditionEdit(7, left, closed=False, revisions=heard),)


# --- outages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", FAILURES, ids=repr)
def test_one_failure_is_no_outage_and_two_in_a_row_are(reading: Reading):
    once = judge(reading, (), context(catalog(A)), POLICY, NOW)
    assert (once.state, once.failures, once.openings) == ("ok", 1, ())
    twice = judge(reading, (), context(catalog(A), failures=1), POLICY, NOW)
    assert (twice.state, twice.failures) == ("unreachable", 2)
    (opening,) = twice.openings
    assert (opening.kind, opening.subject) == ("vendor.unreachable", "url:https://v.example")
    assert opening.detail["keys"] == {"prod": "failing"}
    assert opening.detail["what"]
    assert told(twice) == [("vendor.unreachable", ["console"])]


@pytest.mark.parametrize("state", REFUSALS)
def test_a_key_that_is_refused_belongs_to_no_outage(state: str):
    news = judge(TIMEOUT, (), context(catalog(A), failures=1, state=state), POLICY, NOW)
    assert (news.state, news.failures, news.openings, news.edits) == (state, 2, (), ())


def test_a_third_failure_says_nothing_more():
    news = judge(TIMEOUT, (), context(catalog(A), failures=2, open=(opened("vendor.unreachable"),)), POLICY, NOW)
    assert (news.failures, news.openings, news.edits) == (3, (), ())


def test_a_good_poll_between_two_failures_starts_the_count_anew():
    assert judge(listing(A), (), context(catalog(A), failures=1), POLICY, NOW).failures == 0
    assert judge(refused("rejected"), (), context(catalog(A), failures=1), POLICY, NOW).failures == 0


ROUTES = (Route("prod", "slack:#prod", keys=("prod",)), Route("dev", "slack:#dev", keys=("dev",)), EVERYTHING)


def test_further_keys_join_and_only_those_who_see_no_other_are_told():
    outage = opened("vendor.unreachable", "prod", told=[("slack:#prod", "prod"), ("console", "everything")])
    stored = context(catalog(A), key=DEV, failures=1, open=(outage,))
    news = judge(TIMEOUT, (), stored, Judgement(routes=ROUTES), NOW)
    assert news.openings == ()
    assert news.edits[0].detail["keys"] == {"prod": "failing", "dev": "failing"}
    assert told(news) == [("joined", ["slack:#dev"])]
    # Those who know of it already find the key in what they were told.
    assert revised(news) == ["slack:#prod", "console"]


def test_an_outage_closes_when_every_key_it_names_is_well():
    both = opened("vendor.unreachable", "prod", "dev", told=[("slack:#prod", "prod"), ("slack:#dev", "dev")])
    first = judge(listing(A), (), context(catalog(A), open=(both,)), POLICY, NOW)
    heard = (Announcement("slack:#prod", "prod", NOW), Announcement("slack:#dev", "dev", NOW))
    still = {"keys": {"dev": "failing"}, "recovered": ["prod"]}
    assert first.edits == (ConditionEdit(7, still, closed=False, revisions=heard),)
    assert not first.announced  # what was told is brought up to date; there is nothing new to tell
    left = replace(both, detail=first.edits[0].detail)
    last = judge(listing(A), (), context(catalog(A), key=DEV, open=(left,)), POLICY, NOW)
    assert [(edit.closed, edit.detail) for edit in last.edits] == [(True, {"keys": {}, "recovered": ["prod", "dev"]})]
    assert told(last) == [("closed", ["slack:#prod", "slack:#dev"])]
    assert revised(last) == ["slack:#prod", "slack:#dev"]


def test_a_key_may_recover_and_fail_again_within_an_outage():
    outage = replace(opened("vendor.unreachable"), detail={"keys": {"dev": "failing"}, "recovered": ["prod"]})
    news = judge(TIMEOUT, (), context(catalog(A), failures=1, open=(outage,)), POLICY, NOW)
    assert news.edits[0].detail == {"keys": {"dev": "failing", "prod": "failing"}, "recovered": []}
    assert told(news) == [("joined", [])]
    assert revised(news) == ["console"]
    assert not news.announced


def test_a_good_poll_leaves_an_outage_alone_that_does_not_name_its_key():
    other = opened("vendor.unreachable", "dev")
    assert judge(listing(A), (), context(catalog(A), open=(other,)), POLICY, NOW).edits == ()


# --- routes --------------------------------------------------------------------------------------------------------

EVENT = Event("credits.band.raised", "risky", PROD, "wan-2.7", "video", read_band({"min": 105, "max": 200}))
NO_MODEL = Event("access.rejected", "breaking", PROD)


@pytest.mark.parametrize(
    ("route", "event", "expected"),
    [
        ({}, EVENT, True),
        ({"kinds": ("credits.band.*",)}, EVENT, True),
        ({"kinds": ("model.*", "credits.*")}, EVENT, True),
        ({"kinds": ("model.*",)}, EVENT, False),
        ({"keys": ("pro?", "x")}, EVENT, True),
        ({"keys": ("Prod",)}, EVENT, False),
        ({"labels": {"env": "prod"}}, EVENT, True),
        ({"labels": {"env": "prod", "tenant": "other"}}, EVENT, False),
        ({"labels": {"team": "a"}}, EVENT, False),
        ({"models": ("wan-*",)}, EVENT, True),
        ({"models": ("veo-*",)}, EVENT, False),
        ({"categories": ("video",)}, EVENT, True),
        ({"categories": ("image",)}, EVENT, False),
        ({"categories": ("image",)}, replace(EVENT, category=None), False),
        ({"min_severity": "risky"}, EVENT, True),
        ({"min_severity": "breaking"}, EVENT, False),
        ({"min_severity": "informational"}, EVENT, True),
        ({"models": ("veo-*",), "categories": ("image",)}, NO_MODEL, True),
        ({"kinds": ("access.*",), "min_severity": "breaking"}, NO_MODEL, True),
        ({"kinds": ("credits.*",), "keys": ("dev",)}, EVENT, False),
    ],
)
def test_every_matcher_given_must_match(route: dict[str, Any], event: Event, expected: bool):  # noqa: FBT001
    assert matches(Route("r", "console", **route), event) is expected


def test_a_key_is_visible_by_name_and_labels_alone():
    assert sees(Route("r", "x", kinds=("none",), keys=("prod",), labels={"env": "prod"}), PROD)
    assert not sees(Route("r", "x", keys=("prod",), labels={"env": "dev"}), PROD)


def test_a_destination_is_told_once_under_the_first_route_that_matches():
    routes = [Route("no", "a", kinds=("model.*",)), Route("first", "a"), Route("second", "a"), Route("other", "b")]
    found = announce(EVENT, routes, NOW)
    assert [(one.destination, one.route, one.not_before, one.state) for one in found] == [
        ("a", "first", NOW, "queued"),
        ("b", "other", NOW, "queued"),
    ]


def band(low: int | None, high: int | None) -> Band:
    return read_band({"min": low, "max": high})


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (band(100, 200), "queued"),
        (band(101, 200), "below_threshold"),
        (band(105, 190), "queued"),
        (band(105, 191), "below_threshold"),
        (band(105, 200), "below_threshold"),
        (band(0, 200), "queued"),
        (band(None, None), "queued"),
        (None, "queued"),
    ],
)
def test_a_threshold_is_of_either_edge_against_the_band_told_last(last: Band | None, state: str):
    found = announce(EVENT, [Route("r", "a", min_percent=Decimal(5))], NOW, lambda _: last)
    assert [one.state for one in found] == [state]


def test_a_threshold_holds_for_prices_only():
    (one,) = announce(NO_MODEL, [Route("r", "a", min_percent=Decimal(5))], NOW, lambda _: band(1, 1))
    assert one.state == "queued"


def test_a_later_route_without_the_threshold_tells_all_the_same():
    routes = [Route("big", "a", min_percent=Decimal(50)), Route("small", "a", min_percent=Decimal(1))]
    (one,) = announce(EVENT, routes, NOW, lambda _: band(100, 200))
    assert (one.route, one.state) == ("small", "queued")


def test_small_steps_add_up_until_they_are_told():
    policy = Judgement(routes=(Route("prices", "console", min_percent=Decimal(10)),))
    told_last: Band | None = None
    first_untold: Band | None = None
    states = []
    for old, new in ((100, 104), (104, 108), (108, 112), (112, 116)):
        before, now = ({**A, "credits_band": {"min": one, "max": 500}} for one in (old, new))
        known = told_last or first_untold
        news = after(catalog(before), listing(now), policy, told_band=lambda _slug, _to, known=known: known)
        (one,) = news.changes
        states.append((one.state, one.announcements[0].state, news.announced))
        first_untold = first_untold or band(old, 500)
        told_last = band(new, 500) if news.announced else told_last
    assert states == [
        ("recorded", "below_threshold", False),
        ("recorded", "below_threshold", False),
        ("announced", "queued", True),
        ("recorded", "below_threshold", False),
    ]


# --- a small life --------------------------------------------------------------------------------------------------


@dataclass
class Fake:
    """What `store` keeps, for two keys of one vendor, in lists."""

    policy: Judgement
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    conditions: list[dict[str, Any]] = field(default_factory=list)
    tape: list[tuple[str, ...]] = field(default_factory=list)
    now: datetime = NOW

    def poll(self, key: KeyFacts, reading: Reading) -> News:
        self.now += 10 * MINUTE
        row = self.keys.setdefault(
            key.name,
            {"state": "new", "failures": 0, "digest": None, "account": {}, "listed": {}, "held": {}, "past": {}},
        )
        subjects = (f"key:{key.name}", f"url:{key.base_url}")
        stored = Context(
            key,
            row["state"],
            row["failures"],
            has_baseline=row["digest"] is not None,
            digest=row["digest"],
            held=tuple(row["held"].values()),
            open=tuple(
                OpenCondition(i, c["kind"], c["subject"], NOW, c["detail"], tuple(c["told"].items()))
                for i, c in enumerate(self.conditions)
                if c["open"] and c["subject"] in subjects
            ),
        )
        found: list[Change] = []
        if isinstance(reading, Listing) and stored.has_baseline:
            held = {h.change.slug: row["past"][h.change.slug] for h in row["held"].values()}
            confirmed: dict[str, Listed] = {**row["listed"], **held}
            gone = {slug: m for slug, m in row["past"].items() if slug not in confirmed}
            found = diff(Before(row["account"], confirmed, gone), reading.catalog, Policy())
        news = judge(reading, found, stored, self.policy, self.now)
        self.apply(key, row, news, reading)
        return news

    def apply(self, key: KeyFacts, row: dict[str, Any], news: News, reading: Reading) -> None:
        row.update(state=news.state, failures=news.failures)
        if news.listing is not None:
            listed = dict(news.listing.catalog.models)
            if not news.listing.catalog.complete:
                listed = {**row["listed"], **listed}
            row.update(digest=news.listing.catalog.digest, account=news.listing.catalog.account, listed=listed)
            row["past"].update(listed)
        for new in news.changes:
            self.changed(key, row, new)
        for step in news.holds:
            held = row["held"].pop(step.id)
            if step.state == "held":
                row["held"][step.id] = replace(held, polls=step.polls)
            for one in step.announcements:
                self.tape.append((one.destination, key.name, held.change.kind, held.change.slug or ""))
            assert step.state != "retracted" or held.change.slug in row["listed"]
        self.conditions_of(news)

    def conditions_of(self, news: News) -> None:
        for opening in news.openings:
            told_to = {one.destination: one.route for one in opening.announcements}
            self.conditions.append(
                {
                    "kind": opening.kind,
                    "subject": opening.subject,
                    "detail": opening.detail,
                    "told": told_to,
                    "open": True,
                }
            )
            self.tape += [(to, opening.subject, opening.kind, "opened") for to in told_to]
        for edit in news.edits:
            row_of = self.conditions[edit.id]
            row_of.update(detail=edit.detail, open=not edit.closed)
            for one in edit.announcements:
                if not edit.closed:
                    row_of["told"][one.destination] = one.route
                word = "closed" if edit.closed else "opened"
                self.tape.append((one.destination, row_of["subject"], row_of["kind"], word))

    def changed(self, key: KeyFacts, row: dict[str, Any], new: NewChange) -> None:
        if new.state == "held":
            number = len(self.tape) * 1000 + len(row["held"]) + 1_000_000 * len(row["past"])
            while number in row["held"]:
                number += 1
            row["held"][number] = Held(number, new.change, 1, self.now)
        destinations = [one.destination for one in new.announcements]
        assert len(destinations) == len(set(destinations))
        self.tape += [(to, key.name, new.change.kind, new.change.slug or "") for to in destinations]


MODELS = st.lists(st.sampled_from([A, B, {**A, "category": "video"}]), max_size=2, unique_by=lambda m: str(m["slug"]))
READINGS = st.one_of(
    st.builds(
        lambda models, complete: listing(*models, complete=complete), MODELS, st.sampled_from([True, True, False])
    ),
    st.just(listing()),
    st.sampled_from(FAILURES),
    st.sampled_from(REFUSALS).map(refused),
)


@given(st.lists(st.tuples(st.sampled_from([PROD, DEV]), READINGS), max_size=25), st.integers(1, 3), st.integers(0, 40))
@settings(derandomize=True, deadline=None, database=None, max_examples=200)
def test_whatever_happens_nobody_is_told_nonsense(steps: list[tuple[KeyFacts, Reading]], polls: int, minutes: int):
    fake = Fake(Judgement(routes=ROUTES, confirm_polls=polls, confirm_after=minutes * MINUTE))
    for key, reading in steps:
        before = len(fake.tape)
        news = fake.poll(key, reading)
        said = fake.tape[before:]
        if not isinstance(reading, Listing | Same):
            assert not [entry for entry in said if entry[2].startswith(("model.", "account.", "credits."))]
        assert len(said) == len(set(said))
        assert news.announced == bool(said)
    for destination in {entry[0] for entry in fake.tape}:
        presence_alternates([entry[1:] for entry in fake.tape if entry[0] == destination])
        conditions_alternate([entry[1:] for entry in fake.tape if entry[0] == destination])


def presence_alternates(told: list[tuple[str, ...]]) -> None:
    """A model is never told as new, back or removed twice in a row."""
    word = {"model.added": "there", "model.returned": "there", "model.removed": "gone"}
    last: dict[tuple[str, str], str] = {}
    for key, kind, slug in told:
        if kind in word:
            assert last.get((key, slug)) != word[kind]
            assert kind != "model.returned" or last.get((key, slug)) == "gone"
            last[key, slug] = word[kind]


def conditions_alternate(told: list[tuple[str, ...]]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for subject, kind, edge in told:
        if edge in ("opened", "closed"):
            counts[subject, kind] += 1 if edge == "opened" else -1
            assert counts[subject, kind] in (0, 1)
