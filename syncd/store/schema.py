"""The schema: Alembic owns tables, files own views.

`migrate` drops every view, runs Alembic to head and creates every view, in one transaction: a reader sees the old
schema or the new one. On SQLite a backup is written first, foreign keys are off while tables are rebuilt (with them on,
rebuilding a parent would delete its children without a word) and checked afterwards.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect

from syncd.errors import SchemaMismatch, StoreError
from syncd.store import engine

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did. `backup` is the copy of a SQLite file that existed before."""

    before: str | None
    after: str
    backup: Path | None = None


def folder() -> Path:
    """Where the migrations lie: in the package once installed, in the repository before."""
    packaged = Path(__file__).parents[1] / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


def alembic_config() -> AlembicConfig:
    """Alembic's view of the migrations, without any ini file."""
    # Imported where it is used: every reading command checks the schema, and none of them migrates.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    return config


def revisions() -> list[str]:
    """Every revision this program knows, oldest first: they are a line, and each file's name begins with its own."""
    return [path.name.partition("_")[0] for path in sorted((folder() / "versions").glob("[0-9]*_*.py"))]


def head() -> str:
    """The revision this program needs."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """The revision the database is at, None if it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def require_head(connection: Connection, where: str) -> None:
    """Raise `SchemaMismatch` unless the database is at the revision this program needs."""
    here, needed = current(connection), head()
    if here == needed:
        return
    if here is None:
        raise SchemaMismatch(
            f"database {where} has no syncd schema yet, this program needs {needed}", "run `syncd migrate`"
        )
    if here not in revisions():
        raise _newer(where, here, needed)
    raise SchemaMismatch(f"database {where}: schema is at {here}, this program needs {needed}", "run `syncd migrate`")


def _newer(where: str, here: str, needed: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"database {where}: schema is at {here}, which this program does not know (it needs {needed})",
        "a newer syncd has migrated it; upgrade this one",
    )


def migrate(url: str, to: str = "head") -> Migrated:
    """Bring the database to a revision, forward only. Raises `SchemaMismatch` where it is newer than this program.

    At head the views are those of this program: one that is missing or whose text has changed has them all made anew.
    Hold the process lock around it.
    """
    migrator = engine.writer(url, foreign_keys=False)
    try:
        with engine.faults(engine.shown_url(url)):
            with migrator.connect() as connection:
                before = current(connection)
                if before is not None and before not in revisions():
                    raise _newer(engine.shown_url(url), before, head())
                target = _resolve(to, before)
                if before == target and (target != head() or _has_views(connection)):
                    return Migrated(before, target)
            backup = _back_up(url, before) if before != target else None
            with migrator.begin() as connection:
                _drop_views(connection)
                _upgrade(connection, target)
                if target == head():
                    _create_views(connection)
            return Migrated(before, target, backup)
    finally:
        migrator.dispose()


def _resolve(to: str, before: str | None) -> str:
    known = revisions()
    wanted = known[-1] if to == "head" else to
    if wanted not in known:
        raise StoreError(f"there is no schema revision {to!r}", f"known: {', '.join(known)}")
    if before is not None and known.index(wanted) < known.index(before):
        raise StoreError(
            f"schema is at {before}, which is newer than {wanted}",
            "migrations go forward only; restore a backup to go back",
        )
    return wanted


def _back_up(url: str, before: str | None) -> Path | None:
    """Copy the file as it is, beside itself, if it holds a schema already."""
    if before is None or not engine.is_sqlite(url):
        return None
    path = engine.sqlite_path(url)
    backup = path.with_name(f"{path.name}.{before}.bak")
    source, target = sqlite3.connect(path), sqlite3.connect(backup)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
    shutil.copymode(path, backup)
    return backup


def _upgrade(connection: Connection, target: str) -> None:
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)
    if connection.dialect.name != "sqlite":
        return
    if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        raise StoreError(
            f"the migration would leave {len(broken)} rows without what they refer to",
            "nothing was changed; report this as a bug",
        )


def view_names(dialect: str) -> list[str]:
    """The views, in the order in which they are created (a later one may use an earlier one)."""
    return list(_views(dialect))


def _views(dialect: str) -> dict[str, str]:
    """Each view's name and text."""
    files = sorted((folder() / "views" / dialect).glob("*.sql"))
    return {path.stem.partition("-")[2]: path.read_text("utf-8").strip() for path in files}


def _has_views(connection: Connection) -> bool:
    """Whether the database has the views of this program, word for word."""
    return _stored_marks(connection) == {name: _mark(text) for name, text in _views(connection.dialect.name).items()}


def _mark(view: str) -> str:
    """Stands for a view's text, without the remarks before it, which SQLite does not keep."""
    return hashlib.sha256(view[view.index("CREATE VIEW") :].encode()).hexdigest()[:16]


# PostgreSQL keeps a view's meaning and not its text, so a comment on the view holds the mark.
_VIEW_COMMENTS: Final = """
    SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
    WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace
"""


def _stored_marks(connection: Connection) -> dict[str, str]:
    """The marks of our views as they are in the database; those that people have made are none of our business."""
    ours = view_names(connection.dialect.name)
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'view'").all()
        return {name: _mark(sql) for name, sql in rows if name in ours}
    rows = connection.exec_driver_sql(_VIEW_COMMENTS).all()
    return {name: (comment or "").rpartition(" ")[2] for name, comment in rows if name in ours}


def _drop_views(connection: Connection) -> None:
    for name in reversed(view_names(connection.dialect.name)):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def _create_views(connection: Connection) -> None:
    for name, text in _views(connection.dialect.name).items():
        connection.exec_driver_sql(text)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"COMMENT ON VIEW {name} IS 'syncd {_mark(text)}'")
