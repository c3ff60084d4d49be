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

import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import CookieJar
from typing import Any, Protocol, Self

import httpcore
import httpx

from syncd import __version__
from syncd.core.secret import Secret
from syncd.core.wire import Answer, FailureReason, NoAnswer, Request
from syncd.errors import ConfigError, Problem

# How long an idle connection is kept, in seconds: long enough to serve the next keys of the same burst, shorter
# than the minute after which most servers hang up, so that few requests meet a dying connection.
_KEEP_IDLE = 30.0

# The most bytes inflated at once. A gzip bomb grows a thousandfold: this bounds what is in memory before it is counted.
_STEP = 65_536

_GZIP_WRAPPER = 31  # zlib's name for "expect a gzip header and trailer, window of 32 KiB"

Resolve = Callable[[str, int], list[str]]
"""Addresses of a host name, best first; raises `OSError` or `UnicodeError` when there are none."""


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
        except _Failure as failure:
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
        first = _Exchange(outgoing.url.host, deadline, self._timeout)
        with self._slot(first):
            try:
                return self._once(outgoing, first)
            except _Failure as failure:
                if failure.reason != "reset" or not first.reused or first.answered:
                    raise
            return self._once(outgoing, _Exchange(outgoing.url.host, deadline, self._timeout))

    def _outgoing(self, request: Request) -> httpx.Request:
        """The request as httpx has it. This is where secrets are revealed."""
        headers = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in request.headers.items()
        }
        try:
            outgoing = self._client.build_request("GET", request.url, headers=headers)
        except (httpx.InvalidURL, UnicodeError):
            # Not chained and not quoted: these exceptions quote what they complain of, and that may be the key.
            raise _Failure("protocol", _NOT_SENT) from None
        url = outgoing.url
        if url.scheme not in {"http", "https"} or not url.host or (url.port or 1) not in range(1, 1 << 16):
            raise _Failure("protocol", _NOT_SENT)
        # Nothing else can be unpacked here, so nothing else is asked for, whatever the caller says.
        outgoing.headers["Accept-Encoding"] = "gzip"
        return outgoing

    @contextmanager
    def _slot(self, exchange: _Exchange) -> Iterator[None]:
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

    def _once(self, outgoing: httpx.Request, exchange: _Exchange) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and read its answer to the end."""
        _here.exchange = exchange
        try:
            response = self._client.send(outgoing, stream=True)
            try:
                return response.status_code, response.extensions[_HEADERS], self._body(response, exchange)
            finally:
                response.close()
        except _NETWORK_PROBLEMS as problem:
            # Not chained: an exception of httpx carries the request, and so the key.
            raise _failure(problem, exchange) from None
        finally:
            _here.exchange = None

    def _body(self, response: httpx.Response, exchange: _Exchange) -> bytes:
        """The inflated body, never more than `max_response` bytes of it in memory, plus one step."""
        limit = _Limit(self._max_response, exchange)
        limit.check(_announced_length(response))
        unpacker = _unpacker(response.headers.get("content-encoding", ""), exchange)
        packed = unpacked = 0
        parts: list[bytes] = []
        for chunk in _raw(response):
            packed += len(chunk)
            limit.check(packed)
            for part in unpacker.feed(chunk):
                unpacked += len(part)
                limit.check(unpacked)
                parts.append(part)
        unpacker.end()
        return b"".join(parts)


# --- failures --------------------------------------------------------------------------------------------------


class _Failure(Exception):
    """Why there is no answer, on its way to `get`, which turns it into a `NoAnswer`."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason
        self.message = message


_NETWORK_PROBLEMS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,  # ssl.SSLError is one
)


_NOT_SENT = "The request was not sent: its URL or one of its headers cannot be used."

# The first line that fits counts. What is not here broke the connection.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], FailureReason, str], ...] = (
    ((httpx.LocalProtocolError, httpcore.LocalProtocolError), "protocol", _NOT_SENT),
    ((httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol, httpx.InvalidURL), "protocol", _NOT_SENT),
    ((httpx.ProtocolError, httpcore.ProtocolError), "protocol", "What {host} sent is not HTTP."),
    ((httpx.DecodingError,), "encoding", "The body from {host} is not packed as its header says."),
    ((socket.gaierror,), "dns", "The name {host} does not resolve."),
    ((ssl.SSLError,), "tls", "No trusted TLS connection to {host}."),
    ((httpx.ConnectError, httpcore.ConnectError, ConnectionRefusedError), "refused", "{host} cannot be reached."),
)


