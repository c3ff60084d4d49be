"""The Slack sink against a stand-in over real HTTP: post, find again, ask, and every way a call can go wrong."""

from __future__ import annotations

import logging
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.delivery import (
    Ambiguous,
    CannotEverLook,
    CannotLook,
    Delivered,
    Found,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    Unusable,
)
from syncd.core.message import Message, Paragraph, Span
from syncd.core.secret import Secret
from syncd.sinks import Parcel
from syncd.sinks.slack import SlackSink
from tests import fake_slack
from tests.fake_slack import FakeSlack

MESSAGE = Message(
    kind="other_changed",
    severity="risky",
    emoji="🟠",
    title="m-1 changed",
    summary="Risky: m-1 changed",
    blocks=(Paragraph((Span("A paragraph"),)),),
    keys=("prod",),
    detected=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
    reference="dlv_1",
)
# Long enough for a busy machine to answer at once, short enough to wait for where nothing answers.
TIMEOUT = 1.0


@pytest.fixture
def slack(clock):
    with FakeSlack(clock) as fake:
        fake.channel("C0ALERTS", "alerts")
        yield fake


@pytest.fixture
def sink(slack, clock):
    return SlackSink(Secret(slack.token), slack.url, clock, TIMEOUT)


@pytest.fixture
def parcel(clock):
    return Parcel("dlv_1", "#alerts", MESSAGE, clock())


# --- posting ---------------------------------------------------------------------------------------------------------


def test_a_message_is_posted_once_and_named_by_slack(slack, sink, parcel):
    (sent,) = [sink.send(parcel)]
    (message,) = slack.messages("C0ALERTS")
    assert sent == Delivered(message["ts"])
    assert message["text"] == "Risky: m-1 changed"
    assert message["metadata"]["event_payload"]["delivery_id"] == "dlv_1"
    assert [block["block_id"] for block in message["blocks"]] == ["sd:dlv_1:0", "sd:dlv_1:1", "sd:dlv_1:2"]


@pytest.mark.parametrize(("rung", "metadata", "blocks"), [("rich", True, 3), ("bare", False, 3), ("plain", False, 1)])
def test_every_rung_is_taken(slack, sink, parcel, *, rung, metadata, blocks):
    assert isinstance(sink.send(replace(parcel, rung=rung)), Delivered)
    (message,) = slack.messages("C0ALERTS")
    assert ("metadata" in message, len(message["blocks"])) == (metadata, blocks)


def test_an_answer_goes_into_its_thread(slack, sink, parcel):
    parent = sink.send(parcel).reference
    assert isinstance(sink.send(replace(parcel, id="dlv_2", thread=parent)), Delivered)
    assert [message.get("thread_ts") for message in slack.messages("C0ALERTS")] == [None, parent]


def test_an_edit_changes_what_was_posted(slack, sink, parcel):
    ts = sink.send(parcel).reference
    edit = replace(parcel, id="dlv_2", edits=ts, message=_titled("Better"))
    assert sink.send(edit) == Delivered(ts)
    (message,) = slack.messages("C0ALERTS")
    assert message["text"] == "Better"
    assert set(slack.calls("chat.update")[0]) == {
        *("channel", "ts", "text", "blocks", "metadata", "parse", "link_names"),
    }


def _titled(text: str) -> Message:
    return Message("other_changed", "risky", "🟠", text, text, (), ("prod",), MESSAGE.detected, "dlv_2")


def test_an_edit_of_what_is_gone_is_refused(sink, parcel):
    assert sink.send(replace(parcel, edits="1.000001")) == Refused("edit", "message_not_found")


def test_a_thread_that_is_gone_is_refused(sink, parcel):
    assert sink.send(replace(parcel, thread="1.000001")) == Refused("thread", "thread_not_found")


@pytest.mark.parametrize("code", ["thread_not_found", "restricted_action_thread_only_channel", "message_not_found"])
def test_what_is_in_no_thread_and_no_edit_cannot_leave_it(slack, sink, parcel, code):
    """Otherwise it would be tried again at once, for ever."""
    slack.faults["chat.postMessage"] = [fake_slack.code(code)]
    assert sink.send(parcel) == Unusable("channel", code)


