"""Whatever crashes or gets lost: every announced change is told by one delivery, and Slack holds it once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.routing import Route
from syncd.outbox import Outbox
from tests import fake_slack
from tests.conftest import Clock
from tests.crash_points import (
    CHANNEL,
    POINTS,
    ROUTE,
    SECOND_POINTS,
    A,
    Outcome,
    Point,
    go_on,
    outbox_of,
    run,
    trial,
)
from tests.fake_slack import FakeSlack, Fault
from tests.watching import AT_ONCE, Watch, listing, model, refusal, watching, with_price


def check(result: Outcome, posts: int) -> None:
    """The invariant."""
    assert {state for _, _, state in result.deliveries} == {"sent"}
    # What a sink cannot do any more (bring a message up to date that is up to date) is dropped; all else is told.
    assert all(delivery == "sent" for _, state, _, delivery in result.announcements if state != "dropped")
    assert all(edge == "changed" for _, state, edge, _ in result.announcements if state == "dropped")
    assert set(result.posted.values()) == {1}
    assert len(result.posted) == posts


# So many messages there are in the end: the two of the beginning, and those of the scene. An edit adds none.
MESSAGES = {"first message": 1, "one change": 2, "many changes": 5, "recovery": 3}


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("scene", "point"), [(scene, point) for scene, points in POINTS.items() for point in points], ids=str
)
def test_killed_anywhere_it_goes_on_where_it_was(migrated_url: str, scene: str, point: Point):
    result, _ = trial(migrated_url, scene, point)
    check(result, MESSAGES[scene])


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
@pytest.mark.parametrize("point", POINTS["one change"], ids=str)
def test_killed_anywhere_on_a_server(migrated_url: str, point: Point):
    result, _ = trial(migrated_url, "one change", point)
    check(result, MESSAGES["one change"])


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("second", SECOND_POINTS, ids=str)
def test_killed_again_while_it_looks(migrated_url: str, second: Point):
    result, _ = trial(migrated_url, "one change", Point("chat.postMessage"), second)
    check(result, MESSAGES["one change"])


# --- answers that get lost -----------------------------------------------------------------------------------------

DOUBTFUL: dict[str, Fault] = {
    "a reset after it was posted": fake_slack.drop_after(),
    "silence after it was posted": fake_slack.silence(commits=True),
    "a dripping answer": fake_slack.drip(commits=True),
    "a page instead of an answer": fake_slack.page(200, commits=True),
    "an error of the server": fake_slack.page(500, commits=True),
    "an answer that ends too early": fake_slack.cut_off(commits=True),
    "a reset before it was posted": fake_slack.drop_before(),
    "an internal error": fake_slack.code("internal_error"),
    "an unknown code": fake_slack.code("something_new"),
    "no room at the inn": fake_slack.page(503),
    "nothing of HTTP": fake_slack.raw(b"hello\r\n"),
}


@pytest.fixture
def slack() -> object:
    clock = Clock(datetime.now(UTC).replace(microsecond=0))
    with FakeSlack(clock) as slack:
        slack.channel(CHANNEL, "alerts")
        yield slack


def begun(url: str, slack: FakeSlack, *routes: Route) -> Watch:
    """A watch on Slack's own clock, whose beginning has been told. It holds no removal, unless a listing is empty."""
    assert isinstance(slack.clock, Clock)
    watch = Watch(url, slack.clock, routes=routes or [ROUTE], **AT_ONCE)
    watch.answer("prod", listing(A))
    go_on(watch, slack, "first")
    return watch


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_lost_answer_neither_loses_nor_repeats(migrated_url: str, slack: FakeSlack, name: str, lag: int):
    """Also where Slack shows a message only to the second look."""
    watch = begun(migrated_url, slack)
    slack.lag_looks = min(lag, 1)
    slack.faults["chat.postMessage"] = [DOUBTFUL[name]] * (1 + (lag == 2))
    watch.answer("prod", listing(with_price(A, 11, 100)))
    go_on(watch, slack, "then")
    posted = Counter(one["metadata"]["event_payload"]["delivery_id"] for one in slack.messages(CHANNEL))
    assert posted == {"dlv_first_001": 1, "dlv_then_001": 1}
    assert watch.rows("SELECT state FROM deliveries") == [("sent",), ("sent",)]
    watch.close()


