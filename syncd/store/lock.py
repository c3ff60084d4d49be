"""One syncd process at a time works on a database: `run`, `once`, `migrate`. Readers need no lock.

SQLite: a lock on a file beside the database, which the system releases with the process. PostgreSQL: an advisory lock,
which lives as long as its connection: a daemon asks now and then whether it still has it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from syncd.errors import LockHeld, StoreError, StoreUnavailable
from syncd.store import engine

# "syncd" in ASCII: the number by which PostgreSQL knows the lock, within one database.
ADVISORY_KEY: Final = 0x73796E6364

# Makes sure that the lock is still held, and takes it again where its connection broke. Raises `LockHeld` if another
# process has it by now, `StoreUnavailable` if that cannot be known yet.
Confirm = Callable[[], None]


@contextmanager
def held(url: str) -> Iterator[Confirm]:
    """Hold the database's process lock, or raise `LockHeld`. It is released however the process ends."""
    with _file(engine.sqlite_path(url)) if engine.is_sqlite(url) else _advisory(url) as confirm:
        yield confirm


@contextmanager
def _file(database: Path) -> Iterator[Confirm]:
    engine.check_place(database)
    # Behind a link lies the same database, and so the same lock.
    database = database.resolve()
    path = database.with_name(database.name + ".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"lock {path}: {error.strerror}", "give the user syncd runs as write permission to the folder"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise _held(str(database), f" (process {holder})" if holder else "") from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield _Files(database, path).confirm
    finally:
        os.close(descriptor)  # which releases the lock; the file stays, so that no two processes lock two files


class _Files:
    """The database's file and its lock's: once they are others at the same place, what is written is lost."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._known: dict[Path, int] = {}

    def confirm(self) -> None:
        """See `Confirm`. The database may come into being after the lock."""
        for path in self._paths:
            here = _inode(path)
            if here is not None:
                self._known.setdefault(path, here)
            if self._known.get(path) != here:
                what = f"{path} is gone or was replaced while syncd used it"
                raise LockHeld(what, "put it back, then start syncd again")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


@contextmanager
def _advisory(url: str) -> Iterator[Confirm]:
    writer = engine.writer(url)
    try:
        lock = _AdvisoryLock(writer, engine.shown_url(url))
        lock.confirm()
        try:
            yield lock.confirm
        finally:
            lock.give_back()
    finally:
        writer.dispose()


# Who holds the lock: PostgreSQL shows the number in two halves.
_HOLDER: Final = """
    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database AND datname = current_database()
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32) + objid::bigint = :key
"""


class _AdvisoryLock:
    """The lock and the one connection that holds it, which is absent until the first `confirm` and while it is lost."""

    def __init__(self, writer: Engine, where: str) -> None:
        self._writer = writer
        self._where = where
        self._connection: Connection | None = None
        self._backend: int | None = None

    def confirm(self) -> None:
        """See `Confirm`."""
        if not self._alive():
            self._forget()
            self._take()

    def give_back(self) -> None:
        """Unlock now, and not when PostgreSQL notices that the connection has ended."""
        if self._connection is not None:
            with suppress(DBAPIError):  # one that broke has nothing to give back
                self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_KEY})
        self._forget()

    def _alive(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
            self._connection.rollback()
        except DBAPIError:
            return False
        return True

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # so that no pool keeps it: what it holds goes with it
            self._connection.close()
            self._connection = None

    def _take(self) -> None:
        with engine.faults(self._where), ExitStack() as undo:
            connection = undo.enter_context(self._writer.connect())
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}):
                raise self._refused(connection)
            self._backend = connection.scalar(text("SELECT pg_backend_pid()"))
            connection.commit()  # a session lock outlives its transaction
            self._connection = connection
            undo.pop_all()

    def _refused(self, connection: Connection) -> StoreError:
        """Our own broken connection may hold the lock until PostgreSQL notices that nobody is at its other end."""
        if self._backend is not None and self._backend == connection.scalar(text(_HOLDER), {"key": ADVISORY_KEY}):
            return StoreUnavailable(
                f"database {self._where}: a broken connection still holds the process lock",
                "PostgreSQL lets go of it by itself; syncd asks again",
            )
        return _held(self._where, "")


def _held(database: str, who: str) -> LockHeld:
    return LockHeld(f"another syncd process works on {database}{who}", "stop it first, or let it do the work")
