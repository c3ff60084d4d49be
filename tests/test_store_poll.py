"""One poll's transaction: what `Poller.record` leaves in the database, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from syncd.core.requests import SavedRequest
from syncd.core.routing import Route
from syncd.demo.vendor import made_up_models
from syncd.poll import Polled
from syncd.store.poll import SET_BACK
from tests import hostile
from tests.conftest import Clock
from tests.watching import Watch, at, listing, listing_text, model, refusal, watching, with_price

A, B, C = model("a"), model("b"), model("c")
TO_ALL = Route("all", "console")


@pytest.fixture
def watch(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[TO_ALL]) as watch:
        watch.add("prod")
        yield watch


def intervals(watch: Watch, key: str = "prod") -> list[tuple[str, str, str | None]]:
    query = """SELECT l.slug, l.valid_from, l.valid_to FROM listings l JOIN api_keys k ON k.id = l.key_id
               WHERE k.name = :key ORDER BY l.slug, l.valid_from"""
    return [(slug, start, end) for slug, start, end in watch.rows(query, key=key)]


def counts(watch: Watch, *tables: str) -> list[int]:
    return [watch.one(f"SELECT COUNT(*) FROM {table}") for table in tables]


# --- the first catalogue -------------------------------------------------------------------------------------------


def announced(watch: Watch) -> list[tuple[str, str]]:
    """Every change that is announced, with where it goes."""
    query = """SELECT c.kind, d.spec FROM announcements a JOIN changes c ON c.id = a.change_id
               JOIN destinations d ON d.id = a.destination_id ORDER BY a.id"""
    return [(kind, spec) for kind, spec in watch.rows(query)]


def test_the_first_catalogue_is_a_baseline_and_that_alone_is_told(watch: Watch, clock: Clock):
    polled = watch.answer("prod", listing(A, B))
    assert (polled.outcome, polled.changes, polled.announced, polled.models) == ("changed", 0, True, 2)
    assert watch.row("SELECT kind, state, severity FROM changes") == ("catalogue.baseline", "baseline", "informational")
    assert watch.one("SELECT state FROM api_keys") == "ok"
    assert intervals(watch) == [("a", at(clock()), None), ("b", at(clock()), None)]
    assert counts(watch, "snapshots", "announcements") == [1, 1]
    assert announced(watch) == [("catalogue.baseline", "console")]
    assert watch.row("SELECT state, not_before, delivery_id FROM announcements") == ("queued", at(clock()), None)


def test_a_first_catalogue_for_nobody_is_a_silent_baseline(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("loud", "console", min_severity="additive")]) as watch:
        assert not watch.answer("prod", listing(A)).announced
        assert watch.row("SELECT kind, state FROM changes") == ("catalogue.baseline", "baseline")
        assert counts(watch, "announcements") == [0]


def test_what_was_observed_first_was_observed_when_the_answer_ended(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    assert watch.one("SELECT observed_at FROM api_keys") == at(clock())


def test_an_empty_first_catalogue_is_a_baseline_too(watch: Watch):
    watch.answer("prod", listing())
    assert watch.row("SELECT model_count, complete FROM snapshots") in [(0, 1), (0, True)]
    assert intervals(watch) == []


# --- runs of polls -------------------------------------------------------------------------------------------------


def test_like_polls_are_one_row(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    for _ in range(3):
        clock.advance(minutes=5)
        assert watch.answer("prod", listing(A)).outcome == "unchanged"
    rows = watch.rows("SELECT outcome, count, last_at FROM polls ORDER BY id")
    assert [row[:2] for row in rows] == [("changed", 1), ("unchanged", 3)]
    assert rows[1][2] == at(clock())


def test_a_poll_at_which_nothing_differs_adds_no_row_anywhere(watch: Watch, clock: Clock):
    tables = ("polls", "snapshots", "listings", "model_versions", "changes", "announcements", "conditions")
    for _ in range(2):
        watch.answer("prod", listing(A, balance=12.1))
        clock.advance(minutes=5)
    before = counts(watch, *tables)
    for _ in range(3):
        watch.answer("prod", listing(A, balance=12.1))
        clock.advance(minutes=5)
    assert counts(watch, *tables) == before


@pytest.mark.parametrize("balance", ["12.1", "0.30000000000000004", "999999999999999.123456", "7", "-3.5", "null"])
def test_an_equal_balance_extends_the_run_whatever_number_it_is(watch: Watch, balance: str):
    body = listing_text(json.dumps(A)).replace(b"1000", balance.encode(), 1)
    for _ in range(4):
        watch.answer("prod", body)
    assert watch.rows("SELECT outcome, count FROM polls ORDER BY id") == [("changed", 1), ("unchanged", 3)]


def test_another_balance_alone_is_a_new_run_and_no_change(watch: Watch):
    watch.answer("prod", listing(A, balance=1000))
    watch.answer("prod", listing(A, balance=1000))
    polled = watch.answer("prod", listing(A, balance=990))
    assert (polled.outcome, polled.changes) == ("unchanged", 0)
    assert watch.rows("SELECT outcome, credits_balance, count FROM polls ORDER BY id") == [
        ("changed", 1000, 1),
        ("unchanged", 1000, 1),
        ("unchanged", 990, 1),
    ]
    assert counts(watch, "snapshots", "changes") == [1, 1]


def test_the_last_poll_of_a_run_leaves_its_request_id(watch: Watch):
    watch.answer("prod", listing(A))
    for number in (1, 2):
        headers = {"x-request-id": f"req_{number}", "x-ratelimit-remaining": str(100 - number)}
        watch.answer("prod", listing(A), headers=headers)
    query = "SELECT request_id, rate_limit_remaining, count FROM polls WHERE outcome = 'unchanged'"
    assert watch.row(query) == ("req_2", 98, 2)


def test_failures_of_one_kind_are_one_run_and_another_kind_begins_another(watch: Watch):
    watch.answer("prod", listing(A))
    for _ in range(2):
        watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    watch.answer("prod", refusal("TIER_LOCKED"), status=403)
    watch.no_answer("prod")
    assert watch.rows("SELECT outcome, http_status, error_code, count FROM polls ORDER BY id") == [
        ("changed", 200, None, 1),
        ("refused", 401, "KEY_REVOKED", 2),
        ("refused", 403, "TIER_LOCKED", 1),
        ("unreachable", None, "timeout", 1),
    ]


# --- what changes leave --------------------------------------------------------------------------------------------


def test_a_change_closes_one_interval_and_opens_the_next_at_the_same_moment(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    first = at(clock())
    clock.advance(minutes=5)
    polled = watch.answer("prod", listing(with_price(A, 12, 24), B))
    second = at(clock())
    assert (polled.outcome, polled.changes, polled.announced) == ("changed", 1, True)
    assert intervals(watch) == [("a", first, second), ("a", second, None), ("b", first, None)]
    assert watch.row("SELECT slug, kind, state, detected_at FROM changes WHERE state <> 'baseline'") == (
        "a",
        "credits.band.raised",
        "announced",
        second,
    )


def test_a_shuffled_listing_is_the_same_state(watch: Watch):
    watch.answer("prod", listing(A, B, C))
    assert watch.answer("prod", listing(C, A, B)).outcome == "unchanged"
    assert counts(watch, "snapshots") == [1]


def test_content_that_comes_back_is_a_third_snapshot_and_a_new_interval_of_the_old_version(watch: Watch):
    for price in (10, 11, 10):
        watch.answer("prod", listing(model("a", price=(price, 20))))
    assert counts(watch, "snapshots", "model_versions", "listings") == [3, 2, 3]
    versions = [row[0] for row in watch.rows("SELECT version_id FROM listings ORDER BY valid_from")]
    assert versions[0] == versions[2] != versions[1]
    digests = [row[0] for row in watch.rows("SELECT digest FROM snapshots ORDER BY id")]
    assert digests[0] == digests[2] != digests[1]


def test_two_keys_share_the_versions_of_equal_models(watch: Watch):
    watch.answer("prod", listing(A, B))
    watch.answer("test", listing(B, A))
    assert counts(watch, "model_versions", "listings") == [2, 4]


def test_a_models_own_text_is_kept_byte_for_byte(watch: Watch):
    text = '{ "slug":"a" , "z": 1.50, "credits_band":{"max":2e1,"min":10.0},\t"name":"caf\\u00e9", "e":"é" }'
    watch.answer("prod", listing_text(text))
    # The test's own reader would decode it.
    assert watch.one("SELECT 'text ' || body FROM model_versions") == f"text {text}"


def test_the_columns_people_query_are_filled_from_the_text(watch: Watch):
    watch.answer("prod", listing(model("a", price=(12.5, 40), name=7, creator=None)))
    query = (
        "SELECT slug, name, category, creator, credits_min, credits_max, params, example_request FROM model_versions"
    )
    params = {"prompt": {"type": "string", "required": True, "max_length": 2000}}
    assert watch.row(query) == ("a", None, "image", None, 12.5, 40, params, {"model": "a"})


def test_conflicting_contents_of_one_slug_are_kept_side_by_side(watch: Watch):
    other = with_price(A, 1, 2)
    watch.answer("prod", listing(A, B, other))
    bodies = watch.one("SELECT body FROM model_versions WHERE slug = 'a'")
    assert sorted(bodies, key=str) == sorted([A, other], key=str)
    assert watch.answer("prod", listing(other, A, B)).outcome == "unchanged"


def test_changed_account_fields_are_stored_with_the_snapshot(watch: Watch):
    watch.answer("prod", listing(A))
    watch.answer("prod", listing(A, tier="ultimate", rate_limit={"calls_per_minute": 480, "concurrent_jobs": 9}))
    query = "SELECT tier, calls_per_minute, concurrent_jobs FROM snapshots ORDER BY id"
    assert watch.rows(query) == [("pro", 240, 5), ("ultimate", 480, 9)]
    kinds = {row[0] for row in watch.rows("SELECT kind FROM changes")}
    assert "account.tier.changed" in kinds


# --- time ----------------------------------------------------------------------------------------------------------


def test_an_older_answer_never_overwrites_a_newer_one(watch: Watch):
    watch.answer("prod", listing(A))
    old = watch.request(listing(A, B))
    new = watch.request(listing(A, C))
    assert watch.record("prod", new).outcome == "changed"
    before = (intervals(watch), counts(watch, "snapshots", "changes"))
    polled = watch.record("prod", old)
    assert (polled.outcome, polled.changes) == ("stale", 0)
    assert (intervals(watch), counts(watch, "snapshots", "changes")) == before
    assert watch.rows("SELECT outcome FROM polls ORDER BY id DESC LIMIT 1") == [("stale",)]
    # What is remembered of the listing is that of the newer one.
    assert watch.answer("prod", listing(A, C)).outcome == "unchanged"


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (401, refusal("KEY_REVOKED")), (503, b"")])
def test_an_older_failure_changes_nothing_either(watch: Watch, status: int, body: bytes):
    watch.answer("prod", listing(A))
    old = watch.request(body, status=status)
    watch.answer("prod", listing(A))
    assert watch.record("prod", old).outcome == "stale"
    assert watch.row("SELECT state, failures, rejected_body FROM api_keys") == ("ok", 0, None)
    assert counts(watch, "conditions") == [0]


def test_an_answer_to_the_very_request_applied_last_is_stale(watch: Watch):
    answer = watch.request(listing(A))
    watch.record("prod", answer)
    assert watch.record("prod", answer).outcome == "stale"


def test_observations_are_in_order_when_the_clock_stands_still(watch: Watch, clock: Clock):
    still = clock()
    for step, body in enumerate([listing(A), listing(B), listing(A)]):
        answer = watch.request(body)
        watch.record("prod", replace(answer, started=still + timedelta(microseconds=step), ended=still))
    taken = [row[0] for row in watch.rows("SELECT taken_at FROM snapshots ORDER BY id")]
    assert taken == [at(still), at(still + timedelta(microseconds=1)), at(still + timedelta(microseconds=2))]


def test_a_clock_set_back_by_hours_stops_nothing(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    ahead = clock()
    clock.advance(hours=-3)
    assert watch.answer("prod", listing(A, B)).outcome == "changed"
    clock.advance(minutes=5)
    assert watch.answer("prod", listing(B)).outcome == "changed"
    taken = [row[0] for row in watch.rows("SELECT taken_at FROM snapshots ORDER BY id")]
    assert taken == [at(ahead), at(ahead + timedelta(microseconds=1)), at(ahead + timedelta(microseconds=2))]


def test_a_little_in_the_future_counts_as_overtaken(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    clock.now -= SET_BACK / 2
    assert watch.answer("prod", listing(B)).outcome == "stale"


def test_a_condition_never_closes_before_it_opened(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    opened = at(clock())
    clock.advance(hours=-1)
    assert watch.answer("prod", listing(A)).outcome == "unchanged"
    assert watch.row("SELECT opened_at, closed_at FROM conditions") == (opened, opened)


# --- failures ------------------------------------------------------------------------------------------------------

FAILURES = {
    "refused": (401, refusal("KEY_REVOKED")),
    "rate limited": (429, refusal("CONCURRENCY_LIMIT")),
    "down": (503, refusal("PROVIDER_DOWN")),
    "moved": (302, b""),
    "no JSON": (200, b"<html>we are on it</html>"),
    "no models": (200, b'{"tier":"pro"}'),
    "half": (200, listing(A, B)[:-40]),
    "empty": (200, b""),
    "nothing": (204, b""),
}


@pytest.mark.parametrize(("status", "body"), FAILURES.values(), ids=FAILURES)
def test_a_failure_leaves_the_catalogue_alone(watch: Watch, clock: Clock, status: int, body: bytes):
    watch.answer("prod", listing(A, B))
    before = (intervals(watch), counts(watch, "snapshots", "changes", "model_versions"))
    for _ in range(3):
        clock.advance(minutes=5)
        assert not watch.answer("prod", body, status=status).good
    assert (intervals(watch), counts(watch, "snapshots", "changes", "model_versions")) == before
    assert watch.one("SELECT COUNT(*) FROM current_models") == 2
    assert watch.answer("prod", listing(A, B)).outcome == "unchanged"


def test_no_answer_leaves_the_catalogue_alone(watch: Watch):
    watch.answer("prod", listing(A))
    for _ in range(3):
        assert watch.no_answer("prod").outcome == "unreachable"
    assert counts(watch, "snapshots", "changes") == [1, 1]
    assert watch.row("SELECT state, failures FROM api_keys") == ("unreachable", 3)


def test_the_last_rejected_body_is_kept_and_only_its_beginning(watch: Watch):
    watch.answer("prod", listing(A))
    watch.answer("prod", b"<html>first</html>")
    watch.answer("prod", b"x" * 65_535 + "é".encode() + b"y" * 100_000)
    assert watch.one("SELECT rejected_body FROM api_keys") == "x" * 65_535 + "\ufffd"
    watch.answer("prod", b"\xff\x00<html>")
    assert watch.one("SELECT rejected_body FROM api_keys") == "\ufffd\ufffd<html>"


def test_a_good_poll_keeps_the_rejected_body_for_diagnosis(watch: Watch):
    watch.answer("prod", b"<html>")
    watch.answer("prod", listing(A))
    assert watch.one("SELECT rejected_body FROM api_keys") == "<html>"


def test_when_to_ask_again_is_known_after_a_restart(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    assert watch.store.schedules()["prod"].retry_at is None
    watch.answer("prod", refusal("RATE_LIMITED"), status=429, headers={"retry-after": "120"})
    schedule = watch.store.schedules()["prod"]
    assert (schedule.retry_at, schedule.retry_scope) == (clock() + timedelta(seconds=120), "account")
    assert schedule.last_poll_at == clock()
    watch.answer("prod", refusal("PROVIDER_DOWN"), status=503)
    assert watch.store.schedules()["prod"].retry_scope == "base_url"
    watch.answer("prod", listing(A))
    assert watch.store.schedules()["prod"].retry_at is None


# --- absence -------------------------------------------------------------------------------------------------------


def test_an_empty_listing_is_observed_and_its_removals_are_held(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    first = at(clock())
    clock.advance(minutes=5)
    polled = watch.answer("prod", listing())
    gone = at(clock())
    # Told is that the listing looks like a fault; not that anything is gone.
    assert (polled.outcome, polled.announced) == ("changed", True)
    assert edges(watch) == [("listing.suspicious", "opened", "console")]
    assert intervals(watch) == [("a", first, gone), ("b", first, gone)]
    assert watch.rows("SELECT slug, state, held_polls FROM changes WHERE slug IS NOT NULL ORDER BY slug") == [
        ("a", "held", 1),
        ("b", "held", 1),
    ]
    assert watch.rows("SELECT slug, missing_since FROM current_models ORDER BY slug") == [("a", gone), ("b", gone)]
    assert announced(watch) == [("catalogue.baseline", "console")]


def test_held_removals_are_told_once_they_are_confirmed(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    watch.answer("prod", listing())
    clock.advance(minutes=29)
    assert not watch.answer("prod", listing()).announced
    clock.advance(minutes=2)
    assert watch.answer("prod", listing()).announced
    assert watch.rows("SELECT state, held_polls FROM changes WHERE slug IS NOT NULL") == [("announced", 3)] * 2
    assert watch.one("SELECT DISTINCT settled_at FROM changes WHERE slug IS NOT NULL") == at(clock())
    assert counts(watch, "current_models") == [0]
    assert announced(watch)[1:] == [("model.removed", "console")] * 2
    # And not again.
    assert not watch.answer("prod", listing()).announced


def test_failures_neither_confirm_nor_retract(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A))
    watch.answer("prod", listing())
    clock.advance(hours=2)
    for _ in range(3):
        watch.answer("prod", b"<html>")
    assert watch.row("SELECT state, held_polls FROM changes WHERE slug = 'a'") == ("held", 1)


def test_a_model_that_is_back_within_its_hold_was_never_gone(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    watch.answer("prod", listing())
    gone = at(clock())
    clock.advance(minutes=5)
    polled = watch.answer("prod", listing(A, with_price(B, 11, 22)))
    back = at(clock())
    assert polled.changes == 1  # the price
    held = "SELECT slug, state, settled_at FROM changes WHERE kind = 'model.removed' ORDER BY slug"
    assert watch.rows(held) == [("a", "retracted", back), ("b", "retracted", back)]
    assert [row[1:] for row in intervals(watch) if row[0] == "a"][-1] == (back, None)
    assert watch.rows("SELECT slug, since, missing_since FROM current_models ORDER BY slug") == [
        ("a", back, None),
        ("b", back, None),
    ]
    assert gone < back


def test_of_held_models_those_that_are_back_are_retracted_and_the_others_stay_held(watch: Watch):
    watch.answer("prod", listing(A, B))
    watch.answer("prod", listing())
    polled = watch.answer("prod", listing(A))
    assert polled.changes == 0
    assert watch.rows("SELECT slug, state, held_polls FROM changes WHERE kind = 'model.removed' ORDER BY slug") == [
        ("a", "retracted", 1),
        ("b", "held", 2),
    ]


def test_a_model_that_returns_after_its_removal_was_told_is_compared_with_what_it_was(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    watch.answer("prod", listing(with_price(A, 15, 20), B))
    watch.answer("prod", listing(B))
    clock.advance(minutes=30)
    assert watch.answer("prod", listing(B)).announced
    polled = watch.answer("prod", listing(with_price(A, 16, 20), B))
    assert polled.changes == 2
    kinds = [row[0] for row in watch.rows("SELECT kind FROM changes WHERE slug = 'a' ORDER BY id")]
    assert kinds == ["credits.band.floor-raised", "model.removed", "model.returned", "credits.band.floor-raised"]
    old, new = watch.rows("SELECT old, new FROM changes WHERE slug = 'a' ORDER BY id DESC LIMIT 1")[0]
    assert (old, new) == ({"min": 15, "max": 20}, {"min": 16, "max": 20})


def test_an_incomplete_listing_closes_nothing(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    clock.advance(minutes=5)
    polled = watch.answer("prod", listing(A, C, next_cursor="2"))
    assert polled.outcome == "changed"
    assert [(slug, end) for slug, _, end in intervals(watch)] == [("a", None), ("b", None), ("c", None)]
    assert watch.one("SELECT COUNT(*) FROM changes WHERE kind = 'model.removed'") == 0
    # What a complete one lacks is gone.
    watch.answer("prod", listing(A, C))
    assert [row[0] for row in watch.rows("SELECT slug FROM changes WHERE kind = 'model.removed'")] == ["b"]


# --- conditions ----------------------------------------------------------------------------------------------------


def edges(watch: Watch) -> list[tuple[str, str, str]]:
    query = """SELECT c.kind, a.edge, d.spec FROM announcements a JOIN conditions c ON c.id = a.condition_id
               JOIN destinations d ON d.id = a.destination_id ORDER BY a.id"""
    return [(kind, edge, spec) for kind, edge, spec in watch.rows(query)]


def test_a_closing_goes_exactly_where_its_opening_went(migrated_url: str, clock: Clock):
    first, second, other = Route("first", "slack:#one"), Route("second", "console"), Route("other", "slack:#two")
    with watching(migrated_url, clock, routes=[first, second]) as watch:
        watch.answer("prod", listing(A))
        watch.answer("prod", refusal("KEY_REVOKED"), status=401)
        watch.answer("prod", refusal("KEY_REVOKED"), status=401)
        assert watch.row("SELECT kind, subject, closed_at FROM conditions") == ("access.rejected", "key:prod", None)
        assert watch.one("SELECT state FROM api_keys") == "rejected"
        # The configuration changes while it is open.
        watch.poller.judgement = replace(watch.poller.judgement, routes=(other,))
        watch.answer("prod", listing(A))
        assert watch.one("SELECT closed_at FROM conditions") == at(clock())
        assert edges(watch) == [
            ("access.rejected", "opened", "slack:#one"),
            ("access.rejected", "opened", "console"),
            ("access.rejected", "closed", "slack:#one"),
            ("access.rejected", "closed", "console"),
            ("access.rejected", "changed", "slack:#one"),
            ("access.rejected", "changed", "console"),
        ]
        routes = "SELECT route FROM announcements WHERE condition_id IS NOT NULL ORDER BY id"
        assert [row[0] for row in watch.rows(routes)] == ["first", "second"] * 3


def test_one_condition_may_open_again_after_it_closed(watch: Watch):
    watch.answer("prod", listing(A))
    for _ in range(2):
        watch.answer("prod", refusal("TIER_LOCKED"), status=403)
        watch.answer("prod", listing(A))
    assert watch.one("SELECT COUNT(*) FROM conditions WHERE kind = 'access.tier-locked'") == 2
    assert [edge for _, edge, _ in edges(watch)] == ["opened", "closed", "changed"] * 2


def test_an_outage_is_one_condition_for_all_keys_at_an_address(watch: Watch, clock: Clock):
    watch.add("elsewhere", base_url="https://other.example")
    for key in ("prod", "test", "elsewhere"):
        watch.answer(key, listing(A))
    for _ in range(2):
        for key in ("prod", "test"):
            watch.no_answer(key)
    watch.answer("elsewhere", listing(A))
    query = "SELECT kind, subject, detail, closed_at FROM conditions"
    kind, subject, detail, closed = watch.row(query)
    assert (kind, subject, closed) == ("vendor.unreachable", "url:https://vendor.example", None)
    assert detail["keys"] == {"prod": "failing", "test": "failing"}
    watch.answer("prod", listing(A))
    assert watch.row(query)[3] is None
    # That it has changed is said once, until what was told of it is brought up to date.
    assert edges(watch) == [
        ("vendor.unreachable", "opened", "console"),
        ("vendor.unreachable", "changed", "console"),
    ]
    clock.advance(minutes=1)
    watch.answer("test", listing(A))
    kind, subject, detail, closed = watch.row(query)
    assert (detail["keys"], detail["recovered"], closed) == ({}, ["prod", "test"], at(clock()))
    assert edges(watch) == [
        ("vendor.unreachable", "opened", "console"),
        ("vendor.unreachable", "changed", "console"),
        ("vendor.unreachable", "closed", "console"),
    ]


def test_a_condition_that_changes_again_is_to_be_told_again(watch: Watch):
    """The one announcement of its changes goes back to the queue, whatever had become of it."""
    for key in ("prod", "test"):
        watch.answer(key, listing(A))
        watch.no_answer(key)
    watch.no_answer("prod")
    assert [edge for _, edge, _ in edges(watch)] == ["opened"]
    query = "SELECT state, not_before FROM announcements WHERE edge = 'changed'"
    for act in (watch.no_answer, lambda key: watch.answer(key, listing(A))):
        act("test")
        assert watch.row(query) == ("queued", at(watch.clock()))
        watch.write("UPDATE announcements SET state = 'dropped' WHERE edge = 'changed'")
    watch.no_answer("prod")  # goes on failing: nothing has changed
    assert watch.one("SELECT state FROM announcements WHERE edge = 'changed'") == "dropped"
    assert [edge for _, edge, _ in edges(watch)] == ["opened", "changed"]


def test_one_failure_alone_opens_nothing(watch: Watch):
    watch.answer("prod", listing(A))
    watch.no_answer("prod")
    watch.answer("prod", listing(A))
    watch.no_answer("prod")
    assert counts(watch, "conditions") == [0]
    assert watch.row("SELECT state, failures FROM api_keys") == ("ok", 1)


# --- removals that are held ----------------------------------------------------------------------------------------

HERO = SavedRequest("hero", {"model": "a", "prompt": "a harbour"})


def later(watch: Watch, body: bytes, *, hours: float = 0, minutes: float = 0) -> Polled:
    """The next poll, so much after the last one."""
    watch.clock.advance(hours=hours, minutes=minutes)
    return watch.answer("prod", body)


def removals(watch: Watch, slug: str = "a") -> list[tuple[str, int, str | None]]:
    """Every removal of the model: its state, the polls that missed it, when it was settled."""
    query = """SELECT state, held_polls, settled_at FROM changes
               WHERE slug = :slug AND kind = 'model.removed' ORDER BY id"""
    return [(state, polls, settled) for state, polls, settled in watch.rows(query, slug=slug)]


def tellings(watch: Watch, kind: str = "%") -> list[tuple[str, str | None, str, str]]:
    """What is to be told of changes: the kind, the edge of one that was held, where, and what became of it."""
    query = """SELECT c.kind, a.edge, d.spec, a.state FROM announcements a JOIN changes c ON c.id = a.change_id
               JOIN destinations d ON d.id = a.destination_id
               WHERE c.state <> 'baseline' AND c.kind LIKE :kind ORDER BY a.id"""
    return [(found, edge, spec, state) for found, edge, spec, state in watch.rows(query, kind=kind)]


def destinations(watch: Watch, kind: str) -> set[str]:
    """Where the changes of the kind themselves are told."""
    return {spec for _, edge, spec, state in tellings(watch, kind) if edge is None and state == "queued"}


def sent(watch: Watch) -> None:
    """All that waits is delivered."""
    watch.write("UPDATE announcements SET state = 'sent' WHERE state = 'queued'")


def reroute(watch: Watch, *routes: Route) -> None:
    """The operator changes where alerts go."""
    watch.poller.judgement = replace(watch.poller.judgement, routes=routes)


def test_a_removal_is_observed_at_once_and_told_when_it_is_certain(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    first = at(clock())
    assert not later(watch, listing(B), minutes=10).announced
    gone = at(clock())
    missing = "SELECT slug, missing_since FROM current_models ORDER BY slug"
    history = "SELECT valid_from, valid_to FROM model_history WHERE slug = 'a'"
    assert removals(watch) == [("held", 1, None)]
    assert watch.rows(missing) == [("a", gone), ("b", None)]
    assert watch.rows(history) == [(first, gone)]

    assert not later(watch, listing(B), minutes=29).announced
    assert removals(watch) == [("held", 2, None)]

    assert later(watch, listing(B), minutes=1).announced
    assert removals(watch) == [("announced", 3, at(clock()))]
    assert watch.rows(missing) == [("b", None)]
    # That it was told late changes nothing of when it was so.
    assert watch.rows(history) == [(first, gone)]
    assert watch.one("SELECT detected_at FROM changes WHERE slug = 'a'") == gone
    assert tellings(watch) == [("model.removed", None, "console", "queued")]


def test_time_alone_does_not_confirm(watch: Watch):
    watch.answer("prod", listing(A, B))
    watch.answer("prod", listing(B))
    watch.clock.advance(hours=5)
    watch.answer("prod", b"<html>")
    watch.no_answer("prod")
    watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    assert removals(watch) == [("held", 1, None)]
    watch.answer("prod", listing(B))
    assert removals(watch) == [("announced", 2, at(watch.clock()))]


def test_a_removal_that_no_route_wants_is_held_too_and_then_recorded(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock) as watch:
        watch.answer("prod", listing(A, B))
        watch.answer("prod", listing(B))
        assert removals(watch) == [("held", 1, None)]
        later(watch, listing(B), minutes=30)
        assert removals(watch) == [("recorded", 2, at(clock()))]
        assert watch.rows("SELECT slug FROM current_models") == [("b",)]


def test_a_model_that_blinks_leaves_a_gap_in_its_history_and_no_announcement(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    first = at(clock())
    later(watch, listing(B), minutes=5)
    gone = at(clock())
    assert not later(watch, listing(A, B), minutes=20).announced
    back = at(clock())
    assert removals(watch) == [("retracted", 1, back)]
    assert watch.rows("SELECT valid_from, valid_to FROM model_history WHERE slug = 'a' ORDER BY valid_from") == [
        (first, gone),
        (back, None),
    ]
    later(watch, listing(A, B), hours=1)
    assert removals(watch) == [("retracted", 1, back)]
    assert tellings(watch) == []


def test_each_absence_is_held_anew(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B))
    later(watch, listing(B), minutes=5)
    later(watch, listing(A, B), minutes=20)
    back = at(clock())
    later(watch, listing(B), minutes=20)
    later(watch, listing(B), minutes=20)
    assert removals(watch) == [("retracted", 1, back), ("held", 2, None)]
    later(watch, listing(B), minutes=10)
    assert removals(watch) == [("retracted", 1, back), ("announced", 3, at(clock()))]


def test_a_clock_that_is_set_back_makes_no_hold_longer(watch: Watch, clock: Clock):
    """How long it has waited nobody can say; three listings say enough."""
    watch.answer("prod", listing(A, B))
    watch.answer("prod", listing(B))
    later(watch, listing(B), hours=-3)
    assert removals(watch) == [("held", 2, None)]
    later(watch, listing(B), minutes=5)
    assert [state for state, _, _ in removals(watch)] == ["announced"]


# --- removals that a saved request cannot wait for -----------------------------------------------------------------


@pytest.fixture
def needy(migrated_url: str, clock: Clock):
    """A key that uses model a, with one destination that hears of everything and one that wants prices only."""
    prices = Route("prices", "slack:#prices", kinds=("credits.*",))
    with watching(migrated_url, clock, routes=[TO_ALL, prices], requests=[HERO]) as watch:
        watch.answer("prod", listing(A, B))
        yield watch


UNCONFIRMED = ("model.removed", "unconfirmed", "console")


def test_that_a_model_in_use_is_missing_is_told_at_once(needy: Watch, clock: Clock):
    assert later(needy, listing(B), minutes=5).announced
    assert removals(needy) == [("held", 1, None)]
    assert tellings(needy) == [(*UNCONFIRMED, "queued")]
    assert needy.one("SELECT not_before FROM announcements WHERE edge = 'unconfirmed'") == at(clock())
    # And once.
    assert not later(needy, listing(B), minutes=5).announced
    assert tellings(needy) == [(*UNCONFIRMED, "queued")]


def test_a_model_that_nobody_uses_can_wait(needy: Watch):
    assert not later(needy, listing(A), minutes=5).announced
    assert (removals(needy, "b"), tellings(needy)) == ([("held", 1, None)], [])


def test_those_who_were_told_are_told_that_it_is_certain(needy: Watch, clock: Clock):
    later(needy, listing(B), minutes=5)
    sent(needy)
    # Also where no route leads any more; and whoever wants it by now.
    reroute(needy, Route("new", "slack:#new"))
    assert later(needy, listing(B), minutes=30).announced
    assert removals(needy) == [("announced", 2, at(clock()))]
    told, *confirmed = tellings(needy)
    assert told == (*UNCONFIRMED, "sent")
    assert sorted(confirmed, key=str) == [
        ("model.removed", None, "console", "queued"),
        ("model.removed", None, "slack:#new", "queued"),
    ]


def test_those_who_were_told_are_told_that_it_is_back(needy: Watch, clock: Clock):
    later(needy, listing(B), minutes=5)
    sent(needy)
    reroute(needy, Route("new", "slack:#new"))
    assert later(needy, listing(A, B), minutes=20).announced
    assert removals(needy) == [("retracted", 1, at(clock()))]
    assert tellings(needy) == [(*UNCONFIRMED, "sent"), ("model.removed", "back", "console", "queued")]


def test_what_is_certain_before_it_was_told_as_unconfirmed_is_told_once(needy: Watch):
    later(needy, listing(B), minutes=5)
    later(needy, listing(B), minutes=30)
    assert tellings(needy) == [(*UNCONFIRMED, "dropped"), ("model.removed", None, "console", "queued")]


def test_what_is_back_before_it_was_told_as_unconfirmed_is_never_told(needy: Watch):
    later(needy, listing(B), minutes=5)
    later(needy, listing(A, B), minutes=20)
    assert [state for state, _, _ in removals(needy)] == ["retracted"]
    assert tellings(needy) == [(*UNCONFIRMED, "dropped")]


def test_what_differs_when_it_is_back_is_told_beside_that(needy: Watch):
    later(needy, listing(B), minutes=5)
    sent(needy)
    assert later(needy, listing(with_price(A, 11, 20), B), minutes=20).announced
    assert tellings(needy)[1:] == [
        ("credits.band.floor-raised", None, "console", "queued"),
        ("credits.band.floor-raised", None, "slack:#prices", "queued"),
        ("model.removed", "back", "console", "queued"),
    ]


def test_what_keeps_blinking_is_told_as_unconfirmed_twice_a_day(needy: Watch):
    for _ in range(6):
        later(needy, listing(B), minutes=30)
        sent(needy)
        later(needy, listing(A, B), minutes=15)
        sent(needy)
    assert [state for state, _, _ in removals(needy)] == ["retracted"] * 6
    assert [edge for _, edge, _, _ in tellings(needy)] == ["unconfirmed", "back"] * 2


def test_of_an_empty_listing_the_condition_names_the_requests_and_nothing_is_told_as_unconfirmed(needy: Watch):
    later(needy, listing(), minutes=5)
    assert tellings(needy) == []
    assert needy.one("SELECT detail FROM conditions")["requests"] == ["hero"]


# --- there and back ------------------------------------------------------------------------------------------------


def prices(watch: Watch) -> list[tuple[str, dict[str, Any]]]:
    """The states of the changes of a's price, with what is known of each."""
    query = "SELECT state, detail FROM changes WHERE slug = 'a' AND kind LIKE 'credits.%' ORDER BY id"
    return [(state, detail) for state, detail in watch.rows(query)]


