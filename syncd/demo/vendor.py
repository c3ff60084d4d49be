"""A simulated Vivix API on loopback. It is not Vivix: every answer says so (``X-Simulated: yes``).

    with SimulatedVendor() as vendor:
        vendor.keys["vvx_live_demo"] = Account(balance=12_847)
        ... GET {vendor.base_url}/api/v1/models with "Authorization: Bearer vvx_live_demo"
        vendor.keys["vvx_live_demo"].models.pop()              # the next answer lacks a model
        vendor.keys["vvx_live_demo"].answer = lambda seen: …    # or is any Reply a test can think of

It answers as the public documentation of the API tells, over HTTP/1.1 with kept connections, gzip for clients
that accept it. It counts calls but refuses none for being too many, and it simulates no generation.
"""

from __future__ import annotations

import copy
import gzip
import json
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]

_NO_API_TIERS = {"free", "standard"}

# Seconds that leaving the `with` block waits for handlers; they end at once when their sockets are shut.
_PATIENCE = 5.0

# Seconds between two looks at whether to stop; leaving the `with` block takes as long.
_POLL = 0.02

# How many requests are remembered; a benchmark must not fill the memory.
_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request as it came. `path` has its query, `headers` has lower-case names, `time` is UTC."""

    method: str
    path: str
    headers: Mapping[str, str]
    key: str | None  # what followed "Bearer ", if anything did
    time: datetime


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer.

    Either `status`, `headers` and `body`, to which Content-Length, Date and X-Simulated are added (and gzip, if
    the client accepts it, `pack` is true and `headers` names no Content-Encoding); or a `script`: whatever it
    yields goes to the socket as it is, a float being a pause in seconds, and then the connection is closed,
    with a TCP reset if `reset` is true. Scripts end early when the client leaves or the vendor stops.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    pack: bool = True
    script: Callable[[], Iterable[bytes | float]] | None = None
    reset: bool = False

    @classmethod
    def json(cls, content: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Self:
        """A reply with `content` as JSON."""
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status=status, headers=(("Content-Type", "application/json"), *headers), body=body)


@dataclass(slots=True)
class Account:
    """What one key may see. Change any field at any time; the next request sees it.

    Several fields that must change together are changed under `SimulatedVendor.lock`. `extra` holds further
    top-level fields of the listing. `answer`, if set, replaces the ordinary answer to every request of the key.
    """

    tier: str = "pro"
    balance: float = 12_847
    calls_per_minute: int = 240
    concurrent_jobs: int = 5
    models: list[Json] = field(default_factory=lambda: sample_models())  # noqa: PLW0108 (defined further down)
    extra: Json = field(default_factory=dict)
    answer: Callable[[RequestSeen], Reply] | None = None
    calls: tuple[int, int] = field(default=(0, 0), init=False, repr=False)  # (a minute, ordinary answers in it)

    def count_call(self, now: datetime) -> int:
        """Count a call; what is left of this minute's calls, never below 0. The simulator refuses none at 0."""
        minute = int(now.timestamp()) // 60
        used = self.calls[1] + 1 if self.calls[0] == minute else 1
        self.calls = (minute, used)
        return max(0, self.calls_per_minute - used)


