"""Polls as rows: a run of like polls is one row. What "like" means is said here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from syncd.core.reading import Facts, Outcome, Retry
from syncd.store.statements import inserted
from syncd.store.tables import polls


@dataclass(frozen=True, slots=True)
class Attempt:
    """The poll as it is recorded: when, how long, and what the answer said beside its catalogue."""

    started: datetime
    ended: datetime
    duration: float
    facts: Facts
    retry: Retry | None = None
    rejected_body: bytes | None = None


def record(
    connection: Connection, key: int, last: int | None, attempt: Attempt, *, outcome: Outcome, snapshot: int | None
) -> int:
    """Extend the key's last run if the poll is like it, or begin another; the run's id."""
    alike, latest = _alike(attempt, outcome, snapshot), _latest(attempt)
    # Compared by the database, which alone knows what it made of a fraction.
    extended = (
        update(polls)
        .where(polls.c.id == last)
        .where(*(polls.c[name].is_not_distinct_from(value) for name, value in alike.items()))
        .values(**latest, count=polls.c.count + 1)
    )
    if last is not None and connection.execute(extended).rowcount == 1:
        return last
    row = {"key_id": key, "started_at": attempt.ended, "count": 1, **alike, **latest}
    return inserted(connection, polls, row)


def _alike(attempt: Attempt, outcome: Outcome, snapshot: int | None) -> dict[str, Any]:
    """What all polls of a run share."""
    return {
        "outcome": outcome,
        "http_status": attempt.facts.status,
        "error_code": attempt.facts.code,
        "credits_balance": attempt.facts.balance,
        "snapshot_id": snapshot,
    }


def _latest(attempt: Attempt) -> dict[str, Any]:
    """What is known of the last poll of a run."""
    return {
        "last_at": max(attempt.ended, attempt.started),
        "duration_ms": round(attempt.duration * 1000),
        "request_id": attempt.facts.request_id,
        "rate_limit_remaining": attempt.facts.rate_limit_remaining,
        "retry_at": attempt.retry.at if attempt.retry is not None else None,
        "retry_scope": attempt.retry.scope if attempt.retry is not None else None,
    }
