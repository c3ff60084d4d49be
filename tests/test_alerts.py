"""`syncd alerts`: the outbox looked at and put right by hand, on both databases, as processes beside a real history."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from syncd.app import utc_now
from syncd.core import by_hand
from syncd.core.by_hand import Handled, Hasten, No, Requeue, SendAgain
from syncd.core.delivery import (
    Ambiguous,
    Attempted,
    CannotLook,
    Delivered,
    Impossible,
    Looked,
    NotSent,
    RateLimited,
    Unusable,
)
from syncd.core.message import Message, as_text
from syncd.core.routing import Route
from syncd.core.secret import Secret
from syncd.demo.samples import samples
from syncd.demo.vendor import SimulatedVendor
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from syncd.sinks.webhook import WebhookSink
from tests.conftest import Clock
from tests.fake_slack import FakeSlack, rate_limited
from tests.program import ROUTE, Home, Result
from tests.watching import Watch, listing, model, refusal, with_price

Json = dict[str, Any]

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
A = model("a")
TO_OPS = Route("ops", "slack:#ops")
BROKEN = Unusable("channel", "not_in_channel", "invite the bot there")
DEAD = Impossible("it is too long")
COMMANDS = ("list", "show", "retry", "drop", "test", "preview")


@dataclass
class FakeSink:
    """Answers as it is told; the last answer stays."""

    answers: list[Attempted]
    messages: list[Message] = field(default_factory=list)
    probed: Unusable | None = None
    distance: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        self.messages.append(parcel.message)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def look(self, parcel: Parcel) -> Looked:
        return CannotLook("busy")

    def probe(self, target: str) -> Unusable | None:
        return self.probed


@dataclass
class Desk:
    """A history with one destination, its outbox, and the program beside it."""

    watch: Watch
    home: Home
    sink: FakeSink
    outbox: Outbox

    def run(self, *arguments: str) -> Result:
        return self.home.run("alerts", *arguments)

    def rows(self, *arguments: str) -> list[Json]:
        found = self.run("list", *arguments)
        assert found.code == 0, found.err
        return [json.loads(line) for line in found.out.splitlines()]

    def tell(self, *answers: Attempted, price: int | None = None) -> str:
        """A change of price is told, and answered so. The delivery's id."""
        self.sink.answers = list(answers or [Delivered("ts-1")])
        self.watch.answer("prod", listing(with_price(A, price or next(PRICES), 10_000)))
        self.watch.clock.advance(seconds=1)
        (sent,) = self.outbox.step()
        return sent.delivery

    def queue(self, *, price: int | None = None) -> None:
        """A change of price waits."""
        self.watch.answer("prod", listing(with_price(A, price or next(PRICES), 10_000)))

    def step(self, *answers: Attempted) -> list[tuple[str, str]]:
        self.sink.answers = list(answers or [Delivered("ts-2")])
        self.watch.clock.advance(seconds=1)
        return [(sent.delivery, sent.state) for sent in self.outbox.step()]

    def state(self, delivery: str) -> tuple[str, str | None]:
        state, error = self.watch.row("SELECT state, last_error FROM alert_log WHERE delivery_id = :id", id=delivery)
        return state, error

    def announcements(self) -> list[tuple[str, str | None]]:
        return [
            (state, delivery)
            for state, delivery in self.watch.rows("SELECT state, delivery_id FROM announcements ORDER BY id")
        ]


PRICES = count(11)


@pytest.fixture(scope="module")
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def desk(migrated_url: str, clock: Clock, tmp_path: Path, vendor: SimulatedVendor) -> Iterator[Desk]:
    numbers = count(1)
    watch = Watch(migrated_url, clock, routes=[TO_OPS])
    watch.answer("prod", listing(A))
    watch.write("DELETE FROM announcements")  # that watching begins was told long ago
    routes = ROUTE + '[slack]\ntoken = "env:NOT_SET"\n[[routes]]\nname = "ops"\nto = "slack:#ops"\n'
    home = Home(tmp_path, vendor, "prod", routes=routes, url=migrated_url)
    home.environ["USER"] = "ana"
    sink = FakeSink([Delivered("ts-1")])
    outbox = Outbox(
        store=watch.store,
        sinks={"slack": sink},
        routes=(TO_OPS,),
        keys=dict(watch.keys),
        clock=clock,
        new_id=lambda: f"dlv_{next(numbers):03}",
    )
    yield Desk(watch, home, sink, outbox)
    watch.close()


