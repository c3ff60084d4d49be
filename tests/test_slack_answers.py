"""What Slack's answers mean: every code, what carries none, how long to wait, and what a person can do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.delivery import Ambiguous, NotSent, RateLimited, Refused, Unusable
from syncd.sinks.post import NothingSent, Unclear
from syncd.sinks.slack.answers import (
    CODES,
    Kind,
    code_of,
    kind_of,
    meaning,
    of_error,
    of_webhook,
    out_of_reach,
    skew,
    unusable,
    wait,
)

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
    "internal_error": Ambiguous("internal_error", answered=True),
    "fatal_error": Ambiguous("fatal_error", answered=True),
    "invented_yesterday": Ambiguous("invented_yesterday", answered=True),
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
        code: unusable("channel", code)
        for code in (
            *("channel_not_found", "not_in_channel", "is_archived", "restricted_action"),
            *("restricted_action_read_only_channel", "restricted_action_new"),
        )
    },
    **{
        code: unusable("token", code)
        for code in (
            *("invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope", "not_authed"),
            *("accesslimited", "not_allowed_token_type"),
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
            assert meant == unusable(what, code)
        case part:
            assert meant == Refused(part, code)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_with_a_code_of_slack_has_posted_nothing(status: int):
    assert of_code("invented_yesterday", status) == NotSent("invented_yesterday")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_of_slack_inside_may_have_posted_under_every_status(status: int):
    assert of_code("internal_error", status) == Ambiguous("internal_error", answered=True)
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


@settings(derandomize=True, deadline=None, database=None, max_examples=500)
@given(st.text() | st.from_regex(r"\A\w{3}, \d{1,9} \w{3} \d{1,9} [0-9:]{0,20} [A-Z]{0,3}[+-]?\d{0,9}\Z"))
def test_no_wait_is_negative_or_longer_than_an_hour_whatever_the_header_says(header: str):
    assert timedelta(0) <= wait(header, NOW) <= timedelta(hours=1)
    assert abs(skew(header, NOW)) <= timedelta(days=3650)


def test_only_what_failed_before_anything_left_is_surely_not_posted():
    assert of_error(NothingSent("Connection refused")) == NotSent("Connection refused")
    assert of_error(Unclear("no answer in time")) == Ambiguous("no answer in time")
    assert of_error(ValueError("https://hooks.slack.com/x")) == Ambiguous("unreadable answer (ValueError)")


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Mon, 02 Mar 2026 09:05:00 GMT", 300),
        ("Mon, 02 Mar 2026 08:59:00 GMT", -60),
        (None, 0),
        ("x", 0),
        # What is reckoned from it must stay within the calendar.
        ("Fri, 31 Dec 9999 23:59:59 -1200", 0),
        ("Mon, 01 Jan 0101 00:00:00 +1200", 0),
    ],
)
def test_how_far_slack_s_clock_is_ahead(date: str | None, seconds: float):
    assert skew(date, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("status", "text", "meant"),
    [
        (400, "invalid_payload", Refused("payload", "invalid_payload")),
        (400, "invalid_blocks\n", Refused("payload", "invalid_blocks")),
        (400, "no_text", Refused("payload", "no_text")),
        (403, "action_prohibited", unusable("channel", "action_prohibited")),
        (403, "invalid_token", unusable("token", "invalid_token")),
        (404, "no_service", unusable("token", "no_service")),
        (404, "no_team", unusable("token", "no_team")),
        (404, "channel_not_found", unusable("channel", "channel_not_found")),
        (410, "channel_is_archived", unusable("channel", "channel_is_archived")),
        (429, "", RateLimited(SOON, "ratelimited")),
        (500, "rollup_error", Ambiguous("rollup_error", answered=True)),
        (503, "<html>", Ambiguous("HTTP 503")),
        (503, "invalid_payload", Ambiguous("invalid_payload", answered=True)),
        (200, "<html>", Ambiguous("HTTP 200 without an answer of Slack's")),
        (200, "OK", Ambiguous("HTTP 200 without an answer of Slack's")),
    ],
)
def test_what_a_webhook_answers(status: int, text: str, meant: object):
    assert of_webhook(status, {}, text, NOW) == meant


# --- what a person can do --------------------------------------------------------------------------------------------

# By a word that the hint must have: what to do, not how it is put.
HINTS = {
    "channel_not_found": "name or id",
    "not_in_channel": "/invite",
    "is_archived": "unarchive",
    "channel_is_archived": "unarchive",
    "restricted_action": "let apps post",
    "restricted_action_read_only_channel": "let apps post",
    "action_prohibited": "let apps post",
    "posting_to_general_channel_denied": "let apps post",
    "missing_scope": "scopes",
    "accesslimited": "network",
    "not_allowed_token_type": "xoxb-",
    **dict.fromkeys(("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"), "token"),
    **dict.fromkeys(("no_service", "no_service_id", "no_team", "invalid_token", "team_disabled"), "another webhook"),
}
# What Slack and its webhooks answer where only a person can help.
MENDED_BY_PEOPLE = sorted({code for code, kind in CODES.items() if kind in ("channel", "token")} | set(HINTS))


@pytest.mark.parametrize("code", MENDED_BY_PEOPLE)
def test_whatever_a_person_must_mend_comes_with_what_to_do(code: str):
    by_bot, by_webhook = of_code(code), of_webhook(403, {}, code, NOW)
    assert isinstance(by_webhook, Unusable)
    assert by_webhook.reason == code
    assert HINTS.get(code, "docs/slack.md") in by_webhook.hint
    if code in CODES:
        assert by_bot == by_webhook


@pytest.mark.parametrize("code", MENDED_BY_PEOPLE)
def test_a_hint_fits_into_one_line(code: str):
    hint = unusable("channel", code).hint
    assert 10 < len(hint) <= 120
    assert hint[0] in "abcdefghijklmnopqrstuvwxyz"
    assert hint == hint.strip()
    assert not hint.endswith(".")
    assert "\n" not in hint


def test_what_could_not_be_asked_sends_nobody_to_the_documentation():
    found = out_of_reach("no answer in time")
    assert (found.what, found.reason) == ("channel", "no answer in time")
    assert "again" in found.hint


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_blocks_2027", "payload"),
        ("invalid_metadata_2027", "metadata"),
        ("restricted_action_thread_2027", "thread"),
        ("restricted_action_2027", "channel"),
        ("is_archived_2027", None),
        ("", None),
    ],
)
def test_a_family_of_codes_may_grow(code: str, kind: Kind | None):
    assert kind_of(code) == kind
