"""What becomes of an attempt to deliver, and how long to wait."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.delivery import (
    BEFORE_FIRST_LOOK,
    BETWEEN_LOOKS,
    LONGEST_WAIT,
    PROBE_EVERY,
    RUNGS,
    Ambiguous,
    Attempted,
    CannotEverLook,
    CannotLook,
    Delivered,
    Found,
    Impossible,
    Looked,
    NotFound,
    NotSent,
    Part,
    RateLimited,
    Refused,
    Rung,
    Settlement,
    Unusable,
    backoff,
    settle,
    settle_look,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - spreads retries, guards nothing


LATER = NOW + timedelta(minutes=7)
PROBE = NOW + PROBE_EVERY


@pytest.mark.parametrize(
    ("attempted", "settlement"),
    [
        (Delivered(), Settlement("sent")),
        (Delivered("1700000000.000100"), Settlement("sent", reference="1700000000.000100")),
        (RateLimited(LATER, "429"), Settlement("retry", LATER, error="429", frozen_until=LATER)),
        (
            Unusable("channel", "is_archived"),
            Settlement("retry", PROBE, error="is_archived", frozen_until=PROBE, unusable=True),
        ),
        (
            Unusable("token", "not_authed"),
            Settlement("retry", PROBE, error="not_authed", frozen_until=PROBE, unusable=True),
        ),
        (Impossible("no such sink"), Settlement("dead", error="no such sink")),
    ],
)
@pytest.mark.parametrize("attempts", [1, 50])
@pytest.mark.parametrize("rung", RUNGS)
def test_every_outcome_has_its_state(attempted: Attempted, settlement: Settlement, attempts: int, rung: Rung):
    assert settle(attempted, attempts, rung, NOW, chance(1)) == replace(settlement, rung=rung)


@pytest.mark.parametrize(
    ("part", "rung", "settlement"),
    [
        ("payload", "rich", Settlement("retry", NOW, error="no", rung="plain")),
        ("payload", "bare", Settlement("retry", NOW, error="no", rung="plain")),
        ("payload", "plain", Settlement("dead", error="no", rung="plain")),
        ("metadata", "rich", Settlement("retry", NOW, error="no", rung="bare")),
        ("metadata", "bare", Settlement("retry", NOW, error="no", rung="plain")),
        ("metadata", "plain", Settlement("dead", error="no", rung="plain")),
        *(
            (part, rung, Settlement("retry", NOW, error="no", rung=rung, apart=True))
            for part in ("thread", "edit")
            for rung in RUNGS
        ),
    ],
)
def test_what_is_refused_is_offered_in_the_next_form(part: Part, rung: Rung, settlement: Settlement):
    assert settle(Refused(part, "no"), 3, rung, NOW, chance(1)) == settlement


@pytest.mark.parametrize("attempted", [NotSent("refused"), Ambiguous("refused")])
@pytest.mark.parametrize("rung", RUNGS)
@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(1, 10_000), st.integers())
def test_what_may_not_have_arrived_is_tried_again_for_ever(
    attempted: NotSent | Ambiguous, rung: Rung, attempts: int, seed: int
):
    settled = settle(attempted, attempts, rung, NOW, chance(seed))
    assert (settled.state, settled.error, settled.rung) == (
        ("unknown" if isinstance(attempted, Ambiguous) else "retry"),
        "refused",
        rung,
    )
    assert settled.retry_at is not None
    assert NOW <= settled.retry_at <= NOW + LONGEST_WAIT


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(1, 10_000), st.integers())
def test_what_may_have_arrived_is_not_looked_for_at_once(attempts: int, seed: int):
    settled = settle(Ambiguous("silence"), attempts, "rich", NOW, chance(seed))
    assert settled.retry_at is not None
    assert settled.retry_at >= NOW + BEFORE_FIRST_LOOK


@pytest.mark.parametrize(
    ("looked", "looks", "settlement"),
    [
        (Found("1.000001"), 0, Settlement("sent", reference="1.000001")),
        (Found("1.000001"), 1, Settlement("sent", reference="1.000001")),
        (NotFound(), 0, Settlement("unknown", NOW + BETWEEN_LOOKS, error="silence", looks=1)),
        (NotFound(), 1, Settlement("retry", NOW, error="silence", looks=2)),
        (CannotLook("503"), 0, Settlement("unknown", NOW + BETWEEN_LOOKS, error="503", looks=0)),
        (CannotLook("503"), 1, Settlement("unknown", NOW + BETWEEN_LOOKS, error="503", looks=1)),
        (CannotEverLook(), 0, Settlement("retry", NOW, error="silence")),
    ],
)
@pytest.mark.parametrize("rung", RUNGS)
def test_only_two_looks_without_success_or_none_possible_send_again(
    looked: Looked, looks: int, settlement: Settlement, rung: Rung
):
    assert settle_look(looked, looks, rung, NOW, "silence") == replace(settlement, rung=rung)


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
