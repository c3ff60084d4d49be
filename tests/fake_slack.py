"""A stand-in for Slack's Web API and its incoming webhooks, over real HTTP on loopback.

    with FakeSlack(clock) as slack:
        slack.channel("C0ALERTS", "alerts")
        slack.faults["chat.postMessage"] = [rate_limited("0.5"), drop_after()]      one for each call, in order
        ... SlackSink(Secret(slack.token), slack.url, clock) ...
        slack.messages("C0ALERTS"), slack.requests

It keeps what is posted and refuses what Slack's documentation says Slack refuses, with the documented codes. Nothing
here was compared with the real Slack.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

Json = dict[str, Any]

MOST_BLOCKS = 50
MOST_HEADER = 150
MOST_SECTION = 3_000
MOST_TEXT = 40_000
MOST_TEXT_OF_UPDATE = 4_000
MOST_BLOCK_ID = 255
MOST_METADATA = 16_000
MOST_ROWS, MOST_CELLS = 100, 20
MOST_IN_ALL = 11_000


@dataclass(frozen=True)
class Fault:
    """What a call meets instead of its answer. With `commits`, what it asks for is done all the same."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    commits: bool = False
    how: str = "answer"  # or: reset, cut, raw, drip head, drip body, silence

    def __str__(self) -> str:
        """For the name of a test."""
        done = ["done"] if self.commits else []
        return " ".join([self.how, str(self.status), *map(": ".join, self.headers), *done, repr(self.body[:60])])


def code(error: str, status: int = 200, **more: object) -> Fault:
    return answer({"ok": False, "error": error, **more}, status)


def answer(content: object, status: int = 200, *, commits: bool = False) -> Fault:
    """JSON that is not what was asked for."""
    return Fault(status, (("Content-Type", "application/json"),), json.dumps(content).encode(), commits=commits)


def rate_limited(retry_after: str | None, *, as_json: bool = True) -> Fault:
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    return Fault(429, headers, b'{"ok":false,"error":"ratelimited"}' if as_json else b"slow down")


def page(status: int, body: str = "<html><body>We are on it</body></html>", *, commits: bool = False) -> Fault:
    return Fault(status, (("Content-Type", "text/html"),), body.encode(), commits=commits)


def moved(where: str) -> Fault:
    return Fault(302, (("Location", where),))


def drop_before() -> Fault:
    return Fault(how="reset")


def drop_after() -> Fault:
    return Fault(how="reset", commits=True)


def cut_off(*, commits: bool = False) -> Fault:
    """An answer that ends before the length it announced."""
    return Fault(200, (("Content-Type", "application/json"),), b'{"ok": true, "ts": "17', commits=commits, how="cut")


def raw(content: bytes, *, commits: bool = False) -> Fault:
    """Whatever it is instead of HTTP."""
    return Fault(body=content, commits=commits, how="raw")


def silence(*, commits: bool = False) -> Fault:
    return Fault(how="silence", commits=commits)


def drip(part: str = "body", *, commits: bool = False) -> Fault:
    return Fault(how=f"drip {part}", commits=commits)


@dataclass(frozen=True)
class Seen:
    """A request: the method of the API, or ``webhook``, and what it brought."""

    method: str
    arguments: Json
    headers: dict[str, str]


@dataclass
class Channel:
    id: str
    name: str
    is_member: bool = True
    is_archived: bool = False
    is_private: bool = False
    messages: list[Json] = field(default_factory=list)


class Refusal(Exception):
    """The code that Slack would give."""


