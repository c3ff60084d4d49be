"""The outbox: what is announced is delivered once, in order, or is said to may repeat. On both databases."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from syncd.core.delivery import (
    MAY_REPEAT,
    Ambiguous,
    Attempted,
    CannotEverLook,
    Delivered,
    Impossible,
    Looked,
    NotSent,
    Unusable,
)
from syncd.core.message import Message, as_text
from syncd.core.routing import Route
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from syncd.store.destinations import Destination
from syncd.store.outbox import Delivery
from tests.conftest import Clock
from tests.watching import Watch, at, listing, model, refusal, with_price

A = model("a")
TO_CONSOLE = Route("all", "console")
TO_SLACK = Route("chat", "slack:#vivix")


@dataclass
class FakeSink:
    """Remembers what it was given and answers as it is told; the last answer stays."""

    answers: list[Attempted | BaseException] = field(default_factory=lambda: [Delivered("ts-1")])
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    distance: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        self.seen.append((parcel.id, parcel.message.title, parcel.note))
        self.messages.append(parcel.message)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def look(self, parcel: Parcel) -> Looked:
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        return None


class PowerCutError(BaseException):
    """The process ends here."""


@dataclass
class Mail:
    """A watch, its outbox and its sinks."""

    watch: Watch
    console: FakeSink
    slack: FakeSink
    numbers: Callable[[], int]

    @property
    def clock(self) -> Clock:
        return self.watch.clock

    def outbox(self) -> Outbox:
        """The outbox of a process that has just started."""
        return Outbox(
            store=self.watch.store,
            sinks={"console": self.console, "slack": self.slack},
            routes=self.watch.poller.judgement.routes,
            keys=dict(self.watch.keys),
            clock=self.clock,
            new_id=lambda: f"dlv_{self.numbers():03}",
            chance=random.Random(1),  # noqa: S311  it spreads retries
        )

    def change_price(self, price: float, key: str = "prod") -> None:
        self.watch.answer(key, listing(with_price(A, price, 100)))


def mailing(url: str, clock: Clock, *routes: Route):
    numbers = count(1)
    watch = Watch(url, clock, routes=routes)
    watch.answer("prod", listing(A))
    watch.write("DELETE FROM announcements")  # that watching begins was told long ago
    return Mail(watch, FakeSink([Delivered()]), FakeSink(), lambda: next(numbers))


@pytest.fixture
def mail(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, TO_CONSOLE)
    yield mail
    mail.watch.close()


@pytest.fixture
def two(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, TO_CONSOLE, TO_SLACK)
    yield mail
    mail.watch.close()


def states(mail: Mail) -> list[str]:
    return [row[0] for row in mail.watch.rows("SELECT state FROM deliveries ORDER BY id")]


# --- the straight way ----------------------------------------------------------------------------------------------


def test_what_is_announced_is_sent_once(mail: Mail):
    mail.console.answers = [Delivered("ts-1")]
    mail.change_price(11)
    outbox = mail.outbox()
    mail.clock.advance(seconds=1)
    (sent,) = outbox.step()
    assert (sent.delivery, sent.destination, sent.state, sent.changes) == ("dlv_001", "console", "sent", 1)
    assert outbox.step() == []
    assert len(mail.console.seen) == 1
    assert mail.watch.row("SELECT state, delivery_id FROM announcements") == ("sent", "dlv_001")
    query = "SELECT state, attempts, sent_at, slack_ts, last_error, change_count FROM alert_log"
    assert mail.watch.row(query) == ("sent", 1, at(mail.clock()), "ts-1", None, 1)
    assert mail.watch.one("SELECT announced_at FROM change_log WHERE slug = 'a'") == at(mail.clock())
    assert mail.watch.one("SELECT last_sent_at FROM destinations") == at(mail.clock())
    assert mail.watch.row("SELECT outcome, error FROM attempts") == ("sent", None)


def test_with_nothing_due_there_is_nothing_to_send(mail: Mail):
    outbox = mail.outbox()
    assert outbox.step() == []
    assert outbox.next_due() is None
    assert states(mail) == []


def test_everything_due_is_one_message(mail: Mail):
    for price in (11, 12, 13):
        mail.change_price(price)
    (sent,) = mail.outbox().step()
    assert sent.changes == 3
    assert states(mail) == ["sent"]


def test_what_is_not_due_yet_waits(mail: Mail):
    mail.change_price(11)
    later = mail.clock() + timedelta(minutes=1)
    mail.watch.write("UPDATE announcements SET not_before = :at", at=later)
    outbox = mail.outbox()
    assert outbox.step() == []
    assert outbox.next_due() == later
    mail.clock.now = later
    assert [sent.state for sent in outbox.step()] == ["sent"]


def test_a_message_names_its_changes_in_the_order_they_were_found(mail: Mail):
    names = [f"m{number:02}" for number in range(12)]
    for number in range(1, len(names) + 1):
        mail.watch.answer("prod", listing(A, *(model(name) for name in names[:number])))
    mail.outbox().step()
    text = as_text(mail.console.messages[0])
    places = [text.index(name) for name in names]
    assert places == sorted(places)


def test_hundreds_of_announcements_are_one_message(mail: Mail):
    mail.watch.answer("prod", listing(A, *(model(f"m{number}") for number in range(600))))
    (sent,) = mail.outbox().step()
    assert (sent.state, sent.changes) == ("sent", 600)
    assert mail.watch.rows("SELECT state, COUNT(*) FROM announcements GROUP BY state") == [("sent", 600)]
    assert mail.watch.one("SELECT COUNT(*) FROM change_log WHERE announced_at IS NOT NULL") == 600


# --- what may go wrong ---------------------------------------------------------------------------------------------


def test_what_did_not_arrive_is_tried_again_after_a_while(mail: Mail):
    mail.console.answers = [NotSent("no network"), NotSent("no network"), Delivered()]
    mail.change_price(11)
    outbox = mail.outbox()
    (sent,) = outbox.step()
    assert (sent.state, sent.error) == ("retry", "no network")
    due = outbox.next_due()
    assert due is not None
    assert mail.clock() < due <= mail.clock() + timedelta(seconds=2)
    mail.clock.now = due - timedelta(microseconds=1)
    assert outbox.step() == []
    for expected in ("retry", "sent"):
        mail.clock.now = max(mail.clock(), outbox.next_due() or mail.clock())
        assert [sent.state for sent in outbox.step()] == [expected]
    # The same delivery with the same words each time, and nothing said of a repetition.
    assert len(set(mail.console.seen)) == 1
    assert mail.console.seen[0][2] == ""
    assert len({as_text(message) for message in mail.console.messages}) == 1
    assert mail.watch.row("SELECT attempts, last_error FROM alert_log") == (3, None)
    assert [row[0] for row in mail.watch.rows("SELECT outcome FROM attempts ORDER BY id")] == ["retry", "retry", "sent"]


def test_what_waits_behind_a_delivery_waits_unrendered(mail: Mail):
    mail.console.answers = [NotSent("no network"), Delivered()]
    mail.change_price(11)
    outbox = mail.outbox()
    outbox.step()
    mail.change_price(12)
    mail.change_price(13)
    assert states(mail) == ["retry"]
    # It is not due before what it waits for.
    assert outbox.next_due() == outbox_retry_at(mail)
    mail.clock.advance(minutes=10)
    assert [(sent.delivery, sent.state) for sent in outbox.step()] == [("dlv_001", "sent")]
    assert [(sent.delivery, sent.changes) for sent in outbox.step()] == [("dlv_002", 2)]


def outbox_retry_at(mail: Mail) -> datetime:
    with mail.watch.store.outbox() as tx:
        due = tx._connection.scalar(sa.text("SELECT retry_at FROM deliveries"))
    return datetime.fromisoformat(f"{due}+00:00") if isinstance(due, str) else due


def test_what_may_have_arrived_is_sent_again_and_says_so(mail: Mail):
    mail.console.answers = [Ambiguous("time-out while waiting for the answer"), Delivered()]
    mail.change_price(11)
    outbox = mail.outbox()
    assert [sent.state for sent in outbox.step()] == ["unknown"]
    assert outbox.step() == []
    mail.clock.advance(minutes=10)
    assert [sent.state for sent in outbox.step()] == ["sent"]
    assert [(identity, note) for identity, _, note in mail.console.seen] == [("dlv_001", ""), ("dlv_001", MAY_REPEAT)]


def test_once_it_may_have_arrived_every_later_attempt_says_so(mail: Mail):
    mail.console.answers = [Ambiguous("time-out"), NotSent("no network"), Delivered()]
    mail.change_price(11)
    outbox = mail.outbox()
    for _ in range(3):
        outbox.step()
        mail.clock.advance(minutes=10)
    assert [note for _, _, note in mail.console.seen] == ["", MAY_REPEAT, MAY_REPEAT]
    assert states(mail) == ["sent"]


def test_what_is_never_taken_is_dead_and_frees_its_destination(mail: Mail):
    mail.console.answers = [Impossible("channel_not_found"), Delivered()]
    mail.change_price(11)
    outbox = mail.outbox()
    (sent,) = outbox.step()
    assert (sent.state, sent.error) == ("dead", "channel_not_found")
    assert mail.watch.one("SELECT state FROM announcements") == "dropped"
    assert mail.watch.one("SELECT announced_at FROM change_log WHERE slug = 'a'") is None
    assert outbox.step() == []
    assert outbox.next_due() is None
    mail.change_price(12)
    assert [sent.state for sent in outbox.step()] == ["sent"]


def test_what_waits_for_a_destination_that_is_no_longer_configured_waits(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, Route("odd", "pigeon:north"))
    mail.change_price(11)
    (sent,) = mail.outbox().step()
    assert (sent.state, sent.error) == ("retry", "no longer configured")
    assert "syncd alerts drop" in sent.hint
    assert mail.watch.rows("SELECT channel_id FROM destinations") == [(None,)]
    later = mail.outbox()
    later.sinks = {"pigeon": mail.slack}
    later.recover()
    assert [one.state for one in later.step()] == ["sent"]
    mail.watch.close()


def test_a_bug_in_one_sink_keeps_no_other_destination_from_hearing(two: Mail):
    two.console.answers = [RuntimeError("boom"), Delivered()]
    two.change_price(11)
    outbox = two.outbox()
    by_destination = {sent.destination: sent for sent in outbox.step()}
    assert by_destination["slack:#vivix"].state == "sent"
    assert by_destination["console"].state == "unknown"
    assert by_destination["console"].error == "RuntimeError in the sink"
    two.clock.advance(minutes=10)
    outbox.step()
    assert [note for _, _, note in two.console.seen] == ["", MAY_REPEAT]


# --- processes that die --------------------------------------------------------------------------------------------


def test_a_process_that_dies_while_sending_leaves_a_message_that_may_repeat(mail: Mail):
    mail.console.answers = [PowerCutError(), Delivered()]
    mail.change_price(11)
    with pytest.raises(PowerCutError):
        mail.outbox().step()
    assert states(mail) == ["sending"]

    started_again = mail.outbox()
    assert started_again.step() == []  # nobody takes it away from a process that may still be sending
    assert started_again.recover() == 1
    assert started_again.next_due() == mail.clock()
    assert [sent.state for sent in started_again.step()] == ["sent"]
    assert [(identity, note) for identity, _, note in mail.console.seen] == [("dlv_001", ""), ("dlv_001", MAY_REPEAT)]
    assert [row[0] for row in mail.watch.rows("SELECT outcome FROM attempts ORDER BY id")] == ["unknown", "sent"]
    assert mail.watch.one("SELECT attempts FROM alert_log") == 2
    assert started_again.recover() == 0


def test_a_process_that_dies_before_it_sends_repeats_nothing(mail: Mail):
    mail.change_price(11)

    def dies() -> str:
        raise PowerCutError

    with pytest.raises(PowerCutError):
        replace(mail.outbox(), new_id=dies).step()
    assert states(mail) == []
    started_again = mail.outbox()
    assert started_again.recover() == 0
    assert [sent.state for sent in started_again.step()] == ["sent"]
    assert [note for _, _, note in mail.console.seen] == [""]


def test_the_database_itself_allows_one_unsettled_delivery_per_destination(mail: Mail):
    mail.console.answers = [NotSent("later")]
    mail.change_price(11)
    mail.outbox().step()
    message = mail.console.messages[0]
    destination = Destination(mail.watch.one("SELECT id FROM destinations"), "console")
    second = Delivery("dlv_second", destination, message, "sending", 1, mail.clock())

    def open_another() -> None:
        with mail.watch.store.outbox() as tx:
            tx.open(second, [], mail.clock())

    with pytest.raises(Exception, match=r"(?i)unique"):
        open_another()


def test_of_two_that_claim_a_delivery_one_gets_it(mail: Mail):
    mail.console.answers = [NotSent("later")]
    mail.change_price(11)
    mail.outbox().step()
    destination = Destination(mail.watch.one("SELECT id FROM destinations"), "console")
    with mail.watch.store.outbox() as tx:
        seen_by_both = tx.unsettled(destination)
        assert seen_by_both is not None
        assert tx.again(seen_by_both, mail.clock()) is True
    with mail.watch.store.outbox() as tx:
        assert tx.again(seen_by_both, mail.clock()) is False
        in_flight = tx.unsettled(destination)
        assert in_flight is not None
        assert tx.again(in_flight, mail.clock()) is False


# --- who is told what ----------------------------------------------------------------------------------------------


def test_destinations_are_independent(two: Mail):
    two.console.answers = [NotSent("closed"), Delivered()]
    two.change_price(11)
    outbox = two.outbox()
    assert {sent.destination: sent.state for sent in outbox.step()} == {"console": "retry", "slack:#vivix": "sent"}
    two.change_price(12)
    assert [(sent.destination, sent.state) for sent in outbox.step()] == [("slack:#vivix", "sent")]
    two.clock.advance(minutes=10)
    while outbox.step():
        pass
    assert len(two.slack.seen) == 2
    assert len(two.console.seen) == 3
    assert mail_sent(two) == {"console": 2, "slack:#vivix": 2}
    first = min(row[0] for row in two.watch.rows("SELECT sent_at FROM deliveries"))
    assert two.watch.rows("SELECT announced_at FROM change_log WHERE slug = 'a' ORDER BY change_id")[0] == (first,)


def mail_sent(mail: Mail) -> dict[str, int]:
    return dict(mail.watch.rows("SELECT channel, COUNT(*) FROM alert_log WHERE state = 'sent' GROUP BY channel"))


def test_routes_that_change_later_re_route_nothing(two: Mail):
    two.change_price(11)
    two.watch.poller.judgement = replace(two.watch.poller.judgement, routes=(Route("new", "slack:#elsewhere"),))
    outbox = two.outbox()
    assert sorted(sent.destination for sent in outbox.step()) == ["console", "slack:#vivix"]
    two.change_price(12)
    assert [sent.destination for sent in outbox.step()] == ["slack:#elsewhere"]


def test_a_condition_names_only_keys_that_the_destination_may_see(migrated_url: str, clock: Clock):
    ours = Route("ours", "slack:#ours", labels={"tenant": "us"})
    theirs = Route("theirs", "slack:#theirs", keys=("their-*",))
    mail = mailing(migrated_url, clock, ours, theirs, TO_CONSOLE)
    watch = mail.watch
    watch.add("our-key", labels={"tenant": "us"})
    names = ("our-key", "their-key")
    for name in names:
        watch.answer(name, listing(A))
    for _ in range(2):
        for name in names:
            watch.no_answer(name)
    mail.outbox().step()
    texts = [as_text(message) for message in mail.slack.messages]
    assert len(texts) == 2
    assert sum("our-key" in text and "their-key" not in text for text in texts) == 1
    assert sum("their-key" in text and "our-key" not in text for text in texts) == 1
    both = as_text(mail.console.messages[0])
    assert "our-key" in both
    assert "their-key" in both
    watch.close()


def test_a_keys_own_condition_names_it_although_the_routes_have_changed(mail: Mail):
    mail.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    others = Route("others", "console", keys=("other-*",))
    mail.watch.poller.judgement = replace(mail.watch.poller.judgement, routes=(others,))
    mail.outbox().step()
    mail.watch.answer("prod", listing(A))
    mail.outbox().step()
    assert [title for _, title, _ in mail.console.seen] == ["Key prod is rejected (401)", "Key prod works again"]


def test_a_keys_own_condition_names_it_although_it_has_left_the_configuration(mail: Mail):
    mail.watch.add("other")
    mail.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    mail.watch.retire("prod")
    mail.outbox().step()
    mail.clock.advance(minutes=10)
    assert mail.outbox().step() == []
    assert [title for _, title, _ in mail.console.seen] == ["No longer watched: Key prod is rejected (401)"]
    assert "prod" in as_text(mail.console.messages[0])


def test_conditions_are_read_at_once_however_many_are_due(mail: Mail):
    names = [f"key-{number:02}" for number in range(12)]
    for name in names:
        mail.watch.answer(name, refusal("KEY_REVOKED"), status=401)
    mail.watch.answer(names[0], listing(A))  # both edges of one are due
    asked: list[str] = []
    writer = mail.watch.store._writer
    sa.event.listen(writer, "before_cursor_execute", lambda *args: asked.append(args[2]))
    mail.outbox().step()
    assert sum(one.startswith("SELECT") and "conditions.detail" in one for one in asked) == 1
    text = as_text(mail.console.messages[0])
    assert "12 keys are rejected (401)" in text
    assert re.search(r"key-00 · .* · over$", text, re.MULTILINE)  # one line tells both


def test_both_edges_of_a_condition_are_delivered(mail: Mail):
    outbox = mail.outbox()
    mail.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    outbox.step()
    mail.clock.advance(hours=1)
    mail.watch.answer("prod", listing(A))
    outbox.step()
    assert outbox.step() == []
    assert [title for _, title, _ in mail.console.seen] == ["Key prod is rejected (401)", "Key prod works again"]
    assert mail.watch.rows("SELECT edge, state FROM announcements ORDER BY id") == [
        ("opened", "sent"),
        ("closed", "sent"),
        ("changed", "dropped"),  # a console cannot be edited
    ]
    assert [row[0] for row in mail.watch.rows("SELECT change_count FROM alert_log")] == [0, 0]


def test_a_held_removal_is_told_once_when_it_is_confirmed(mail: Mail):
    outbox = mail.outbox()
    mail.watch.answer("prod", listing(A, model("b")))
    outbox.step()
    mail.watch.answer("prod", listing(A))
    assert outbox.step() == []
    mail.clock.advance(hours=1)
    mail.watch.answer("prod", listing(A))
    (sent,) = outbox.step()
    assert (sent.kind, sent.changes) == ("models_removed", 1)
    mail.watch.answer("prod", listing(A))
    assert outbox.step() == []


def test_what_is_below_a_threshold_is_not_due(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, Route("money", "console", min_percent=Decimal(50)))
    mail.watch.answer("prod", listing(with_price(A, 10.1, 20)))
    outbox = mail.outbox()
    assert outbox.step() == []
    assert outbox.next_due() is None
    mail.watch.close()


def test_a_price_that_crept_is_told_from_the_one_told_last(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, Route("prices", "console", min_percent=Decimal(5)))
    for price in (10.3, 10.4, 10.6):  # it was seen at 10 first
        mail.watch.answer("prod", listing(with_price(A, price, 20)))
        clock.advance(hours=1)
        mail.outbox().step()
    (message,) = mail.console.messages
    assert "10 \u2192 10.6 (+6.0 %)" in as_text(message)
    mail.watch.close()


B = model("b")


def lose_a(mail: Mail, *losing: str, keeping: tuple[str, ...] = (), **top: Any) -> str:
    """What is told of the model that keys have lost, once that is certain; the others were asked since."""
    for _ in range(2):
        for key in losing:
            mail.watch.answer(key, listing(B, **top))
        for key in keeping:
            mail.watch.answer(key, listing(A, B))
        mail.clock.advance(hours=1)
    mail.outbox().step()
    return as_text(mail.console.messages[-1])


@pytest.fixture
def shared(mail: Mail) -> Mail:
    """Two keys that list the same model, and one that does not."""
    for key in ("prod", "spare"):
        mail.watch.answer(key, listing(A, B))
    mail.outbox().step()
    return mail


def test_a_model_that_only_one_key_has_lost_is_a_matter_of_access(shared: Mail):
    text = lose_a(shared, "prod", keeping=("spare",))
    assert (
        "Still listed for spare: it is the access that has changed, likely an allowlist; the plan is as it was." in text
    )


def test_a_model_that_a_key_has_lost_with_its_plan_is_a_matter_of_the_plan(shared: Mail):
    text = lose_a(shared, "prod", keeping=("spare",), tier="free")
    assert "Still listed for spare: it is the access that has changed, with the plan." in text


def test_a_plan_that_changed_with_the_first_of_the_polls_is_still_the_cause(shared: Mail):
    for price in (10, 11):
        shared.watch.answer("prod", listing(with_price(B, price, 20), tier="free"))
        shared.watch.answer("spare", listing(A, B))
        shared.clock.advance(hours=1)
    shared.outbox().step()
    assert "it is the access that has changed, with the plan." in as_text(shared.console.messages[-1])


def test_a_model_that_every_key_has_lost_is_a_matter_of_the_vendor(shared: Mail):
    text = lose_a(shared, "prod", "spare")
    assert "Gone for every key that had it: the vendor has likely withdrawn it." in text


def test_keys_that_lose_a_model_one_after_the_other_have_lost_it_together(shared: Mail):
    lose_a(shared, "prod")
    text = lose_a(shared, "spare", "prod")
    assert "removed for spare" in text
    assert "Gone for every key that had it: the vendor has likely withdrawn it." in text


def test_a_key_whose_own_removal_is_held_does_not_list_the_model(shared: Mail):
    for _ in range(2):
        shared.watch.answer("prod", listing(B))
        shared.clock.advance(hours=1)
    shared.watch.answer("spare", listing(B))
    shared.outbox().step()
    text = as_text(shared.console.messages[-1])
    assert "1 model removed for prod" in text
    assert "Gone for every key that had it: the vendor has likely withdrawn it." in text


def test_of_a_key_that_never_had_the_model_nothing_is_concluded_but_that(shared: Mail):
    shared.watch.answer("other", listing(B))
    for _ in range(2):
        for key in ("prod", "other"):
            shared.watch.answer(key, listing(B))
        shared.clock.advance(hours=1)
    shared.watch.answer("spare", refusal("KEY_REVOKED"), status=401)
    shared.outbox().step()
    assert "No other key that is watched here lists it." in as_text(shared.console.messages[-1])


def test_a_key_that_cannot_be_asked_keeps_nobody_from_a_conclusion(shared: Mail):
    shared.watch.answer("third", listing(A, B))
    shared.watch.answer("spare", refusal("KEY_REVOKED"), status=401)
    text = lose_a(shared, "prod", "third")
    assert "Gone for every key that had it and could be asked: the vendor has likely withdrawn it." in text


def test_nothing_is_concluded_from_keys_that_were_not_asked_since(shared: Mail):
    text = lose_a(shared, "prod")
    assert "removed for prod" in text
    assert "listed" not in text
    assert "Gone" not in text


def test_nothing_is_concluded_from_keys_that_the_destination_may_not_see(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, Route("one", "console", keys=("prod",)))
    for key in ("prod", "spare"):
        mail.watch.answer(key, listing(A, B))
    text = lose_a(mail, "prod", keeping=("spare",))
    assert "removed for prod" in text
    assert "listed" not in text
    mail.watch.close()