class SimulatedVendor:
    """The simulated API on 127.0.0.1, on a port the system picks, from `__enter__` to `__exit__`."""

    def __init__(self) -> None:
        self.keys: dict[str, Account] = {}
        """Bearer key -> account. An unknown key gets 401 KEY_INVALID. Two keys may share one account."""
        self.lock = threading.RLock()
        """Held while an ordinary answer is composed."""
        self._seen: deque[RequestSeen] = deque(maxlen=_REMEMBERED)
        self._count = 0
        self._server: _Server  # from `__enter__` on
        self._thread: threading.Thread

    @property
    def base_url(self) -> str:
        """Like ``http://127.0.0.1:40123``; known inside the `with` block."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> list[RequestSeen]:
        """A copy of the requests so far (of the last 100,000), oldest first."""
        with self.lock:
            return list(self._seen)

    def forget(self) -> None:
        """Empty `requests`."""
        with self.lock:
            self._seen.clear()

    def hang_up(self) -> None:
        """Close every connection, as a server does when it restarts."""
        self._server.hang_up()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        # Daemons, all of them: a test that crashes before `__exit__` must not keep Python from ending.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="simulated vendor", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(_PATIENCE)
        self._server.server_close()

    def reply(self, seen: RequestSeen) -> Reply:
        """Record a request and decide its answer; the handler calls it, in a thread per connection."""
        with self.lock:
            self._seen.append(seen)
            self._count += 1
            account = self.keys.get(seen.key or "")
            script = account.answer if account else None
            if script is None:
                return self._ordinary(seen, account, f"req_simulated_{self._count:06}")
        return script(seen)  # outside the lock: a test may let it wait

    def _ordinary(self, seen: RequestSeen, account: Account | None, request_id: str) -> Reply:
        """The answer of a vendor in good health."""
        path = seen.path.partition("?")[0]
        if seen.method != "GET" or path not in _ENDPOINTS:
            return _refusal(404, "NOT_FOUND", "No such endpoint.", "See the API reference.", request_id)
        if seen.key is None:
            return _refusal(401, "UNAUTHORIZED", "Missing Authorization header.", "Send a bearer key.", request_id)
        if account is None:
            return _refusal(401, "KEY_INVALID", "Bad or missing key.", "Check the key.", request_id)
        if account.tier.lower() in _NO_API_TIERS:
            return _refusal(403, "TIER_LOCKED", "The API needs Pro or Ultimate.", "Upgrade the plan.", request_id)
        headers = (
            ("X-Request-Id", request_id),
            ("X-RateLimit-Remaining", str(account.count_call(seen.time))),
            ("X-Credits-Balance", f"{account.balance:,}"),
        )
        return Reply.json(_ENDPOINTS[path](account), headers=headers)


# --- what the endpoints answer ---------------------------------------------------------------------------------


def listing(account: Account) -> Json:
    """The body of ``GET /api/v1/models``."""
    return {
        "tier": account.tier,
        "credits_balance": account.balance,
        "rate_limit": _rate_limit(account),
        "models": account.models,
        **account.extra,
    }


def credit_report(account: Account) -> Json:
    """The body of ``GET /api/v1/credits``."""
    return {
        "balance": account.balance,
        "tier": account.tier,
        "cycle_resets_at": "2026-06-09T00:00:00Z",
        "rate_limit": _rate_limit(account),
        "spent_this_cycle": 2153,
        "granted_this_cycle": 15000,
    }


_ENDPOINTS: dict[str, Callable[[Account], Json]] = {"/api/v1/models": listing, "/api/v1/credits": credit_report}


def _rate_limit(account: Account) -> Json:
    return {"calls_per_minute": account.calls_per_minute, "concurrent_jobs": account.concurrent_jobs}


def _refusal(status: int, code: str, message: str, what_next: str, request_id: str) -> Reply:
    content = {"error": code, "message": message, "next": what_next, "request_id": request_id}
    return Reply.json(content, status=status)


# --- the catalogue ---------------------------------------------------------------------------------------------

# The two models the vendor's documentation shows, word for word.
_REAL: tuple[Json, ...] = (
    {
        "slug": "grok-imagine-image-quality",
        "name": "Grok Imagine Image Quality",
        "category": "image",
        "creator": "xAI",
        "description": "Photorealistic 4K stills. Great for product shots, lifestyle scenes, and editorial composition.",  # noqa: E501 (as it is)
        "params": {
            "prompt": {"type": "string", "required": True, "max_length": 2000},
            "aspect_ratio": {"type": "enum", "values": ["1:1", "4:5", "9:16", "16:9"], "default": "1:1"},
            "resolution": {"type": "enum", "values": ["1K", "2K", "4K"], "default": "2K"},
            "number_results": {"type": "integer", "min": 1, "max": 4, "default": 1},
        },
        "credits_band": {"min": 80, "max": 211},
        "example_request": {
            "model": "grok-imagine-image-quality",
            "prompt": "a misty forest at dawn, cinematic 24mm",
            "aspect_ratio": "16:9",
            "resolution": "4K",
        },
    },
    {
        "slug": "wan-2.7-text-to-video",
        "name": "Wan 2.7 Text to Video",
        "category": "video",
        "creator": "Alibaba",
        "description": "Text-to-video up to 10 seconds. Best for product demos, B-roll, atmospheric scenes.",
        "params": {
            "prompt": {"type": "string", "required": True},
            "duration": {"type": "integer", "min": 2, "max": 10, "default": 5},
            "resolution": {"type": "enum", "values": ["720p", "1080p"], "default": "1080p"},
            "audio": {"type": "boolean", "default": False},
        },
        "credits_band": {"min": 400, "max": 1440},
        "example_request": {
            "model": "wan-2.7-text-to-video",
            "prompt": "neon-lit Tokyo street, cinematic",
            "duration": 5,
        },
    },
)

# These exist nowhere. Between them they have what the documentation leaves open: a type it does not list,
# fractions, a missing price, a slug with signs in it.
_MADE_UP: tuple[Json, ...] = (
    {
        "slug": "simulated:lantern@1",
        "name": "Lantern (made up)",
        "category": "image",
        "creator": "Nobody",
        "description": "A made-up model that takes reference images.",
        "params": {
            "prompt": {"type": "string", "required": True, "max_length": 2000},
            "negative_prompt": {"type": "string", "max_length": 500},
            "reference_images": {"type": "string[]", "max_items": 3},
            "seed": {"type": "integer", "min": 0, "max": 2147483647},
        },
        "credits_band": {"min": 12.5, "max": 40},
        "example_request": {"model": "simulated:lantern@1", "prompt": "a paper lantern on a river"},
    },
    {
        "slug": "simulated-brook-audio",
        "name": "Brook (made up)",
        "category": "audio",
        "creator": "Nobody",
        "description": "A made-up model for sounds.",
        "params": {
            "prompt": {"type": "string", "required": True},
            "duration": {"type": "integer", "min": 2, "max": 10, "default": 4},
        },
        "credits_band": {"min": 30, "max": 90},
        "example_request": {"model": "simulated-brook-audio", "prompt": "water over stones", "duration": 4},
    },
    {
        "slug": "simulated-clerk-text",
        "name": "Clerk (made up)",
        "category": "text",
        "creator": "Nobody",
        "description": "A made-up model that writes prompts.",
        "params": {"prompt": {"type": "string", "required": True, "max_length": 2000}},
        "credits_band": None,
        "example_request": {"model": "simulated-clerk-text", "prompt": "describe a misty forest"},
    },
    {
        "slug": "simulated-loupe-utility",
        "name": "Loupe (made up)",
        "category": "utility",
        "creator": "Nobody",
        "description": "A made-up model that enlarges.",
        "params": {
            "prompt": {"type": "string", "required": False},
            "resolution": {"type": "enum", "values": ["2K", "4K"], "default": "4K"},
        },
        "credits_band": {"min": 20, "max": 20},
        "example_request": {"model": "simulated-loupe-utility", "resolution": "4K"},
    },
)


def real_models() -> list[Json]:
    """The two models of the vendor's documentation, exactly; a fresh copy at each call."""
    return copy.deepcopy(list(_REAL))


