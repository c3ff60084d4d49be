"""Migrations and views: from nothing to today's schema, forward only, all or nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

# Those that fit: there are no downgrades, so nothing can go down and up again.
from pytest_alembic.tests import (  # noqa: F401  pytest collects what is imported
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_upgrade,
)
from sqlalchemy.exc import IntegrityError

from syncd.errors import SchemaMismatch, StoreError
from syncd.store import Store, engine, schema
from syncd.store.tables import metadata
from tests.conftest import Clock, sqlite_url
from tests.postgres import Postgres
from tests.watching import listing, model, watching

# The revision of this program, and those that tests add after it.
TODAY = schema.head()
NEXT, ONE_AFTER = (f"{int(TODAY) + steps:04}" for steps in (1, 2))

# The contract with everybody who queries: names, columns and their order. Additions only, at the end.
VIEWS = {
    "current_models": "key_name slug name category creator description credits_min credits_max params example_request "
    "since missing_since",
    "model_history": "key_name slug name category creator description credits_min credits_max params example_request "
    "valid_from valid_to",
    "credit_history": "key_name slug credits_min credits_max valid_from valid_to",
    "param_history": "key_name slug param type spec valid_from valid_to",
    "change_log": "change_id detected_at key_name slug kind severity path old_value new_value decided witness affects "
    "summary detail state announced_at",
    "condition_log": "condition_id kind severity key_name account destination opened_at closed_at detail",
    "poll_log": "poll_id key_name started_at last_at polls duration_ms outcome http_status error_code request_id "
    "credits_balance rate_limit_remaining",
    "key_status": "key_name account state state_since last_poll_at last_success_at tier credits_balance "
    "calls_per_minute concurrent_jobs model_count held_changes rotated_at",
    "balance_history": "account key_name at credits_balance",
    "alert_log": "delivery_id created_at sent_at channel kind severity state attempts change_count slack_ts last_error",
}


# --- the suite of pytest-alembic, on both databases ----------------------------------------------------------------


@pytest.fixture
def alembic_config() -> Config:
    return schema.alembic_config()


@pytest.fixture
def alembic_engine(database_url: str) -> Iterator[sa.Connection]:
    """One connection, as `migrate` gives one to env.py, and not an engine."""
    with connected(database_url) as connection:
        yield connection


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    migrator = engine.writer(url, foreign_keys=False)
    with migrator.begin() as connection:
        yield connection
    migrator.dispose()


# --- forward -------------------------------------------------------------------------------------------------------


def test_an_empty_database_is_brought_to_head(database_url: str):
    assert schema.migrate(database_url) == schema.Migrated(None, schema.head())
    store = Store(database_url)
    store.open()
    store.close()
    assert tables(database_url) == {*metadata.tables, "alembic_version"}


def test_migrating_again_does_nothing(migrated_url: str):
    before = everything(migrated_url)
    assert schema.migrate(migrated_url) == schema.Migrated(schema.head(), schema.head())
    assert everything(migrated_url) == before


def test_the_tables_are_those_of_the_metadata(migrated_url: str):
    with connected(migrated_url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_a_difference_between_tables_and_metadata_would_be_noticed(migrated_url: str):
    with connected(migrated_url) as connection:
        connection.execute(sa.text("DROP INDEX ix_changes_detected_at"))
        context = MigrationContext.configure(connection)
        assert [step[0] for step in compare_metadata(context, metadata)] == ["add_index"]


def test_every_constraint_has_a_name(migrated_url: str):
    with connected(migrated_url) as connection:
        inspector = sa.inspect(connection)
        for table in metadata.tables:
            unnamed = [
                *(one for one in inspector.get_foreign_keys(table) if not one["name"]),
                *(one for one in inspector.get_unique_constraints(table) if not one["name"]),
                *(one for one in inspector.get_check_constraints(table) if not one["name"]),
            ]
            assert unnamed == []
            assert inspector.get_pk_constraint(table)["name"] == f"pk_{table}"


@pytest.mark.parametrize("unknown", ["9999", "heads", "", "0001x"])
def test_a_revision_that_does_not_exist_is_refused(database_url: str, unknown: str):
    with pytest.raises(StoreError, match=rf"there is no schema revision .*; known: 0001, .*{TODAY}"):
        schema.migrate(database_url, unknown)
    assert tables(database_url) == set()


def alembics_line() -> list[str]:
    """Every revision as Alembic reads them, oldest first."""
    scripts = ScriptDirectory.from_config(schema.alembic_config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def test_the_revisions_are_those_of_alembic_in_its_order():
    assert schema.revisions() == alembics_line()
    assert schema.head() == alembics_line()[-1]


def test_every_migrations_file_name_begins_with_its_revision():
    files = sorted((schema.folder() / "versions").glob("*.py"))
    scripts = ScriptDirectory.from_config(schema.alembic_config())
    by_file = {Path(script.path).name: script.revision for script in scripts.walk_revisions()}
    assert by_file.keys() == {file.name for file in files}
    assert [name.partition("_")[0] for name in by_file] == list(by_file.values())


def test_ten_revisions_are_in_alembics_order_too(scripts: Path):
    known = schema.revisions()
    for number in range(int(NEXT), int(NEXT) + 10):
        add_revision(scripts, "pass", number)
    (scripts / "versions" / f"{int(NEXT) + 10:04}_notes.txt").touch()
    assert schema.revisions() == alembics_line()
    assert len(schema.revisions()) == len(known) + 10


def test_who_only_reads_need_not_load_alembic(migrated_sqlite: Path):
    code = "import sys; from syncd.store import Store; Store(sys.argv[1]).open(); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, sqlite_url(migrated_sqlite)], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_a_database_whose_revision_was_never_written_has_no_schema(database_url: str):
    execute(database_url, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    store = Store(database_url)
    with pytest.raises(SchemaMismatch, match="has no syncd schema yet"):
        store.open()
    store.close()
    assert schema.migrate(database_url) == schema.Migrated(None, schema.head())


def test_a_newer_schema_is_refused_by_all_and_left_alone(migrated_url: str):
    execute(migrated_url, "UPDATE alembic_version SET version_num = 'from_the_future'")
    before = everything(migrated_url)
    store = Store(migrated_url)
    for attempt in (store.open, lambda: schema.migrate(migrated_url)):
        with pytest.raises(SchemaMismatch, match=r"from_the_future.*a newer syncd has migrated it; upgrade this one"):
            attempt()
    store.close()
    assert everything(migrated_url) == before


def test_an_older_schema_is_refused_with_the_command_that_helps(migrated_url: str, another_revision: Path):
    store = Store(migrated_url)
    with pytest.raises(SchemaMismatch, match=f"schema is at {TODAY}, this program needs {NEXT}; run `syncd migrate`"):
        store.open()
    schema.migrate(migrated_url)
    store.open()
    store.close()


# --- another revision ----------------------------------------------------------------------------------------------

ADD_TABLE = 'op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))'
REBUILD = """
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("note", sa.String))
        keys.alter_column("account", existing_type=sa.String, nullable=True)