def costing(low: int) -> bytes:
    return listing(with_price(A, low, 100))


def last(watch: Watch) -> tuple[Any, ...]:
    """The last change: its number, kind, state and detail."""
    return watch.rows("SELECT id, kind, state, detail FROM changes ORDER BY id DESC LIMIT 1")[0]


def told_of(watch: Watch, change: int) -> list[tuple[str, str, str | None, str]]:
    query = """SELECT d.spec, a.route, a.edge, a.state FROM announcements a
               JOIN destinations d ON d.id = a.destination_id WHERE a.change_id = :change ORDER BY d.spec"""
    return [(spec, route, edge, state) for spec, route, edge, state in watch.rows(query, change=change)]


def test_a_revert_is_told_where_what_it_takes_back_was_told_and_nowhere_else(migrated_url: str, clock: Clock):
    one, two = Route("one", "console"), Route("two", "slack:#two")
    with watching(migrated_url, clock, routes=[one, two]) as watch:
        watch.answer("prod", costing(10))
        later(watch, costing(12), hours=1)
        original, _, state, detail = last(watch)
        assert (state, "reverts" in detail) == ("announced", False)
        reroute(watch, Route("three", "slack:#three"))
        later(watch, costing(10), hours=23)
        revert, kind, state, detail = last(watch)
        assert (kind, state, detail["reverts"]) == ("credits.band.floor-lowered", "announced", original)
        assert told_of(watch, revert) == told_of(watch, original)
        assert told_of(watch, revert) == [("console", "one", None, "queued"), ("slack:#two", "two", None, "queued")]


