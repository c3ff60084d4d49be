"""What a vendor, a proxy or a bad day can answer: ready-made replies for `SimulatedVendor`.

    account.answer = hostile.always(hostile.KEY_REVOKED)
    account.answer = hostile.in_turn(hostile.PROVIDER_DOWN, hostile.listing())     # the last one stays

A reply is a constant where it is always the same, and a function where a test chooses something about it. The
tables at the end group them for `pytest.mark.parametrize`; they hold functions that take nothing and give a fresh
reply, so that big bodies are built only when they are sent.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import repeat

from syncd.demo.vendor import Account, Json, Reply, RequestSeen, real_models
from syncd.demo.vendor import listing as listing_of

MIB = 1 << 20

JSON_TYPE = ("Content-Type", "application/json")
HTML = b"<!doctype html><html><head><title>Just a moment</title></head><body><h1>We are on it</h1></body></html>"

Answer = Callable[[RequestSeen], Reply]


def always(reply: Reply | Callable[[], Reply]) -> Answer:
    """An `Account.answer` that gives the same reply to every request."""
    return lambda _: reply() if callable(reply) else reply


def in_turn(*replies: Reply) -> Answer:
    """An `Account.answer` that gives one reply after the other, and the last one from then on."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


# --- refusals: every row of the error table of the API's documentation -------------------------------------------


def refusal(status: int, code: str, *, headers: tuple[tuple[str, str], ...] = (), **extras: object) -> Reply:
    """An error in the documented envelope; `extras` are further fields of it."""
    content = {
        "error": code,
        "message": f"simulated {code}",
        "next": "do something about it",
        "request_id": "req_simulated_hostile",
        **extras,
    }
    return Reply.json(content, status=status, headers=headers)


UNAUTHORIZED = refusal(401, "UNAUTHORIZED")
KEY_INVALID = refusal(401, "KEY_INVALID")
KEY_REVOKED = refusal(401, "KEY_REVOKED")
KEY_REVOKED_403 = refusal(403, "KEY_REVOKED")  # one page of the documentation has it so
TIER_LOCKED = refusal(403, "TIER_LOCKED")
MODEL_NOT_ALLOWED = refusal(403, "MODEL_NOT_ALLOWED")
INSUFFICIENT_CREDITS = refusal(402, "INSUFFICIENT_CREDITS", balance=12, needed=80)
INTERNAL_ERROR = refusal(500, "INTERNAL_ERROR")
PROVIDER_DOWN = refusal(503, "PROVIDER_DOWN")


def rate_limited(retry_after: str | None = "7", *, code: str = "RATE_LIMITED") -> Reply:
    """429 with Retry-After as given, or without. The name of the code is a guess: the documentation has none."""
    return refusal(429, code, headers=() if retry_after is None else (("Retry-After", retry_after),))


CONCURRENCY_LIMIT = rate_limited(code="CONCURRENCY_LIMIT")


def moved(status: int, location: str = "https://api.example.com/api/v1/models") -> Reply:
    """A redirect; by default to another host, to which a bearer key must not travel."""
    return Reply(status=status, headers=(("Location", location),), body=b"Redirecting...")


# --- answers of something that is not the API --------------------------------------------------------------------

HTML_200 = Reply(headers=(("Content-Type", "text/html; charset=utf-8"),), body=HTML)
HTML_502_AS_TEXT = Reply(502, headers=(("Content-Type", "text/plain"),), body=HTML)
EMPTY_200 = Reply(headers=(JSON_TYPE,))


# --- answers that are not complete, not packed as they say, or never end -----------------------------------------


