"""`syncd held`: what waits until it is certain, looked at and decided by hand beside a real history."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.core.audience import Operator
from syncd.core.canon import MISSING
from syncd.core.changes import Change
from syncd.core.compose import ChangeDue
from syncd.core.judge import ConditionEdit, Held, HoldStep, Judgement, OpenCondition
from syncd.core.judge.by_hand import Chosen, drop, release, why
from syncd.core.requests import SavedRequest
from syncd.core.routing import Announcement, KeyFacts, Route
from syncd.demo.vendor import SimulatedVendor
from tests.conftest import Clock
from tests.program import ROUTE, Home, Result
from tests.watching import Watch, listing, model, with_price

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
PROD = KeyFacts("prod", "acme", "https://vendor.example")
EVERYTHING = Route("everything", "console")
POLICY = Judgement(routes=(EVERYTHING,))

GONE = Change("model.removed", ("models", "a"), "breaking", {"slug": "a"}, MISSING, "a", "image")
SUSPECT = replace(GONE, detail={"suspicious": True})
DEARER = Change("credits.band.floor-raised", ("models", "a", "credits_band"), "risky", {"min": 1}, {"min": 2}, "a")
RESTLESS = replace(DEARER, detail={"flapping": {"times": 4, "notice": 3}})


def held(change: Change, *, polls: int = 1, minutes: float = 0, heard: tuple[tuple[str, str], ...] = ()) -> Held:
    return Held(7, change, polls, NOW - timedelta(minutes=minutes), heard)


# --- what it waits for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (held(GONE), "not confirmed: 1 of 2 polls, 0 s of 30 m"),
        (held(GONE, minutes=12), "not confirmed: 1 of 2 polls, 12 m of 30 m"),
        (held(GONE, minutes=90), "not confirmed: 1 of 2 polls, 30 m of 30 m"),
        (held(GONE, polls=5, minutes=12), "not confirmed: 2 of 2 polls, 12 m of 30 m"),
        (held(GONE, minutes=-5), "not confirmed: 1 of 2 polls, 0 s of 30 m"),
        (held(SUSPECT, minutes=60), "suspicious listing: 1 of 3 listings, 30 m of 30 m"),
        (held(GONE, polls=3, minutes=120), "comes and goes: missing for 2 h of 6 h"),
        (held(RESTLESS, minutes=120), "flapping: unchanged for 2 h of 6 h"),
    ],
)
def test_what_it_waits_for_is_said_in_words(one: Held, said: str):
    assert why(one, POLICY, NOW) == said


def test_what_it_does_not_wait_for_is_not_said():
    assert why(held(GONE), replace(POLICY, confirm_polls=1), NOW) == "not confirmed: 1 of 1 poll, 0 s of 30 m"
    assert why(held(GONE), replace(POLICY, confirm_after=timedelta(0)), NOW) == "not confirmed: 1 of 2 polls"


# --- what deciding means ---------------------------------------------------------------------------------------------


def test_what_is_released_is_told_by_the_routes_of_today():
    step = release(Chosen(held(GONE, polls=2)), PROD, POLICY, NOW, "ana").step
    assert (step.id, step.state, step.polls) == (7, "announced", 2)
    assert step.announcements == (Announcement("console", "everything", NOW),)
    assert step.learned is not None
    assert step.learned.detail == {"released": {"by": "ana"}}


def test_what_is_released_is_told_where_it_was_unconfirmed_whatever_the_routes_say_today():
    chosen = Chosen(held(GONE, heard=(("slack:#old", "old"), ("console", "old"))))
    step = release(chosen, PROD, POLICY, NOW, "ana").step
    assert [(one.destination, one.route) for one in step.announcements] == [
        ("console", "everything"),
        ("slack:#old", "old"),
    ]


@pytest.mark.parametrize(("minutes", "stable"), [(0, "0s"), (0.5, "30s"), (35, "35m"), (150, "2h")])
def test_what_was_flapping_is_told_as_stable_for_as_long_as_it_has_been(minutes: float, stable: str):
    step = release(Chosen(held(RESTLESS, minutes=minutes)), PROD, POLICY, NOW, "ana").step
    assert step.learned is not None
    assert step.learned.detail["flapping"] == {"times": 4, "notice": 3, "stable": stable}


@pytest.mark.parametrize("policy", [Judgement(), replace(POLICY, record_only=("model.*",))])
def test_what_is_released_and_wanted_by_no_route_is_recorded(policy: Judgement):
    step = release(Chosen(held(GONE)), PROD, policy, NOW, "ana").step
    assert (step.state, step.announcements) == ("recorded", ())


def test_what_is_dropped_is_told_nobody():
    step = drop(Chosen(held(GONE)), NOW, "ana\n", "we moved\x1b away").step
    assert (step.state, step.announcements, step.back) == ("recorded", (), ())
    assert step.learned is not None
    assert step.learned.detail == {"dropped": {"by": "ana ", "reason": "we moved away"}}


def test_what_is_dropped_is_told_only_where_it_was_told_as_unconfirmed():
    heard = (("console", "everything"), ("slack:#ops", "ops"))
    step = drop(Chosen(held(GONE, heard=heard), untold=frozenset({"console"})), NOW, "ana", "known").step
    assert (step.state, step.announcements) == ("recorded", (Announcement("slack:#ops", "ops", NOW),))


@pytest.mark.parametrize("decide", ["release", "drop"])
def test_a_model_that_is_gone_takes_what_was_waited_out_of_it_along(decide: str):
    others = (replace(held(RESTLESS), id=8), replace(held(replace(RESTLESS, slug="b")), id=9))
    chosen = Chosen(held(GONE), others)
    decided = (
        release(chosen, PROD, POLICY, NOW, "ana") if decide == "release" else drop(chosen, NOW, "ana", "known already")
    )
    assert decided.others == (HoldStep(8, "retracted", 1),)
    alone = Chosen(held(RESTLESS), (replace(held(GONE), id=8),))
    assert release(alone, PROD, POLICY, NOW, "ana").others == ()


def test_a_suspicious_listing_counts_what_is_certain_of_it():
    is_open = (OpenCondition(3, "listing.suspicious", "key:prod", NOW, {"why": "emptied", "missing": 2, "of": 2}),)
    decided = drop(Chosen(held(SUSPECT), open=is_open), NOW, "ana", "known")
    assert decided.edit == ConditionEdit(3, {"why": "emptied", "missing": 2, "of": 2, "confirmed": 1}, closed=False)
    assert release(Chosen(held(GONE), open=is_open), PROD, POLICY, NOW, "ana").edit is None


# --- beside a history ------------------------------------------------------------------------------------------------

A, B, C = model("a"), model("b"), model("c")
HERO = SavedRequest("nightly hero", {"model": "a", "prompt": "a harbour"})


@dataclass
class Desk:
    """A history, and the program beside it."""

    watch: Watch
    home: Home

    def poll(self, *models: dict[str, Any], minutes: float = 1, key: str = "prod") -> None:
        self.watch.clock.advance(minutes=minutes)
        self.watch.answer(key, listing(*models))

    def run(self, *arguments: str) -> Result:
        return self.home.run("held", *arguments)

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        found = self.run("list", "--format", "jsonl", *arguments)
        assert found.code == 0, found.err
        return [json.loads(line) for line in found.out.splitlines()]

    def ids(self) -> list[str]:
        return [str(id_) for (id_,) in self.watch.rows("SELECT id FROM changes WHERE state = 'held' ORDER BY id")]

    def state(self, change: str) -> str:
        return str(self.watch.one("SELECT state FROM changes WHERE id = :id", id=int(change)))

    def detail(self, change: str) -> dict[str, Any]:
        found = self.watch.one("SELECT detail FROM changes WHERE id = :id", id=int(change))
        assert isinstance(found, dict)
        return found

    def told(self, change: str) -> list[tuple[str | None, str]]:
        """The edge and the state of everything that is announced of it."""
        query = "SELECT edge, state FROM announcements WHERE change_id = :id ORDER BY id"
        return [(edge, state) for edge, state in self.watch.rows(query, id=int(change))]

    def sent(self) -> None:
        """What waits is sent, as far as the database knows."""
        self.watch.write(
            "INSERT INTO deliveries (id, destination_id, op, kind, severity, change_count, message, state, created_at,"
            " attempts) SELECT 'dlv_1', id, 'post', 'models_gone', 'breaking', 1, '{}', 'sent', :now, 1"
            " FROM destinations",
            now=self.watch.clock(),
        )
        self.watch.write("UPDATE announcements SET state = 'sent', delivery_id = 'dlv_1' WHERE state = 'queued'")

    def due(self) -> list[ChangeDue]:
        """What a message composed now would tell of changes."""
        with self.watch.store.outbox() as tx:
            found = [
                one
                for destination, _ in tx.waiting()
                for one in tx.due(destination, datetime.max.replace(tzinfo=UTC), Operator())
            ]
        return [one for one in found if isinstance(one, ChangeDue)]


@pytest.fixture(scope="module")
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


def desk_of(url: str, tmp_path: Path, vendor: SimulatedVendor, *requests: SavedRequest) -> Desk:
    clock = Clock(datetime.now(UTC) - timedelta(hours=1))
    watch = Watch(url, clock, routes=[EVERYTHING], requests=requests)
    watch.answer("prod", listing(A, B, C))
    watch.write("DELETE FROM announcements")  # that watching begins was told long ago
    home = Home(tmp_path, vendor, "prod", routes=ROUTE, url=url)
    home.environ["USER"] = "ana"
    return Desk(watch, home)


@pytest.fixture
def desk(migrated_url: str, tmp_path: Path, vendor: SimulatedVendor) -> Iterator[Desk]:
    desk = desk_of(migrated_url, tmp_path, vendor)
    yield desk
    desk.watch.close()


@pytest.fixture
def used(migrated_url: str, tmp_path: Path, vendor: SimulatedVendor) -> Iterator[Desk]:
    """The same, where a saved request uses model a."""
    desk = desk_of(migrated_url, tmp_path, vendor, HERO)
    yield desk
    desk.watch.close()


def refused(result: Result, *said: str, code: int = 1) -> None:
    """It says no, in one line on stderr: what, where, what to do."""
    assert (result.code, result.out) == (code, "")
    assert result.err.count("\n") == 1
    assert result.err.startswith("syncd: ")
    assert "; " in result.err
    for one in said:
        assert one in result.err


def test_the_list_says_what_is_held_and_what_it_waits_for(desk: Desk):
    desk.poll(B, C)
    (row,) = desk.listed()
    assert (row["key_name"], row["kind"], row["slug"], row["path"]) == ("prod", "model.removed", "a", "/models/a")
    assert (row["severity"], row["affects"]) == ("breaking", [])
    assert row["why"] == "not confirmed: 1 of 2 polls, 30 m of 30 m"
    table = desk.run("list", "--format", "table").out
    assert "not confirmed: 1 of 2 polls" in table
    assert str(row["id"]) in table
    assert desk.listed("--key", "prod") == [row]


def test_the_list_names_the_saved_requests(used: Desk):
    used.poll(B, C)
    assert [row["affects"] for row in used.listed()] == [["nightly hero"]]
    assert "nightly hero" in used.run("list", "--format", "table").out


def test_where_nothing_is_held_it_says_so(desk: Desk):
    assert desk.listed() == []
    assert desk.run("list", "--format", "table").out == "nothing is held\n"
    refused(desk.run("list", "--key", "prd"), "'prd'", "prod", code=2)


def test_what_is_held_shows_in_the_change_log_and_in_the_catalogue(desk: Desk):
    desk.poll(B, C)
    changes = desk.home.run("changes", "--held", "--format", "table").out
    assert "held" in changes
    models = [json.loads(line) for line in desk.home.run("models", "--format", "jsonl").out.splitlines()]
    assert {row["slug"]: row["missing_since"] is not None for row in models} == {"a": True, "b": False, "c": False}
    status = json.loads(desk.home.run("status", "--format", "json").out)
    assert [key["held_changes"] for key in status[0]["keys"]] == [1]


def test_what_is_released_is_told_once_and_the_model_is_gone(desk: Desk):
    desk.poll(B, C)
    (one,) = desk.ids()
    done = desk.run("release", one)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{one}  prod: ")
    assert done.out.endswith(": released, told at console\n")
    assert (desk.state(one), desk.detail(one)["released"]) == ("announced", {"by": "ana"})
    assert desk.told(one) == [(None, "queued")]
    assert desk.watch.rows("SELECT slug FROM current_models ORDER BY slug") == [("b",), ("c",)]
    for _ in range(3):
        desk.poll(B, C, minutes=40)
    assert desk.told(one) == [(None, "queued")]
    assert desk.ids() == []
    desk.poll(A, B, C)
    assert desk.watch.rows("SELECT kind, state FROM changes WHERE kind LIKE 'model.re%' ORDER BY id") == [
        ("model.removed", "announced"),
        ("model.returned", "announced"),
    ]


def test_what_no_route_wants_is_recorded_when_it_is_released(desk: Desk):
    desk.home.configure("prod", routes=ROUTE + 'keys = ["prod"]\nkinds = ["param.*"]\n')
    desk.poll(B, C)
    (one,) = desk.ids()
    assert desk.run("release", one).out.endswith(": released, and recorded: no route wants it\n")
    assert (desk.state(one), desk.told(one)) == ("recorded", [])


def test_what_is_dropped_is_told_nobody_and_stays_in_the_history(desk: Desk):
    desk.poll(B, C)
    (one,) = desk.ids()
    done = desk.run("drop", one, "--reason", "we left it ourselves", "--author", "bo")
    assert done.out.endswith(": dropped\n")
    assert (desk.state(one), desk.told(one)) == ("recorded", [])
    assert desk.detail(one)["dropped"] == {"by": "bo", "reason": "we left it ourselves"}
    assert "dropped by bo: we left it ourselves" in desk.home.run("changes", "--format", "table").out
    desk.poll(B, C, minutes=60)
    desk.poll(A, B, C)
    assert desk.watch.rows("SELECT kind, state FROM changes WHERE kind = 'model.returned'") == [
        ("model.returned", "announced")
    ]
    assert [one.change.kind for one in desk.due()] == ["model.returned"]


@pytest.mark.parametrize("decide", [("release",), ("drop", "--reason", "known")])
def test_that_it_is_unconfirmed_is_told_nobody_once_it_is_decided(used: Desk, decide: tuple[str, ...]):
    used.poll(B, C)
    (one,) = used.ids()
    assert used.told(one) == [("unconfirmed", "queued")]
    used.run(decide[0], one, *decide[1:])
    usual = [(None, "queued")] if decide[0] == "release" else []
    assert used.told(one) == [("unconfirmed", "dropped"), *usual]


def test_who_was_told_that_it_may_be_gone_is_told_that_it_is_even_if_it_is_dropped(used: Desk):
    used.poll(B, C)
    (one,) = used.ids()
    used.sent()
    done = used.run("drop", one, "--reason", "known")
    assert done.out.endswith(": dropped; told only at console, where it was unconfirmed\n")
    assert (used.state(one), used.told(one)) == ("recorded", [("unconfirmed", "sent"), (None, "queued")])


def test_what_is_decided_already_is_said_to_be(desk: Desk):
    desk.poll(B, C)
    (one,) = desk.ids()
    assert desk.run("release", one).code == 0
    refused(desk.run("release", one), f"{one} is not held: it was announced at 2", "held list")
    refused(desk.run("drop", one, "--reason", "x"), f"{one} is not held")
    assert desk.told(one) == [(None, "queued")]


def test_nothing_is_done_if_an_id_is_unknown(desk: Desk):
    desk.poll(B, C)
    (one,) = desk.ids()
    refused(desk.run("release", one, "4711"), "there is no change 4711", "held list", code=2)
    assert desk.ids() == [one]


def test_one_that_is_not_held_does_not_keep_the_others_from_it(desk: Desk):
    desk.poll(with_price(A, 40, 50), C)
    (one,) = desk.ids()
    price = str(desk.watch.one("SELECT id FROM changes WHERE kind LIKE 'credits.%'"))
    done = desk.run("release", price, one, one)
    assert done.code == 1
    assert f"{price} is not held" in done.err
    assert desk.state(one) == "announced"


def test_everything_of_a_key_at_once(desk: Desk):
    desk.poll(C)
    desk.watch.answer("spare", listing(A, B))
    desk.poll(B, key="spare")
    assert len(desk.ids()) == 3
    done = desk.run("drop", "--key", "prod", "--reason", "maintenance")
    assert (done.code, done.out.count("\n")) == (0, 2)
    assert [row["key_name"] for row in desk.listed()] == ["spare"]
    assert desk.run("drop", "--key", "prod", "--reason", "maintenance").out == "nothing is held of key prod\n"


@pytest.mark.parametrize("decide", [("release",), ("drop", "--reason", "known")])
def test_a_suspicious_listing_is_over_with_the_next_poll_once_every_removal_is_decided(
    desk: Desk, decide: tuple[str, ...]
):
    desk.poll()
    assert [row["why"] for row in desk.listed()] == ["suspicious listing: 1 of 3 listings, 30 m of 30 m"] * 3
    done = desk.run(decide[0], "--key", "prod", *decide[1:])
    assert (done.code, done.out.count("\n")) == (0, 3)
    is_open = "SELECT closed_at IS NULL, detail FROM conditions WHERE kind = 'listing.suspicious'"
    assert bool(desk.watch.row(is_open)[0])
    desk.poll()
    closed, detail = desk.watch.row(is_open)
    assert (bool(closed), detail["confirmed"]) == (False, 3)
    desk.poll()
    assert desk.watch.one("SELECT COUNT(*) FROM conditions WHERE kind = 'listing.suspicious'") == 1


@pytest.mark.parametrize("arguments", [("release",), ("release", "1", "--key", "prod"), ("drop", "--reason", "x")])
def test_it_must_be_said_which(tmp_path: Path, vendor: SimulatedVendor, arguments: tuple[str, ...]):
    refused(Home(tmp_path, vendor, "prod").run("held", *arguments), "which?", code=2)


def test_a_reason_is_needed_to_drop(desk: Desk):
    desk.poll(B, C)
    (one,) = desk.ids()
    refused(desk.run("drop", one, "--reason", " \n"), "reason is empty", code=2)
    assert desk.ids() == [one]


def test_what_is_held_of_a_key_that_left_can_only_be_dropped(desk: Desk):
    desk.watch.answer("old", listing(A, B))
    desk.poll(B, key="old")
    desk.watch.retire("old")
    (one,) = desk.ids()
    assert [row["why"] for row in desk.listed()] == ["its key is not configured any more"]
    refused(desk.run("release", one), "not configured", "held drop")
    assert desk.run("drop", one, "--reason", "gone with its key").code == 0
    assert desk.ids() == []


# --- beside the daemon -----------------------------------------------------------------------------------------------


def test_a_poll_that_confirms_at_the_same_moment_tells_nobody_twice(desk: Desk):
    for n in range(8):
        key = f"key-{n}"
        desk.watch.answer(key, listing(A, B))
        desk.poll(B, key=key)
    desk.watch.clock.advance(hours=1)
    gate = threading.Barrier(16)

    def poll(n: int) -> None:
        answer = desk.watch.request(listing(B))
        gate.wait()
        desk.watch.record(f"key-{n}", answer)

    def decide(identity: str) -> None:
        gate.wait()
        with desk.watch.store.held() as hand:
            found = hand.find(int(identity))
            assert found is not None
            if found.chosen is not None:
                now = desk.watch.clock()
                hand.settle(release(found.chosen, desk.watch.keys[found.key_name], POLICY, now, "ana"), now)

    ids = desk.ids()
    with ThreadPoolExecutor(16) as pool:
        done = [pool.submit(poll, n) for n in range(8)] + [pool.submit(decide, one) for one in ids]
        for one in done:
            one.result()
    assert [desk.state(one) for one in ids] == ["announced"] * 8
    assert [desk.told(one) for one in ids] == [[(None, "queued")]] * 8
