"""The command line: one module per group of commands, one place that writes tables and JSON.

Imports of a command's own machinery stand inside the command, so that ``syncd --help`` does not pay for a database.
For the same reason help is plain text: what typer needs to draw boxes takes half of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncd import __version__
from syncd.cli import alerts, check, database, demo, diff, forget, form, held, run, show, silence, status, verdict
from syncd.cli.common import LogFormat, LogLevel, Options

app = typer.Typer(
    name="syncd",
    help="Watches the Vivix model catalogue for each of your API keys, keeps its history in SQL and says what changed.",
    epilog="Without a configuration file but with VIVIX_KEY set, syncd watches that one key and alerts"
    " in Slack (SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN and SLACK_CHANNEL) or on the console.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"syncd {__version__}")
        raise typer.Exit


@app.callback()
def syncd(
    ctx: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            # What is wrong with the file is said by `syncd.config`, in one line with a hint.
            readable=False,
            help="Configuration file. Else $SYNCD_CONFIG, ./config.toml, $XDG_CONFIG_HOME/syncd/config.toml, "
            "/etc/syncd/config.toml.",
        ),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="The least level that is logged.")] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: text, with colours on a terminal and without times in a journal.")
    ] = LogFormat.auto,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where a command fails.")] = False,
    version: Annotated[  # noqa: ARG001 - the callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that every command shares."""
    ctx.obj = Options(config, log_level, log_format, debug)


for command in (
    *(run.run, run.once, demo.demo),
    *(check.check, database.migrate, forget.forget),
    *(status.status, show.models, show.changes, diff.diff, form.form, verdict.verdict),
):
    app.command()(command)
# A query may begin with a comment, which looks like an option.
app.command(context_settings={"ignore_unknown_options": True})(database.sql)
app.add_typer(alerts.app, name="alerts")
app.add_typer(silence.app, name="silence")
app.add_typer(held.app, name="held")
