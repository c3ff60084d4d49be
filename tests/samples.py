"""One realistic message of every design, and some that a hostile vendor would cause.

    samples()["parameters_changed"]     composed as the daemon does it: catalogues -> diff -> what is due -> compose
    hostile()["hostile_markup"]

For whatever is to be seen with every design: Slack's own types, other people's limits, pictures. What each of them
says is `tests/test_compose.py`'s.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.core import canon
from syncd.core.affected import touched
from syncd.core.canon import MISSING
from syncd.core.catalog import LONGEST_SLUG, Catalog, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.compose import ChangeDue, ConditionDue, Due, Edge, NoticeDue, compose
from syncd.core.message import Message
from syncd.core.requests import SavedRequest
from syncd.core.rules import BASELINE
from syncd.demo.vendor import made_up_models, real_models, sample_models
from syncd.sinks.slack.render import payload

Model = dict[str, Any]

AT = datetime(2026, 11, 23, 6, 29, 34, tzinfo=UTC)
REFERENCE = "dlv_1M83ZG135V8AC9C"
LIMITS = {"calls_per_minute": 240, "concurrent_jobs": 5}
GROK, WAN = real_models()
HERO = SavedRequest("nightly hero", {**WAN["example_request"], "duration": 10})
PREVIEW = SavedRequest("preview", {"model": WAN["slug"], "prompt": "a harbour", "audio": True})

# What Slack would read where it reads markup, and what a screen would show wrongly.
MARKUP = "<!channel> <@U012345> <https://evil.invalid|x> `code` *bold* &lt;!here&gt; ```"
# The override and the zero-width space are written as escapes, lest they change how this file reads.
BIDI = "model-\u202egnp.exe\u202c-\u200b\U0001f469\u200d\U0001f469\u200d\U0001f467-\U0001f600"
LONG = "x" * 10_000


def samples() -> dict[str, Message]:
    """Every design by its name; some in more than one form. What follows a message in its thread stands behind it."""
    return _composed(_designs())


def hostile() -> dict[str, Message]:
    """Messages about what a vendor may send in bad faith."""
    return _composed({f"hostile_{name}": due for name, due in _hostile().items()})


def _composed(cases: Mapping[str, Sequence[Due]]) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for name, due in cases.items():
        found[name] = compose(due, REFERENCE)
        found |= {f"{name}_reply_{n}": reply for n, reply in enumerate(found[name].replies, 1)}
    return found


# --- what syncd says of itself ---------------------------------------------------------------------------------------

_ELSEWHERE = "slack:#elsewhere"
_LOST = {"destination": _ELSEWHERE, "what": "channel_not_found", "hint": "create the channel and invite the bot"}
_SILENCE = {"muted": 3, "author": "ana", "comment": "the vendor's maintenance", "since": "2026-11-22"}
_SUMMARY = {"models": 42, "keys": ["prod", "staging"], "changes": 5, "polls": 288, "failed": 2, "since": "2026-11-22"}

# --- the designs ---------------------------------------------------------------------------------------------------


def _designs() -> dict[str, list[Due]]:
    """What is due in each case."""
    crowd = made_up_models(12)
    return {
        "models_unlocked": _changed([GROK], [GROK, WAN]),
        "models_unlocked_many": _changed([], crowd),
        "models_removed": _changed([GROK, WAN], []),
        "not_listed": [_doubtful(one) for one in _changed([GROK, WAN], [], saved=[HERO, PREVIEW])],
        "listed_again": [
            replace(_doubtful(one), edge="back", at=AT + timedelta(minutes=35)) for one in _changed([GROK, WAN], [])
        ],
        "prices_back": [_again(one, reverts=1) for one in _changed([_priced(WAN, 520, 1920)], [WAN])],
        "flapping": [_again(one, flapping=_FLAPS) for one in _changed([_priced(WAN, 520, 1920)], [WAN])],
        "settled": [_again(one, flapping={**_FLAPS, "notice": 1}) for one in _changed([_stricter()], [WAN])],
        "price_changed": _changed([WAN], [_priced(WAN, 520, 1920)]),
        "prices_changed": _changed([GROK, WAN], [_priced(GROK, 70, 211), _priced(WAN, 520, 1920)]),
        "parameters_changed": _changed([WAN], [_stricter()]),
        "parameters_touching_requests": _changed([WAN], [_stricter()], saved=[HERO, PREVIEW]),
        "parameters_widened": _changed(
            [WAN], [_with(WAN, duration={"type": "integer", "min": 2, "max": 15, "default": 5})]
        ),
        "account_changed": _changed([], [], tier="ultimate", rate_limit={**LIMITS, "calls_per_minute": 100}),
        "other_changed": _changed([WAN], [{**WAN, "category": "film", "sunset": "2026-12-01"}]),
        "key_rejected": [_rejected("prod")],
        "keys_rejected": [_rejected("prod"), _rejected("staging")],
        "tier_locked": [_condition("access.tier-locked", status=403, code="TIER_LOCKED")],
        "key_refused": [_condition("access.forbidden", status=403, code="KEY_SUSPENDED")],
        "vendor_unreachable": [_unreachable("opened")],
        "still_rejected": [_condition("access.rejected", edge="reminder", status=401)],
        "suspicious_listing": [
            _condition("listing.suspicious", why="drop", missing=14, of=42, requests=[HERO.name, MARKUP])
        ],
        "works_again": [_condition("access.rejected", edge="closed", status=401)],
        "vendor_answers_again": [_unreachable("closed")],
        "several": [
            *_changed([GROK, WAN], [_priced(GROK, 90, 240), {**WAN, "sunset": "2026-12-01"}, *crowd[:2]]),
            *_changed([crowd[5]], [], key="staging"),
            _unreachable("closed"),
        ],
        "digest": [
            *_changed([GROK, WAN, *crowd[:6]], [_priced(GROK, 90, 240), _stricter(), *crowd[4:]]),
            *_changed([crowd[5]], [], key="staging"),
        ],
        "mentioning": [
            *_changed([WAN], [_stricter()], mention="@here"),
            *_changed([GROK], [], key="staging", mention="S0123ABCD"),
            *_changed([], [], key="staging", mention="U0123ABCD", tier="ultimate"),
        ],
        "watching": [
            ChangeDue(1, "prod", AT, Change(BASELINE.id, (), "informational", MISSING, MISSING, detail={"models": 6}))
        ],
        "over": [replace(_rejected("prod"), closed_at=AT + timedelta(hours=3, minutes=12))],
        "destination_broken": [
            ConditionDue(1, 1, (), AT, "destination.broken", "opened", f"destination:{_ELSEWHERE}", AT, _LOST)
        ],
        "test": [NoticeDue(1, AT, "test", {"author": "ana"})],
        "silence_ended": [NoticeDue(1, AT, "silence.ended", _SILENCE)],
        "summary": [NoticeDue(1, AT, "summary", _SUMMARY)],
    }


def _stricter() -> Model:
    """The video model with requests that worked before and fail now, and some that did not work before."""
    return _with(
        WAN,
        audio=None,
        duration={"type": "integer", "min": 2, "max": 8, "default": 5},
        resolution={"type": "string", "required": True, "default": "1080p"},
        seed={"type": "integer", "min": 0},
    )


_FLAPS = {"times": 3, "since": "2026-11-22T22:10:00Z", "stable": "6h"}


def _doubtful(one: Due) -> ChangeDue:
    assert isinstance(one, ChangeDue)
    return replace(one, edge="unconfirmed", since=AT, elsewhere={"staging": "lists"})


def _again(one: Due, **detail: Any) -> Due:
    """It was so before: taken back, or one of many changes back and forth."""
    assert isinstance(one, ChangeDue)
    change = replace(one.change, detail={**one.change.detail, **detail})
    return replace(one, change=change, since=AT - timedelta(hours=2))


def _rejected(key: str) -> ConditionDue:
    return _condition(
        "access.rejected",
        key,
        status=401,
        code="KEY_REVOKED",
        request_id="req_abc123",
        fingerprint="3fa94c1e",
        next="Generate a new key in Settings.",
    )


def _unreachable(edge: Edge) -> ConditionDue:
    said = {"code": "timeout", "what": "no answer from v.example within 20 s"}
    return _condition("vendor.unreachable", "prod", "staging", edge=edge, subject="url:https://v.example", **said)


# --- bad faith -----------------------------------------------------------------------------------------------------


def _hostile() -> dict[str, list[Due]]:
    """What is due in each case."""
    poisoned = {**WAN, "slug": MARKUP, "creator": MARKUP, "category": MARKUP, "example_request": {"model": MARKUP}}
    return {
        "markup": _changed([], [poisoned]),
        "markup_in_values": _changed([WAN], [_with({**WAN, "category": MARKUP}, **{MARKUP: {"type": MARKUP}})]),
        "markup_in_a_price": _changed([_priced(poisoned, 400, 1440)], [_priced(poisoned, 500, 1440)]),
        "markup_in_an_advice": [
            _condition("access.rejected", status=401, code=MARKUP, next=MARKUP, fingerprint="3fa9")
        ],
        "bidi": _changed([], [{**WAN, "slug": BIDI, "creator": BIDI}]),
        "long": _changed(
            [], [{**WAN, "slug": LONG[:LONGEST_SLUG], "creator": LONG, "example_request": {"model": LONG}}]
        ),
        "long_words": [_condition("access.rejected", status=401, code=LONG, next="\U0001f600" * 10_000)],
        "crowd": _changed(made_up_models(3_000), []),
        "everything": [*_changed([WAN], [_with(poisoned, **{LONG: {"type": "enum", "values": [MARKUP] * 500}})])],
        "saved_requests": _changed(
            [WAN], [_stricter()], saved=[SavedRequest(name, HERO.body) for name in (MARKUP, BIDI, LONG)]
        ),
        "surrogates": _changed(sample_models(), [{**WAN, "slug": "a\ud800b\udfff\0"}]),
    }


# --- what the daemon would find due --------------------------------------------------------------------------------


def _catalog(models: Iterable[Model], **account: Any) -> Catalog:
    raws = [json.dumps(model).encode() for model in models]
    return assemble(canon.decode(json.dumps({"tier": "pro", "rate_limit": LIMITS, **account})).value, raws, Memo())


def _changed(
    before: Sequence[Model],
    after: Sequence[Model],
    *,
    key: str = "prod",
    mention: str | None = None,
    saved: Sequence[SavedRequest] = (),
    **account: Any,
) -> list[Due]:
    """What a poll that found these differences makes due, where these requests are sent with the key."""
    old, new = _catalog(before), _catalog(after, **account)
    confirmed, policy = Before(old.account, old.models, {}), Policy()
    found = touched(diff(confirmed, new, policy), confirmed, new, saved, policy)
    return [ChangeDue(number, key, AT, change, mention) for number, change in enumerate(found)]


def _condition(
    kind: str,
    *keys: str,
    edge: Edge = "opened",
    subject: str = "key:prod",
    **detail: Any,
) -> ConditionDue:
    at = AT + {"closed": timedelta(hours=3, minutes=12), "reminder": timedelta(days=2)}.get(edge, timedelta())
    return ConditionDue(1, 1, keys or ("prod",), at, kind, edge, subject, AT, detail)


def _with(model: Model, **params: Any) -> Model:
    """The model with other parameters; one given as None is gone."""
    kept = {name: spec for name, spec in {**model["params"], **params}.items() if spec is not None}
    return {**copy.deepcopy(model), "params": kept}


def _priced(model: Model, least: int, most: int) -> Model:
    return {**model, "credits_band": {"min": least, "max": most}}


if __name__ == "__main__":
    # What Slack gets of each, for whoever draws it: python -m tests.samples
    sys.stdout.write(json.dumps({name: payload(made, REFERENCE) for name, made in {**samples(), **hostile()}.items()}))
