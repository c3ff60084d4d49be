"""The command that says whether a request would be accepted now: verdict.

requests (files, or those that are saved), for each key --the confirmed catalogue, core.requests--> rows
"""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from syncd.cli.common import closest, load, opened
from syncd.cli.output import Format, FormatOption, brief, chosen, write
from syncd.core.canon import MISSING, dumps
from syncd.core.message import names
from syncd.core.text import clean, moment
from syncd.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.config import Config, Rules
    from syncd.core.requests import Edit, Judged, Problem, SavedRequest

_STDIN: Final = "-"
# In text of people's own choice that stands in a line.
_MOST_WORDS: Final = 120
_MOST_BODY: Final = 4_000


@dataclass(frozen=True, slots=True)
class Row:
    """What one key makes of one request. `note` is what one should know beside the verdict."""

    request: SavedRequest
    key: str
    judged: Judged
    note: str | None = None


def verdict(
    ctx: typer.Context,
    *,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="JSON files, each the body of a request as it is sent; - is the standard input. Without any: the"
            " saved requests of the configuration ([[requests]]), each for its keys.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only for this key.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Judge by this model: it gives or replaces the one in the body.")
    ] = None,
    form: FormatOption = None,
) -> None:
    """Say whether a request would be accepted now.

    Each body is held against the model as each key lists it: unknown, missing and misspelled parameters, types, bounds,
    steps, lengths, patterns, listed values. Nothing is sent and nothing is asked of the vendor: what counts is the
    catalogue of the last poll. No key's secret is needed. Each problem comes with the smallest edit that mends it.

    "undecided" means that the catalogue does not say enough, such as a type that syncd does not know. It is no pass:
    ask for the word "accepted" where only that will do.

    Will the nightly jobs run? syncd verdict. May this one be sent? syncd verdict body.json --key prod. Would another
    model take it? syncd verdict body.json --model wan-2.7-text-to-video. As JSON each problem has its `edit`, by place,
    where null means to leave it out, and `mended` is the whole body after all of them.

    Exits 0 if everything is accepted or undecided, 1 if anything is rejected, 2 if something could not be judged at
    all: a file that cannot be read, a key that has no catalogue yet.
    """
    config = load(ctx.obj, secrets=False, requests=not files)
    requests = [_of_model(one, model) for one in (_in_files(files) if files else _saved(config))]
    with opened(config.database.url) as connection:
        asked = _Asked.of(connection, config, requests, key)
        rows = list(_rows(connection, asked, config.rules))
    if chosen(form) is Format.table:
        typer.echo("\n".join(_lines(rows)), nl=bool(rows))
    else:
        write(_COLUMNS, [_cells(row) for row in rows], form)
    if asked.unknown:
        raise UsageError(f"no catalogue yet for key {names(asked.unknown)}", "run `syncd once` to read it")
    raise typer.Exit(1 if any(row.judged.verdict == "rejected" for row in rows) else 0)


# --- what is asked -------------------------------------------------------------------------------------------------


def _in_files(files: Sequence[str]) -> Iterator[SavedRequest]:
    from syncd.config import requests
    from syncd.config.files import content
    from syncd.config.problems import Refused
    from syncd.core.requests import SavedRequest

    for file in dict.fromkeys(files):
        try:
            if file == _STDIN:
                body = requests.read_request(sys.stdin.buffer.read(requests.LARGEST_REQUEST + 1), "standard input")
            else:
                body = requests.read_request(content(Path(file), requests.LARGEST_REQUEST), file)
        except Refused as refused:
            raise UsageError(clean(refused.message, 400), refused.hint) from None
        yield SavedRequest(file, body)


def _saved(config: Config) -> Sequence[SavedRequest]:
    if not config.requests:
        hint = "name a FILE with the body of one, or add [[requests]] to the configuration"
        raise UsageError("no request is given and none is saved", hint)
    return config.requests


