"""Commands that poll: run, once."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.common import load
from syncd.errors import StoreError, StoreUnavailable, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from syncd.app import App
    from syncd.config import Config
    from syncd.core.wire import Answer, NoAnswer
    from syncd.poll import Polled, Target
    from syncd.service import Service

# How long `once` delivers at most; the rest waits for the next run.
_ONCE_SECONDS = 60.0


def run(ctx: typer.Context) -> None:
    """Run the daemon: poll every key on schedule, store what changed, deliver alerts.

    SIGTERM or Ctrl-C finishes what is under way and stops; a second one stops at once. Nothing is lost either way.
    """
    config = load(ctx.obj)
    import structlog

    from syncd.app import build
    from syncd.store import lock

    log = structlog.get_logger()
    if not config.routes:
        log.warning("routes.none", hint="everything is recorded and nobody is told: add [[routes]] to the configuration")
    _wait_for_database(config)
    with lock.held(config.database.url):
        _migrate(config)
        with build(config) as app:
            app.register()
            service = app.service()
            _on_signals(service)
            service.run(app.store.schedules())


def _wait_for_database(config: Config) -> None:
    """A server that is not up yet (both start at boot) is waited for; a file that cannot be opened is an error."""
    import structlog

    from syncd.store import engine

    if engine.is_sqlite(config.database.url):
        return
    wait = 1.0
    while True:
        try:
            engine.ping(config.database.url)
        except StoreUnavailable as error:
            structlog.get_logger().warning("database.waiting", error=error.message, hint=error.hint, seconds=wait)
            time.sleep(wait)
            wait = min(30.0, wait * 2)
        else:
            return


def _migrate(config: Config) -> None:
    from syncd.store import schema

    if config.database.auto_migrate:
        schema.migrate(config.database.url)


def _on_signals(service: Service) -> None:
    """The first request to stop drains, the second ends the process where it stands: everything that counts is committed."""
    import structlog

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if service.stopping:
            os._exit(0)
        service.stop()

    def no_reload(_signal: int, _frame: FrameType | None) -> None:
        structlog.get_logger().warning("reload.unsupported", hint="restart syncd to read the configuration again")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # Without a handler SIGHUP would end the daemon.
    signal.signal(signal.SIGHUP, no_reload)
    signal.signal(signal.SIGUSR1, lambda _signal, _frame: service.poll_now())


def once(
    ctx: typer.Context,
    key: Annotated[list[str] | None, typer.Option("--key", help="Only this key; may be given several times.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print what would be said.")] = False,  # noqa: FBT002
) -> None:
    """Poll each key once, deliver what is due, and end: for cron and CI.

    Prints a line per key. Exits 1 if a key could not be read or an alert was not sent.
    """
    config = _only(load(ctx.obj), key or [])
    if not config.routes:
        typer.echo("warning: no route is configured, so nobody is told anything: add [[routes]]", err=True)
    with _rehearsed(config) if dry_run else _for_real(config) as app:
        # Where it is a rehearsal its one transaction must not wait for the network: others write meanwhile.
        answers = list(_asked(app)) if dry_run else _asked(app)
        with app.store.rehearsal() if dry_run else nullcontext():
            app.register()
            polled = [_recorded(app, target, answer) for target, answer in answers]
            unsent = _deliver(app)
    if unsent:
        typer.echo("some alerts could not be sent yet; the next run sends them", err=True)
    raise typer.Exit(0 if all(polled) and not unsent else 1)


def _only(config: Config, names: list[str]) -> Config:
    """The configuration with the named keys to poll; what is not polled stays registered."""
    known = {key.name for key in config.keys}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no key {unknown[0]!r}", f"configured: {', '.join(sorted(known))}")
    return config if not names else replace(config, keys=tuple(key for key in config.keys if key.name in names))


@contextmanager
def _for_real(config: Config) -> Iterator[App]:
    from syncd.app import build
    from syncd.store import lock

    with lock.held(config.database.url):
        _migrate(config)
        with build(config) as app:
            app.outbox.recover()
            yield app


@contextmanager
def _rehearsed(config: Config) -> Iterator[App]:
    """The same parts over a database of which nothing will change."""
    from syncd.app import build
    from syncd.store import engine, schema

    with tempfile.TemporaryDirectory() as folder:
        if engine.is_sqlite(config.database.url) and not engine.sqlite_path(config.database.url).exists():
            # There is no history yet: rehearse on an empty one elsewhere, so that no file appears here.
            config = replace(config, database=replace(config.database, url=f"sqlite:///{Path(folder) / 'rehearsal.db'}"))
            schema.migrate(config.database.url)
        with build(config) as app:
            yield app


def _asked(app: App) -> Iterator[tuple[Target, Answer | NoAnswer]]:
    """Every key's answer, in the order of the configuration, as many asked at once as configured."""
    with ThreadPoolExecutor(app.config.schedule.max_concurrent) as pool:
        yield from zip(app.targets, pool.map(app.poller.ask, app.targets), strict=True)


def _recorded(app: App, target: Target, answer: Answer | NoAnswer) -> bool:
    """Store one answer and print its line. Whether the key is well."""
    width = max(len(target.facts.name) for target in app.targets)
    try:
        polled = app.poller.record(target.facts, answer)
    except StoreError as error:
        typer.echo(f"{target.facts.name:<{width}}  not stored    {error}", err=True)
        return False
    typer.echo(f"{target.facts.name:<{width}}  {polled.outcome:<12}  {_told(polled)}", err=True)
    return polled.good


def _told(polled: Polled) -> str:
    if not polled.good:
        return polled.explanation
    parts = [f"{polled.models} models" if polled.models is not None else "", f"{polled.changes} changes" if polled.changes else ""]
    return ", ".join(part for part in parts if part)


def _deliver(app: App) -> bool:
    """Send until nothing is due, a minute at most. Returns whether something is left."""
    deadline = time.monotonic() + _ONCE_SECONDS
    while time.monotonic() < deadline:
        sent = app.outbox.step()
        if not sent:
            due = app.outbox.next_due()
            if due is None:
                return False
            wait = (due - app.clock()).total_seconds()
            if wait > deadline - time.monotonic():
                return True
            time.sleep(max(0.1, wait))
    sys.stdout.flush()
    return app.outbox.next_due() is not None
