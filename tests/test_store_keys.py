"""Keys that leave the configuration and come back, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncd.core.routing import Route
from tests.conftest import Clock
from tests.watching import Watch, at, listing, model, refusal, watching

A = model("a")


@pytest.fixture
def watch(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("all", "console")]) as watch:
        watch.add("other")
        watch.answer("prod", listing(A))
        yield watch


def refuse(watch: Watch, key: str = "prod") -> None:
    watch.answer(key, refusal("KEY_REVOKED"), status=401)


def retire_all(watch: Watch) -> None:
    watch.keys.clear()
    watch.store.register([], watch.clock())


def conditions(watch: Watch) -> list[tuple[Any, ...]]:
    """Of each condition: its kind, when it closed, which keys it names, which it names as retired."""
    rows = watch.rows("SELECT kind, closed_at, detail FROM conditions ORDER BY id")
    return [(kind, closed, list(detail["keys"]), detail.get("retired", [])) for kind, closed, detail in rows]


def edges(watch: Watch) -> list[str]:
    return [edge for (edge,) in watch.rows("SELECT edge FROM announcements WHERE edge IS NOT NULL ORDER BY id")]


# --- a key's own condition -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["KEY_REVOKED", "TIER_LOCKED"])
def test_a_refused_key_that_leaves_takes_its_condition_with_it_and_nobody_is_told(
    watch: Watch, clock: Clock, code: str
):
    watch.answer("prod", refusal(code), status=403)
    clock.advance(hours=1)
    watch.retire("prod")
    ((_, closed, keys, retired),) = conditions(watch)
    assert (closed, keys, retired) == (at(clock()), [], ["prod"])
    # What was told of its beginning is brought up to date; the end is no news.
    assert edges(watch) == ["opened", "changed"]


def test_what_the_condition_was_about_stays_known(watch: Watch):
    refuse(watch)
    before = watch.one("SELECT detail FROM conditions")
    watch.retire("prod")
    assert watch.one("SELECT detail FROM conditions") == {**before, "keys": {}, "retired": ["prod"]}


def test_it_leaves_once(watch: Watch, clock: Clock):
    refuse(watch)
    watch.retire("prod")
    before = (conditions(watch), watch.rows("SELECT * FROM api_keys ORDER BY id"))
    clock.advance(hours=1)
    watch.store.register(watch.keys.values(), clock())
    assert (conditions(watch), watch.rows("SELECT * FROM api_keys ORDER BY id")) == before


def test_conditions_of_others_stay_open(watch: Watch):
    for key in ("prod", "other"):
        refuse(watch, key)
    watch.retire("prod")
    assert [(closed is None, keys) for _, closed, keys, _ in conditions(watch)] == [(False, []), (True, ["other"])]


def test_it_never_closes_before_it_opened(watch: Watch, clock: Clock):
    refuse(watch)
    opened = at(clock())
    clock.advance(hours=-1)
    watch.retire("prod")
    assert conditions(watch)[0][1] == opened


def test_a_key_that_is_back_and_still_refused_opens_another(watch: Watch, clock: Clock):
    refuse(watch)
    watch.retire("prod")
    clock.advance(hours=1)
    watch.add("prod")
    assert [closed is None for _, closed, _, _ in conditions(watch)] == [False]
    refuse(watch)
    assert [(closed is None, keys) for _, closed, keys, _ in conditions(watch)] == [(False, []), (True, ["prod"])]
    assert edges(watch) == ["opened", "changed", "opened"]
    assert watch.row("SELECT state, state_since FROM key_status WHERE key_name = 'prod'") == ("rejected", at(clock()))


def test_a_key_that_is_back_and_works_has_nothing_to_tell(watch: Watch):
    refuse(watch)
    watch.retire("prod")
    assert not watch.answer("prod", listing(A)).announced
    assert edges(watch) == ["opened", "changed"]


# --- a condition that keys share -----------------------------------------------------------------------------------


def fail(watch: Watch, *keys: str) -> None:
    for key in keys * 2:
        watch.no_answer(key)


def test_an_outage_goes_on_for_those_that_stay(watch: Watch, clock: Clock):
    fail(watch, "prod", "other")
    watch.retire("prod")
    assert conditions(watch) == [("vendor.unreachable", None, ["other"], ["prod"])]
    watch.answer("other", listing(A))
    assert conditions(watch) == [("vendor.unreachable", at(clock()), [], ["prod"])]
    assert edges(watch) == ["opened", "changed", "closed"]


def test_an_outage_whose_last_key_leaves_is_over(watch: Watch, clock: Clock):
    fail(watch, "prod", "other")
    watch.answer("other", listing(A))
    watch.retire("prod")
    assert conditions(watch) == [("vendor.unreachable", at(clock()), [], ["prod"])]
    # Another key has come through it, so it is over for those who heard of it too.
    assert edges(watch) == ["opened", "changed", "closed"]


def test_keys_that_leave_together_are_each_taken_out(watch: Watch, clock: Clock):
    fail(watch, "prod", "other", "third")
    refuse(watch, "fourth")
    retire_all(watch)
    outage, refused = conditions(watch)
    assert (outage[1], outage[2], sorted(outage[3])) == (at(clock()), [], ["other", "prod", "third"])
    assert (refused[1], refused[2], refused[3]) == (at(clock()), [], ["fourth"])
    assert edges(watch) == ["opened", "changed", "opened", "changed"]


def test_an_outage_at_an_address_that_the_key_has_left_before_ends_too(watch: Watch):
    fail(watch, "prod")
    watch.add("prod", base_url="https://elsewhere.example")
    watch.retire("prod")
    assert watch.rows("SELECT subject FROM conditions WHERE closed_at IS NULL") == []


def test_a_key_that_is_asked_elsewhere_has_left_the_outage_of_its_old_address(watch: Watch):
    for _ in range(2):
        watch.answer("prod", b"<html>")
    watch.keys["prod"] = replace(watch.keys["prod"], base_url="https://elsewhere.test")
    watch.store.register(watch.keys.values(), watch.clock())
    assert [(kind, closed is None, keys) for kind, closed, keys, _ in conditions(watch)] == [
        ("vendor.unreachable", False, [])
    ]


def test_a_key_that_is_back_joins_the_outage_after_two_failures(watch: Watch):
    fail(watch, "prod", "other")
    watch.retire("prod")
    watch.no_answer("prod")
    assert conditions(watch)[0][2] == ["other"]
    watch.no_answer("prod")
    ((_, closed, keys, _),) = conditions(watch)
    assert (closed, keys) == (None, ["other", "prod"])
    # Joined, left and joined again: it has changed is said once, until what was told is brought up to date.
    assert edges(watch) == ["opened", "changed"]


# --- the key itself ------------------------------------------------------------------------------------------------


def test_a_key_that_is_back_is_as_well_as_its_last_catalogue(watch: Watch, clock: Clock):
    kept = "id, added_at, applied_started_at, observed_at, last_poll_id, snapshot_id"
    fail(watch, "prod")
    before = watch.row(f"SELECT {kept} FROM api_keys WHERE name = 'prod'")
    clock.advance(hours=1)
    watch.retire("prod")
    left = at(clock())
    clock.advance(hours=1)
    watch.add("prod")
    query = "SELECT state, state_since, failures, retired_at FROM api_keys WHERE name = 'prod'"
    assert watch.row(query) == ("ok", left, 0, None)
    assert watch.row(f"SELECT {kept} FROM api_keys WHERE name = 'prod'") == before
    assert watch.row("SELECT state, model_count FROM key_status WHERE key_name = 'prod'") == ("ok", 1)
    assert watch.answer("prod", listing(A)).outcome == "unchanged"


def test_a_key_that_never_listed_anything_is_new_again(watch: Watch):
    refuse(watch, "fresh")
    watch.retire("fresh")
    watch.add("fresh")
    assert watch.one("SELECT state FROM key_status WHERE key_name = 'fresh'") == "new"
    assert watch.answer("fresh", listing(A)).changes == 0


def test_keys_that_stay_are_left_as_they_are(watch: Watch):
    refuse(watch, "other")
    before = watch.row("SELECT * FROM api_keys WHERE name = 'other'")
    watch.retire("prod")
    assert watch.row("SELECT * FROM api_keys WHERE name = 'other'") == before


def test_keys_may_leave_and_come_back_while_others_are_polled(watch: Watch, clock: Clock):
    names = [f"key-{number}" for number in range(8)]
    for name in names:
        watch.answer(name, listing(A))
    every = dict(watch.keys)

    def poll(name: str) -> None:
        for _ in range(10):
            watch.poller.record(every[name], watch.request(refusal("PROVIDER_DOWN"), status=503))
            watch.poller.record(every[name], watch.request(refusal("PROVIDER_DOWN"), status=503))
            watch.poller.record(every[name], watch.request(listing(A)))

    def come_and_go() -> None:
        for _ in range(10):
            watch.store.register([], clock() + timedelta(seconds=1))
            watch.store.register(every.values(), clock())

    with ThreadPoolExecutor() as pool:
        under_way = [pool.submit(come_and_go), *(pool.submit(poll, name) for name in names)]
        for one in under_way:
            one.result()
    watch.store.register([], clock())
    assert watch.rows("SELECT subject FROM conditions WHERE closed_at IS NULL") == []
    assert watch.one("SELECT COUNT(*) FROM conditions WHERE kind = 'vendor.unreachable'") > 0