def refused(result: Result, *said: str, code: int = 1) -> None:
    """It says no, in one line on stderr: what, where, what to do."""
    assert result.code == code
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert result.err.startswith("syncd: ")
    assert "; " in result.err
    for one in said:
        assert one in result.err


# --- what may be done to a delivery ----------------------------------------------------------------------------------

DEAD_ONE = Handled("dlv_1", "slack:#ops", "dead", error="it is too long", told=2)


@pytest.mark.parametrize(
    ("one", "decided"),
    [
        (DEAD_ONE, Requeue("queued anew 2026-11-23 10:00:00 UTC: it is too long")),
        (replace(DEAD_ONE, error=by_hand.dropped("ana", "old")), Requeue),
        (replace(DEAD_ONE, op="update", parent="dlv_0"), Requeue),
        (replace(DEAD_ONE, told=0, parent="dlv_0"), SendAgain()),
        (replace(DEAD_ONE, told=0, parent="dlv_0", busy="dlv_2"), "dlv_2 is on its way"),
        (replace(DEAD_ONE, told=0, parent="dlv_0", error="queued anew then: x"), "queued anew already"),
        (replace(DEAD_ONE, told=0, parent="dlv_0", op="update"), "nothing left to tell"),
        (replace(DEAD_ONE, told=0), "nothing left to tell"),
        (replace(DEAD_ONE, state="retry"), Hasten()),
        (replace(DEAD_ONE, state="retry", frozen_until=NOW + timedelta(hours=1)), Hasten(NOW + timedelta(hours=1))),
        (replace(DEAD_ONE, state="retry", frozen_until=NOW - timedelta(hours=1)), Hasten()),
        (replace(DEAD_ONE, state="retry", frozen_until=NOW + timedelta(hours=1), broken=True), Hasten()),
        (replace(DEAD_ONE, state="unknown"), "may have arrived"),
        (replace(DEAD_ONE, state="sending"), "is being sent"),
        (replace(DEAD_ONE, state="sent", sent_at=NOW), "was sent at 2026-11-23 10:00:00 UTC"),
    ],
)
def test_what_trying_again_means(one, decided):
    found = by_hand.retry(one, NOW)
    if isinstance(decided, str):
        assert isinstance(found, No)
        assert decided in found.why
        assert found.hint
    elif isinstance(decided, type):
        assert isinstance(found, decided)
    else:
        assert found == decided


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (DEAD_ONE, None),
        (replace(DEAD_ONE, state="retry"), None),
        (replace(DEAD_ONE, state="unknown"), None),
        (replace(DEAD_ONE, error="dropped by bob: x"), None),
        (replace(DEAD_ONE, error="queued anew then: x", told=0), "queued anew"),
        (replace(DEAD_ONE, state="sending"), "is being sent"),
        (replace(DEAD_ONE, state="sent"), "was sent"),
    ],
)
def test_what_can_be_dropped(one, why):
    found = by_hand.drop(one, "dropped by ana: old")
    if why is None:
        assert found == by_hand.Drop("dropped by ana: old")
    else:
        assert isinstance(found, No)
        assert why in found.why


def test_a_note_is_one_harmless_line():
    assert by_hand.dropped("ana\n\x1b[2J", "old\nnews" * 200).startswith("dropped by ana [2J: old news")
    assert len(by_hand.dropped("a" * 999, "b" * 999)) < 400


# --- list ------------------------------------------------------------------------------------------------------------


def test_list_shows_the_newest_first_and_what_became_of_each(desk: Desk):
    sent, dead = desk.tell(), desk.tell(DEAD)
    first, second = desk.rows()
    assert (first["delivery_id"], first["state"], first["attempts"], first["last_error"]) == (
        dead,
        "dead",
        1,
        "it is too long",
    )
    assert (second["delivery_id"], second["channel"], second["kind"]) == (sent, "slack:#ops", "price_changed")
    assert (second["severity"], second["change_count"], second["slack_ts"]) == ("risky", 1, "ts-1")


