"""The bodies of [[requests]]: from the configuration itself or from a JSON file beside it, decoded with care.

    [[requests]] ─┬─ file ──> bytes -> canon.decode ─┐
                  └─ body ──> TOML -> JSON text ─────┴─> fit to be stored and told? -> SavedRequest

Who asks the catalogue or the history needs no request, as it needs no secret: then no file is opened, so that one that
is gone, or may not be read by whoever asks, stops nobody. What stands in the configuration itself is always looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from syncd.config.files import content
from syncd.config.parse import Parsed
from syncd.config.problems import Loc, Problems, Refused
from syncd.config.secrets import LITERAL
from syncd.config.tables import RequestTable
from syncd.core.canon import MAX_DEPTH, MAX_DIGITS, Json, UnreadableError, decode, dumps, fits
from syncd.core.message import names
from syncd.core.requests import SavedRequest
from syncd.core.text import clean

# A request is a few hundred bytes; one that carries a picture in it is still far below.
LARGEST_REQUEST = 1024**2


def saved_requests(parsed: Parsed, folder: Path, problems: Problems, *, wanted: bool) -> tuple[SavedRequest, ...]:
    """Every saved request; none where they are not `wanted`. Relative files start at `folder`."""
    found = [_saved(number, table, parsed, folder, problems, wanted=wanted) for number, table in _tables(parsed)]
    _check_reach(parsed, problems)
    return tuple(one for one in found if one is not None) if wanted else ()


def _tables(parsed: Parsed) -> Iterable[tuple[int, RequestTable]]:
    return enumerate(parsed.file.requests)


def _saved(
    number: int, table: RequestTable, parsed: Parsed, folder: Path, problems: Problems, *, wanted: bool
) -> SavedRequest | None:
    if not all(parsed.sound("requests", number, each) for each in ("file", "body")):
        return None
    if (table.file is None) == (table.body is None):
        message = "has neither file nor body" if table.file is None else "has both file and body"
        problems.add(("requests", number), message, 'write either file = "NAME.json" or body = { model = "…", … }')
        return None
    at: Loc = ("requests", number, "file" if table.body is None else "body")
    try:
        body = _in_the_file(table, folder, wanted=wanted) if table.body is None else _in_place(table.body, at)
    except _Misplaced as fault:
        problems.add(fault.at, fault.message, fault.hint)
        return None
    except Refused as refused:
        problems.add(at, refused.message, refused.hint)
        return None
    return None if body is None else SavedRequest(table.name, body, tuple(table.keys or ("*",)))


# --- in a file -----------------------------------------------------------------------------------------------------


def _in_the_file(table: RequestTable, folder: Path, *, wanted: bool) -> Mapping[str, Json] | None:
    given = table.file or ""
    if not given.strip() or not given.isprintable():
        raise Refused("is not the name of a file", 'write file = "NAME.json", absolute or from the folder of this file')
    return request_in(folder / given) if wanted else None


def request_in(path: Path) -> Mapping[str, Json]:
    """The request in a JSON file. Raises `Refused` for what is none."""
    return named_model(read_request(content(path, LARGEST_REQUEST), str(path)), str(path))


def read_request(data: bytes, where: str) -> Mapping[str, Json]:
    """The request in these bytes, with every number exact. Raises `Refused`, told where they were found."""
    if len(data) > LARGEST_REQUEST:
        raise Refused(f"{where} is larger than {LARGEST_REQUEST} bytes", "check that it is the right file")
    try:
        decoded = decode(data)
    except UnreadableError as error:
        raise Refused(f"{where} cannot be read as JSON: {_at(error.place)}{error.what}", _JSON_HINT) from None
    if not isinstance(decoded.value, dict):
        raise Refused(f"{where} holds no JSON object", _JSON_HINT)
    if _has_literal(decoded.value):
        raise Refused(f"{where} holds a literal secret: it would be stored and shown", _LITERAL_HINT)
    for note in decoded.notes:
        # What every reader takes differently is no request that could be judged.
        raise Refused(f"{where} is not what is sent: {_at(note.place)}{_NOTES.get(note.what, note.what)}", _JSON_HINT)
    return decoded.value


def named_model(body: Mapping[str, Json], where: str) -> Mapping[str, Json]:
    """The same body. Raises `Refused` where it names no model."""
    if not _is_model(body.get("model")):
        raise Refused(f"{where} names no model", 'add "model": "SLUG" to it, as it is sent')
    return body


_JSON_HINT = "write the body that is sent, one JSON object"
_LITERAL_HINT = "revoke it; a request's body holds none: the key is sent in a header"
_NOTES = {"key repeated; the last value is taken": "this member stands there twice"}
_LONGEST_PLACE = 120


def _at(place: str) -> str:
    """Where in the text; it has no literal secret in it, for that was looked at before."""
    return f"{clean(place, _LONGEST_PLACE)}: " if place and not LITERAL.search(place) else ""


def _is_model(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _has_literal(value: Json) -> bool:
    match value:
        case str():
            return LITERAL.search(value) is not None
        case dict():
            return any(LITERAL.search(name) or _has_literal(item) for name, item in value.items())
        case list():
            return any(map(_has_literal, value))
    return False


# --- in the configuration ------------------------------------------------------------------------------------------


class _Misplaced(Refused):
    """What is wrong deeper inside."""

    def __init__(self, at: Loc, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.at = at


def _in_place(body: Mapping[str, Any], at: Loc) -> Mapping[str, Json]:
    """What TOML gave, as JSON means it. Literal secrets are gone by now (`config.document`)."""
    _check_json(body, at)
    if not _is_model(body.get("model")):
        where = (*at, "model") if "model" in body else at
        raise _Misplaced(where, "names no model" if where == at else "is not the slug of a model", 'model = "SLUG"')
    decoded = decode(dumps(body))
    for note in decoded.notes:
        raise Refused(f"{_at(note.place)}{note.what}", _JSON_HINT)
    value: Mapping[str, Json] = decoded.value
    return value


def _check_json(value: Any, at: Loc) -> None:  # noqa: ANN401 - any TOML value
    """TOML knows dates and numbers that JSON does not."""
    if len(at) > MAX_DEPTH:
        raise _Misplaced(at[:4], "is nested too deep", f"at most {MAX_DEPTH} levels")
    match value:
        case dict():
            for name, item in value.items():
                _check_json(item, (*at, name))
        case list():
            for number, item in enumerate(value):
                _check_json(item, (*at, number))
        case date() | datetime() | time():
            raise _Misplaced(at, "is a date or a time, which JSON does not know", "put it in quotes, as it is sent")
        case Decimal() if not value.is_finite():
            raise _Misplaced(at, "is no number that JSON knows", "write a number with digits")
        case int() | Decimal() if not isinstance(value, bool) and not _is_kept(value):
            raise _Misplaced(at, "is a number out of every sensible range", "write what is really sent")


def _is_kept(number: int | Decimal) -> bool:
    # Python writes no integer of thousands of digits out, and in hexadecimal TOML may hold one.
    return (not isinstance(number, int) or number.bit_length() <= 4 * MAX_DIGITS) and fits(number)


# --- whose ---------------------------------------------------------------------------------------------------------


def _check_reach(parsed: Parsed, problems: Problems) -> None:
    """A request must be for one key at least; of its globs one is enough, as for routes."""
    known = [key.name for key in parsed.file.keys]
    if not known or not all(parsed.sound("keys", number, "name") for number in range(len(known))):
        return
    for number, table in _tables(parsed):
        globs = table.keys or ["*"]
        if not any(fnmatchcase(name, glob) for name in known for glob in globs):
            hint = f"configured keys: {names(known)}"
            problems.add(("requests", number, "keys"), "matches no key, so nobody sends the request", hint)
