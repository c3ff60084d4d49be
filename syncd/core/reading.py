"""What one answer means. Every way an answer can be read has a name here; `core.judge` decides what follows.

    Listing       a good catalogue that may differ from the last one
    Same          byte for byte the listing read last time for this key
    Refused       the vendor answered, and the answer is no (`why` says which no)
    Malformed     the answer cannot be a catalogue; every place that shows it is named
    Unreachable   there was no complete answer at all

Only data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from syncd.core.canon import Json, Note
from syncd.core.catalog import Catalog
from syncd.core.text import clean
from syncd.core.wire import FailureReason

Outcome: TypeAlias = Literal["changed", "unchanged", "refused", "rate_limited", "malformed", "unreachable", "stale"]

Why: TypeAlias = Literal[
    "rejected",  # the key is unknown, revoked, or was not understood
    "tier_locked",  # the plan has no API access
    "forbidden",  # refused for a reason syncd does not know
    "rate_limited",  # too many calls
    "server_error",  # the vendor's fault
    "moved",  # a redirect, which is never followed: the key must not travel
    "client_error",  # any other refusal
]

# Who has to wait when the vendor asks to: limits count per account, faults concern everybody at that address.
Scope: TypeAlias = Literal["account", "base_url"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the answer says beside its catalogue. `balance` is in credits, None where it is not a number."""

    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    balance: Json = None
    rate_limit_remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """When to ask again at the earliest, and who must wait."""

    at: datetime
    scope: Scope


@dataclass(frozen=True, slots=True)
class Listing:
    """A good catalogue. `fingerprint` is the hash of its bytes, by which the next answer may prove to be the same."""

    catalog: Catalog
    fingerprint: bytes
    facts: Facts


@dataclass(frozen=True, slots=True)
class Same:
    """The same bytes as last time, whose state had this digest. `complete` is as of its catalogue."""

    digest: str
    facts: Facts
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal. `message` and `next` are the vendor's words: untrusted text, shown escaped, never decided on."""

    why: Why
    facts: Facts
    message: str = ""
    next: str = ""
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a catalogue. `body` is the beginning of what came, kept for diagnosis only."""

    places: tuple[Note, ...]
    facts: Facts
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No complete answer."""

    reason: FailureReason
    message: str


Good: TypeAlias = Listing | Same
Failed: TypeAlias = Refused | Malformed | Unreachable
Reading: TypeAlias = Good | Failed

ACCESS: Final[frozenset[Why]] = frozenset({"rejected", "tier_locked", "forbidden"})


def outcome(reading: Failed) -> Outcome:
    """The name under which a failed poll is stored."""
    match reading:
        case Malformed():
            return "malformed"
        case Unreachable():
            return "unreachable"
        case Refused(why="rate_limited"):
            return "rate_limited"
        case Refused(why="server_error" | "moved"):
            return "unreachable"
        case Refused():
            return "refused"


def facts_of(reading: Reading) -> Facts:
    """What is stored with the poll, whatever became of it."""
    return Facts(code=reading.reason) if isinstance(reading, Unreachable) else reading.facts


_WHY: Final[Mapping[Why, str]] = {
    "rejected": "the key is rejected",
    "tier_locked": "the plan has no API access",
    "forbidden": "access is refused",
    "rate_limited": "too many calls",
    "server_error": "a fault at the vendor",
    "moved": "the endpoint moved",
    "client_error": "the request is refused",
}


def explain(reading: Failed) -> str:
    """One sentence for a log line or a table: what happened, without the vendor's own words."""
    match reading:
        case Unreachable(message=message):
            return clean(message, 300)
        case Malformed(places=places):
            return clean("; ".join(f"{note.place or 'the body'}: {note.what}" for note in places[:3]), 300)
        case Refused(why="moved", message=message, facts=facts) if message:
            return clean(f"{message} ({facts.status})", 300)
        case Refused(why=why, facts=facts):
            said = " ".join(str(part) for part in (facts.status, facts.code) if part is not None)
            return clean(f"{_WHY[why]} ({said})", 300)