def test_list_can_be_filtered(desk: Desk):
    sent, dead = desk.tell(), desk.tell(DEAD)
    both = {dead, sent}
    filters: dict[tuple[str, ...], set[str]] = {
        ("--state", "dead"): {dead},
        ("--state", "unknown"): set(),
        ("--destination", "slack:*"): both,
        ("--destination", "SLACK:*"): set(),
        ("--destination", "webhook:*"): set(),
        ("--since", "2020-01-01"): both,
        ("--since", "2099-01-01"): set(),
        ("--limit", "1"): {dead},
    }
    found = desk.home.run_all(*(("alerts", "list", *options) for options in filters))
    ids = [{json.loads(line)["delivery_id"] for line in one.out.splitlines()} for one in found]
    assert ids == list(filters.values())


def test_list_in_every_format(desk: Desk):
    identity = desk.tell(DEAD)
    desk.queue()
    forms = ("table", "json", "jsonl", "csv")
    found = desk.home.run_all(*(("alerts", "list", "--format", form) for form in forms))
    table, as_json, lines, as_csv = (one.out for one in found)
    rows = json.loads(as_json)
    assert [json.loads(line) for line in lines.splitlines()] == rows
    assert [row["delivery_id"] or "" for row in rows] == [
        row["delivery_id"] for row in csv.DictReader(io.StringIO(as_csv))
    ]
    head, _, alert, waits = table.splitlines()
    assert head.split() == ["id", "created", "to", "kind", "severity", "state", "attempts", "changes", "error"]
    assert alert.startswith(identity)
    assert waits.startswith("slack:#ops: 1 announcement since 2026-03-02 09:00:0")


def test_an_outbox_with_nothing_in_it(desk: Desk):
    found = desk.run("list", "--format", "table")
    assert (found.code, found.out, found.err) == (0, "", "nothing to show\n")


def waits(desk: Desk) -> list[tuple[str, int, str]]:
    """Of what waits: where, how many announcements, what for."""
    return [(row["channel"], row["announcements"], row["waits_for"]) for row in desk.rows("--state", "queued")]


def test_what_waits_for_nothing_waits_for_a_daemon(desk: Desk):
    desk.queue()
    assert waits(desk) == [("slack:#ops", 1, "due now: is `syncd run` running?")]


def test_what_waits_behind_a_destination_that_is_out_of_order(desk: Desk):
    identity = desk.tell(BROKEN)
    desk.queue()
    ((channel, number, why),) = waits(desk)
    assert (channel, number) == ("slack:#ops", 1)
    assert re.fullmatch(
        r"out of order since 2026-03-02 09:00:\d\d UTC: it answers not_in_channel, asked again at 2026-\S+ \S+ UTC; "
        rf"{identity} goes first \(retry, next try at 2026-\S+ \S+ UTC\)",
        why,
    )


def test_what_waits_behind_a_destination_that_asked_for_silence(desk: Desk):
    identity = desk.tell(RateLimited(datetime(2099, 1, 1, tzinfo=UTC), "HTTP 429"))
    desk.queue()
    ((_, _, why),) = waits(desk)
    assert why.startswith(f"it asked for silence until 2099-01-01 00:00:00 UTC; {identity} goes first (retry")


@pytest.mark.parametrize("digest", [False, True])
def test_what_a_route_holds_back(desk: Desk, digest: bool):  # noqa: FBT001 - a parameter of the test
    settings = 'digest = "hourly"' if digest else 'group_wait = "1h"'
    desk.home.configure(
        "prod", routes=f'[slack]\ntoken = "env:NOT_SET"\n[[routes]]\nname = "ops"\nto = "slack:#ops"\n{settings}\n'
    )
    desk.queue()
    desk.watch.write("UPDATE announcements SET not_before = :at", at=datetime(2099, 1, 1, tzinfo=UTC))
    what = "the digest" if digest else "the group wait"
    assert waits(desk) == [("slack:#ops", 1, f"{what} of route ops until 2099-01-01 00:00:00 UTC")]


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_tells_everything_about_one_alert(desk: Desk):
    identity = desk.tell(NotSent("HTTP 500"), price=500)
    desk.watch.clock.advance(hours=1)
    assert desk.step(Delivered("ts-9")) == [(identity, "sent")]
    shown = desk.run("show", identity, "--format", "table")
    assert shown.code == 0
    for line in (
        rf"id +{identity}",
        r"to +slack:#ops",
        r"kind +price_changed, risky",
        r"state +sent after 2 attempts",
        r"its name +ts-9",
        r"tried +2026-03-02 09:00:\d\d UTC  retry  HTTP 500",
        r"tried +2026-03-02 10:00:\d\d UTC  sent",
        r"told +change  \d+  2026-03-02 09:00:\d\d UTC  credits\.band\S*  prod  .*a.*",
    ):
        assert re.search(f"^{line}$", shown.out, re.MULTILINE), line
    assert shown.out.rstrip().endswith(identity)
    assert as_text(desk.sink.messages[-1]) in shown.out