def _failure(problem: Exception, exchange: _Exchange) -> _Failure:
    """What an exception of the libraries means. Its own text is never used: it may quote a header."""
    if isinstance(problem, httpx.TimeoutException | httpcore.TimeoutException | TimeoutError):
        return exchange.late()
    if exchange.hung_up:  # then "not HTTP" is only how a parser puts that the rest is missing
        return _Failure("reset", exchange.cut_off())
    for kinds, reason, message in _MEANINGS:
        if isinstance(problem, kinds):
            return _Failure(reason, message.format(host=exchange.host))
    return _Failure("reset", exchange.cut_off())


def _reason_of(problem: BaseException | None) -> str:
    """The system's or OpenSSL's words for a failure: neither knows a header."""
    match problem:
        case ssl.SSLCertVerificationError():
            return problem.verify_message
        case ssl.SSLError():
            return (problem.reason or "no reason given").lower().replace("_", " ")
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case _:
            return "no reason given"


# --- one request under way -------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Exchange:
    """One attempt: its deadline (monotonic seconds), and what its sockets saw on the way."""

    host: str
    deadline: float
    timeout: float
    stage: str = "waiting for a free connection"
    reused: bool = False  # it went out on a connection that had served another request
    answered: bool = False  # a byte of the answer came
    hung_up: bool = False  # the server closed its side
    over: bool = False  # the answer is read or given up; the connection may serve another

    def left(self, timeout: float | None = None) -> float:
        """Seconds until the deadline, or `timeout` if that is sooner; raises when none are left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.late()
        return left if timeout is None else min(left, timeout)

    def late(self) -> _Failure:
        """The deadline passed."""
        message = f"No complete answer from {self.host} within {self.timeout:g} s: still {self.stage}."
        return _Failure("timeout", message)

    def cut_off(self) -> str:
        """What to say when the connection broke."""
        if self.answered:
            return f"The connection to {self.host} broke before the answer was complete."
        return f"{self.host} closed the connection without an answer."


class _Here(threading.local):
    """The exchange this thread is busy with: httpcore hands a socket its timeouts but not its request."""

    exchange: _Exchange | None = None


_here = _Here()


def _current() -> _Exchange:
    """The exchange of this thread; for a transport used by itself, one of an hour."""
    return _here.exchange or _Exchange("the server", time.monotonic() + 3_600, 3_600)


# --- the network -----------------------------------------------------------------------------------------------


def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host` as the system knows them; raises `OSError` or `UnicodeError`."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Network(httpx.BaseTransport):
    """Real sockets that know their deadline: what `httpx.HTTPTransport` does, over a pool with our `_Sockets`."""

    def __init__(self, *, resolve: Resolve = resolve) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trusted(),
            # No limits here: `Fetcher` limits the requests. At a limit the pool closes an idle connection to make
            # room, and under many threads that may be one that another thread has just been given.
            max_connections=None,
            max_keepalive_connections=None,
            keepalive_expiry=_KEEP_IDLE,
            network_backend=_Sockets(resolve),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; the body comes as it is iterated. Raises `_Failure` and exceptions of httpcore."""
        exchange = _current()
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions={"timeout": {"pool": exchange.left()}},
            ),
        )
        exchange.stage = "reading the body"
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer, exchange))

    def close(self) -> None:
        """Close every connection, also those in use."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The raw body of one answer."""

    def __init__(self, answer: httpcore.Response, exchange: _Exchange) -> None:
        self._answer = answer
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._exchange.over = True
        self._answer.close()


def _trusted() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as problem:
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        fault = Problem(name, f"the certificates cannot be read: {_reason_of(problem)}", "correct or unset it")
        raise ConfigError("environment", (fault,)) from problem