"""
FAILS_LATE = (
    ADD_TABLE + '\n    op.execute("UPDATE api_keys SET account = \'lost\'")\n    op.execute("SELECT * FROM nowhere")'
)
ORPHANS = """
    op.execute("INSERT INTO snapshots (id, key_id, taken_at, form, digest, complete, model_count, account) "
               "VALUES (77, 4711, '2026-01-01 00:00:00.000000', 1, 'x', TRUE, 0, '{}')")
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations that a test may change."""
    copy = tmp_path / "migrations 100%"  # Alembic reads % as the beginning of a variable
    shutil.copytree(schema.folder(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "folder", lambda: copy)
    return copy


def add_revision(scripts: Path, body: str, number: int = int(NEXT)) -> None:
    text = f"""
import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = "{number - 1:04}"


def upgrade():
    {body}
"""
    (scripts / "versions" / f"{number:04}_more.py").write_text(text)


@pytest.fixture
def another_revision(scripts: Path) -> Path:
    add_revision(scripts, ADD_TABLE)
    return scripts


def test_a_step_at_a_time(database_url: str, another_revision: Path):
    add_revision(another_revision, 'op.add_column("later", sa.Column("x", sa.Integer))', number=int(ONE_AFTER))
    assert schema.migrate(database_url, "0001").after == "0001"
    assert views(database_url) == {}  # those of this program belong to head
    assert schema.migrate(database_url, "0001") == schema.Migrated("0001", "0001")
    assert schema.migrate(database_url, TODAY).before == "0001"
    assert (views(database_url), "later" in tables(database_url)) == ({}, False)
    assert (schema.migrate(database_url, NEXT).before, "later" in tables(database_url)) == (TODAY, True)
    assert schema.migrate(database_url).after == ONE_AFTER
    assert set(views(database_url)) == set(VIEWS)


def test_there_is_no_way_back(migrated_url: str, another_revision: Path):
    schema.migrate(migrated_url)
    with pytest.raises(StoreError, match=f"newer than {TODAY}; migrations go forward only; restore a backup"):
        schema.migrate(migrated_url, TODAY)
    assert set(views(migrated_url)) == set(VIEWS)


def test_a_migration_that_fails_leaves_everything_as_it_was(migrated_url: str, scripts: Path, clock: Clock):
    with watching(migrated_url, clock) as watch:
        watch.answer("prod", listing(model("a")))
        before = everything(migrated_url)
        add_revision(scripts, FAILS_LATE)
        with pytest.raises(StoreError, match="nowhere"):
            schema.migrate(migrated_url)
        assert everything(migrated_url) == before
        assert watch.one("SELECT account FROM api_keys") == "acme"
        assert watch.answer("prod", listing(model("a"))).outcome == "unchanged"


def test_a_view_that_cannot_be_made_leaves_everything_as_it_was(migrated_url: str, another_revision: Path):
    before = everything(migrated_url)
    for file in another_revision.glob("views/*/95-*"):
        file.write_text("CREATE VIEW alert_log AS SELECT nothing FROM nowhere")
    if migrated_url.startswith("sqlite"):  # which looks into a view only when it is asked
        next(another_revision.glob("views/sqlite/95-*")).write_text("CREATE VIEW alert_log AS SELECT FROM")
    with pytest.raises(StoreError):
        schema.migrate(migrated_url)
    assert everything(migrated_url) == before


def test_rebuilding_a_table_keeps_its_rows_and_those_that_refer_to_it(migrated_url: str, scripts: Path, clock: Clock):
    with watching(migrated_url, clock) as watch:
        watch.answer("prod", listing(model("a"), model("b")))
        add_revision(scripts, REBUILD)
        schema.migrate(migrated_url)
        assert watch.rows("SELECT name, note FROM api_keys") == [("prod", None)]
        assert watch.one("SELECT COUNT(*) FROM current_models") == 2
        assert watch.answer("prod", listing(model("a"))).changes == 1


def test_a_migration_may_not_leave_rows_that_refer_to_nothing(migrated_url: str, scripts: Path):
    before = everything(migrated_url)
    add_revision(scripts, ORPHANS)
    with pytest.raises(StoreError, match=r"1 rows without what they refer to|foreign key"):
        schema.migrate(migrated_url)
    assert everything(migrated_url) == before


def test_a_file_is_backed_up_before_it_is_migrated(migrated_sqlite: Path, tmp_path: Path, another_revision: Path):
    file = Path(shutil.copy(migrated_sqlite, tmp_path / "syncd.db"))
    file.chmod(0o600)
    with watching(sqlite_url(file), Clock()) as watch:
        # What has not reached the file itself yet is saved too.
        watch.add("prod")
        done = schema.migrate(sqlite_url(file))
    assert done.backup == tmp_path / f"syncd.db.{TODAY}.bak"
    assert done.backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(done.backup)) as saved:
        assert saved.execute("SELECT version_num FROM alembic_version").fetchone() == (TODAY,)
        assert saved.execute("SELECT name FROM api_keys").fetchall() == [("prod",)]
        assert saved.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_without_a_migration_there_is_no_backup(migrated_sqlite: Path, tmp_path: Path):
    file = Path(shutil.copy(migrated_sqlite, tmp_path / "syncd.db"))
    execute(sqlite_url(file), "DROP VIEW poll_log")
    assert schema.migrate(sqlite_url(file)).backup is None
    assert schema.migrate(sqlite_url(tmp_path / "new.db")).backup is None
    assert list(tmp_path.glob("*.bak")) == []


# --- from 0001, which is in use ------------------------------------------------------------------------------------

MOMENT = "'2026-03-02 09:00:00.000000'"
ROWS_OF_0001 = f"""
INSERT INTO api_keys (id, name, account, base_url, labels, fingerprint, added_at, state, state_since, failures)
    VALUES (1, 'prod', 'acme', 'https://vendor.example', '{{}}', '0123abcd', {MOMENT}, 'ok', {MOMENT}, 0);
