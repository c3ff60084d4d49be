"""One syncd process at a time works on a database: `run`, `once`, `migrate`. Readers need no lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text

from syncd.errors import LockHeld, StoreUnavailable
from syncd.store import engine

# "syncd" in ASCII: the number by which PostgreSQL knows the lock, within one database.
ADVISORY_KEY: Final = 0x73796E6364


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold the database's process lock, or raise `LockHeld`. It is released however the process ends."""
    with _file(engine.sqlite_path(url)) if engine.is_sqlite(url) else _advisory(url):
        yield


@contextmanager
def _file(database: Path) -> Iterator[None]:
    engine.check_place(database)
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
        yield
    finally:
        os.close(descriptor)  # which releases the lock; the file stays, so that no two processes lock two files


@contextmanager
def _advisory(url: str) -> Iterator[None]:
    writer = engine.writer(url)
    try:
        with engine.faults(engine.shown_url(url)), writer.connect() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}):
                raise _held(engine.shown_url(url), "")
            connection.commit()  # a session lock outlives its transaction
            yield
    finally:
        writer.dispose()


def _held(database: str, who: str) -> LockHeld:
    return LockHeld(f"another syncd process works on {database}{who}", "stop it first, or let it do the work")
