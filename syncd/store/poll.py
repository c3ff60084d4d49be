"""The one transaction of a poll: what judging needs is read here, what it decided is written here.

    begin ── lock the key ── context, before ──(diff, judge: pure, above)── apply ── commit

Statements only; decides nothing but what "the same run of polls" is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Select,
    Table,
    and_,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from syncd.core import credits
from syncd.core.canon import FORM, MISSING, Json, Missing, canonical, decode, dumps, is_number
from syncd.core.catalog import Catalog, Listed
from syncd.core.changes import Before, Change
from syncd.core.credits import Band
from syncd.core.judge import (
    ChangeState,
    ConditionEdit,
    Context,
    Held,
    HoldStep,
    NewChange,
    News,
    OpenCondition,
    Opening,
)
from syncd.core.reading import Facts, Retry
from syncd.core.routing import Announcement, KeyFacts
from syncd.core.rules import CONDITIONS
from syncd.core.wording import summary
from syncd.errors import StoreError
from syncd.store.tables import (
    announcements,
    api_keys,
    changes,
    conditions,
    destinations,
    listings,
    model_versions,
    polls,
    snapshots,
)
from syncd.store.types import Utc

# Two observations of a key are at least so far apart, whatever the clock does: intervals have an extent.
TICK: Final = timedelta(microseconds=1)

# An answer is overtaken by a request that began after its own and was applied already. One that is said to have begun
# so long after the answer ended overtook nothing: the clock was set back meanwhile.
SET_BACK: Final = timedelta(minutes=5)

# The first half of PostgreSQL's name for the lock on an address, next to a hash of the address. "sync" in ASCII.
ADDRESS_LOCK: Final = 0x73796E63


@dataclass(frozen=True, slots=True)
class Attempt:
    """The poll as it is recorded: when, how long, and what the answer said beside its catalogue."""

    started: datetime
    ended: datetime
    duration: float
    facts: Facts
    retry: Retry | None = None
    rejected_body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An announcement with what it announces: a change, or an edge of a condition."""

    announcement: Announcement
    at: datetime
    change: int | None = None
    condition: int | None = None
    edge: str | None = None


