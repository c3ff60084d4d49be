"""Questions to the views, with the same answers on both databases. All on a connection that cannot write."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from syncd.core.by_hand import DROPPED, REQUEUED
from syncd.errors import UsageError

# A value as people and JSON see it: text, number, Boolean or null. Times are text in UTC, the same on both databases.
Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Rows:
    """A result: column names and rows of cells."""

    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]

    def dicts(self) -> list[dict[str, Cell]]:
        """Each row by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def sql(connection: Connection, query: str) -> Rows:
    """A person's own query. One statement only, and none that writes."""
    try:
        cursor = connection.connection.cursor()
        try:
            if connection.dialect.name == "sqlite":
                # Attaching a file that is not there would create it.
                cursor.connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
                cursor.execute(query)
            else:
                # Prepared: PostgreSQL then takes one statement only, so that none can end the read-only transaction
                # and write in another.
                cursor.execute(query, prepare=True)  # type: ignore[call-arg]
            columns = tuple(column[0] for column in cursor.description or ())
            return Rows(columns, [tuple(map(cell, row)) for row in cursor.fetchall()] if columns else [])
        finally:
            cursor.close()
    except _driver_errors(connection) as error:
        raise UsageError(
            f"sql: {' '.join(str(error).split())}",
            "the views are listed in docs/sql.md; nothing but reading is possible",
        ) from None


def _driver_errors(connection: Connection) -> tuple[type[Exception], ...]:
    dbapi = connection.dialect.dbapi
    return (dbapi.Error, dbapi.Warning) if dbapi is not None else (DBAPIError,)


def select(connection: Connection, query: str, **parameters: object) -> Rows:
    """One of our own queries, with bound parameters."""
    result = connection.execute(text(query), parameters)
    return Rows(tuple(result.keys()), [tuple(map(cell, row)) for row in result])


def cell(value: object) -> Cell:
    """A database value in the form both databases share."""
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
    return str(value)


def _where(clauses: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


def models(connection: Connection, *, key: str | None, category: str | None, at: datetime | None) -> Rows:
    """The confirmed catalogue now, or what was observed at a time."""
    shown = "key_name, slug, category, creator, credits_min, credits_max, params"
    clauses = [
        f"{column} = :{name}"
        for column, name, given in (("key_name", "key", key), ("category", "category", category))
        if given
    ]
    if at is None:
        query = f"SELECT {shown}, since, missing_since FROM current_models"  # noqa: S608 - our own text
    else:
        query = f"SELECT {shown}, valid_from AS since, NULL AS missing_since FROM model_history"  # noqa: S608
        clauses.append("valid_from <= :at AND (valid_to IS NULL OR valid_to > :at)")
    given = {
        name: value
        for name, value in (("key", key), ("category", category), ("at", _moment(connection, at)))
        if value is not None
    }
    return select(connection, query + _where(clauses) + " ORDER BY key_name, slug", **given)


def changes(
    connection: Connection, *, key: str | None, since: datetime | None, severity: Sequence[str], held: bool
) -> Rows:
    """The change log, oldest first, without the silent first catalogues."""
    clauses = ["state <> 'baseline'"]
    given: dict[str, datetime | Cell] = {}
    if key is not None:
        clauses.append("key_name = :key")
        given["key"] = key
    if since is not None:
        clauses.append("detected_at >= :since")
        given["since"] = _moment(connection, since)
    if held:
        clauses.append("state = 'held'")
    if severity:
        wanted = {f"severity_{n}": one for n, one in enumerate(severity)}
        clauses.append(f"severity IN ({', '.join(f':{name}' for name in wanted)})")
        given |= wanted
    query = "SELECT * FROM change_log" + _where(clauses) + " ORDER BY detected_at, change_id"  # noqa: S608 - our own text
    return select(connection, query, **given)


def _moment(connection: Connection, at: datetime | None) -> datetime | Cell:
    if at is None or connection.dialect.name != "sqlite":
        return at
    return cell(at)


def key_status(connection: Connection) -> Rows:
    """Every configured key."""
    return select(connection, "SELECT * FROM key_status ORDER BY key_name")


def open_conditions(connection: Connection) -> Rows:
    """What has opened and not closed."""
    return select(connection, "SELECT * FROM condition_log WHERE closed_at IS NULL ORDER BY opened_at")


def outbox(connection: Connection) -> Rows:
    """How many deliveries are in each state, with the oldest, and the announcements that wait to be composed.

    Dead ones that a person has seen to need nobody any more, nor do edits: what they say was told in the thread.
    """
    return select(
        connection,
        """
        SELECT state, COUNT(*) AS deliveries, MIN(created_at) AS oldest FROM deliveries
        WHERE NOT (
            state = 'dead'
            AND (
                op = 'update'
                OR COALESCE(last_error, '') LIKE :queued_anew
                OR COALESCE(last_error, '') LIKE :dropped
            )
        )
        GROUP BY state
        UNION ALL
        SELECT 'queued', COUNT(*), MIN(created_at) FROM announcements
        WHERE state = 'queued' AND delivery_id IS NULL HAVING COUNT(*) > 0
        ORDER BY 1
        """,
        queued_anew=f"{REQUEUED}%",
        dropped=f"{DROPPED}%",
    )


def totals(connection: Connection) -> dict[str, Cell]:
    """Polls, changes and alerts so far: the demo's summary."""
    row = select(
        connection,
        """
        SELECT (SELECT SUM(polls) FROM poll_log) AS polls,
               (SELECT COUNT(*) FROM change_log WHERE state <> 'baseline') AS changes,
               (SELECT COUNT(*) FROM alert_log WHERE state = 'sent') AS alerts
        """,
    )
    return row.dicts()[0]
