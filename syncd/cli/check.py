"""The command that tells whether an installation is right: check."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from syncd.cli.common import closest, load
from syncd.core.rules import Severity
from syncd.core.text import clean, count, duration
from syncd.errors import SchemaMismatch, StoreError

if TYPE_CHECKING:
    from syncd.config import Config

# One event of each sort that people want to hear of.
_SORTS: Final[Mapping[str, tuple[str, Severity]]] = {
    "an unlocked model": ("model.added", "additive"),
    "a raised price": ("credits.band.raised", "risky"),
    "a parameter that breaks requests": ("param.removed", "breaking"),
    "a rejected key": ("access.rejected", "breaking"),
    "a vendor out of reach": ("vendor.unreachable", "risky"),
}


def check(
    ctx: typer.Context,
    online: Annotated[bool, typer.Option("--online", help="Also ask the vendor, and try Slack out.")] = False,  # noqa: FBT002
) -> None:
    """Tell whether everything is set up right, and what to fix.

    Validates the configuration, resolves every secret, reaches the database, and warns where nobody would be told.
    Online, it asks the vendor with every key; and in every channel of Slack that a route names it posts a message,
    finds it again, edits it, answers it and deletes it.

    Exits 1 if something must be put right, 2 if the configuration cannot be used at all.
    """
    config = load(ctx.obj)
    typer.echo(f"configuration  {config.source}")
    offline = [*_database(config), *_keys(config), *_routes(config)]
    warnings = _warn(_deaf(config))
    _requests(config)
    warnings += _warn(_never_listed(config))
    fine = all([*offline, *(_online(config) if online else [])])
    typer.echo(_in_all(warnings) if fine else "something must be put right, see above")
    raise typer.Exit(0 if fine else 1)


def _warn(of: Iterable[str]) -> int:
    """Say each; how many there are. A warning is nothing that must be put right."""
    warnings = list(of)
    for warning in warnings:
        typer.echo(f"warning        {warning}")
    return len(warnings)


def _in_all(warnings: int) -> str:
    return f"all is well but for {count(warnings, 'warning')}, see above" if warnings else "all is well"


def _database(config: Config) -> list[bool]:
    from syncd.store import Store, engine

    where = engine.shown_url(config.database.url)
    if engine.is_sqlite(config.database.url) and not engine.sqlite_path(config.database.url).exists():
        try:
            engine.check_place(engine.sqlite_path(config.database.url))
        except StoreError as error:
            typer.echo(f"database       ! {error}")
            return [False]
        if not os.access(engine.sqlite_path(config.database.url).parent, os.W_OK):
            typer.echo(f"database       ! {where}: the folder cannot be written to; give syncd's user the permission")
            return [False]
        typer.echo(f"database       {where}: new, `syncd run` creates it")
        return [True]
    try:
        store = Store(config.database.url)
        try:
            store.open()
        finally:
            store.close()
    except SchemaMismatch as error:
        typer.echo(f"database       ! {error}")
        return [config.database.auto_migrate and "run `syncd migrate`" in error.hint]
    except StoreError as error:
        typer.echo(f"database       ! {error}")
        return [False]
    typer.echo(f"database       {where}: reached, its schema is right")
    return [True]


def _keys(config: Config) -> list[bool]:
    for key in config.keys:
        said = f"fingerprint {key.secret.fingerprint}, account {key.account}, every {duration(key.interval)}"
        typer.echo(f"key            {key.name} ({said})")
    return [True]


def _routes(config: Config) -> list[bool]:
    if not config.routes:
        typer.echo("routes         ! none, so nobody is told anything: add [[routes]]")
        return [False]
    for route in config.routes:
        typer.echo(f"route          {route.name} -> {route.to}")
    return [True]


def _deaf(config: Config) -> Iterator[str]:
    """What of some key no route tells; without any route nothing is told, which is said above."""
    from syncd.core.routing import Event, KeyFacts, matches

    for sort, (kind, severity) in _SORTS.items() if config.routes else ():
        deaf = [
            key.name
            for key in config.keys
            if not any(
                matches(route, Event(kind, severity, KeyFacts(key.name, key.account, key.base_url, key.labels)))
                for route in config.routes
            )
        ]
        if deaf:
            yield f"no route can match {sort} of {', '.join(deaf)}"


def _requests(config: Config) -> None:
    for request in config.requests:
        typer.echo(f"request        {request.name} -> {clean(request.model, 120)}")


def _never_listed(config: Config) -> list[str]:
    """Of saved requests whose model a key never had nothing is told: slips of the pen, most likely.

    Keys without a catalogue are left out.
    """
    from syncd.cli.common import opened
    from syncd.core.message import names
    from syncd.store import confirmed

    if not config.requests:
        return []
    found = []
    try:
        with opened(config.database.url) as connection:
            keys = [key.name for key in config.keys if key.name in confirmed.states(connection)]
            had = {key: confirmed.ever_listed(connection, key, {r.model for r in config.requests}) for key in keys}
            listed = {key: confirmed.slugs(connection, key=key) for key in keys}
    except StoreError:  # said above
        return []
    for request in config.requests:
        never = [key for key in keys if request.is_for(key) and request.model not in had[key]]
        if never:
            said = f"request {request.name}: its model was never listed for {names(never)}, so no change can touch it"
            near = closest(request.model, sorted({slug for key in never for slug in listed[key]}))
            found.append(said + (f"; closest: {', '.join(clean(slug, 120) for slug in near)}" if near else ""))
    return found


def _online(config: Config) -> list[bool]:
    from syncd.cli import online

    return [*online.vendor(config), *online.slack(config), *online.webhooks(config)]