class FakeSlack:
    """See the module.

    `lag_looks` hides a message from so many readings, `lag_seconds` for so long by Slack's clock. `ahead` is how far
    that is before ours, `date` what answers bear instead of its time: a text, or nothing if that is empty.
    `shows_metadata` is off where it keeps metadata to itself.
    """

    def __init__(self, clock: Callable[[], datetime], *, ahead: timedelta = timedelta()) -> None:
        self.clock = clock
        self.ahead = ahead
        self.token = "xoxb-fake-0000"
        self.hook = "T000/B000/verysecret"
        self.hook_channel = "C0ALERTS"
        self.bot_id, self.user_id = "B0SYNCD", "U0SYNCD"
        self.scopes = {"chat:write", "channels:read", "channels:history", "groups:read", "groups:history"}
        self.channels: dict[str, Channel] = {}
        self.faults: dict[str, list[Fault | None]] = {}
        self.requests: list[Seen] = []
        self.page_size: int | None = None
        self.lag_looks = 0
        self.lag_seconds = 0.0
        self.shows_metadata = True
        self.date: str | None = None
        self._next = 0
        self._one_at_a_time = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.slack = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{self.hook}"

    def channel(
        self, ident: str, name: str, *, is_member: bool = True, is_archived: bool = False, is_private: bool = False
    ) -> Channel:
        self.channels[ident] = Channel(ident, name, is_member, is_archived, is_private)
        return self.channels[ident]

    def messages(self, ident: str) -> list[Json]:
        return self.channels[ident].messages

    def calls(self, method: str) -> list[Json]:
        return [seen.arguments for seen in self.requests if seen.method == method]

    def now(self) -> datetime:
        """Slack's own time."""
        return self.clock() + self.ahead

    # --- answering -------------------------------------------------------------------------------------------------

    def take(self, seen: Seen) -> tuple[Fault | None, Json]:
        """The fault that is due, and the answer that there would be without it."""
        with self._one_at_a_time:
            self.requests.append(seen)
            due = self.faults.get(seen.method, [])
            fault = due.pop(0) if due else None
            if fault is not None and not fault.commits:
                return fault, {}
            try:
                return fault, {"ok": True, **self._do(seen)}
            except Refusal as refusal:
                return fault, {"ok": False, "error": str(refusal)}

    def _do(self, seen: Seen) -> Json:
        if seen.method == "webhook":
            return self._post({"channel": self.hook_channel, **seen.arguments}, member=False)
        if seen.headers.get("authorization") != f"Bearer {self.token}":
            raise Refusal("invalid_auth")
        methods: dict[str, tuple[Callable[[Json], Json], tuple[str, ...]]] = {
            "auth.test": (self._auth, ()),
            "chat.postMessage": (self._post, ("chat:write",)),
            "chat.update": (self._update, ("chat:write",)),
            "chat.delete": (self._delete, ("chat:write",)),
            "blocks.validate": (self._validate, ()),
            "conversations.list": (self._list, ("channels:read",)),
            "conversations.info": (self._info, ("channels:read",)),
            "conversations.history": (self._history, ("channels:history",)),
            "conversations.replies": (self._replies, ("channels:history",)),
        }
        if seen.method not in methods:
            raise Refusal("unknown_method")
        do, scopes = methods[seen.method]
        if not self.scopes.issuperset(scopes):
            raise Refusal("missing_scope")
        return do(seen.arguments)

    def _auth(self, _: Json) -> Json:
        names = {"user": "syncd", "team": "Acme", "url": "https://acme.slack.com/"}
        return {"user_id": self.user_id, "bot_id": self.bot_id, "team_id": "T000", **names}

    def _open(self, arguments: Json) -> Channel:
        found = self.channels.get(str(arguments.get("channel")))
        if found is None:
            raise Refusal("channel_not_found")
        return found

    def _post(self, arguments: Json, *, member: bool = True) -> Json:
        channel = self._open(arguments)
        if channel.is_archived:
            raise Refusal("is_archived" if member else "channel_is_archived")
        if member and not channel.is_member:
            raise Refusal("not_in_channel")
        check(arguments)
        thread = arguments.get("thread_ts")
        if thread is not None and not any(message["ts"] == thread for message in channel.messages):
            raise Refusal("thread_not_found")
        message = {"type": "message", "user": self.user_id, "bot_id": self.bot_id, "ts": self._ts()}
        message |= {name: arguments[name] for name in ("text", "blocks", "metadata", "thread_ts") if name in arguments}
        self._put(channel, message)
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def put(self, ident: str, **message: object) -> str:
        """A message of somebody's, past every check."""
        ts = str(message.get("ts") or self._ts())
        self._put(self.channels[ident], {"type": "message", "user": "U0PERSON", "text": "hello", **message, "ts": ts})
        return ts

    def _put(self, channel: Channel, message: Json) -> None:
        channel.messages.append({**message, "_seen": self.lag_looks, "_at": self.now()})

    def delete(self, ident: str, ts: str) -> None:
        """What a person, or a rule of the workspace, may do to any message at any time."""
        messages = self.channels[ident].messages
        messages[:] = [message for message in messages if message["ts"] != ts]

    def _ts(self) -> str:
        self._next += 1
        return f"{int(self.now().timestamp())}.{self._next:06d}"

    def _update(self, arguments: Json) -> Json:
        channel = self._open(arguments)
        message = next((one for one in channel.messages if one["ts"] == arguments.get("ts")), None)
        if message is None:
            raise Refusal("message_not_found")
        if message.get("bot_id") != self.bot_id:
            raise Refusal("cant_update_message")
        check(arguments)
        if len(arguments.get("text", "")) > MOST_TEXT_OF_UPDATE:
            raise Refusal("msg_too_long")
        message |= {name: arguments[name] for name in ("text", "blocks", "metadata") if name in arguments}
        return {"channel": channel.id, "ts": message["ts"]}

    def _delete(self, arguments: Json) -> Json:
        channel = self._open(arguments)
        message = next((one for one in channel.messages if one["ts"] == arguments.get("ts")), None)
        if message is None:
            raise Refusal("message_not_found")
        if message.get("bot_id") != self.bot_id:
            raise Refusal("cant_delete_message")
        channel.messages.remove(message)
        return {"channel": channel.id, "ts": message["ts"]}

    def _validate(self, arguments: Json) -> Json:
        blocks = json.loads(arguments["blocks"])
        check({"blocks": blocks})
        return {}

    def _list(self, arguments: Json) -> Json:
        types = arguments.get("types", "public_channel").split(",")
        if "private_channel" in types and "groups:read" not in self.scopes:
            raise Refusal("missing_scope")
        wanted = [
            {"id": one.id, "name": one.name, "is_archived": one.is_archived, "is_member": one.is_member}
            for one in self.channels.values()
            if ("private_channel" if one.is_private else "public_channel") in types
        ]
        return self._paged("channels", wanted, arguments)

    def _info(self, arguments: Json) -> Json:
        one = self._open(arguments)
        kind = {"is_archived": one.is_archived, "is_member": one.is_member, "is_private": one.is_private}
        return {"channel": {"id": one.id, "name": one.name, **kind}}

    def _history(self, arguments: Json) -> Json:
        top = [one for one in self._readable(arguments) if one.get("thread_ts") in (None, one["ts"])]
        return self._paged("messages", list(reversed(top)), arguments)

    def _replies(self, arguments: Json) -> Json:
        thread, channel = arguments.get("ts"), self._open(arguments)
        parent = [one for one in channel.messages if one["ts"] == thread]
        if not parent:
            raise Refusal("thread_not_found")
        replies = [one for one in self._readable(arguments) if one.get("thread_ts") == thread]
        return self._paged("messages", [*map(_shown, parent), *replies], arguments)

    def _readable(self, arguments: Json) -> list[Json]:
        channel = self._open(arguments)
        if not channel.is_member:
            raise Refusal("not_in_channel")
        lag = timedelta(seconds=self.lag_seconds)
        asked = self.shows_metadata and arguments.get("include_all_metadata") in ("1", True)
        oldest, latest = float(arguments.get("oldest", 0)), float(arguments.get("latest", "inf"))
        inclusive = arguments.get("inclusive") in ("1", True)
        readable = []
        for message in channel.messages:
            message["_seen"] -= not arguments.get("cursor")
            if message["_seen"] >= 0 or self.now() - message["_at"] < lag:
                continue
            at = float(message["ts"])
            if oldest < at < latest or (inclusive and at in (oldest, latest)):
                readable.append(_shown(message, metadata=asked))
        return readable

    def _paged(self, name: str, everything: list[Json], arguments: Json) -> Json:
        size = self.page_size or int(arguments.get("limit", 100))
        start = int(arguments.get("cursor") or 0)
        more = start + size < len(everything)
        cursor = str(start + size) if more else ""
        return {name: everything[start : start + size], "has_more": more, "response_metadata": {"next_cursor": cursor}}


