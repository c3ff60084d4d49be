"""Deliver what is due. Calls in the right order and decides nothing.

    step: what syncd has to say of itself is written down: a silence that ended, a summary
    for each destination whose turn it is
      | out of order?            probe(); still out of order: ask again later
      | a doubtful delivery?     look(), outside any transaction ── settle_look ──> sent | look again | to be sent again
      | with store.outbox():     a delivery to be sent again is claimed
      |                          else message = compose(due), without what a silence mutes, written as a delivery in
      |                               state `sending`
      |                          else a message that is out of date, composed anew; committed
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
from functools import partial
from typing import Final

import msgspec

from syncd.core.compose import ChangeDue, ConditionDue, Due, compose, is_first
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
    overdue,
    settle,
    settle_look,
    turn,
)
from syncd.core.message import Message
from syncd.core.routing import Announcement, KeyFacts, Route, bystanders, sees
from syncd.core.silence import ENDED, ended, muted, outgrown
from syncd.core.summary import SUMMARY, Period, periods, summed_up
from syncd.sinks import NotReached, Parcel, Sink
from syncd.store import Store
from syncd.store.destinations import Destination
from syncd.store.due import Audience
from syncd.store.notices import Notice
from syncd.store.outbox import Arrived, Delivery, OutboxTransaction


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
    hasty: bool = False
    chance: random.Random = field(default_factory=random.Random)

    def recover(self) -> int:
        """At start, before the first step: mark what a dead process was sending. Returns how many deliveries.

        What is out of order is asked anew: who starts syncd has often just mended it.
        """
        with self.store.outbox() as tx:
            tx.revive(self.clock())
            return tx.recover(self._can_be_found, self.clock())

    def hurry(self) -> None:
        """Make every delivery that waits for another try due now; what a destination asked for still counts."""
        with self.store.outbox() as tx:
            tx.hurry(self.clock())

    def step(self) -> list[Sent]:
        """One attempt at every destination where something can be done now."""
        self._notice()
        return [sent for destination in self._ready() if (sent := self._deliver(destination)) is not None]

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
            claimed = self._claim(tx, destination, current, started) if doubtful is None else None
        if doubtful is not None:
            return self._look(doubtful, sink)
        return None if claimed is None else self._send(claimed, sink, started)

    def _works(self, destination: Destination, sink: Sink) -> bool:
        """Whether a destination that was out of order is usable again; asking posts nothing."""
        now = self.clock()
        if self._is_left(destination):
            with self.store.outbox() as tx:
                tx.leave(destination, now)
            return False
        found = sink.probe(destination.target)
        now = self.clock()
        why = None if found is None else {"what": found.reason, "hint": found.hint}
        with self.store.outbox() as tx:
            tx.probed(destination, why, now + PROBE_EVERY, now, self._bystanders(destination, now))
        return found is None

    def _is_left(self, destination: Destination) -> bool:
        """Whether no route leads there any more, and nothing waits."""
        if any(route.to == destination.spec for route in self.routes):
            return False
        with self.store.outbox() as tx:
            return turn(replace(tx.queue(destination), broken=False), timedelta(0)) is None

    # --- sending ---

    def _send(self, delivery: Delivery, sink: Sink, started: datetime) -> Sent:
        channel = self._channel(delivery.destination, sink)
        asked = self.clock()
        attempted = _attempt(sink, _parcel(delivery, channel, started)) if isinstance(channel, str) else channel
        ended = self.clock()
        look_after = asked + sink.settles
        settlement = settle(attempted, delivery.attempts, delivery.rung, ended, self.chance, look_after=look_after)
        with self.store.outbox() as tx:
            settled = tx.settle(delivery, settlement, started, ended, self._bystanders(delivery.destination, ended))
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
        settlement = settle_look(looked, delivery.looks, delivery.rung, ended, delivery.error)
        with self.store.outbox() as tx:
            settled = tx.settle_look(delivery, settlement, ended, self._bystanders(delivery.destination, ended))
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

    # --- what syncd says of itself ---

    def _notice(self) -> None:
        """Write down what there is to say: the end of a silence, a summary for which it is time.

        `next_due` does not name these: who stays looks every few seconds anyway, and who does not is not to wait.
        """
        now = self.clock()
        with self.store.outbox() as tx:
            for silence, destination in tx.silences.ended(now):
                visible = partial(self._visible, destination.spec)
                detail = ended(silence, tx.silences.muted(silence, destination, self._audience), visible)
                tx.say(Notice(ENDED, f"{silence.id}|{destination.spec}", destination.spec, detail), now)
            for period in periods(self.routes, now):
                self._sum_up(tx, period, now)

    def _sum_up(self, tx: OutboxTransaction, period: Period, now: datetime) -> None:
        """Unless it was told, or nothing that may be told there was watched by then."""
        if tx.said(SUMMARY, period.subject):
            return
        keys = sorted(key for key in self.keys if self._visible(period.destination, key))
        watched = tx.summaries.watched_since(keys)
        if any(since < period.slot for since in watched.values()):
            detail = summed_up(period, keys, tx.summaries.counts(watched, period.since))
            tx.say(Notice(SUMMARY, period.subject, period.destination, detail), now)

    # --- what is to be sent ---

    def _claim(
        self, tx: OutboxTransaction, destination: Destination, current: Delivery | None, now: datetime
    ) -> Delivery | None:
        """The delivery to attempt: one that is on its way already, else a new one of what is due, else an edit."""
        if current is not None:
            again = replace(current, state="sending", attempts=current.attempts + 1, started=now)
            return again if tx.again(current, now) else None
        self._follow_silences(tx, destination, now)
        queue = replace(tx.queue(destination), edit_at=None, broken=False)
        posts = turn(queue, self._distance(destination))
        delivery = self._post(tx, destination, now) if posts is not None and posts <= now else None
        return delivery or self._edit(tx, destination, now)

    def _post(self, tx: OutboxTransaction, destination: Destination, now: datetime) -> Delivery | None:
        due, answers = _chosen(tx, destination, self._audible(tx, destination, now))
        if not due:
            return None
        identity = self.new_id()
        message = compose(due, identity)
        changes = sum(isinstance(one, ChangeDue) and not is_first(one) for one in due)
        delivery = Delivery(identity, destination, message, "sending", 1, now, changes=changes)
        if answers is not None:
            delivery = replace(delivery, parent=answers.id, reference=answers.reference)
        tx.open(delivery, (one.announcement for one in due), now)
        return delivery

    def _audible(self, tx: OutboxTransaction, destination: Destination, now: datetime) -> list[Due]:
        """What is due and not muted; what is muted is written down as such."""
        due = tx.due(destination, now, self._audience)
        silenced = muted(due, destination.spec, tx.silences.active(now), now)
        if silenced:
            tx.silences.mute(silenced)
            tx.silences.mute_rest(destination)
        return [one for one in due if one.announcement not in silenced]

    def _follow_silences(self, tx: OutboxTransaction, destination: Destination, now: datetime) -> None:
        """What follows a muted beginning is muted, unless it has become more than was to be muted."""
        for beginning, silence in tx.silences.beginnings(destination, self._audience):
            if outgrown(beginning, silence, destination.spec):
                tx.silences.unmute(destination, beginning, now)
        tx.silences.mute_rest(destination)

    def _edit(self, tx: OutboxTransaction, destination: Destination, now: datetime) -> Delivery | None:
        """A message that told of a condition which has changed since, composed anew.

        Where none was sent, or the sink has no name for it, there is nothing to edit.
        """
        for announcement, condition in tx.revised(destination).items():
            told = tx.opening(condition, destination)
            due = [] if told is None else tx.told_in(destination, told.id, self._audience)
            if told is None or not due:
                tx.drop([announcement])
                continue
            identity = self.new_id()
            message = _without_calls(compose(due, identity))
            delivery = Delivery(
                identity, destination, message, "sending", 1, now, op="update", parent=told.id, reference=told.reference
            )
            tx.open(delivery, [announcement], now)
            return delivery
        return None

    # --- what the configuration says ---

    @property
    def _audience(self) -> Audience:
        together = {route.name for route in self.routes if route.digest is None}
        return Audience(self._visible, self._mention, together)

    def _visible(self, destination: str, key: str) -> bool:
        """A destination may read of a key that some route to it would match by name and labels."""
        facts = self.keys.get(key)
        return facts is not None and any(route.to == destination and sees(route, facts) for route in self.routes)

    def _mention(self, name: str, destination: str) -> str | None:
        return next((route.mention for route in self.routes if route.name == name and route.to == destination), None)

    def _bystanders(self, destination: Destination, now: datetime) -> tuple[Announcement, ...]:
        return bystanders(destination.spec, self.routes, self.record_only, now)

    def _sink(self, destination: Destination) -> Sink:
        return self.sinks.get(destination.scheme, _NOBODY)

    def _distance(self, destination: Destination) -> timedelta:
        return timedelta(0) if self.hasty else self._sink(destination).distance

    def _can_be_found(self, spec: str, started: datetime) -> datetime:
        return started + self.sinks.get(spec.partition(":")[0], _NOBODY).settles


class _Nobody:
    """The sink of a destination whose scheme no sink serves: its route was written by another version."""

    distance = timedelta(0)
    settles = timedelta(0)

    def locate(self, target: str) -> str | NotReached:
        return target

    def send(self, parcel: Parcel) -> Attempted:  # noqa: ARG002
        return Impossible("no sink serves this destination")

    def look(self, parcel: Parcel) -> Looked:  # noqa: ARG002
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:  # noqa: ARG002
        return None


_NOBODY: Final = _Nobody()


def _chosen(tx: OutboxTransaction, destination: Destination, due: list[Due]) -> tuple[list[Due], Arrived | None]:
    """What the next message says, and which one it answers.

    The end of a condition, and the return of a model, answer the message that told of the beginning, or of the removal;
    they come after what is new.
    """
    answered = {one.announcement: _answered(tx, destination, one) for one in due}
    if others := [one for one in due if answered[one.announcement] is None]:
        return others, None
    parent = answered[due[0].announcement] if due else None
    return [one for one in due if answered[one.announcement] == parent], parent


def _answered(tx: OutboxTransaction, destination: Destination, one: Due) -> Arrived | None:
    if isinstance(one, ConditionDue) and one.edge == "closed":
        return tx.opening(one.condition, destination)
    if isinstance(one, ChangeDue) and one.change.kind == "model.returned" and one.change.slug is not None:
        return tx.removal(one.key, one.change.slug, destination)
    return None


def _without_calls(message: Message) -> Message:
    """An edit calls nobody, and its thread has been written."""
    return msgspec.structs.replace(message, mentions=(), replies=())


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
    )