def _of_model(request: SavedRequest, model: str | None) -> SavedRequest:
    asked = request if model is None else replace(request, body={**request.body, "model": model})
    if not asked.model.strip():
        hint = 'add "model": "SLUG" to it, as it is sent, or give --model SLUG'
        raise UsageError(f"{clean(request.name, _MOST_WORDS)} names no model", hint)
    return asked


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which requests for which keys. `states` are those of the keys that have a catalogue, `unknown` has none."""

    pairs: tuple[tuple[SavedRequest, str], ...]
    states: Mapping[str, str]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, connection: Connection, config: Config, requests: Sequence[SavedRequest], key: str | None) -> _Asked:
        from syncd.store import confirmed

        states = confirmed.states(connection)
        # Without a file the database alone knows which keys there are.
        known = [one.name for one in config.keys] or list(states)
        if key is not None and key not in known:
            raise UsageError(f"there is no key {key!r}", f"configured: {names(known)}")
        wanted = known if key is None else [key]
        pairs = [(request, name) for request in requests for name in wanted if request.is_for(name)]
        if not pairs:
            raise UsageError(*_nobody(key))
        unknown = tuple(dict.fromkeys(name for _, name in pairs if name not in states))
        return cls(tuple(pair for pair in pairs if pair[1] in states), states, unknown)


def _nobody(key: str | None) -> tuple[str, str]:
    if key is None:
        return "there is no key yet", "run `syncd once` with a configuration that names one"
    return f"no saved request is for key {key!r}", "name a FILE, or see `keys` in [[requests]]"


# --- the verdicts --------------------------------------------------------------------------------------------------


def _rows(connection: Connection, asked: _Asked, rules: Rules) -> Iterator[Row]:
    from syncd.core.requests import validate
    from syncd.store import confirmed

    for request, key in asked.pairs:
        found = confirmed.models(connection, key=key, slug=request.model)
        if not found:
            near = closest(request.model, confirmed.slugs(connection, key=key))
            yield Row(request, key, _not_listed(request.model, key, near), _of_key(asked.states[key]))
            continue
        ((content,), since) = confirmed.contents(connection, found).values(), found[0].missing_since
        judged = validate(
            request.body,
            content.body(),
            unknown_params=rules.unknown_params,
            required_with_default=rules.required_with_default,
        )
        missing = (
            None if since is None else f"the model is missing since {moment(since)}: its removal waits for confirmation"
        )
        yield Row(request, key, judged, missing or _of_key(asked.states[key]))


def _of_key(state: str) -> str | None:
    """A key that the vendor refuses sends nothing, whatever the catalogue says."""
    said = {"rejected": "rejected", "tier_locked": "locked out by the plan", "forbidden": "refused"}.get(state)
    return None if said is None else f"the key itself is {said}: see `syncd status`"


def _not_listed(slug: str, key: str, near: Sequence[str]) -> Judged:
    from syncd.core.requests import Edit, Judged, Problem

    hint = f"; did you mean {', '.join(clean(one, _MOST_WORDS) for one in near)}?" if near else ""
    message = f"{clean(slug, _MOST_WORDS)} is not listed for key {key}{hint}"
    # Another model is another result: only what differs in its spelling alone is an edit.
    same = [one for one in near if one.strip().casefold() == slug.strip().casefold()]
    edit = Edit("/model", same[0]) if len(same) == 1 else None
    return Judged("rejected", (Problem("/model", "model", message, edit=edit),))


# --- rows for programs ---------------------------------------------------------------------------------------------

_COLUMNS: Final = ("file", "key_name", "model", "verdict", "note", "problems", "mended")


def _cells(row: Row) -> dict[str, Any]:
    mended = row.judged.mended
    return {
        "file": row.request.name,
        "key_name": row.key,
        "model": row.request.model,
        "verdict": row.judged.verdict,
        "note": row.note,
        "problems": dumps([_problem(problem) for problem in row.judged.problems]),
        "mended": None if mended is None else dumps(mended),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    # null stands for "leave it out": nothing is ever mended by a null.
    edits = {edit.place: None if edit.value is MISSING else edit.value for edit in problem.edits}
    return {
        "place": problem.place,
        "rule": problem.rule,
        "message": problem.message,
        "decided": problem.decided,
        "edit": edits or None,
    }


# --- lines for people ----------------------------------------------------------------------------------------------


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        named = f"{clean(row.request.name, _MOST_WORDS)} · {row.key} · {clean(row.request.model, _MOST_WORDS)}"
        yield f"{_MARKS[row.judged.verdict]} {named}: {row.judged.verdict}"
        yield from (f"    {clean(problem.message, 400)}{_remedy(problem)}" for problem in row.judged.problems)
        if row.note:
            yield f"    note: {row.note}"
        if row.judged.mended is not None:
            yield f"    mended: {brief(row.judged.mended, _MOST_BODY)}"


_MARKS: Final = {"accepted": "✓", "rejected": "✗", "undecided": "?"}


def _remedy(problem: Problem) -> str:
    edits = [_edit(edit) for edit in problem.edits]
    return f" → {', '.join(edits)}" if edits else ""


def _edit(edit: Edit) -> str:
    place = clean(edit.place.removeprefix("/"), _MOST_WORDS)
    return f"leave out {place}" if edit.value is MISSING else f"{place}: {brief(edit.value, _MOST_WORDS)}"
