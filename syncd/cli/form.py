"""`syncd form`: the input form of one model, for people, for programs, and as JSON Schema.

SLUG --every key that can call it--> contents, by key
     --one content, or the one of --key--> fields as a table or rows | the JSON Schema of a request
"""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from syncd.cli.common import closest, load, opened
from syncd.cli.output import Format, chosen, encoded, escaped, write, write_csv
from syncd.core.canon import Json, dumps
from syncd.core.text import clean
from syncd.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.core.catalog import Listed
    from syncd.core.form import Field


class FormFormat(StrEnum):
    """How a form is written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    json_schema = "json-schema"


def form(
    ctx: typer.Context,
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The model's name in requests.", show_default=False)],
    *,
    key: Annotated[str | None, typer.Option("--key", help="As this key may call it.")] = None,
    form: Annotated[
        FormFormat | None,
        typer.Option(
            "--format",
            help="How to write it. Usually a table on a terminal, and JSON lines when piped; json-schema gives the JSON"
            " Schema of a request.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show what may be sent to a model: its parameters, their bounds and choices, what must be sent.

    With --format json-schema, the JSON Schema (draft 2020-12) of a request, to validate with or to generate code from.
    """
    from syncd.core.form import fields
    from syncd.core.json_schema import of_request

    config = load(ctx.obj, secrets=False)
    with opened(config.database.url) as connection:
        model = _listed(connection, slug, key)
    body = model.body()
    found = fields(body)
    _remark(slug, body, found)
    if form is FormFormat.json_schema:
        typer.echo(escaped(pretty(of_request(slug, body, unknown_params=config.rules.unknown_params))))
    else:
        _write(found or [], chosen(None if form is None else Format(form.value)))
    sys.stdout.flush()  # here, where a full disk is still a failure of the command


# --- which model -----------------------------------------------------------------------------------------------------


def _listed(connection: Connection, slug: str, key: str | None) -> Listed:
    """The content of the model, for the key or for all of them alike."""
    from syncd.store import confirmed

    found = confirmed.models(connection, key=key, slug=slug)
    if not found:
        raise _unlisted(connection, slug, key)
    if len({model.version for model in found}) > 1:
        names = ", ".join(model.key_name for model in found)
        raise UsageError(f"{clean(slug)} is listed with different contents", f"choose a key with --key: {names}")
    (only,) = confirmed.contents(connection, found).values()
    return only


def _unlisted(connection: Connection, slug: str, key: str | None) -> UsageError:
    from syncd.store import confirmed, queries

    keys = [str(row["key_name"]) for row in queries.key_status(connection).dicts()]
    if key is not None and key not in keys:
        return UsageError(f"there is no key {key!r}", f"keys: {', '.join(keys) or '(none)'}")
    listed = confirmed.slugs(connection, key=key)
    of = "" if key is None else f" for key {key}"
    if not listed:
        return UsageError(f"no model is listed yet{of}", "`syncd status` says why, `syncd once` asks for them")
    close = [clean(one, 120) for one in closest(slug, listed)]
    hint = f"closest: {', '.join(close)}" if close else "`syncd models` shows them all"
    return UsageError(f"no model {clean(slug)!r} is listed{of}", hint)


def _remark(slug: str, body: Json, found: list[Field] | None) -> None:
    """Say on standard error what the form cannot show."""
    if found is None:
        typer.echo(f"syncd: the vendor does not publish the parameters of {clean(slug)}", err=True)
    elif isinstance(body, list):
        many = f"{clean(slug)} is listed {len(body)} times with different contents"
        typer.echo(f"syncd: {many}: a request has to suit all of them", err=True)


# --- how it is written -----------------------------------------------------------------------------------------------


def _write(found: list[Field], form: Format) -> None:
    from syncd.core.form import for_people, for_programs

    if form is Format.table:
        # What must be sent comes first, each in the vendor's order.
        rows = [for_people(one) for one in sorted(found, key=lambda one: not one.required)]
        said = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
        write(said, rows, form)
        return
    exact = [for_programs(one) for one in found]
    match form:
        case Format.json:
            typer.echo("[" + ",".join(f"\n  {encoded(row)}" for row in exact) + ("\n]" if exact else "]"))
        case Format.jsonl:
            for row in exact:
                typer.echo(encoded(row))
        case Format.csv:
            _write_csv(exact)


_TEXTS: Final = frozenset({"field", "kind", "description", "pattern"})


def _write_csv(rows: Sequence[dict[str, Json]]) -> None:
    """Texts as they are, values as JSON; nothing where nothing is stated."""
    from syncd.core.form import COLUMNS

    write_csv(COLUMNS, ([_cell(name, row[name]) for name in COLUMNS] for row in rows))


def _cell(name: str, value: Json) -> Json:
    return "" if value is None else value if name in _TEXTS else encoded(value)


def pretty(value: Json, margin: str = "") -> str:
    """JSON over several lines, what is short on one of its own; its numbers as exact as `dumps` writes them."""
    inner = margin + "  "
    match value:
        case dict():
            parts = [f"{dumps(name)}: {pretty(one, inner)}" for name, one in value.items()]
            first, last = "{}"
        case list():
            parts = [pretty(one, inner) for one in value]
            first, last = "[]"
        case _:
            return dumps(value)
    line = first + ", ".join(parts) + last
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    return f"{first}\n{inner}" + f",\n{inner}".join(parts) + f"\n{margin}{last}"


_WIDTH: Final = 88