def test_a_revert_that_breaks_goes_where_its_own_routes_lead_too(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("one", "console")]) as watch:
        watch.answer("prod", listing(taking(8)))
        later(watch, listing(taking(10)), hours=1)
        original = last(watch)[0]
        reroute(watch, Route("loud", "slack:#loud", min_severity="breaking"))
        later(watch, listing(taking(8)), hours=1)
        revert, kind, _, detail = last(watch)
        assert (kind, detail["reverts"]) == ("param.max.lowered", original)
        assert told_of(watch, revert) == [("console", "one", None, "queued"), ("slack:#loud", "loud", None, "queued")]


def taking(most: int) -> dict[str, Any]:
    return model("a", params={"count": {"type": "integer", "min": 1, "max": most}})


def test_a_day_later_it_is_a_change_like_any_other(watch: Watch):
    watch.answer("prod", costing(10))
    later(watch, costing(12), hours=1)
    later(watch, costing(10), hours=25)
    assert ["reverts" in detail for _, detail in prices(watch)] == [False, False]
    assert len(tellings(watch)) == 2


def test_what_was_too_small_to_tell_is_too_small_to_take_back(migrated_url: str, clock: Clock):
    loud, quiet = Route("loud", "console"), Route("quiet", "slack:#money", min_percent=Decimal(50))
    with watching(migrated_url, clock, routes=[loud, quiet]) as watch:
        watch.answer("prod", costing(10))
        later(watch, costing(11), hours=1)
        original = last(watch)[0]
        later(watch, costing(10), hours=1)
        revert, _, _, detail = last(watch)
        assert detail["reverts"] == original
        for change in (original, revert):
            assert [(spec, state) for spec, _, _, state in told_of(watch, change)] == [
                ("console", "queued"),
                ("slack:#money", "below_threshold"),
            ]