def _shown(message: Json, *, metadata: bool = True) -> Json:
    hidden = () if metadata else ("metadata",)
    return {name: value for name, value in message.items() if name[0] != "_" and name not in hidden}


# --- what Slack refuses --------------------------------------------------------------------------------------------


def check(arguments: Json) -> None:
    """Raise `Refusal` for what Slack's documentation says it refuses."""
    text, blocks, metadata = arguments.get("text", ""), arguments.get("blocks") or [], arguments.get("metadata")
    if not text and not blocks:
        raise Refusal("no_text")
    if len(text) > MOST_TEXT:
        raise Refusal("msg_too_long")
    if metadata is not None:
        if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
            raise Refusal("invalid_metadata_format")
        if not re.fullmatch(r"\w{1,200}", str(metadata.get("event_type", ""))):
            raise Refusal("invalid_metadata_format")
        if len(json.dumps(metadata)) > MOST_METADATA:
            raise Refusal("metadata_too_large")
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    tables = [block for block in blocks if block["type"] == "table"]
    if len(blocks) > MOST_BLOCKS or len(set(ids)) < len(ids) or len(tables) > 1:
        raise Refusal("invalid_blocks")
    if any(not 0 < len(ident) <= MOST_BLOCK_ID for ident in ids) or not all(map(_sound, blocks)):
        raise Refusal("invalid_blocks")
    if len(json.dumps(blocks, ensure_ascii=False)) > MOST_IN_ALL:
        raise Refusal("msg_blocks_too_long")