def test_slack_is_down_for_an_hour(migrated_url: str, slack: FakeSlack):
    """Everything arrives afterwards, nothing twice, what breaks first."""
    watch = begun(migrated_url, slack)
    assert isinstance(slack.clock, Clock)
    models = [A]
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "down")
    for minute in range(60):
        slack.faults["chat.postMessage"] = slack.faults["conversations.history"] = [fake_slack.page(503)] * 50
        models.append(model(f"m{minute:02}"))
        price = 10 + minute
        watch.answer("prod", listing(with_price(A, price, 100), *models[1:]))
        outbox.step()
        slack.clock.advance(minutes=1)
    watch.answer("prod", listing(*models[10:]))  # ten are gone
    slack.faults.clear()
    run(outbox)
    told = Counter(one["metadata"]["event_payload"]["delivery_id"] for one in slack.messages(CHANNEL))
    assert set(told.values()) == {1}
    assert watch.rows("SELECT DISTINCT state FROM deliveries") == [("sent",)]
    assert watch.rows("SELECT DISTINCT state FROM announcements") == [("sent",)]
    after = [one for one in slack.messages(CHANNEL) if "thread_ts" not in one][2:]
    assert [one["text"].startswith("Breaking: ") for one in after] == [True, *[False] * (len(after) - 1)]
    watch.close()


def test_other_destinations_go_on_while_one_is_out_of_order(migrated_url: str, slack: FakeSlack):
    slack.channel("C0OTHER", "other", is_member=True)
    watch = begun(migrated_url, slack, ROUTE, Route("second", "slack:#other"))
    slack.channels[CHANNEL].is_archived = True
    assert isinstance(slack.clock, Clock)
    slack.clock.advance(minutes=5)
    watch.answer("prod", listing(with_price(A, 11, 100)))
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "broken")
    outbox.step()
    outbox.step()
    _, told = slack.messages("C0OTHER")
    assert told["blocks"][0]["text"]["text"] == "📦 1 notice and 1 change for prod"
    assert "📵 slack:#alerts takes no alerts" in str(told["blocks"])
    posts = len(slack.calls("chat.postMessage"))
    slack.clock.advance(minutes=6)
    outbox.step()
    assert len(slack.calls("chat.postMessage")) == posts, "asking whether it works posts nothing"
    assert watch.rows("SELECT kind, destination FROM condition_log WHERE closed_at IS NULL") == [
        ("destination.broken", "slack:#alerts")
    ]
    slack.channels[CHANNEL].is_archived = False
    slack.clock.advance(minutes=6)
    run(outbox)
    assert [one["blocks"][0]["text"]["text"] for one in slack.messages(CHANNEL)][1:] == ["📈 Price up 400.0 %: a"]
    assert watch.rows("SELECT kind FROM condition_log WHERE closed_at IS NULL") == []
    watch.close()


