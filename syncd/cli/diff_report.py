"""How `syncd diff` says what changed: lines for people, rows for programs. Decides nothing.

changes --table--> grouped by model, the worst first: what, the proof, whom it touches; then how many of each severity
        --else---> a row per change: JSON with exact numbers, or CSV
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import typer

from syncd.cli.output import Format, brief, encoded, write
from syncd.core import wording
from syncd.core.canon import MISSING, Json
from syncd.core.changes import Change
from syncd.core.message import flat
from syncd.core.rules import SEVERITIES, Severity, rank
from syncd.core.text import clean, count

COLUMNS: Final = (
    "kind",
    "severity",
    "slug",
    "path",
    "old",
    "new",
    "decided",
    "witness",
    "affects",
    "summary",
    "detail",
)

_COLOURS: Final[Mapping[Severity, str]] = {
    "breaking": typer.colors.RED,
    "risky": typer.colors.YELLOW,
    "additive": typer.colors.GREEN,
    "informational": typer.colors.BRIGHT_BLACK,
}
_WIDTH: Final = max(map(len, SEVERITIES))
_INDENT: Final = " " * (_WIDTH + 4)

# A witness holds texts that reach a greatest length; who needs all of it asks for JSON.
_LONGEST_JSON: Final = 400
_LONGEST_LINE: Final = 500


# --- for programs --------------------------------------------------------------------------------------------------


def write_rows(changes: Iterable[Change], form: Format) -> None:
    """A row per change. Where there was nothing on a side it is null, as in the view `change_log`."""
    rows = [_row(change) for change in changes]
    match form:
        case Format.csv:
            write(COLUMNS, [_cells(row) for row in rows], form)
        case Format.json:
            typer.echo("[" + ",\n ".join(map(encoded, rows)) + "]")
        case _:
            for row in rows:
                typer.echo(encoded(row))


def _row(change: Change) -> dict[str, Json]:
    return {
        "kind": change.kind,
        "severity": change.severity,
        "slug": change.slug,
        "path": change.pointer,
        "old": None if change.before is MISSING else change.before,
        "new": None if change.after is MISSING else change.after,
        "decided": change.decided,
        "witness": change.witness,
        "affects": list(change.affects),
        "summary": wording.summary(change),
        "detail": change.detail,
    }


def _cells(row: Mapping[str, Json]) -> dict[str, Json]:
    plain = {name: row[name] for name in ("kind", "severity", "slug", "path", "decided", "summary")}
    return {name: plain[name] if name in plain else _cell(row[name]) for name in COLUMNS}


def _cell(value: Json) -> str | None:
    return None if value is None else encoded(value)


# --- for people ----------------------------------------------------------------------------------------------------


def write_text(changes: Sequence[Change], *, models: int, saved: int, colour: bool) -> None:
    """What changed, model by model. `models` were compared, and `saved` requests held against it."""
    if not changes:
        typer.echo(f"no change ({count(models, 'model')} compared)")
        return
    for slug, members in _by_model(changes):
        name = "the account" if slug is None else clean(slug, 120)
        typer.echo(typer.style(name, bold=True) if colour else name)
        last = {request: change for change in members for request in change.affects}
        for change in members:
            typer.echo(_headline(change, colour=colour))
            for line in _more(change):
                typer.echo(_INDENT + line)
            for request in change.affects:
                mended = _mended(request, members) if last[request] is change else ()
                for line in (*_touched(request, change), *mended):
                    typer.echo(_INDENT + line)
        typer.echo()
    typer.echo(_tally(changes, saved))


def _by_model(changes: Iterable[Change]) -> list[tuple[str | None, list[Change]]]:
    """The worst first, of models and within each; the order is the engine's where it is as bad."""
    grouped: dict[str | None, list[Change]] = {}
    for change in sorted(changes, key=lambda change: rank(change.severity)):
        grouped.setdefault(change.slug, []).append(change)
    return list(grouped.items())


def _headline(change: Change, *, colour: bool) -> str:
    severity = change.severity.ljust(_WIDTH)
    if colour:
        severity = typer.style(severity, fg=_COLOURS[change.severity])
    return f"  {severity}  {change.kind}: {clean(flat(wording.phrase(change)), _LONGEST_LINE)}"


def _more(change: Change) -> Iterator[str]:
    """What helps to act on it, a line each."""
    if change.witness is not None:
        yield f"worked before, fails now: {_short(change.witness)}"
    if not change.decided:
        yield "whether requests break cannot be decided"
    if change.slug is not None and change.detail.get("effective") is False:
        yield "the same requests are accepted as before"
    if change.kind in _OF_WHOLE_MODELS:
        yield from _lineage(change.detail)


_OF_WHOLE_MODELS: Final = frozenset({"model.added", "model.returned", "model.removed"})


def _lineage(detail: Mapping[str, Json]) -> Iterator[str]:
    """What took the place of a model that is gone, or whose place this one took."""
    if "replacement" in detail:
        differs = ", ".join(detail.get("differences", ()))
        yield clean(
            f"now {detail['replacement']}, {f'which differs in {differs}' if differs else 'otherwise the same'}"
        )
    if "replaces" in detail:
        yield clean(f"was {detail['replaces']}")
    if "successor" in detail:
        yield clean(f"a later version: {detail['successor']}")
    if "replacement_candidates" in detail:
        yield clean(f"much like it: {', '.join(detail['replacement_candidates'])}", _LONGEST_LINE)


_EFFECTS: Final = {"rejected": "breaks", "different": "gets another result", "accepted": "is accepted now"}


def _touched(request: str, change: Change) -> Iterator[str]:
    how = _how(request, change)
    effect = _EFFECTS.get(how.get("effect", ""), "is touched")
    why = f": {how['why']}" if "why" in how else ""
    yield clean(f"your request {request} {effect}{why}", _LONGEST_LINE)


def _mended(request: str, changes: Iterable[Change]) -> Iterator[str]:
    """What is to be done about all that they do to it, told once."""
    touches = [_how(request, change) for change in changes if request in change.affects]
    pins = {name: value for how in touches for name, value in how.get("pin", {}).items()}
    if pins:
        yield f"  to keep what it got, send {_short(pins)}"
    # Where one has no edit, the others mend nothing.
    if not all(how.get("edit") for how in touches if how.get("effect") == "rejected"):
        return
    edits = {place.removeprefix("/"): value for how in touches for place, value in how.get("edit", {}).items()}
    if sent := {place: value for place, value in edits.items() if value is not None}:
        yield f"  to mend it, send {_short(sent)}"
    # Null in an edit stands for this.
    if left_out := [place for place, value in edits.items() if value is None]:
        yield clean(f"  to mend it, leave out {', '.join(left_out)}", _LONGEST_LINE)


def _how(request: str, change: Change) -> Mapping[str, Json]:
    found: Mapping[str, Json] = change.detail.get("requests", {}).get(request, {})
    return found


def _short(value: Json) -> str:
    return brief(value, _LONGEST_JSON)


def _tally(changes: Iterable[Change], saved: int) -> str:
    counts = Counter(change.severity for change in changes)
    said = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity])
    if not saved:
        return said
    touched = {name for change in changes for name in change.affects}
    return f"{said}; {len(touched)} of {count(saved, 'saved request')} affected"
