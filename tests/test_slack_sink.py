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
    RUNGS,
    Ambiguous,
    CannotEverLook,
    CannotLook,
    Delivered,
    Found,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
)
from syncd.core.message import Message, Paragraph, Span
from syncd.core.secret import Secret
from syncd.sinks import Parcel
from syncd.sinks.slack import SlackSink, render
from syncd.sinks.slack.answers import out_of_reach, unusable
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
    return Parcel("dlv_1", "#alerts", "C0ALERTS", MESSAGE, clock())


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
    assert sink.send(parcel) == unusable("channel", code)


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
        *(
            (fake_slack.answer({"ok": True, **ts}, commits=True), Ambiguous("an answer without ts"), 1)
            for ts in ({}, {"ts": 1.5}, {"ts": ""}, {"ts": "\u00b2.\u0663"}, {"ts": "1" * 10_000}, {"ts": "1.2\n"})
        ),
        (fake_slack.answer({"ok": "yes", "ts": "1.000001"}, commits=True), Ambiguous("an answer without ok"), 1),
        (fake_slack.cut_off(commits=True), Ambiguous("IncompleteRead"), 1),
        (fake_slack.raw(b"SSH-2.0-OpenSSH_9.6\r\n", commits=True), Ambiguous("BadStatusLine"), 1),
        (fake_slack.raw(b"", commits=True), Ambiguous("RemoteDisconnected"), 1),
        (fake_slack.page(200, "[" * 100_000), Ambiguous("unreadable answer (RecursionError)"), 0),
        (fake_slack.code("internal_error"), Ambiguous("internal_error", answered=True), 0),
        (fake_slack.code("service_unavailable", 503), NotSent("service_unavailable"), 0),
        (fake_slack.code("invalid_blocks"), Refused("payload", "invalid_blocks"), 0),
        (fake_slack.code("metadata_too_large"), Refused("metadata", "metadata_too_large"), 0),
        (fake_slack.code("token_revoked"), unusable("token", "token_revoked"), 0),
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
        assert sink.send(parcel) == NotSent("Connection refused")


def test_a_name_that_does_not_resolve_is_not_sent(clock, parcel):
    sink = SlackSink(Secret("xoxb-fake"), "http://slack.invalid/api/", clock, TIMEOUT)
    assert isinstance(sink.send(parcel), NotSent)


def test_no_tls_is_not_sent(slack, clock, parcel):
    sink = SlackSink(Secret("xoxb-fake"), slack.url.replace("http:", "https:"), clock, TIMEOUT)
    assert isinstance(sink.send(parcel), NotSent)
    assert slack.requests == []


def test_a_redirect_is_not_followed(slack, sink, parcel):
    slack.faults["chat.postMessage"] = [fake_slack.moved(f"http://127.0.0.1:{slack.port}/elsewhere")]
    assert sink.send(parcel) == Ambiguous("HTTP 302 without an answer of Slack's")
    assert [seen.method for seen in slack.requests] == ["chat.postMessage"]


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
    assert sink.send(parcel) == unusable("token", "invalid_auth")


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


def test_a_channel_is_known_by_its_id(slack, sink):
    assert (sink.locate("#alerts"), sink.locate("alerts")) == ("C0ALERTS", "C0ALERTS")
    assert {seen.method for seen in slack.requests} == {"conversations.list"}


def test_a_private_channel_is_found_where_the_app_is_a_member(slack, sink):
    slack.channel("G0SECRET", "secret", is_private=True)
    assert sink.locate("#secret") == "G0SECRET"


@pytest.mark.parametrize("ident", ["C0ALERTS", "G0SECRET", "D0PERSON", "C0NOWHERE"])
def test_an_id_is_taken_as_it_is(slack, sink, ident):
    """Whether there is such a channel, posting to it will tell; asking costs a call for each message."""
    assert sink.locate(ident) == ident
    assert slack.requests == []


@pytest.mark.parametrize("name", ["C0", "c0alerts", "U0PERSON", "#C0ALERTS", "C0ALERTS\n"])
def test_what_only_looks_like_an_id_is_a_name(slack, sink, name):
    slack.channel("C0NAMED0", name.removeprefix("#"))
    assert sink.locate(name) == "C0NAMED0"


def test_posting_looks_up_no_name(slack, sink, parcel):
    """The outbox has the id. It would be asked for before each message, and may lead elsewhere by then."""
    assert isinstance(sink.send(replace(parcel, target="#renamed")), Delivered)
    assert [seen.method for seen in slack.requests] == ["chat.postMessage"]
    assert slack.calls("chat.postMessage")[0]["channel"] == "C0ALERTS"


def test_a_name_is_looked_for_on_every_page(slack, sink):
    slack.page_size = 2
    for n in range(7):
        slack.channel(f"C0OTHER{n}", f"other-{n}")
    slack.channel("C0LAST00", "last")
    assert sink.locate("#last") == "C0LAST00"
    assert len(slack.calls("conversations.list")) == 5
    assert {call["limit"] for call in slack.calls("conversations.list")} == {"1000"}


