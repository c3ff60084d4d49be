"""What Slack's answers mean: a table of codes, and the reading of everything that carries none. Only processes data.

    429, ratelimited …                                      RateLimited  nothing was posted; wait
    503 with a code, service_unavailable …                  NotSent
    invalid_blocks …, invalid_metadata …, thread_not_found  Refused      with the part that was refused
    channel_not_found …, invalid_auth …                     Unusable     a person has to mend it
    internal_error, an unknown code, no code at all         Ambiguous    it may have been posted

Sources: https://docs.slack.dev/reference/methods/chat.postMessage and chat.update (their errors),
https://docs.slack.dev/apis/web-api/rate-limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from syncd.core.delivery import Ambiguous, Attempted, NotSent, RateLimited, Refused, Unusable
from syncd.sinks.post import NothingSent, Unclear

Kind: TypeAlias = Literal["rate", "transient", "ambiguous", "payload", "metadata", "thread", "edit", "channel", "token"]

TOO_MANY: Final = 429
OK: Final = 200
_SERVER: Final = 500
# What proxies and Slack answer where nothing was tried; only with a code of Slack's is it Slack who says so.
_NOT_TRIED: Final = (502, 503, 504)

# Now and then a 429 says nothing of the wait; and a wait of more than an hour is a mistake.
_USUAL_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)
# Clocks that differ by more than this are no clocks; what is reckoned from them would leave the calendar.
_MOST_SKEW: Final = timedelta(days=3650)

_CODES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "rate": ("ratelimited", "rate_limited", "message_limit_exceeded"),
    "transient": (
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "org_login_required",
    ),
    "ambiguous": ("internal_error", "fatal_error"),
    "payload": (
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "invalid_arguments",
        "invalid_arg_name",
        "invalid_array_arg",
        "invalid_attachments",
        "attachment_payload_limit_exceeded",
        "too_many_attachments",
        "too_many_contact_cards",
        "invalid_charset",
        "invalid_form_data",
        "invalid_post_type",
        "missing_post_type",
        "invalid_json",
        "json_not_object",
        "markdown_text_conflict",
    ),
    "metadata": (
        "metadata_too_large",
        "metadata_must_be_sent_from_app",
        "invalid_metadata_format",
        "invalid_metadata_schema",
    ),
    "thread": (
        "thread_not_found",
        "cannot_reply_to_message",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "restricted_action_non_threadable_channel",
    ),
    "edit": ("message_not_found", "cant_update_message", "edit_window_closed"),
    "channel": (
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "is_inactive",
        "restricted_action",
        "restricted_action_read_only_channel",
        "channel_type_not_supported",
        "messages_tab_disabled",
        "user_not_found",
        "ekm_access_denied",
    ),
    "token": (
        "invalid_auth",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "missing_scope",
        "not_authed",
        "no_permission",
        "not_allowed_token_type",
        "team_access_not_granted",
        "team_not_found",
        "access_denied",
        "accesslimited",
        "two_factor_setup_required",
        "enterprise_is_restricted",
        "method_deprecated",
        "deprecated_endpoint",
    ),
}
CODES: Final[Mapping[str, Kind]] = MappingProxyType({code: kind for kind, codes in _CODES.items() for code in codes})

# Families that Slack adds to without notice.
_FAMILIES: Final[tuple[tuple[str, Kind], ...]] = (
    ("invalid_blocks", "payload"),
    ("invalid_metadata", "metadata"),
    ("restricted_action_thread", "thread"),
    ("restricted_action", "channel"),
)

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,79}")


def kind_of(code: str) -> Kind | None:
    """The class of a code; None if it is not known."""
    return CODES.get(code) or next((kind for start, kind in _FAMILIES if code.startswith(start)), None)


def code_of(data: object) -> str:
    """The code in an answer's body; empty if there is none, as where a page of HTML came instead."""
    error = data.get("error") if isinstance(data, dict) else None
    return error if isinstance(error, str) and _CODE.fullmatch(error) else ""


