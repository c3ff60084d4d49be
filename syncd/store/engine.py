"""Connections: how a transaction begins on each database, which faults mean what, and what is refused at the door.

SQLite: the driver's own transaction handling is off. SQLAlchemy's default begins at the first write; 16 threads that
read, then write, then lost most of their updates without an error. Every writing transaction here is `BEGIN IMMEDIATE`
behind one process-wide lock. WAL, foreign keys on, `synchronous=FULL`: what the outbox promises outlives a power cut.

PostgreSQL: ordinary transactions; `Store.begin` locks the key's row first.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from syncd.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    import psycopg

# How long a statement waits for another process's lock before it gives up.
BUSY_SECONDS: Final = 10
CONNECT_SECONDS: Final = 10

# SQLite's locks do not work there: two daemons would corrupt the file.
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "lustre",
        "ncpfs",
    }
)


def is_sqlite(url: str) -> bool:
    """Whether the database is a SQLite file."""
    return make_url(url).get_backend_name() == "sqlite"


def sqlite_path(url: str) -> Path:
    """The file behind a SQLite URL."""
    return Path(make_url(url).database or "")


def shown_url(url: str) -> str:
    """The URL without its password."""
    parsed = make_url(url)
    # libpq takes a password among the parameters too.
    hidden = {name: "***" for name in parsed.query if name in _SECRET_PARAMETERS}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


_SECRET_PARAMETERS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})


def writer(url: str, *, foreign_keys: bool = True) -> Engine:
    """An engine for writing: `engine.begin()` takes the write lock before anything is read."""
    if is_sqlite(url):
        check_place(sqlite_path(url))
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _no_driver_transactions)
        event.listen(
            engine,
            "connect",
            _pragmas("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={'ON' if foreign_keys else 'OFF'}"),
        )
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine
    engine = create_engine(_postgres(url), pool_pre_ping=True, pool_size=5, max_overflow=32)
    event.listen(engine, "connect", _no_endless_waits)
    return engine


def reader(url: str) -> Engine:
    """An engine that cannot write: `mode=ro` on SQLite, read-only transactions on PostgreSQL."""
    if is_sqlite(url):
        read_only = URL.create(
            "sqlite", database=f"file:{_quoted(sqlite_path(url))}", query={"mode": "ro", "uri": "true"}
        )
        engine = create_engine(read_only, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _no_driver_transactions)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        return engine
    # Repeatable read: PostgreSQL's default shows every statement of a transaction another state.
    one_view = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    engine = create_engine(_postgres(url), poolclass=NullPool, execution_options=one_view)
    event.listen(engine, "connect", _no_endless_waits)
    event.listen(engine, "connect", _json_as_text)
    return engine


def _no_endless_waits(connection: psycopg.Connection, _record: object) -> None:
    """A person who left a transaction open must not stop the daemon without a word."""
    connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'".encode())
    connection.commit()


def _json_as_text(connection: psycopg.Connection, _record: object) -> None:
    """JSON as it is written: psycopg would make floats of exact numbers."""
    from psycopg.types.json import set_json_loads  # noqa: PLC0415  without the extra `postgres` there is no psycopg

    set_json_loads(lambda data: data.decode() if isinstance(data, bytes) else data, connection)


def ping(url: str) -> None:
    """Raise `StoreUnavailable` unless the database answers."""
    asker = reader(url)
    try:
        with begin(asker, shown_url(url)) as connection:
            connection.exec_driver_sql("SELECT 1")
    finally:
        asker.dispose()


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _postgres(url: str) -> URL:
    parsed = make_url(url)
    if "connect_timeout" in parsed.query:
        return parsed
    return parsed.update_query_dict({"connect_timeout": str(CONNECT_SECONDS), "application_name": "syncd"})


def _no_driver_transactions(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None


def _pragmas(*pragmas: str) -> Callable[[sqlite3.Connection, object], None]:
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    return prepare


@contextmanager
def begin(engine: Engine, where: str) -> Iterator[Connection]:
    """One transaction; on an engine of `reader` one consistent view. `where` names the database in errors."""
    with faults(where), engine.begin() as connection:
        yield connection


@contextmanager
def faults(where: str) -> Iterator[None]:
    """Turn the driver's errors into ours: what happened, to which database, and what to do."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error, where) from error
    except PoolTimeout as error:
        raise StoreUnavailable(f"database {where}: every connection is in use", "look for what blocks it") from error
    except sqlite3.Error as error:
        raise StoreUnavailable(f"database {where}: {error}", _hint(str(error))) from error


# What SQLite says -> what to do about it.
_HINTS: Final = {
    "database is locked": "another process writes to it for longer than syncd waits; stop that process",
    "lock timeout": "another session holds a lock on it for longer than syncd waits; end that session",
    "depend on it": "somebody has built on a view of syncd; drop that, migrate, and create it again",
    "readonly database": "give the user syncd runs as write permission to the file and its folder",
    "unable to open database file": "create the folder and give the user syncd runs as write permission to it",
    "disk is full": "free some space; syncd goes on by itself",
    "disk I/O error": "check the disk; syncd goes on by itself once it works",
    "file is not a database": "database.url names a file that is something else; name another one",
    "malformed": "the file is damaged; restore a backup",
}


def _hint(said: str) -> str:
    return next((hint for part, hint in _HINTS.items() if part in said), "")


def _translate(error: DBAPIError, where: str) -> StoreError:
    said = " ".join(str(error.orig).split())
    hint = _hint(said)
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return StoreUnavailable(
            f"database {where}: {said}", hint or "check that the database is up and database.url is right"
        )
    return StoreError(f"database {where}: {said}", hint)


def check_place(path: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Refuse a folder that is missing or lies on a network file system."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"database {path}: the folder {folder} does not exist", "create it, or check database.url")
    kind = file_system(folder, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"database {path}: {folder} is on a network file system ({kind}), where SQLite's locks do not work",
            "put the file on a local disk, or use PostgreSQL",
        )


def file_system(folder: Path, mounts: Path) -> str | None:
    """The type of the file system a folder lies on, None where the system does not tell (not Linux)."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    real = os.path.realpath(folder)
    found = [
        (point, kind) for point, kind in map(_mount, lines) if real == point or real.startswith(point.rstrip("/") + "/")
    ]
    # The deepest mount point holds the folder; of several mounts at one point the last covers the others.
    return max(enumerate(found), key=lambda item: (len(item[1][0]), item[0]))[1][1] if found else None


def _mount(line: str) -> tuple[str, str]:
    _, point, kind, *_ = line.split(" ", 3)
    return point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"), kind
