"""The database's URL: only what keeps history, and whole, so that it means the same in every folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from syncd.config.problems import Refused

_HINT = 'write "sqlite:///path/to/file.db" or "postgresql+psycopg://user@host/database"'


def state_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """Where a relative database path starts. systemd lists several state directories with colons: the first counts."""
    return cwd / next((part for part in environ.get("STATE_DIRECTORY", "").split(":") if part), "")


def whole_url(given: str, base: Path) -> str:
    """The URL with its driver, and with an absolute path where it was relative to `base`."""
    scheme, mark, rest = given.partition("://")
    if not given.isprintable() or given != given.strip():
        raise Refused("holds white space or a control character", "remove it; inside a password write it as %20")
    if not mark:
        raise Refused("is not a database URL", _HINT)
    match scheme.lower():
        case "sqlite":
            return _sqlite_url(rest, base)
        case "postgresql+psycopg" | "postgresql" | "postgres":  # the short forms are what hosters let people copy
            if not rest.strip("/"):
                raise Refused("names no database", _HINT)
            return f"postgresql+psycopg://{rest}"
        case _:
            raise Refused("is not a database that syncd can use: SQLite and PostgreSQL", _HINT)


def _sqlite_url(rest: str, base: Path) -> str:
    name = unquote(rest.removeprefix("/"))
    if not name or ":memory:" in name or "mode=memory" in rest:
        raise Refused("is a database in memory, whose history ends with the process", _HINT)
    if not rest.startswith("/"):
        raise Refused("has two slashes", "write three before a relative path and four before an absolute one")
    if "?" in rest or name.startswith("file:"):
        raise Refused("holds options", "write only the path; syncd sets what SQLite needs itself")
    if name.startswith("~"):
        raise Refused("starts with ~, which is not expanded here", "write the whole path, with four slashes")
    path = str(base / name)
    if name.endswith("/") or not path.isprintable():  # the base may hold bytes that are no text
        raise Refused("names no file", _HINT)
    # Percent signs and the like as SQLAlchemy reads them back; a space stays readable.
    return "sqlite:///" + quote(path, safe="/ ")
