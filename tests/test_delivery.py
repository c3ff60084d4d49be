"""What becomes of an attempt to deliver, and how long to wait."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.delivery import (
    LONGEST_WAIT,
    Ambiguous,
    Attempted,
    Delivered,
    Impossible,
    NotSent,
    Settlement,
    backoff,
    settle,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - spreads retries, guards nothing


@pytest.mark.parametrize(
    ("attempted", "settlement"),
    [
        (Delivered(), Settlement("sent")),
        (Delivered("1700000000.000100"), Settlement("sent", reference="1700000000.000100")),
        (Impossible("no such sink"), Settlement("dead", error="no such sink")),
    ],
)
@pytest.mark.parametrize("attempts", [1, 50])
def test_every_outcome_has_its_state(attempted: Attempted, settlement: Settlement, attempts: int):
    assert settle(attempted, attempts, NOW, chance(1)) == settlement


@pytest.mark.parametrize(("attempted", "state"), [(NotSent("refused"), "retry"), (Ambiguous("refused"), "unknown")])
@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(1, 10_000), st.integers())
def test_what_may_not_have_arrived_is_tried_again_for_ever(attempted: Attempted, state: str, attempts: int, seed: int):
    settled = settle(attempted, attempts, NOW, chance(seed))
    assert (settled.state, settled.error) == (state, "refused")
    assert settled.retry_at is not None
    assert NOW <= settled.retry_at <= NOW + LONGEST_WAIT


class Most(random.Random):
    """Always the most."""

    def random(self) -> float:
        return 1.0


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 2), (2, 4), (8, 256), (9, 300), (1_000_000, 300)])
def test_the_wait_doubles_up_to_five_minutes(attempts: int, seconds: float):
    assert backoff(attempts, Most()) == timedelta(seconds=seconds)


def test_waits_are_spread():
    spread = chance(7)
    waits = [backoff(9, spread).total_seconds() for _ in range(400)]
    assert min(waits) < 30
    assert max(waits) > 270
