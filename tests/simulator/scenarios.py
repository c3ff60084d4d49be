"""Histories that once made somebody cry wolf, each with the whole of what is to be told of it.

`told` are the messages of each destination in their order: what they tell, and of which models (of how many, where they
are many). ``↳2`` stands under the second message of that destination. Nothing is told where nothing stands. The routes
are those of `world`: everything to #all, what breaks to #oncall, prices from 5 % on to #finance, the key beta to #beta.
Unless a history says otherwise a removal needs two polls and half an hour, and a poll comes every 15 minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from syncd.core.balance import Thresholds
from syncd.core.requests import SavedRequest
from tests.simulator.history import (
    GARBAGE,
    NOTHING,
    SILENCE,
    History,
    Rotated,
    every,
    having,
    lists,
    many,
    models,
    priced,
    refuses,
    times,
    together,
    wait,
)
from tests.simulator.world import Settings
from tests.watching import model

ALL: Final = "slack:#all"
ONCALL: Final = "slack:#oncall"
FINANCE: Final = "slack:#finance"
FOR_BETA: Final = "slack:#beta"


USUAL: Final = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A history and what must come of it. What is announced is what is told."""

    name: str
    history: History
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    retracted: str = ""
    held: str = ""
    recorded: str = ""
    settings: Settings = USUAL


TEN: Final = many(10)
ten: Final = lists(*TEN, what="lists m0 to m9")
four: Final = lists(*TEN[:4])
A, B, C = models("a", "b", "c")
ab: Final = lists(A, B)
abc: Final = lists(A, B, C)

SUSPICION: Final = ("listing.suspicious opened", "↳1 listing.suspicious closed")