def _sound(block: Json) -> bool:
    match block["type"]:
        case "header":
            return block["text"]["type"] == "plain_text" and 0 < len(block["text"]["text"]) <= MOST_HEADER
        case "section":
            return 0 < len(block["text"]["text"]) <= MOST_SECTION
        case "context":
            return 0 < len(block["elements"]) <= 10 and all(one.get("text") for one in block["elements"])
        case "rich_text":
            return bool(block["elements"]) and all(map(_sound_element, block["elements"]))
        case "table":
            rows = block["rows"]
            return 0 < len(rows) <= MOST_ROWS and all(
                0 < len(row) <= MOST_CELLS and len(row) == len(rows[0]) and all(map(_sound_cell, row)) for row in rows
            )
    return False


def _sound_element(element: Json) -> bool:
    inside = element["elements"]
    if element["type"] == "rich_text_list":
        return bool(inside) and all(map(_sound_element, inside))
    if element["type"] not in ("rich_text_section", "rich_text_preformatted", "rich_text_quote"):
        return False
    in_code = element["type"] == "rich_text_preformatted"
    return bool(inside) and all(_sound_words(one) and not (in_code and one["type"] != "text") for one in inside)


def _sound_words(one: Json) -> bool:
    """A run of text, or a call: the only elements of rich text that are sent."""
    match one["type"]:
        case "text":
            return bool(one["text"])
        case "broadcast":
            return set(one) == {"type", "range"} and one["range"] in ("here", "channel", "everyone")
        case "user" | "usergroup" as whom:
            form = r"S[A-Z0-9]+" if whom == "usergroup" else r"[UW][A-Z0-9]+"
            return set(one) == {"type", f"{whom}_id"} and re.fullmatch(form, one[f"{whom}_id"]) is not None
    return False


def _sound_cell(cell: Json) -> bool:
    return bool(cell["text"]) if cell["type"] == "raw_text" else _sound(cell)


# --- HTTP ----------------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    slack: FakeSlack


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        slack = self.server.slack
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_json = "json" in headers.get("content-type", "") and body.startswith(b"{")
        arguments = json.loads(body) if is_json else dict(parse_qsl(body.decode()))
        hook = self.path.removeprefix("/services/") if self.path.startswith("/services/") else None
        method = "webhook" if hook is not None else self.path.removeprefix("/api/")
        fault, answer = slack.take(Seen(method, arguments, headers))
        if fault is not None:
            self._break(fault)
        elif hook is None:
            scopes = ("X-OAuth-Scopes", ",".join(sorted(slack.scopes)))
            about = (("Content-Type", "application/json; charset=utf-8"), scopes)
            self._answer(200, about, json.dumps(answer).encode())
        elif hook != slack.hook:
            self._answer(404, (), b"no_service")
        elif answer["ok"]:
            self._answer(200, (("Content-Type", "text/html"),), b"ok")
        else:
            self._answer(400, (("Content-Type", "text/html"),), answer["error"].encode())

    def do_GET(self) -> None:
        self.server.slack.requests.append(Seen(f"GET {self.path}", {}, {}))
        self._answer(200, (), b"")

    def _answer(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self._head(status, (*headers, ("Content-Length", str(len(body)))))
        self.wfile.write(body)

    def _head(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        self.send_response_only(status)
        slack = self.server.slack
        date = format_datetime(slack.now(), usegmt=True) if slack.date is None else slack.date
        if date:
            self.send_header("Date", date)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _break(self, fault: Fault) -> None:
        over = self.server.slack._over
        self.close_connection = True
        if fault.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault.how == "cut":
            self._head(fault.status, (*fault.headers, ("Content-Length", str(len(fault.body) + 100))))
            self.wfile.write(fault.body)
        elif fault.how == "raw":
            self.wfile.write(fault.body)
        elif fault.how == "silence":
            over.wait(10)
        elif fault.how.startswith("drip"):
            if fault.how == "drip body":
                self._head(200, (("Content-Type", "application/json"), ("Connection", "close")))
            else:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not over.wait(0.05):
                self.wfile.write(b" ")
        else:
            self._answer(fault.status, fault.headers, fault.body)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Nothing: `requests` has it."""
