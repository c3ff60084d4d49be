"""That a condition lasts is told again and again, to those who heard of its beginning. On both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from syncd.core.delivery import Delivered, Impossible, NotSent, Unusable
from syncd.core.message import as_text
from syncd.core.routing import Route
from syncd.core.silence import Silence
from tests.conftest import Clock
from tests.test_outbox import A, Mail, mailing
from tests.watching import listing, model, refusal

CHAT = Route("chat", "slack:#vivix", mention="@here")
CONSOLE = Route("all", "console")

REJECTED = "Key prod is rejected (401)"


@pytest.fixture
def mail(migrated_url: str, clock: Clock) -> Iterator[Mail]:
    mail = mailing(migrated_url, clock, CHAT, CONSOLE)
    yield mail
    mail.watch.close()


def reject(mail: Mail, key: str = "prod") -> None:
    mail.watch.answer(key, refusal("KEY_REVOKED"), status=401)


def told(mail: Mail, *, every: timedelta | None = timedelta(hours=24)) -> list[tuple[str, str]]:
    """Where something goes now, and what."""
    outbox = replace(mail.outbox(), remind=every)
    before = len(mail.console.seen), len(mail.slack.seen)
    while outbox.step():
        pass
    new = [("console", title) for _, title, _ in mail.console.seen[before[0] :]]
    return new + [("slack", title) for _, title, _ in mail.slack.seen[before[1] :]]


def everywhere(title: str) -> list[tuple[str, str]]:
    return [("console", title), ("slack", title)]


def mute(mail: Mail, until: datetime, *destinations: str) -> None:
    with mail.watch.store.outbox() as tx:
        silence = Silence(id=0, until=until, author="ana", comment="maintenance", destinations=destinations)
        tx.silences.add(silence, mail.clock())


def test_every_day_until_it_is_over(mail: Mail):
    reject(mail)
    assert told(mail) == everywhere(REJECTED)
    mail.clock.advance(hours=23, minutes=59)
    assert told(mail) == []
    mail.clock.advance(minutes=1)
    assert told(mail) == everywhere(f"Still: {REJECTED}, for 1 d")
    assert told(mail) == []
    mail.clock.advance(hours=24)
    assert told(mail) == everywhere(f"Still: {REJECTED}, for 2 d")
    mail.watch.answer("prod", listing(A))
    assert [title for _, title in told(mail)] == ["Key prod works again"] * 2 + [f"Over: {REJECTED}"]
    mail.clock.advance(days=3)
    assert told(mail) == []


def test_it_answers_the_message_that_told_of_the_beginning_and_calls_people_again(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(hours=24)
    told(mail)
    assert mail.slack.messages[-1].mentions == ("@here",)
    assert "Since 2026-03-02 09:00:00 UTC." in as_text(mail.slack.messages[-1])
    query = """
        SELECT parents.kind, parents.parent_id, deliveries.op FROM deliveries
        JOIN deliveries parents ON parents.id = deliveries.parent_id
    """
    assert mail.watch.rows(query) == [("key_rejected", None, "post")]


def test_as_often_as_is_wanted_or_never(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(hours=2)
    assert told(mail, every=None) == []
    assert told(mail, every=timedelta(hours=3)) == []
    assert told(mail, every=timedelta(hours=1)) == everywhere(f"Still: {REJECTED}, for 2 h")


def test_after_days_without_a_daemon_once(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(days=10)
    mail.outbox().recover()
    assert told(mail) == everywhere(f"Still: {REJECTED}, for 10 d")
    assert told(mail) == []


def test_an_outage_is_reminded_of_with_the_keys_that_it_has_by_now(mail: Mail):
    mail.watch.answer("spare", listing(A))
    for _ in range(2):
        mail.watch.no_answer("prod")
    told(mail)
    for _ in range(2):
        mail.watch.no_answer("spare")
    mail.clock.advance(hours=24)
    told(mail)
    assert "Affected: prod, spare" in as_text(mail.console.messages[-1])


def test_those_whose_keys_are_well_again_are_reminded_of_nothing(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, replace(CHAT, keys=("spare",)), CONSOLE)
    for key in ("prod", "spare"):
        mail.watch.answer(key, listing(A))
        for _ in range(2):
            mail.watch.no_answer(key)
    told(mail)
    mail.watch.answer("spare", listing(A))
    told(mail)  # the message that told them is brought up to date
    mail.clock.advance(hours=24)
    assert [where for where, _ in told(mail)] == ["console"]
    assert "Affected: prod" in as_text(mail.console.messages[-1])
    assert "spare" not in as_text(mail.console.messages[-1])
    mail.watch.close()


def test_several_keys_are_one_reminder(mail: Mail):
    for key in ("prod", "spare"):
        mail.watch.answer(key, listing(A))
    for key in ("prod", "spare"):
        reject(mail, key)
    mail.watch.write("DELETE FROM announcements WHERE change_id IS NOT NULL")
    told(mail)
    mail.clock.advance(hours=24)
    assert told(mail) == everywhere("Still: 2 keys are rejected (401): prod, spare, for 1 d")


# --- who hears of it -----------------------------------------------------------------------------------------------


def test_not_where_its_beginning_was_muted(mail: Mail):
    mute(mail, mail.clock() + timedelta(hours=1), "console")
    reject(mail)
    assert told(mail) == [("slack", REJECTED)]
    mail.clock.advance(hours=24)
    assert [one for one in told(mail) if "Still" in one[1]] == [("slack", f"Still: {REJECTED}, for 1 d")]


def test_not_while_it_is_muted(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(hours=23)
    mute(mail, mail.clock() + timedelta(hours=3), "console")
    mail.clock.advance(hours=1)
    assert told(mail) == [("slack", f"Still: {REJECTED}, for 1 d")]
    mail.clock.advance(hours=3)
    assert told(mail) == [("console", "A silence has ended: it muted 1 alert")]
    mail.clock.advance(hours=21)
    assert told(mail) == everywhere(f"Still: {REJECTED}, for 2 d")


def test_not_where_its_beginning_was_given_up(mail: Mail):
    mail.console.answers = [Impossible("no"), Delivered()]
    reject(mail)
    told(mail)
    mail.clock.advance(hours=24)
    assert told(mail) == [("slack", f"Still: {REJECTED}, for 1 d")]


def test_not_where_its_beginning_is_still_to_be_told(mail: Mail):
    mail.console.answers = [NotSent("closed")]
    reject(mail)
    told(mail)
    mail.clock.advance(hours=24)
    mail.console.answers = [Delivered()]
    assert told(mail) == [("console", REJECTED), ("slack", f"Still: {REJECTED}, for 1 d")]
    mail.clock.advance(hours=24)
    assert [where for where, title in told(mail) if "Still" in title] == ["console", "slack"]


def test_one_that_is_on_its_way_is_not_sent_twice(mail: Mail):
    reject(mail)
    told(mail)
    mail.console.answers = [NotSent("closed")]
    for _ in range(3):
        mail.clock.advance(hours=24)
        told(mail)
    mail.console.answers = [Delivered()]
    mail.clock.advance(minutes=10)
    assert told(mail) == [("console", f"Still: {REJECTED}, for 1 d")]
    assert told(mail) == []


def test_one_that_waits_while_the_condition_ends_is_dropped(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(hours=24)
    with mail.watch.store.outbox() as tx:
        tx.reminders.queue(timedelta(hours=24), mail.clock())
    mail.watch.answer("prod", listing(A))
    assert not [title for _, title in told(mail) if "Still" in title]
    assert ("reminder", "dropped") in mail.watch.rows("SELECT edge, state FROM announcements")


def test_that_a_destination_is_out_of_order_is_reminded_of_elsewhere(mail: Mail):
    mail.slack.answers = [Unusable("channel", "is_archived", "unarchive it")]
    mail.watch.answer("prod", listing(A, model("b")))
    assert ("console", "slack:#vivix takes no alerts") in told(mail)
    mail.slack.answers = [Unusable("channel", "is_archived", "unarchive it")]
    mail.clock.advance(hours=24)
    assert ("console", "Still: slack:#vivix takes no alerts, for 1 d") in told(mail)


# --- the clock -----------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_brings_no_flood_and_no_silence(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(days=400)
    assert len(told(mail)) == 2
    mail.clock.advance(days=-399)
    mail.outbox().recover()
    assert told(mail) == []
    mail.clock.advance(hours=23)
    assert told(mail) == []
    mail.clock.advance(hours=1)
    assert [title for _, title in told(mail)] == [f"Still: {REJECTED}, for 2 d"] * 2


def test_of_two_processes_one_reminds(mail: Mail):
    reject(mail)
    told(mail)
    mail.clock.advance(hours=24)
    for _ in range(2):
        with mail.watch.store.outbox() as tx:
            tx.reminders.queue(timedelta(hours=24), mail.clock())
    assert len(told(mail)) == 2