@pytest.mark.parametrize(
    ("fault", "meant", "posted"),
    [
        (fake_slack.drop_before(), Ambiguous("Connection reset by peer"), 0),
        (fake_slack.drop_after(), Ambiguous("Connection reset by peer"), 1),
        (fake_slack.silence(), Ambiguous("no answer in time"), 0),
        (fake_slack.silence(commits=True), Ambiguous("no answer in time"), 1),
        (fake_slack.drip("head", commits=True), Ambiguous("no answer in time"), 1),
        (fake_slack.drip("body", commits=True), Ambiguous("no answer in time"), 1),
        (fake_slack.page(500, "oops", commits=True), Ambiguous("HTTP 500 without an answer of Slack's"), 1),
        (fake_slack.page(503), Ambiguous("HTTP 503 without an answer of Slack's"), 0),
        (fake_slack.page(200), Ambiguous("HTTP 200 without an answer of Slack's"), 0),
        (fake_slack.page(200, "[1]"), Ambiguous("unreadable answer (AttributeError)"), 0),
        (fake_slack.page(200, '{"ok": true}', commits=True), Ambiguous("an answer without ts"), 1),
        (fake_slack.page(200, "[" * 100_000), Ambiguous("unreadable answer (RecursionError)"), 0),
        (fake_slack.code("internal_error"), Ambiguous("internal_error"), 0),
        (fake_slack.code("service_unavailable", 503), NotSent("service_unavailable"), 0),
        (fake_slack.code("invalid_blocks"), Refused("payload", "invalid_blocks"), 0),
        (fake_slack.code("metadata_too_large"), Refused("metadata", "metadata_too_large"), 0),
        (fake_slack.code("token_revoked"), Unusable("token", "token_revoked"), 0),
    ],
    ids=str,
)
def test_what_a_call_meets_has_its_meaning_and_is_not_repeated(slack, sink, parcel, *, fault, meant, posted):
    slack.faults["chat.postMessage"] = [fault]
    began = time.monotonic()
    assert sink.send(parcel) == meant
    assert time.monotonic() - began < 5 * TIMEOUT
    assert (len(slack.calls("chat.postMessage")), len(slack.messages("C0ALERTS"))) == (1, posted)


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("7", 7), ("0.5", 0.5), (None, 30), ("Mon, 02 Mar 2026 09:00:20 GMT", 20)]
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_rate_limit_says_when(slack, sink, parcel, clock, *, retry_after, seconds, as_json):
    slack.faults["chat.postMessage"] = [fake_slack.rate_limited(retry_after, as_json=as_json)]
    assert sink.send(parcel) == RateLimited(clock() + timedelta(seconds=seconds), "ratelimited")


def test_nobody_listening_is_not_sent(clock, parcel):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        sink = SlackSink(Secret("xoxb-fake"), f"http://127.0.0.1:{reserved.getsockname()[1]}/api/", clock, TIMEOUT)
        assert sink.send(replace(parcel, target="C0ALERTS")) == NotSent("Connection refused")


def test_a_name_that_does_not_resolve_is_not_sent(clock, parcel):
    sink = SlackSink(Secret("xoxb-fake"), "http://slack.invalid/api/", clock, TIMEOUT)
    assert isinstance(sink.send(replace(parcel, target="C0ALERTS")), NotSent)


def test_no_tls_is_not_sent(slack, clock, parcel):
    sink = SlackSink(Secret("xoxb-fake"), slack.url.replace("http:", "https:"), clock, TIMEOUT)
    assert isinstance(sink.send(replace(parcel, target="C0ALERTS")), NotSent)
    assert slack.requests == []


