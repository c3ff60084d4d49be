"""What is sent next to a destination, written down as being sent. Calls in the right order and decides nothing.

    a delivery on its way already        claimed for another attempt
    something is due and audible         composed; a digest's replies come later, one by one
    a message there is out of date       composed anew, as an edit

Everything happens in one transaction of the outbox, which is committed before a socket is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from syncd.core.audience import Audience
from syncd.core.compose import ChangeDue, Due, compose, is_first, is_over_there
from syncd.core.delivery import turn
from syncd.core.message import Message
from syncd.core.silence import muted, outgrown, taken_back
from syncd.outbox.replies import answered
from syncd.store.destinations import Destination
from syncd.store.outbox import Arrived, Delivery, OutboxTransaction


@dataclass(frozen=True, slots=True)
class Claims:
    """One destination at one moment, in one transaction. `distance` is kept from the message before."""

    tx: OutboxTransaction
    destination: Destination
    audience: Audience
    distance: timedelta
    now: datetime
    new_id: Callable[[], str]

    def claim(self, current: Delivery | None) -> Delivery | None:
        """The delivery to attempt, if there is any. `current` is the one on its way."""
        if current is not None:
            again = replace(current, state="sending", attempts=current.attempts + 1, started=self.now)
            return again if self.tx.again(current, self.now) else None
        self._follow_silences()
        self.tx.drop_outdated(self.destination)
        return (self._post() if self._is_due() else None) or self._edit()

    def _is_due(self) -> bool:
        queue = replace(self.tx.queue(self.destination), edit_at=None, broken=False)
        posts = turn(queue, self.distance)
        return posts is not None and posts <= self.now

    def _post(self) -> Delivery | None:
        due, parent = self._chosen(self._audible())
        if not due:
            return None
        changes = sum(isinstance(one, ChangeDue) and not is_first(one) and one.edge != "back" for one in due)
        identity = self.new_id()
        delivery = Delivery(identity, self.destination, compose(due, identity), "sending", 1, self.now, changes=changes)
        if parent is not None:
            delivery = replace(delivery, parent=parent.id, reference=parent.reference)
        self.tx.open(delivery, (one.announcement for one in due), self.now)
        return delivery

    def _edit(self) -> Delivery | None:
        """A message that told of a condition which has changed since, composed anew.

        Where none was sent, or the sink has no name for it, there is nothing to edit.
        """
        outdated: dict[Arrived | None, list[int]] = {}
        for announcement, condition in self.tx.revised(self.destination).items():
            outdated.setdefault(self.tx.opening(condition, self.destination), []).append(announcement)
        self.tx.drop(outdated.pop(None, []))
        for told, revisions in outdated.items():
            if told is not None and (due := self.tx.told_in(self.destination, told.id, self.audience)):
                return self._update(told, due, revisions)
            self.tx.drop(revisions)
        return None

    def _update(self, told: Arrived, due: list[Due], revisions: list[int]) -> Delivery:
        identity = self.new_id()
        message = _without_calls(compose(due, identity))
        delivery = Delivery(
            identity,
            self.destination,
            message,
            "sending",
            1,
            self.now,
            op="update",
            parent=told.id,
            reference=told.reference,
        )
        self.tx.open(delivery, revisions, self.now)
        return delivery

    # --- what is audible ---

    def _audible(self) -> list[Due]:
        """What is due and not muted; what is muted is written down as such."""
        due = self.tx.due(self.destination, self.now, self.audience)
        silences = self.tx.silences
        back = taken_back(due)
        unheard = silences.muted_changes(back.values(), self.destination)
        silenced = {one: unheard[change] for one, change in back.items() if change in unheard}
        silenced |= muted(due, self.destination.spec, silences.active(self.now), self.now)
        if silenced:
            silences.mute(silenced)
            silences.mute_rest(self.destination)
        audible = [one for one in due if one.announcement not in silenced]
        # For the keys that may be read of there it is over, although it lasts for others.
        over = {one.announcement for one in audible if is_over_there(one)}
        self.tx.drop(over)
        return [one for one in audible if one.announcement not in over]

    def _follow_silences(self) -> None:
        """What follows a muted beginning is muted, unless it has become more than was to be muted."""
        for beginning, silence in self.tx.silences.beginnings(self.destination, self.audience):
            if outgrown(beginning, silence, self.destination.spec):
                self.tx.silences.unmute(self.destination, beginning, self.now)
        self.tx.silences.mute_rest(self.destination)

    # --- what it answers ---

    def _chosen(self, due: list[Due]) -> tuple[list[Due], Arrived | None]:
        """What the next message says, and which one it answers. Answers come after what is new."""
        told = answered(self.tx, self.destination, due)
        if others := [one for one in due if one.announcement not in told]:
            return others, None
        parent = told[due[0].announcement] if due else None
        return [one for one in due if told[one.announcement] == parent], parent


def _without_calls(message: Message) -> Message:
    """An edit calls nobody, and its thread has been written."""
    return msgspec.structs.replace(message, mentions=(), replies=())