ABSENCES: Final = (
    Scenario(
        name="60 % gone for one poll",
        history=every("15m", ten, four, ten, ten, ten),
        told={ALL: SUSPICION},
        retracted="model.removed (6)",
    ),
    Scenario(
        name="good and empty in turn, 50 polls",
        history=(*every("15m", ten), *times(25, "15m", NOTHING, ten), *times(3, "15m", ten)),
        told={ALL: SUSPICION},
        retracted="model.removed (250)",
    ),
    Scenario(
        name="an empty list for 3 polls in 15 min",
        history=(*every("5m", ten, NOTHING, NOTHING, NOTHING), *times(3, "5m", ten)),
        told={ALL: SUSPICION},
        retracted="model.removed (10)",
    ),
    Scenario(
        name="an empty list for good",
        history=(*every("15m", ten), *times(10, "15m", NOTHING)),
        told={
            ALL: ("listing.suspicious opened", "model.removed (10)", "↳1 listing.suspicious closed"),
            ONCALL: ("model.removed (10)",),
        },
    ),
    Scenario(
        name="an allowlist emptied, and filled again a day later",
        history=(*every("1h", ten), *times(24, "1h", NOTHING), *times(3, "1h", ten)),
        told={
            ALL: (
                "listing.suspicious opened",
                "model.removed (10)",
                "↳1 listing.suspicious closed",
                "↳2 model.returned (10)",
            ),
            ONCALL: ("model.removed (10)", "↳1 model.returned (10)"),
        },
    ),
    Scenario(
        name="one model gone for one poll",
        history=every("15m", abc, ab, abc, abc),
        retracted="model.removed c",
    ),
    Scenario(
        name="one model gone for good",
        history=(*every("15m", abc), *times(6, "15m", ab)),
        told={ALL: ("model.removed c",), ONCALL: ("model.removed c",)},
    ),
    Scenario(
        name="gone, and no good poll until the half hour is long over",
        history=(*every("15m", abc, ab), *times(8, "15m", SILENCE), *every("15m", ab)),
        told={
            ALL: ("vendor.unreachable opened", "model.removed c", "↳1 vendor.unreachable closed"),
            ONCALL: ("model.removed c",),
        },
    ),
    Scenario(
        name="back after 3 days, dearer",
        history=(
            *every("15m", abc),
            *times(72, "1h", ab),
            *every("1h", lists(A, B, priced(C, 20))),
            *every("1h", lists(A, B, priced(C, 20))),
        ),
        told={
            ALL: ("model.removed c", "credits.band.raised c", "↳1 model.returned c"),
            ONCALL: ("model.removed c", "↳1 model.returned c"),
            FINANCE: ("credits.band.raised c",),
        },
    ),
    Scenario(
        name="a parameter removed while the model blinked",
        history=every("15m", abc, ab, *[lists(A, B, having(C, prompt=None))] * 3),
        told={ALL: ("param.removed c",), ONCALL: ("param.removed c",)},
        retracted="model.removed c",
    ),
    Scenario(
        name="3 models lose 1, then 2",
        history=(*every("15m", abc), *times(4, "15m", ab), *times(4, "15m", lists(A))),
        told={
            ALL: ("model.removed c", "model.removed b"),
            ONCALL: ("model.removed c", "model.removed b"),
        },
    ),
    Scenario(
        name="3 models lose all 3 for one poll",
        history=every("15m", abc, NOTHING, abc, abc, abc),
        told={ALL: SUSPICION},
        retracted="model.removed a b c",
    ),
    Scenario(
        name="3 models lose all 3 for good",
        history=(*every("15m", abc), *times(4, "15m", NOTHING)),
        told={
            ALL: ("listing.suspicious opened", "model.removed a b c", "↳1 listing.suspicious closed"),
            ONCALL: ("model.removed a b c",),
        },
    ),
    Scenario(
        name="a cursor for some polls",
        history=every(
            "15m",
            abc,
            *[lists(A, next_cursor="p2")] * 3,
            lists(A, model("d"), next_cursor="p2"),
            *[lists(A, B, C, model("d"))] * 4,
        ),
        told={ALL: ("listing.suspicious opened", "model.added d", "↳1 listing.suspicious closed")},
        recorded="account.attr-unknown.added /next_cursor; account.attr-unknown.removed /next_cursor",
    ),
    Scenario(
        name="renamed",
        history=(
            *every("15m", lists(A, model("flux-pro"))),
            *times(5, "15m", lists(A, model("flux-pro.", name="Flux-Pro"))),
        ),
        told={
            ALL: ("model.added flux-pro.", "model.removed flux-pro"),
            ONCALL: ("model.removed flux-pro",),
        },
    ),
)

USES_C: Final = Settings(requests=(SavedRequest("nightly", {"model": "c", "prompt": "x"}),))

USED: Final = (
    Scenario(
        name="a model in use is gone for one poll",
        history=every("15m", abc, ab, abc, abc),
        told={
            ALL: ("model.removed unconfirmed c", "↳1 model.removed back c"),
            ONCALL: ("model.removed unconfirmed c", "↳1 model.removed back c"),
        },
        retracted="model.removed c",
        settings=USES_C,
    ),
    Scenario(
        name="a model in use is gone for good",
        history=every("15m", abc, ab, ab, ab, ab),
        told={
            ALL: ("model.removed unconfirmed c", "↳1 model.removed c"),
            ONCALL: ("model.removed unconfirmed c", "↳1 model.removed c"),
        },
        settings=USES_C,
    ),
    Scenario(
        name="models in use in an empty list",
        history=every("15m", abc, NOTHING, abc, abc, abc),
        told={ALL: SUSPICION},
        retracted="model.removed a b c",
        settings=USES_C,
    ),
    Scenario(
        name="a model in use blinks for half a day",
        history=(*every("15m", abc), *times(24, "15m", ab, abc), *times(4, "15m", abc)),
        told=dict.fromkeys(
            (ALL, ONCALL),
            (
                "model.removed unconfirmed c",
                "↳1 model.removed back c",
                "model.removed unconfirmed c",
                "↳3 model.removed back c",
            ),
        ),
        retracted="model.removed (24)",
        settings=USES_C,
    ),
)

