"""Commands that poll: run, once."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.common import load
from syncd.core.text import clean, count, moment
from syncd.errors import LockHeld, StoreError, StoreUnavailable, UsageError

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
    """Run the daemon: poll, store what changed, deliver alerts.

    It polls every key on schedule, and what is overdue at once.

    SIGTERM or Ctrl-C finishes what is under way and stops; a second one stops at once. Nothing is lost either way.
    SIGUSR1 polls every key now.
    """
    _until_started()
    config = load(ctx.obj)
    import structlog

    from syncd.app import build
    from syncd.store import lock

    log = structlog.get_logger()
    if not config.routes:
        log.warning("routes.none", hint="everything is recorded and nobody is told: add [[routes]]")
    _wait_for_database(config)
    with lock.held(config.database.url) as still_ours:
        _migrate(config)
        with build(config) as app:
            app.register()
            service = app.service(still_ours)
            _on_signals(service)
            if not service.run(app.store.schedules()):
                # A poll or a sink outlived the grace time, and Python would wait for its thread.
                os._exit(int(service.taken_over))
    raise typer.Exit(int(service.taken_over))


def _until_started() -> None:
    """Stopped during start-up, the program just ends; what only a running daemon understands must not kill it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: sys.exit(0))
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


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
    """The first request to stop drains, the second ends the process where it stands: what counts is committed."""
    import structlog

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if service.stopping:
            os._exit(0)
        service.stop()

    def no_reload() -> None:
        structlog.get_logger().warning("reload.unsupported", hint="restart syncd to read the configuration again")

    # No handler logs: it may have interrupted the very thread that holds the lock of the log.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, lambda _signal, _frame: service.soon(no_reload))
    signal.signal(signal.SIGUSR1, lambda _signal, _frame: service.poll_now())


def once(
    ctx: typer.Context,
    key: Annotated[list[str] | None, typer.Option("--key", help="Only this key; may be given several times.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print what would be said.")] = False,  # noqa: FBT002
) -> None:
    """Poll each key once, deliver what is due, and end.

    For cron and CI. Prints a line per key. Exits 1 if a key could not be read or an alert was not sent.
    """
    from syncd.core.schedule import waiting

    config = _at_once(load(ctx.obj))
    names = _named(config, key or [])
    if not config.routes:
        typer.echo("warning: no route is configured, so nobody is told anything: add [[routes]]", err=True)
    with _rehearsed(config) if dry_run else _for_real(config) as app:
        app.outbox.hasty = True
        waits = waiting([target.facts for target in app.targets], app.store.schedules(), app.clock())
        asked = [target for target in app.targets if target.facts.name in names - waits.keys()]
        # Where it is a rehearsal its one transaction must not wait for the network: others write meanwhile.
        answers = list(_asked(app, asked)) if dry_run else _asked(app, asked)
        with app.store.rehearsal() if dry_run else nullcontext():
            app.register()
            for name in sorted(names & waits.keys()):
                _say(f"{name:<{_width(app)}}  not asked     the vendor asked to wait until {moment(waits[name])}")
            polled = [_recorded(app, target, answer) for target, answer in answers]
            unsent = _deliver(app, seconds=0.0 if dry_run else _ONCE_SECONDS)
    if unsent:
        _say(unsent)
    raise typer.Exit(0 if all(polled) and len(polled) == len(names) and not unsent else 1)


def _at_once(config: Config) -> Config:
    """Nobody is there to wait: what is found is told in the same run."""
    return replace(config, routes=tuple(replace(route, group_wait=timedelta(0)) for route in config.routes))


def _named(config: Config, names: list[str]) -> set[str]:
    """The keys to poll. Every configured one stays registered, polled or not."""
    known = {key.name for key in config.keys}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no key {unknown[0]!r}", f"configured: {', '.join(sorted(known))}")
    return set(names) or known


@contextmanager
def _for_real(config: Config) -> Iterator[App]:
    from syncd.app import build
    from syncd.store import lock

    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(config.database.url))
        except LockHeld as error:
            raise LockHeld(error.message, "if it is the daemon, it polls already; SIGUSR1 has it poll now") from None
        _migrate(config)
        app = stack.enter_context(build(config))
        app.outbox.recover()
        # Nobody knows when the next run will be: what was to wait for a later try is tried now.
        app.outbox.hurry()
        yield app


@contextmanager
def _rehearsed(config: Config) -> Iterator[App]:
    """The same parts over a database of which nothing will change."""
    from syncd.app import build
    from syncd.store import engine, schema

    with tempfile.TemporaryDirectory() as folder:
        if engine.is_sqlite(config.database.url) and not engine.sqlite_path(config.database.url).exists():
            # There is no history yet: rehearse on an empty one elsewhere, so that no file appears here.
            elsewhere = f"sqlite:///{Path(folder) / 'rehearsal.db'}"
            config = replace(config, database=replace(config.database, url=elsewhere))
            schema.migrate(config.database.url)
        with build(config, rehearsal=True) as app:
            yield app


def _asked(app: App, targets: list[Target]) -> Iterator[tuple[Target, Answer | NoAnswer]]:
    """Every key's answer, in the order of the configuration, as many asked at once as configured."""
    with ThreadPoolExecutor(app.config.schedule.max_concurrent) as pool:
        yield from zip(targets, pool.map(app.poller.ask, targets), strict=True)


def _recorded(app: App, target: Target, answer: Answer | NoAnswer) -> bool:
    """Store one answer and print its line. Whether the key is well."""
    width = _width(app)
    try:
        polled = app.poller.record(target.facts, answer)
    except StoreError as error:
        _say(f"{target.facts.name:<{width}}  not stored    {error}")
        return False
    _say(f"{target.facts.name:<{width}}  {polled.outcome:<12}  {_told(polled)}")
    for note in polled.notes[:_MOST_NOTES]:
        _say(f"{'':<{width}}  note          {clean(note)}")
    return polled.good


_MOST_NOTES = 5


def _width(app: App) -> int:
    return max(len(target.facts.name) for target in app.targets)


def _say(line: str) -> None:
    """A line for whoever watches. That nobody does any more must not keep a key from being stored."""
    try:
        typer.echo(line, err=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _told(polled: Polled) -> str:
    if not polled.good:
        return polled.explanation
    parts = [count(polled.models, "model")] if polled.models is not None else []
    return ", ".join([*parts, count(polled.changes, "change")] if polled.changes else parts)


def _deliver(app: App, *, seconds: float) -> str:
    """Send until nothing is due, so many seconds at most. Returns what is to be said of alerts that were not sent."""
    deadline = time.monotonic() + seconds
    dead = 0
    while True:
        sent = app.outbox.step()
        dead += sum(one.state == "dead" for one in sent)
        if any(one.state == "sent" for one in sent):
            continue
        due = app.outbox.next_due()
        wait = None if due is None else max(0.1, (due - app.clock()).total_seconds())
        if wait is None or time.monotonic() + wait > deadline:
            break
        time.sleep(wait)
    if dead:
        return f"{count(dead, 'alert')} could not be delivered: see `syncd alerts list --state dead`"
    return "some alerts could not be sent yet; the next run sends them" if app.outbox.overdue() else ""