def test_a_rate_limit_is_obeyed_after_a_restart(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    slack.faults["chat.postMessage"] = [fake_slack.rate_limited("90")]
    assert isinstance(slack.clock, Clock)
    slack.clock.advance(minutes=5)
    watch.answer("prod", listing(with_price(A, 11, 100)))
    outbox_of(watch, slack.url, slack.token, watch.store, "limited").step()
    asked = len(slack.calls("chat.postMessage"))
    again = outbox_of(watch, slack.url, slack.token, watch.store, "again")
    again.recover()
    slack.clock.advance(seconds=80)
    assert again.step() == []
    slack.clock.advance(seconds=11)
    assert [one.state for one in again.step()] == ["sent"]
    assert len(slack.calls("chat.postMessage")) == asked + 1
    watch.close()


def test_messages_that_can_wait_keep_their_distance(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "apart")
    assert isinstance(slack.clock, Clock)
    watch.answer("prod", listing(with_price(A, 11, 100)))
    assert outbox.step() == []
    watch.answer("prod", listing(model("b")))  # a is gone: that cannot wait, and takes the rest along
    (sent,) = outbox.step()
    assert (sent.state, sent.changes) == ("sent", 3)
    slack.clock.advance(seconds=30)
    watch.answer("prod", listing(model("b"), model("c")))
    assert outbox.step() == []
    due = outbox.next_due()
    assert due is not None
    assert timedelta(seconds=80) < due - slack.clock() <= timedelta(minutes=2)
    slack.clock.now = due
    assert [one.state for one in outbox.step()] == ["sent"]
    watch.close()


def test_five_hundred_changes(migrated_url: str, slack: FakeSlack):
    """One message, at most four replies, and nothing dropped from the history."""
    watch = begun(migrated_url, slack)
    watch.answer("prod", listing(A, *(model(f"m{number:03}") for number in range(500))))
    go_on(watch, slack, "many")
    parent, *replies = slack.messages(CHANNEL)[1:]
    assert len(replies) == 4
    assert {one["thread_ts"] for one in replies} == {parent["ts"]}
    assert watch.one("SELECT count(*) FROM change_log WHERE kind = 'model.added'") == 500
    assert watch.rows("SELECT DISTINCT state FROM announcements") == [("sent",)]
    watch.close()


def test_a_condition_is_one_message_with_replies(migrated_url: str, slack: FakeSlack):
    """Edited when it changes, answered when it ends."""
    watch = begun(migrated_url, slack)
    assert isinstance(slack.clock, Clock)
    watch.add("spare")
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "down")
    for key in ("prod", "prod", "spare", "spare"):
        watch.no_answer(key)
        outbox.step()
    run(outbox)
    (_, message) = slack.messages(CHANNEL)
    assert "prod, spare" in str(message["blocks"])
    slack.clock.advance(hours=3, minutes=12)
    watch.answer("prod", listing(A))
    watch.answer("spare", listing(A))
    run(outbox)
    _, message, *after = slack.messages(CHANNEL)
    assert message["blocks"][0]["text"]["text"].startswith("✅ Over: ")
    (reply,) = (one for one in after if one.get("thread_ts") == message["ts"])
    assert "The vendor answers again" in reply["text"]
    watch.close()


def test_a_model_that_returns_answers_the_message_of_its_removal(migrated_url: str, slack: FakeSlack):
    """Days later, with the removal that every key holds by default."""
    begun(migrated_url, slack).close()
    assert isinstance(slack.clock, Clock)
    with watching(migrated_url, slack.clock, routes=[ROUTE]) as watch:
        watch.add("prod")
        outbox = outbox_of(watch, slack.url, slack.token, watch.store, "back")
        watch.answer("prod", listing(model("b")))
        run(outbox)
        assert "removed" not in str(slack.messages(CHANNEL)), "nothing is certain yet"
        slack.clock.advance(minutes=30)
        watch.answer("prod", listing(model("b")))
        run(outbox)
        removal = slack.messages(CHANNEL)[-1]
        assert "1 model removed" in removal["text"]
        slack.clock.advance(days=3)
        watch.answer("prod", listing(A, model("b")))
        run(outbox)
        back = slack.messages(CHANNEL)[-1]
        assert back["thread_ts"] == removal["ts"]
        assert back["text"].startswith("Additive: 1 model back")


def test_what_comes_soon_after_is_told_with_it(migrated_url: str, slack: FakeSlack):
    """A route that waits for company tells at the end of its wait everything that has come by then."""
    waiting = Route("patient", "slack:#alerts", group_wait=timedelta(seconds=60))
    watch = begun(migrated_url, slack, waiting)
    assert isinstance(slack.clock, Clock)
    slack.clock.advance(minutes=10)
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "both")
    watch.answer("prod", listing(model("b")))
    slack.clock.advance(seconds=40)
    watch.add("spare")
    watch.answer("prod", listing(model("b"), model("c")))
    assert outbox.step() == []
    slack.clock.advance(seconds=20)
    (sent,) = outbox.step()
    assert sent.changes == 3
    watch.close()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_nothing_is_found_that_is_not_ours(migrated_url: str, slack: FakeSlack):
    """Somebody else's message with our id in it is not taken for ours."""
    assert isinstance(slack.clock, Clock)
    with watching(migrated_url, slack.clock, routes=[ROUTE]) as watch:
        watch.answer("prod", listing(A))
        slack.faults["chat.postMessage"] = [fake_slack.drop_before()]
        forged = {"event_type": "syncd_alert", "event_payload": {"delivery_id": "dlv_first_001"}}
        ts = f"{slack.now().timestamp() + 1:.6f}"
        slack.messages(CHANNEL).append(
            {"ts": ts, "user": "U0E", "bot_id": "B0E", "metadata": forged, "blocks": [], "_seen": 0, "_at": slack.now()}
        )
        go_on(watch, slack, "first")
        assert [one["bot_id"] for one in slack.messages(CHANNEL)] == ["B0E", slack.bot_id]