def test_show_for_a_program(desk: Desk):
    identity = desk.tell(DEAD)
    as_json, as_csv = desk.home.run_all(
        ("alerts", "show", identity, "--format", "json"), ("alerts", "show", identity, "--format", "csv")
    )
    [row] = json.loads(as_json.out)
    assert (row["state"], row["message"]["kind"], row["tried"][0]["outcome"]) == ("dead", "price_changed", "dead")
    assert [one["what"] for one in row["told"]] == ["change"]
    [flat] = csv.DictReader(io.StringIO(as_csv.out))
    assert json.loads(flat["told"]) == row["told"]


def test_show_follows_a_thread(desk: Desk):
    desk.sink.answers = [Delivered("ts-1")]
    desk.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    desk.watch.clock.advance(seconds=1)
    ((opened, _),) = desk.step(Delivered("ts-1"))
    desk.watch.answer("prod", listing(A))
    ((closed, _),) = desk.step(Delivered("ts-2"))
    parent, child = (json.loads(desk.run("show", one).out) for one in (opened, closed))
    assert [one["delivery_id"] for one in parent["answers"]][:1] == [closed]
    assert child["parent_id"] == opened
    assert [(one["what"], one["summary"]) for one in child["told"]] == [("condition", "closed")]
    assert f"in thread  {opened}" in desk.run("show", closed, "--format", "table").out


def test_the_beginning_of_an_id_is_enough(desk: Desk):
    first, second = desk.tell(), desk.tell()
    assert (first, second) == ("dlv_001", "dlv_002")
    for given in ("002", "dlv_002", "DLV_002"):
        assert json.loads(desk.run("show", given).out)["delivery_id"] == second
    refused(desk.run("show", "dlv_00"), "dlv_002, dlv_001", "write more", code=2)
    refused(desk.run("show", "dlv_7"), "there is no alert 'dlv_7'", "syncd alerts list", code=2)
    refused(desk.run("show", ""), "there is no alert", code=2)
    refused(desk.run("show", "%"), "there is no alert", code=2)


# --- retry -----------------------------------------------------------------------------------------------------------


def test_what_a_dead_alert_was_to_tell_is_composed_anew_with_what_waits(desk: Desk):
    dead = desk.tell(DEAD)
    desk.watch.answer("prod", listing(with_price(A, 500, 10_000), model("b")))
    done = desk.run("retry", dead)
    assert (done.code, done.out) == (0, f"{dead}  queued anew for slack:#ops: 1 announcement\n")
    state, error = desk.state(dead)
    assert state == "dead"
    assert error is not None
    assert re.fullmatch(r"queued anew 20\S+ \S+ UTC: it is too long", error)
    ((delivery, became),) = desk.step()
    assert became == "sent"
    assert set(desk.announcements()) == {("sent", delivery)}
    assert desk.watch.one("SELECT change_count FROM alert_log WHERE delivery_id = :id", id=delivery) == 3
    refused(desk.run("retry", dead), "queued anew already")


def test_a_dead_reply_is_sent_as_it_is_when_nothing_is_on_its_way(desk: Desk):
    parent = desk.tell()
    desk.watch.write(
        "INSERT INTO deliveries (id, destination_id, op, parent_id, kind, severity, change_count, message, state,"
        " created_at, attempts, rung, last_error)"
        " SELECT 'dlv_900', destination_id, 'post', id, 'digest_part', severity, 0, message, 'dead',"
        " created_at, 1, 'plain', 'refused' FROM deliveries WHERE id = :id",
        id=parent,
    )
    busy = desk.tell(NotSent("HTTP 500"))
    refused(desk.run("retry", "dlv_900"), f"{busy} is on its way to slack:#ops")
    desk.watch.clock.advance(hours=1)
    assert desk.step() == [(busy, "sent")]
    assert desk.run("retry", "dlv_900").out == "dlv_900  is sent again to slack:#ops\n"
    assert desk.watch.row("SELECT state, rung FROM deliveries WHERE id = 'dlv_900'") == ("retry", "rich")
    desk.watch.clock.now = utc_now()
    assert desk.step() == [("dlv_900", "sent")]


