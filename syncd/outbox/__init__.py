"""Deliver what is due. Calls in the right order and decides nothing.

    step: what syncd has to say of itself is written down: a silence that ended, a summary             notices
    that a condition lasts is queued again for those who heard of its beginning
    for each destination whose turn it is
      | out of order?            probe(); still out of order: ask again later
      | a doubtful delivery?     look(), outside any transaction ── settle_look ──> sent | look again | to be sent again
      | with store.outbox():     a delivery to be sent again is claimed, else message = compose(due)          claims
      |                          is written as a delivery in state `sending`; committed
      | outcome = send(parcel)   outside any transaction
      | with store.outbox():     settle(outcome)     pure; sent | retry at t | unknown | dead
      |                          sent, and more is to be said in its thread: the next delivery, in the same transaction

Between the two transactions the delivery is `sending`. If the process dies there, the next start finds it so and knows
that it may have arrived.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from syncd.core.audience import Configured
from syncd.core.delivery import (
    LOOKS,
    MAY_REPEAT,
    PROBE_EVERY,
    Ambiguous,
    Attempted,
    CannotLook,
    DeliveryState,
    Looked,
    Settlement,
    Unusable,
    overdue,
    settle,
    settle_look,
    turn,
)
from syncd.core.routing import KeyFacts, Route
from syncd.errors import StoreError
from syncd.outbox import notices
from syncd.outbox.claims import Claims
from syncd.sinks import NotReached, Parcel, Sink
from syncd.store import Store
from syncd.store.destinations import Destination
from syncd.store.outbox import Delivery, OutboxTransaction


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one attempt, for a log line."""

    delivery: str
    destination: str
    kind: str
    state: DeliveryState
    changes: int
    error: str | None = None
    hint: str = ""


def _raised(destination: str, error: Exception) -> None:  # noqa: ARG001
    raise error


