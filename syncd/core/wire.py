"""What passes between `fetch` and `providers`: one request, and the one answer or the lack of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncd.core.secret import Secret

FailureReason = Literal[
    "dns",  # the name does not resolve
    "refused",  # nobody listens, or the network is down
    "tls",  # the certificate is not to be trusted
    "timeout",  # the deadline of the whole request passed
    "reset",  # the connection broke before the answer was complete
    "too_large",  # the body, packed or unpacked, is over the size cap
    "encoding",  # the body is not packed as its header says, or in a way nobody asked for
    "protocol",  # what came is not HTTP
]


@dataclass(frozen=True, slots=True)
class Request:
    """One GET: an absolute URL and headers, of which some values are secret."""

    url: str
    headers: Mapping[str, str | Secret]


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer: lower-case header names, the inflated body, times in UTC, the duration in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    started: datetime
    ended: datetime
    duration: float


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There is no complete answer. `message` is for people and holds no secret."""

    reason: FailureReason
    message: str
    started: datetime
    ended: datetime
    duration: float
