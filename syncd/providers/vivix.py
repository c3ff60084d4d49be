"""Vivix: `GET /api/v1/models` with a bearer key.

Bytes first: msgspec splits the answer into the text of each model without decoding any. A listing whose bytes were
read last time is `Same`; of any other one, only model texts never seen before go through the careful decoder of
`core.canon`.
Where msgspec refuses the answer (a lone surrogate anywhere, a NaN), the careful decoder reads all of it and says what
is wrong, and where.

What the vendor documents is taken as a hint, never as a promise: unknown fields, types and attributes are kept as they
came; the code in the body is decided on before the status; the vendor's sentences are never decided on.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from syncd.core.canon import Json, Note, UnreadableError, canonical, decode, dumps, is_number, pointer
from syncd.core.catalog import Memo, assemble
from syncd.core.reading import Facts, Listing, Malformed, Reading, Refused, Retry, Same, Unreachable, Why
from syncd.core.secret import Secret
from syncd.core.text import clean
from syncd.core.wire import Answer, NoAnswer, Request

PATH: Final = "/api/v1/models"
KEY_PREFIX: Final = "vvx_live_"

# How much of a rejected body is kept for diagnosis.
KEPT_BODY: Final = 64 * 1024
# More places than anybody reads.
_MOST_PLACES: Final = 20

# Documented waits: a minute after 429 and 503; faults back off within half a minute.
_WAIT_RATE_LIMITED: Final = timedelta(seconds=60)
_WAIT_DOWN: Final = timedelta(seconds=60)
_WAIT_FAULT: Final = timedelta(seconds=30)
# A vendor who asks for more than this has made a mistake, and would silence the watch.
_LONGEST_WAIT: Final = timedelta(hours=6)

# A field of this look tells that the listing is one page of several. None is documented, so none is ever followed.
_CURSOR: Final = re.compile(r"cursor|next_?page|page_?token|has_?more", re.IGNORECASE)

_CODES: Final[Mapping[str, Why]] = {
    "UNAUTHORIZED": "rejected",
    "KEY_INVALID": "rejected",
    "KEY_REVOKED": "rejected",
    "TIER_LOCKED": "tier_locked",
    "MODEL_NOT_ALLOWED": "forbidden",
    "INSUFFICIENT_CREDITS": "client_error",
    "CONCURRENCY_LIMIT": "rate_limited",
    "INTERNAL_ERROR": "server_error",
    "PROVIDER_DOWN": "server_error",
}
_STATUSES: Final[Mapping[int, Why]] = {401: "rejected", 403: "forbidden", 429: "rate_limited"}


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered between two polls of a key: the hash of the listing's bytes, and the digest of its state."""

    fingerprint: bytes
    digest: str


def request(base_url: str, key: Secret) -> Request:
    """The one request of a poll."""
    return Request(
        base_url.rstrip("/") + PATH, {"Authorization": key.prefixed("Bearer "), "Accept": "application/json"}
    )


def read(answer: Answer | NoAnswer, known: Known | None, memo: Memo) -> Reading:
    """Name what the answer means. Never raises for anything the vendor may send."""
    if isinstance(answer, NoAnswer):
        return Unreachable(answer.reason, answer.message)
    try:
        return _catalogue(answer, known, memo) if answer.status == _OK else _not_ok(answer)
    except UnreadableError as error:
        return _malformed(answer, [Note(error.place, error.what)])
    except RecursionError:
        return _malformed(answer, [Note("", "nested too deeply")])


def listing(body: bytes) -> Listing | Refused | Malformed:
    """What a saved response says: its body alone, read as one that has just arrived.

    Its account holds the balance as well, which of two saved responses can be compared nowhere else.
    """
    reading = read(Answer(_OK, {}, body, _UNKNOWN_TIME, _UNKNOWN_TIME, 0), None, Memo())
    if isinstance(reading, Refused):
        # The status that it came with was not saved.
        return replace(reading, facts=replace(reading.facts, status=None))
    if isinstance(reading, Listing):
        envelope, _, _ = _split(body)
        balance = {name: value for name, value in envelope.items() if name == "credits_balance"}
        catalog = replace(reading.catalog, account={**reading.catalog.account, **balance})
        return replace(reading, catalog=catalog)
    if isinstance(reading, Malformed):
        return reading
    raise AssertionError(reading)  # there was an answer, and nothing is known of an earlier one


