"""The database: the only floor that knows SQL.

    with store.begin(key) as tx      one poll: locks the key, then reads, then writes        KeyTransaction
    with store.outbox() as tx        one step of the outbox                                  OutboxTransaction
    with store.held() as hand        a person settles what is held                           HeldByHand
    with store.read() as connection  questions; cannot write                                 (store.queries)

Every writing transaction takes its lock first. On SQLite that is one process-wide lock and `BEGIN IMMEDIATE`: with
SQLAlchemy's default, which begins at the first write, threads that read and then write lose updates without an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Connection

from syncd.core.routing import KeyFacts
from syncd.core.schedule import KeySchedule
from syncd.errors import StoreError
from syncd.store import engine, forget, keys, reform, schema
from syncd.store.forget import Forgotten
from syncd.store.held import HeldByHand
from syncd.store.outbox import OutboxTransaction
from syncd.store.poll import KeyTransaction


class Store:
    """A database at the schema this program needs; the constructor connects to nothing, `open` checks the schema."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._writer = engine.writer(url)
        self._reader = engine.reader(url)
        # On SQLite one writer at a time: waiting here is fair and free, waiting in SQLite is polling.
        self._one_writer = threading.Lock() if engine.is_sqlite(url) else nullcontext()
        self._rehearsing: Connection | None = None

    @property
    def where(self) -> str:
        """The database for people: its URL without a password."""
        return engine.shown_url(self.url)

    def open(self) -> None:
        """Raise `SchemaMismatch` unless the schema is the one this program needs."""
        if engine.is_sqlite(self.url) and not engine.sqlite_path(self.url).exists():
            raise StoreError(
                f"database {self.where}: no such file",
                "`syncd run` or `syncd migrate` creates it; else check database.url",
            )
        with engine.begin(self._reader, self.where) as connection:
            schema.require_head(connection, self.where)

    def close(self) -> None:
        """Give back every connection."""
        self._writer.dispose()
        self._reader.dispose()

    @contextmanager
    def begin(self, key: KeyFacts) -> Iterator[KeyTransaction]:
        """The transaction of one poll; leaving it commits, an exception rolls back."""
        with self._write() as connection:
            yield KeyTransaction(connection, key)

    @contextmanager
    def outbox(self) -> Iterator[OutboxTransaction]:
        """A transaction of the outbox."""
        with self._write() as connection:
            yield OutboxTransaction(connection)

    @contextmanager
    def held(self) -> Iterator[HeldByHand]:
        """A transaction of a person who settles what is held."""
        with self._write() as connection:
            yield HeldByHand(connection)

    def register(
        self, named: Iterable[KeyFacts], now: datetime, formerly: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> None:
        """Make the stored keys agree with the configuration, and what is stored with how this program reads it.

        `formerly` are the names that keys have had, by the name they have now.
        """
        with self._write() as connection:
            reform.reform(connection)
            keys.register(connection, named, now, formerly)

    def forget(self, key: str) -> Forgotten:
        """Erase a retired key, and what of its history nobody shares. Raises `UsageError` where it must stay."""
        with self._write() as connection:
            return forget.forget(connection, key)

    def schedules(self) -> dict[str, KeySchedule]:
        """What start-up needs to know of each key."""
        with self.read() as connection:
            return keys.schedules(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that cannot write."""
        with engine.begin(self._reader, self.where) as connection:
            yield connection

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Everything written inside the block is undone at its end. One transaction, for one thread; keep it short."""
        with engine.faults(self.where), self._writer.connect() as connection, connection.begin() as undone:
            self._rehearsing = connection
            try:
                yield
            finally:
                self._rehearsing = None
                undone.rollback()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._one_writer:
            if self._rehearsing is not None:
                with self._rehearsing.begin_nested():
                    yield self._rehearsing
            else:
                with engine.begin(self._writer, self.where) as connection:
                    yield connection
