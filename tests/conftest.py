"""What every test may ask for: a clean environment, a clock that waits to be told, and databases.

    database_url    a fresh empty database, once on SQLite and once on PostgreSQL: the test runs twice
    migrated_url    the same with the schema of today, copied from a template that is migrated once per run
    postgres        the PostgreSQL server itself, for what only it can do
    clock           a `Clock`

PostgreSQL is part of the tests. If it cannot start they fail; there is no run that quietly leaves it out.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a developer's shell may hold and a test must not see: a proxy would get the requests meant for fakes on
# loopback, a real key or token could be used, PG… would change what a connection means, colours the output.
STRIPPED_PREFIXES = ("SYNCD_", "VIVIX_", "SLACK_", "PG")
STRIPPED = {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "XDG_CONFIG_HOME", "HEARTBEAT_URL"),
    *("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS", "GITHUB_ACTIONS"),
    *("PYTHONWARNINGS", "PYTHONPATH"),  # which warnings are errors is said in pyproject.toml, once
}

# Here and not in a fixture, so that it holds for fixtures of every scope and for the processes that tests start.
for variable in list(os.environ):
    if variable.upper() in STRIPPED or variable.upper().startswith(STRIPPED_PREFIXES):
        del os.environ[variable]


class Clock:
    """A UTC clock that moves only when told: call it for the time, as with `syncd`'s own."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> datetime:
        """Move on (or back) by so much; the value is the new time."""
        self.now += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """On which database this run of the test is."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if dialect == "sqlite":
        yield sqlite_url(tmp_path / "syncd.db")
        return
    # Asked for only here, so that a run of SQLite's tests alone starts no server.
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as name:
        yield server.url(name)


@pytest.fixture
def migrated_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if dialect == "sqlite":
        template: Path = request.getfixturevalue("migrated_sqlite")
        yield sqlite_url(Path(shutil.copy(template, tmp_path / "syncd.db")))
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database(template=request.getfixturevalue("migrated_postgres")) as name:
        yield server.url(name)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `migrated_url` copies."""
    from syncd.store.schema import migrate  # noqa: PLC0415  tests of pure functions need no store to be importable

    file = tmp_path_factory.mktemp("migrated") / "syncd.db"
    migrate(sqlite_url(file))
    with closing(sqlite3.connect(file)) as connection:
        # Everything into the one file that is copied.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> Iterator[str]:
    """The database that `migrated_url` clones."""
    from syncd.store.schema import migrate  # noqa: PLC0415  as above

    with postgres.database() as name:
        migrate(postgres.url(name))
        yield name


def sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"
