"""Commands about the database itself: migrate, sql."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Annotated

import typer

from syncd.cli.common import load, reading
from syncd.cli.output import FormatOption, write


def migrate(
    ctx: typer.Context,
    to: Annotated[str, typer.Option(help="The schema revision to stop at.")] = "head",
) -> None:
    """Bring the database's schema to what this program needs. Forward only; a SQLite file is backed up first."""
    config = load(ctx.obj, secrets=False)
    from syncd.store import engine, lock, schema

    with lock.held(config.database.url):
        done = schema.migrate(config.database.url, to)
    where = engine.shown_url(config.database.url)
    if done.before == done.after:
        typer.echo(f"{where} is at {done.after} already")
    else:
        typer.echo(f"{where} is at {done.after} now (it was {'empty' if done.before is None else 'at ' + done.before})")
    if done.backup is not None:
        typer.echo(f"the file as it was: {done.backup}")


def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="One SELECT over the views, such as: select * from change_log")],
    form: FormatOption = None,
) -> None:
    """Ask the history with a read-only query.

    The views: current_models, model_history, credit_history, param_history, change_log, condition_log, poll_log,
    key_status, balance_history, alert_log. Times are UTC.
    """
    from syncd.store import queries

    with reading(ctx.obj) as connection:
        found = queries.sql(connection, query)
    named = replace(found, columns=_distinct(found.columns))
    write(named.columns, named.dicts(), form)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Two columns may have one name in SQL, but not in a row of JSON: `slug`, `slug_2`."""
    taken: dict[str, None] = {}
    for name in names:
        others = (f"{name}_{number}" for number in count(2))
        taken[name if name not in taken else next(other for other in others if other not in taken)] = None
    return tuple(taken)
