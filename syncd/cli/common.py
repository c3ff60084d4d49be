"""What commands share: the options before the command's name, and how the configuration and the database are opened."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syncd.errors import SyncdError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.config import Config


class LogLevel(StrEnum):
    """Levels of the log, most first."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class LogFormat(StrEnum):
    """How log lines look."""

    auto = "auto"
    text = "text"
    json = "json"


@dataclass(frozen=True, slots=True)
class Options:
    """The options before the command's name."""

    config: Path | None
    log_level: LogLevel
    log_format: LogFormat
    debug: bool


def user() -> str:
    """Who runs the command, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a process of a user id without a name
        return f"user {os.getuid()}"


def load(options: Options, *, secrets: bool = True, requests: bool | None = None) -> Config:
    """Find and read the configuration, and switch logging on. Without `secrets` no key is looked up: they are empty.

    Saved `requests` are read where secrets are, if it is not said.
    """
    from syncd import config
    from syncd.cli import logs
    from syncd.core.rules import KINDS

    logs.configure(options.log_level, options.log_format)
    here = Path.cwd()
    found = config.find(str(options.config) if options.config is not None else None, os.environ, here)
    return config.load(found, os.environ, here, known_kinds=KINDS, secrets=secrets, requests=requests)


@contextmanager
def reading(options: Options) -> Iterator[Connection]:
    """The database of the configuration, for questions only. Never migrates.

    Needs no secret: under systemd the credentials are not there for whoever asks from a shell.
    """
    with opened(load(options, secrets=False).database.url) as connection:
        yield connection


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """A connection that cannot write, to a database at this program's schema."""
    from syncd.store import Store

    store = Store(url)
    try:
        store.open()
        with store.read() as connection:
            yield connection
    finally:
        store.close()


def one_line(error: SyncdError) -> str:
    """An error for people: what, where, and what to do."""
    return f"syncd: {error}"


def closest(slug: str, listed: Sequence[str]) -> list[str]:
    """Slugs that may have been meant: those it is a part of, then those that are spelled like it."""
    folded = {one.casefold(): one for one in listed}
    wanted = slug[:_LONGEST].casefold()
    like = [folded[one] for one in get_close_matches(wanted, folded, n=_MOST_CLOSE)]
    within = [one for one in listed if wanted in one.casefold()] if wanted else []
    return list(dict.fromkeys([*within, *like]))[:_MOST_CLOSE]


_MOST_CLOSE: Final = 3
# Comparing takes time quadratic in the length; no slug is so long.
_LONGEST: Final = 500