_OK: Final = 200
_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _malformed(answer: Answer, places: Iterable[Note], envelope: Mapping[str, Json] | None = None) -> Malformed:
    return Malformed(tuple(places), _facts(answer, envelope or {}), answer.body[:KEPT_BODY])


# --- a catalogue ---------------------------------------------------------------------------------------------------


def _catalogue(answer: Answer, known: Known | None, memo: Memo) -> Reading:
    envelope, models, notes = _split(answer.body)
    if _is_refusal(envelope, models):
        return _refusal(answer, envelope)
    if models is None:
        what = "missing" if "models" not in envelope else "not a list"
        return _malformed(answer, [Note("/models", what)], envelope)
    account = {name: value for name, value in envelope.items() if name not in ("models", "credits_balance")}
    fingerprint = hashlib.blake2b(models + canonical(account).encode(), digest_size=16).digest()
    facts = _facts(answer, envelope)
    cursors = [place for name, value in account.items() for place in _cursors((name,), value)]
    if known is not None and known.fingerprint == fingerprint:
        return Same(known.digest, facts, complete=not cursors)
    notes += tuple(Note(pointer(place), "looks like a cursor: the listing counts as incomplete") for place in cursors)
    raws = [bytes(raw) for raw in _LIST.decode(models)]
    try:
        return Listing(assemble(account, raws, memo, notes, complete=not cursors), fingerprint, facts)
    except UnreadableError:
        return _malformed(answer, _places(answer.body, raws, memo), envelope)


def _is_refusal(envelope: Mapping[str, Json], models: bytes | None) -> bool:
    """Some proxies turn a refusal into a 200: the body's code is decided on first.

    A known code settles it; any other one only where nothing is listed.
    """
    code = _code(envelope)
    return code in _CODES or (bool(code) and models in (None, b"[]"))