def test_what_was_only_recorded_is_taken_back_in_silence(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("quiet", "console", min_percent=Decimal(50))]) as watch:
        watch.answer("prod", costing(10))
        later(watch, costing(11), hours=1)
        assert not later(watch, costing(10), hours=1).announced
        assert [state for state, _ in prices(watch)] == ["recorded", "recorded"]
        assert [state for *_, state in tellings(watch)] == ["below_threshold"] * 2


def test_a_revert_of_something_else_is_none(watch: Watch):
    """Another model's price, another value, and what is not led back to where it was."""
    watch.answer("prod", listing(with_price(A, 10, 100), with_price(B, 12, 100)))
    later(watch, listing(with_price(A, 12, 100), with_price(B, 12, 100)), hours=1)
    later(watch, listing(with_price(A, 12, 100), with_price(B, 10, 100)), hours=1)
    later(watch, listing(with_price(A, 11, 100), with_price(B, 10, 100)), hours=1)
    assert watch.rows("SELECT detail FROM changes WHERE detail LIKE '%reverts%'") == []


# --- flapping ------------------------------------------------------------------------------------------------------


@pytest.fixture
def flapping(watch: Watch):
    """A price that has gone up, down and up again, an hour apart."""
    watch.answer("prod", costing(10))
    for low in (12, 10, 12):
        later(watch, costing(low), hours=1)
    return watch


