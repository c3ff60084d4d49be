"""One HTTP request through urllib, within one deadline, and whether anything of it can have arrived.

    exchange(request)
      | connect   name -> proxy or host -> socket -> TLS      fails: NothingSent
      | send      the headers and the body                    fails: Unclear, from here on
      | read      status, headers, at most 4 MiB
      -> Reply(status, headers, text)

urllib's timeout is for single reads and writes, so that a server that sends a byte now and then would hold a sender for
ever: at the deadline the socket is shut down, which ends whatever waits on it. Redirects are not followed, because they
would carry a token elsewhere. Proxies come from the environment, except for this machine's own addresses. Nothing here
is logged, and no error's text holds more than the system's own words: a webhook's address is a secret.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

# Far more than a page of a channel's history.
_MOST_BYTES: Final = 4 * 1024 * 1024
_HERE: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str


class NothingSent(Exception):
    """The request failed before a byte of it had left."""


class Unclear(Exception):
    """The request may have arrived, and there is no answer to it."""


def exchange(request: Request, timeout: float, trust: ssl.SSLContext) -> Reply:
    """Send it once; raises `NothingSent` or `Unclear`."""
    watch = _Watch(timeout)
    try:
        answer = _opener(request.full_url, trust, watch).open(request, timeout=timeout)
        if answer is None:
            raise NothingSent("no address of HTTP")  # noqa: TRY301 - told apart by type, just below
        with answer:
            text = _whole(answer).decode("utf-8", "replace")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            status = int(answer.status)
    except NothingSent:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is: what counts is whether anything had left by then
        reason = _reason(error)
        failure = Unclear if watch.connected else NothingSent
        # Without the cause: its text may hold the address.
        raise failure("no answer in time" if watch.expired else reason) from None
    finally:
        watch.end()
    if watch.expired:  # what was read may be the beginning of an answer
        raise Unclear("no answer in time")
    return Reply(status, headers, text)


def _whole(answer: http.client.HTTPResponse) -> bytes:
    """The body to its end. Reading a number of bytes says nothing if the connection ends before them."""
    content = answer.read(_MOST_BYTES)
    if answer.length or len(content) == _MOST_BYTES:
        raise http.client.IncompleteRead(content)
    return content


def _opener(url: str, trust: ssl.SSLContext, watch: _Watch) -> OpenerDirector:
    """Only what is wanted of urllib's handlers: none follows a redirect or makes an exception of a status."""
    opener = OpenerDirector()
    with suppress(ValueError):
        if urlsplit(url).hostname not in _HERE:
            opener.add_handler(ProxyHandler())
    opener.add_handler(_Plain(watch))
    opener.add_handler(_Encrypted(watch, trust))
    return opener


def _reason(error: BaseException) -> str:
    """The system's words for what happened, or its kind; never the request's address or headers."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, http.client.HTTPException):
        return cause.strerror
    return type(cause if isinstance(cause, BaseException) else error).__name__


class _Watch:
    """Knows whether the connection stands, and shuts it down at the deadline."""

    def __init__(self, timeout: float) -> None:
        self.connected = False
        self.expired = False
        self._deadline = time.monotonic() + timeout
        self._timer: threading.Timer | None = None

    def begin(self, connection: socket.socket) -> None:
        """The connection stands; from here on something may leave."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._timer = threading.Timer(left, self._expire, (connection,))
        self._timer.daemon = True
        self._timer.start()
        self.connected = True

    def end(self) -> None:
        """Whatever waited has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, connection: socket.socket) -> None:
        self.expired = True
        with suppress(OSError, ValueError):
            connection.shutdown(socket.SHUT_RDWR)


class _PlainConnection(http.client.HTTPConnection):
    def __init__(self, *args: Any, watch: _Watch, **options: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **options)
        self._watch = watch

    def connect(self) -> None:
        super().connect()
        self._watch.begin(self.sock)


class _EncryptedConnection(http.client.HTTPSConnection):
    def __init__(self, *args: Any, watch: _Watch, **options: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **options)
        self._watch = watch

    def connect(self) -> None:
        super().connect()
        self._watch.begin(self.sock)


class _Plain(HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_PlainConnection, watch=self._watch), req)


class _Encrypted(HTTPSHandler):
    def __init__(self, watch: _Watch, trust: ssl.SSLContext) -> None:
        super().__init__(context=trust)
        self._watch = watch
        self._trust = trust

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_EncryptedConnection, watch=self._watch, context=self._trust), req)