def test_a_channel_in_use_comes_before_an_archived_one_of_its_name(slack, sink):
    slack.channels.clear()
    slack.page_size = 1
    slack.channel("C0OLD000", "alerts", is_archived=True)
    assert sink.locate("#alerts") == "C0OLD000"
    slack.channel("C0NEW000", "alerts")
    slack.channel("C0OLDER0", "alerts", is_archived=True)
    assert sink.locate("#alerts") == "C0NEW000"


def test_a_token_that_may_not_list_private_channels_still_finds_public_ones(slack, sink):
    slack.scopes -= {"groups:read"}
    slack.channel("G0SECRET", "secret", is_private=True)
    assert sink.locate("#alerts") == "C0ALERTS"
    assert [call["types"] for call in slack.calls("conversations.list")] == [
        "public_channel,private_channel",
        "public_channel",
    ]
    missing = sink.locate("#secret")
    assert missing == unusable("channel", "channel_not_found")
    assert "groups:read" in missing.hint


def test_a_token_that_may_list_nothing_needs_a_scope_or_an_id(slack, sink):
    slack.scopes -= {"groups:read", "channels:read"}
    assert sink.locate("#alerts") == unusable("token", "missing_scope")
    assert sink.locate("C0ALERTS") == "C0ALERTS"


def test_a_name_that_nobody_has_is_out_of_order_until_somebody_has_it(slack, sink):
    assert sink.locate("#elsewhere") == unusable("channel", "channel_not_found")
    slack.channel("C0ELSEWH", "elsewhere")
    assert sink.locate("#elsewhere") == "C0ELSEWH"


@pytest.mark.parametrize("part", [None, 7, "x", {}, {"name": "alerts"}, {"name": "alerts", "id": 7}])
def test_what_is_no_channel_is_passed_over(slack, sink, part):
    slack.faults["conversations.list"] = [fake_slack.answer({"ok": True, "channels": [part]})]
    assert sink.locate("#alerts") == unusable("channel", "channel_not_found")


@pytest.mark.parametrize("ident", ["", "C0\x00ALERTS", "C" * 10_000, "../C0ALERTS"])
def test_an_id_of_another_form_is_none(slack, sink, ident):
    """It is stored, and sent with every message."""
    slack.faults["conversations.list"] = [
        fake_slack.answer({"ok": True, "channels": [{"name": "alerts", "id": ident}]})
    ]
    assert sink.locate("#alerts") == unusable("channel", "channel_not_found")


@pytest.mark.parametrize(
    ("fault", "meant"),
    [
        (fake_slack.page(500), NotSent("HTTP 500 without an answer of Slack's")),
        (fake_slack.drop_before(), NotSent("Connection reset by peer")),
        (fake_slack.cut_off(), NotSent("IncompleteRead")),
        (fake_slack.code("internal_error"), NotSent("internal_error")),
        (fake_slack.code("invalid_arguments"), NotSent("invalid_arguments")),
        (fake_slack.code("invalid_auth"), unusable("token", "invalid_auth")),
    ],
    ids=str,
)
@pytest.mark.parametrize("on_page", [1, 2])
def test_a_failed_look_up_says_what_it_means_and_that_nothing_was_sent(slack, sink, fault, meant, *, on_page):
    slack.page_size = 1
    slack.channel("C0LAST00", "last")
    slack.faults["conversations.list"] = [*[None] * (on_page - 1), fault]
    assert sink.locate("#last") == meant


@pytest.mark.parametrize("answer", [{}, {"channels": None}, {"channels": {}}])
def test_a_list_without_channels_does_not_say_that_there_are_none(slack, sink, answer):
    slack.faults["conversations.list"] = [fake_slack.answer({"ok": True, **answer})]
    assert sink.locate("#alerts") == NotSent("conversations.list without channels")


def test_a_limited_look_up_says_until_when(slack, sink, clock):
    slack.faults["conversations.list"] = [fake_slack.rate_limited("7")]
    assert sink.locate("#alerts") == RateLimited(clock() + timedelta(seconds=7), "ratelimited")


def test_pages_of_channels_without_end_tell_nothing(slack, sink):
    endless = fake_slack.answer({"ok": True, "channels": [], "response_metadata": {"next_cursor": "again"}})
    slack.faults["conversations.list"] = [endless, endless, endless]
    assert sink.locate("#alerts") == NotSent("conversations.list does not come to an end")


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


def test_history_that_lags_for_a_while_shows_it_when_it_is_settled(sink, parcel, slack, clock):
    slack.lag_seconds = 15.0
    sent = sink.send(parcel)
    clock.advance(seconds=14)
    assert sink.look(parcel) == NotFound()
    clock.now = parcel.started + sink.settles
    assert sink.look(parcel) == Found(sent.reference)


