"""The command that shows syncd at work: demo."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.common import LogFormat, LogLevel, Options


def demo(
    ctx: typer.Context,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="How long to run; the script takes about 20.")] = 22,
) -> None:
    """Show syncd at work: the real daemon, a simulated vendor.

    Alerts come on the console, history is kept in SQL.
    Needs no key, no configuration and no network. The history is left in a SQLite file in the current folder.
    """
    from syncd.cli import logs
    from syncd.demo import play
    from syncd.store import engine

    options: Options = ctx.obj
    logs.configure(LogLevel.error if options.log_level is LogLevel.info else options.log_level, LogFormat.auto)
    file = Path.cwd() / f"syncd-demo-{datetime.now(UTC):%Y%m%d-%H%M%S}.db"
    engine.check_place(file)
    play.run(file, seconds, typer.echo)