def meaning(status: int, headers: Mapping[str, str], data: object, now: datetime) -> Attempted:
    """What an answer that is no success means. The names of `headers` are in lower case."""
    code = code_of(data)
    kind = kind_of(code)
    reason = code or f"HTTP {status} without an answer of Slack's"
    if status == TOO_MANY or kind == "rate":
        return RateLimited(now + wait(headers.get("retry-after"), now), code or "ratelimited")
    match kind:
        case "transient":
            return NotSent(reason)
        case "payload" | "metadata" | "thread" | "edit":
            return Refused(kind, reason)
        case "channel" | "token":
            return unusable(kind, reason)
    if kind is None and code and status in _NOT_TRIED:
        return NotSent(reason)
    return Ambiguous(reason, answered=bool(code))


_INVITE: Final = "invite the app: /invite in the channel"
_LET_POST: Final = "let apps post in the channel, or name another one in the route"
_OF_TOKENS: Final = "give syncd the token of the installed app, then restart it"
_OF_WEBHOOK_URLS: Final = "create another webhook and give syncd its address, then restart it"

# What a person can do. Of a code without an entry the documentation tells more than we could.
_HINTS: Final[Mapping[str, str]] = {
    "channel_not_found": (
        "check the channel's name or id; of a private channel the app must be a member, and have the scope groups:read"
    ),
    "not_in_channel": _INVITE,
    "is_archived": "unarchive the channel, or name another one in the route",
    "channel_is_archived": "unarchive the channel, or name another one in the route",
    **dict.fromkeys(("restricted_action", "restricted_action_read_only_channel", "action_prohibited"), _LET_POST),
    "posting_to_general_channel_denied": _LET_POST,
    "accesslimited": "allow the network of this machine in the workspace's settings",
    "not_allowed_token_type": "give syncd the bot's token (xoxb-…), then restart it",
    "missing_scope": "add the scopes of docs/slack.md to the app and install it again",
    **dict.fromkeys(("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"), _OF_TOKENS),
    **dict.fromkeys(("no_service", "no_service_id", "no_team", "invalid_token", "team_disabled"), _OF_WEBHOOK_URLS),
}
_LOOK_UP: Final = "see docs/slack.md, and what Slack says of this code"


def unusable(what: Literal["channel", "token"], reason: str) -> Unusable:
    """That nothing can be posted, and what a person can do about it."""
    return Unusable(what, reason, _HINTS.get(reason, _LOOK_UP))


def out_of_reach(reason: str) -> Unusable:
    """That it could not be asked. Nothing says that it is a person who has to mend that."""
    return Unusable("channel", reason, "wait: it is asked again every few minutes")


def of_error(error: Exception) -> NotSent | Ambiguous:
    """What an exception of a call means. Only what failed before anything had left has surely not been posted."""
    if isinstance(error, NothingSent):
        return NotSent(str(error))
    return Ambiguous(str(error) if isinstance(error, Unclear) else f"unreadable answer ({type(error).__name__})")


# What a webhook answers, in words of its own beside those above. It is a page of text, success exactly "ok".
_OF_WEBHOOKS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("no_service", "no_service_id", "no_team", "invalid_token", "team_disabled"), "token"),
    **dict.fromkeys(("channel_is_archived", "action_prohibited", "posting_to_general_channel_denied"), "channel"),
    "invalid_payload": "payload",
}


def of_webhook(status: int, headers: Mapping[str, str], text: str, now: datetime) -> Attempted:
    """What a webhook's answer means that is not "ok"."""
    code = text.strip()
    code = code if _CODE.fullmatch(code) else ""
    if status >= _SERVER:
        return Ambiguous(code or f"HTTP {status}", answered=bool(code))
    match kind := _OF_WEBHOOKS.get(code):
        case "payload":
            return Refused(kind, code)
        case "channel" | "token":
            return unusable(kind, code)
    return meaning(status, headers, {"error": code}, now)


def wait(header: str | None, now: datetime) -> timedelta:
    """How long ``Retry-After`` asks to wait: whole or fractional seconds, or a date."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        asked = timedelta(seconds=float(text))
    else:
        try:
            at = parsedate_to_datetime(text)
            asked = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return _USUAL_WAIT
    return min(max(asked, timedelta(0)), _LONGEST_WAIT)


def skew(date: str | None, now: datetime) -> timedelta:
    """How far Slack's clock is ahead of ours, by the ``Date`` of an answer."""
    try:
        at = parsedate_to_datetime(date or "")
        ahead = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return timedelta(0)
    return ahead if abs(ahead) <= _MOST_SKEW else timedelta(0)
