"""The line that all is well: when it is due, what it counts, and that it is told once. On both databases."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from syncd.core.message import as_text
from syncd.core.routing import Route
from syncd.core.silence import Silence
from syncd.core.slots import Slots
from syncd.core.summary import Counts, Period, Run, periods, summed_up
from syncd.demo.vendor import SimulatedVendor
from syncd.outbox import notices
from syncd.store import Store
from syncd.store.tables import api_keys
from tests.conftest import Clock
from tests.program import Home, until
from tests.test_outbox import A, Mail, mailing
from tests.watching import listing, model, refusal, with_price

MONDAY = Slots(time(9, 0), 0)
DAILY = Slots(time(9, 0))
WEEKLY = Route("weekly", "slack:#ops", summary=MONDAY)
SLOT = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
DAY = timedelta(days=1)


# --- when it is due ------------------------------------------------------------------------------------------------


def test_it_is_due_from_its_time_on_and_for_half_a_day():
    due = (Period("slack:#ops", SLOT - WEEK, SLOT),)
    assert periods([WEEKLY], SLOT - timedelta(microseconds=1)) == ()
    assert periods([WEEKLY], SLOT) == due
    assert periods([WEEKLY], SLOT + timedelta(hours=11, minutes=59)) == due
    assert periods([WEEKLY], SLOT + timedelta(hours=12)) == ()


def test_it_is_due_once_for_each_destination_and_time():
    routes = [
        Route("quiet", "console"),
        WEEKLY,
        replace(WEEKLY, name="again", keys=("x",)),
        Route("other", "console", summary=DAILY),
        Route("early", "console", summary=Slots(time(8, 30), 0)),
    ]
    found = periods(routes, SLOT)
    assert [(one.destination, one.slot) for one in found] == [
        ("slack:#ops", SLOT),
        ("console", SLOT),
        ("console", SLOT - timedelta(minutes=30)),
    ]
    assert [one.since for one in found] == [SLOT - WEEK, SLOT - DAY, SLOT - timedelta(minutes=30) - WEEK]


def test_a_day_on_which_the_clocks_change_is_an_hour_shorter():
    berlin = Route("berlin", "console", summary=Slots(time(9, 0), None, ZoneInfo("Europe/Berlin")))
    (found,) = periods([berlin], datetime(2026, 3, 29, 7, 0, tzinfo=UTC))
    assert (found.slot.hour, found.slot - found.since) == (7, timedelta(hours=23))


def test_of_a_run_of_polls_that_began_earlier_as_many_are_counted_as_fit():
    period = Period("console", SLOT - DAY, SLOT)
    runs = (
        Run(good=True, first=SLOT - 3 * DAY, last=SLOT, polls=73),  # every hour
        Run(good=True, first=SLOT - 2 * DAY, last=SLOT - DAY, polls=25),  # the last one just then
        Run(good=False, first=SLOT - 3 * DAY, last=SLOT - 2 * DAY, polls=25),
        Run(good=False, first=SLOT - timedelta(hours=1), last=SLOT, polls=4),
    )
    found = summed_up(period, ["prod"], Counts(5, 2, runs))
    assert found == {
        "keys": ["prod"], "models": 5, "changes": 2, "polls": 25 + 1 + 4, "failed": 4,
        "since": "2026-03-08 09:00:00 UTC",
    }  # fmt: skip


# --- in the outbox -------------------------------------------------------------------------------------------------


def weekly(url: str, clock: Clock, *routes: Route) -> Mail:
    """The clock stands at a Monday, 09:00, when everything was seen for the first time."""
    mail: Mail = mailing(url, clock, *routes)
    clock.now = SLOT - timedelta(hours=3)
    return mail


@pytest.fixture
def mail(migrated_url: str, clock: Clock) -> Iterator[Mail]:
    mail = weekly(migrated_url, clock, WEEKLY)
    yield mail
    mail.watch.close()


def told(mail: Mail) -> list[str]:
    """One step: what arrived in Slack."""
    outbox, before = mail.outbox(), len(mail.slack.seen)
    while outbox.step():
        pass
    return [title for _, title, _ in mail.slack.seen[before:]]


def test_a_quiet_week_is_told_in_a_line(mail: Mail):
    mail.watch.answer("prod", listing(A))
    assert told(mail) == []
    mail.clock.now = SLOT
    assert told(mail) == ["Watching 1 model on 1 key; 0 changes; all polls good"]
    message = mail.slack.messages[-1]
    assert (message.kind, message.severity, message.keys) == ("summary", "informational", ("prod",))
    assert "Since 2026-03-02 09:00:00 UTC, for prod. " in as_text(message)


def test_what_happened_is_counted_since_the_time_before(mail: Mail):
    mail.watch.answer("spare", listing(A, model("b")))
    mail.watch.answer("prod", listing(with_price(A, 11, 100)))
    mail.watch.answer("prod", listing(with_price(A, 12, 100)))
    mail.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    told(mail)
    mail.clock.now = SLOT
    # The first catalogues are no changes; a and b are two models, of whichever key.
    assert told(mail) == ["Watching 2 models on 2 keys; 2 changes; 1 of 5 polls without an answer"]
    mail.watch.answer("prod", listing(with_price(A, 12, 100)))
    told(mail)
    mail.clock.now = SLOT + WEEK
    assert told(mail) == ["Watching 2 models on 2 keys; 0 changes; all polls good"]
    stored = mail.watch.one("SELECT detail FROM notices ORDER BY id DESC LIMIT 1")
    assert {name: stored[name] for name in ("polls", "failed")} == {"polls": 1, "failed": 0}


def test_polls_of_a_run_that_began_before_are_counted(mail: Mail):
    mail.clock.now = SLOT - WEEK - timedelta(hours=10, minutes=1)
    for _ in range(21):
        mail.watch.answer("prod", listing(A))
        mail.clock.advance(hours=1)
    mail.clock.now = SLOT
    told(mail)
    assert mail.watch.rows("SELECT count FROM polls ORDER BY id") == [(1,), (21,)]
    assert mail.watch.one("SELECT detail FROM notices")["polls"] == 1 + 10


def test_a_removal_that_waits_for_confirmation_is_still_a_model(mail: Mail):
    mail.watch.answer("prod", listing(A, model("b")))
    mail.watch.answer("prod", listing())
    told(mail)
    mail.clock.now = SLOT
    assert told(mail)[0].startswith("Watching 2 models on 1 key; ")


def test_it_is_told_once(mail: Mail):
    mail.clock.now = SLOT
    assert len(told(mail)) == 1
    for _ in range(3):
        mail.clock.advance(minutes=5)
        assert told(mail) == []
    assert mail.watch.row("SELECT kind, subject FROM notices") == ("summary", "slack:#ops|2026-03-09T09:00:00+00:00")


def test_of_processes_that_see_its_time_at_once_one_tells_it(mail: Mail):
    mail.clock.now = SLOT
    gate = threading.Barrier(4)

    def notice(_: int) -> None:
        store = Store(mail.watch.url)
        gate.wait()
        with store.outbox() as tx:
            notices.say(tx, mail.outbox().audience, mail.clock())
        store.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(notice, range(4)))
    assert mail.watch.one("SELECT COUNT(*) FROM announcements WHERE notice_id IS NOT NULL") == 1
    assert len(told(mail)) == 1


def test_one_that_was_missed_is_told_late_but_not_the_day_after(mail: Mail):
    mail.clock.now = SLOT + timedelta(hours=11)
    assert len(told(mail)) == 1
    mail.clock.now = SLOT + WEEK + timedelta(hours=13)
    assert told(mail) == []


def test_a_key_that_is_new_since_is_no_reason_for_one(migrated_url: str, clock: Clock):
    clock.now = SLOT + timedelta(minutes=1)
    mail = mailing(migrated_url, clock, WEEKLY)
    assert told(mail) == []
    clock.now = SLOT + WEEK
    assert len(told(mail)) == 1
    mail.watch.close()


def test_only_what_the_destination_may_read_of_counts(migrated_url: str, clock: Clock):
    ours = replace(WEEKLY, keys=("prod",))
    theirs = Route("theirs", "console", keys=("spare",), summary=MONDAY)
    nobody = Route("nobody", "slack:#nobody", keys=("gone",), summary=MONDAY)
    mail = weekly(migrated_url, clock, ours, theirs, nobody)
    mail.watch.answer("spare", listing(A, model("b")))
    mail.watch.answer("spare", listing(A))
    clock.advance(minutes=30)
    mail.watch.answer("spare", listing(A))
    mail.watch.no_answer("spare")
    told(mail)
    mail.clock.now = SLOT
    assert told(mail) == ["Watching 1 model on 1 key; 0 changes; all polls good"]
    message = mail.console.messages[-1]
    assert message.title == "Watching 1 model on 1 key; 1 change; 1 of 4 polls without an answer"
    assert message.keys == ("spare",)
    assert mail.watch.one("SELECT COUNT(*) FROM notices") == 2
    mail.watch.close()


def test_a_model_counts_until_its_removal_is_certain(mail: Mail):
    mail.watch.answer("prod", listing(A, model("b")))
    told(mail)
    mail.clock.now = SLOT
    mail.watch.answer("prod", listing(A))
    assert told(mail) == ["Watching 2 models on 1 key; 2 changes; all polls good"]  # b came, b may be gone


def test_a_key_that_left_the_configuration_does_not_count(mail: Mail):
    mail.watch.answer("spare", listing(A, model("b")))
    told(mail)
    mail.watch.retire("spare")
    mail.clock.now = SLOT
    assert told(mail) == ["Watching 1 model on 1 key; 0 changes; all polls good"]


def test_it_is_not_muted(mail: Mail):
    mail.clock.now = SLOT
    with mail.watch.store.outbox() as tx:
        everything = Silence(id=0, until=SLOT + DAY, author="ana", comment="quiet")
        tx.silences.add(everything, SLOT)
    assert len(told(mail)) == 1


def test_who_runs_once_does_not_wait_for_its_time(mail: Mail):
    mail.clock.now = SLOT - timedelta(seconds=10)
    assert told(mail) == []
    assert mail.outbox().next_due() is None


# --- the program ---------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, database_url: str) -> Iterator[Home]:
    with SimulatedVendor() as vendor:
        yield Home(tmp_path, vendor, "prod", routes=_route(), url=database_url)


def _route() -> str:
    """Daily at a time that was a minute ago."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    return f'[[routes]]\nname = "all"\nto = "console"\nsummary = "daily {at:%H:%M} UTC"\n'


def test_once_and_the_daemon_tell_it(home: Home, database_url: str):
    assert "Watching 6 models on 1 key" not in home.run("once").out  # it watches only since now
    _watched_for_days(database_url)
    with home.daemon() as daemon:
        until(lambda: "Watching 6 models on 1 key; 0 changes; all polls good" in daemon.out)
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0
    assert "6 models on 1 key" not in home.run("once").out
    rows = home.run("sql", "select kind from alert_log where kind = 'summary'").out.splitlines()
    assert [json.loads(row) for row in rows] == [{"kind": "summary"}]


def _watched_for_days(url: str) -> None:
    store = Store(url)
    long_ago = datetime.now(UTC) - timedelta(days=3)
    with store.outbox() as tx:
        tx._connection.execute(sa.update(api_keys).values(added_at=long_ago))
    store.close()