def test_one_that_waits_for_its_next_try_is_tried_now(desk: Desk):
    desk.watch.clock.now = utc_now()
    identity = desk.tell(BROKEN)
    assert desk.step() == []
    assert desk.run("retry", identity).out == f"{identity}  is tried now at slack:#ops\n"
    desk.watch.clock.now = utc_now()
    desk.sink.probed = None
    assert desk.step() == [(identity, "sent")]


def test_a_destination_that_asked_for_silence_has_it(desk: Desk):
    desk.watch.clock.now = utc_now()
    identity = desk.tell(RateLimited(datetime(2099, 1, 1, tzinfo=UTC), "HTTP 429"))
    done = desk.run("retry", identity)
    assert done.code == 0
    assert "is tried at 2099-01-01 00:00:00 UTC: until then slack:#ops asked for silence" in done.out
    assert desk.step() == []


def test_what_may_have_arrived_is_not_sent_again_blindly(desk: Desk):
    identity = desk.tell(Ambiguous("the line broke"))
    refused(desk.run("retry", identity), "may have arrived", "looks for it")
    assert desk.state(identity)[0] == "unknown"


def test_what_was_sent_or_is_being_sent_is_left_alone(desk: Desk):
    identity = desk.tell()
    refused(desk.run("retry", identity), f"{identity} was sent at 2026-")
    desk.watch.write("UPDATE deliveries SET state = 'sending'")
    refused(desk.run("retry", identity), "is being sent", "try again in a minute")
    refused(desk.run("drop", identity, "--reason", "old"), "is being sent", "try again in a minute")


def test_all_dead_are_those_that_nobody_has_seen_to(desk: Desk):
    assert desk.run("retry", "--all-dead").out == "no alert is dead that nobody has seen to\n"
    dropped, one, two = desk.tell(DEAD), desk.tell(DEAD), desk.tell(DEAD)
    assert desk.run("drop", dropped, "--reason", "old").code == 0
    done = desk.run("retry", "--all-dead")
    assert [line.split()[0] for line in done.out.splitlines()] == [one, two]
    assert desk.announcements() == [("dropped", dropped), ("queued", None), ("queued", None)]


def test_several_of_which_one_is_refused(desk: Desk):
    dead, sent = desk.tell(DEAD), desk.tell()
    done = desk.run("retry", sent, dead)
    assert done.code == 1
    assert done.out.startswith(dead)
    assert done.err.startswith(f"syncd: {sent} was sent")
    before = desk.announcements()
    assert desk.run("retry", dead, "dlv_7").code == 2  # nothing is done unless all of them are there
    assert desk.announcements() == before


def test_retry_and_drop_ask_which(desk: Desk):
    refused(desk.run("retry"), "which?", "--all-dead", code=2)
    refused(desk.run("retry", "dlv_1", "--all-dead"), "which?", code=2)
    refused(desk.run("drop", "--reason", "old"), "which?", "--queued", code=2)
    refused(desk.run("drop", "dlv_1", "--reason", " \n"), "reason is empty", code=2)
    assert desk.run("drop", "dlv_1").code == 2


# --- drop ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [DEAD, NotSent("HTTP 500"), Ambiguous("the line broke"), BROKEN])
def test_what_is_dropped_is_dead_with_a_reason_and_stays_in_the_history(desk: Desk, answer):
    identity = desk.tell(answer)
    changes = desk.watch.rows("SELECT change_id, state, summary FROM change_log")
    done = desk.run("drop", identity, "--reason", "old news")
    assert (done.code, done.out) == (0, f"{identity}  dropped, for slack:#ops: 1 announcement\n")
    assert desk.state(identity) == ("dead", "dropped by ana: old news")
    assert desk.announcements()[0] == ("dropped", identity)
    assert desk.watch.rows("SELECT change_id, state, summary FROM change_log") == changes
    desk.watch.clock.advance(hours=1)
    assert desk.step() == []
    assert desk.run("drop", identity, "--reason", "even older", "--author", "bob").code == 0
    assert desk.state(identity)[1] == "dropped by bob: even older"


