"""What becomes of an attempt to deliver. Only processes data.

    sending ──> sent        the sink took it
       │  └───> retry       nothing arrived; again at a time
       ├──────> unknown     it may have arrived (also: the process died while sending)
       └──────> dead        the sink will never take it

A sink that can be read back settles `unknown` by looking. One that cannot gets the message once more, marked as perhaps
a repetition: losing an alert is worse than saying so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias, assert_never

DeliveryState: TypeAlias = Literal["sending", "retry", "unknown", "sent", "dead"]

# Backoff with full jitter: spread, doubling, and never longer than five minutes.
LONGEST_WAIT: Final = timedelta(minutes=5)

MAY_REPEAT: Final = "may repeat an earlier alert"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The sink has it. `reference` is the sink's own name for the message, if it gives one."""

    reference: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing arrived, so another try cannot repeat it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """It may have arrived."""

    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """The sink will never take this message."""

    reason: str


Attempted: TypeAlias = Delivered | NotSent | Ambiguous | Impossible


@dataclass(frozen=True, slots=True)
class Settlement:
    """The next state of a delivery."""

    state: DeliveryState
    retry_at: datetime | None = None
    reference: str | None = None
    error: str | None = None


def settle(attempted: Attempted, attempts: int, now: datetime, chance: random.Random) -> Settlement:
    """Decide after the `attempts`-th attempt."""
    match attempted:
        case Delivered(reference):
            return Settlement("sent", reference=reference)
        case NotSent(reason):
            return Settlement("retry", now + backoff(attempts, chance), error=reason)
        case Ambiguous(reason):
            return Settlement("unknown", now + backoff(attempts, chance), error=reason)
        case Impossible(reason):
            return Settlement("dead", error=reason)
    assert_never(attempted)


def backoff(attempts: int, chance: random.Random) -> timedelta:
    """How long to wait after so many attempts: a random part of min(5 min, 2^n s)."""
    longest = min(LONGEST_WAIT.total_seconds(), 2.0 ** min(attempts, 20))
    return timedelta(seconds=chance.uniform(0, longest))
