"""Saved requests from the configuration to the alert: what a poll finds, what is stored of it, what is told."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from syncd.core.requests import SavedRequest
from syncd.core.routing import Route
from syncd.demo.vendor import SimulatedVendor
from syncd.outbox import Outbox
from syncd.sinks.console import ConsoleSink
from syncd.store import queries
from tests.conftest import Clock
from tests.program import ROUTE, Home
from tests.watching import Watch, listing, model, watching

ALL = Route("all", "console")
IDENTITIES = count()
TOUCHES = (
    "SELECT key_name, kind, affects, detail FROM change_log WHERE state <> 'baseline' ORDER BY key_name, change_id"
)

HERO = SavedRequest("nightly hero", {"model": "wan", "prompt": "a harbour", "duration": 10})
THUMBS = SavedRequest("thumbs", {"model": "wan", "prompt": "a harbour"}, ("staging*",))
OTHER = SavedRequest("other", {"model": "grok", "prompt": "a harbour"})


def wan(most: int = 10, default: int = 5) -> dict[str, Any]:
    duration = {"type": "integer", "min": 2, "max": most, "default": default}
    return model("wan", params={"prompt": {"type": "string", "required": True}, "duration": duration})


@pytest.fixture
def watch(migrated_url: str, clock: Clock) -> Iterator[Watch]:
    with watching(migrated_url, clock, routes=[ALL], requests=[HERO, THUMBS, OTHER]) as watch:
        yield watch


def told(watch: Watch) -> str:
    """Everything that is due, as the console gets it."""
    stream = io.StringIO()
    outbox = Outbox(
        store=watch.store,
        sinks={"console": ConsoleSink(stream)},
        routes=(ALL,),
        keys=watch.keys,
        clock=watch.clock,
        new_id=lambda: f"dlv_{next(IDENTITIES)}",
    )
    while any(one.state == "sent" for one in outbox.step()):
        pass
    return stream.getvalue()


def test_a_change_is_stored_with_the_requests_that_it_breaks(watch: Watch):
    watch.answer("prod", listing(wan()))
    watch.answer("prod", listing(wan(most=8)))

    ((key, kind, affects, detail),) = watch.rows(TOUCHES)
    assert (key, kind, affects) == ("prod", "param.max.lowered", ["nightly hero"])
    assert detail["requests"] == {
        "nightly hero": {"effect": "rejected", "why": "duration is 10, the most is 8", "edit": {"/duration": 8}}
    }


def test_a_first_catalogue_touches_nothing(watch: Watch):
    watch.answer("prod", listing(wan(most=8)))

    assert watch.one("SELECT affects FROM changes") == []


def test_a_change_that_touches_no_request_says_so(watch: Watch):
    watch.answer("prod", listing(wan()))
    watch.answer("prod", listing(wan(most=12)))

    ((_, kind, affects, detail),) = watch.rows(TOUCHES)
    assert (kind, affects, "requests" in detail) == ("param.max.raised", [], False)


def test_requests_touch_only_the_keys_that_send_them(watch: Watch):
    for key in ("prod", "staging-1"):
        watch.answer(key, listing(wan()))
        watch.answer(key, listing(wan(default=7)))

    assert [(key, affects) for key, _, affects, _ in watch.rows(TOUCHES)] == [("prod", []), ("staging-1", ["thumbs"])]


def test_the_alert_says_what_breaks_and_how_to_mend_it(watch: Watch):
    watch.answer("prod", listing(wan()))
    told(watch)
    watch.answer("prod", listing(wan(most=8)))

    lines = told(watch).splitlines()

    assert lines[2] == '   Breaks your saved request nightly hero: duration is 10, the most is 8. Send "duration": 8.'


def test_the_alert_of_several_keys_names_the_requests_of_all_of_them(watch: Watch):
    for key in ("prod", "staging-1"):
        watch.answer(key, listing(wan()))
    told(watch)
    for key in ("prod", "staging-1"):
        watch.answer(key, listing(wan(default=7)))

    message = told(watch)

    assert message.count("🟠 Parameters changed") == 1
    assert (
        "your saved request thumbs: duration is 7 now where it is not sent, it was 5. "
        'Pin "duration": 5 to keep what you got.' in message
    )


def test_a_removal_that_is_held_is_told_later_with_the_requests_that_it_breaks(watch: Watch, clock: Clock):
    watch.answer("prod", listing(wan(), model("grok")))
    told(watch)
    watch.answer("prod", listing())
    assert watch.rows("SELECT state, affects FROM changes WHERE slug = 'wan'") == [("held", ["nightly hero"])]
    # The listing is empty, which tells more of the vendor than of its models.
    assert watch.rows("SELECT edge FROM announcements WHERE edge IS NOT NULL") == [("opened",)]
    for _ in range(2):
        clock.advance(minutes=20)
        watch.answer("prod", listing())

    message = told(watch)

    assert watch.rows("SELECT state, affects FROM changes WHERE slug = 'wan'") == [("announced", ["nightly hero"])]
    assert "Breaks your saved requests nightly hero, other." in message


def test_a_removal_that_is_held_learns_what_the_model_is_called_now(watch: Watch, clock: Clock):
    named = {"creator": "Nobody", "name": "Wan"}
    watch.answer("prod", listing({**wan(), **named}))
    watch.answer("prod", listing())
    clock.advance(minutes=5)
    watch.answer("prod", listing({**wan(), **named, "slug": "wan-hd"}))
    clock.advance(minutes=40)
    watch.answer("prod", listing({**wan(), **named, "slug": "wan-hd"}, model("grok")))

    said = told(watch)
    ((affects, detail),) = ((a, d) for _, kind, a, d in watch.rows(TOUCHES) if kind == "model.removed")
    assert (affects, detail["replacement"]) == (["nightly hero"], "wan-hd")
    assert "now called wan-hd" in said
    assert 'wan is no longer listed. Send "model": "wan-hd".' in said


def test_while_a_removal_is_held_the_other_changes_still_find_their_requests(watch: Watch, clock: Clock):
    watch.answer("prod", listing(wan(), model("grok")))
    watch.answer("prod", listing())
    clock.advance(minutes=5)
    watch.answer("prod", listing(wan(most=8)))

    kinds = {kind: affects for _, kind, affects, _ in watch.rows(TOUCHES) if kind != "model.removed"}
    assert kinds == {"param.max.lowered": ["nightly hero"]}


def test_a_model_that_is_back_makes_its_requests_possible(watch: Watch, clock: Clock):
    watch.answer("prod", listing(wan(), model("grok")))
    watch.answer("prod", listing(model("grok")))
    clock.advance(minutes=30)
    watch.answer("prod", listing(model("grok")))
    watch.answer("prod", listing(wan(), model("grok")))

    assert [(kind, affects) for _, kind, affects, _ in watch.rows(TOUCHES)] == [
        ("model.removed", ["nightly hero"]),
        ("model.returned", ["nightly hero"]),
    ]


def test_a_request_is_found_in_the_log_by_its_name(watch: Watch):
    """The query of docs/sql.md."""
    page = (Path(__file__).parents[1] / "docs" / "sql.md").read_text("utf-8")
    (query,) = [part.partition("```")[0] for part in page.split("```sql\n") if '"nightly hero"' in part]
    watch.answer("prod", listing(wan()))
    watch.answer("prod", listing(wan(most=8, default=3)))

    with watch.store.read() as connection:
        found = queries.sql(connection, query).dicts()

    assert [row["affects"] for row in found] == ['["nightly hero"]']


# --- the program -----------------------------------------------------------------------------------------------------

REQUESTS = """
[[requests]]
name = "nightly hero"
file = "requests/hero.json"
[[requests]]
name = "misspelled"
body = { model = "wan-2.7-text-to-vide", prompt = "a harbour" }
keys = ["prod"]
"""


@pytest.fixture
def home(tmp_path: Path, migrated_url: str) -> Iterator[Home]:
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "prod", "spare", routes=ROUTE + REQUESTS, url=migrated_url)
        save(home, json.dumps({"model": "wan-2.7-text-to-video", "prompt": "a harbour", "duration": 10}))
        yield home


def save(home: Home, body: str) -> None:
    (home.folder / "requests").mkdir()
    (home.folder / "requests" / "hero.json").write_text(body)


def shorten(home: Home) -> None:
    """The vendor takes shorter videos only."""
    for name in ("prod", "spare"):
        for each in home.account(name).models:
            if each["slug"] == "wan-2.7-text-to-video":
                each["params"]["duration"]["max"] = 8


def test_the_program_tells_what_breaks_in_a_rehearsal_an_alert_and_the_log(home: Home):
    assert home.run("once").code == 0
    shorten(home)
    breaks = 'Breaks your saved request nightly hero: duration is 10, the most is 8. Send "duration": 8.'

    assert breaks in home.run("once", "--dry-run").out
    assert breaks in home.run("once").out

    rows = [json.loads(line) for line in home.run("changes").out.splitlines()]
    assert sorted((row["key_name"], row["affects"]) for row in rows) == [
        ("prod", ["nightly hero"]),
        ("spare", ["nightly hero"]),
    ]
    assert home.run("changes", "--format", "table").out.count("breaks nightly hero") == 2


def test_check_warns_of_a_request_whose_model_a_key_never_had(home: Home):
    before = home.run("check")
    assert home.run("once", "--key", "spare").code == 0
    of_another_key = home.run("check")
    assert home.run("once").code == 0
    after = home.run("check")

    warning = "warning        request misspelled: its model was never listed for prod, so no change can touch it"
    assert [result.code for result in (before, of_another_key, after)] == [0, 0, 0]
    assert ["warning" in result.out for result in (before, of_another_key, after)] == [False, False, True]
    assert warning in after.out
    assert "request        nightly hero -> wan-2.7-text-to-video" in after.out.splitlines()


def test_a_request_whose_model_is_gone_is_no_slip(home: Home):
    assert home.run("once").code == 0
    for name in ("prod", "spare"):
        models = home.account(name).models
        models[:] = [each for each in models if each["slug"] != "wan-2.7-text-to-video"]
    assert home.run("once").code == 0

    warned = [line for line in home.run("check").out.splitlines() if line.startswith("warning")]
    assert [line.split()[2] for line in warned] == ["misspelled:"]


def test_a_file_that_is_gone_stops_what_needs_it_and_nothing_else(home: Home):
    assert home.run("once").code == 0
    (home.folder / "requests" / "hero.json").unlink()

    needing = home.run_all(("once",), ("check",), ("verdict",))
    others = home.run_all(("models",), ("changes",), ("status",), ("sql", "SELECT 1"))

    assert [result.code for result in needing] == [2, 2, 2]
    assert all('requests[0] "nightly hero".file: there is no file' in result.err for result in needing)
    assert [(result.code, result.err) for result in others] == [(0, "")] * 4


# --- the page --------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "requests.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_what_the_page_shows_is_what_the_program_says(tmp_path: Path):
    (config,) = blocks("toml")
    hero, body = blocks("json")
    verdict, of_a_file, once = blocks("console")
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "prod", routes=ROUTE + config)
        save(home, hero)
        (tmp_path / "body.json").write_text(body)
        assert home.run("once").code == 0
        for shown in (verdict, of_a_file):
            command, _, expected = shown.partition("\n")
            assert home.run(*command.split()[2:], "--format", "table").out == expected
        for each in home.account("prod").models:
            if each["slug"] == "wan-2.7-text-to-video":
                each["params"]["duration"]["max"] = 8
                each["params"]["resolution"]["default"] = "720p"
        said = home.run("once").out
    _, *expected_lines = once.splitlines()
    assert [line for line in expected_lines if line not in said and line.strip() != "…"] == []