# --- what is out of order, and what does not go away ---------------------------------------------------------------

TO_OTHER = Route("second", "slack:#other")


def hours(outbox: Outbox, slack: FakeSlack, number: float) -> None:
    """Step through so many hours, twice a minute."""
    assert isinstance(slack.clock, Clock)
    for _ in range(int(number * 120)):
        outbox.step()
        slack.clock.advance(seconds=30)


def titles(slack: FakeSlack, channel: str) -> list[str]:
    return [one["blocks"][0]["text"]["text"] for one in slack.messages(channel)]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_what_only_a_post_can_tell_is_told_once(migrated_url: str, slack: FakeSlack):
    """Asked, the channel seems to be well each time."""
    slack.channel("C0OTHER", "other")
    watch = begun(migrated_url, slack, ROUTE, TO_OTHER)
    assert isinstance(slack.clock, Clock)
    slack.clock.advance(minutes=5)
    watch.answer("prod", listing(with_price(A, 11, 100)))
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "restricted")
    refused = fake_slack.code("restricted_action")
    slack.faults["chat.postMessage"] = [refused, None, *[refused] * 40]
    hours(outbox, slack, 1)
    assert len(watch.rows("SELECT 1 FROM conditions")) == 1
    assert len(slack.messages("C0OTHER")) == 2
    slack.faults.clear()
    hours(outbox, slack, 0.25)
    assert watch.rows("SELECT 1 FROM conditions WHERE closed_at IS NULL") == []
    assert titles(slack, CHANNEL)[-1] == "📈 Price up 400.0 %: a"
    watch.close()


def test_what_is_out_of_order_is_asked_also_where_nothing_waits(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    assert isinstance(slack.clock, Clock)
    slack.clock.advance(minutes=5)
    slack.channels[CHANNEL].is_archived = True
    watch.answer("prod", listing(with_price(A, 11, 100)))
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "idle")
    outbox.step()
    watch.write("UPDATE deliveries SET state = 'dead' WHERE state = 'retry'")
    assert watch.rows("SELECT kind FROM condition_log WHERE closed_at IS NULL") == [("destination.broken",)]
    slack.channels[CHANNEL].is_archived = False
    hours(outbox, slack, 0.2)
    assert watch.rows("SELECT kind FROM condition_log WHERE closed_at IS NULL") == []
    watch.close()


def test_what_is_out_of_order_and_has_no_route_any_more_is_left(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    slack.channels[CHANNEL].is_archived = True
    watch.answer("prod", listing())
    watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "left")
    outbox.step()
    watch.write("UPDATE deliveries SET state = 'dead' WHERE state = 'retry'")
    watch.write("UPDATE announcements SET state = 'dropped' WHERE state = 'queued'")
    outbox.routes = ()
    hours(outbox, slack, 0.2)
    assert watch.rows("SELECT kind FROM condition_log WHERE closed_at IS NULL AND kind LIKE 'dest%'") == []
    assert outbox.next_due() is None
    watch.close()


