"""One realistic message of every design, to be looked at before any of them comes. Only processes data.

    samples()["price_changed"]     as the daemon makes it: catalogues ── diff ──> what is due ── compose ──> Message

The vendor is the simulated one, whose made-up models say so in their names. What each design says for every input is
`tests/test_compose.py`'s.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from syncd.core import canon
from syncd.core.affected import touched
from syncd.core.canon import Json
from syncd.core.catalog import Catalog, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.compose import ChangeDue, ChangeEdge, ConditionDue, Due, Edge, NoticeDue, compose
from syncd.core.message import Message
from syncd.core.requests import SavedRequest
from syncd.core.rules import BASELINE
from syncd.demo.vendor import made_up_models, real_models, sample_models

Model: TypeAlias = dict[str, Any]

_AT: Final = datetime(2026, 11, 23, 6, 29, 34, tzinfo=UTC)
_LASTED: Final = timedelta(hours=3, minutes=12)
_REFERENCE: Final = "dlv_1M83ZG135V8AC9C"
_LIMITS: Final = {"calls_per_minute": 240, "concurrent_jobs": 5}
_GROK, _WAN = real_models()
_HERO: Final = SavedRequest("nightly hero", {**_WAN["example_request"], "duration": 10})


def samples(mention: str | None = None) -> dict[str, Message]:
    """Every design by its name. `mention` is whom the routes of all of them call, such as ``@here``."""
    return {name: compose([_calling(one, mention) for one in due], _REFERENCE) for name, due in _cases().items()}


def _calling(due: Due, mention: str | None) -> Due:
    """As if its route had this mention; what syncd says of itself calls nobody."""
    return due if isinstance(due, NoticeDue) else replace(due, mention=mention)


def _cases() -> Mapping[str, Sequence[Due]]:
    """What is due in each case."""
    return {
        "models_unlocked": _changed([_GROK], [_GROK, _WAN]),
        "models_removed": _changed([_GROK, _WAN], [_GROK]),
        "not_listed": [_doubtful("unconfirmed")],
        "back": [_doubtful("back")],
        "price_changed": _changed([_WAN], [_priced(_WAN, 520, 1920)]),
        "revert": [_cheap_again(reverts=1)],
        "flapping": [_cheap_again(flapping=_FLAPS)],
        "settled": [_cheap_again(flapping={**_FLAPS, "times": 5, "notice": 1})],
        "parameters_changed": _changed([_WAN], [_stricter()], _HERO),
        "other_changed": _changed([_WAN], [{**_WAN, "category": "film", "creator": "Wan"}]),
        "watching": [_first_seen()],
        "key_rejected": [_rejected("opened")],
        "tier_locked": [_condition("access.tier-locked", status=403, code="TIER_LOCKED", next="Upgrade the plan.")],
        "key_forbidden": [_condition("access.forbidden", status=403, code="KEY_SUSPENDED")],
        "vendor_unreachable": [_unreachable()],
        "destination_broken": [_broken()],
        "listing_suspicious": [_condition("listing.suspicious", **_SUSPICIOUS)],
        "balance_low": [_condition("balance.low", "prod", "staging", subject="account:acme", **_BALANCE)],
        "reminder": [_rejected("reminder")],
        "recovered": [_rejected("closed")],
        "digest": _many(),
        "silence_ended": [NoticeDue(1, _AT, "silence.ended", _SILENCE)],
        "summary": [NoticeDue(1, _AT, "summary", _SUMMARY)],
        "test": [NoticeDue(1, _AT, "test", {"author": "ana"})],
    }


_FLAPS: Final = {"times": 3, "since": "2026-11-22T22:10:00Z", "stable": "6h"}
_SUSPICIOUS: Final[dict[str, Any]] = {"why": "drop", "missing": 14, "of": 42, "clean": 0, "requests": [_HERO.name]}
_BALANCE: Final[dict[str, Any]] = {
    "account": "acme",
    "why": "runway",
    "left": 1_840,
    "burn": 876,
    "days": Decimal("2.1"),
    "below": 3,
    "rearm": Decimal("4.5"),
    "unit": "days",
}
_SILENCE: Final = {"muted": 3, "author": "ana", "comment": "the vendor's maintenance", "since": "2026-11-22"}
_SUMMARY: Final = {
    "models": 42,
    "keys": ["prod", "staging"],
    "changes": 5,
    "polls": 2_016,
    "failed": 2,
    "since": "2026-11-16",
}


# --- changes -------------------------------------------------------------------------------------------------------


def _first_seen() -> ChangeDue:
    known = {"models": len(sample_models())}
    first = Change(BASELINE.id, (), "informational", canon.MISSING, canon.MISSING, detail=known)
    return ChangeDue(1, "prod", _AT, first)


def _stricter() -> Model:
    """The video model as it would be if it took less than before, in some ways, and more in another."""
    return _with(
        _WAN,
        audio=None,
        duration={"type": "integer", "min": 2, "max": 8, "default": 5},
        resolution={"type": "enum", "values": ["720p", "1080p"], "required": True},
        seed={"type": "integer", "min": 0},
    )


def _doubtful(edge: ChangeEdge) -> Due:
    """A model that a saved request uses was missing from a listing."""
    (gone,) = _changed([_GROK, _WAN], [_GROK], _HERO)
    return replace(gone, edge=edge, at=_AT + _LASTED if edge == "back" else _AT, since=_AT)


def _cheap_again(**detail: Json) -> Due:
    """A price that was this before: taken back, or one of many that went back and forth."""
    (found,) = _changed([_priced(_WAN, 520, 1920)], [_WAN])
    change = replace(found.change, detail={**found.change.detail, **detail})
    return replace(found, at=_AT + _LASTED, change=change, since=_AT)


# How many of the models of a crowd change in which way: sixty changes, each in one thing.
_GONE, _DEARER, _STRICTER, _WIDER, _NEW = 12, 20, 8, 8, 12


def _many() -> list[ChangeDue]:
    """So many changes that one message cannot hold them."""
    crowd = made_up_models(_GONE + _DEARER + _STRICTER + _WIDER + _NEW)
    before, new = crowd[:-_NEW], crowd[-_NEW:]
    rest = iter(before[_GONE:])
    dearer = [_dearer(next(rest)) for _ in range(_DEARER)]
    shorter = {"type": "string", "required": True, "max_length": 900}
    stricter = [_with(next(rest), prompt=shorter) for _ in range(_STRICTER)]
    wider = [_with(next(rest), seed={"type": "integer", "min": 0}) for _ in range(_WIDER)]
    return _changed(before, [*dearer, *stricter, *wider, *new])


def _changed(before: Sequence[Model], after: Sequence[Model], *saved: SavedRequest) -> list[ChangeDue]:
    """What a poll of the key `prod` that found these differences makes due, where these requests are sent with it."""
    old, new = _catalog(before), _catalog(after)
    confirmed, policy = Before(old.account, old.models, {}), Policy()
    found = touched(diff(confirmed, new, policy), confirmed, new, saved, policy)
    return [ChangeDue(number, "prod", _AT, change) for number, change in enumerate(found)]


def _catalog(models: Iterable[Model]) -> Catalog:
    raws = [json.dumps(model).encode() for model in models]
    return assemble(canon.decode(json.dumps({"tier": "pro", "rate_limit": _LIMITS})).value, raws, Memo())


def _with(model: Model, **params: Json) -> Model:
    """The model with other parameters; one given as None is gone."""
    kept = {name: spec for name, spec in {**model["params"], **params}.items() if spec is not None}
    return {**copy.deepcopy(model), "params": kept}


def _dearer(model: Model) -> Model:
    """Half as much again at most."""
    band = model["credits_band"]
    return _priced(model, band["min"], band["max"] * 3 // 2)


def _priced(model: Model, least: int, most: int) -> Model:
    return {**model, "credits_band": {"min": least, "max": most}}


# --- conditions ----------------------------------------------------------------------------------------------------


def _rejected(edge: Edge) -> ConditionDue:
    return _condition(
        "access.rejected",
        edge=edge,
        status=401,
        code="KEY_REVOKED",
        request_id="req_abc123",
        fingerprint="3fa94c1e",
        next="Generate a new key in Settings.",
    )


def _unreachable() -> ConditionDue:
    said: dict[str, Any] = {"code": "timeout", "what": "no answer from api.example.com within 20 s"}
    return _condition("vendor.unreachable", "prod", "staging", subject="url:https://api.example.com", **said)


def _broken() -> ConditionDue:
    where = "slack:#vivix-alerts"
    what: dict[str, Any] = {
        "destination": where,
        "what": "not_in_channel",
        "hint": "invite the bot there: /invite @syncd",
    }
    return replace(_condition("destination.broken", subject=f"destination:{where}", **what), keys=())


def _condition(kind: str, *keys: str, edge: Edge = "opened", subject: str = "key:prod", **detail: Json) -> ConditionDue:
    """An edge of a condition that lasted for a while."""
    ended = _AT + _LASTED if edge == "closed" else None
    reminded = _AT + timedelta(days=2) if edge == "reminder" else None
    return ConditionDue(
        announcement=1,
        condition=1,
        keys=keys or ("prod",),
        at=ended or reminded or _AT,
        kind=kind,
        edge=edge,
        subject=subject,
        opened_at=_AT,
        detail=detail,
        closed_at=ended,
    )
