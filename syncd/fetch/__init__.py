"""One GET over the network, within one deadline: always an `Answer` or a `NoAnswer`, never an exception.

    get(request)
      | slot      at most `connections` requests at a time       wait for one, within the deadline
      | connect   name -> addresses -> socket -> TLS             a kept connection skips this
      | send      the headers; secrets are revealed here         died before a byte came? once more, at once
      | head      status and headers
      | body      counted packed, inflated in small steps, counted again
      -> Answer(status, headers, body) | NoAnswer(reason, message)

This is the only module that imports httpx and httpcore; it decides nothing about what an answer means.
httpx has timeouts for single reads and writes only, so that a server that sends a byte now and then holds a
worker for ever. Here the sockets know the deadline of the request they serve (`_Socket`) and no wait is longer
than what is left of it.

Not done, on purpose: redirects are not followed and cookies are neither kept nor sent, because both would carry
something of one key to another place; proxies from the environment are not used (`trust_env` is off), because a
variable of the shell must not decide where a bearer key travels, nor send loopback traffic abroad.
``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` do work: they say whom to trust, as they do for other programs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.cookiejar import CookieJar
from typing import Self

import httpx

from syncd import __version__
from syncd.core.secret import Secret
from syncd.core.wire import Answer, NoAnswer, Request
from syncd.fetch.body import Limit, announced_length, raw, unpacker
from syncd.fetch.exchange import NETWORK_PROBLEMS, NOT_SENT, Exchange, Failure, failure_of, here
from syncd.fetch.network import Network, Resolve, resolve

__all__ = ["Fetcher", "Network", "Resolve", "resolve"]


class Fetcher:
    """Asks for one URL at a time per thread; any number of threads may share one Fetcher.

    `timeout` is the deadline of a whole request in seconds, from the call of `get` to the last byte of the body.
    `max_response` is the most bytes of a body, counted as they come and again unpacked. `connections` is the most
    requests at a time; further ones wait, and the wait counts. `clock` gives the time in UTC.
    `transport` replaces the network, for tests. Raises `ConfigError` when SSL_CERT_FILE cannot be used.
    """

    def __init__(
        self,
        *,
        timeout: float,
        max_response: int,
        connections: int,
        clock: Callable[[], datetime],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeout = timeout
        self._max_response = max_response
        self._clock = clock
        self._slots = threading.BoundedSemaphore(connections)
        self._client = httpx.Client(
            transport=Network() if transport is None else transport,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            cookies=_NoCookies(),
            auth=httpx.Auth(),  # adds nothing; without it a user name in the URL would replace the bearer key
            event_hooks={"response": [_keep_headers]},
            headers={"User-Agent": f"syncd/{__version__}"},
        )

    def get(self, request: Request) -> Answer | NoAnswer:
        """The complete answer, whatever its status, or why there is none.

        Raises nothing for what a network, a server or an unusable URL can do, and `RuntimeError` after `close`.
        """
        started, began = self._clock(), time.monotonic()
        try:
            status, headers, body = self._ask(request, began + self._timeout)
        except Failure as failure:
            return NoAnswer(failure.reason, failure.message, started, self._clock(), time.monotonic() - began)
        return Answer(status, headers, body, started, self._clock(), time.monotonic() - began)

    def close(self) -> None:
        """Close every connection. Requests under way end as `NoAnswer`, by their deadline at the latest."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Request, deadline: float) -> tuple[int, Mapping[str, str], bytes]:
        """Ask, and ask once more where nobody can have answered: a kept connection the server had given up."""
        outgoing = self._outgoing(request)
        first = Exchange(outgoing.url.host, deadline, self._timeout)
        with self._slot(first):
            try:
                return self._once(outgoing, first)
            except Failure as failure:
                if failure.reason != "reset" or not first.reused or first.answered:
                    raise
            return self._once(outgoing, Exchange(outgoing.url.host, deadline, self._timeout))

    def _outgoing(self, request: Request) -> httpx.Request:
        """The request as httpx has it. This is where secrets are revealed."""
        headers = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in request.headers.items()
        }
        try:
            outgoing = self._client.build_request("GET", request.url, headers=headers)
        except (httpx.InvalidURL, UnicodeError):
            # Not chained and not quoted: these exceptions quote what they complain of, and that may be the key.
            raise Failure("protocol", NOT_SENT) from None
        url = outgoing.url
        if url.scheme not in {"http", "https"} or not url.host or (url.port or 1) not in range(1, 1 << 16):
            raise Failure("protocol", NOT_SENT)
        # Nothing else can be unpacked here, so nothing else is asked for, whatever the caller says.
        outgoing.headers["Accept-Encoding"] = "gzip"
        return outgoing

    @contextmanager
    def _slot(self, exchange: Exchange) -> Iterator[None]:
        """One of `connections` permits.

        Not left to httpcore's pool: a request that gives up waiting there just as it is handed a new connection
        loses the pool that place for good.
        """
        if not self._slots.acquire(timeout=exchange.left()):
            raise exchange.late()
        try:
            yield
        finally:
            self._slots.release()

    def _once(self, outgoing: httpx.Request, exchange: Exchange) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and read its answer to the end."""
        here.exchange = exchange
        try:
            response = self._client.send(outgoing, stream=True)
            try:
                return response.status_code, response.extensions[_HEADERS], self._body(response, exchange)
            finally:
                response.close()
        except NETWORK_PROBLEMS as problem:
            # Not chained: an exception of httpx carries the request, and so the key.
            raise failure_of(problem, exchange) from None
        finally:
            here.exchange = None

    def _body(self, response: httpx.Response, exchange: Exchange) -> bytes:
        """The inflated body, never more than `max_response` bytes of it in memory, plus one step."""
        limit = Limit(self._max_response, exchange)
        limit.check(announced_length(response))
        unpacking = unpacker(response.headers.get("content-encoding", ""), exchange)
        packed = unpacked = 0
        parts: list[bytes] = []
        for chunk in raw(response):
            packed += len(chunk)
            limit.check(packed)
            for part in unpacking.feed(chunk):
                unpacked += len(part)
                limit.check(unpacked)
                parts.append(part)
        unpacking.end()
        return b"".join(parts)


# --- what a client does unasked --------------------------------------------------------------------------------

_HEADERS = "syncd.headers"


def _keep_headers(response: httpx.Response) -> None:
    """Set the headers aside as they came, then hide `Location`.

    A client that follows no redirect still builds the next request, and raises on a `Location` it cannot read:
    that would cost us the answer.
    """
    response.extensions[_HEADERS] = dict(response.headers.items())
    response.headers.pop("location", None)


class _NoCookies(CookieJar):
    """A jar that takes nothing and gives nothing: a cookie set for one key must not travel with another."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass

    def add_cookie_header(self, request: object) -> None:
        pass