def test_what_was_dropped_can_be_brought_back(desk: Desk):
    identity = desk.tell(DEAD)
    desk.run("drop", identity, "--reason", "old")
    assert desk.run("retry", identity).code == 0
    ((again, state),) = desk.step()
    assert (again != identity, state) == (True, "sent")
    refused(desk.run("drop", identity, "--reason", "old"), "queued anew", "--queued")


def test_what_was_sent_cannot_be_dropped(desk: Desk):
    refused(desk.run("drop", desk.tell(), "--reason", "old"), "was sent", "delete it")


def test_what_waits_at_a_destination_is_dropped_as_one_message_that_can_be_read_and_brought_back(desk: Desk):
    desk.queue()
    desk.queue()
    done = desk.run("drop", "--queued", "slack:#ops", "--reason", "the channel is gone")
    assert done.code == 0
    identity = done.out.split()[0]
    assert done.out == f"{identity}  dropped, for slack:#ops: 2 announcements\n"
    assert desk.state(identity) == ("dead", "dropped by ana: the channel is gone")
    assert desk.announcements() == [("dropped", identity)] * 2
    assert "Price" in desk.run("show", identity, "--format", "table").out
    assert desk.step() == []
    assert (
        desk.run("drop", "--queued", "slack:#ops", "--reason", "again").out
        == "nothing waits to be composed at slack:#ops\n"
    )
    assert desk.run("retry", identity).code == 0
    assert [state for _, state in desk.step()] == ["sent"]


def test_edits_that_wait_are_dropped_with_the_rest(desk: Desk):
    desk.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    assert [state for _, state in desk.step(Delivered("ts-1"))] == ["sent"]
    desk.watch.answer("prod", listing(A))
    assert desk.run("drop", "--queued", "slack:#ops", "--reason", "gone").code == 0
    assert {state for state, _ in desk.announcements()} == {"sent", "dropped"}
    assert desk.step() == []


def test_nothing_can_wait_where_nothing_was_ever_told(desk: Desk):
    refused(desk.run("drop", "--queued", "slack:#opps", "--reason", "x"), "'slack:#opps'", code=2)


def test_status_stops_asking_for_a_person_who_has_been_there(desk: Desk):
    asks = r"alerts? could not be delivered: see `syncd alerts list --state dead`"
    one, two, three = desk.tell(DEAD), desk.tell(DEAD), desk.tell(DEAD)
    assert re.search(rf"^! 3 {asks}$", desk.home.run("status", "--format", "table").out, re.MULTILINE)
    desk.run("drop", one, "--reason", "old")
    desk.run("retry", two)
    assert re.search(rf"^! 1 {asks}$", desk.home.run("status", "--format", "table").out, re.MULTILINE)
    desk.run("drop", three, "--reason", "old")
    assert "could not be delivered" not in desk.home.run("status", "--format", "table").out


# --- test ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack(utc_now) as running:
        running.channel("C0ALERTS1", "alerts")
        yield running


@pytest.fixture
def office(slack: FakeSlack, database_url: str, tmp_path: Path, vendor: SimulatedVendor) -> Home:
    """A configuration with a channel that is there, one that is not, a webhook and the console."""
    made = Home(tmp_path, vendor, "prod", url=database_url)
    made.environ |= {"TOKEN": slack.token, "HOOK": slack.webhook_url, "USER": "ana"}
    slack.channel("C0HOOKED1", "hooked")
    slack.hook_channel = "C0HOOKED1"
    route_to(made, slack, "slack:#alerts", "console", "webhook:env:HOOK")
    return made


# A removal is told by the poll that finds it.
AT_ONCE = '[detection]\nconfirm_removal = { polls = 1, after = "0s" }\n'


def route_to(home: Home, slack: FakeSlack, *destinations: str, interval: str = "1h", detection: str = "") -> None:
    routes = "".join(f'[[routes]]\nname = "r{n}"\nto = "{to}"\n' for n, to in enumerate(destinations))
    top = f'{detection}[slack]\ntoken = "env:TOKEN"\napi_url = "{slack.url}"\n'
    home.configure("prod", routes=top + routes, interval=interval)


