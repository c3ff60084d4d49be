"""One request under way: its deadline, what its sockets saw, and what its failure means."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass

import httpcore
import httpx

from syncd.core.wire import FailureReason


class Failure(Exception):
    """Why there is no answer, on its way to `get`, which turns it into a `NoAnswer`."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason
        self.message = message


@dataclass(slots=True, eq=False)
class Exchange:
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

    def late(self) -> Failure:
        """The deadline passed."""
        message = f"No complete answer from {self.host} within {self.timeout:g} s: still {self.stage}."
        return Failure("timeout", message)

    def cut_off(self) -> str:
        """What to say when the connection broke."""
        if self.answered:
            return f"The connection to {self.host} broke before the answer was complete."
        return f"{self.host} closed the connection without an answer."


class Here(threading.local):
    """The exchange this thread is busy with: httpcore hands a socket its timeouts but not its request."""

    exchange: Exchange | None = None


here = Here()


def current() -> Exchange:
    """The exchange of this thread; for a transport used by itself, one of an hour."""
    return here.exchange or Exchange("the server", time.monotonic() + 3_600, 3_600)


# --- what an exception means ---------------------------------------------------------------------------------------

NETWORK_PROBLEMS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,  # ssl.SSLError is one
)


NOT_SENT = "The request was not sent: its URL or one of its headers cannot be used."

# The first line that fits counts. What is not here broke the connection.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], FailureReason, str], ...] = (
    ((httpx.LocalProtocolError, httpcore.LocalProtocolError), "protocol", NOT_SENT),
    ((httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol, httpx.InvalidURL), "protocol", NOT_SENT),
    ((httpx.ProtocolError, httpcore.ProtocolError), "protocol", "What {host} sent is not HTTP."),
    ((httpx.DecodingError,), "encoding", "The body from {host} is not packed as its header says."),
    ((socket.gaierror,), "dns", "The name {host} does not resolve."),
    ((ssl.SSLError,), "tls", "No trusted TLS connection to {host}."),
    ((httpx.ConnectError, httpcore.ConnectError, ConnectionRefusedError), "refused", "{host} cannot be reached."),
)


def failure_of(problem: Exception, exchange: Exchange) -> Failure:
    """What an exception of the libraries means. Its own text is never used: it may quote a header."""
    if isinstance(problem, httpx.TimeoutException | httpcore.TimeoutException | TimeoutError):
        return exchange.late()
    if exchange.hung_up:  # then "not HTTP" is only how a parser puts that the rest is missing
        return Failure("reset", exchange.cut_off())
    for kinds, reason, message in _MEANINGS:
        if isinstance(problem, kinds):
            return Failure(reason, message.format(host=exchange.host))
    return Failure("reset", exchange.cut_off())


def reason_of(problem: BaseException | None) -> str:
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