def test_the_third_change_of_a_path_is_told_as_flapping(flapping: Watch):
    first = flapping.rows("SELECT id, detected_at FROM changes WHERE slug = 'a' ORDER BY id")[0]
    (_, once), (_, back), (state, thrice) = prices(flapping)
    assert (once.keys() & {"reverts", "flapping"}, back["reverts"], state) == (set(), first[0], "announced")
    since = f"{first[1][:10]}T{first[1][11:19]}Z"
    assert (thrice["flapping"], "reverts" in thrice) == ({"times": 3, "since": since, "stable": "6h"}, False)
    assert [(edge, state) for _, edge, _, state in tellings(flapping)] == [(None, "queued")] * 3


def test_the_fourth_is_held_and_names_the_notice(flapping: Watch):
    notice = last(flapping)[0]
    assert not later(flapping, costing(10), hours=1).announced
    change, _, state, detail = last(flapping)
    assert (state, told_of(flapping, change)) == ("held", [])
    assert (detail["flapping"]["times"], detail["flapping"]["notice"]) == (4, notice)
    assert flapping.one("SELECT held_changes FROM key_status") == 1
    # It has been observed all the same.
    assert flapping.one("SELECT credits_min FROM current_models") == 10


def test_what_undoes_a_held_one_retracts_both(flapping: Watch):
    later(flapping, costing(10), hours=1)
    assert not later(flapping, costing(12), hours=1).announced
    assert [state for state, _ in prices(flapping)[3:]] == ["retracted", "retracted"]
    assert flapping.rows("SELECT settled_at IS NULL FROM changes WHERE state = 'retracted' ORDER BY id")[0] in [
        (0,),
        (False,),
    ]
    assert len(tellings(flapping)) == 3