@dataclass
class Outbox:
    """Delivers from the database to sinks. `sinks` maps a destination's scheme to who sends there.

    `hasty` is for who does not stay: nothing waits for company or keeps a distance.
    """

    store: Store
    sinks: Mapping[str, Sink]
    routes: tuple[Route, ...]
    keys: Mapping[str, KeyFacts]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    record_only: tuple[str, ...] = ()
    # How often who heard of a condition hears that it lasts; None for never.
    remind: timedelta | None = timedelta(hours=24)
    hasty: bool = False
    chance: random.Random = field(default_factory=random.Random)
    # Told of a bug: a destination, and what was raised. Whoever only tests wants to see it.
    on_fault: Callable[[str, Exception], None] = _raised

    def recover(self) -> int:
        """At start, before the first step: mark what a dead process was sending. Returns how many deliveries.

        What is out of order is asked anew: who starts syncd has often just mended it.
        """
        now = self.clock()
        with self.store.outbox() as tx:
            tx.clock_was_ahead(now)
            tx.revive(now)
            return tx.recover(self._can_be_found, now)

    def hurry(self) -> None:
        """Make every delivery that waits for another try due now; what a destination asked for still counts."""
        with self.store.outbox() as tx:
            tx.hurry(self.clock())

    def step(self) -> list[Sent]:
        """One attempt at every destination where something can be done now.

        What syncd says of itself, and that conditions last, is written down first. `next_due` does not name the time
        for that: who stays looks every few seconds anyway, and who does not is not to wait.
        """
        with self.store.outbox() as tx:
            notices.say(tx, self.audience, self.clock())
            if self.remind is not None:
                tx.reminders.queue(self.remind, self.clock())
        return [sent for destination in self._ready() if (sent := self._try(destination)) is not None]

    def next_due(self) -> datetime | None:
        """When to step next; None if nothing waits."""
        return min(self._turns().values(), default=None)

    def overdue(self) -> bool:
        """Whether something should have been told by now and could not be."""
        with self.store.outbox() as tx:
            return any(overdue(queue, self.clock()) for _, queue in tx.waiting())

    def _ready(self) -> list[Destination]:
        now = self.clock()
        return [destination for destination, at in self._turns().items() if at <= now]

    def _turns(self) -> dict[Destination, datetime]:
        with self.store.outbox() as tx:
            waiting = tx.waiting()
        turns = ((destination, turn(queue, self._distance(destination))) for destination, queue in waiting)
        return {destination: at for destination, at in turns if at is not None}

    def _try(self, destination: Destination) -> Sent | None:
        """One destination's fault must not keep the others from hearing."""
        try:
            return self._deliver(destination)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001
            self.on_fault(destination.spec, error)
            return None

    def _deliver(self, destination: Destination) -> Sent | None:
        sink = self._sink(destination)
        if destination.broken and not self._works(destination, sink):
            return None
        return self._go_on(destination, sink)

    def _go_on(self, destination: Destination, sink: Sink) -> Sent | None:
        """Look for a doubtful message, else send what is on its way or due."""
        started = self.clock()
        with self.store.outbox() as tx:
            current = tx.unsettled(destination)
            doubtful = current if current is not None and current.state == "unknown" else None
            claims = Claims(tx, destination, self.audience, self._distance(destination), started, self.new_id)
            claimed = claims.claim(current) if doubtful is None else None
        if doubtful is not None:
            return self._look(doubtful, sink)
        return None if claimed is None else self._send(claimed, sink, started)

    def _works(self, destination: Destination, sink: Sink) -> bool:
        """Whether to send to a destination that was out of order; asking posts nothing.

        That it works is known, and told, only when something has arrived: a webhook cannot be asked, and in some
        channels only a post shows what is wrong.
        """
        waits = self._waits(destination)
        if waits is None and not self.audience.leads_to(destination.spec):
            with self.store.outbox() as tx:
                tx.leave(destination, self.clock())
            return False
        found = sink.probe(destination.target)
        now = self.clock()
        to_send = waits is not None and waits <= now
        why = None if found is None else {"what": found.reason, "hint": found.hint}
        with self.store.outbox() as tx:
            tx.probed(destination, why, now + PROBE_EVERY, now, self.audience.bystanders(destination.spec, now))
            if found is None and not to_send:
                # Nothing is sent that would show it.
                tx.works(destination, now)
        return found is None and to_send

    def _waits(self, destination: Destination) -> datetime | None:
        """When there would be something to send if it were in order."""
        with self.store.outbox() as tx:
            queue = tx.queue(destination)
        return turn(replace(queue, broken=False, frozen_until=None), self._distance(destination))

    # --- sending ---

    def _send(self, delivery: Delivery, sink: Sink, started: datetime) -> Sent:
        channel = self._channel(delivery.destination, sink)
        asked = self.clock()
        attempted = _attempt(sink, _parcel(delivery, channel, started)) if isinstance(channel, str) else channel
        ended = self.clock()
        look_after = asked + sink.settles
        settlement = settle(
            attempted, delivery.attempts, delivery.rung, ended, self.chance, look_after=look_after, looks=delivery.looks
        )
        bystanders = self.audience.bystanders(delivery.destination.spec, ended)
        with self.store.outbox() as tx:
            settled = tx.settle(delivery, settlement, started, ended, bystanders)
            self._follow(tx, delivery, settlement, ended, settled=settled)
        return _sent(delivery, settlement)

    def _channel(self, destination: Destination, sink: Sink) -> str | NotReached:
        """The sink's own name for the destination.

        It is written down before the first post, so that a doubtful one is looked for where it was sent.
        """
        if destination.channel is not None and not destination.broken:
            return destination.channel
        channel = sink.locate(destination.target)
        if isinstance(channel, str):
            with self.store.outbox() as tx:
                tx.locate(destination, channel)
        return channel

    def _look(self, delivery: Delivery, sink: Sink) -> Sent | None:
        looked = _look(sink, _parcel(delivery, delivery.destination.channel or "", delivery.started))
        ended = self.clock()
        settlement = settle_look(
            looked, delivery.looks, delivery.rung, ended, delivery.error, attempts=delivery.attempts
        )
        bystanders = self.audience.bystanders(delivery.destination.spec, ended)
        with self.store.outbox() as tx:
            settled = tx.settle_look(delivery, settlement, ended, bystanders)
            self._follow(tx, delivery, settlement, ended, settled=settled)
        # What is not there is sent again at once.
        return self._go_on(delivery.destination, sink) if settlement.state == "retry" else _sent(delivery, settlement)

    def _follow(
        self, tx: OutboxTransaction, delivery: Delivery, settlement: Settlement, now: datetime, *, settled: bool
    ) -> None:
        """What a message that has arrived is followed by in its thread, one after the other."""
        if not settled or settlement.state != "sent" or not delivery.message.replies:
            return
        identity = self.new_id()
        first, *rest = delivery.message.replies
        reply = msgspec.structs.replace(first, reference=identity, replies=tuple(rest))
        parent = delivery.parent or delivery.id
        tx.open(Delivery(identity, delivery.destination, reply, "retry", 0, now, parent=parent), (), now)

    # --- the parts ---

    @property
    def audience(self) -> Configured:
        """What the configuration says of who hears what."""
        return Configured(self.routes, self.keys, self.record_only)

    def _sink(self, destination: Destination) -> Sink:
        return self.sinks.get(destination.scheme, _NOBODY)

    def _distance(self, destination: Destination) -> timedelta:
        return timedelta(0) if self.hasty else self._sink(destination).distance

    def _can_be_found(self, spec: str, started: datetime) -> datetime:
        return started + self.sinks.get(spec.partition(":")[0], _NOBODY).settles