def sample_models() -> list[Json]:
    """The two known models and four made-up ones, whose names say so; a fresh copy at each call."""
    return copy.deepcopy([*_REAL, *_MADE_UP])


def made_up_models(count: int) -> list[Json]:
    """`count` made-up models for crowds and benchmarks, always the same, about 0.8 KB each."""
    return [_made_up(number) for number in range(count)]


def _made_up(number: int) -> Json:
    model = copy.deepcopy(_REAL[number % len(_REAL)])
    slug = f"simulated-{model['category']}-{number:04}"
    model.update(slug=slug, name=f"Model {number} (made up)", creator="Nobody")
    model["description"] = f"A made-up model, number {number} of a crowd; it resembles a real one and is none."
    model["credits_band"] = {"min": 10 + number, "max": 40 + 3 * number}
    model["example_request"]["model"] = slug
    return model


# --- HTTP ------------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """A thread per connection, all of which end with the server."""

    request_queue_size = 128

    def __init__(self, vendor: SimulatedVendor) -> None:
        self.vendor = vendor
        self.stopping = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for our own name, as `HTTPServer` does."""
        self.socket.bind(("127.0.0.1", 0))
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (the base class's signature)
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="simulated vendor, a connection",
            daemon=True,
        )
        with self._open_lock:
            self._open[request] = thread
            thread.start()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 (the base class's signature)
        with self._open_lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (the base class's signature)
        """Say nothing of clients that leave in the middle; that is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Shut every open connection, which wakes the thread that reads from it."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        """Stop listening, hang up, wait for the handlers."""
        self.stopping.set()
        super().server_close()
        with self._open_lock:
            threads = list(self._open.values())
        self.hang_up()
        for thread in threads:
            thread.join(_PATIENCE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer any method: what exists is for the vendor to say."""
        seen = self._seen()
        reply = self.server.vendor.reply(seen)
        if reply.script is not None:
            self._play(reply.script, reset=reply.reset)
        else:
            self.wfile.write(_whole(reply, seen))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (the names are the base class's)

    def _seen(self) -> RequestSeen:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("content-length", "0") != "0":
            self.close_connection = True  # nobody reads request bodies here, so this connection is spent
        scheme, _, key = headers.get("authorization", "").partition(" ")
        bearer = key if scheme.lower() == "bearer" and key else None
        return RequestSeen(self.command, self.path, headers, bearer, datetime.now(UTC))

    def _play(self, script: Callable[[], Iterable[bytes | float]], *, reset: bool) -> None:
        """Send what `script` yields, then close."""
        self.close_connection = True
        for step in script():
            if isinstance(step, bytes):
                self.connection.sendall(step)
            elif self.server.stopping.wait(step):
                return
        if reset:
            # Lingering for 0 seconds makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's signature)
        """Log nothing: `SimulatedVendor.requests` has it all."""


def _whole(reply: Reply, seen: RequestSeen) -> bytes:
    """Head and body in one piece, so that they leave in one packet."""
    headers = [("Date", format_datetime(datetime.now(UTC), usegmt=True)), ("X-Simulated", "yes"), *reply.headers]
    body = reply.body
    if reply.pack and _may_pack(reply, seen):
        body = _packed(body)
        headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    headers.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _may_pack(reply: Reply, seen: RequestSeen) -> bool:
    packed_already = any(name.lower() == "content-encoding" for name, _ in reply.headers)
    return bool(reply.body) and not packed_already and "gzip" in seen.headers.get("accept-encoding", "")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@lru_cache(maxsize=32)  # the same listing is packed once, not at every poll
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=6, mtime=0)
