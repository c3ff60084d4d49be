"""The one place that writes results: a table for people, JSON, JSON lines or CSV for programs."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

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
            typer.echo(json.dumps([_decoded(row) for row in rows], ensure_ascii=False, indent=2))
        case Format.jsonl:
            for row in rows:
                typer.echo(json.dumps(_decoded(row), ensure_ascii=False))
        case Format.csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([row[column] for column in columns] for row in rows)
    sys.stdout.flush()  # here, where a full disk is still a failure of the command


def _decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _json(value) if name in JSON_COLUMNS else value for name, value in row.items()}


def _json(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:  # a person's own column of that name
        return value


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
    Console(no_color="NO_COLOR" in os.environ or None, highlight=False).print(table)


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
