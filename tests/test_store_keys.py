"""Keys that leave the configuration and come back, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.core.routing import Route
from syncd.demo.vendor import SimulatedVendor
from syncd.errors import StoreError
from tests.conftest import Clock
from tests.program import Home
from tests.watching import Watch, at, listing, model, refusal, watching, with_price

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


# --- another name --------------------------------------------------------------------------------------------------


def rename(watch: Watch, old: str, new: str, *, account: str = "acme", formerly: tuple[str, ...] = ()) -> None:
    """The configuration of now calls the key so."""
    watch.keys = {new if name == old else name: key for name, key in watch.keys.items()}
    watch.keys[new] = replace(watch.keys[new], name=new, account=account)
    watch.store.register(watch.keys.values(), watch.clock(), {new: formerly or (old,)})


def test_a_history_goes_on_under_the_new_name(watch: Watch):
    watch.answer("prod", listing(with_price(A, 11, 20)))
    before = watch.rows(
        "SELECT change_id, kind, detected_at FROM change_log WHERE key_name = 'prod' ORDER BY change_id"
    )
    rename(watch, "prod", "live")
    query = "SELECT change_id, kind, detected_at FROM change_log WHERE key_name = 'live' ORDER BY change_id"
    assert watch.rows(query) == before
    assert watch.rows("SELECT name, retired_at FROM api_keys ORDER BY id") == [("other", None), ("live", None)]
    assert watch.answer("live", listing(with_price(A, 11, 20))).outcome == "unchanged"
    assert watch.answer("live", listing(with_price(A, 12, 20))).changes == 1


def test_a_former_name_does_nothing_once_it_has_done_its_work(watch: Watch, clock: Clock):
    rename(watch, "prod", "live")
    before = watch.rows("SELECT * FROM api_keys ORDER BY id")
    clock.advance(hours=1)
    watch.store.register(watch.keys.values(), clock(), {"live": ("prod", "older")})
    assert watch.rows("SELECT * FROM api_keys ORDER BY id") == before


def test_a_key_that_had_left_comes_back_under_another_name(watch: Watch):
    key = watch.keys["prod"]
    watch.retire("prod")
    watch.keys["prod"] = key
    rename(watch, "prod", "live")
    assert watch.rows("SELECT name, retired_at FROM api_keys ORDER BY id") == [("other", None), ("live", None)]
    assert watch.answer("live", listing(A)).outcome == "unchanged"


def test_of_several_former_names_the_one_that_is_stored_counts(watch: Watch):
    rename(watch, "prod", "live", formerly=("first", "prod", "second"))
    assert watch.answer("live", listing(A)).outcome == "unchanged"


def test_conditions_follow_the_name(watch: Watch):
    refuse(watch)
    rename(watch, "prod", "live")
    assert watch.row("SELECT subject FROM conditions WHERE closed_at IS NULL") == ("key:live",)
    assert conditions(watch)[0][2] == ["live"]
    assert not watch.answer("live", refusal("KEY_REVOKED"), status=401).announced
    watch.answer("live", listing(A))
    assert [closed is None for _, closed, _, _ in conditions(watch)] == [False]
    assert edges(watch) == ["opened", "closed", "changed"]


def test_an_outage_that_keys_share_follows_the_name(watch: Watch):
    fail(watch, "prod", "other")
    watch.answer("prod", listing(A))
    fail(watch, "third")
    watch.retire("third")
    rename(watch, "prod", "live")
    rename(watch, "other", "spare")
    watch.store.register(watch.keys.values(), watch.clock(), {"live": ("prod",), "spare": ("other",)})
    detail = watch.one("SELECT detail FROM conditions")
    assert (list(detail["keys"]), detail["recovered"], detail["retired"]) == (["spare"], ["live"], ["third"])
    watch.answer("spare", listing(A))
    assert conditions(watch)[0][1] is not None


def test_the_account_that_was_called_as_the_key_follows(watch: Watch):
    watch.keys["prod"] = replace(watch.keys["prod"], account="prod")
    watch.store.register(watch.keys.values(), watch.clock())
    watch.answer("prod", listing(A, balance=500))
    write = (
        "INSERT INTO conditions (kind, subject, severity, opened_at, detail) VALUES (:kind, :subject, 'risky', :at, :d)"
    )
    detail = '{"account":"prod","keys":{"prod":"low"},"left":0.10,"requests":{"prod":{"request":"prod"}}}'
    watch.write(write, kind="balance.low", subject="account:prod", at=watch.clock(), d=detail)
    rename(watch, "prod", "live", account="live")
    assert ("live",) in watch.rows("SELECT account FROM balance_days")
    assert ("prod",) not in watch.rows("SELECT account FROM balance_days")
    assert watch.row("SELECT subject, detail FROM conditions") == (
        "account:live",
        {"account": "live", "keys": {"live": "low"}, "left": 0.1, "requests": {"live": {"request": "prod"}}},
    )


def test_an_account_that_others_share_keeps_its_name(watch: Watch):
    for name in ("prod", "other"):
        watch.keys[name] = replace(watch.keys[name], account="prod")
    watch.store.register(watch.keys.values(), watch.clock())
    watch.answer("prod", listing(A, balance=500))
    rename(watch, "prod", "live", account="live")
    assert ("prod",) in watch.rows("SELECT account FROM balance_days")


def test_two_histories_are_not_made_one(watch: Watch):
    """Started once with the new name alone: it has a history of its own since."""
    del watch.keys["prod"]
    watch.answer("live", listing(A))
    before = watch.rows("SELECT * FROM api_keys ORDER BY id")
    with pytest.raises(StoreError) as caught:
        watch.store.register(watch.keys.values(), watch.clock(), {"live": ("prod",)})
    assert str(caught.value) == (
        "there is a history of the key 'live' and one of 'prod', and they cannot be made one; "
        "take 'prod' out of `formerly` of 'live': what is stored stays under the name it has"
    )
    assert watch.rows("SELECT * FROM api_keys ORDER BY id") == before


def test_a_name_that_was_given_up_may_be_taken(watch: Watch):
    """One start later: that both happen at once is refused by the configuration."""
    rename(watch, "prod", "live")
    rename(watch, "other", "prod")
    assert watch.rows("SELECT name FROM api_keys WHERE retired_at IS NULL ORDER BY id") == [("prod",), ("live",)]


# --- another secret ------------------------------------------------------------------------------------------------


def test_a_secret_that_changes_is_noted_and_the_history_goes_on(watch: Watch, clock: Clock):
    query = "SELECT rotated_at FROM key_status WHERE key_name = 'prod'"
    assert watch.one(query) is None
    clock.advance(hours=1)
    watch.keys["prod"] = replace(watch.keys["prod"], fingerprint="fedcba98")
    watch.store.register(watch.keys.values(), clock())
    rotated = at(clock())
    assert watch.one(query) == rotated
    clock.advance(hours=1)
    watch.store.register(watch.keys.values(), clock())
    assert watch.one(query) == rotated
    assert watch.answer("prod", listing(A)).outcome == "unchanged"


def test_a_key_may_get_another_name_and_another_secret_at_once(watch: Watch, clock: Clock):
    watch.keys["prod"] = replace(watch.keys["prod"], fingerprint="fedcba98")
    rename(watch, "prod", "live")
    assert watch.one("SELECT rotated_at FROM key_status WHERE key_name = 'live'") == at(clock())


# --- through the program -------------------------------------------------------------------------------------------


def test_a_key_with_another_name_is_polled_alone_and_compared_with_what_it_listed_before(tmp_path: Path):
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "old", "spare")
        assert home.run("once").code == 0
        text = (tmp_path / "config.toml").read_text()
        (tmp_path / "config.toml").write_text(text.replace('name = "old"', 'name = "new"\nformerly = ["old"]'))
        rehearsed = home.run("once", "--dry-run", "--key", "new")
        assert (rehearsed.code, home.rows("SELECT name FROM api_keys ORDER BY id")) == (0, [("old",), ("spare",)])
        polled = home.run("once", "--key", "new")
        assert polled.code == 0
        assert "unchanged" in polled.said
        assert home.rows("SELECT name, retired_at FROM api_keys ORDER BY id") == [("new", None), ("spare", None)]

        (tmp_path / "config.toml").write_text(text)
        assert home.run("once").code == 0
        (tmp_path / "config.toml").write_text(text.replace('name = "old"', 'name = "new"\nformerly = ["old"]'))
        refused = home.run("once")
        assert refused.code == 2
        assert "there is a history of the key 'new' and one of 'old'" in refused.err