def _cursors(place: tuple[str, ...], value: Json) -> Iterable[tuple[str, ...]]:
    """The place itself or, inside an object such as ``pagination``, each member that looks like a set cursor."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if _CURSOR.search(name) and inner:
                yield (*place, name)
    elif _CURSOR.search(place[-1]) and value:
        yield place


def _places(body: bytes, raws: Iterable[bytes], memo: Memo) -> list[Note]:
    """Why a listing cannot be read: the first such place of every model."""
    found = []
    for index, raw in enumerate(raws):
        try:
            memo.describe(raw)
        except UnreadableError as error:
            if error.place and not error.place.startswith("/"):
                # A position in the text, which helps only if it is one in the whole answer.
                decode(body)
            found.append(Note(pointer(("models", str(index))) + error.place, error.what))
    return found[:_MOST_PLACES]


_ENVELOPE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _split(body: bytes) -> tuple[Mapping[str, Json], bytes | None, tuple[Note, ...]]:
    """The decoded envelope (its ``models`` left out), the text of the list of models if there is one, and notes."""
    plain = body.removeprefix(codecs.BOM_UTF8)
    try:
        raw = _ENVELOPE.decode(plain).get("models")
        models = b"" if raw is None else bytes(raw)
        # A text with a quote in it cannot stand inside a JSON string, so the first place it is found is the list itself
        # or an equal one; which, the check on the decoded rest tells.
        if models.startswith(b"[") and b'"' in models:
            decoded = decode(plain.replace(models, b"null", 1))
            if decoded.value.get("models", "") is None and "/models" not in {note.place for note in decoded.notes}:
                return decoded.value, models, decoded.notes
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # ValueError: a key that is not UTF-8, or what `decode` refuses. The careful decoder says what, and where.
        pass
    return _split_carefully(body)


def _split_carefully(body: bytes) -> tuple[Mapping[str, Json], bytes | None, tuple[Note, ...]]:
    if not body.strip():
        raise UnreadableError("", "empty body")
    if body.lstrip().startswith(b"<"):
        raise UnreadableError("", "a page of HTML or XML where JSON was expected")
    decoded = decode(body)
    if not isinstance(decoded.value, dict):
        raise UnreadableError("", "not a JSON object")
    if any(note.place == "/models" and "repeated" in note.what for note in decoded.notes):
        # Which of the two lists is meant cannot be known, and a wrong guess would remove models.
        raise UnreadableError("/models", "given twice")
    models = decoded.value.get("models")
    rest = {name: value for name, value in decoded.value.items() if name != "models" or not isinstance(value, list)}
    return rest, dumps(models).encode() if isinstance(models, list) else None, decoded.notes


def _facts(answer: Answer, body: Mapping[str, Json]) -> Facts:
    request_id = answer.headers.get("x-request-id") or body.get("request_id")
    remaining = answer.headers.get("x-ratelimit-remaining", "").strip()
    return Facts(
        status=answer.status,
        code=_code(body),
        request_id=clean(request_id, 100) if isinstance(request_id, str) else None,
        balance=_balance(body.get("credits_balance"), answer.headers.get("x-credits-balance", "")),
        rate_limit_remaining=int(remaining) if _SMALL.fullmatch(remaining) else None,
    )


def _code(body: Mapping[str, Json]) -> str | None:
    code = body.get("error")
    return clean(code, 64) if isinstance(code, str) else None


_SMALL: Final = re.compile(r"[0-9]{1,9}")


def _balance(body: Json, header: str) -> Json:
    """The balance, from the body if it is a number there, else from the header, which writes ``49,711``."""
    if is_number(body) and abs(body) < _MOST_CREDITS:
        return body
    return Decimal(header.strip().replace(",", "")) if _GROUPED.fullmatch(header.strip()) else None


# Commas only where they group thousands: ``49,71`` may be anything.
_GROUPED: Final = re.compile(r"-?([0-9]{1,15}|[0-9]{1,3}(,[0-9]{3}){1,4})(\.[0-9]{1,6})?")

# Beyond this a balance is no balance, and no database column holds it exactly.
_MOST_CREDITS: Final = 10**15


# --- a refusal -----------------------------------------------------------------------------------------------------


def _not_ok(answer: Answer) -> Refused | Malformed:
    body = _error_body(answer.body)
    if _code(body) not in _CODES and (answer.status < _REDIRECTS or answer.status == _NOT_MODIFIED):
        # Neither a listing nor a refusal: a part of an answer, or an answer to a question that was not asked.
        return _malformed(answer, [Note("", f"status {answer.status} where 200 was expected")], body)
    return _refusal(answer, body)


_REDIRECTS: Final = 300
_NOT_MODIFIED: Final = 304


def _error_body(body: bytes) -> Mapping[str, Json]:
    """The error envelope, if the body is one; an HTML page from a proxy is none."""
    try:
        value = decode(body).value
    except UnreadableError:
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(answer: Answer, body: Mapping[str, Json]) -> Refused:
    facts = _facts(answer, body)
    why = _why(answer.status, facts.code)
    words = {name: clean(value, 500) for name in ("message", "next") if isinstance(value := body.get(name), str)}
    if why == "moved":
        words = {"message": f"endpoint moved to {clean(answer.headers.get('location', 'nowhere'), 200)}"}
        facts = replace(facts, code="MOVED")
    return Refused(why, facts, words.get("message", ""), words.get("next", ""), _retry(answer, why))


def _why(status: int, code: str | None) -> Why:
    if code is not None and code in _CODES:
        return _CODES[code]
    if status in _STATUSES:
        return _STATUSES[status]
    match status // 100:
        case 3:
            return "moved"
        case 5:
            return "server_error"
    return "client_error"


def _retry(answer: Answer, why: Why) -> Retry | None:
    if why == "rate_limited":
        return Retry(answer.ended + (_asked(answer) or _WAIT_RATE_LIMITED), "account")
    if why == "server_error":
        usual = _WAIT_DOWN if answer.status == _UNAVAILABLE else _WAIT_FAULT
        return Retry(answer.ended + (_asked(answer) or usual), "base_url")
    return None


_UNAVAILABLE: Final = 503


def _asked(answer: Answer) -> timedelta | None:
    """The wait that ``Retry-After`` asks for, in seconds, whole or not, or as an HTTP date.

    None if it cannot be read or asks for no wait at all: then the usual wait holds.
    """
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        wait = timedelta(seconds=min(float(text), _LONGEST_WAIT.total_seconds()))
    elif (at := _http_date(text)) is not None:
        wait = min(at - answer.ended, _LONGEST_WAIT)
    else:
        return None
    return wait if wait > timedelta(0) else None


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