FAILURES: Final = (
    Scenario(
        name="412 for 3 days",
        history=(*every("15m", abc), *times(72, "1h", refuses(412, "PRECONDITION_FAILED")), *times(2, "15m", abc)),
        told={
            ALL: (
                "vendor.unreachable opened",
                *["↳1 vendor.unreachable reminder"] * 2,
                "↳1 vendor.unreachable closed",
            )
        },
    ),
    Scenario(
        name="5xx for 3 days, another price after it",
        history=(
            *every("15m", abc),
            *times(72, "1h", refuses(503, "PROVIDER_DOWN")),
            *every("15m", lists(A, B, priced(C, 20))),
        ),
        told={
            ALL: (
                "vendor.unreachable opened",
                *["↳1 vendor.unreachable reminder"] * 2,
                "credits.band.raised c",
                "↳1 vendor.unreachable closed",
            ),
            FINANCE: ("credits.band.raised c",),
        },
    ),
    Scenario(
        name="no answer, garbage and 429 in turn with good answers",
        history=times(5, "15m", abc, SILENCE, abc, GARBAGE, abc, refuses(429, "CONCURRENCY_LIMIT")),
    ),
    Scenario(
        name="a tier lost for 2 days, regained",
        history=(*every("15m", abc), *times(48, "1h", refuses(403, "TIER_LOCKED")), *times(3, "15m", abc)),
        told=dict.fromkeys(
            (ALL, ONCALL),
            ("access.tier-locked opened", "↳1 access.tier-locked reminder", "↳1 access.tier-locked closed"),
        ),
    ),
    Scenario(
        name="a tier lost, regained with less and dearer",
        history=(
            *every("15m", abc),
            *times(5, "1h", refuses(403, "TIER_LOCKED")),
            *times(4, "15m", lists(A, priced(B, 20))),
        ),
        told={
            ALL: (
                "access.tier-locked opened",
                "credits.band.raised b",
                "↳1 access.tier-locked closed",
                "model.removed c",
            ),
            ONCALL: ("access.tier-locked opened", "↳1 access.tier-locked closed", "model.removed c"),
            FINANCE: ("credits.band.raised b",),
        },
    ),
    Scenario(
        name="a key revoked, then a new one",
        history=(*every("15m", abc), *times(4, "1h", refuses(401, "KEY_REVOKED")), Rotated(), *times(3, "15m", abc)),
        told=dict.fromkeys((ALL, ONCALL), ("access.rejected opened", "↳1 access.rejected closed")),
    ),
    Scenario(
        name="refused for one reason, then for another",
        history=(
            *every("15m", abc),
            *every("1h", refuses(401, "KEY_REVOKED"), refuses(403, "TIER_LOCKED")),
            *every("15m", abc),
        ),
        told=dict.fromkeys(
            (ALL, ONCALL),
            (
                *("access.rejected opened", "access.tier-locked opened"),
                *("↳1 access.rejected closed", "↳2 access.tier-locked closed"),
            ),
        ),
    ),
    Scenario(
        name="a key rotated to the listing of another account",
        history=(
            *every("15m", lists(*TEN[:7])),
            Rotated(),
            *times(4, "15m", lists(*TEN[4:])),
            Rotated(),
            *times(4, "15m", lists(*TEN[:7])),
        ),
        told={
            ALL: (
                "model.added m7 m8 m9; listing.suspicious opened",
                "model.removed m0 m1 m2 m3",
                "↳1 listing.suspicious closed",
                "listing.suspicious opened",
                "↳2 model.returned m0 m1 m2 m3",
                "model.removed m7 m8 m9",
                "↳4 listing.suspicious closed",
            ),
            ONCALL: ("model.removed m0 m1 m2 m3", "↳1 model.returned m0 m1 m2 m3", "model.removed m7 m8 m9"),
        },
    ),
    Scenario(
        name="two keys, one of them failing",
        history=(
            *together("15m", {"prod": abc, "beta": ab}),
            *together("15m", {"prod": lists(A, B, priced(C, 20)), "beta": SILENCE}) * 3,
            *together("15m", {"prod": ab, "beta": ab}) * 4,
        ),
        told={
            ALL: (
                "credits.band.raised c",
                "vendor.unreachable opened",
                "↳2 vendor.unreachable closed",
                "model.removed c",
            ),
            ONCALL: ("model.removed c",),
            FINANCE: ("credits.band.raised c",),
            FOR_BETA: ("vendor.unreachable opened", "↳1 vendor.unreachable closed"),
        },
    ),
)

