"""The views: one history, the same rows on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from syncd.core.routing import Route
from syncd.store import queries
from tests.conftest import Clock
from tests.watching import REQUEST_TAKES, Watch, at, listing, listing_text, model, refusal, watching, with_price

A, B = model("a"), model("b", price=None)
SPEC = {"type": "string", "required": True, "max_length": 2000}


@pytest.fixture
def watch(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("all", "console")]) as watch:
        yield watch


def poll(watch: Watch, body: bytes, key: str = "prod", **more) -> str:
    """An hour later; when it was observed."""
    watch.clock.advance(hours=1)
    watch.answer(key, body, **more)
    return at(watch.clock())


def renamed(one: dict[str, Any], description: str) -> dict[str, Any]:
    return {**one, "description": description}


# --- models --------------------------------------------------------------------------------------------------------


def test_current_models(watch: Watch):
    t1 = poll(watch, listing(A, B))
    t2 = poll(watch, listing(A, B), key="test")
    poll(watch, listing(renamed(A, "e"), B))
    query = "SELECT * FROM current_models ORDER BY key_name, slug"
    params, body = {"prompt": SPEC}, [("a", "A", "image", "Nobody"), ("b", "B", "image", "Nobody")]
    assert watch.rows(query) == [
        ("prod", *body[0], "e", 10, 20, params, {"model": "a"}, t1, None),
        ("prod", *body[1], "d", None, None, params, {"model": "b"}, t1, None),
        ("test", *body[0], "d", 10, 20, params, {"model": "a"}, t2, None),
        ("test", *body[1], "d", None, None, params, {"model": "b"}, t2, None),
    ]


def test_since_counts_from_the_last_return(watch: Watch):
    t1 = poll(watch, listing(A, B))
    poll(watch, listing(B))
    t3 = poll(watch, listing(A, B))
    poll(watch, listing(with_price(A, 11, 20), B))
    poll(watch, listing(with_price(A, 10, 20), B))
    assert watch.rows("SELECT slug, since FROM current_models ORDER BY slug") == [("a", t3), ("b", t1)]


def test_a_model_whose_removal_is_held_is_shown_as_missing(watch: Watch):
    t1 = poll(watch, listing(A, B))
    poll(watch, listing(with_price(A, 11, 20), B))
    watch.clock.advance(minutes=5)
    watch.answer("prod", listing())
    gone = at(watch.clock())
    query = "SELECT slug, credits_min, since, missing_since FROM current_models ORDER BY slug"
    assert watch.rows(query) == [("a", 11, t1, gone), ("b", None, t1, gone)]
    # A listing without any model is suspicious: three of them must agree.
    poll(watch, listing())
    assert watch.rows(query) == [("a", 11, t1, gone), ("b", None, t1, gone)]
    poll(watch, listing())
    assert watch.rows(query) == []


def test_a_removal_is_gone_with_the_poll_that_confirms_it(watch: Watch):
    t1 = poll(watch, listing(A, B))
    gone = poll(watch, listing(B))
    query = "SELECT slug, since, missing_since FROM current_models ORDER BY slug"
    assert watch.rows(query) == [("a", t1, gone), ("b", t1, None)]
    poll(watch, listing(B))
    assert watch.rows(query) == [("b", t1, None)]


def test_a_removal_that_is_confirmed_at_once_is_gone_at_once(migrated_url: str, clock: Clock):
    at_once: dict[str, Any] = {"confirm_polls": 1, "confirm_after": timedelta(0)}
    with watching(migrated_url, clock, **at_once) as watch:
        poll(watch, listing(A, B))
        poll(watch, listing(B))
        assert watch.rows("SELECT slug FROM current_models") == [("b",)]


def test_retired_keys_leave_the_present_and_stay_in_history(watch: Watch):
    poll(watch, listing(A))
    poll(watch, listing(A), key="test")
    watch.retire("prod")
    assert watch.rows("SELECT key_name FROM current_models") == [("test",)]
    assert watch.rows("SELECT key_name FROM key_status") == [("test",)]
    for view in ("model_history", "credit_history", "param_history", "change_log", "poll_log", "balance_history"):
        assert sorted(row[0] for row in watch.rows(f"SELECT key_name FROM {view}")) == ["prod", "test"], view
    watch.add("prod")
    assert watch.rows("SELECT key_name FROM current_models ORDER BY key_name") == [("prod",), ("test",)]


def test_model_history_is_what_was_observed(watch: Watch):
    t1 = poll(watch, listing(A, B))
    t2 = poll(watch, listing(renamed(A, "e"), B))
    t3 = poll(watch, listing(B))
    t4 = poll(watch, listing(A, B))
    query = "SELECT key_name, slug, description, valid_from, valid_to FROM model_history ORDER BY slug, valid_from"
    assert watch.rows(query) == [
        ("prod", "a", "d", t1, t2),
        ("prod", "a", "e", t2, t3),
        ("prod", "a", "d", t4, None),
        ("prod", "b", "d", t1, None),
    ]


def test_as_of_any_time(watch: Watch, clock: Clock):
    clock.now += timedelta(microseconds=123_456)
    poll(watch, listing(A, B))
    first = clock()
    poll(watch, listing(with_price(A, 11, 20)))
    second = clock()
    query = """SELECT slug, credits_min FROM model_history
               WHERE valid_from <= :t AND (valid_to IS NULL OR valid_to > :t) ORDER BY slug"""
    tick = timedelta(microseconds=1)
    assert watch.rows(query, t=first - tick) == []
    assert watch.rows(query, t=first) == [("a", 10), ("b", None)]
    assert watch.rows(query, t=second - tick) == [("a", 10), ("b", None)]
    assert watch.rows(query, t=second) == [("a", 11)]
    assert watch.rows(query, t=second + timedelta(days=400)) == [("a", 11)]


def test_the_programs_own_question_as_of_a_time(watch: Watch, clock: Clock):
    poll(watch, listing(A, B))
    first = clock()
    poll(watch, listing(with_price(A, 11, 20)))
    with watch.store.read() as connection:
        unsettled = queries.models(connection, key=None, category="image", at=None).dicts()
        waiting = queries.changes(connection, key=None, since=first, severity=[], held=True).dicts()
    assert [(row["slug"], row["missing_since"]) for row in unsettled] == [("a", None), ("b", at(clock()))]
    assert [(row["slug"], row["kind"]) for row in waiting] == [("b", "model.removed")]
    poll(watch, listing(with_price(A, 11, 20)))
    with watch.store.read() as connection:
        then = queries.models(connection, key="prod", category=None, at=first).dicts()
        now = queries.models(connection, key=None, category="image", at=None).dicts()
        severe = queries.changes(connection, key="prod", since=first, severity=["risky", "breaking"], held=False)
        none = queries.changes(connection, key=None, since=clock() + timedelta(seconds=1), severity=[], held=True)
    assert [(row["slug"], row["credits_min"], row["since"]) for row in then] == [
        ("a", 10, at(first)),
        ("b", None, at(first)),
    ]
    assert [(row["slug"], row["credits_min"]) for row in now] == [("a", 11)]
    assert {row["severity"] for row in severe.dicts()} <= {"risky", "breaking"}
    assert severe.rows
    assert none.rows == []


# --- prices and parameters -----------------------------------------------------------------------------------------


def test_equal_adjacent_prices_are_one_row_and_gaps_are_not_bridged(watch: Watch):
    t1 = poll(watch, listing(A, B))
    poll(watch, listing(renamed(A, "e"), B))
    t3 = poll(watch, listing(with_price(A, 12.5, 20), B))
    t4 = poll(watch, listing(B))
    t5 = poll(watch, listing(with_price(A, 12.5, 20), B))
    t6 = poll(watch, listing({**A, "credits_band": None}, B))
    t7 = poll(watch, listing(with_price(A, 12.5, 20), B))
    query = "SELECT slug, credits_min, credits_max, valid_from, valid_to FROM credit_history ORDER BY slug, valid_from"
    assert watch.rows(query) == [
        ("a", 10, 20, t1, t3),
        ("a", 12.5, 20, t3, t4),
        ("a", 12.5, 20, t5, t6),
        ("a", 12.5, 20, t7, None),
    ]


def test_half_a_price_is_a_price(watch: Watch):
    t1 = poll(watch, listing({**A, "credits_band": {"max": 7}}))
    poll(watch, listing({**renamed(A, "e"), "credits_band": {"min": None, "max": 7}}))
    assert watch.rows("SELECT credits_min, credits_max, valid_from FROM credit_history") == [(None, 7, t1)]


def with_params(**params: object) -> dict[str, Any]:
    return {**A, "params": params}


def test_equal_adjacent_specs_are_one_row(watch: Watch):
    n = {"type": "integer", "min": 1, "max": 4}
    t1 = poll(watch, listing(with_params(n=n, seed={"type": "integer"})))
    t2 = poll(watch, listing(with_params(n=dict(reversed(n.items())))))
    t3 = poll(watch, listing(with_params(n={**n, "max": 8}, seed={"type": "integer"})))
    t4 = poll(watch, listing(B))
    t5 = poll(watch, listing(with_params(n={**n, "max": 8}), B))
    query = """SELECT key_name, slug, param, type, spec, valid_from, valid_to FROM param_history
               WHERE slug = 'a' ORDER BY param, valid_from"""
    assert watch.rows(query) == [
        ("prod", "a", "n", "integer", n, t1, t3),
        ("prod", "a", "n", "integer", {**n, "max": 8}, t3, t4),
        ("prod", "a", "n", "integer", {**n, "max": 8}, t5, None),
        ("prod", "a", "seed", "integer", {"type": "integer"}, t1, t2),
        ("prod", "a", "seed", "integer", {"type": "integer"}, t3, t4),
    ]


def test_specs_that_are_no_objects_are_shown_as_they_are(watch: Watch):
    odd = {"a": True, "b": False, "c": None, "d": "text", "e": [1, "x"], "f": 5, "g": {"type": 7}, 'h "q" é': {}}
    poll(watch, listing(with_params(**odd)))
    rows = watch.rows("SELECT param, type, CAST(spec AS TEXT) FROM param_history")
    assert {param: json.loads(spec) if isinstance(spec, str) else spec for param, _, spec in rows} == odd
    assert {kind for _, kind, _ in rows} == {None}


@pytest.mark.parametrize("params", ["null", "[]", '["n"]', '"none"', "7", "{}"])
def test_params_that_are_no_object_have_no_rows(watch: Watch, params: str):
    poll(watch, listing_text(f'{{"slug":"a","params":{params}}}'))
    assert watch.rows("SELECT * FROM param_history") == []
    assert watch.one("SELECT COUNT(*) FROM current_models") == 1


# --- what happened -------------------------------------------------------------------------------------------------


def test_change_log(watch: Watch):
    poll(watch, listing(A))
    t2 = poll(watch, listing(with_price(A, 20, 20)))
    query = "SELECT * FROM change_log WHERE state <> 'baseline'"
    (row,) = [dict(zip(columns(watch, "change_log"), row, strict=True)) for row in watch.rows(query)]
    assert row["change_id"] == 2
    assert row["decided"] in (1, True)
    assert (row["detected_at"], row["key_name"], row["slug"]) == (t2, "prod", "a")
    assert (row["kind"], row["severity"], row["path"]) == (
        "credits.band.floor-raised",
        "risky",
        "/models/a/credits_band",
    )
    assert (row["old_value"], row["new_value"]) == ({"min": 10, "max": 20}, {"min": 20, "max": 20})
    assert (row["witness"], row["affects"], row["state"], row["announced_at"]) == (None, [], "announced", None)
    assert row["detail"]["min_percent"] == 100
    assert row["summary"]


def test_what_was_not_there_is_null_and_json_null_is_not(watch: Watch):
    poll(watch, listing(A, extra=1))
    poll(watch, listing(A, extra=None))
    query = "SELECT old_value IS NULL, new_value IS NULL, CAST(new_value AS TEXT) FROM change_log WHERE path = '/extra'"
    assert [tuple(map(bool, row[:2])) + row[2:] for row in watch.rows(query)] == [(False, False, "null")]


def test_condition_log(watch: Watch):
    poll(watch, listing(A))
    t2 = poll(watch, refusal("KEY_REVOKED"), status=401)
    t3 = poll(watch, listing(A))
    for _ in range(2):
        watch.no_answer("prod")
    t4 = at(watch.clock())
    query = """SELECT kind, severity, key_name, account, destination, opened_at, closed_at
               FROM condition_log ORDER BY condition_id"""
    rejected, outage = watch.rows(query)
    assert (rejected[0], rejected[2:]) == ("access.rejected", ("prod", "acme", None, t2, t3))
    assert (outage[0], outage[2:]) == ("vendor.unreachable", (None, None, None, t4, None))
    details = [row[0] for row in watch.rows("SELECT detail FROM condition_log ORDER BY condition_id")]
    assert (details[0]["code"], details[1]["keys"]) == ("KEY_REVOKED", {"prod": "failing"})


def test_poll_log(watch: Watch):
    t1 = poll(watch, listing(A), headers={"x-request-id": "r1", "x-ratelimit-remaining": "9"})
    t2 = poll(watch, listing(A))
    t3 = poll(watch, listing(A), headers={"x-request-id": "r3"})
    t4 = poll(watch, refusal("INTERNAL_ERROR"), status=500)
    takes = round(REQUEST_TAKES.total_seconds() * 1000)
    assert watch.rows("SELECT * FROM poll_log ORDER BY poll_id") == [
        (1, "prod", t1, t1, 1, takes, "changed", 200, None, "r1", 1000, 9),
        (2, "prod", t2, t3, 2, takes, "unchanged", 200, None, "r3", 1000, None),
        (3, "prod", t4, t4, 1, takes, "unreachable", 500, "INTERNAL_ERROR", None, None, None),
    ]


def test_key_status(watch: Watch, clock: Clock):
    watch.add("fresh")
    added = at(clock())
    t1 = poll(watch, listing(A, B))
    t2 = poll(watch, listing(A, balance=7.5))
    t3 = poll(watch, refusal("TIER_LOCKED"), status=403)
    assert watch.rows("SELECT * FROM key_status ORDER BY key_name") == [
        ("fresh", "acme", "new", added, None, None, None, None, None, None, None, 0, None),
        # Two polls have listed a without b: that b is gone waits to be told.
        ("prod", "acme", "tier_locked", t3, t3, t2, "pro", 7.5, 240, 5, 1, 1, None),
    ]
    poll(watch, listing(balance=3))
    query = "SELECT state, tier, credits_balance, model_count, held_changes FROM key_status WHERE key_name = 'prod'"
    # A list without a model proves nothing yet: b, which was missing before, waits longer for it.
    assert watch.row(query) == ("ok", "pro", 3, 0, 2)
    assert watch.rows("SELECT slug, state FROM changes WHERE kind = 'model.removed' ORDER BY slug") == [
        ("a", "held"),
        ("b", "held"),
    ]
    assert t1 < t2


def test_balance_history(watch: Watch):
    t1 = poll(watch, listing(A, balance=1000))
    t2 = poll(watch, listing(A, balance=1000))
    poll(watch, listing(A, balance=1000))
    t4 = poll(watch, listing(A, balance=0))
    poll(watch, listing(A, balance="many"))
    assert watch.rows("SELECT * FROM balance_history ORDER BY at") == [
        ("acme", "prod", t1, 1000),
        ("acme", "prod", t2, 1000),
        ("acme", "prod", t4, 0),
    ]


def test_alert_log_is_empty_before_anything_is_sent(watch: Watch):
    poll(watch, listing(A))
    assert watch.rows("SELECT * FROM alert_log") == []


# --- types ---------------------------------------------------------------------------------------------------------


def columns(watch: Watch, view: str) -> list[str]:
    with watch.store.read() as connection:
        return list(connection.execute(sa.text(f"SELECT * FROM {view}")).keys())


JSON_COLUMNS = {
    "current_models": ["params", "example_request"],
    "model_history": ["params", "example_request"],
    "param_history": ["spec"],
    "change_log": ["old_value", "new_value", "witness", "affects", "detail"],
    "condition_log": ["detail"],
}


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_json_is_jsonb_and_times_have_a_zone_on_postgresql(watch: Watch):
    query = """SELECT table_name, column_name FROM information_schema.columns
               WHERE data_type = :type AND table_name IN (SELECT viewname FROM pg_views WHERE schemaname = 'public')"""
    found: dict[str, list[str]] = {}
    for view, column in watch.rows(query + " ORDER BY table_name, ordinal_position", type="jsonb"):
        found.setdefault(view, []).append(column)
    assert found == JSON_COLUMNS
    assert watch.rows(query, type="timestamp without time zone") == []
    zoned = {column for _, column in watch.rows(query, type="timestamp with time zone")}
    assert {"since", "missing_since", "valid_from", "valid_to", "detected_at", "announced_at", "at"} <= zoned


def test_json_can_be_asked_inside_on_both(watch: Watch, dialect: str):
    poll(watch, listing(A))
    inside = "params -> 'prompt' ->> 'max_length'" if dialect == "postgresql" else "params ->> '$.prompt.max_length'"
    assert int(watch.one(f"SELECT {inside} FROM current_models")) == 2000


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_on_sqlite_text_order_is_time_order_and_datetime_compares(watch: Watch, clock: Clock):
    moments = [
        datetime.fromisoformat(text)
        for text in (
            "2026-03-02T09:00:00+00:00",
            "2026-03-02T09:00:00.000001+00:00",
            "2026-03-02T09:00:00.999999+00:00",
            "2026-03-02T15:30:01+05:30",
            "2026-03-02T10:00:01.500000+00:00",
        )
    ]
    for number, moment in enumerate(moments):
        clock.now = moment - REQUEST_TAKES
        watch.answer("prod", listing(with_price(A, 1 + number, 50)))
    texts = [row[0] for row in watch.rows("SELECT valid_from FROM model_history ORDER BY valid_from")]
    assert texts == [at(moment.astimezone(moments[0].tzinfo)) for moment in moments]
    assert {len(text) for text in texts} == {26}
    count = "SELECT COUNT(*) FROM model_history WHERE valid_from <= "
    assert watch.one(count + "'2026-03-02 09:00:00.000001'") == 2
    assert watch.one(count + "'2026-03-02 09:00:00.000000'") == 1
    assert watch.one(count + "datetime('2026-03-02 09:00:01')") == 3
    assert watch.one(count + "datetime('now')") == 5
    assert watch.one(count + "datetime('now', '-100 years')") == 0


def test_the_servers_time_zone_means_nothing(watch: Watch, clock: Clock):
    # The test server of PostgreSQL is five and a half hours ahead.
    poll(watch, listing(A))
    with watch.store.read() as connection:
        found = queries.select(connection, "SELECT since FROM current_models")
    assert found.rows == [(at(clock()),)]
