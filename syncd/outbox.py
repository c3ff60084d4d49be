"""Deliver what is due. Calls in the right order and decides nothing.

    step: for each destination that is not silent
      | out of order?            probe(); still out of order: ask again later
      | a doubtful delivery?     look(), outside any transaction ── settle_look ──> sent | look again | to be sent again
      | with store.outbox():     a delivery to be sent again is claimed
      |                          else message = compose(due), written as a delivery in state `sending`; committed
      | outcome = send(parcel)   outside any transaction
      | with store.outbox():     settle(outcome)     pure; sent | retry at t | unknown | dead

Between the two transactions the delivery is `sending`. If the process dies there, the next start finds it so and knows
that it may have arrived.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeGuard

from syncd.core.compose import ChangeDue, ConditionDue, Due, compose
from syncd.core.delivery import (
    LOOKS,
    MAY_REPEAT,
    PROBE_EVERY,
    Ambiguous,
    Attempted,
    CannotEverLook,
    CannotLook,
    DeliveryState,
    Impossible,
    Looked,
    Settlement,
    Unusable,
    settle,
    settle_look,
)
from syncd.core.routing import KeyFacts, Route, sees
from syncd.sinks import Parcel, Sink
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
        sink = self.sinks.get(destination.scheme, _NOBODY)
        if destination.broken and not self._works(destination, sink):
            return None
        started = self.clock()
        with self.store.outbox() as tx:
            current = tx.unsettled(destination)
            doubtful = current if current is not None and current.state == "unknown" else None
            claimed = self._claim(tx, destination, current, started) if doubtful is None else None
        if doubtful is not None:
            return self._look(doubtful, sink)
        return None if claimed is None else self._send(claimed, sink, started)

    def _works(self, destination: Destination, sink: Sink) -> bool:
        """Whether a destination that was out of order is usable again; asking posts nothing."""
        found = sink.probe(destination.target)
        with self.store.outbox() as tx:
            tx.probed(destination, None if found is None else found.reason, self.clock() + PROBE_EVERY)
        return found is None

    def _send(self, claimed: _Claimed, sink: Sink, started: datetime) -> Sent:
        delivery = claimed.delivery
        attempted = _attempt(sink, _parcel(delivery, started))
        ended = self.clock()
        settlement = settle(attempted, delivery.attempts, delivery.rung, ended, self.chance)
        with self.store.outbox() as tx:
            tx.settle(delivery, settlement, started, ended)
        return _sent(delivery, settlement, claimed.changes)

    def _look(self, delivery: Delivery, sink: Sink) -> Sent | None:
        looked = _look(sink, _parcel(delivery, delivery.started))
        ended = self.clock()
        settlement = settle_look(looked, delivery.looks, delivery.rung, ended, delivery.error)
        with self.store.outbox() as tx:
            tx.settle_look(delivery, settlement, ended)
        # What is not there is sent again at once.
        return self._deliver(delivery.destination) if settlement.state == "retry" else _sent(delivery, settlement, 0)

    def _claim(
        self, tx: OutboxTransaction, destination: Destination, current: Delivery | None, now: datetime
    ) -> _Claimed | None:
        """The delivery to attempt: one that is on its way already, else a new one of what is due."""
        if current is not None:
            again = replace(current, state="sending", attempts=current.attempts + 1, started=now)
            return _Claimed(again, 0) if tx.again(current, now) else None
        due, parent = _chosen(tx, destination, tx.due(destination, now, self._visible))
        if not due:
            return None
        identity = self.new_id()
        delivery = Delivery(identity, destination, compose(due, identity), "sending", 1, now, parent=parent)
        changes = sum(isinstance(one, ChangeDue) for one in due)
        tx.open(delivery, (one.announcement for one in due), changes, now)
        if parent is not None:
            delivery = replace(delivery, thread=tx.reference(parent))
        return _Claimed(delivery, changes)

    def _visible(self, destination: str, key: str) -> bool:
        """A destination may read of a key that some route to it would match by name and labels."""
        facts = self.keys.get(key)
        return facts is not None and any(route.to == destination and sees(route, facts) for route in self.routes)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A delivery that is ours to send, and how many changes a new one holds."""

    delivery: Delivery
    changes: int


class _Nobody:
    """The sink of a destination whose scheme no sink serves: its route was written by another version."""

    def send(self, parcel: Parcel) -> Attempted:
        return Impossible("no sink serves this destination")

    def look(self, parcel: Parcel) -> Looked:  # noqa: ARG002
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:  # noqa: ARG002
        return None


_NOBODY: Final = _Nobody()


def _chosen(tx: OutboxTransaction, destination: Destination, due: list[Due]) -> tuple[list[Due], str | None]:
    """What the next message says. The end of a condition answers the message that told its beginning, by itself."""
    openings = {one.announcement: tx.opening(one.condition, destination) for one in due if _is_end(one)}
    others = [one for one in due if openings.get(one.announcement) is None]
    if others or not due:
        return others, None
    return due[:1], openings[due[0].announcement]


def _is_end(one: Due) -> TypeGuard[ConditionDue]:
    return isinstance(one, ConditionDue) and one.edge == "closed"


def _parcel(delivery: Delivery, started: datetime) -> Parcel:
    repeats = delivery.may_have_arrived and delivery.looks < LOOKS
    return Parcel(
        id=delivery.id,
        target=delivery.destination.target,
        message=delivery.message,
        started=started,
        rung=delivery.rung,
        thread=delivery.thread,
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


def _sent(delivery: Delivery, settlement: Settlement, changes: int) -> Sent:
    return Sent(
        delivery.id, delivery.destination.spec, delivery.message.kind, settlement.state, changes, settlement.error
    )
