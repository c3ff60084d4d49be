"""What becomes of an attempt to deliver, how long to wait, and whose turn it is."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.delivery import (
    BETWEEN_EDITS,
    BETWEEN_LOOKS,
    BETWEEN_REPEATS,
    LONGEST_WAIT,
    PROBE_EVERY,
    RUNGS,
    STUBBORN,
    Ambiguous,
    Attempted,
    CannotEverLook,
    CannotLook,
    Delivered,
    DeliveryState,
    Found,
    Impossible,
    Looked,
    NotFound,
    NotSent,
    Part,
    Queue,
    RateLimited,
    Refused,
    Rung,
    Settlement,
    Unusable,
    backoff,
    overdue,
    settle,
    settle_look,
    turn,
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
        (
            Unusable("channel", "not_in_channel", "invite the app"),
            Settlement(
                "retry", PROBE, error="not_in_channel", frozen_until=PROBE, unusable=True, hint="invite the app"
            ),
        ),
        (Impossible("no such sink"), Settlement("dead", error="no such sink")),
    ],
)
@pytest.mark.parametrize("look_after", [None, NOW + timedelta(days=1)])
@pytest.mark.parametrize("attempts", [1, 50])
@pytest.mark.parametrize("rung", RUNGS)
def test_every_outcome_has_its_state(
    attempted: Attempted, settlement: Settlement, attempts: int, rung: Rung, look_after: datetime | None
):
    """Only what may have arrived is looked for, so that nothing else waits until it could be found."""
    settled = settle(attempted, attempts, rung, NOW, chance(1), look_after=look_after)
    assert settled == replace(settlement, rung=rung)


@pytest.mark.parametrize(
    ("part", "rung", "settlement"),
    [
        ("payload", "rich", Settlement("retry", NOW, error="no", rung="plain")),
        ("payload", "bare", Settlement("retry", NOW, error="no", rung="plain")),
        ("payload", "plain", Settlement("dead", error="no", rung="plain")),
        ("metadata", "rich", Settlement("retry", NOW, error="no", rung="bare")),
        ("metadata", "bare", Settlement("retry", NOW, error="no", rung="plain")),
        ("metadata", "plain", Settlement("dead", error="no", rung="plain")),
        *(("thread", rung, Settlement("retry", NOW, error="no", rung=rung, apart=True)) for rung in RUNGS),
        # What an edit would have said has been told in the thread.
        *(("edit", rung, Settlement("dead", error="no", rung=rung)) for rung in RUNGS),
    ],
)
def test_what_is_refused_is_offered_in_the_next_form(part: Part, rung: Rung, settlement: Settlement):
    assert settle(Refused(part, "no"), 3, rung, NOW, chance(1)) == settlement


@pytest.mark.parametrize("rung", RUNGS)
def test_an_answer_that_stays_unclear_is_perhaps_about_the_form(rung: Rung):
    """Silence is not: a network that is down says nothing of what was sent."""
    unclear, silent = Ambiguous("internal_error", answered=True), Ambiguous("no answer in time")
    assert settle(unclear, STUBBORN - 1, rung, NOW, chance(1)).rung == rung
    assert settle(unclear, STUBBORN, rung, NOW, chance(1)).rung == "plain"
    assert settle(silent, 1000, rung, NOW, chance(1)).rung == rung


@pytest.mark.parametrize("attempted", [NotSent("no"), RateLimited(LATER, "429"), Refused("thread", "no")])
def test_what_was_looked_for_in_vain_stays_so(attempted: NotSent | RateLimited | Refused):
    """Else its next attempt would bear a remark that it may be a repetition, which it is not."""
    assert settle(attempted, 3, "rich", NOW, chance(1), looks=2).looks == 2
    assert settle(Ambiguous("reset"), 3, "rich", NOW, chance(1), looks=2).looks == 0


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
@given(st.integers(1, 10_000), st.integers(), st.timedeltas(timedelta(hours=-1), timedelta(hours=1)))
def test_what_may_have_arrived_is_not_looked_for_before_it_can_be_found(attempts: int, seed: int, delay: timedelta):
    settled = settle(Ambiguous("silence"), attempts, "rich", NOW, chance(seed), look_after=NOW + delay)
    assert settled.retry_at is not None
    assert max(NOW, NOW + delay) <= settled.retry_at <= max(NOW + LONGEST_WAIT, NOW + delay)


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(1, 10_000), st.integers(), st.timedeltas(timedelta(hours=-1), timedelta(hours=1)))
def test_what_has_not_arrived_does_not_wait_until_it_could_be_found(attempts: int, seed: int, delay: timedelta):
    settled = settle(NotSent("refused"), attempts, "rich", NOW, chance(seed), look_after=NOW + delay)
    assert settled == settle(NotSent("refused"), attempts, "rich", NOW, chance(seed))


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


# --- whose turn it is ------------------------------------------------------------------------------------------------

DISTANCE = timedelta(minutes=2)
EARLIER, SOON = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("queue", "at"),
    [
        (Queue(), None),
        (Queue(frozen_until=LATER, last_sent_at=NOW), None),
        # What is queued, each kind alone.
        (Queue(urgent_at=EARLIER), EARLIER),
        (Queue(other_at=EARLIER), EARLIER),
        (Queue(edit_at=EARLIER), EARLIER),
        # Only what is not urgent keeps its distance from the message before.
        (Queue(urgent_at=EARLIER, last_sent_at=NOW), EARLIER),
        (Queue(other_at=EARLIER, last_sent_at=NOW), NOW + DISTANCE),
        (Queue(edit_at=EARLIER, last_sent_at=NOW), NOW + BETWEEN_EDITS),
        (Queue(other_at=LATER, last_sent_at=NOW), LATER),
        (Queue(other_at=EARLIER, last_sent_at=NOW - DISTANCE), NOW),
        # The first of them.
        (Queue(urgent_at=LATER, other_at=SOON, edit_at=NOW), NOW),
        (Queue(urgent_at=SOON, other_at=EARLIER, last_sent_at=NOW), SOON),
        # A destination that wants nothing gets nothing.
        (Queue(frozen_until=LATER, urgent_at=EARLIER), LATER),
        (Queue(frozen_until=LATER, edit_at=EARLIER), LATER),
        (Queue(frozen_until=EARLIER, urgent_at=SOON), SOON),
        (Queue(frozen_until=SOON, other_at=EARLIER, last_sent_at=NOW), NOW + DISTANCE),
        # One delivery at a time, and what is on its way does not keep a distance from itself.
        (Queue(on_its_way="sending", retry_at=EARLIER, urgent_at=EARLIER), None),
        (Queue(on_its_way="retry", retry_at=LATER, urgent_at=EARLIER, edit_at=EARLIER), LATER),
        (Queue(on_its_way="unknown", retry_at=SOON, last_sent_at=NOW), SOON),
        (Queue(on_its_way="retry", retry_at=EARLIER, frozen_until=LATER), LATER),
        (Queue(on_its_way="unknown", retry_at=LATER, frozen_until=SOON), LATER),
        (Queue(on_its_way="sending", frozen_until=LATER), None),
    ],
    ids=str,
)
def test_whose_turn_it_is(queue: Queue, at: datetime | None):
    assert turn(queue, DISTANCE) == at


times = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
ON_ITS_WAY: tuple[DeliveryState | None, ...] = (None, "sending", "retry", "unknown")
queues = st.builds(Queue, times, times, st.sampled_from(ON_ITS_WAY), times, times, times, times)
distances = st.timedeltas(timedelta(0), timedelta(days=1))
ever = settings(derandomize=True, deadline=None, database=None, max_examples=300)


@ever
@given(queues, distances)
def test_nothing_is_done_while_a_destination_wants_nothing(queue: Queue, distance: timedelta):
    at = turn(queue, distance)
    assert at is None or queue.frozen_until is None or at >= queue.frozen_until


@ever
@given(queues, distances)
def test_what_is_on_its_way_comes_first_and_not_before_its_time(queue: Queue, distance: timedelta):
    """Whatever else waits: of two messages on their way at once nobody could say which arrived."""
    if queue.on_its_way is None:
        return
    at = turn(queue, distance)
    assert at == turn(replace(queue, urgent_at=None, other_at=None, edit_at=None, last_sent_at=None), distance)
    assert at is None or (queue.retry_at is not None and at >= queue.retry_at)


@ever
@given(queues, distances)
def test_while_a_call_is_under_way_it_is_nobody_s_turn(queue: Queue, distance: timedelta):
    assert turn(replace(queue, on_its_way="sending"), distance) is None


@ever
@given(queues, distances)
def test_what_is_urgent_is_not_delayed_by_any_distance(queue: Queue, distance: timedelta):
    at = turn(queue, distance)
    if queue.on_its_way is None and queue.urgent_at is not None:
        assert at is not None
        assert at <= max(queue.urgent_at, queue.frozen_until or queue.urgent_at)
    if queue.other_at is None and queue.edit_at is None:
        assert at == turn(queue, timedelta(0))


@ever
@given(queues, distances)
def test_what_is_not_urgent_keeps_its_distance(queue: Queue, distance: timedelta):
    alone = replace(queue, on_its_way=None, urgent_at=None, edit_at=None)
    at = turn(alone, distance)
    assert (at is None) == (alone.other_at is None)
    if at is not None and alone.other_at is not None:
        assert at >= alone.other_at
        assert alone.last_sent_at is None or at >= alone.last_sent_at + distance


@ever
@given(queues, distances)
def test_a_turn_is_never_before_all_that_waits(queue: Queue, distance: timedelta):
    """Otherwise the outbox would wake up for nothing, over and over."""
    at = turn(queue, distance)
    waits = [queue.retry_at] if queue.on_its_way else [queue.urgent_at, queue.other_at, queue.edit_at]
    due = [one for one in waits if one is not None]
    assert (at is None) == (not due or queue.on_its_way == "sending")
    assert at is None or at >= min(due)


@pytest.mark.parametrize(
    ("queue", "late"),
    [
        (Queue(), False),
        (Queue(urgent_at=EARLIER), True),
        (Queue(urgent_at=NOW), True),
        (Queue(urgent_at=SOON), False),
        (Queue(other_at=EARLIER), True),
        (Queue(urgent_at=SOON, other_at=EARLIER), True),
        # It waits for its digest, or is a message that everybody has read already.
        (Queue(other_at=SOON), False),
        (Queue(edit_at=EARLIER), False),
        # That a destination is frozen, or keeps its distance, is no reason to be on time.
        (Queue(urgent_at=EARLIER, frozen_until=LATER), True),
        (Queue(other_at=EARLIER, last_sent_at=NOW), True),
        *((Queue(on_its_way=state, retry_at=LATER), True) for state in ON_ITS_WAY if state is not None),
    ],
    ids=str,
)
def test_what_should_have_been_told_by_now(queue: Queue, late: bool):  # noqa: FBT001 - a row of the table
    assert overdue(queue, NOW) is late


def test_what_cannot_be_looked_for_is_not_repeated_every_minute():
    """At once where it is the first time, then ever so often: there may be an outage in which messages do arrive."""
    assert settle_look(CannotEverLook(), 0, "rich", NOW, "reset", attempts=1).retry_at == NOW
    assert settle_look(CannotEverLook(), 0, "rich", NOW, "reset", attempts=2).retry_at == NOW + BETWEEN_REPEATS


@pytest.mark.parametrize(
    ("why", "until"),
    [
        (None, NOW + BETWEEN_LOOKS),
        (RateLimited(LATER, "ratelimited"), LATER),
        (Unusable("channel", "is_archived", "unarchive it"), NOW + PROBE_EVERY),
    ],
)
def test_a_look_that_fails_says_something_of_the_destination(why: RateLimited | Unusable | None, until: datetime):
    """A doubtful message must not be asked for again and again where nothing can be read."""
    settled = settle_look(CannotLook("no", why), 1, "rich", NOW, "reset")
    assert (settled.state, settled.retry_at, settled.looks) == ("unknown", until, 1)
    assert settled.unusable == isinstance(why, Unusable)
    assert settled.frozen_until == (None if why is None else until)