def test_what_replaces_a_held_one_is_held_in_its_place(flapping: Watch):
    """Down from 12 to 10, which was there before, and from there to 9, which costs less: nothing that hurts."""
    later(flapping, costing(10), hours=1)
    later(flapping, costing(9), hours=1)
    assert [state for state, _ in prices(flapping)[3:]] == ["retracted", "held"]
    assert len(tellings(flapping)) == 3


def test_what_holds_for_six_hours_is_told_as_settled(flapping: Watch, clock: Clock):
    notice = last(flapping)[0]
    later(flapping, costing(10), hours=1)
    held = last(flapping)[0]
    assert not later(flapping, costing(10), hours=5.9).announced
    assert later(flapping, costing(10), hours=0.2).announced
    query = "SELECT state, settled_at, detail FROM changes WHERE id = :held"
    state, settled, detail = flapping.row(query, held=held)
    assert (state, settled, detail["flapping"]["notice"]) == ("announced", at(clock()), notice)
    assert told_of(flapping, held) == [("console", "all", None, "queued")]
    # Once.
    assert not later(flapping, costing(10), hours=7).announced


def test_a_price_that_was_never_there_is_told_however_it_flaps(flapping: Watch):
    """Nothing dearer is waited out."""
    assert later(flapping, costing(90), hours=1).announced
    assert prices(flapping)[-1][0] == "announced"


def test_after_six_quiet_hours_it_begins_anew(flapping: Watch):
    later(flapping, costing(10), hours=7)
    assert prices(flapping)[-1][0] == "announced"


def test_values_that_come_together_do_not_flap(watch: Watch):
    """Every value is a change of its own, and all of them have one path."""

    def offering(*values: str) -> bytes:
        return listing(model("a", params={"size": {"type": "string", "values": list(values)}}))

    watch.answer("prod", offering("s"))
    later(watch, offering("s", "m", "l"), hours=1)
    later(watch, offering("s", "m", "l", "xl", "xxl"), hours=1)
    assert watch.rows("SELECT kind, state, COUNT(*) FROM changes WHERE slug = 'a' GROUP BY kind, state") == [
        ("param.enum.value-added", "announced", 4)
    ]
    assert watch.rows("SELECT 1 FROM changes WHERE detail LIKE '%flapping%' OR detail LIKE '%reverts%'") == []
    # Each goes its own way back.
    later(watch, offering("s", "m", "xl", "xxl"), hours=1)
    (added,) = watch.row("SELECT id FROM changes WHERE new LIKE '%\"l\"%'")
    _, kind, state, detail = last(watch)
    assert (kind, state, detail["reverts"]) == ("param.enum.value-removed", "announced", added)


# --- listings that look like a fault -------------------------------------------------------------------------------

TEN = [model(f"m{number}") for number in range(10)]
FOUR = TEN[:4]


@pytest.fixture
def dropped(watch: Watch):
    """Six of ten models are missing."""
    watch.answer("prod", listing(*TEN))
    later(watch, listing(*FOUR), minutes=5)
    return watch


def doubts(watch: Watch) -> dict[str, Any]:
    """The one condition's detail."""
    kind, subject, detail = watch.row("SELECT kind, subject, detail FROM conditions")
    assert (kind, subject) == ("listing.suspicious", "key:prod")
    found: dict[str, Any] = detail
    return found