INSERT INTO snapshots (id, key_id, taken_at, form, digest, complete, model_count, account)
    VALUES (1, 1, {MOMENT}, 1, 'd', TRUE, 1, '{{}}');
INSERT INTO changes (id, key_id, snapshot_id, detected_at, kind, severity, slug, path, decided, affects, summary,
        detail, fingerprint, state, held_polls)
    VALUES (1, 1, 1, {MOMENT}, 'model.added', 'additive', 'a', '', TRUE, '[]', 'a is new', '{{}}', 'f', 'announced', 0),
        (2, 1, 1, {MOMENT}, 'model.added', 'additive', 'b', '', TRUE, '[]', 'b is new', '{{}}', 'g', 'announced', 0);
INSERT INTO conditions (id, kind, subject, key_id, severity, opened_at, detail)
    VALUES (1, 'key.rejected', 'key:prod', 1, 'breaking', {MOMENT}, '{{}}');
INSERT INTO destinations (id, spec, frozen_until, fence) VALUES (1, 'console', {MOMENT}, 3), (2, 'slack:#a', NULL, 0);
INSERT INTO deliveries (id, destination_id, op, kind, severity, change_count, message, state, created_at, attempts,
        rung, fence, last_error)
    VALUES ('dlv_1', 1, 'post', 'changes', 'additive', 1, '{{}}', 'sent', {MOMENT}, 1, 'rich', 3, NULL),
        ('dlv_2', 1, 'post', 'conditions', 'breaking', 0, '{{}}', 'unknown', {MOMENT}, 2, 'plain', 3, 'no answer');