def lines(result: Result) -> dict[str, str]:
    """What is said of each destination."""
    found = (re.match(r"(console|(?:slack|webhook):\S+) +(.*)", line) for line in result.out.splitlines())
    return {one[1]: one[2] for one in found if one}


def test_a_test_is_sent_everywhere_where_no_daemon_runs(office: Home, slack: FakeSlack):
    done = office.run("alerts", "test", "--author", "bob")
    said = lines(done)
    assert done.code == 0, done.said
    assert list(said) == ["slack:#alerts", "console", "webhook:env:HOOK"]
    (posted,) = slack.messages("C0ALERTS1")
    assert re.fullmatch(rf"sent as dlv_\w+ \({posted['ts']}\)", said["slack:#alerts"])
    assert re.fullmatch(r"sent as dlv_\w+", said["console"])
    assert "Sent by bob with " in json.dumps(posted["blocks"])
    assert len(slack.messages("C0HOOKED1")) == 1
    assert done.out.startswith("🔔 A test of syncd's alerts\n   Sent by bob with syncd alerts test.")
    assert slack.token not in done.said
    assert slack.hook not in done.said


def test_a_test_can_be_repeated_and_goes_where_it_is_told(office: Home, slack: FakeSlack):
    for _ in range(2):
        done = office.run("alerts", "test", "slack:#alerts", "slack:#alerts")
        assert (done.code, list(lines(done))) == (0, ["slack:#alerts"])
    assert len(slack.messages("C0ALERTS1")) == 2
    assert slack.messages("C0HOOKED1") == []


def test_a_test_is_composed_with_what_waits(office: Home, slack: FakeSlack):
    assert office.run("once").code == 0
    office.account("prod").models.pop()
    route_to(office, slack, "slack:#alerts", "slack:#gone", detection=AT_ONCE)
    assert office.run("once").code == 1  # the first message to #gone cannot be sent
    office.account("prod").models.pop()
    assert office.run("once").code == 1  # and the next waits behind it
    slack.channel("C0GONE001", "gone")
    done = office.run("alerts", "test", "slack:#gone")
    assert done.code == 0, done.said
    assert re.fullmatch(r"sent as dlv_\w+ \(\S+\), with 1 change", lines(done)["slack:#gone"])
    assert len(slack.messages("C0GONE001")) == 2


def test_a_test_says_what_is_wrong_and_what_to_do(office: Home, slack: FakeSlack):
    slack.channel("C0ARCHIVE", "old", is_archived=True)
    route_to(office, slack, "slack:#alerts", "slack:#gone", "slack:#old")
    done = office.run("alerts", "test")
    said = lines(done)
    assert done.code == 1
    assert said["slack:#alerts"].startswith("sent as")
    assert said["slack:#gone"].startswith("! not sent: channel_not_found; ")
    assert re.search(r"dlv_\w+ is sent once it works$", said["slack:#gone"])
    assert said["slack:#old"].startswith("! not sent: is_archived; ")
    # Once it is mended the next test arrives, whenever the channel would have been asked next.
    slack.channel("C0GONE001", "gone")
    again = office.run("alerts", "test", "slack:#gone")
    assert again.code == 0, again.said
    assert len(slack.messages("C0GONE001")) == 2


def test_a_test_at_a_destination_that_asked_for_silence_ends_at_once(office: Home, slack: FakeSlack):
    slack.faults["chat.postMessage"] = [rate_limited("3600")]
    done = office.run("alerts", "test", "slack:#alerts")
    assert done.code == 1
    assert lines(done)["slack:#alerts"].startswith("! not sent: it asked for silence until 20")
    again = office.run("alerts", "test", "slack:#alerts")
    assert lines(again)["slack:#alerts"].startswith("! not sent: it asked for silence until 20")
    assert "queued" not in office.run("alerts", "list").out  # nobody gets the second test in an hour
    assert slack.messages("C0ALERTS1") == []


def test_beside_a_daemon_the_daemon_sends_the_test_and_no_secret_is_needed(office: Home, slack: FakeSlack):
    with office.daemon() as daemon:
        done = office.run("alerts", "test", drop=("TOKEN", "HOOK", "KEY_PROD"))
        assert done.code == 0, done.said + daemon.err
        assert "A test of syncd's alerts" in daemon.out
    assert list(lines(done)) == ["slack:#alerts", "console", "webhook:env:HOOK"]
    assert "A test of" not in done.out
    assert "A test of" in str(slack.messages("C0ALERTS1"))


