"""When an account has too little left, and when that is over. Only processes data.

    below a threshold, or below what a saved request costs   balance.low of the account opens
    another key of the account while it is open              joins it: who only sees that key hears of it, too
    worse for another reason, or half of what was told       what was told is brought up to date
    all that is watched is well again (1.5 times what is low)  it closes

Thresholds are the account's, so that any of its keys may end it. What a request costs is a key's own, because prices
may differ by key: the condition remembers it by key, and no destination reads of another key's requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from syncd.core.balance import Level, Wallet, burn, days_left, levels, plain, rounded
from syncd.core.canon import Json
from syncd.core.judge.telling import tell_again, tell_condition
from syncd.core.judge.values import Case, ConditionEdit, Judgement, OpenCondition, Opening

KIND: Final = "balance.low"

# What saved requests cost, by the key they are sent with: "request", "model" and "credits" of each.
_Requests = Mapping[str, Mapping[str, Json]]


def wallet_news(case: Case) -> tuple[tuple[Opening, ...], tuple[ConditionEdit, ...]]:
    """What a balance means: the condition of its account opens, learns something or closes."""
    wallet = case.context.wallet
    if wallet is None:
        return (), ()
    subject = f"account:{wallet.account}"
    current = next((one for one in case.context.open if (one.kind, one.subject) == (KIND, subject)), None)
    if current is None:
        return tuple(_opening(wallet, subject, case)), ()
    return (), tuple(_step(wallet, current, case))


def _opening(wallet: Wallet, subject: str, case: Case) -> Iterable[Opening]:
    requests = _too_dear(wallet, case.key.name, {})
    lead = next((level for level in _levels(wallet, requests, case.policy) if level.is_low), None)
    if lead is not None:
        detail = _detail(wallet, lead, {case.key.name: "low"}, requests)
        yield Opening(KIND, subject, detail, tell_condition(KIND, case))


def _step(wallet: Wallet, current: OpenCondition, case: Case) -> Iterable[ConditionEdit]:
    """What becomes of a condition that is open."""
    name, detail = case.key.name, current.detail
    keys: Mapping[str, Json] = detail.get("keys", {})
    requests = _too_dear(wallet, name, {key: one for key, one in _requests_in(detail).items() if key in keys})
    watched = _levels(wallet, requests, case.policy)
    lacking = [level for level in watched if not level.is_well]
    if not lacking:
        others = any(key != name for key in _requests_in(detail))
        over = bool(watched) or wallet.cheapest is not None or others
        yield _end(wallet, current, case, over=over)
        return
    lead = _leading(lacking, str(detail.get("why")))
    concerns = name in requests or any(level.why != "cheapest" for level in lacking)
    joins = name not in keys and concerns
    if joins or _matters(lead, requests, detail):
        known = {destination for destination, _ in current.told}
        new = tuple(one for one in tell_condition(KIND, case) if one.destination not in known) if joins else ()
        learned = _detail(wallet, lead, {**keys, **({name: "low"} if joins else {})}, requests)
        yield ConditionEdit(
            current.id,
            {**_kept(detail), **learned},
            closed=False,
            announcements=new,
            revisions=tell_again(current.told, case.now),
        )


def _end(wallet: Wallet, current: OpenCondition, case: Case, *, over: bool) -> ConditionEdit:
    """It is over; or nothing is watched any more, which is no news."""
    keys = list(current.detail.get("keys", {}))
    how = {"recovered": keys} if over else {"retired": [*current.detail.get("retired", []), *keys]}
    passing = {*holdings(wallet), "burn", "days", "requests"}
    lasting = {name: value for name, value in current.detail.items() if name not in passing}
    told = tell_again(current.told, case.now)
    detail = {**lasting, **holdings(wallet), "keys": {}, **how}
    return ConditionEdit(current.id, detail, closed=True, announcements=told if over else (), revisions=told)


# --- why it is low -------------------------------------------------------------------------------------------------


def _levels(wallet: Wallet, requests: _Requests, policy: Judgement) -> tuple[Level, ...]:
    """All that is watched of the account, the most urgent first: a request that is refused is a fault by now."""
    costs = max((one["credits"] for one in requests.values()), default=None)
    refused = () if costs is None else (Level("cheapest", wallet.balance, costs),)
    return (*refused, *levels(wallet, policy.credits))


def _too_dear(wallet: Wallet, key: str, before: _Requests) -> dict[str, Mapping[str, Json]]:
    """By key, the request that the balance is too small for, until it is well above."""
    found = {name: one for name, one in before.items() if name != key and not _cost(wallet, one).is_well}
    if wallet.cheapest is not None:
        own = {
            "request": wallet.cheapest.request,
            "model": wallet.cheapest.slug,
            "credits": plain(wallet.cheapest.credits),
        }
        level = _cost(wallet, own)
        if level.is_low or (key in before and not level.is_well):
            found[key] = own
    return found


def _cost(wallet: Wallet, request: Mapping[str, Json]) -> Level:
    return Level("cheapest", wallet.balance, request["credits"])


def _leading(lacking: list[Level], why: str) -> Level:
    """The most urgent of what is low. What was told stays the reason until it is well, or something worse comes."""
    return next((level for level in lacking if level.is_low or level.why == why), lacking[0])


def _matters(lead: Level, requests: _Requests, detail: Mapping[str, Json]) -> bool:
    """Whether what was told misleads by now. Every call moves the balance; nobody wants to read of each."""
    told = detail.get("days" if lead.unit == "days" else "left")
    return (
        lead.why != detail.get("why")
        or plain(lead.below) != detail.get("below")
        or dict(requests) != _requests_in(detail)
        or (told is not None and told > 0 and 2 * lead.has <= told)
    )


# --- what is remembered and told -----------------------------------------------------------------------------------


def _requests_in(detail: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    return dict(detail.get("requests", {}))


def _kept(detail: Mapping[str, Json]) -> dict[str, Json]:
    """What others wrote there, such as the keys that have left."""
    return {name: detail[name] for name in ("retired",) if name in detail}


def _detail(wallet: Wallet, lead: Level, keys: Mapping[str, Json], requests: _Requests) -> dict[str, Json]:
    return {
        "account": wallet.account,
        "keys": dict(keys),
        "why": lead.why,
        **holdings(wallet),
        "below": plain(lead.below),
        "rearm": lead.rearm,
        "unit": lead.unit,
        **({"requests": dict(requests)} if requests else {}),
    }


def holdings(wallet: Wallet) -> dict[str, Json]:
    """What is left, and what is known of how long it lasts: "left", "burn" and "days"."""
    rate, days = burn(wallet), days_left(wallet)
    return {
        "left": plain(wallet.balance),
        **({} if rate is None else {"burn": rounded(rate)}),
        **({} if days is None else {"days": rounded(days)}),
    }