def _head(*headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", "X-Simulated: yes", *headers, "", ""]
    return "\r\n".join(lines).encode()


def raw(*steps: bytes | float, reset: bool = False) -> Reply:
    """These bytes and pauses (seconds) on the socket, then the end of the connection."""
    return Reply(script=lambda: steps, reset=reset)


def cut_off() -> Reply:
    """Less body than Content-Length announces."""
    body = listing().body
    return raw(_head(f"Content-Length: {len(body)}"), body[: len(body) // 2])


def cut_off_chunks() -> Reply:
    """A chunked body without its last chunk."""
    return raw(_head("Transfer-Encoding: chunked"), b'10\r\n{"tier": "pro", \r\n')


def closed() -> Reply:
    """No answer: the connection is closed."""
    return raw()


def reset() -> Reply:
    """No answer: the connection is reset."""
    return raw(reset=True)


def not_http() -> Reply:
    """The greeting of another protocol."""
    return raw(b"220 simulated.example ESMTP\r\n", 5.0)


def slow_head(pause: float = 0.05) -> Reply:
    """Headers that arrive byte by byte, without end; each byte comes soon enough for a timeout of single reads."""
    return Reply(script=lambda: _drip(b"HTTP/1.1 200 OK\r\nX-Drip: ", pause))


def slow_body(pause: float = 0.05) -> Reply:
    """A body that arrives byte by byte, without end."""
    return Reply(script=lambda: _drip(b"", pause, before=_head("Content-Length: 1000000")))


def _drip(start: bytes, pause: float, *, before: bytes = b"") -> Iterator[bytes | float]:
    yield before
    for byte in start:
        yield bytes([byte])
        yield pause
    for space in repeat(b" "):
        yield space
        yield pause


def oversized(size: int = 64 * MIB, *, announced: bool = True) -> Reply:
    """A body of `size` bytes, its size announced or not."""

    def script() -> Iterator[bytes]:
        yield _head(f"Content-Length: {size}" if announced else "Connection: close")
        for _ in range(size // MIB):
            yield b" " * MIB
        yield b" " * (size % MIB)

    return Reply(script=script)


@lru_cache(maxsize=1)
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(size // MIB)), packer.flush()])


def gzip_bomb(size: int = 96 * MIB) -> Reply:
    """A body of about a thousandth of `size` that inflates to `size`."""
    return packed(_bomb(size))


def packed(body: bytes, encoding: str = "gzip") -> Reply:
    """A body sent as it is, said to be packed in the way `encoding` names."""
    return Reply(headers=(JSON_TYPE, ("Content-Encoding", encoding)), body=body)


def broken_gzip() -> Reply:
    """Says gzip and is not."""
    return packed(listing().body)


def damaged_gzip() -> Reply:
    """Gzip with a checksum that does not fit."""
    body = bytearray(gzip.compress(listing().body))
    body[-8] ^= 0xFF
    return packed(bytes(body))


def cut_off_gzip() -> Reply:
    """Half a gzip stream in a complete HTTP body."""
    body = gzip.compress(listing().body)
    return packed(body[: len(body) // 2])


def unknown_encoding() -> Reply:
    """Packed with something nobody asked for."""
    return packed(b"\x1b\x00\x00", "br")


def with_cookie(value: str = "session=of-key-a; Path=/") -> Reply:
    """A good listing with a cookie, as a load balancer may add one."""
    return replace(listing(), headers=(JSON_TYPE, ("Set-Cookie", value), ("Set-Cookie", "lb=7; Path=/")))


# --- listings that are JSON, more or less ------------------------------------------------------------------------


def listing(*, models: object = None, **top: object) -> Reply:
    """A good listing, or one with another value for `models` or for other top-level fields."""
    content = {**listing_of(Account(models=real_models())), **top}
    if models is not None:
        content["models"] = models
    return Reply.json(content)


def text(body: str | bytes) -> Reply:
    """A 200 with this text as its JSON body, whether it is JSON or not."""
    return Reply(headers=(JSON_TYPE,), body=body.encode() if isinstance(body, str) else body)


def _listing_text(**replacements: str) -> str:
    """The text of a good listing of which the values named in `replacements` are replaced by raw text."""
    content = listing_of(Account(models=real_models()))
    content["models"][0].update(dict.fromkeys(replacements, "@@"))
    body = json.dumps(content)
    for name, value in replacements.items():
        body = body.replace(f'"{name}": "@@"', f'"{name}": {value}', 1)
    return body


def first_model(**changes: object) -> Reply:
    """A good listing whose first model has these other values."""
    first, *rest = real_models()
    return listing(models=[{**first, **changes}, *rest])


def first_model_text(**changes: str) -> Reply:
    """The same with raw JSON text for values, for what `json.dumps` cannot write."""
    return text(_listing_text(**changes))


def truncated_json() -> Reply:
    """A complete HTTP body with the beginning of a listing."""
    body = listing().body
    return text(body[: len(body) * 2 // 3])


def duplicate_models_key() -> Reply:
    """Two top-level fields `models`, the second one empty."""
    return text(_listing_text()[:-1] + ', "models": []}')


def duplicate_key_in_model() -> Reply:
    """A model with two names."""
    return first_model_text(name='"Grok Imagine Image Quality", "name": "Another Name"')


def duplicate_slugs_alike() -> Reply:
    """One model twice, word for word."""
    first, second = real_models()
    return listing(models=[first, second, first])


def duplicate_slugs_in_conflict() -> Reply:
    """Two different models of one slug."""
    first, second = real_models()
    return listing(models=[first, second, {**first, "credits_band": {"min": 1, "max": 2}}])


def lone_surrogate() -> Reply:
    r"""A `\ud800` without its other half in a description."""
    return first_model_text(description=r'"half a \ud800 pair"')


def null_character() -> Reply:
    r"""A `\u0000` in a description, which PostgreSQL cannot hold."""
    return first_model_text(description=r'"before\u0000after"')


def number(literal: str) -> Reply:
    """A price whose lower end is `literal`, be it a number or not."""
    return first_model_text(credits_band=f'{{"min": {literal}, "max": 211}}')


def not_a_number() -> Reply:
    """NaN, which is not JSON but what some serialisers write."""
    return number("NaN")


def infinity() -> Reply:
    """Infinity, likewise."""
    return number("-Infinity")


def huge_integer() -> Reply:
    """An integer of 5,000 digits, more than Python reads without complaint."""
    return number("9" * 5_000)


def huge_exponent() -> Reply:
    """A number that is infinite as a float and a million digits long as an integer."""
    return number("1e999999")


def deeply_nested(depth: int = 5_000) -> Reply:
    """Lists in lists, `depth` levels, inside a model."""
    return first_model_text(params="[" * depth + "]" * depth)


def models_absent() -> Reply:
    """A listing without `models`."""
    content = listing_of(Account(models=[]))
    del content["models"]
    return Reply.json(content)


def models_null() -> Reply:
    """`models` is null."""
    return text(json.dumps({**listing_of(Account(models=[])), "models": None}))


def models_object() -> Reply:
    """`models` is a map from slug to model."""
    return listing(models={model["slug"]: model for model in real_models()})


def models_string() -> Reply:
    """`models` is a sentence."""
    return listing(models="see the dashboard")


def models_empty() -> Reply:
    """`models` is an empty list: legal, and what an outage looks like."""
    return listing(models=[])


def models_with(*others: object) -> Reply:
    """A good listing with further things in `models`."""
    return listing(models=[*real_models(), *others])


def without_slug() -> Reply:
    """A model that lacks its slug."""
    nameless: Json = real_models()[0]
    del nameless["slug"]
    return models_with(nameless)


def invalid_utf8() -> Reply:
    """Latin-1 where UTF-8 belongs."""
    return text(_listing_text(creator='"caf\u00e9"').encode("latin-1"))


def byte_order_mark() -> Reply:
    """A good listing after a UTF-8 byte order mark."""
    return text(b"\xef\xbb\xbf" + listing().body)


def prose_for_numbers() -> Reply:
    """A price in words."""
    return first_model(credits_band="about 80")


def with_cursor(name: str = "next_cursor") -> Reply:
    """A listing that looks like the first page of several."""
    return listing(**{name: "eyJvZmZzZXQiOjJ9"})


# --- tables ------------------------------------------------------------------------------------------------------

Table = dict[str, Callable[[], Reply]]

REFUSALS: Table = {
    "401 UNAUTHORIZED": lambda: UNAUTHORIZED,
    "401 KEY_INVALID": lambda: KEY_INVALID,
    "401 KEY_REVOKED": lambda: KEY_REVOKED,
    "403 KEY_REVOKED": lambda: KEY_REVOKED_403,
    "403 TIER_LOCKED": lambda: TIER_LOCKED,
    "403 MODEL_NOT_ALLOWED": lambda: MODEL_NOT_ALLOWED,
    "402 INSUFFICIENT_CREDITS": lambda: INSUFFICIENT_CREDITS,
    "429 CONCURRENCY_LIMIT": lambda: CONCURRENCY_LIMIT,
    "500 INTERNAL_ERROR": lambda: INTERNAL_ERROR,
    "503 PROVIDER_DOWN": lambda: PROVIDER_DOWN,
}
"""Complete answers in the documented envelope."""

RATE_LIMITS: Table = {
    "429 with whole seconds": lambda: rate_limited("7"),
    "429 with a fraction": lambda: rate_limited("7.5"),
    "429 with a date": lambda: rate_limited("Wed, 21 Oct 2065 07:28:00 GMT"),
    "429 with a date gone by": lambda: rate_limited("Wed, 21 Oct 2015 07:28:00 GMT"),
    "429 with nothing": lambda: rate_limited(None),
    "429 with a negative number": lambda: rate_limited("-5"),
    "429 with a number without measure": lambda: rate_limited("9" * 400),
    "429 with garbage": lambda: rate_limited("soon, I hope"),
}
"""Complete answers: too many calls, and what Retry-After may say."""

NOT_THE_API: Table = {
    "301 to another host": lambda: moved(301),
    "302 to another host": lambda: moved(302),
    "307 to another host": lambda: moved(307),
    "308 to another host": lambda: moved(308),
    "302 to nowhere readable": lambda: moved(302, "http://[not an address/"),
    "200 HTML": lambda: HTML_200,
    "502 HTML said to be plain text": lambda: HTML_502_AS_TEXT,
}
"""Complete answers of a proxy, a host or a page that is not the API."""

MALFORMED: Table = {
    "an empty body": lambda: EMPTY_200,
    "HTML": lambda: HTML_200,
    "truncated JSON": truncated_json,
    "two fields named models": duplicate_models_key,
    "nesting 5,000 deep": deeply_nested,
    "invalid UTF-8": invalid_utf8,
    "no models": models_absent,
    "models is null": models_null,
    "models is an object": models_object,
    "models is a string": models_string,
    "JSON null": lambda: text("null"),
    "a JSON list": lambda: text("[]"),
}
"""Complete answers with status 200 that are no listing."""

ODD: Table = {
    "a key twice in a model": duplicate_key_in_model,
    "a slug twice, alike": duplicate_slugs_alike,
    "a slug twice, in conflict": duplicate_slugs_in_conflict,
    "a lone surrogate": lone_surrogate,
    "a null character": null_character,
    "NaN": not_a_number,
    "Infinity": infinity,
    "an integer of 5,000 digits": huge_integer,
    "1e999999": huge_exponent,
    "a number among the models": lambda: models_with(7),
    "null among the models": lambda: models_with(None),
    "a string among the models": lambda: models_with("grok-imagine-image-quality"),
    "a list among the models": lambda: models_with([]),
    "a model without a slug": without_slug,
    "a model with an empty slug": lambda: first_model(slug=""),
    "a model with a number for a slug": lambda: first_model(slug=7),
    "a model with null for a slug": lambda: first_model(slug=None),
    "a byte order mark": byte_order_mark,
    "prose for numbers": prose_for_numbers,
    "a cursor": with_cursor,
    "no models in the list": models_empty,
    "a cookie": with_cookie,
}
"""Complete answers with status 200 that are nearly a listing; what to make of each is for the reader to say."""

BROKEN: dict[str, tuple[Callable[[], Reply], str]] = {
    "a body cut off": (cut_off, "reset"),
    "a chunked body cut off": (cut_off_chunks, "reset"),
    "a connection closed without an answer": (closed, "reset"),
    "a connection reset without an answer": (reset, "reset"),
    "another protocol": (not_http, "protocol"),
    "headers that drip": (slow_head, "timeout"),
    "a body that drips": (slow_body, "timeout"),
    "an oversized body, announced": (oversized, "too_large"),
    "an oversized body, not announced": (lambda: oversized(announced=False), "too_large"),
    "a gzip bomb": (gzip_bomb, "too_large"),
    "gzip that is none": (broken_gzip, "encoding"),
    "gzip with a wrong checksum": (damaged_gzip, "encoding"),
    "gzip cut off": (cut_off_gzip, "encoding"),
    "an encoding nobody asked for": (unknown_encoding, "encoding"),
}
"""What never becomes a complete answer, with the reason `fetch` gives."""
