"""Deliver what is due. Calls in the right order and decides nothing.

    step(destination)
      | with store.outbox():   what is on its way there?
      |     nothing     message = compose(due)     pure; written as a delivery in state `sending`, and committed
      |     a delivery  claimed for another attempt; if it may have arrived, the reader is told so
      | outcome = sink.send(message)               outside any transaction
      | with store.outbox():   settle(outcome)     pure; sent | retry at t | unknown | dead

Between the two transactions the delivery is `sending`. If the process dies there, the next start finds it so and knows
that it may have arrived.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncd.core.compose import ChangeDue, compose
from syncd.core.delivery import MAY_REPEAT, Ambiguous, Attempted, DeliveryState, Impossible, settle
from syncd.core.routing import KeyFacts, Route, sees
from syncd.sinks import Sink
from syncd.store import Store
from syncd.store.outbox import Delivery, Destination, OutboxTransaction


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one attempt, for a log line."""

    delivery: str
    destination: str
    kind: str
    state: DeliveryState
    changes: int
    error: str | None = None


@dataclass
class Outbox:
    """Delivers from the database to sinks. `sinks` maps a destination's scheme to who sends there."""

    store: Store
    sinks: Mapping[str, Sink]
    routes: tuple[Route, ...]
    keys: Mapping[str, KeyFacts]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    chance: random.Random = field(default_factory=random.Random)

    def recover(self) -> int:
        """At start, before the first step: mark what a dead process was sending. Returns how many deliveries."""
        with self.store.outbox() as tx:
            return tx.recover(self.clock())

    def hurry(self) -> None:
        """Make every delivery that waits for another try due now; what a destination asked for still counts."""
        with self.store.outbox() as tx:
            tx.hurry(self.clock())

    def step(self) -> list[Sent]:
        """One attempt at every destination where something can be done now."""
        with self.store.outbox() as tx:
            ready = tx.ready(self.clock())
        return [sent for destination in ready if (sent := self._deliver(destination)) is not None]

    def next_due(self) -> datetime | None:
        """When to step next; None if nothing waits."""
        with self.store.outbox() as tx:
            return tx.next_due()

    def _deliver(self, destination: Destination) -> Sent | None:
        started = self.clock()
        with self.store.outbox() as tx:
            claimed = self._claim(tx, destination, started)
        if claimed is None:
            return None
        delivery, note, changes = claimed
        attempted = self._attempt(delivery, note)
        ended = self.clock()
        settlement = settle(attempted, delivery.attempts, ended, self.chance)
        with self.store.outbox() as tx:
            tx.settle(delivery, settlement, started, ended)
        return Sent(delivery.id, destination.spec, delivery.message.kind, settlement.state, changes, settlement.error)

    def _attempt(self, delivery: Delivery, note: str) -> Attempted:
        spec = delivery.destination.spec
        sink = self.sinks.get(spec.partition(":")[0])
        if sink is None:
            return Impossible(f"no sink for {spec}")
        try:
            return sink.send(delivery.message, delivery_id=delivery.id, note=note)
        except Exception as error:  # noqa: BLE001  a sink's bug must not keep its destination, or others, from hearing
            return Ambiguous(f"{type(error).__name__} in the sink: {error}")

    def _claim(
        self, tx: OutboxTransaction, destination: Destination, now: datetime
    ) -> tuple[Delivery, str, int] | None:
        """The delivery to attempt, what to tell the reader about it, and how many changes a new one holds."""
        current = tx.unsettled(destination)
        if current is not None:
            note = MAY_REPEAT if current.may_have_arrived else ""
            again = Delivery(current.id, destination, current.message, "sending", current.attempts + 1)
            return (again, note, 0) if tx.again(current, now) else None
        due = tx.due(destination, now, self._visible)
        if not due:
            return None
        identity = self.new_id()
        delivery = Delivery(identity, destination, compose(due, identity), "sending", 1)
        changes = sum(isinstance(one, ChangeDue) for one in due)
        tx.open(delivery, (one.announcement for one in due), changes, now)
        return delivery, "", changes

    def _visible(self, destination: str, key: str) -> bool:
        """A destination may read of a key that some route to it would match by name and labels."""
        facts = self.keys.get(key)
        return facts is not None and any(route.to == destination and sees(route, facts) for route in self.routes)