def test_a_redirect_is_not_followed(slack, sink, parcel):
    slack.faults["chat.postMessage"] = [fake_slack.moved(f"http://127.0.0.1:{slack.port}/elsewhere")]
    assert sink.send(parcel) == Ambiguous("HTTP 302 without an answer of Slack's")
    assert [seen.method for seen in slack.requests] == ["conversations.list", "chat.postMessage"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(slack, clock, parcel, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    sink = SlackSink(Secret(slack.token), slack.url, clock, TIMEOUT)
    assert isinstance(sink.send(parcel), Delivered)


def test_a_proxy_of_the_environment_is_asked_for_other_machines(slack, clock, parcel, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{slack.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    slack.faults["http://slack.invalid/api/chat.postMessage"] = [fake_slack.code("invalid_auth")]
    sink = SlackSink(Secret(slack.token), "http://slack.invalid/api/", clock, TIMEOUT)
    assert sink.send(replace(parcel, target="C0ALERTS")) == Unusable("token", "invalid_auth")


def test_one_call_at_a_time_goes_to_a_channel(slack, sink, parcel):
    sink.send(replace(parcel, id="dlv_0"))
    slack.faults["chat.postMessage"] = [fake_slack.silence()]
    first = threading.Thread(target=sink.send, args=(parcel,))
    first.start()
    while len(slack.calls("chat.postMessage")) < 2:
        time.sleep(0.01)
    second = threading.Thread(target=sink.send, args=(replace(parcel, id="dlv_2"),))
    second.start()
    time.sleep(TIMEOUT / 4)
    assert len(slack.calls("chat.postMessage")) == 2
    first.join()
    second.join()
    assert len(slack.calls("chat.postMessage")) == 3


def test_nothing_of_a_call_is_logged(slack, parcel, clock, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "slack_sdk")
    sink = SlackSink(Secret(slack.token), slack.url, clock, TIMEOUT)
    slack.faults["chat.postMessage"] = [fake_slack.page(500, "oops"), fake_slack.drop_before()]
    for _ in range(3):
        sink.send(parcel)
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")
    assert slack.token not in repr(sink) + repr(vars(sink))


# --- the channel's name ----------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_once(slack, sink, parcel):
    sink.send(parcel)
    sink.send(replace(parcel, id="dlv_2"))
    assert len(slack.calls("conversations.list")) == 1


def test_an_id_is_not_looked_up(slack, sink, parcel):
    assert isinstance(sink.send(replace(parcel, target="C0ALERTS")), Delivered)
    assert slack.calls("conversations.list") == []


def test_a_name_is_looked_for_on_every_page(slack, sink, parcel):
    slack.page_size = 2
    for n in range(7):
        slack.channel(f"C0OTHER{n}", f"other-{n}")
    slack.channel("C0LAST00", "last")
    assert isinstance(sink.send(replace(parcel, target="#last")), Delivered)
    assert len(slack.messages("C0LAST00")) == 1


def test_a_channel_in_use_comes_before_an_archived_one_of_its_name(slack, sink, parcel):
    slack.channels.clear()
    slack.channel("C0OLD000", "alerts", is_archived=True)
    assert sink.send(parcel) == Unusable("channel", "is_archived")
    slack.channel("C0NEW000", "alerts")
    assert isinstance(sink.send(parcel), Delivered)
    assert len(slack.messages("C0NEW000")) == 1


def test_a_token_that_may_not_list_private_channels_still_finds_public_ones(slack, sink, parcel):
    slack.scopes -= {"groups:read"}
    assert isinstance(sink.send(parcel), Delivered)


def test_a_name_that_nobody_has_is_out_of_order_until_somebody_has_it(slack, sink, parcel):
    elsewhere = replace(parcel, target="#elsewhere")
    assert sink.send(elsewhere) == Unusable("channel", "channel_not_found")
    slack.channel("C0ELSEWH", "elsewhere")
    assert isinstance(sink.send(elsewhere), Delivered)


@pytest.mark.parametrize(
    ("fault", "meant"),
    [
        (fake_slack.page(500), NotSent("HTTP 500 without an answer of Slack's")),
        (fake_slack.drop_before(), NotSent("Connection reset by peer")),
        (fake_slack.code("invalid_auth"), Unusable("token", "invalid_auth")),
    ],
    ids=str,
)
def test_a_failed_look_up_posts_nothing(slack, sink, parcel, fault, meant):
    slack.faults["conversations.list"] = [fault]
    assert sink.send(parcel) == meant
    assert slack.calls("chat.postMessage") == []


# --- looking ---------------------------------------------------------------------------------------------------------


def test_what_was_posted_is_found(sink, parcel, slack):
    slack.faults["chat.postMessage"] = [fake_slack.drop_after()]
    assert isinstance(sink.send(parcel), Ambiguous)
    assert sink.look(parcel) == Found(slack.messages("C0ALERTS")[0]["ts"])


def test_what_was_not_posted_is_not_found(sink, parcel, slack):
    slack.faults["chat.postMessage"] = [fake_slack.drop_before()]
    assert isinstance(sink.send(parcel), Ambiguous)
    sink.send(replace(parcel, id="dlv_12"))
    assert sink.look(parcel) == NotFound()


@pytest.mark.parametrize("rung", ["bare", "plain"])
def test_it_is_found_without_metadata(sink, parcel, rung):
    sent = sink.send(replace(parcel, rung=rung))
    assert sink.look(parcel) == Found(sent.reference)


def test_history_that_lags_does_not_show_it_at_first(sink, parcel, slack):
    slack.lag_looks = 1
    sent = sink.send(parcel)
    assert sink.look(parcel) == NotFound()
    assert sink.look(parcel) == Found(sent.reference)


def test_every_page_is_read_and_the_earliest_of_several_is_kept(sink, parcel, slack):
    slack.page_size = 3
    first = sink.send(parcel).reference
    for n in range(10):
        slack.put("C0ALERTS", text=f"chatter {n}")
    sink.send(parcel)
    assert sink.look(parcel) == Found(first)
    assert len(slack.calls("conversations.history")) == 4


def test_what_others_post_is_not_ours(sink, parcel, slack):
    slack.put("C0ALERTS", blocks=[{"type": "section", "block_id": "sd:dlv_1:0"}], bot_id="B0OTHER")
    assert sink.look(parcel) == NotFound()


def test_it_is_looked_for_shortly_before_the_attempt_by_slack_s_clock(clock, parcel):
    with FakeSlack(clock, ahead=timedelta(minutes=-10)) as slack:
        slack.channel("C0ALERTS", "alerts")
        sink = SlackSink(Secret(slack.token), slack.url, clock, TIMEOUT)
        sent = sink.send(parcel)
        clock.advance(seconds=30)
        assert isinstance(sent, Delivered)
        assert sink.look(parcel) == Found(str(sent.reference))
        assert float(slack.calls("conversations.history")[0]["oldest"]) == parcel.started.timestamp() - 600 - 120


def test_an_answer_is_looked_for_in_its_thread(sink, parcel, slack):
    parent = sink.send(parcel).reference
    reply = replace(parcel, id="dlv_2", thread=parent)
    assert sink.look(reply) == NotFound()
    sent = sink.send(reply)
    assert sink.look(reply) == Found(sent.reference)
    assert slack.calls("conversations.history") == []


def test_an_answer_is_not_in_a_thread_that_is_gone(sink, parcel):
    assert sink.look(replace(parcel, thread="1.000001")) == NotFound()


def test_an_edit_is_looked_for_where_it_was_made(sink, parcel, slack, clock):
    ts = sink.send(parcel).reference
    clock.advance(days=3)
    edit = replace(parcel, id="dlv_2", edits=ts, started=clock())
    assert sink.look(edit) == NotFound()
    slack.faults["chat.update"] = [fake_slack.drop_after()]
    assert isinstance(sink.send(edit), Ambiguous)
    assert sink.look(edit) == Found(ts)


@pytest.mark.parametrize("method", ["auth.test", "conversations.history"])
@pytest.mark.parametrize(
    "fault",
    [
        fake_slack.page(500),
        fake_slack.drop_before(),
        fake_slack.rate_limited("7"),
        fake_slack.code("not_in_channel"),
        fake_slack.code("invalid_auth"),
    ],
    ids=str,
)
def test_a_look_that_fails_tells_nothing(sink, parcel, slack, method, fault):
    sink.send(parcel)
    slack.faults[method] = [fault]
    assert isinstance(sink.look(parcel), CannotLook)


def test_a_look_that_fails_on_a_later_page_tells_nothing(sink, parcel, slack):
    slack.page_size = 1
    sink.send(parcel)
    slack.put("C0ALERTS")
    slack.faults["conversations.history"] = [None, fake_slack.page(500)]
    assert isinstance(sink.look(parcel), CannotLook)


def test_pages_without_end_tell_nothing(sink, parcel, slack):
    endless = fake_slack.page(200, '{"ok": true, "messages": [], "response_metadata": {"next_cursor": "again"}}')
    slack.faults["conversations.history"] = [endless, endless, endless]
    assert sink.look(parcel) == CannotLook("conversations.history does not come to an end")


def test_a_token_that_may_not_read_can_never_look(sink, parcel, slack):
    slack.scopes -= {"channels:history"}
    assert sink.look(parcel) == CannotEverLook()


# --- asking whether it works -----------------------------------------------------------------------------------------


def test_a_channel_in_order(sink, slack):
    assert sink.probe("#alerts") is None
    assert {seen.method for seen in slack.requests} == {"auth.test", "conversations.list", "conversations.info"}


@pytest.mark.parametrize(
    ("facts", "reason"), [({"is_member": False}, "not_in_channel"), ({"is_archived": True}, "is_archived")]
)
def test_a_channel_out_of_order(sink, slack, facts, reason):
    slack.channel("C0ALERTS", "alerts", **facts)
    assert sink.probe("#alerts") == Unusable("channel", reason)


def test_a_channel_that_is_gone(sink):
    assert sink.probe("#nowhere") == Unusable("channel", "channel_not_found")
    assert sink.probe("C0NOWHERE") == Unusable("channel", "channel_not_found")


def test_a_token_that_is_gone(sink, slack):
    slack.token = "xoxb-another"
    assert sink.probe("#alerts") == Unusable("token", "invalid_auth")


def test_slack_out_of_reach_is_not_in_order(sink, slack):
    slack.faults["auth.test"] = [fake_slack.page(503)]
    assert sink.probe("#alerts") == Unusable("channel", "HTTP 503 without an answer of Slack's")


def test_a_token_that_may_only_post_is_believed(sink, slack):
    slack.scopes = {"chat:write"}
    assert sink.probe("C0ALERTS") is None


def test_a_channel_that_was_renamed_is_found_again(sink, slack, parcel):
    sink.send(parcel)
    slack.channels["C0ALERTS"].name = "old-alerts"
    slack.channel("C0NEW000", "alerts")
    assert sink.probe("#alerts") is None
    sink.send(parcel)
    assert len(slack.messages("C0NEW000")) == 1