def test_a_call_may_post_until_its_deadline_and_show_up_late(slack, clock):
    for timeout in (1, 10):
        sink = SlackSink(Secret(slack.token), slack.url, clock, timeout)
        assert sink.settles == timedelta(seconds=timeout + 15)


@pytest.mark.parametrize("rung", RUNGS)
def test_it_is_found_where_metadata_is_kept_back(sink, parcel, slack, rung):
    slack.shows_metadata = False
    sent = sink.send(replace(parcel, rung=rung))
    assert sink.look(parcel) == Found(sent.reference)


def test_what_a_person_deleted_is_not_there(sink, parcel, slack):
    """Whether it never arrived or was deleted, nobody can tell; to send it again is the lesser evil."""
    ts = sink.send(parcel).reference
    slack.delete("C0ALERTS", ts)
    assert sink.look(parcel) == NotFound()
    assert sink.look(replace(parcel, id="dlv_2", edits=ts)) == NotFound()
    assert sink.look(replace(parcel, id="dlv_2", thread=ts)) == NotFound()
    assert sink.send(replace(parcel, id="dlv_2", edits=ts)) == Refused("edit", "message_not_found")
    assert sink.send(replace(parcel, id="dlv_2", thread=ts)) == Refused("thread", "thread_not_found")


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 0101 00:00:00 +1200"]
)
def test_a_time_that_is_none_counts_as_ours(sink, parcel, slack, date):
    slack.date = date
    sent = sink.send(parcel)
    assert sink.look(parcel) == Found(sent.reference)


@pytest.mark.parametrize("ts", [None, 7, "", "\u00b2", "\u0663.1", "9" * 5_000, "1.", "now"])
def test_a_message_whose_name_is_none_is_not_the_one(sink, parcel, slack, ts):
    ours = {**render.payload(MESSAGE, "dlv_1"), "bot_id": slack.bot_id, "ts": ts}
    slack.faults["conversations.history"] = [fake_slack.answer({"ok": True, "messages": [ours, None, 7, {}]})]
    assert sink.look(parcel) == NotFound()


@pytest.mark.parametrize(
    ("method", "answer", "reason"),
    [
        ("conversations.history", {}, "conversations.history without messages"),
        ("conversations.history", {"messages": {}}, "conversations.history without messages"),
        ("auth.test", {}, "auth.test names nobody"),
        ("auth.test", {"bot_id": "", "user_id": None}, "auth.test names nobody"),
    ],
)
def test_an_answer_that_tells_nothing_is_no_reason_to_send_again(sink, parcel, slack, *, method, answer, reason):
    sink.send(parcel)
    slack.faults[method] = [fake_slack.answer({"ok": True, **answer})]
    assert sink.look(parcel) == CannotLook(reason)


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
    assert sink.probe("#alerts") == unusable("channel", reason)


def test_a_channel_that_is_gone(sink):
    assert sink.probe("#nowhere") == unusable("channel", "channel_not_found")
    assert sink.probe("C0NOWHERE") == unusable("channel", "channel_not_found")


def test_a_token_that_is_gone(sink, slack):
    slack.token = "xoxb-another"
    assert sink.probe("#alerts") == unusable("token", "invalid_auth")


def test_slack_out_of_reach_is_not_in_order(sink, slack):
    slack.faults["auth.test"] = [fake_slack.page(503)]
    assert sink.probe("#alerts") == out_of_reach("HTTP 503 without an answer of Slack's")


def test_a_token_that_may_only_post_is_believed(sink, slack):
    slack.scopes = {"chat:write"}
    assert sink.probe("C0ALERTS") is None


def test_a_channel_that_was_renamed_is_found_again(sink, slack):
    slack.channels["C0ALERTS"].name = "old-alerts"
    assert sink.probe("#alerts") == unusable("channel", "channel_not_found")
    slack.channel("C0NEW000", "alerts")
    assert sink.probe("#alerts") is None
    assert slack.calls("conversations.info")[-1] == {"channel": "C0NEW000"}
    assert sink.locate("#alerts") == "C0NEW000"


@pytest.mark.parametrize("method", ["auth.test", "conversations.list", "conversations.info"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (fake_slack.rate_limited("7"), "ratelimited"),
        (fake_slack.page(503), "HTTP 503 without an answer of Slack's"),
        (fake_slack.drop_before(), "Connection reset by peer"),
        (fake_slack.code("internal_error"), "internal_error"),
    ],
    ids=str,
)
def test_what_could_not_be_asked_is_asked_again(sink, slack, method, fault, reason):
    slack.faults[method] = [fault]
    assert sink.probe("#alerts") == out_of_reach(reason)
    assert sink.probe("#alerts") is None


@pytest.mark.parametrize("facts", [{}, {"channel": None}, {"channel": []}, {"channel": {"is_member": "no"}}])
def test_facts_that_are_not_given_are_no_fault(sink, slack, facts):
    slack.faults["conversations.info"] = [fake_slack.answer({"ok": True, **facts})]
    assert sink.probe("#alerts") is None
