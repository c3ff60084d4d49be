"""What was written, before anybody asks what it means: a TOML file as tables, or the environment in its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from syncd.config.destinations import destination
from syncd.config.files import content, usual_places
from syncd.config.problems import Loc, Refused, scrubbed
from syncd.config.secrets import LITERAL, LITERAL_HINT, LITERAL_MESSAGE
from syncd.errors import ConfigError, Problem

# Where, what, what to do.
Fault: TypeAlias = tuple[Loc | str, str, str]


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: `tables` holds no literal secret any more."""

    source: str
    folder: Path  # relative `file:` secrets start here
    tables: dict[str, Any]
    faults: tuple[Fault, ...] = ()
    files: Mapping[int, Path] = field(default_factory=dict)  # of the keys that have one of their own, by their number

    @property
    def is_file(self) -> bool:
        """Whether there is a file to point at."""
        return self.source != _ENVIRONMENT


_ENVIRONMENT = "environment"

# Room for a hundred thousand keys; a device file that never ends stops here.
_LARGEST_FILE = 32 * 1024**2


def read(path: Path) -> Document:
    """The tables of this file."""
    source = str(path)
    try:
        tables = toml(content(path, _LARGEST_FILE))
    except Refused as refused:
        raise ConfigError(source, (Problem("file", refused.message, refused.hint),)) from None
    if isinstance(tables, Problem):
        raise ConfigError(source, (tables,))
    cleared, literals = without_literals(tables)
    return Document(source, path.parent, cleared, tuple((loc, LITERAL_MESSAGE, LITERAL_HINT) for loc in literals))


def toml(content: bytes) -> dict[str, Any] | Problem:
    """The tables of a file, or why it has none."""
    # The problem is returned, not raised: the library's own error holds the text and would be carried along.
    try:
        return tomllib.loads(content.decode("utf-8-sig"), parse_float=Decimal)  # editors on Windows put a mark there
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem(f"line {line}", "is not UTF-8", "save the file as UTF-8")
    except tomllib.TOMLDecodeError as error:
        # "Invalid value (at line 3, column 14)", "(at end of document)". Some messages name a setting: hence scrubbed.
        what, _, where = str(error).rpartition(" (at ")
        hint = "text needs quotes, a table its brackets, a list its commas"
        return Problem(where.rstrip(")"), f"TOML syntax: {scrubbed(what)}", hint)
    except (ValueError, ArithmeticError, RecursionError):  # thousands of digits, a huge exponent, a thousand brackets
        return Problem("file", "cannot be read as TOML", "a number is too long or lists are nested too deep")


def without_literals(tables: dict[str, Any]) -> tuple[dict[str, Any], list[Loc]]:
    """The tables with every literal secret emptied, so that nothing later can show or store one; where they were."""
    found: list[Loc] = []
    return _cleared(tables, (), found), found


def _cleared(value: Any, loc: Loc, found: list[Loc]) -> Any:  # noqa: ANN401 - any TOML value
    if isinstance(value, str) and LITERAL.search(value):
        found.append(loc)
        return ""
    if isinstance(value, list):
        return [_cleared(item, (*loc, number), found) for number, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    found.extend(loc for name in value if LITERAL.search(name))
    return {name: _cleared(item, (*loc, name), found) for name, item in value.items() if not LITERAL.search(name)}


_ONE_KEY = {"name": "default", "secret": "env:VIVIX_KEY"}


def without_file(environ: Mapping[str, str], cwd: Path, *, secrets: bool) -> Document:
    """The start without a file: one key, everything to one place. To read, knowing the database is enough."""
    key = bool(environ.get("VIVIX_KEY"))
    if not key and (secrets or not environ.get("SYNCD_DATABASE_URL")):
        raise ConfigError("configuration", (_nothing_to_start_with(environ, cwd, secrets=secrets),))
    faults = list(_halves(environ))
    to = _to(environ, faults)
    tables: dict[str, Any] = {"keys": [_ONE_KEY] if key else [], "routes": [{"name": "everything", "to": to}]}
    if environ.get("SLACK_BOT_TOKEN"):
        tables["slack"] = {"token": "env:SLACK_BOT_TOKEN"}
    return Document(_ENVIRONMENT, cwd, tables, tuple(faults) if secrets else ())


def _to(environ: Mapping[str, str], faults: list[Fault]) -> str:
    """A bot tells better than a webhook, and both better than a console nobody watches."""
    if environ.get("SLACK_BOT_TOKEN") and (channel := environ.get("SLACK_CHANNEL")):
        try:
            return destination("slack:" + (channel if _CHANNEL.match(channel) else f"#{channel}"))
        except Refused:
            faults.append(("$SLACK_CHANNEL", "is no channel", "set it to a name (#vivix) or an id (C0123456789)"))
            return "console"
    return "webhook:env:SLACK_WEBHOOK_URL" if environ.get("SLACK_WEBHOOK_URL") else "console"


# A name with its mark, or an id; a name has no capitals, so one without its mark is told from an id.
_CHANNEL = re.compile(r"#|[CG][A-Z0-9]*$")


def _halves(environ: Mapping[str, str]) -> Iterator[Fault]:
    """A token without a channel, or a channel without a token, is a slip: alerts would go elsewhere without a word."""
    for one, other in (("SLACK_BOT_TOKEN", "SLACK_CHANNEL"), ("SLACK_CHANNEL", "SLACK_BOT_TOKEN")):
        if environ.get(one) and not environ.get(other):
            yield f"${one}", f"{other} is not set beside it", f"set {other}, or unset {one}"


def _nothing_to_start_with(environ: Mapping[str, str], cwd: Path, *, secrets: bool) -> Problem:
    looked = ", ".join(str(place) for place in usual_places(environ, cwd))
    missing, hint = (
        ("VIVIX_KEY", "set VIVIX_KEY to start at once, or copy config.example.toml to config.toml")
        if secrets
        else ("SYNCD_DATABASE_URL", "name the file with --config, or the database with SYNCD_DATABASE_URL")
    )
    return Problem("file", f"there is none (looked for {looked}) and {missing} is not set", hint)
