"""The fixtures themselves: what the other tests take for granted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from tests.conftest import Clock
from tests.postgres import TIMEZONE, Postgres


def test_the_server_answers(postgres: Postgres) -> None:
    with postgres.connect("postgres") as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)


def test_the_server_is_in_an_odd_time_zone(postgres: Postgres) -> None:
    with postgres.connect("postgres") as connection:
        assert connection.execute("SHOW timezone").fetchone() == (TIMEZONE,)


def test_two_clones_start_alike_and_are_independent(postgres: Postgres) -> None:
    with postgres.database() as template:
        with postgres.connect(template) as connection:
            connection.execute("CREATE TABLE things (name text)")
            connection.execute("INSERT INTO things VALUES ('from the template')")
        with postgres.database(template) as first, postgres.database(template) as second:
            with postgres.connect(first) as connection:
                connection.execute("INSERT INTO things VALUES ('only here')")
            assert count_things(postgres, first) == 2
            assert count_things(postgres, second) == 1


def test_a_dropped_database_is_gone_even_if_somebody_was_still_connected(postgres: Postgres) -> None:
    with postgres.database() as name:
        forgotten = postgres.connect(name)
    with postgres.connect("postgres") as connection:
        query = "SELECT count(*) FROM pg_database WHERE datname = %s"
        assert connection.execute(query, (name,)).fetchone() == (0,)
    forgotten.close()


def test_the_server_goes_when_its_user_is_killed() -> None:
    code = "from tests.postgres import Postgres; print(Postgres().url('postgres'), flush=True); input()"
    user = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with user:
        assert user.stdout is not None
        folder = Path(user.stdout.readline().partition("host=")[2].partition("&")[0])
        assert (folder / ".s.PGSQL.5432").exists()
        user.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()


def test_a_fresh_database_is_empty_on_both(database_url: str, dialect: str) -> None:
    engine = sa.create_engine(database_url)
    assert engine.dialect.name == dialect
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_the_clock_moves_only_when_told(clock: Clock) -> None:
    before = clock()
    assert clock() == before
    assert clock.advance(hours=1, seconds=-1) == clock()
    assert (clock() - before).total_seconds() == 3599
    clock.now = datetime(2030, 1, 1, tzinfo=UTC)
    assert clock() == datetime(2030, 1, 1, tzinfo=UTC)


def count_things(postgres: Postgres, database: str) -> int:
    with postgres.connect(database) as connection:
        (count,) = connection.execute("SELECT count(*) FROM things").fetchone() or (0,)
        return int(count)
