"""What several modules say to a database: parts of a long list, an insert that may come too late, an insert's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Insert, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

# So many values in one statement: both databases limit its parameters.
PART: Final = 500


def chunks(values: Iterable[T]) -> Iterable[Sequence[T]]:
    """Parts small enough for one statement's parameters."""
    every = list(values)
    return (every[i : i + PART] for i in range(0, len(every), PART))


def inserted(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert one row; its id."""
    return int(connection.execute(insert(table).values(**row).returning(table.c.id)).scalar_one())


def insert_if_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves a row alone which another process wrote meanwhile."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
