"""Commands that mute alerts for a while: silence add, silence list, silence expire."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import load, reading, user
from syncd.cli.output import Format, FormatOption, chosen, write
from syncd.cli.show import moment
from syncd.core.rules import KINDS, SEVERITIES, Severity
from syncd.core.text import clean
from syncd.core.text import moment as shown
from syncd.errors import UsageError

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.core.silence import Silence
    from syncd.store import Store

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Mute alerts until a time. What is muted is still recorded, and counted when the silence ends.",
)


@app.command()
def add(
    ctx: typer.Context,
    *,
    key: Annotated[list[str] | None, typer.Option("--key", help="Keys, by a glob: 'staging-*'.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Kinds of change or condition: 'param.*', vendor.unreachable.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Models, by their slug: 'wan-*'.")] = None,
    destination: Annotated[
        list[str] | None, typer.Option("--destination", help="Where alerts go: 'slack:#ops', console.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(help=f"This severity and what is below it: {', '.join(SEVERITIES)}.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every alert, instead of matchers.")] = False,
    lasting: Annotated[str | None, typer.Option("--for", help="How long: 90m, 2h, 7d.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Until when: 2026-11-23T18:00:00Z, or a date; UTC unless it says otherwise.")
    ] = None,
    comment: Annotated[str, typer.Option(help="Why; shown to whoever asks, and when the silence ends.")] = "",
    author: Annotated[str, typer.Option(help="Who; the user that runs this, if not given.", show_default=False)] = "",
) -> None:
    """Mute what matches, from now on until a time.

    Every matcher that is given must match; of one that is given several times, one of them must. A model matcher
    matches changes of a model only. Globs match the whole name and mind the case: quote them.

    A running daemon obeys within seconds. When the silence ends, each destination is told how much it missed.
    """
    _one_of_them(everything=everything, matchers=(key, kind, model, destination, severity))
    now = datetime.now(UTC)
    silence = _silence(
        keys=key,
        kinds=kind,
        models=model,
        destinations=destination,
        severity=severity,
        until=_until(lasting, until, now),
        author=_author(author),
        comment=_comment(comment),
    )
    config = load(ctx.obj, secrets=False)
    with _opened(config) as store:
        _check_names(silence, config, store)
        with store.outbox() as tx:
            identity = tx.silences.add(silence, now)
    _say_added(identity, silence)


def _one_of_them(*, everything: bool, matchers: Sequence[object]) -> None:
    """Nobody mutes everything because a variable of a script was empty."""
    given = any(matchers)
    if not given and not everything:
        raise UsageError(
            "the silence does not say what to mute",
            "give --key, --kind, --model, --destination or --severity, or --all for every alert",
        )
    if given and everything:
        raise UsageError("--all mutes every alert, matchers or not", "leave out --all, or the matchers")


def _silence(
    *,
    keys: list[str] | None,
    kinds: list[str] | None,
    models: list[str] | None,
    destinations: list[str] | None,
    severity: str | None,
    until: datetime,
    author: str,
    comment: str,
) -> Silence:
    from syncd.core.silence import Silence

    return Silence(
        id=0,
        keys=tuple(keys or ()),
        kinds=tuple(_kinds(kinds or ())),
        models=tuple(models or ()),
        destinations=tuple(destinations or ()),
        max_severity=_severity(severity),
        until=until,
        author=author,
        comment=comment,
    )


def _kinds(globs: Iterable[str]) -> Iterator[str]:
    for glob in globs:
        _check("--kind", glob, KINDS, "kind of change or condition", "docs/changes.md lists them")
        yield glob


def _check(option: str, glob: str, known: Iterable[str], noun: str, hint: str) -> None:
    """A glob that matches nothing mutes nothing, and whoever wrote it would learn so by the next alert."""
    names = sorted(known)
    if not any(fnmatchcase(name, glob) for name in names):
        close = difflib.get_close_matches(glob, names, n=1)
        raise UsageError(f"{option} {clean(glob)!r} matches no {noun}", f"did you mean {close[0]}?" if close else hint)


def _severity(text: str | None) -> Severity | None:
    if text is None:
        return None
    for severity in SEVERITIES:
        if severity == text:
            return severity
    raise UsageError(f"{clean(text)!r} is not a severity", f"one of {', '.join(SEVERITIES)}")


_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def _until(lasting: str | None, until: str | None, now: datetime) -> datetime:
    if (lasting is None) == (until is None):
        said = "the silence does not say when it ends" if lasting is None else "the silence ends at two times"
        raise UsageError(said, "give --for 2h or --until 2026-11-23T18:00:00Z, one of the two")
    end = now + _span(lasting) if lasting is not None else moment(until or "", now)
    if end <= now:
        raise UsageError(
            f"the silence would end before it begins: {clean(lasting or until or '')!r} is {shown(end)}, now is "
            f"{shown(now)}",
            "write --for 2h, or a later time; it is UTC unless it says otherwise, such as 18:00+02:00",
        )
    return end


def _span(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})([mhdw])", text.strip())
    if found is None:
        raise UsageError(
            f"{clean(text)!r} is not a duration", "write a whole number and a unit (m, h, d, w): 90m, 2h, 7d"
        )
    return int(found[1]) * _UNITS[found[2]]


def _author(given: str) -> str:
    """Under sudo the person, not root."""
    return clean(given or user(), 60)


def _comment(given: str) -> str:
    if not (comment := clean(given, 500).strip()):
        raise UsageError("the silence does not say why", "give --comment TEXT: whoever misses an alert will ask")
    return comment


@contextmanager
def _opened(config: Config) -> Iterator[Store]:
    """The database, to write into. Without the lock that daemons hold: a transaction is enough."""
    from syncd.store import Store

    store = Store(config.database.url)
    try:
        store.open()
        yield store
    finally:
        store.close()


def _check_names(silence: Silence, config: Config, store: Store) -> None:
    """Keys and destinations that the configuration names, or that the database knows already."""
    from syncd.store import silences

    with store.read() as connection:
        keys = {key.name for key in config.keys} | set(silences.known_keys(connection))
        destinations = {route.to for route in config.routes} | set(silences.known_destinations(connection))
    for glob in silence.keys:
        _check("--key", glob, keys, "key", f"known: {_listed(keys)}")
    for glob in silence.destinations:
        _check("--destination", glob, destinations, "destination", f"known: {_listed(destinations)}")


def _listed(names: Iterable[str]) -> str:
    from syncd.core.message import names as a_few

    return a_few(sorted(names))


def _say_added(identity: int, silence: Silence) -> None:
    from syncd.core.silence import in_words, matchers

    what = clean(in_words(matchers(silence)), 300)
    typer.echo(f"silence {identity} mutes {what} until {shown(silence.until)}")
    typer.echo(f"to end it earlier: syncd silence expire {identity}")


@app.command("list")
def list_silences(
    ctx: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    form: FormatOption = None,
) -> None:
    """Show the silences that are active, each with how many alerts it has muted.

    An alert that two destinations would have got counts twice.
    """
    from syncd.store import silences

    with reading(ctx.obj) as connection:
        found = silences.listed(connection, None if everything else datetime.now(UTC))
    rows = [{**row, "matchers": _matchers(row["matchers"], form)} for row in found.dicts()]
    write(found.columns, rows, form)


def _matchers(text: Any, form: Format | None) -> Any:  # noqa: ANN401 - a cell
    """For people in words, for programs as JSON."""
    from syncd.core.silence import in_words

    match chosen(form):
        case Format.table:
            return in_words(json.loads(text))
        case Format.csv:
            return text
    return json.loads(text)


# A greater number fits no database.
_MOST_ID = 2**63 - 1


@app.command()
def expire(
    ctx: typer.Context,
    identity: Annotated[
        int, typer.Argument(metavar="ID", min=1, max=_MOST_ID, help="Its id, as `syncd silence list` shows it.")
    ],
) -> None:
    """End a silence now. Each destination is told how much it missed, as at its usual end."""
    now = datetime.now(UTC)
    with _opened(load(ctx.obj, secrets=False)) as store, store.outbox() as tx:
        silence = tx.silences.find(identity)
        if silence is None:
            raise UsageError(f"there is no silence {identity}", "`syncd silence list --all` shows every one")
        ended_now = tx.silences.expire(identity, now)
    if ended_now:
        typer.echo(f"silence {identity} has ended")
    else:
        typer.echo(f"silence {identity} had ended already, at {shown(silence.until)}")
