"""What a summary counts. Statements only; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CompoundSelect, Connection, Select, func, join, select, union

from syncd.core.summary import Counts, Run
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, changes, listings, polls
from syncd.store.types import Utc

# Whether the answer was one: of a stale one nobody knows, so it is not held against the vendor.
_GOOD: Final = polls.c.outcome.in_(("changed", "unchanged", "stale")).label("good")


class Summaries:
    """What there is to count, within a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def watched_since(self, keys: Iterable[str]) -> dict[int, datetime]:
        """The keys of these names, by their ids, each with since when it is watched."""
        found: dict[int, datetime] = {}
        for part in chunks(keys):
            query = select(api_keys.c.id, api_keys.c.added_at).where(api_keys.c.name.in_(part))
            found.update({row.id: row.added_at for row in self._connection.execute(query)})
        return found

    def counts(self, keys: Iterable[int], since: datetime) -> Counts:
        """What happened to these keys since then, and what they can call now."""
        slugs: set[str] = set()
        number, runs = 0, []
        for part in chunks(keys):
            slugs.update(self._connection.scalars(_confirmed(part)))
            number += self._connection.scalar(_found(part, since)) or 0
            for query in (_runs_since(part, since), _runs_across(part, since)):
                runs += [Run(bool(row.good), row.first, row.last, row.polls) for row in self._connection.execute(query)]
        return Counts(len(slugs), number, tuple(runs))


def _confirmed(keys: Sequence[int]) -> CompoundSelect[str]:
    """A model whose removal waits for confirmation still counts."""
    listed = select(listings.c.slug).where(listings.c.key_id.in_(keys), listings.c.valid_to.is_(None))
    held = select(changes.c.slug).where(
        changes.c.key_id.in_(keys), changes.c.state == "held", changes.c.kind == "model.removed"
    )
    return union(listed, held)


def _found(keys: Sequence[int], since: datetime) -> Select[int]:
    """The changes that `syncd changes` shows, but what came to nothing: a model that was only missing for a moment."""
    return select(func.count()).where(
        changes.c.key_id.in_(keys),
        changes.c.detected_at >= since,
        changes.c.state.not_in(("baseline", "retracted")),
    )


def _runs_since(keys: Sequence[int], since: datetime) -> Select[bool, Any, Any, Any]:
    """The runs of polls that began since then, added up."""
    first, last = func.min(polls.c.started_at, type_=Utc), func.max(polls.c.last_at, type_=Utc)
    return (
        select(_GOOD, first.label("first"), last.label("last"), func.sum(polls.c.count).label("polls"))
        .where(polls.c.key_id.in_(keys), polls.c.started_at >= since)
        .group_by(_GOOD)
    )


def _runs_across(keys: Sequence[int], since: datetime) -> Select[Any]:
    """The run of each key that had begun by then, if it went on."""
    earlier = polls.alias("earlier")
    last = (
        select(earlier.c.id)
        .where(earlier.c.key_id == api_keys.c.id, earlier.c.started_at < since)
        .order_by(earlier.c.started_at.desc())
        .limit(1)
        .correlate(api_keys)
        .scalar_subquery()
    )
    return (
        select(_GOOD, polls.c.started_at.label("first"), polls.c.last_at.label("last"), polls.c.count.label("polls"))
        .select_from(join(api_keys, polls, polls.c.id == last))
        .where(api_keys.c.id.in_(keys), polls.c.last_at >= since)
    )