class _Sockets(httpcore.NetworkBackend):
    """Opens connections: the name, then one address after the other, all before the deadline."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        exchange = _current()
        exchange.stage = "resolving the name"
        addresses = self._addresses(host, port, exchange)
        exchange.stage = "connecting"
        problem: Exception | None = None
        for tried, address in enumerate(addresses):
            # An address whose packets vanish must leave the next ones a chance: each gets its share of what is left.
            share = exchange.left(timeout) / (len(addresses) - tried)
            try:
                return _Socket(self._plain.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                problem = failed
        if isinstance(problem, httpcore.ConnectError):
            raise _Failure("refused", f"{host}:{port} cannot be reached: {_reason_of(problem.__cause__)}.")
        raise exchange.late()

    def _addresses(self, host: str, port: int, exchange: _Exchange) -> list[str]:
        """The addresses of `host`, asked for in a thread of its own: the system's resolver cannot be interrupted."""
        if _is_address(host):
            return [host]
        answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolve(host, port))
            except (OSError, UnicodeError) as problem:
                answers.put(problem)

        threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
        try:
            found = answers.get(timeout=exchange.left())
        except queue.Empty:
            raise exchange.late() from None
        if isinstance(found, list) and found:
            return found
        detail = found.strerror if isinstance(found, OSError) and found.strerror else "not a usable host name"
        raise _Failure("dns", f"The name {host} does not resolve: {detail}.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Socket(httpcore.NetworkStream):
    """One connection: it waits no longer than its exchange has left, and notes what the exchange must know."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._exchange: _Exchange | None = None  # the one that wrote last

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        exchange = _current()
        exchange.stage = "agreeing on TLS"
        try:
            return _Socket(self._inner.start_tls(ssl_context, server_hostname, exchange.left(timeout)))
        except httpcore.ConnectError as problem:
            raise _broken(problem, exchange) from None
        except _Failure:
            self.close()  # httpcore closes what fails to start TLS, but this did not get as far as that
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = _current()
        exchange.stage = "waiting for the answer"
        if self._exchange is not exchange:
            exchange.reused = self._exchange is not None
            self._exchange = exchange
        # A `WriteError` passes: httpcore then reads, because a server may answer and close before it has read all.
        self._inner.write(buffer, exchange.left(timeout))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = _current()
        try:
            data = self._inner.read(max_bytes, exchange.left(timeout))
        except httpcore.ReadError as problem:
            raise _broken(problem, exchange) from None
        if not data:
            exchange.hung_up = True
        elif not exchange.answered:
            exchange.answered = True
            if data[:5] != b"HTTP/"[: len(data)]:
                # A parser waits for the end of a line that may never come: say at once that this is another protocol.
                raise _Failure("protocol", f"What {exchange.host} sent is not HTTP.")
        return data

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 (httpcore's signature)
        known = self._inner.get_extra_info(info)
        if info == "is_readable" and self._exchange is not None and not self._exchange.over:
            # The pool asks this of connections it holds for idle, to drop those the server has closed. But it asks a
            # moment after it looked: another thread may have taken the connection, and what can be read is its
            # answer. Hence looked up after the socket: whoever made it readable has written before.
            return False
        return known


def _broken(problem: httpcore.NetworkError, exchange: _Exchange) -> _Failure:
    """Why a connection broke: TLS that failed, or a peer that hung up (also in the middle of TLS)."""
    cause = problem.__cause__
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _Failure("tls", f"No trusted TLS connection to {exchange.host}: {_reason_of(cause)}.")
    return _Failure("reset", exchange.cut_off())


# --- the body --------------------------------------------------------------------------------------------------


class _Limit:
    """The most bytes a body may have, and the deadline: one look at both for each part of it."""

    def __init__(self, most: int, exchange: _Exchange) -> None:
        self._most = most
        self._exchange = exchange

    def check(self, size: int) -> None:
        """Raise `_Failure` if `size` bytes are too many or the time is over."""
        self._exchange.left()
        if size > self._most:
            message = f"The body from {self._exchange.host} is larger than the limit of {self._most} bytes."
            raise _Failure("too_large", message)


def _announced_length(response: httpx.Response) -> int:
    """Content-Length, or 0 where there is none to go by."""
    try:
        return int(response.headers.get("content-length", "0"))
    except ValueError:
        return 0


def _raw(response: httpx.Response) -> Iterator[bytes]:
    """The body as it was sent. Not `iter_raw`: that refuses the ready-made responses of a test's transport."""
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("the transport gave an asynchronous response")
    return iter(response.stream)


class _Unpacker(Protocol):
    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """What `chunk` unpacks to, in parts of bounded size; may raise `_Failure`."""

    def end(self) -> None:
        """The body is over; raises `_Failure` if it should not be."""


def _unpacker(encoding: str, exchange: _Exchange) -> _Unpacker:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gunzip(exchange)
        case _:
            raise _Failure("encoding", f"The body from {exchange.host} is packed in a way nobody asked for.")


class _Plain:
    """A body that is not packed."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        return (chunk,)

    def end(self) -> None:
        pass


class _Gunzip:
    """Inflates gzip, one or more members, at most `_STEP` bytes at a time. An empty body is accepted as one."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._member = zlib.decompressobj(_GZIP_WRAPPER)
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(chunk)
        part = b""
        # A full step may leave output inside zlib though all input is taken: go on until a step is not full.
        while chunk or len(part) == _STEP:
            if self._member.eof:
                chunk = chunk.lstrip(b"\0")  # zeros after a member are padding
                if not chunk:
                    return
                self._member = zlib.decompressobj(_GZIP_WRAPPER)
            try:
                part = self._member.decompress(chunk, _STEP)
            except zlib.error:
                raise self._bad("is not the gzip its header says") from None
            yield part
            chunk = self._member.unconsumed_tail or self._member.unused_data

    def end(self) -> None:
        if self._begun and not self._member.eof:
            raise self._bad("ends in the middle of its gzip")

    def _bad(self, what: str) -> _Failure:
        return _Failure("encoding", f"The body from {self._exchange.host} {what}.")


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
