"""The calls to Slack. Decides nothing: `render` says what is sent, `answers` what an answer means.

    locate  conversations.list, all pages ──> the channel's id
    send    chat.postMessage | chat.update ──> Attempted
    look    auth.test (who we are, Slack's clock) ── conversations.history | conversations.replies, all pages ──> Looked
    probe   auth.test ── conversations.info ──> None or what is wrong

slack_sdk is used for its knowledge of Slack's calls, not for its transport: by default it repeats a post whose answer
was lost, follows redirects with the token, logs what it sends, and has no deadline for a whole call (`_Client`).
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from urllib.request import Request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from syncd.core.delivery import (
    Ambiguous,
    Attempted,
    CannotEverLook,
    CannotLook,
    Delivered,
    Found,
    Looked,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    Unusable,
)
from syncd.core.secret import Secret
from syncd.sinks import NotReached, Parcel
from syncd.sinks.post import exchange
from syncd.sinks.slack import answers, render

Clock: TypeAlias = Callable[[], datetime]

# People should be able to read one before the next comes.
APART: Final = timedelta(minutes=2)
# So late a message may show up where it is read.
_LAG: Final = timedelta(seconds=15)
# The message may bear a time before that of the attempt: clocks differ, and this is cheap.
_BEFORE: Final = timedelta(seconds=120)
# Nor is it looked for among everything that was said there in the months that syncd may have been away.
_AFTER: Final = timedelta(minutes=10)
_PAGE: Final = 200
_CHANNELS_A_PAGE: Final = 1000
# A channel with more messages since is not read to its end.
_MOST_PAGES: Final = 100
# What chat.update has no use for.
_OF_POSTS_ONLY: Final = ("mrkdwn", "unfurl_links", "unfurl_media")

_ID: Final = re.compile(r"[CGD][A-Z0-9]{6,30}")
# Slack's name for a message: its time, and what tells it from others of that second.
_TS: Final = re.compile(r"[0-9]{1,16}\.[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that did not succeed, what that means for a post, and Slack's code if it gave one."""

    meaning: Attempted
    code: str

    @property
    def reason(self) -> str:
        """Slack's code, or what went wrong on the way."""
        return "" if isinstance(self.meaning, Delivered) else self.meaning.reason

    @property
    def of_reading(self) -> NotReached:
        """What it means where nothing was to be posted."""
        match self.meaning:
            case RateLimited() | Unusable() | NotSent():
                return self.meaning
        return NotSent(self.reason)