def test_a_test_needs_a_route_that_leads_there(office: Home, slack: FakeSlack):
    refused(office.run("alerts", "test", "slack:#allerts"), "'slack:#allerts'", "routes lead to: slack:#alerts", code=2)
    office.configure("prod", routes="")
    refused(office.run("alerts", "test"), "no route", "add [[routes]]", code=2)
    assert slack.requests == []


# --- preview ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory, vendor: SimulatedVendor) -> Home:
    """A folder with no configuration, and an environment without any."""
    home = Home(tmp_path_factory.mktemp("nowhere"), vendor)
    (home.folder / "config.toml").unlink()
    del home.environ["SYNCD_DATABASE_URL"]
    return home


def test_preview_names_every_kind_and_needs_nothing(nowhere: Home):
    shown = nowhere.run("alerts", "preview")
    assert shown.code == 0
    assert [json.loads(line)["kind"] for line in shown.out.splitlines()] == list(samples())
    assert list(nowhere.folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["parameters_changed", "digest"])
def test_preview_shows_the_words_what_slack_is_sent_and_a_link_that_draws_it(nowhere: Home, kind: str):
    shown = nowhere.run("alerts", "preview", kind)
    assert shown.code == 0
    message = samples()[kind]
    assert shown.out.startswith(as_text(message))
    for reply in message.replies:
        assert reply.title in shown.out
    payloads = [json.loads(part) for part in re.findall(r"^\{$.*?^\}$", shown.out, re.MULTILINE | re.DOTALL)]
    links = re.findall(r"^https://app\.slack\.com/block-kit-builder/#(\S+)$", shown.out, re.MULTILINE)
    assert len(payloads) == len(links) == 1 + len(message.replies)
    for payload, link in zip(payloads, links, strict=True):
        assert re.fullmatch(r"[\w.~%-]+", link)
        assert json.loads(unquote(link)) == {"blocks": payload["blocks"]}


def test_preview_for_other_programs(nowhere: Home):
    bot, hook, words, sentence = (
        one.out
        for one in nowhere.run_all(
            *(("alerts", "preview", "price.changed", "--to", to) for to in ("slack", "webhook", "console", "text"))
        )
    )
    message = samples()["price_changed"]
    assert json.loads(bot)["metadata"]["event_payload"]["kind"] == "price_changed"
    assert words.strip() == as_text(message)
    assert sentence == f"{message.summary}\n"
    assert json.loads(hook)["blocks"] == json.loads(bot)["blocks"]


def test_preview_of_a_webhook_is_what_a_webhook_is_sent(nowhere: Home, slack: FakeSlack):
    slack.channel("C0ALERTS", "alerts")
    message = samples()["test"]
    sink = WebhookSink({"x": Secret(slack.webhook_url)}, utc_now)
    assert sink.send(Parcel(message.reference, "x", "x", message, utc_now())) == Delivered()
    (posted,) = slack.calls("webhook")
    assert json.loads(nowhere.run("alerts", "preview", "test", "--to", "webhook").out) == posted


def test_preview_calls_whom_a_route_would(nowhere: Home):
    shown = nowhere.run("alerts", "preview", "key_rejected", "--to", "slack", "--mention", "@here")
    assert {"type": "broadcast", "range": "here"} in json.loads(shown.out)["blocks"][1]["elements"][0]["elements"]


def test_preview_of_what_there_is_not(nowhere: Home):
    refused(nowhere.run("alerts", "preview", "price_chanegd"), "did you mean price_changed?", code=2)
    refused(nowhere.run("alerts", "preview", "test", "--mention", "joe"), "'joe' calls nobody", "@here", code=2)


# --- help ------------------------------------------------------------------------------------------------------------


def test_the_help_of_each_command_teaches(nowhere: Home):
    overview, *pages = nowhere.run_all(("alerts", "--help"), *(("alerts", name, "--help") for name in COMMANDS))
    listed = re.findall(r"^ {2}(\w+) +[A-Z].*[.]$", overview.out.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)  # and each in a sentence that fits
    for name, page in zip(COMMANDS, pages, strict=True):
        assert page.out.startswith(f"Usage: syncd alerts {name} ")
        assert len(page.out.split("\n\n")) > 3
