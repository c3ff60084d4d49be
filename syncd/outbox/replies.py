"""Which message at a destination each thing that is due answers. Calls in the right order and decides nothing.

    the end of a condition, or that it lasts    the one that told of its beginning
    a model is back, or its removal is certain  the one that told that it may be gone
    a model has returned                        the one that told of its removal
    a change is taken back                      the one that told of the change
    what kept changing has settled              the one that told that it does

Where that was not told, or the sink has no name for its messages, it answers none and stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncd.core.compose import ChangeDue, ConditionDue, Due, answers
from syncd.store.destinations import Destination
from syncd.store.outbox import Arrived, OutboxTransaction


def answered(tx: OutboxTransaction, destination: Destination, due: Sequence[Due]) -> dict[int, Arrived]:
    """By announcement; without those that answer nothing."""
    changes = [one for one in due if isinstance(one, ChangeDue)]
    found = {**_returned(tx, destination, changes), **_answering(tx, destination, changes)}
    for one in due:
        if isinstance(one, ConditionDue) and one.edge != "opened":
            opening = tx.opening(one.condition, destination)
            found |= {one.announcement: opening} if opening is not None else {}
    return found


def _answering(tx: OutboxTransaction, destination: Destination, due: Iterable[ChangeDue]) -> dict[int, Arrived]:
    asked = {one.announcement: answers(one) for one in due}
    every = {each for to in asked.values() for each in to}
    edges = {edge for _, edge in every}
    told = {edge: tx.told([change for change, its in every if its == edge], destination, edge) for edge in edges}
    found = {one: [told[edge][change] for change, edge in to if change in told[edge]] for one, to in asked.items()}
    return {one: arrived[0] for one, arrived in found.items() if arrived}


def _returned(tx: OutboxTransaction, destination: Destination, due: Iterable[ChangeDue]) -> dict[int, Arrived]:
    returned = {
        one.announcement: (one.key, slug)
        for one in due
        if one.change.kind == "model.returned" and (slug := one.change.slug) is not None
    }
    removals = tx.removals({slug for _, slug in returned.values()}, destination)
    return {one: removals[which] for one, which in returned.items() if which in removals}