class SlackSink:
    """Posts as a bot. `target` is ``#name`` or a channel's id; its id is what the channel is known by afterwards."""

    distance = APART

    def __init__(self, token: Secret, api_url: str, clock: Clock, timeout: float = 10) -> None:
        self._client = _Client(token, api_url, timeout)
        self._clock = clock
        # Until the call's deadline it may still be posted; then it may show up late in what is read.
        self.settles = timedelta(seconds=timeout) + _LAG
        self._one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __repr__(self) -> str:
        return "SlackSink()"

    def locate(self, target: str) -> str | NotReached:
        """The channel's id."""
        if _ID.fullmatch(target):
            return target
        name = target.removeprefix("#")
        found = self._listed(name, "public_channel,private_channel")
        if isinstance(found, Failed) and found.code == "missing_scope":
            # Without groups:read the public ones can still be read.
            found = self._listed(name, "public_channel")
        if isinstance(found, Failed):
            return found.of_reading
        return found or answers.unusable("channel", "channel_not_found")

    def send(self, parcel: Parcel) -> Attempted:
        """Post, answer in a thread, or change what was posted. One call at a time for each channel."""
        try:
            content = {"channel": parcel.channel, **render.payload(parcel.message, parcel.id, parcel.rung, parcel.note)}
        except Exception as error:  # noqa: BLE001 - a bug of ours; the plainer form may do without it
            return Refused("payload", f"{type(error).__name__} in rendering")
        method = "chat.postMessage"
        if parcel.edits is not None:
            method = "chat.update"
            content = {name: value for name, value in content.items() if name not in _OF_POSTS_ONLY}
            content["ts"] = parcel.edits
        elif parcel.thread is not None:
            content["thread_ts"] = parcel.thread
        with self._one_at_a_time[parcel.channel]:
            answer = self.call(method, json=content)
        if isinstance(answer, Failed):
            return self._of_post(answer.meaning, parcel)
        ts = _ts(answer.data)
        # "ok" without the message's name: look for it.
        return Delivered(ts) if ts else Ambiguous("an answer without ts")

    def look(self, parcel: Parcel) -> Looked:
        """Read the channel, or the thread, from shortly before the attempt on."""
        us = self.call("auth.test")
        if isinstance(us, Failed):
            return _unreadable(us)
        if not (us.data.get("bot_id") or us.data.get("user_id")):
            # Then nothing there would be ours, and all of it would be sent again.
            return CannotLook("auth.test names nobody")
        method, params = self._reading(parcel, us.skew)
        hits: list[str] = []
        for messages in self._pages(method, params, "messages"):
            if isinstance(messages, Failed):
                return self._cannot_look(messages, parcel)
            hits += [ts for message in messages if (ts := _hit(message, parcel, us.data))]
        return Found(min(hits, key=_age)) if hits else NotFound()

    def probe(self, target: str) -> Unusable | None:
        """Whether the token is good and the bot is in the channel. The channel's name is looked up anew."""
        us = self.call("auth.test")
        if isinstance(us, Failed):
            return _wrong(us)
        channel = self.locate(target)
        if not isinstance(channel, str):
            return channel if isinstance(channel, Unusable) else answers.out_of_reach(channel.reason)
        info = self.call("conversations.info", params={"channel": channel})
        if isinstance(info, Failed):
            # A token that may post and not read: only a post can tell.
            return None if info.code == "missing_scope" else _wrong(info)
        facts = info.data.get("channel")
        facts = facts if isinstance(facts, dict) else {}
        if facts.get("is_archived") is True:
            return answers.unusable("channel", "is_archived")
        return answers.unusable("channel", "not_in_channel") if facts.get("is_member") is False else None

    # --- posting ---------------------------------------------------------------------------------------------------

    def _of_post(self, meaning: Attempted, parcel: Parcel) -> Attempted:
        match meaning:
            case Refused("thread", reason) if parcel.thread is None or parcel.edits is not None:
                # It was in no thread that it could leave.
                return answers.unusable("channel", reason)
            case Refused("edit", reason) if parcel.edits is None:
                return answers.unusable("channel", reason)
            case Ambiguous(reason, answered=True) if parcel.edits is not None:
                # Whether it was done or not: trying again until it is clear would hold up alerts.
                return Refused("edit", reason)
        return meaning

    def _listed(self, name: str, types: str) -> str | Failed:
        """The channel's id, or nothing. An archived channel may have the name of one in use."""
        archived = ""
        for channels in self._pages("conversations.list", {"types": types, "limit": _CHANNELS_A_PAGE}, "channels"):
            if isinstance(channels, Failed):
                return channels
            for channel in channels:
                if isinstance(channel, dict) and channel.get("name") == name and (ident := _id(channel)):
                    if channel.get("is_archived") is not True:
                        return ident
                    archived = ident
        return archived

    # --- looking ---------------------------------------------------------------------------------------------------

    def _reading(self, parcel: Parcel, skew: timedelta) -> tuple[str, dict[str, Any]]:
        params: dict[str, Any] = {"channel": parcel.channel, "include_all_metadata": True, "limit": _PAGE}
        if parcel.edits is not None:
            return "conversations.history", {
                **params,
                "oldest": parcel.edits,
                "latest": parcel.edits,
                "inclusive": True,
            }
        params["oldest"] = f"{(parcel.started + skew - _BEFORE).timestamp():.6f}"
        params["latest"] = f"{(parcel.started + skew + self.settles + _AFTER).timestamp():.6f}"
        if parcel.thread is not None:
            return "conversations.replies", {**params, "ts": parcel.thread}
        return "conversations.history", params

    def _cannot_look(self, failed: Failed, parcel: Parcel) -> Looked:
        if failed.code == "missing_scope":
            return CannotEverLook()
        if failed.code == "thread_not_found" and parcel.thread is not None:
            # Without the thread there is no answer in it either.
            return NotFound()
        return _unreadable(failed)

    # --- calls -----------------------------------------------------------------------------------------------------

    def _pages(self, method: str, params: Mapping[str, Any], name: str) -> Iterator[list[object] | Failed]:
        """What stands under that name on every page; a failure is the last one, and a page without it is one."""
        cursors = [""]
        while len(cursors) <= _MOST_PAGES:
            more = {"cursor": cursors[-1]} if cursors[-1] else {}
            answer = self.call(method, params={**params, **more})
            if isinstance(answer, Failed):
                yield answer
                return
            listed = answer.data.get(name)
            if not isinstance(listed, list):
                yield Failed(NotSent(f"{method} without {name}"), "")
                return
            yield listed
            following = answer.data.get("response_metadata")
            cursor = following.get("next_cursor") if isinstance(following, dict) else None
            if not isinstance(cursor, str) or not cursor:
                if answer.data.get("has_more") is True:
                    break
                return
            if cursor in cursors:
                break
            cursors.append(cursor)
        yield Failed(NotSent(f"{method} does not come to an end"), "")

    def call(
        self, method: str, *, json: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> Answer | Failed:
        """One call of Slack's, once. Raises nothing."""
        try:
            response = self._client.api_call(method, json=json, params=params or {})
            data = response.data if isinstance(response.data, dict) else {}
        except SlackApiError as error:
            answer, now = error.response, self._clock()
            headers = {str(name).lower(): value for name, value in answer.headers.items()}
            return Failed(answers.meaning(answer.status_code, headers, answer.data, now), answers.code_of(answer.data))
        except Exception as error:  # noqa: BLE001 - a sink raises nothing, and an answer may be anything
            return Failed(answers.of_error(error), "")
        if data.get("ok") is not True:  # to slack_sdk anything that is not empty will do
            return Failed(Ambiguous("an answer without ok"), "")
        headers = {str(name).lower(): value for name, value in response.headers.items()}
        return Answer(data, answers.skew(headers.get("date"), self._clock()), headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """A call that succeeded, and how far Slack's clock was ahead of ours. Names of headers are in lower case."""

    data: Mapping[str, Any]
    skew: timedelta
    headers: Mapping[str, str]


def _unreadable(failed: Failed) -> CannotLook:
    why = failed.meaning if isinstance(failed.meaning, Unusable | RateLimited) else None
    return CannotLook(failed.reason, why)


def _wrong(failed: Failed) -> Unusable:
    return failed.meaning if isinstance(failed.meaning, Unusable) else answers.out_of_reach(failed.reason)


def _hit(message: object, parcel: Parcel, us: Mapping[str, Any]) -> str:
    """The name of the message if it is the one looked for, and ours."""
    if not isinstance(message, dict) or not render.is_ours(message, parcel.id):
        return ""
    by_us = any(us.get(by) and message.get(at) == us[by] for by, at in (("bot_id", "bot_id"), ("user_id", "user")))
    return _ts(message) if by_us else ""


def _ts(message: Mapping[str, Any]) -> str:
    """The message's name, if it has one: it is stored, compared and sent again, so nothing else will do."""
    ts = message.get("ts")
    return ts if isinstance(ts, str) and _TS.fullmatch(ts) else ""


def _id(channel: Mapping[str, Any]) -> str:
    """The channel's id, if it has one: it is stored."""
    ident = channel.get("id")
    return ident if isinstance(ident, str) and _ID.fullmatch(ident) else ""


def _age(ts: str) -> tuple[int, int]:
    seconds, _, fraction = ts.partition(".")
    return int(seconds), int(fraction)


class _Client(WebClient):
    """slack_sdk with our own transport, and silent."""

    def __init__(self, token: Secret, api_url: str, timeout: float) -> None:
        # At its own level DEBUG the library writes out what it sends. This logger is in no hierarchy.
        silent = logging.Logger("slack_sdk of syncd", level=logging.CRITICAL + 1)  # noqa: LOG001 - on purpose, see above
        silent.disabled = True
        super().__init__(token.reveal(), base_url=api_url, retry_handlers=[], logger=silent)
        self._seconds = timeout
        self._trust = ssl.create_default_context()

    def __repr__(self) -> str:
        return "_Client()"

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:  # noqa: ARG002
        # A test fails if a newer slack_sdk no longer comes this way.
        reply = exchange(req, self._seconds, self._trust)
        return {"status": reply.status, "headers": reply.headers, "body": reply.text}
