"""JSON as syncd understands it: exact numbers, typed equality, one canonical text per meaning.

    bytes --decode--> value + notes       every oddity is a note with its path; what cannot be kept is `Unreadable`
    value --canonical--> text             equal texts <=> equal meaning: 4 = 4.0, but 1 is not true and not "1"
    value --dumps--> text                 the same document, spelled as it came

Only processes data.
"""

from __future__ import annotations

import hashlib
import json.encoder
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, NoReturn, TypeAlias

# A decoded JSON value: None, bool, int, Decimal, str, list, dict. mypy has no cheap recursive alias for it.
Json: TypeAlias = Any
Path: TypeAlias = tuple[str, ...]

# The version of the canonical form. It is stored with everything that is addressed by it: when a newer syncd
# canonicalises differently, it rebuilds the old state from the stored text instead of reporting a change.
FORM: Final = 1

# Beyond these a number or a document is an attack or an accident. Exact arithmetic on 1e999999999 would not end,
# PostgreSQL's jsonb refuses it, and no credit, bound or default needs it.
MAX_DIGITS: Final = 400
MAX_DEPTH: Final = 100


class Missing(Enum):
    """The key is not there. Not the same as JSON null."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Note:
    """Something odd that was kept all the same: where (a JSON Pointer) and what; `id` if it is a finding too."""

    place: str
    what: str
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value and what had to be noted."""

    value: Json
    notes: tuple[Note, ...]

    @property
    def mended(self) -> bool:
        """Whether the value differs from what the bytes said."""
        return bool(self.notes)


class UnreadableError(ValueError):
    """The bytes are not JSON that can be kept: `place` is a JSON Pointer or a position, `what` says why."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}")
        self.place = place
        self.what = what


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands for a number that cannot be kept until the walk, which alone knows the path, reports it."""

    what: str


class _Repeated(dict[str, Json]):
    """An object that held a key twice."""

    keys_repeated: tuple[str, ...] = ()


def decode(data: bytes | str, *, depth: int = MAX_DEPTH) -> Decoded:
    """Decode one JSON document with care.

    A repeated key keeps its last value, as every JSON reader would, with a note. U+0000 and lone surrogates become
    U+FFFD, with a note: no SQL database can store them. NaN, infinities, numbers over `MAX_DIGITS` digits, nesting
    over `depth` and broken syntax raise `UnreadableError`.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        raw = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start}", "not UTF-8") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(f"line {error.lineno} column {error.colno}", f"not JSON: {error.msg}") from None
    except RecursionError:
        raise UnreadableError("", f"nested deeper than {depth}") from None
    notes: list[Note] = []
    return Decoded(_clean(raw, (), notes, depth), tuple(notes))


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    repeated = _Repeated(plain)
    repeated.keys_repeated = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return repeated


def _integer(text: str) -> int | _Refused:
    return int(text) if len(text) <= MAX_DIGITS else _Refused(f"a number of {len(text)} digits")


def _decimal(text: str) -> Decimal | _Refused:
    mantissa, _, exponent = text.lower().partition("e")
    # The exponent is judged as text: even building the number may be too much.
    digits = exponent.lstrip("+-0")
    if len(digits) > len(str(MAX_DIGITS)) or len(mantissa) + int(digits or 0) > MAX_DIGITS:
        return _Refused("a number out of every sensible range")
    return Decimal(text)


def fits(number: int | Decimal) -> bool:
    """Whether `decode` keeps the number as `dumps` writes it."""
    text = str(number)
    return not isinstance(_integer(text) if isinstance(number, int) else _decimal(text), _Refused)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_int=_integer,
    parse_float=_decimal,
    parse_constant=lambda name: _Refused(f"{name} is not JSON"),
)
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def _clean(value: Json, path: Path, notes: list[Note], depth: int) -> Json:
    if len(path) > depth:
        raise UnreadableError(pointer(path[:3]) + "/…", f"nested deeper than {depth}")
    match value:
        case str():
            return _clean_text(value, path, notes)
        case dict():
            if isinstance(value, _Repeated):
                what = "key repeated; the last value is taken"
                notes.extend(Note(pointer((*path, key)), what) for key in value.keys_repeated)
            return {_clean_text(k, path, notes): _clean(v, (*path, k), notes, depth) for k, v in value.items()}
        case list():
            return [_clean(v, (*path, str(i)), notes, depth) for i, v in enumerate(value)]
        case _Refused():
            raise UnreadableError(pointer(path), value.what)
    return value


def _clean_text(text: str, path: Path, notes: list[Note]) -> str:
    cleaned = _UNSTORABLE.sub("\ufffd", text)
    if cleaned != text:
        notes.append(Note(pointer(path), "U+0000 or a lone surrogate, stored as U+FFFD"))
    return cleaned


def pointer(path: Sequence[str]) -> str:
    """RFC 6901 JSON Pointer; slugs hold ``/`` and ``.``, so a dotted path would be ambiguous."""
    return "".join("/" + _UNSTORABLE.sub("\ufffd", segment).replace("~", "~0").replace("/", "~1") for segment in path)


def dumps(value: Json) -> str:
    """The value as compact JSON, keys in their own order, numbers as they were spelled."""
    return _write(value, canonical_form=False)


def canonical(value: Json) -> str:
    """One text per meaning: keys sorted, numbers as exact decimals in their shortest form."""
    return _write(value, canonical_form=True)


def _write(value: Json, *, canonical_form: bool) -> str:
    match value:
        case str():
            return _text(value)
        case None | bool():
            return _CONSTANTS[value]
        case int():
            return str(value)
        case Decimal():
            return _number(value) if canonical_form else str(value)
        case Mapping():
            items = sorted(value.items()) if canonical_form else value.items()
            written = (
                _write(k, canonical_form=False) + ":" + _write(v, canonical_form=canonical_form) for k, v in items
            )
            return "{" + ",".join(written) + "}"
        case list() | tuple():
            return "[" + ",".join(_write(v, canonical_form=canonical_form) for v in value) + "]"
    return _not_json(value)


# Ten times as fast as json.dumps, which builds an encoder each time.
_text: Final = json.encoder.encode_basestring
_CONSTANTS: Final[Mapping[bool | None, Literal["null", "true", "false"]]] = {None: "null", True: "true", False: "false"}


def _not_json(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not a decoded JSON value")


def _number(value: Decimal) -> str:
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def digest(text: str) -> str:
    """32 hex digits that address a canonical text under the form in force."""
    return hashlib.blake2b(f"{FORM}\n{text}".encode(), digest_size=16).hexdigest()


def is_number(value: Json) -> bool:
    """Whether it is a JSON number; a Boolean never is (Python's `isinstance(True, int)` says otherwise)."""
    # By exact type: a Boolean is an int to isinstance, which is also three times slower here.
    return type(value) is int or type(value) is Decimal


def same(a: Json, b: Json) -> bool:
    """Typed equality: `1`, `true` and `"1"` differ; `4` and `4.0` do not; key order means nothing, list order does."""
    kind = type(a)
    if kind is not type(b):
        return is_number(a) and is_number(b) and bool(a == b)
    if kind is dict:
        if len(a) != len(b):
            return False
        for key, value in a.items():  # noqa: SIM110 - twice as fast as all(), and most of the time of a diff
            if key not in b or not same(value, b[key]):
                return False
        return True
    if kind is list:
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