def closed(watch: Watch) -> bool:
    return watch.one("SELECT closed_at FROM conditions") is not None


def lost(watch: Watch) -> list[tuple[str, int, int]]:
    """The removals: their states, the polls that missed the models, how many there are of each."""
    query = """SELECT state, held_polls, COUNT(*) FROM changes WHERE kind = 'model.removed'
               GROUP BY state, held_polls ORDER BY state, held_polls"""
    return [(state, polls, number) for state, polls, number in watch.rows(query)]


def test_a_listing_that_lacks_many_models_opens_a_condition(dropped: Watch):
    assert doubts(dropped) == {"keys": {"prod": "suspicious"}, "why": "drop", "missing": 6, "of": 10, "clean": 0}
    assert edges(dropped) == [("listing.suspicious", "opened", "console")]
    assert lost(dropped) == [("held", 1, 6)]
    suspect = [detail for (detail,) in dropped.rows("SELECT detail FROM changes WHERE kind = 'model.removed'")]
    assert [detail["suspicious"] for detail in suspect] == [True] * 6
    assert dropped.rows("SELECT COUNT(*), COUNT(missing_since) FROM current_models") == [(10, 6)]


def test_it_closes_after_three_clean_listings(dropped: Watch):
    for clean in (1, 2):
        later(dropped, listing(*TEN), minutes=5)
        assert (doubts(dropped)["clean"], closed(dropped)) == (clean, False)
    assert lost(dropped) == [("retracted", 1, 6)]
    later(dropped, listing(*TEN), minutes=5)
    assert closed(dropped)
    assert "confirmed" not in doubts(dropped)
    assert [edge for _, edge, _ in edges(dropped)] == ["opened", "closed", "changed"]
    assert tellings(dropped) == []


def test_clean_listings_are_counted_running(dropped: Watch):
    for body, clean in ((TEN, 1), (TEN, 2), (FOUR, 0), (TEN, 1)):
        later(dropped, listing(*body), minutes=5)
        assert doubts(dropped)["clean"] == clean
    # A failure is no listing.
    dropped.answer("prod", b"<html>")
    assert doubts(dropped)["clean"] == 1
    assert dropped.one("SELECT COUNT(*) FROM conditions") == 1


def test_a_vendor_that_alternates_is_told_once(dropped: Watch):
    for _ in range(10):
        later(dropped, listing(*TEN), minutes=5)
        later(dropped, listing(*FOUR), minutes=5)
    assert [edge for _, edge, _ in edges(dropped)] == ["opened"]
    assert tellings(dropped) == []
    assert lost(dropped) == [("held", 1, 6), ("retracted", 1, 60)]


def test_what_a_suspicious_listing_lacks_needs_three_listings(dropped: Watch, clock: Clock):
    later(dropped, listing(*FOUR), hours=1)
    assert lost(dropped) == [("held", 2, 6)]
    assert later(dropped, listing(*FOUR), minutes=5).announced
    assert lost(dropped) == [("announced", 3, 6)]
    assert closed(dropped)
    assert doubts(dropped)["confirmed"] == 6
    assert [edge for _, edge, _ in edges(dropped)] == ["opened", "closed", "changed"]
    assert tellings(dropped) == [("model.removed", None, "console", "queued")] * 6
    assert dropped.rows("SELECT DISTINCT settled_at FROM changes WHERE kind = 'model.removed'") == [(at(clock()),)]


def test_three_listings_within_the_time_are_not_enough(dropped: Watch):
    for _ in range(3):
        later(dropped, listing(*FOUR), minutes=5)
    assert lost(dropped) == [("held", 4, 6)]
    later(dropped, listing(*FOUR), minutes=15)
    assert lost(dropped) == [("announced", 5, 6)]


def test_of_a_suspicious_listing_some_may_come_back_and_some_be_gone(dropped: Watch):
    later(dropped, listing(*TEN[:7]), minutes=5)
    assert lost(dropped) == [("held", 2, 3), ("retracted", 1, 3)]
    later(dropped, listing(*TEN[:7]), minutes=30)
    assert lost(dropped) == [("announced", 3, 3), ("retracted", 1, 3)]
    assert (closed(dropped), doubts(dropped)["confirmed"]) == (True, 3)


def test_a_secret_of_another_account_is_suspected(watch: Watch, clock: Clock):
    """Half of all that either lists is not in the other; without a new secret that would be a change like any other."""
    watch.answer("prod", listing(A, B))
    clock.advance(minutes=5)
    watch.keys["prod"] = replace(watch.keys["prod"], fingerprint="fedcba98")
    watch.store.register(watch.keys.values(), clock())
    later(watch, listing(B, C), minutes=5)
    assert {name: doubts(watch)[name] for name in ("why", "missing", "of")} == {"why": "rotated", "missing": 1, "of": 2}
    assert removals(watch) == [("held", 1, None)]
    later(watch, listing(B, C), hours=1)
    assert (removals(watch), closed(watch)) == ([("held", 2, None)], False)


def test_an_incomplete_listing_ends_nothing_and_holds_nothing(watch: Watch, clock: Clock):
    watch.answer("prod", listing(A, B, C))
    first = at(clock())
    later(watch, listing(B, C), minutes=5)
    gone = at(clock())
    assert later(watch, listing(C, model("d"), next_cursor="2"), hours=1).outcome == "changed"
    added = at(clock())
    # It ends no interval, begins no absence, and is no further proof of the one that is held.
    assert intervals(watch) == [("a", first, gone), ("b", first, None), ("c", first, None), ("d", added, None)]
    assert (removals(watch), removals(watch, "b")) == ([("held", 1, None)], [])
    assert {name: doubts(watch)[name] for name in ("why", "missing")} == {"why": "incomplete", "missing": 0}
    # The same bytes again prove nothing either.
    later(watch, listing(C, model("d"), next_cursor="2"), hours=1)
    assert removals(watch) == [("held", 1, None)]
    assert doubts(watch)["clean"] == 0
    for clean in (1, 2, 3):
        later(watch, listing(B, C, model("d")), minutes=5)
        assert doubts(watch)["clean"] == clean
    assert closed(watch)
    assert [state for state, _, _ in removals(watch)] == ["announced"]


# --- days later ----------------------------------------------------------------------------------------------------


def test_a_model_that_is_back_after_days_is_told_where_its_removal_was_and_where_its_own_routes_lead(
    migrated_url: str, clock: Clock
):
    gone = Route("gone", "slack:#gone", kinds=("model.removed",))
    back = Route("back", "slack:#back", kinds=("model.returned",))
    other = Route("other", "slack:#prices", kinds=("credits.*",))
    with watching(migrated_url, clock, routes=[TO_ALL, gone, back, other]) as watch:
        watch.answer("prod", listing(A, B))
        later(watch, listing(B), minutes=5)
        later(watch, listing(B), minutes=30)
        assert destinations(watch, "model.removed") == {"console", "slack:#gone"}
        later(watch, listing(A, B), hours=72)
        assert destinations(watch, "model.returned") == {"console", "slack:#gone", "slack:#back"}
        assert len(tellings(watch, "model.returned")) == 3


def test_a_return_that_no_route_wants_is_told_where_the_removal_was(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("gone", "slack:#gone", kinds=("model.removed",))]) as watch:
        for _ in range(2):
            watch.answer("prod", listing(A, B))
            later(watch, listing(B), minutes=5)
            later(watch, listing(B), minutes=30)
            clock.advance(days=3)
        watch.answer("prod", listing(A, B))
        assert tellings(watch, "model.returned") == [("model.returned", None, "slack:#gone", "queued")] * 2
        assert watch.rows("SELECT DISTINCT state FROM changes WHERE kind = 'model.returned'") == [("announced",)]