_NO_SINK: Final = Unusable("token", "no longer configured", "configure it again, or drop what waits: syncd alerts drop")


class _Nobody:
    """The sink of a destination that the configuration says nothing of any more: what waits there waits."""

    distance = timedelta(0)
    settles = timedelta(0)

    def locate(self, target: str) -> str | NotReached:  # noqa: ARG002
        return _NO_SINK

    def send(self, parcel: Parcel) -> Attempted:  # noqa: ARG002
        return _NO_SINK

    def look(self, parcel: Parcel) -> Looked:  # noqa: ARG002
        return CannotLook(_NO_SINK.reason, _NO_SINK)

    def probe(self, target: str) -> Unusable | None:  # noqa: ARG002
        return _NO_SINK


_NOBODY: Final = _Nobody()


def _parcel(delivery: Delivery, channel: str, started: datetime) -> Parcel:
    repeats = delivery.may_have_arrived and delivery.looks < LOOKS
    edits = delivery.op == "update"
    return Parcel(
        id=delivery.id,
        target=delivery.destination.target,
        channel=channel,
        message=delivery.message,
        started=started,
        rung=delivery.rung,
        thread=None if edits else delivery.reference,
        edits=delivery.reference if edits else None,
        note=MAY_REPEAT if repeats else "",
    )


def _attempt(sink: Sink, parcel: Parcel) -> Attempted:
    try:
        return sink.send(parcel)
    except Exception as error:  # noqa: BLE001  a sink's bug must not keep its destination, or others, from hearing
        return Ambiguous(f"{type(error).__name__} in the sink")


def _look(sink: Sink, parcel: Parcel) -> Looked:
    try:
        return sink.look(parcel)
    except Exception as error:  # noqa: BLE001
        return CannotLook(f"{type(error).__name__} in the sink")


def _sent(delivery: Delivery, settlement: Settlement) -> Sent:
    return Sent(
        delivery.id,
        delivery.destination.spec,
        delivery.message.kind,
        settlement.state,
        delivery.changes,
        settlement.error,
        settlement.hint,
    )
