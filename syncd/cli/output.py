"""The one place that writes results: a table for people, JSON, JSON lines or CSV for programs."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from syncd.core.canon import Json, dumps

# Columns that hold JSON: programs get them as JSON, not as text with JSON in it.
JSON_COLUMNS: Final = frozenset(
    {
        *("params", "example_request", "spec", "old_value", "new_value", "witness", "affects", "detail"),
        *("problems", "mended"),  # of `verdict`
    }
)


class Format(StrEnum):
    """How rows are written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How to write the rows. Usually a table on a terminal, and JSON lines when piped.",
        show_default=False,
    ),
]


def chosen(form: Format | None) -> Format:
    """The format asked for, else a table where a person is looking."""
    return form or (Format.table if sys.stdout.isatty() else Format.jsonl)


def write(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], form: Format | None) -> None:
    """Write rows in the form asked for, or the usual one."""
    match chosen(form):
        case Format.table:
            _table(columns, rows)
        case Format.json:
            typer.echo(escaped(json.dumps([_decoded(row) for row in rows], ensure_ascii=False, indent=2)))
        case Format.jsonl:
            for row in rows:
                typer.echo(escaped(json.dumps(_decoded(row), ensure_ascii=False)))
        case Format.csv:
            write_csv(columns, ([row[column] for column in columns] for row in rows))
    sys.stdout.flush()  # here, where a full disk is still a failure of the command


# --- JSON ----------------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """The same JSON with everything escaped that acts on a terminal or is not seen, and that JSON lets stand as it is.

    What JSON does not let stand in a text is escaped already, and the line ends are those between its values.
    """
    return _UNSEEN.sub(lambda found: "".join(f"\\u{unit:04x}" for unit in _units(found[0])), text)


def encoded(value: Json) -> str:
    """A decoded JSON value on one line, its numbers exact, nothing in it that acts."""
    return escaped(dumps(value))


def brief(value: Json, limit: int) -> str:
    """JSON in a text for people, cut at `limit`. Nothing is left out before that: it is the proof of something."""
    text = encoded(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


_ACTING: Final = (
    "\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSEEN: Final = re.compile(f"[{_ACTING}]")


def _units(character: str) -> Iterable[int]:
    """As JSON writes a character: what lies beyond U+FFFF in two halves."""
    halves = character.encode("utf-16-be", "surrogatepass")
    return (int.from_bytes(halves[n : n + 2]) for n in range(0, len(halves), 2))


# --- CSV -----------------------------------------------------------------------------------------------------------


def write_csv(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Every cell as it is; on a terminal, where it might act, without what does."""
    told = _harmless if sys.stdout.isatty() else _plain
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([told(column) for column in columns])
    writer.writerows([told(cell) for cell in row] for row in rows)


def _plain(cell: Any) -> Any:  # noqa: ANN401 - any cell
    """Booleans as in JSON."""
    return _BOOLEANS[cell] if isinstance(cell, bool) else cell


def _harmless(cell: Any) -> Any:  # noqa: ANN401 - any cell
    return _HARMFUL.sub("\N{REPLACEMENT CHARACTER}", cell) if isinstance(cell, str) else _plain(cell)


_BOOLEANS: Final[Mapping[bool, str]] = {True: "true", False: "false"}
# Lines and tabs stay: a quoted cell may have several lines.
_HARMFUL: Final = re.compile(f"[\0-\x08\x0b-\x1f{_ACTING}]")


# --- what the database holds as JSON -------------------------------------------------------------------------------


def _decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _json(value) if name in JSON_COLUMNS else value for name, value in row.items()}


def _json(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:  # a person's own column of that name
        return value


# --- for people ----------------------------------------------------------------------------------------------------


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        typer.echo("nothing to show", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        numeric = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(Text(_cell(column)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    # What is piped is searched line by line: nothing folds where no screen ends.
    width = None if sys.stdout.isatty() else _NEVER_FULL
    Console(no_color="NO_COLOR" in os.environ or None, highlight=False, width=width).print(table)


_NEVER_FULL: Final = 1_000_000


def _cell(value: Any) -> str:  # noqa: ANN401 - any cell
    if value is None:
        return "–"  # noqa: RUF001 - a dash that is as wide as a digit
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        from syncd.core.text import clean

        return clean(_short_time(value), 300)
    return str(value)


def _short_time(value: str) -> str:
    """Times to the second: the microseconds of the database are for machines."""
    stamp = "2026-11-23 10:26:27.653438"
    is_time = len(value) == len(stamp) and value[4] == value[7] == "-" and value[19] == "." and value[13] == ":"
    return value[:19] if is_time else value