# --- thresholds ----------------------------------------------------------------------------------------------------


def test_small_steps_add_up_against_the_price_last_told(migrated_url: str, clock: Clock):
    routes = [Route("loud", "console"), Route("quiet", "slack:#money", min_percent=Decimal(5))]
    with watching(migrated_url, clock, routes=routes) as watch:
        watch.answer("prod", listing(model("a", price=(100, 100))))
        for price in (102, 104, 106, 108, 112):
            watch.answer("prod", listing(model("a", price=(price, price))))
        query = """SELECT a.state FROM announcements a JOIN destinations d ON d.id = a.destination_id
                   JOIN changes c ON c.id = a.change_id
                   WHERE d.spec = :spec AND c.state <> 'baseline' ORDER BY a.id"""
        quiet = [row[0] for row in watch.rows(query, spec="slack:#money")]
        # 102 and 104 against 100; 106 is told; 108 against 106; 112 is told.
        assert quiet == ["below_threshold", "below_threshold", "queued", "below_threshold", "queued"]
        assert [row[0] for row in watch.rows(query, spec="console")] == ["queued"] * 5


def test_a_change_told_nowhere_else_but_weighed_is_recorded(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("quiet", "console", min_percent=Decimal(50))]) as watch:
        watch.answer("prod", listing(model("a", price=(100, 100))))
        assert not watch.answer("prod", listing(model("a", price=(101, 101)))).announced
        assert watch.one("SELECT state FROM changes WHERE slug = 'a'") == "recorded"


# --- what may not break it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", hostile.ODD.values(), ids=hostile.ODD)
def test_odd_answers_can_be_stored_and_shown(watch: Watch, reply):
    watch.answer("prod", hostile.listing().body)
    watch.answer("prod", reply().body)
    watch.answer("prod", hostile.listing(models=[]).body)
    watch.answer("prod", reply().body)
    for view in ("current_models", "model_history", "credit_history", "param_history", "change_log", "poll_log"):
        watch.rows(f"SELECT * FROM {view}")


@pytest.mark.parametrize("reply", [*hostile.MALFORMED.values()], ids=hostile.MALFORMED)
def test_answers_that_are_no_listing_can_be_stored(watch: Watch, reply):
    assert watch.answer("prod", reply().body).outcome == "malformed"


NASTY = [
    r"a\u0000b",
    r"\ud800",
    r"x\udfff\u0000",
    r"\\u0000",
    r"'; DROP TABLE api_keys; --",
    r"%s %(name)s :name ? \\",
    r"\u202e\u2066 rtl",
    r"\ud83d\ude00 emoji",
    r"a\/b~c\"d",
    r"\u2028\u2029\u007f\u0001",
]


@pytest.mark.parametrize("text", NASTY)
def test_any_text_can_stand_anywhere(watch: Watch, text: str):
    def body(suffix: str) -> bytes:
        nasty = (
            f'{{"slug":"{text}","name":"{text}{suffix}","category":"{text}{suffix}","{text}":"{text}",'
            f'"params":{{"{text}":{{"type":"{text}","default":"{text}{suffix}","values":["{text}"]}}}},'
            f'"credits_band":{{"min":1,"max":2,"{text}":"{text}{suffix}"}},"example_request":{{"{text}":"{text}"}}}}'
        )
        return listing_text(nasty, top=f',"tier":"{text}{suffix}","{text}":"{text}{suffix}"')

    for part in (body(""), body("2"), listing(), body("3")):
        assert watch.answer("prod", part).good
    failed = f'{{"error":"{text}","message":"{text}","next":"{text}","request_id":"{text}"}}'.encode()
    watch.answer("prod", failed, status=403, headers={"x-request-id": "bad \x00 \udcff"})
    assert watch.one("SELECT COUNT(*) FROM change_log") > 3
    for view in ("current_models", "param_history", "condition_log", "key_status"):
        assert watch.rows(f"SELECT * FROM {view}")


NUMBERS = ["0", "-5", "1e-300", "1" + "0" * 14, "1" + "0" * 15, "9" * 399, "1e300", "0." + "3" * 300, "12.5", "-0.0"]


@pytest.mark.parametrize("number", NUMBERS)
def test_any_number_can_be_a_price_a_limit_or_a_balance(watch: Watch, number: str):
    def body(other: str) -> bytes:
        one = f'{{"slug":"a","credits_band":{{"min":{other},"max":{number}}},"params":{{"n":{{"min":{number}}}}}}}'
        text = listing_text(one, top=f',"rate_limit":{{"calls_per_minute":{number},"concurrent_jobs":{number}}}')
        return text.replace(b"1000", number.encode(), 1)

    assert watch.answer("prod", body("1")).outcome == "changed"
    assert watch.answer("prod", body("2")).outcome == "changed"
    assert watch.answer("prod", body("2")).outcome == "unchanged"
    for view in ("current_models", "credit_history", "param_history", "change_log", "key_status", "balance_history"):
        watch.rows(f"SELECT * FROM {view}")


def test_a_price_beyond_measure_stands_in_the_text_only(watch: Watch):
    watch.answer("prod", listing(model("a", price=(10**15, 10**18)), model("b", price=(1, 10**15 - 1))))
    query = "SELECT slug, credits_min, credits_max FROM model_versions ORDER BY slug"
    assert watch.rows(query) == [("a", None, None), ("b", 1, 10**15 - 1)]


def test_ten_thousand_models_are_stored_within_seconds(watch: Watch):
    models = made_up_models(10_000)
    began = time.monotonic()
    watch.answer("prod", listing(*models))
    watch.answer("prod", listing(*models[:-1]))
    watch.answer("prod", listing())
    watch.clock.advance(minutes=30)
    watch.answer("prod", listing())
    # One was missing before: the others are suspect, so a third listing must agree.
    assert watch.one("SELECT COUNT(*) FROM current_models") == 9_999
    watch.answer("prod", listing())
    assert watch.one("SELECT COUNT(*) FROM current_models") == 0
    assert watch.one("SELECT COUNT(*) FROM changes WHERE state = 'announced'") == 10_000
    # A promise of no particular speed; what is quadratic takes minutes.
    assert time.monotonic() - began < 60


# --- what is remembered --------------------------------------------------------------------------------------------


def test_the_same_bytes_are_read_again_if_another_state_was_stored_meanwhile(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock) as here, watching(migrated_url, clock) as there:
        for one in (here, there):
            one.add("prod")
        here.answer("prod", listing(A))
        there.answer("prod", listing(A, B))
        polled = here.answer("prod", listing(A))
        assert (polled.outcome, polled.changes, polled.models) == ("changed", 1, 1)
        assert [slug for slug, _, end in intervals(here) if end is None] == ["a"]


def test_nothing_is_remembered_of_what_could_not_be_stored(watch: Watch):
    watch.answer("prod", listing(A))
    watch.write("ALTER TABLE snapshots RENAME TO away")
    try:
        with pytest.raises(Exception, match="snapshots"):
            watch.answer("prod", listing(B))
    finally:
        watch.write("ALTER TABLE away RENAME TO snapshots")
    assert watch.answer("prod", listing(B)).outcome == "changed"


def test_a_key_that_was_never_registered_is_an_error_with_a_hint(watch: Watch):
    stranger = replace(watch.keys["prod"], name="stranger")
    with pytest.raises(Exception, match="not in the database; start syncd once"):
        watch.poller.record(stranger, watch.request(listing(A)))
