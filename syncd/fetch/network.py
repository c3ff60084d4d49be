"""Sockets that know the deadline of the request they serve."""

from __future__ import annotations

import ipaddress
import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

from syncd.errors import ConfigError, Problem
from syncd.fetch.exchange import Exchange, Failure, current, reason_of

# How long an idle connection is kept, in seconds: long enough to serve the next keys of the same burst, shorter
# than the minute after which most servers hang up, so that few requests meet a dying connection.
_KEEP_IDLE = 30.0

Resolve = Callable[[str, int], list[str]]
"""Addresses of a host name, best first; raises `OSError` or `UnicodeError` when there are none."""


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
        """Send `request`; the body comes as it is iterated. Raises `Failure` and exceptions of httpcore."""
        exchange = current()
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

    def __init__(self, answer: httpcore.Response, exchange: Exchange) -> None:
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
        fault = Problem(name, f"the certificates cannot be read: {reason_of(problem)}", "correct or unset it")
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
        exchange = current()
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
            raise Failure("refused", f"{host}:{port} cannot be reached: {reason_of(problem.__cause__)}.")
        raise exchange.late()

    def _addresses(self, host: str, port: int, exchange: Exchange) -> list[str]:
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
        raise Failure("dns", f"The name {host} does not resolve: {detail}.")


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
        self._exchange: Exchange | None = None  # the one that wrote last

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        exchange = current()
        exchange.stage = "agreeing on TLS"
        try:
            return _Socket(self._inner.start_tls(ssl_context, server_hostname, exchange.left(timeout)))
        except httpcore.ConnectError as problem:
            raise _broken(problem, exchange) from None
        except Failure:
            self.close()  # httpcore closes what fails to start TLS, but this did not get as far as that
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = current()
        exchange.stage = "waiting for the answer"
        if self._exchange is not exchange:
            exchange.reused = self._exchange is not None
            self._exchange = exchange
        # A `WriteError` passes: httpcore then reads, because a server may answer and close before it has read all.
        self._inner.write(buffer, exchange.left(timeout))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = current()
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
                raise Failure("protocol", f"What {exchange.host} sent is not HTTP.")
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


def _broken(problem: httpcore.NetworkError, exchange: Exchange) -> Failure:
    """Why a connection broke: TLS that failed, or a peer that hung up (also in the middle of TLS)."""
    cause = problem.__cause__
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure("tls", f"No trusted TLS connection to {exchange.host}: {reason_of(cause)}.")
    return Failure("reset", exchange.cut_off())
