"""Polls as rows: a run of like polls is one row. What "like" means is said here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, update

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


# What all polls of a run share, and what is known of the last one only.
_ALIKE: Final = ("outcome", "http_status", "error_code", "credits_balance", "snapshot_id")
_LATEST: Final = ("last_at", "duration_ms", "request_id", "rate_limit_remaining", "retry_at", "retry_scope")

# Compared by the database, which alone knows what it made of a fraction. Built once, because every poll runs it.
_EXTEND: Final = (
    update(polls)
    .where(polls.c.id == bindparam("run"))
    .where(*(polls.c[name].is_not_distinct_from(bindparam(f"this_{name}")) for name in _ALIKE))
    .values({name: bindparam(f"this_{name}") for name in _LATEST} | {"count": polls.c.count + 1})
)


def record(
    connection: Connection, key: int, last: int | None, attempt: Attempt, *, outcome: Outcome, snapshot: int | None
) -> int:
    """Extend the key's last run if the poll is like it, or begin another; the run's id."""
    row = _row(attempt, outcome, snapshot)
    this = {f"this_{name}": value for name, value in row.items()}
    if last is not None and connection.execute(_EXTEND, {"run": last, **this}).rowcount == 1:
        return last
    return inserted(connection, polls, {"key_id": key, "started_at": attempt.ended, "count": 1, **row})


def _row(attempt: Attempt, outcome: Outcome, snapshot: int | None) -> dict[str, Any]:
    """The poll's columns."""
    return {
        "outcome": outcome,
        "http_status": attempt.facts.status,
        "error_code": attempt.facts.code,
        "credits_balance": attempt.facts.balance,
        "snapshot_id": snapshot,
        "last_at": max(attempt.ended, attempt.started),
        "duration_ms": round(attempt.duration * 1000),
        "request_id": attempt.facts.request_id,
        "rate_limit_remaining": attempt.facts.rate_limit_remaining,
        "retry_at": attempt.retry.at if attempt.retry is not None else None,
        "retry_scope": attempt.retry.scope if attempt.retry is not None else None,
    }