low: Final = lists(A, B, what="10 credits")
high: Final = lists(A, priced(B, 40), what="40 credits")


def _noise(**fields: object) -> History:
    """Ten hours of polls, each with another number in these fields of the model b; then peace."""
    noise = [lists(A, {**B, **{name: f"{value} {n}" for name, value in fields.items()}}) for n in range(40)]
    return (*every("15m", *noise), *times(8, "1h", noise[-1]))


def _noisy_param() -> History:
    noise = [lists(A, having(B, prompt={"type": "string", "required": True, "at": n})) for n in range(40)]
    return (*every("15m", *noise), *times(8, "1h", noise[-1]))


FLAPS: Final = (
    Scenario(
        name="a price there and back in 6 h",
        history=(*every("1h", low), *times(6, "1h", high), *times(3, "1h", low)),
        told={
            ALL: ("credits.band.raised-disjoint b", "↳1 credits.band.lowered-disjoint b"),
            FINANCE: ("credits.band.raised-disjoint b", "↳1 credits.band.lowered-disjoint b"),
        },
    ),
    Scenario(
        name="a price there and back in 3 days",
        history=(*every("1h", low), *times(72, "1h", high), *times(3, "1h", low)),
        told={
            ALL: ("credits.band.raised-disjoint b", "credits.band.lowered-disjoint b"),
            FINANCE: ("credits.band.raised-disjoint b", "credits.band.lowered-disjoint b"),
        },
    ),
    Scenario(
        name="a price that toggles at every poll for 10 h, then is high",
        history=(*every("15m", low), *times(20, "15m", high, low), *times(10, "1h", high)),
        told=dict.fromkeys(
            (ALL, FINANCE),
            ("credits.band.raised-disjoint b", "↳1 credits.band.lowered-disjoint b", "credits.band.raised-disjoint b"),
        ),
        retracted="credits.band.lowered-disjoint (19); credits.band.raised-disjoint (19)",
    ),
    Scenario(
        name="a price that toggles at every poll for 10 h, then is low",
        history=(*every("15m", low), *times(20, "15m", high, low), *times(10, "1h", low)),
        told=dict.fromkeys(
            (ALL, FINANCE),
            (
                "credits.band.raised-disjoint b",
                "↳1 credits.band.lowered-disjoint b",
                "credits.band.raised-disjoint b",
                "↳3 credits.band.lowered-disjoint b",
            ),
        ),
        retracted="credits.band.lowered-disjoint (18); credits.band.raised-disjoint (18)",
    ),
    Scenario(
        name="a parameter there and back in an hour",
        history=every("1h", ab, *[lists(A, having(B, prompt=None))], *[ab] * 3),
        told={
            ALL: ("param.removed b", "↳1 param.added.required b"),
            ONCALL: ("param.removed b", "↳1 param.added.required b"),
        },
    ),
    Scenario(
        name="a parameter that comes and goes at every poll for 5 h, then is there",
        history=(*every("15m", ab), *times(10, "15m", lists(A, having(B, prompt=None)), ab), *times(8, "1h", ab)),
        told=dict.fromkeys(
            (ALL, ONCALL),
            ("param.removed b", "↳1 param.added.required b", "param.removed b", "↳3 param.added.required b"),
        ),
        retracted="param.added.required (8); param.removed (8)",
    ),
    Scenario(
        name="a harmless parameter that comes and goes for 5 h, then is there",
        history=(
            *every("15m", lists(A, having(B, seed={"type": "integer"}))),
            *times(10, "15m", ab, lists(A, having(B, seed={"type": "integer"}))),
            *times(8, "1h", lists(A, having(B, seed={"type": "integer"}))),
        ),
        told=dict.fromkeys(
            (ALL, ONCALL),
            ("param.removed b", "↳1 param.added.optional b", "param.removed b", "↳3 param.added.optional b"),
        ),
        retracted="param.added.optional (8); param.removed (8)",
    ),
    Scenario(
        name="a model that is confirmed as gone and returns every hour for 10 h, then is there",
        history=(*every("1h", abc), *times(5, "30m", ab, ab, abc, abc), *times(8, "1h", abc)),
        told=dict.fromkeys(
            (ALL, ONCALL), ("model.removed c", "↳1 model.returned c", "model.removed c", "↳3 model.returned c")
        ),
        retracted="model.returned c c c; model.removed c c c",
    ),
    Scenario(
        name="two servers with other catalogues in turn",
        history=(
            *every("15m", lists(*TEN[:8])),
            *times(20, "15m", lists(*TEN[:6], *TEN[8:]), lists(*TEN[:8])),
            *times(4, "1h", lists(*TEN[:8])),
        ),
        told={
            ALL: ("model.added m8 m9", "model.removed m8 m9"),
            ONCALL: ("model.removed m8 m9",),
        },
        retracted="model.removed (78)",
    ),
)

