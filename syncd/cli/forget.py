"""The command that erases a key: forget."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.alerts_by_hand import writing
from syncd.cli.common import load
from syncd.core.text import clean, count, number
from syncd.errors import UsageError

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.store.forget import Forgotten


def forget(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A key that is no longer configured.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do erase it. Nothing brings it back.")] = False,  # noqa: FBT002
) -> None:
    """Erase a retired key with all that only it has: its history, what was announced of it, versions of models.

    What it shares with others loses its name. Messages that were sent, backups and logs are out of reach.
    Without --yes it only says what would be erased, and exits 1. It may run beside the daemon.
    """
    config = load(ctx.obj, secrets=False)
    _refuse_configured(config, name)
    with writing(config.database.url) as store, nullcontext() if yes else store.rehearsal():
        forgotten = store.forget(name)
    typer.echo(f"{'erased' if yes else 'would erase'} the key {clean(name, 64)} with {_of(forgotten)}")
    if not yes:
        typer.echo("nothing is erased yet: repeat it with --yes")
        raise typer.Exit(1)


def _refuse_configured(config: Config, name: str) -> None:
    if any(key.name == name for key in config.keys):
        raise UsageError(
            f"the key {name!r} is configured", "take it out of the configuration and restart syncd; then forget it"
        )


def _of(forgotten: Forgotten) -> str:
    """1 change, 12 runs of polls, …: how much of each."""
    parts = [
        count(forgotten.changes, "change"),
        count(forgotten.conditions, "condition"),
        count(forgotten.polls, "run of polls", "runs of polls"),
        count(forgotten.versions, "version"),
        count(forgotten.balance_days, "day of its account", "days of its account"),
        count(forgotten.messages, "message"),
    ]
    left = [
        *([f"{count(forgotten.emptied, 'message')} of others too emptied"] if forgotten.emptied else []),
        *([f"its name struck out of {number(forgotten.struck)} more"] if forgotten.struck else []),
    ]
    return "; ".join([", ".join(parts), *left])
