"""The webhook sink against a stand-in over real HTTP."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.core.delivery import (
    MAY_REPEAT,
    Ambiguous,
    CannotEverLook,
    Delivered,
    NotSent,
    RateLimited,
    Refused,
    Unusable,
)
from syncd.core.secret import Secret
from syncd.sinks import Parcel
from syncd.sinks.slack.answers import unusable
from syncd.sinks.webhook import WebhookSink
from tests import fake_slack
from tests.fake_slack import FakeSlack
from tests.test_slack_sink import MESSAGE, TIMEOUT

TARGET = "env:SLACK_WEBHOOK_URL"


@pytest.fixture
def slack(clock):
    with FakeSlack(clock) as fake:
        fake.channel("C0ALERTS", "alerts", is_member=False)
        yield fake


@pytest.fixture
def sink(slack, clock):
    return WebhookSink({TARGET: Secret(slack.webhook_url)}, clock, TIMEOUT)


@pytest.fixture
def parcel(clock):
    return Parcel("dlv_1", TARGET, TARGET, MESSAGE, clock())


def test_a_message_is_posted_and_has_no_name(slack, sink, parcel):
    assert sink.send(parcel) == Delivered()
    (message,) = slack.messages("C0ALERTS")
    assert (message["text"], len(message["blocks"]), "metadata" in message) == ("Risky: m-1 changed", 3, False)


def test_there_are_no_threads_and_no_edits(slack, sink, parcel):
    assert sink.send(replace(parcel, thread="1.000001", edits="1.000002")) == Delivered()
    assert len(slack.messages("C0ALERTS")) == 1


def test_a_message_that_comes_once_more_says_so(slack, sink, parcel):
    sink.send(replace(parcel, note=MAY_REPEAT))
    assert MAY_REPEAT in str(slack.messages("C0ALERTS")[0]["blocks"])


@pytest.mark.parametrize(
    ("fault", "meant"),
    [
        (fake_slack.page(400, "invalid_blocks"), Refused("payload", "invalid_blocks")),
        (fake_slack.page(403, "invalid_token"), unusable("token", "invalid_token")),
        (fake_slack.page(410, "channel_is_archived"), unusable("channel", "channel_is_archived")),
        (fake_slack.page(500, "rollup_error"), Ambiguous("rollup_error", answered=True)),
        (fake_slack.page(200), Ambiguous("HTTP 200 without an answer of Slack's")),
        (fake_slack.page(200, "ok, thank you"), Ambiguous("HTTP 200 without an answer of Slack's")),
        (fake_slack.moved("http://127.0.0.1:1/"), Ambiguous("HTTP 302 without an answer of Slack's")),
        (fake_slack.drop_before(), Ambiguous("Connection reset by peer")),
        (fake_slack.drop_after(), Ambiguous("Connection reset by peer")),
        (fake_slack.cut_off(), Ambiguous("IncompleteRead")),
        (replace(fake_slack.cut_off(), body=b"ok"), Ambiguous("IncompleteRead")),
        (fake_slack.raw(b"ok"), Ambiguous("BadStatusLine")),
        (fake_slack.page(200, "ok" + " " * 2**22), Ambiguous("IncompleteRead")),
        (fake_slack.silence(), Ambiguous("no answer in time")),
        (fake_slack.drip(), Ambiguous("no answer in time")),
    ],
    ids=str,
)
def test_what_a_call_meets_has_its_meaning_and_is_not_repeated(slack, sink, parcel, fault, meant):
    slack.faults["webhook"] = [fault]
    assert sink.send(parcel) == meant
    assert len(slack.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("7", 7), ("0.5", 0.5), (None, 30), ("Mon, 02 Mar 2026 09:00:20 GMT", 20)]
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_rate_limit_says_when(slack, sink, parcel, clock, *, retry_after, seconds, as_json):
    slack.faults["webhook"] = [fake_slack.rate_limited(retry_after, as_json=as_json)]
    assert sink.send(parcel) == RateLimited(clock() + timedelta(seconds=seconds), "ratelimited")


def test_an_archived_channel_and_a_webhook_that_is_gone(slack, sink, parcel):
    slack.channel("C0ALERTS", "alerts", is_archived=True)
    assert sink.send(parcel) == unusable("channel", "channel_is_archived")
    slack.hook = "T000/B000/another"
    assert sink.send(parcel) == unusable("token", "no_service")


def test_nobody_listening_is_not_sent(clock, parcel):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = Secret(f"http://127.0.0.1:{reserved.getsockname()[1]}/services/secret")
        assert WebhookSink({TARGET: url}, clock, TIMEOUT).send(parcel) == NotSent("Connection refused")


@pytest.mark.parametrize(
    "url",
    [
        "hooks.slack.com/services/verysecret",
        "ftp://hooks.invalid/verysecret",
        "http://hooks.invalid/very secret",
        "http://hooks.invalid:port/verysecret",
        "http://[verysecret/",
        "http://127.0.0.1:1/verysecret\u20ac",
    ],
)
def test_an_address_that_is_none_is_not_sent_and_not_shown(clock, parcel, url, caplog):
    meant = WebhookSink({TARGET: Secret(url)}, clock, TIMEOUT).send(parcel)
    assert isinstance(meant, NotSent)
    assert "secret" not in meant.reason + caplog.text


def test_a_target_without_an_address(clock, parcel):
    sink = WebhookSink({}, clock)
    missing = Unusable("token", "no webhook is configured under this name", "add the route again, or drop it")
    assert (sink.send(parcel), sink.probe(TARGET)) == (missing, missing)


def test_its_target_is_all_that_is_known_of_where_it_leads(slack, sink):
    assert sink.locate(TARGET) == TARGET
    assert slack.requests == []


def test_it_can_neither_be_read_nor_asked(slack, sink, parcel):
    assert (sink.look(parcel), sink.probe(TARGET)) == (CannotEverLook(), None)
    assert slack.requests == []


def test_its_address_is_not_shown(slack, sink):
    assert "verysecret" not in repr(sink) + repr(vars(sink))