NOISE: Final = (
    Scenario(
        name="a number at the top changes at every poll",
        history=every("15m", *(lists(A, B, generation=n) for n in range(40))),
        recorded="account.attr-unknown.changed (39)",
    ),
    Scenario(
        name="a number in a model changes at every poll",
        history=_noise(generation="no."),
        recorded="model.attr-unknown.changed (39)",
    ),
    Scenario(
        name="a number in a parameter changes at every poll",
        history=_noisy_param(),
        told={ALL: (*["param.attr-unknown.changed b"] * 3, "↳3 param.attr-unknown.changed b")},
        retracted="param.attr-unknown.changed (35)",
    ),
    Scenario(
        name="a number in a description changes at every poll",
        history=_noise(description="calls so far:"),
        told={ALL: (*["model.description.changed b"] * 3, "↳3 model.description.changed b")},
        retracted="model.description.changed (35)",
    ),
    Scenario(
        name="another order at every poll",
        history=every("15m", *(lists(*TEN[n:], *TEN[:n], what=f"rotated by {n}") for n in range(10))),
    ),
    Scenario(
        name="listed twice, the same and with another price",
        history=every("15m", ab, lists(A, B, B), lists(A, B, priced(B, 40)), lists(A, B, priced(B, 40)), ab, ab),
        told={ALL: ("catalogue.duplicate-slug.conflicting b", "↳1 catalogue.duplicate-slug.resolved b")},
    ),
    Scenario(
        name="a balance that swings around its threshold",
        history=every(
            "1h",
            *(lists(A, B, balance=n) for n in (1200, 990, 1010, 985, 1200, 970, 1490, 1510, 1200, 1001, 999, 1600)),
        ),
        told={
            ALL: (
                "balance.low opened",
                "↳1 balance.low closed",
                "balance.low opened",
                "↳3 balance.low closed",
            )
        },
        settings=Settings(judgement={"credits": Thresholds(low=Decimal(1000))}),
    ),
    Scenario(
        name="nothing happens for 3 days",
        history=(*every("15m", abc), *wait("3d"), *every("15m", abc)),
    ),
)

SCENARIOS: Final = (*ABSENCES, *USED, *FAILURES, *FLAPS, *NOISE)
