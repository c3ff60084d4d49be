"""`vivix.read`: what each answer means, whatever the vendor sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncd.core.canon import Note
from syncd.core.catalog import Memo
from syncd.core.reading import Failed, Listing, Malformed, Reading, Refused, Retry, Same, Unreachable, explain, outcome
from syncd.core.secret import Secret
from syncd.core.wire import Answer, NoAnswer
from syncd.demo.vendor import Account, Reply, SimulatedVendor, real_models
from syncd.fetch import Fetcher
from syncd.providers import vivix
from syncd.providers.vivix import Known, read
from tests import hostile

KEY = "vvx_live_0123456789abcdefghijklmnopqrstuv"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SLUGS = {model["slug"] for model in real_models()}
Make = Callable[[], Reply]


def answer(body: bytes | str | object, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    return Answer(status, headers or {}, body, NOW, NOW, 0.1)


def of(reply: Reply) -> Answer:
    """The reply as `fetch` would hand it over."""
    return answer(reply.body, status=reply.status, headers={name.lower(): value for name, value in reply.headers})


def reading(given: Answer | NoAnswer, known: Known | None = None) -> Reading:
    return read(given, known, Memo())


def listed(given: Answer | Reply) -> Listing:
    found = reading(of(given) if isinstance(given, Reply) else given)
    assert isinstance(found, Listing), found
    return found


def refused(given: Answer | Reply) -> Refused:
    found = reading(of(given) if isinstance(given, Reply) else given)
    assert isinstance(found, Refused), found
    return found


def malformed(given: Answer | Reply) -> Malformed:
    found = reading(of(given) if isinstance(given, Reply) else given)
    assert isinstance(found, Malformed), found
    return found


def content(**changes: object) -> dict[str, Any]:
    return {
        "tier": "pro",
        "credits_balance": 12_847,
        "rate_limit": {"calls_per_minute": 240, "concurrent_jobs": 5},
        "models": real_models(),
        **changes,
    }


# --- every hostile answer, over a real socket ----------------------------------------------------------------------

COMPLETE = {**hostile.REFUSALS, **hostile.RATE_LIMITS, **hostile.NOT_THE_API, **hostile.MALFORMED, **hostile.ODD}

EXPECTED = {
    **dict.fromkeys(("401 UNAUTHORIZED", "401 KEY_INVALID", "401 KEY_REVOKED", "403 KEY_REVOKED"), "rejected"),
    "403 TIER_LOCKED": "tier_locked",
    "403 MODEL_NOT_ALLOWED": "forbidden",
    "402 INSUFFICIENT_CREDITS": "client_error",
    "429 CONCURRENCY_LIMIT": "rate_limited",
    "500 INTERNAL_ERROR": "server_error",
    "503 PROVIDER_DOWN": "server_error",
    **dict.fromkeys(hostile.RATE_LIMITS, "rate_limited"),
    **dict.fromkeys((name for name in hostile.NOT_THE_API if name.startswith("3")), "moved"),
    "200 HTML": "malformed",
    "502 HTML said to be plain text": "server_error",
    **dict.fromkeys(hostile.MALFORMED, "malformed"),
    **dict.fromkeys(hostile.ODD, "listing"),
    **dict.fromkeys(("NaN", "Infinity", "an integer of 5,000 digits", "1e999999"), "malformed"),
}


def name_of(found: Reading) -> str:
    return found.why if isinstance(found, Refused) else type(found).__name__.lower()


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[Make], Answer | NoAnswer]]:
    with (
        SimulatedVendor() as vendor,
        Fetcher(timeout=10, max_response=1 << 20, connections=2, clock=lambda: datetime.now(UTC)) as fetcher,
    ):
        vendor.keys[KEY] = account = Account()

        def ask(make: Make) -> Answer | NoAnswer:
            account.answer = hostile.always(make)
            return fetcher.get(vivix.request(vendor.base_url + "/", Secret(KEY)))

        yield ask


@pytest.mark.parametrize("name", COMPLETE)
def test_every_complete_answer_has_its_reading(name: str, ask: Callable[[Make], Answer | NoAnswer]):
    found = reading(ask(COMPLETE[name]))
    assert name_of(found) == EXPECTED[name]
    if not isinstance(found, Listing | Same):
        assert "\n" not in explain(found)
        assert outcome(found) in ("refused", "rate_limited", "malformed", "unreachable")


@pytest.mark.parametrize(("make", "reason"), hostile.BROKEN.values(), ids=list(hostile.BROKEN))
def test_no_complete_answer_is_unreachable(make: Make, reason: str):
    with (
        SimulatedVendor() as vendor,
        Fetcher(timeout=2.0, max_response=1 << 20, connections=2, clock=lambda: datetime.now(UTC)) as fetcher,
    ):
        vendor.keys[KEY] = Account(answer=hostile.always(make))
        found = reading(fetcher.get(vivix.request(vendor.base_url, Secret(KEY))))
    assert isinstance(found, Unreachable)
    assert found.reason == reason


def test_the_request_is_a_get_with_the_key_hidden():
    request = vivix.request("https://getvivix.com/", Secret(KEY))
    assert request.url == "https://getvivix.com/api/v1/models"
    assert KEY not in repr(request)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_refusal_has_the_code_the_request_id_and_the_vendors_words():
    found = refused(hostile.KEY_REVOKED)
    assert (found.facts.status, found.facts.code, found.facts.request_id) == (
        401,
        "KEY_REVOKED",
        "req_simulated_hostile",
    )
    assert (found.message, found.next) == ("simulated KEY_REVOKED", "do something about it")
    assert found.retry is None


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (500, "KEY_INVALID", "rejected"),
        (403, "UNAUTHORIZED", "rejected"),
        (401, "TIER_LOCKED", "tier_locked"),
        (400, "PROVIDER_DOWN", "server_error"),
        (200, "TIER_LOCKED", "tier_locked"),
        (206, "KEY_REVOKED", "rejected"),
        (401, "SOMETHING_NEW", "rejected"),
        (403, "SOMETHING_NEW", "forbidden"),
        (429, "SOMETHING_NEW", "rate_limited"),
        (502, "SOMETHING_NEW", "server_error"),
        (404, "SOMETHING_NEW", "client_error"),
        (200, "SOMETHING_NEW", "client_error"),
    ],
)
def test_the_code_is_decided_on_before_the_status(status: int, code: str, why: str):
    assert refused(answer({"error": code}, status=status)).why == why


@pytest.mark.parametrize("code", [None, 7, [], {"code": "KEY_REVOKED"}, True])
def test_a_code_that_is_no_text_leaves_the_decision_to_the_status(code: object):
    found = refused(answer({"error": code, "message": 7, "next": [], "request_id": {}}, status=403))
    assert (found.why, found.facts.code, found.message, found.next) == ("forbidden", None, "", "")


def test_a_known_refusal_beside_an_empty_list_is_no_listing():
    assert refused(answer({"error": "TIER_LOCKED", "models": []})).why == "tier_locked"
    assert refused(answer({"error": "SOMETHING_NEW", "models": []})).why == "client_error"


def test_an_unknown_error_beside_models_is_a_listing():
    assert set(listed(answer(content(error="partial outage"))).catalog.models) == SLUGS
    assert set(listed(answer(content(error=None))).catalog.models) == SLUGS


@pytest.mark.parametrize("status", [201, 203, 204, 206, 304])
def test_another_good_status_is_no_listing(status: int):
    assert malformed(answer(content(), status=status)).places == (Note("", f"status {status} where 200 was expected"),)


def test_hostile_words_are_cleaned_and_bounded():
    words = "\x1b[2J\u202e" + "x" * 10_000
    found = refused(answer({"error": words, "message": words, "next": words, "request_id": words}, status=403))
    for text in (found.facts.code, found.facts.request_id, found.message, found.next):
        assert text is not None
        assert len(text) <= 500
        assert text.startswith("[2Jx")


def test_a_moved_endpoint_is_named_and_not_followed():
    found = refused(hostile.moved(308))
    assert found.message == "endpoint moved to https://api.example.com/api/v1/models"
    assert explain(found) == "endpoint moved to https://api.example.com/api/v1/models (308)"
    assert (found.facts.code, found.retry) == ("MOVED", None)
    assert refused(answer(b"", status=302)).message == "endpoint moved to nowhere"


# --- when to ask again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("7.5", 7.5),
        (" 120 ", 120),
        (None, 60),
        ("", 60),
        ("0", 60),
        ("-5", 60),
        ("soon, I hope", 60),
        ("1e3", 60),
        ("٣", 60),
        ("999999999", 6 * 3600),
        ("9" * 400, 6 * 3600),
        ("Mon, 02 Mar 2026 09:10:00 GMT", 600),
        ("Mon, 02 Mar 2026 10:10:00 +0100", 600),
        ("Mon, 02 Mar 2026 09:10:00 -0000", 600),
        ("Wed, 21 Oct 2065 07:28:00 GMT", 6 * 3600),
        ("Fri, 31 Dec 9999 23:59:59 -1200", 6 * 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", 60),
        ("Wed, 21 Oct 2065 07:28:00 +9999", 60),
    ],
)
def test_retry_after_is_obeyed_within_reason(retry_after: str | None, seconds: float):
    headers = {} if retry_after is None else {"retry-after": retry_after}
    found = refused(answer({"error": "ANY"}, status=429, headers=headers))
    assert found.retry == Retry(NOW + timedelta(seconds=seconds), "account")


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(500, {}, 30), (502, {}, 30), (503, {}, 60), (503, {"retry-after": "5"}, 5), (500, {"retry-after": "300"}, 300)],
)
def test_a_fault_makes_everybody_at_the_address_wait(status: int, headers: dict[str, str], seconds: float):
    found = refused(answer(hostile.HTML, status=status, headers=headers))
    assert found.retry == Retry(NOW + timedelta(seconds=seconds), "base_url")


# --- malformed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "place", "what"),
    [
        (hostile.MALFORMED["an empty body"], "", "empty body"),
        (hostile.MALFORMED["HTML"], "", "a page of HTML or XML where JSON was expected"),
        (hostile.duplicate_models_key, "/models", "given twice"),
        (hostile.models_absent, "/models", "missing"),
        (hostile.models_null, "/models", "not a list"),
        (hostile.models_object, "/models", "not a list"),
        (hostile.models_string, "/models", "not a list"),
        (hostile.MALFORMED["a JSON list"], "", "not a JSON object"),
        (hostile.not_a_number, "/models/0/credits_band/min", "NaN is not JSON"),
        (hostile.infinity, "/models/0/credits_band/min", "-Infinity is not JSON"),
        (hostile.huge_integer, "/models/0/credits_band/min", "a number of 5000 digits"),
        (hostile.huge_exponent, "/models/0/credits_band/min", "a number out of every sensible range"),
    ],
)
def test_malformed_says_where_and_what(make: Make, place: str, what: str):
    found = malformed(make())
    assert found.places == (Note(place, what),)
    assert found.body == make().body[: vivix.KEPT_BODY]
    assert explain(found) == f"{place or 'the body'}: {what}"


def test_every_unreadable_model_is_named():
    text = json.dumps(content(models=[{"slug": "a", "n": "@"}, {"slug": "b"}, {"slug": "c", "n": "@"}]))
    found = malformed(answer(text.replace('"@"', "9" * 5_000)))
    assert [note.place for note in found.places] == ["/models/0/n", "/models/2/n"]
    assert found.facts.balance == 12_847


def test_a_position_in_the_text_is_one_in_the_whole_answer():
    body = hostile.invalid_utf8().body
    where = body.index(b"\xe9")
    assert malformed(answer(body)).places == (Note(f"byte {where}", "not UTF-8"),)


def test_only_so_much_of_a_rejected_body_is_kept():
    assert len(malformed(answer(b"x" * 200_000)).body) == vivix.KEPT_BODY


def test_two_lists_of_models_are_malformed_also_when_they_are_equal():
    models = json.dumps(real_models())
    body = f'{{"models": {models}, "tier": "pro", "models": {models}}}'
    assert malformed(answer(body)).places == (Note("/models", "given twice"),)


# --- listings ------------------------------------------------------------------------------------------------------


def test_a_listing_keeps_each_models_own_text():
    text = '{ "slug":"a",  "credits_band" : {"min": 1.50, "max":2e1},"new\\u0041":[null, 1.0] }'
    body = f'{{"models": [{text}], "credits_balance": 7}}'
    for prefix in ("", "\ufeff"):
        assert listed(answer(prefix + body)).catalog.models["a"].text == text


def test_what_is_not_known_is_kept():
    model = {"slug": "a", "status": {"x": [1]}, "params": {"image": {"type": "lora", "strength": "0.5"}, "y": 7}}
    catalog = listed(answer(content(models=[model], promo={"until": None}))).catalog
    assert catalog.models["a"].body() == model
    assert catalog.account["promo"] == {"until": None}


def test_order_spacing_and_balance_are_no_part_of_the_digest():
    there = listed(answer(content())).catalog.digest
    other = content(models=real_models()[::-1], credits_balance=1)
    assert listed(answer(json.dumps(dict(reversed(other.items())), indent=3))).catalog.digest == there
    assert listed(answer(content(tier="ultimate"))).catalog.digest != there


def test_the_same_bytes_are_the_same_listing_whatever_the_balance():
    first = listed(answer(content()))
    known = Known(first.fingerprint, first.catalog.digest)
    again = reading(answer(content(credits_balance=3)), known)
    assert again == Same(first.catalog.digest, first.facts.__class__(status=200, balance=3))
    for other in (content(tier="free "), content(models=real_models()[:1]), content(models=[])):
        assert isinstance(reading(answer(other), known), Listing)


def test_a_repeated_first_page_stays_incomplete():
    first = listed(hostile.with_cursor())
    again = reading(of(hostile.with_cursor()), Known(first.fingerprint, first.catalog.digest))
    assert isinstance(again, Same)
    assert not again.complete


@pytest.mark.parametrize(
    ("field", "value", "complete"),
    [
        ("next_cursor", "abc", False),
        ("cursor", 0, True),
        ("nextCursor", {"id": 1}, True),
        ("has_more", True, False),
        ("hasMore", False, True),
        ("nextPage", 2, False),
        ("page_token", "", True),
        ("pagination", {"next_cursor": "abc"}, False),
        ("pagination", {"next_cursor": None, "has_more": False}, True),
        ("next_cursor", None, True),
        ("page", 1, True),
    ],
)
def test_a_set_cursor_makes_a_listing_incomplete(field: str, value: object, complete: bool):  # noqa: FBT001
    catalog = listed(answer(content(**{field: value}))).catalog
    assert catalog.complete is complete
    assert any("cursor" in note.what for note in catalog.notes) is not complete


@pytest.mark.parametrize(
    ("body", "header", "balance"),
    [
        (12_847, "1", 12_847),
        (Decimal("0.5"), "", Decimal("0.5")),
        (-3, "", -3),
        (None, "49,711", 49_711),
        ("12847", "49,711.5", Decimal("49711.5")),
        (True, "1,049,711", 1_049_711),
        (10**15, "", None),
        (None, "49,71", None),
        (None, "49711", 49_711),
        (None, "about 7", None),
        (None, "", None),
        ([], "-7", -7),
    ],
)
def test_the_balance_is_read_from_the_body_then_from_the_header(body: object, header: str, balance: object):
    text = str(body) if isinstance(body, Decimal) else json.dumps(body)
    found = listed(answer(json.dumps(content(credits_balance="@")).replace('"@"', text), headers=_header(header)))
    assert found.facts.balance == balance


def _header(balance: str) -> dict[str, str]:
    return {"x-credits-balance": balance, "x-ratelimit-remaining": "239", "x-request-id": "req_1"}


def test_facts_come_from_the_headers():
    facts = listed(answer(content(), headers=_header(""))).facts
    assert (facts.status, facts.code, facts.request_id, facts.rate_limit_remaining) == (200, None, "req_1", 239)
    assert listed(answer(content(), headers={"x-ratelimit-remaining": "many"})).facts.rate_limit_remaining is None


def test_a_slug_listed_twice_alike_counts_once():
    found = listed(hostile.duplicate_slugs_alike()).catalog
    assert found.digest == listed(hostile.listing()).catalog.digest
    assert found.notes == (Note("/models/2", "slug listed twice, same content"),)


def test_a_slug_listed_twice_in_conflict_does_not_depend_on_the_order():
    a, b = {"slug": "a", "v": 1}, {"slug": "a", "v": 2}
    one, other = (listed(answer(content(models=models))).catalog for models in ([a, b], [b, a]))
    assert one.models == other.models
    assert sorted(one.models["a"].body(), key=str) == [a, b]
    assert one.notes == (Note("/models/1", "slug listed twice, different content"),)


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (hostile.duplicate_key_in_model, "/models/0/name"),
        (hostile.lone_surrogate, "/models/0/description"),
        (hostile.null_character, "/models/0/description"),
        (hostile.without_slug, "/models/2"),
        (hostile.ODD["null among the models"], "/models/2"),
    ],
)
def test_what_is_odd_is_noted(make: Make, place: str):
    found = listed(make()).catalog
    assert [note.place for note in found.notes] == [place]
    assert set(found.models) == SLUGS


def test_a_listing_inside_another_field_is_not_taken_for_the_list():
    models = json.dumps(real_models())
    for body in (
        f'{{"sample": {models}, "models": {models}}}',
        f'{{"models": {models}, "sample": {models}}}',
        f'{{"sample": {{"models": {models}}}, "models": {models}}}',
        f'{{"sample": [{models}], "models": {models}, "tier": "pro"}}',
    ):
        found = listed(answer(body)).catalog
        assert set(found.models) == SLUGS
        assert found.account.keys() >= {"sample"}
        assert json.loads(json.dumps(found.account["sample"])) in (
            real_models(),
            [real_models()],
            {"models": real_models()},
        )


def test_a_text_of_the_list_inside_a_string_is_not_taken_for_it():
    models = '["x"]'
    found = listed(answer(f'{{"note": {json.dumps(models)}, "models": {models}}}')).catalog
    assert found.account == {"note": models}


# --- properties ----------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=8)
SCALAR = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXT
JSON = st.recursive(
    SCALAR | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MODEL = st.fixed_dictionaries(
    {}, optional={"slug": st.sampled_from(["a", "b", "c/d"]) | SCALAR, "params": JSON, "credits_band": JSON, "x": JSON}
)
LISTING = st.fixed_dictionaries(
    {"models": st.lists(MODEL | JSON, max_size=4)},
    optional={"tier": JSON, "credits_balance": JSON, "rate_limit": JSON, "error": st.none(), "cursor": JSON},
)


def never_raises(given: Answer) -> None:
    found = reading(given)
    if isinstance(found, Malformed):
        assert found.places
    if not isinstance(found, Listing | Same):
        failed: Failed = found
        assert "\n" not in explain(failed)


@settings(derandomize=True, deadline=None, database=None)
@given(st.binary(max_size=200), st.sampled_from([200, 204, 302, 304, 401, 403, 418, 429, 500, 503, 599]), TEXT)
@example(b'{"error": {}}', 204, "")
def test_arbitrary_bytes_never_raise(body: bytes, status: int, header: str):
    names = ("retry-after", "location", "x-request-id", "x-credits-balance", "x-ratelimit-remaining")
    never_raises(answer(body, status=status, headers=dict.fromkeys(names, header)))


@settings(derandomize=True, deadline=None, database=None)
@given(JSON | LISTING, st.sampled_from([200, 401, 429, 500]))
def test_arbitrary_json_never_raises(value: object, status: int):
    never_raises(answer(json.dumps(value), status=status))


def test_a_key_that_is_not_utf8_is_malformed():
    assert malformed(answer(b'{"\x80": 1, "models": []}')).places == (Note("byte 2", "not UTF-8"),)


@settings(derandomize=True, deadline=None, database=None)
@given(st.data())
def test_a_damaged_listing_never_raises(data: st.DataObject):
    body = bytearray(hostile.listing().body)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=10))
    never_raises(answer(bytes(body)))


@given(st.integers(0, 3_000), st.sampled_from([b"[", b'{"a":']))
@settings(derandomize=True, deadline=None, database=None, max_examples=30)
def test_depth_never_raises(depth: int, opening: bytes):
    never_raises(answer(b'{"models":[{"slug":"a","p":' + opening * depth))


@settings(derandomize=True, deadline=None, database=None)
@given(LISTING)
def test_the_fast_path_and_the_careful_path_agree(value: dict[str, Any]):
    text = json.dumps(value)
    # An escaped lone surrogate is what msgspec refuses: that one goes the careful way, and must mean the same.
    careful = text[:-1] + r', "credits_balance": "\ud800"}'
    fast = text[:-1] + ', "credits_balance": "x"}'
    found, slow, spaced = (reading(answer(one)) for one in (fast, careful, json.dumps(json.loads(fast), indent=1)))
    assert isinstance(found, Listing)
    assert isinstance(slow, Listing)
    assert isinstance(spaced, Listing)
    assert found.catalog.digest == slow.catalog.digest == spaced.catalog.digest
    assert found.catalog.account == slow.catalog.account == spaced.catalog.account
    assert found.catalog.complete == slow.catalog.complete == spaced.catalog.complete
    assert notes(found) == notes(slow) == notes(spaced)


def notes(found: Listing) -> list[tuple[str, str]]:
    return sorted((note.place, note.what) for note in found.catalog.notes if note.place != "/credits_balance")


@settings(derandomize=True, deadline=None, database=None)
@given(LISTING, st.randoms())
def test_a_shuffled_listing_has_the_same_digest(value: dict[str, Any], random: Any):
    shuffled = dict(random.sample(list(value.items()), len(value)))
    shuffled["models"] = random.sample(value["models"], len(value["models"]))
    one, other = reading(answer(value)), reading(answer(shuffled))
    assert isinstance(one, Listing)
    assert isinstance(other, Listing)
    assert one.catalog.digest == other.catalog.digest
    assert {slug: m.digest for slug, m in one.catalog.models.items()} == {
        slug: m.digest for slug, m in other.catalog.models.items()
    }