class KeyTransaction:
    """A write transaction that holds the row of one key."""

    def __init__(self, connection: Connection, key: KeyFacts) -> None:
        self._connection = connection
        self._facts = key
        row = connection.execute(select(api_keys).where(api_keys.c.name == key.name).with_for_update()).one_or_none()
        if row is None:
            raise StoreError(f"key {key.name!r} is not in the database", "start syncd once with this configuration")
        self._key: Row[Any] = row

    # --- what judging needs ---

    def context(self, started: datetime, ended: datetime, *, failed: bool) -> Context:
        """The stored facts that `judge` asks for. `started` and `ended` are of the poll's request.

        A failed poll may open a condition that keys share, so it waits for those of other keys to be committed.
        """
        if failed:
            self._lock_address()
        applied = self._key.applied_started_at
        return Context(
            key=self._facts,
            state=self._key.state,
            failures=self._key.failures,
            has_baseline=self._key.snapshot_id is not None,
            digest=self._digest(),
            stale=applied is not None and started <= applied < ended + SET_BACK,
            held=tuple(self._held()),
            open=tuple(self._open()),
            told_band=self._told_band,
        )

    def _lock_address(self) -> None:
        """One failed poll at an address at a time: two could each open the same condition. SQLite has one writer."""
        if self._connection.dialect.name == "postgresql":
            address = func.hashtext(self._facts.base_url)
            self._connection.execute(select(func.pg_advisory_xact_lock(ADDRESS_LOCK, address)))

    def _digest(self) -> str | None:
        query = select(snapshots.c.digest).where(snapshots.c.id == self._key.snapshot_id)
        return None if self._key.snapshot_id is None else self._connection.scalar(query)

    def _held(self) -> Iterable[Held]:
        query = (
            select(changes).where(changes.c.key_id == self._key.id, changes.c.state == "held").order_by(changes.c.id)
        )
        for row in self._connection.execute(query):
            yield Held(row.id, change_of(row), row.held_polls, row.detected_at)

    def _open(self) -> Iterable[OpenCondition]:
        subject = f"url:{self._facts.base_url}"
        query = (
            select(conditions)
            .where(
                conditions.c.closed_at.is_(None),
                or_(conditions.c.key_id == self._key.id, conditions.c.subject == subject),
            )
            .order_by(conditions.c.id)
            .with_for_update()
        )
        for row in self._connection.execute(query):
            yield OpenCondition(
                row.id, row.kind, row.subject, row.opened_at, json.loads(row.detail), self._told(row.id)
            )

    def _told(self, condition: int) -> tuple[tuple[str, str], ...]:
        query = (
            select(destinations.c.spec, announcements.c.route)
            .join(destinations, destinations.c.id == announcements.c.destination_id)
            .where(announcements.c.condition_id == condition, announcements.c.edge == "opened")
            .order_by(announcements.c.id)
        )
        return tuple((row.spec, row.route) for row in self._connection.execute(query))

    def _told_band(self, slug: str, destination: str) -> Band | None:
        """The band this destination knows: the last one told, else the one before the first step it was not told of."""
        of_price = (
            select(changes.c.new, changes.c.old)
            .join(announcements, announcements.c.change_id == changes.c.id)
            .join(destinations, destinations.c.id == announcements.c.destination_id)
            .where(
                changes.c.key_id == self._key.id,
                changes.c.slug == slug,
                changes.c.kind.startswith("credits.band."),
                destinations.c.spec == destination,
            )
        )
        told = self._connection.execute(
            of_price.where(announcements.c.state != "below_threshold").order_by(changes.c.id.desc()).limit(1)
        )
        if (row := told.one_or_none()) is not None:
            return credits.read_band(_plain(row.new))
        untold = self._connection.execute(of_price.order_by(changes.c.id).limit(1)).one_or_none()
        return None if untold is None else credits.read_band(_plain(untold.old))

    def before(self, after: Catalog) -> Before:
        """The confirmed catalogue: what is listed, with models whose removal is held as they were.

        Only the texts that differ from `after` are read; of models that are back after an absence, what they were.
        """
        refs = {row.slug: row for row in self._connection.execute(self._confirmed())}
        differing = [
            row.version_id
            for slug, row in refs.items()
            if slug not in after.models or after.models[slug].digest != row.digest
        ]
        texts = self._texts(differing)
        models = {slug: Listed(slug, row.digest, texts.get(row.version_id, "")) for slug, row in refs.items()}
        account = self._connection.scalar(select(snapshots.c.account).where(snapshots.c.id == self._key.snapshot_id))
        return Before(decode(account or "{}").value, models, self._gone(after.models.keys() - refs.keys()))

    def _confirmed(self) -> Select[Any]:
        # A model whose removal is held has no open interval: its last one counts.
        held = select(changes.c.slug).where(
            changes.c.key_id == self._key.id, changes.c.state == "held", changes.c.kind == "model.removed"
        )
        return (
            select(listings.c.slug, listings.c.version_id, model_versions.c.digest)
            .join(model_versions, model_versions.c.id == listings.c.version_id)
            .where(
                listings.c.key_id == self._key.id,
                or_(listings.c.valid_to.is_(None), and_(listings.c.slug.in_(held), _is_last())),
            )
        )

    def _texts(self, versions: Iterable[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        for part in _chunks(list(versions)):
            query = select(model_versions.c.id, model_versions.c.body).where(model_versions.c.id.in_(part))
            found.update({row.id: row.body for row in self._connection.execute(query)})
        return found

    def _gone(self, slugs: Iterable[str]) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        for part in _chunks(sorted(slugs)):
            query = (
                select(listings.c.slug, model_versions.c.digest, model_versions.c.body)
                .join(model_versions, model_versions.c.id == listings.c.version_id)
                .where(listings.c.key_id == self._key.id, listings.c.slug.in_(part), _is_last())
            )
            found.update({row.slug: Listed(row.slug, row.digest, row.body) for row in self._connection.execute(query)})
        return found

    # --- what judging decided ---

    def apply(self, news: News, attempt: Attempt) -> None:
        """Write everything the poll led to."""
        observed = self._observed(attempt.ended)
        snapshot = self._key.snapshot_id
        applied: dict[str, Any] = {}
        if news.outcome in ("changed", "unchanged"):
            applied = {"applied_started_at": attempt.started, "observed_at": observed}
        if news.outcome == "changed" and news.listing is not None:
            snapshot = applied["snapshot_id"] = self._snapshot(news.listing.catalog, observed)
            self._intervals(news.listing.catalog, observed)
        told = [
            *self._changes(news.changes, snapshot, observed),
            *self._steps(news.holds, observed),
            *(told for opening in news.openings for told in self._opening(opening, attempt.ended)),
            *(told for edit in news.edits for told in self._edit(edit, attempt.ended)),
        ]
        self._announce(told)
        if news.state != self._key.state:
            applied |= {"state": news.state, "state_since": attempt.ended}
        if news.outcome == "malformed" and attempt.rejected_body is not None:
            applied["rejected_body"] = attempt.rejected_body.decode("utf-8", "replace").replace("\0", "\ufffd")
        self._update_key({**applied, "failures": news.failures, "last_poll_id": self._poll(news, attempt, snapshot)})

    def _observed(self, ended: datetime) -> datetime:
        """When the answer counts as observed: later than the one before, whatever the clock does."""
        last = self._key.observed_at
        return ended if last is None else max(ended, last + TICK)

    def _update_key(self, values: Mapping[str, Any]) -> None:
        changed = {name: value for name, value in values.items() if getattr(self._key, name) != value}
        if changed:
            self._connection.execute(update(api_keys).where(api_keys.c.id == self._key.id).values(**changed))

    def _poll(self, news: News, attempt: Attempt, snapshot: int | None) -> int:
        """Extend the run of like polls, or begin another."""
        alike = {
            "outcome": news.outcome,
            "http_status": attempt.facts.status,
            "error_code": attempt.facts.code,
            "credits_balance": attempt.facts.balance,
            "snapshot_id": snapshot,
        }
        latest = {
            "last_at": max(attempt.ended, attempt.started),
            "duration_ms": round(attempt.duration * 1000),
            "request_id": attempt.facts.request_id,
            "rate_limit_remaining": attempt.facts.rate_limit_remaining,
            "retry_at": attempt.retry.at if attempt.retry is not None else None,
            "retry_scope": attempt.retry.scope if attempt.retry is not None else None,
        }
        # Compared by the database, which alone knows what it made of a fraction.
        extended = (
            update(polls)
            .where(polls.c.id == self._key.last_poll_id)
            .where(*(polls.c[name].is_not_distinct_from(value) for name, value in alike.items()))
            .values(**latest, count=polls.c.count + 1)
        )
        if self._key.last_poll_id is not None and self._connection.execute(extended).rowcount == 1:
            return int(self._key.last_poll_id)
        row = {"key_id": self._key.id, "started_at": attempt.ended, "count": 1, **alike, **latest}
        return _inserted(self._connection, polls, row)

    def _snapshot(self, catalog: Catalog, observed: datetime) -> int:
        limits = catalog.account.get("rate_limit")
        limits = limits if isinstance(limits, dict) else {}
        tier = catalog.account.get("tier")
        row = {
            "key_id": self._key.id,
            "taken_at": observed,
            "form": FORM,
            "digest": catalog.digest,
            "complete": catalog.complete,
            "tier": tier if isinstance(tier, str) else None,
            "calls_per_minute": _amount(limits.get("calls_per_minute")),
            "concurrent_jobs": _amount(limits.get("concurrent_jobs")),
            "model_count": len(catalog.models),
            "account": dumps(dict(catalog.account)),
        }
        return _inserted(self._connection, snapshots, row)

    def _intervals(self, catalog: Catalog, observed: datetime) -> None:
        """Close what is no longer listed as it was, open what is listed anew."""
        query = (
            select(listings.c.id, listings.c.slug, model_versions.c.digest)
            .join(model_versions, model_versions.c.id == listings.c.version_id)
            .where(listings.c.key_id == self._key.id, listings.c.valid_to.is_(None))
        )
        current = {row.slug: row for row in self._connection.execute(query)}
        changed = [m for slug, m in catalog.models.items() if slug not in current or current[slug].digest != m.digest]
        ended = [current[m.slug].id for m in changed if m.slug in current]
        if catalog.complete:
            ended += [row.id for slug, row in current.items() if slug not in catalog.models]
        for part in _chunks(ended):
            self._connection.execute(update(listings).where(listings.c.id.in_(part)).values(valid_to=observed))
        versions = self._versions(changed)
        rows = [
            {"key_id": self._key.id, "version_id": versions[m.digest], "slug": m.slug, "valid_from": observed}
            for m in changed
        ]
        if rows:
            self._connection.execute(insert(listings), rows)

    def _versions(self, models: list[Listed]) -> dict[str, int]:
        """The ids of these contents, each stored once for every key together."""
        found = self._version_ids(m.digest for m in models)
        # In one order, whatever the answer's: on PostgreSQL two keys that store the same texts wait for each other.
        if new := [version_row(m) for m in sorted(models, key=lambda m: m.digest) if m.digest not in found]:
            self._connection.execute(_insert_if_new(self._connection, model_versions), new)
            found |= self._version_ids(row["digest"] for row in new)
        return found

    def _version_ids(self, digests: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for part in _chunks(list(digests)):
            query = select(model_versions.c.digest, model_versions.c.id).where(model_versions.c.digest.in_(part))
            found.update({row.digest: row.id for row in self._connection.execute(query)})
        return found

    def _changes(self, news: Sequence[NewChange], snapshot: int | None, observed: datetime) -> Iterable[Told]:
        if not news:
            return []
        returning = insert(changes).returning(changes.c.id, sort_by_parameter_order=True)
        ids = self._connection.scalars(returning, [self._change(new, snapshot, observed) for new in news])
        written = zip(news, ids, strict=True)
        return [Told(one, observed, change=id_) for new, id_ in written for one in new.announcements]

    def _change(self, new: NewChange, snapshot: int | None, observed: datetime) -> dict[str, Any]:
        change = new.change
        return {
            "key_id": self._key.id,
            "snapshot_id": snapshot,
            "detected_at": observed,
            "kind": change.kind,
            "severity": change.severity,
            "slug": change.slug,
            "category": change.category,
            "path": change.pointer,
            "old": _json(change.before),
            "new": _json(change.after),
            "decided": change.decided,
            "witness": None if change.witness is None else dumps(change.witness),
            "affects": "[]",
            "summary": summary(change),
            "detail": dumps(dict(change.detail)),
            "fingerprint": change.fingerprint,
            "state": new.state,
            "held_polls": 1 if new.state == "held" else 0,
            "settled_at": None,
        }

    def _steps(self, steps: Sequence[HoldStep], observed: datetime) -> Iterable[Told]:
        alike: dict[tuple[ChangeState, int], list[int]] = {}
        for step in steps:
            alike.setdefault((step.state, step.polls), []).append(step.id)
        for (state, polls_missed), ids in alike.items():
            values = {"state": state, "held_polls": polls_missed, "settled_at": None if state == "held" else observed}
            for part in _chunks(ids):
                held = update(changes).where(changes.c.id.in_(part), changes.c.state == "held")
                self._connection.execute(held.values(**values))
        return [Told(one, observed, change=step.id) for step in steps for one in step.announcements]

    def _opening(self, opening: Opening, now: datetime) -> Iterable[Told]:
        row = {
            "kind": opening.kind,
            "subject": opening.subject,
            "key_id": self._key.id if opening.subject.startswith("key:") else None,
            "severity": CONDITIONS[opening.kind],
            "opened_at": now,
            "detail": dumps(dict(opening.detail)),
        }
        opened = _inserted(self._connection, conditions, row)
        return [Told(one, now, condition=opened, edge="opened") for one in opening.announcements]

    def _edit(self, edit: ConditionEdit, now: datetime) -> Iterable[Told]:
        values: dict[str, Any] = {"detail": dumps(dict(edit.detail))}
        if edit.closed:
            # Never before it opened, even if the clock was set back.
            opened = conditions.c.opened_at
            values["closed_at"] = case((opened > now, opened), else_=literal(now, Utc()))
        self._connection.execute(update(conditions).where(conditions.c.id == edit.id).values(**values))
        edge = "closed" if edit.closed else "opened"
        return [Told(one, now, condition=edit.id, edge=edge) for one in edit.announcements]

    def _announce(self, told: Sequence[Told]) -> None:
        ids = _destination_ids(self._connection, {one.announcement.destination for one in told})
        rows = [
            {
                "change_id": one.change,
                "condition_id": one.condition,
                "edge": one.edge,
                "destination_id": ids[one.announcement.destination],
                "route": one.announcement.route,
                "created_at": one.at,
                "not_before": one.announcement.not_before,
                "state": one.announcement.state,
            }
            for one in told
        ]
        if rows:
            self._connection.execute(_insert_if_new(self._connection, announcements), rows)


def _destination_ids(connection: Connection, specs: Iterable[str]) -> dict[str, int]:
    """The destinations' ids; each is written down the first time something is to go there."""
    wanted = sorted(specs)  # in one order: on PostgreSQL two keys that write the same ones wait for each other
    known = _known_destinations(connection, wanted)
    if new := [{"spec": spec} for spec in wanted if spec not in known]:
        connection.execute(_insert_if_new(connection, destinations), new)
        known = _known_destinations(connection, wanted)
    return known


def _known_destinations(connection: Connection, specs: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in _chunks(specs):
        query = select(destinations.c.spec, destinations.c.id).where(destinations.c.spec.in_(part))
        found.update({row.spec: row.id for row in connection.execute(query)})
    return found


def _is_last() -> ColumnElement[bool]:
    """Whether an interval is the last one of its key and model."""
    later = listings.alias("later")
    return ~(
        select(later.c.id)
        .where(
            later.c.key_id == listings.c.key_id,
            later.c.slug == listings.c.slug,
            later.c.valid_from > listings.c.valid_from,
        )
        .exists()
    )


def version_row(listed: Listed) -> dict[str, Any]:
    """The columns people query, beside the model's own text. Of conflicting contents the first stands for all."""
    body = listed.body()
    first = body[0] if isinstance(body, list) else body
    band = credits.read_band(first.get("credits_band"))
    priced = band.form in ("ok", "partial", "crossed")
    texts = {
        name: value if isinstance(value := first.get(name), str) else None
        for name in ("name", "category", "creator", "description")
    }
    objects = {
        name: canonical(value) if (value := first.get(name)) is not None else None
        for name in ("params", "example_request")
    }
    return {
        "digest": listed.digest,
        "form": FORM,
        "slug": listed.slug,
        "body": listed.text,
        **texts,
        "credits_min": band.low if priced else None,
        "credits_max": band.high if priced else None,
        **objects,
    }


def change_of(row: Row[Any]) -> Change:
    """The change as it was when it was stored (its operations are not kept)."""
    return Change(
        kind=row.kind,
        path=_path(row.path),
        severity=row.severity,
        before=_value(row.old),
        after=_value(row.new),
        slug=row.slug,
        category=row.category,
        decided=bool(row.decided),
        witness=_plain(row.witness),
        detail=_plain(row.detail) or {},
    )


def _path(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _json(value: Json | Missing) -> str | None:
    return None if value is MISSING else dumps(value)


def _value(text: str | None) -> Json | Missing:
    return MISSING if text is None else decode(text).value


def _plain(text: str | None) -> Json:
    return None if text is None else decode(text).value


def _amount(value: Json) -> Json:
    return value if is_number(value) else None


def _inserted(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    return int(connection.execute(insert(table).values(**row).returning(table.c.id)).scalar_one())


def _insert_if_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves a row alone which another process wrote meanwhile."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def _chunks(values: list[Any], size: int = 500) -> Iterable[list[Any]]:
    """Parts small enough for one statement's parameters."""
    return (values[i : i + size] for i in range(0, len(values), size))
