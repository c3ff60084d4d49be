"""The command that finds out whether alerts arrive: test."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from syncd.cli.alerts_by_hand import author_of, writing
from syncd.cli.common import load
from syncd.core.text import clean, count, moment
from syncd.errors import LockHeld, UsageError

if TYPE_CHECKING:
    from syncd.cli.common import Options
    from syncd.core.routing import Route
    from syncd.store import Store
    from syncd.store.alerts import Trial

# The daemon looks every few seconds what there is to do.
_DAEMON_SECONDS: Final = 30.0
# Long enough for a few tries, and for a look whether a doubtful message has arrived.
_OWN_SECONDS: Final = 60.0
_LOOK_EVERY: Final = 0.25


def trial(
    ctx: typer.Context,
    destinations: Annotated[
        list[str] | None,
        typer.Argument(metavar="DESTINATION", help="As routes name them, 'slack:#vivix'; without any, all of them."),
    ] = None,
    author: Annotated[str | None, typer.Option(help="Who tests, as it is said there. Else your user name.")] = None,
) -> None:
    """Send a test the way alerts go.

    It goes to the destinations named, or to those of all routes. If the daemon runs, it sends the test, within seconds;
    otherwise this command does, with whatever else is due. What waits at a destination comes in the same message.
    A line per destination says what was sent, or what went wrong and what to do. Exits 1 if one was not sent.
    """
    wanted = _wanted(load(ctx.obj, secrets=False).routes, destinations or ())
    run = f"{datetime.now(UTC).isoformat()} {secrets.token_hex(4)}"
    with _posting(ctx.obj) as post:
        subjects = _announce(post.store, run, wanted, clean(author_of(author), 60))
        try:
            found = _settled(post, subjects)
        finally:
            _withdraw(post.store, subjects)
    width = max(len(one.destination) for one in found)
    for one in found:
        typer.echo(f"{one.destination:<{width}}  {_said(one, post)}")
    raise typer.Exit(0 if all(one.state == "sent" for one in found) else 1)


def _wanted(routes: Iterable[Route], named: Sequence[str]) -> list[str]:
    """The destinations to test, each once."""
    known = list(dict.fromkeys(route.to for route in routes))
    if not known:
        raise UsageError("alerts test: no route is configured, so nobody is told anything", "add [[routes]]")
    if strangers := [one for one in named if one not in known]:
        raise UsageError(
            f"alerts test: no route leads to {clean(strangers[0], 80)!r}", f"routes lead to: {', '.join(known)}"
        )
    return list(dict.fromkeys(named or known))


# --- the test, written down ------------------------------------------------------------------------------------------


def _announce(store: Store, run: str, wanted: Sequence[str], author: str) -> list[str]:
    """Have it said at each destination, and what waits there tried now. The subjects of the notices."""
    from syncd.store.notices import Notice

    now = datetime.now(UTC)
    said = [Notice("test", f"{run} {destination}", destination, {"author": author}) for destination in wanted]
    with store.outbox() as tx:
        for one in said:
            tx.say(one, now)
        tx.by_hand.ask_now(wanted, now)
    return [one.subject for one in said]


def _withdraw(store: Store, subjects: Sequence[str]) -> None:
    """What nobody has begun to send would only come when nobody waits for it."""
    with store.outbox() as tx:
        tx.by_hand.withdraw(subjects)


# --- who sends it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Post:
    """Who sends what is written down in the store: `step` does something for it, or nothing, `seconds` at most."""

    store: Store
    step: Callable[[], object]
    seconds: float
    nobody: str


@contextmanager
def _posting(options: Options) -> Iterator[_Post]:
    """We send it ourselves, unless somebody works on the database: then that is who sends. Only we need secrets."""
    from syncd.app import build
    from syncd.store import lock

    config = load(options, secrets=False)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(config.database.url))
        except LockHeld:
            store = stack.enter_context(writing(config.database.url))
            yield _Post(store, lambda: None, _DAEMON_SECONDS, "look at the log of `syncd run`")
            return
        config = load(options)
        if config.database.auto_migrate:
            _migrate(config.database.url)
        app = stack.enter_context(build(config))
        app.outbox.recover()
        app.outbox.hasty = True
        yield _Post(app.store, app.outbox.step, _OWN_SECONDS, "`syncd alerts list` shows what is in its way")


def _migrate(url: str) -> None:
    from syncd.store import schema

    schema.migrate(url)


def _settled(post: _Post, subjects: Sequence[str]) -> list[Trial]:
    """What has become of it everywhere, once that is known or will not be soon."""
    from syncd.store import alerts

    deadline = time.monotonic() + post.seconds
    until = datetime.now(UTC) + timedelta(seconds=post.seconds)
    while True:
        post.step()
        with post.store.read() as connection:
            found = alerts.trials(connection, subjects)
        if all(_is_settled(one, until) for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(_LOOK_EVERY)


def _is_settled(one: Trial, until: datetime) -> bool:
    """Whether it is known what has become of it, or nothing more comes before then."""
    waits = (one.frozen_until, one.retry_at, one.ahead_at)
    return one.state != "queued" or any(at is not None and at > until for at in waits)


# --- what is said ----------------------------------------------------------------------------------------------------


def _said(one: Trial, post: _Post) -> str:
    if one.state == "sent":
        named = f" ({one.reference})" if one.reference else ""
        company = f", with {count(one.changes, 'change')}" if one.changes else ""
        return f"sent as {one.delivery}{named}{company}"
    later = f"; {one.delivery} is sent once it works" if one.delivery and one.delivery_state != "dead" else ""
    return f"! not sent: {_why(one, post)}{later}"


def _why(one: Trial, post: _Post) -> str:
    """What went wrong, and what to do."""
    if one.delivery_state == "dead":
        return f"{clean(one.error or '?', 200)}; `syncd alerts show {one.delivery}` tells more"
    if one.broken:
        detail = json.loads(one.detail or "{}")
        what, hint = (clean(str(detail.get(name) or ""), 300) for name in ("what", "hint"))
        return f"{what}; {hint}" if hint else what
    if one.frozen_until is not None and one.frozen_until > datetime.now(UTC):
        return f"it asked for silence until {moment(one.frozen_until)}; wait, and test again"
    return _under_way(one, post)


def _under_way(one: Trial, post: _Post) -> str:
    if one.delivery_state == "unknown":
        return f"it may have arrived ({clean(one.error or '?', 200)}); look there, syncd does too"
    if one.delivery is not None:
        return f"{clean(one.error or 'it is being sent', 200)}; `syncd alerts list` shows what becomes of it"
    if one.ahead is not None:
        said = clean(one.ahead_error or "it is being sent", 200)
        return f"{one.ahead} goes first ({said}); `syncd alerts show {one.ahead}` tells more"
    return f"nobody took it within {post.seconds:.0f} s; {post.nobody}"
