"""What Slack's answers mean: every code, what carries none, and how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.delivery import Ambiguous, NotSent, RateLimited, Refused, Unusable
from syncd.sinks.post import NothingSent, Unclear
from syncd.sinks.slack.answers import CODES, code_of, meaning, of_error, of_webhook, skew, wait

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)


def of_code(code: str, status: int = 200) -> object:
    return meaning(status, {}, {"ok": False, "error": code}, NOW)


MEANINGS = {
    "ratelimited": RateLimited(SOON, "ratelimited"),
    "rate_limited": RateLimited(SOON, "rate_limited"),
    "service_unavailable": NotSent("service_unavailable"),
    "request_timeout": NotSent("request_timeout"),
    "team_added_to_org": NotSent("team_added_to_org"),
    "org_login_required": NotSent("org_login_required"),
    "internal_error": Ambiguous("internal_error"),
    "fatal_error": Ambiguous("fatal_error"),
    "invented_yesterday": Ambiguous("invented_yesterday"),
    **{
        code: Refused("payload", code)
        for code in (
            *("invalid_blocks", "invalid_blocks_format", "invalid_blocks_new", "msg_blocks_too_long", "msg_too_long"),
            *("no_text", "invalid_arguments", "invalid_attachments"),
        )
    },
    **{
        code: Refused("metadata", code)
        for code in ("invalid_metadata_format", "invalid_metadata_schema", "invalid_metadata_new", "metadata_too_large")
    },
    **{
        code: Refused("thread", code)
        for code in ("thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked")
    },
    **{code: Refused("edit", code) for code in ("message_not_found", "cant_update_message", "edit_window_closed")},
    **{
        code: Unusable("channel", code)
        for code in (
            *("channel_not_found", "not_in_channel", "is_archived", "restricted_action"),
            *("restricted_action_read_only_channel", "restricted_action_new"),
        )
    },
    **{
        code: Unusable("token", code)
        for code in (
            *("invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope", "not_authed"),
        )
    },
}


@pytest.mark.parametrize("code", MEANINGS)
def test_every_code_has_its_meaning(code: str):
    assert of_code(code) == MEANINGS[code]


@pytest.mark.parametrize("code", CODES)
def test_no_code_of_the_table_is_taken_for_success_or_for_another_class(code: str):
    meant = of_code(code)
    match CODES[code]:
        case "rate":
            assert isinstance(meant, RateLimited)
        case "transient":
            assert isinstance(meant, NotSent)
        case "ambiguous":
            assert isinstance(meant, Ambiguous)
        case "channel" | "token" as what:
            assert meant == Unusable(what, code)
        case part:
            assert meant == Refused(part, code)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_with_a_code_of_slack_has_posted_nothing(status: int):
    assert of_code("invented_yesterday", status) == NotSent("invented_yesterday")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_of_slack_inside_may_have_posted_under_every_status(status: int):
    assert of_code("internal_error", status) == Ambiguous("internal_error")
    assert isinstance(meaning(status, {}, "Bad gateway", NOW), Ambiguous)


@pytest.mark.parametrize(
    "data",
    [
        None,
        "ok",
        [],
        {},
        {"ok": False},
        {"ok": False, "error": 7},
        {"ok": False, "error": "Received a response in a non-JSON format: <html>"},
        {"ok": False, "error": "x" * 200},
    ],
)
@pytest.mark.parametrize("status", [200, 302, 404, 503])
def test_what_carries_no_code_may_have_posted_and_is_not_quoted(status: int, data: object):
    assert code_of(data) == ""
    assert meaning(status, {}, data, NOW) == Ambiguous(f"HTTP {status} without an answer of Slack's")


def test_too_many_requests_is_told_by_the_status_alone():
    assert meaning(429, {"retry-after": "7"}, "slow down", NOW) == RateLimited(
        NOW + timedelta(seconds=7), "ratelimited"
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0.5", 0.5),
        ("0", 0),
        ("Mon, 02 Mar 2026 09:00:20 GMT", 20),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0),
        ("Mon, 02 Mar 2026 09:00:20 -0000", 20),
        ("Wed, 21 Oct 2065 07:28:00 GMT", 3600),
        ("86400", 3600),
        (None, 30),
        ("", 30),
        ("-5", 30),
        ("soon, I hope", 30),
        ("9" * 400, 30),
        ("\u0667", 30),
    ],
)
def test_how_long_to_wait(header: str | None, seconds: float):
    assert wait(header, NOW) == timedelta(seconds=seconds)


def test_only_what_failed_before_anything_left_is_surely_not_posted():
    assert of_error(NothingSent("Connection refused")) == NotSent("Connection refused")
    assert of_error(Unclear("no answer in time")) == Ambiguous("no answer in time")
    assert of_error(ValueError("https://hooks.slack.com/x")) == Ambiguous("unreadable answer (ValueError)")


@pytest.mark.parametrize(
    ("date", "seconds"),
    [("Mon, 02 Mar 2026 09:05:00 GMT", 300), ("Mon, 02 Mar 2026 08:59:00 GMT", -60), (None, 0), ("x", 0)],
)
def test_how_far_slack_s_clock_is_ahead(date: str | None, seconds: float):
    assert skew(date, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("status", "text", "meant"),
    [
        (400, "invalid_payload", Refused("payload", "invalid_payload")),
        (400, "invalid_blocks\n", Refused("payload", "invalid_blocks")),
        (400, "no_text", Refused("payload", "no_text")),
        (403, "action_prohibited", Unusable("channel", "action_prohibited")),
        (403, "invalid_token", Unusable("token", "invalid_token")),
        (404, "no_service", Unusable("token", "no_service")),
        (404, "no_team", Unusable("token", "no_team")),
        (404, "channel_not_found", Unusable("channel", "channel_not_found")),
        (410, "channel_is_archived", Unusable("channel", "channel_is_archived")),
        (429, "", RateLimited(SOON, "ratelimited")),
        (500, "rollup_error", Ambiguous("rollup_error")),
        (503, "<html>", Ambiguous("HTTP 503")),
        (503, "invalid_payload", Ambiguous("invalid_payload")),
        (200, "<html>", Ambiguous("HTTP 200 without an answer of Slack's")),
        (200, "OK", Ambiguous("HTTP 200 without an answer of Slack's")),
    ],
)
def test_what_a_webhook_answers(status: int, text: str, meant: object):
    assert of_webhook(status, {}, text, NOW) == meant