INSERT INTO attempts (id, delivery_id, started_at, ended_at, outcome)
    VALUES (1, 'dlv_1', {MOMENT}, {MOMENT}, 'delivered');
INSERT INTO announcements (id, change_id, condition_id, edge, destination_id, delivery_id, route, created_at,
        not_before, state)
    VALUES (1, 1, NULL, NULL, 1, 'dlv_1', 'all', {MOMENT}, {MOMENT}, 'sent'),
        (2, NULL, 1, 'opened', 1, 'dlv_2', 'all', {MOMENT}, {MOMENT}, 'sent'),
        (3, 1, NULL, NULL, 2, NULL, 'chat', {MOMENT}, {MOMENT}, 'queued'),
        (4, 2, NULL, NULL, 2, NULL, 'chat', {MOMENT}, {MOMENT}, 'below_threshold');
INSERT INTO silences (id, matchers, created_at, until, author, comment)
    VALUES (1, '{{}}', {MOMENT}, {MOMENT}, 'somebody', '');
"""


@pytest.fixture
def old_url(database_url: str) -> str:
    """A database that the first version of syncd wrote, with something in every table that alerts have to do with."""
    schema.migrate(database_url, "0001")
    for statement in filter(str.strip, ROWS_OF_0001.split(";")):
        execute(database_url, statement)
    return database_url


def test_every_row_of_0001_is_kept(old_url: str):
    before = rows(old_url)
    assert all(before[table] for table in ("api_keys", "changes", "conditions", "announcements", "deliveries"))
    done = schema.migrate(old_url)
    after = rows(old_url)
    assert (done.before, done.after) == ("0001", TODAY)
    assert before == {
        table: [{name: one[name] for name in kept[0]} for one in after[table]] if kept else after[table]
        for table, kept in before.items()
    }


def test_what_0002_adds_to_rows_is_empty(old_url: str):
    before = rows(old_url)
    schema.migrate(old_url, "0002")
    added = {
        (table, name, value)
        for table, found in rows(old_url).items()
        for one in found
        for name, value in one.items()
        if name not in before[table][0]
    }
    assert added == {
        ("announcements", "notice_id", None),
        ("announcements", "silence_id", None),
        ("deliveries", "looks", 0),
        ("destinations", "last_error", None),
        ("silences", "told_at", None),
    }


ANNOUNCEMENT = (
    "INSERT INTO announcements (change_id, condition_id, edge, notice_id, destination_id, route, created_at, "
    f"not_before, state) VALUES ({{}}, {{}}, {{}}, {{}}, 2, 'chat', {MOMENT}, {MOMENT}, 'queued')"
)


@pytest.mark.parametrize(
    "subject",
    [
        ("NULL", "NULL", "NULL", "NULL"),
        ("1", "1", "'closed'", "NULL"),
        ("1", "NULL", "NULL", "1"),
        ("NULL", "1", "'closed'", "1"),
        ("1", "1", "'closed'", "1"),
    ],
)
def test_an_announcement_from_then_on_is_of_exactly_one_thing(old_url: str, subject: tuple[str, ...]):
    schema.migrate(old_url)
    execute(old_url, "DELETE FROM announcements")
    execute(old_url, A_NOTICE)
    with pytest.raises(IntegrityError, match="ck_announcements_subject"):
        execute(old_url, ANNOUNCEMENT.format(*subject))
    assert rows(old_url)["announcements"] == []


def test_a_change_a_condition_and_a_notice_are_each_announced_once(old_url: str):
    schema.migrate(old_url)
    execute(old_url, "DELETE FROM announcements")
    execute(old_url, A_NOTICE)
    for subject in (("1", "NULL", "NULL", "NULL"), ("NULL", "1", "'closed'", "NULL"), ("NULL", "NULL", "NULL", "1")):
        execute(old_url, ANNOUNCEMENT.format(*subject))
        with pytest.raises(IntegrityError, match=r"uq_announcements_|UNIQUE constraint failed"):
            execute(old_url, ANNOUNCEMENT.format(*subject))
    assert len(rows(old_url)["announcements"]) == 3


A_NOTICE = f"INSERT INTO notices (id, kind, subject, created_at, detail) VALUES (1, 'summary', 's', {MOMENT}, '{{}}')"


# --- views ---------------------------------------------------------------------------------------------------------


def test_the_views_are_those_that_were_promised(migrated_url: str):
    assert views(migrated_url) == {name: columns.split() for name, columns in VIEWS.items()}


def test_both_databases_have_a_file_for_every_view():
    assert schema.view_names("sqlite") == schema.view_names("postgresql")
    assert sorted(schema.view_names("sqlite")) == sorted(VIEWS)


def test_a_view_that_is_missing_is_made_again(migrated_url: str):
    execute(migrated_url, "DROP VIEW poll_log")
    assert schema.migrate(migrated_url) == schema.Migrated(TODAY, TODAY)
    assert set(views(migrated_url)) == set(VIEWS)


def test_a_view_that_this_program_words_otherwise_is_made_anew(migrated_url: str, scripts: Path):
    for file in scripts.glob("views/*/90-*"):
        file.write_text(file.read_text().replace("p.credits_balance\n", "p.credits_balance,\n    p.outcome\n"))
    schema.migrate(migrated_url)
    assert views(migrated_url)["balance_history"] == [*VIEWS["balance_history"].split(), "outcome"]
    before = everything(migrated_url)
    schema.migrate(migrated_url)
    assert everything(migrated_url) == before


def test_remarks_in_a_view_file_are_no_difference(migrated_url: str, scripts: Path, dialect: str):
    before = oids(migrated_url)
    for file in scripts.glob("views/*/*.sql"):
        file.write_text("-- Another remark.\n" + file.read_text() + "\n\n")
    schema.migrate(migrated_url)
    assert oids(migrated_url) == before


def test_peoples_own_views_are_left_alone(migrated_url: str):
    execute(migrated_url, "CREATE VIEW my_polls AS SELECT outcome FROM polls")
    schema.migrate(migrated_url)
    execute(migrated_url, "DROP VIEW key_status")
    schema.migrate(migrated_url)
    assert views(migrated_url)["my_polls"] == ["outcome"]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_persons_view_upon_ours_is_named_where_it_stands_in_the_way(migrated_url: str, another_revision: Path):
    execute(migrated_url, "CREATE VIEW my_polls AS SELECT outcome FROM poll_log")
    before = everything(migrated_url)
    with pytest.raises(StoreError, match=r"my_polls.*drop that, migrate, and create it again"):
        schema.migrate(migrated_url)
    assert everything(migrated_url) == before


def test_a_reader_never_misses_a_view(migrated_url: str, scripts: Path):
    stop, misses, looks = threading.Event(), [], []
    store = Store(migrated_url)

    def look() -> None:
        while not stop.is_set():
            try:
                with store.read() as connection:
                    connection.execute(sa.text("SELECT COUNT(*) FROM balance_history"))
                looks.append(1)
            except StoreError as error:
                misses.append(str(error))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for turn in range(6):
            for file in scripts.glob("views/*/90-*"):
                file.write_text(file.read_text() + f"\nAND {turn} = {turn}")
            schema.migrate(migrated_url)
    finally:
        stop.set()
        reader.join()
        store.close()
    assert looks
    assert misses == []


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_server_of_which_somebody_else_owns_the_schema(migrated_url: str, postgres: Postgres):
    """Views of the same names in other schemas of the database are not ours."""
    execute(migrated_url, "CREATE SCHEMA other")
    execute(migrated_url, "CREATE VIEW other.poll_log AS SELECT 1 AS one")
    before = everything(migrated_url)
    assert schema.migrate(migrated_url) == schema.Migrated(TODAY, TODAY)
    assert everything(migrated_url) == before


# --- looking behind the program's back -----------------------------------------------------------------------------


def execute(url: str, statement: str) -> None:
    plain = sa.create_engine(url)
    try:
        with plain.begin() as connection:
            connection.execute(sa.text(statement))
    finally:
        plain.dispose()


def rows(url: str) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, in the order of the keys."""
    with connected(url) as connection:
        found = {}
        for table in sorted(set(sa.inspect(connection).get_table_names()) - {"alembic_version"}):
            kept = connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1"))
            found[table] = [dict(row) for row in kept.mappings()]
    return found


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(sa.inspect(connection).get_table_names())


def views(url: str) -> dict[str, list[str]]:
    with connected(url) as connection:
        inspector = sa.inspect(connection)
        names = inspector.get_view_names()
        return {name: [column["name"] for column in inspector.get_columns(name)] for name in names}


def oids(url: str) -> list[tuple[object, ...]]:
    """What changes when a view is made anew."""
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            return [tuple(row) for row in connection.exec_driver_sql("PRAGMA schema_version")]
        query = "SELECT relname, oid FROM pg_class WHERE relkind = 'v' ORDER BY 2"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def everything(url: str) -> list[object]:
    """Every table with its rows, every view with its making, the revision."""
    with connected(url) as connection:
        inspector = sa.inspect(connection)
        found: list[object] = []
        for name in sorted(inspector.get_table_names()):
            columns = [(column["name"], str(column["type"])) for column in inspector.get_columns(name)]
            rows = sorted(map(str, connection.execute(sa.text(f"SELECT * FROM {name}"))))
            found += [(name, columns, rows)]
        found += [(name, inspector.get_view_definition(name)) for name in sorted(inspector.get_view_names())]
    return [*found, *([] if url.startswith("sqlite") else oids(url))]