def test_a_clock_that_was_ahead_is_not_waited_for(migrated_url: str, slack: FakeSlack):
    assert isinstance(slack.clock, Clock)
    right = slack.clock.now
    slack.clock.now = right + timedelta(days=365)
    watch = begun(migrated_url, slack)
    slack.faults["chat.postMessage"] = [fake_slack.rate_limited("3600")]
    watch.answer("prod", listing(model("b")))
    outbox_of(watch, slack.url, slack.token, watch.store, "ahead").step()
    slack.clock.now = right
    watch.answer("prod", listing(model("b"), model("c")))
    again = outbox_of(watch, slack.url, slack.token, watch.store, "right")
    again.recover()
    hours(again, slack, 0.1)
    assert watch.rows("SELECT DISTINCT state FROM deliveries") == [("sent",)]
    assert watch.rows("SELECT DISTINCT state FROM announcements") == [("sent",)]
    watch.close()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_message_that_slack_cannot_cope_with_is_told_in_plain_words(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    watch.answer("prod", listing(model("b")))
    slack.faults["chat.postMessage"] = [fake_slack.code("internal_error")] * 3
    go_on(watch, slack, "then")
    (_, told) = slack.messages(CHANNEL)
    assert [block["type"] for block in told["blocks"]] == ["rich_text"]
    assert watch.rows("SELECT DISTINCT state FROM deliveries") == [("sent",)]
    watch.close()


@pytest.mark.parametrize("answer", ["update_failed", "internal_error", "message_not_found"])
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_an_edit_that_is_refused_holds_up_nothing(migrated_url: str, slack: FakeSlack, answer: str):
    watch = begun(migrated_url, slack)
    watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    go_on(watch, slack, "opened")
    slack.faults["chat.update"] = [fake_slack.code(answer)] * 50
    watch.answer("prod", listing(A))
    go_on(watch, slack, "closed")
    watch.answer("prod", refusal("KEY_REVOKED"), status=401)
    go_on(watch, slack, "again")
    assert len(slack.calls("chat.update")) == 1
    assert [one for one in titles(slack, CHANNEL) if "rejected" in one] == ["⛔ Key prod is rejected (401)"] * 2
    watch.close()


def test_one_destinations_fault_does_not_keep_others_from_hearing(migrated_url: str, slack: FakeSlack):
    slack.channel("C0OTHER", "other")
    watch = begun(migrated_url, slack, ROUTE, TO_OTHER)
    watch.answer("prod", listing(model("b")))
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "faulty")
    raised: list[str] = []
    outbox.on_fault = lambda where, error: raised.append(f"{where} {type(error).__name__}")
    spoilt = "UPDATE deliveries SET message = 'no message', state = 'retry', retry_at = :now WHERE destination_id = 1"
    watch.write(spoilt, now=slack.clock())
    outbox.step()
    assert raised == ["slack:#alerts DecodeError"]
    assert titles(slack, "C0OTHER")[-1] == "📦 2 changes for prod"
    watch.close()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_many_recoveries_are_few_messages(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    assert isinstance(slack.clock, Clock)
    keys = [f"key-{number:02}" for number in range(30)]
    for key in keys:
        watch.answer(key, refusal("KEY_REVOKED"), status=401)
    go_on(watch, slack, "out")
    slack.clock.advance(hours=1)
    outbox = outbox_of(watch, slack.url, slack.token, watch.store, "well")
    before = len(slack.calls("chat.postMessage"))
    for key in keys:
        watch.answer(key, listing(A))
        outbox.step()
    run(outbox)
    assert len(slack.calls("chat.postMessage")) - before <= 3
    assert len(slack.calls("chat.update")) <= 3
    assert (
        titles(slack, CHANNEL)[1] == "✅ Over: 30 keys are rejected (401): key-00, key-01, key-02, key-03 and 26 more"
    )
    watch.close()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_destination_that_broke_before_the_clock_was_set_back_can_be_mended(migrated_url: str, slack: FakeSlack):
    watch = begun(migrated_url, slack)
    assert isinstance(slack.clock, Clock)
    slack.clock.advance(hours=2)
    slack.channels[CHANNEL].is_archived = True
    watch.answer("prod", listing(model("b")))
    outbox_of(watch, slack.url, slack.token, watch.store, "ahead").step()
    slack.clock.advance(hours=-2)
    slack.channels[CHANNEL].is_archived = False
    go_on(watch, slack, "right")
    assert watch.rows("SELECT opened_at <= closed_at FROM conditions") == [(1,)]
    assert titles(slack, CHANNEL)[-1] == "📦 2 changes for prod"
    watch.close()
