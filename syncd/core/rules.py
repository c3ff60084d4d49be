"""The public ids of every change syncd reports, each with its severity, its inverse and its meaning. Data, no code.

Ids are append-only and never re-used. Severity is the caller's, who sends requests built on the old schema:

    breaking        some request that used to be accepted is now refused, or nothing can be called any more
    risky           the same request is still accepted, or it cannot be decided, but may mean or cost something else
    additive        nothing lost, something gained
    informational   validity, meaning, price and limits provably unchanged

A severity of None is derived: from what the parameters admit (`core.compat`), or from the rule's own order of tiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Severity: TypeAlias = Literal["breaking", "risky", "additive", "informational"]
SEVERITIES: Final[tuple[Severity, ...]] = ("breaking", "risky", "additive", "informational")


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of change. `inverse` is the id of the opposite change."""

    id: str
    severity: Severity | None
    inverse: str
    meaning: str


def rank(severity: Severity) -> int:
    """0 for breaking, 3 for informational: sorting by it puts the worst first."""
    return SEVERITIES.index(severity)


def at_least(severity: Severity, threshold: Severity | None) -> bool:
    """Whether `severity` is as high as `threshold`; no threshold admits everything."""
    return threshold is None or rank(severity) <= rank(threshold)


def _limit(name: str, what: str) -> tuple[Rule, ...]:
    stem = f"account.rate-limit.{name}"
    return (
        Rule(
            f"{stem}.lowered", "risky", f"{stem}.raised", f"{what} fell: a client paced to the old limit is throttled"
        ),
        Rule(f"{stem}.raised", "additive", f"{stem}.lowered", f"{what} rose"),
        Rule(f"{stem}.zeroed", "breaking", f"{stem}.raised", f"{what} fell to zero: nothing may run"),
        Rule(
            f"{stem}.limit-removed",
            "risky",
            f"{stem}.limit-added",
            f"{what} is no longer stated: unlimited or undocumented?",
        ),
        Rule(f"{stem}.limit-added", "risky", f"{stem}.limit-removed", f"{what} is now stated"),
        Rule(f"{stem}.invalid", "risky", f"{stem}.invalid", f"{what} is or was not a number that can be a limit"),
    )


def _bound(name: str, what: str) -> tuple[Rule, ...]:
    stem = f"param.{name}"
    return (
        Rule(f"{stem}.lowered", None, f"{stem}.raised", f"{what} fell"),
        Rule(f"{stem}.raised", None, f"{stem}.lowered", f"{what} rose"),
        Rule(f"{stem}.added", None, f"{stem}.removed", f"{what} is now stated"),
        Rule(f"{stem}.removed", None, f"{stem}.added", f"{what} is no longer stated"),
        Rule(
            f"{stem}.null-absent",
            "informational",
            f"{stem}.null-absent",
            f"{what} went between null and absent: the same",
        ),
    )


def _presence(stem: str, severity: Severity | None, added: str, removed: str, changed: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{stem}.added", severity, f"{stem}.removed", added),
        Rule(f"{stem}.removed", severity, f"{stem}.added", removed),
        Rule(f"{stem}.changed", severity, f"{stem}.changed", changed),
    )


def _unknown(stem: str, severity: Severity | None, what: str) -> tuple[Rule, ...]:
    return _presence(stem, severity, f"{what} appeared", f"{what} went away", f"{what} changed")


_ACCOUNT: Final = (
    Rule(
        "account.tier.changed",
        None,
        "account.tier.changed",
        "the plan changed; API access and the list of models follow it",
    ),
    Rule(
        "account.tier.recased", "informational", "account.tier.recased", "the plan's name changed its case or spacing"
    ),
    Rule("account.tier.appeared", "informational", "account.tier.disappeared", "the plan is now stated"),
    Rule("account.tier.disappeared", "risky", "account.tier.appeared", "the plan is no longer stated"),
    *_limit("calls-per-minute", "the number of calls a minute"),
    *_limit("concurrent-jobs", "the number of jobs at a time"),
    Rule("account.rate-limit.limit-removed", "risky", "account.rate-limit.limit-added", "limits are no longer stated"),
    Rule("account.rate-limit.limit-added", "risky", "account.rate-limit.limit-removed", "limits are now stated"),
    Rule(
        "account.credits-balance.changed",
        "informational",
        "account.credits-balance.changed",
        "the balance of two saved responses differs; only `syncd diff` says so",
    ),
    *_unknown("account.attr-unknown", "informational", "a top-level field syncd does not know"),
)

_MODEL: Final = (
    Rule("model.added", "additive", "model.removed", "a model was unlocked"),
    Rule("model.removed", "breaking", "model.added", "a model can no longer be called"),
    Rule("model.returned", "additive", "model.removed", "a model that was gone can be called again"),
    Rule(
        "model.category.changed",
        "risky",
        "model.category.changed",
        "the model's category changed: output or routing may too",
    ),
    Rule("model.name.changed", "informational", "model.name.changed", "the display name changed"),
    Rule("model.creator.changed", "informational", "model.creator.changed", "the creator changed"),
    Rule("model.description.changed", "informational", "model.description.changed", "the description changed"),
    Rule(
        "model.example-request.changed", "informational", "model.example-request.changed", "the example request changed"
    ),
    Rule("model.params.replaced", "risky", "model.params.replaced", "the parameter schema is (or was) not published"),
    *_unknown("model.attr-unknown", None, "a field of the model that syncd does not know"),
    Rule(
        "catalogue.duplicate-slug.conflicting",
        None,
        "catalogue.duplicate-slug.resolved",
        "the slug is listed more than once with different contents",
    ),
    Rule(
        "catalogue.duplicate-slug.resolved",
        "risky",
        "catalogue.duplicate-slug.conflicting",
        "the slug is listed once again",
    ),
)

_PARAM: Final = (
    Rule("param.added.optional", "additive", "param.removed", "an optional parameter is new"),
    Rule(
        "param.added.optional-with-default", "additive", "param.removed", "an optional parameter with a default is new"
    ),
    Rule("param.added.required", "breaking", "param.removed", "a required parameter is new: requests without it fail"),
    Rule(
        "param.added.required-with-default", None, "param.removed", "a required parameter that states a default is new"
    ),
    Rule("param.removed", None, "param.added.optional", "a parameter is gone: requests that send it are refused"),
    Rule(
        "param.renamed",
        None,
        "param.renamed",
        "a parameter went and an equal one of another name came: as severe as both",
    ),
    Rule("param.became-required", "breaking", "param.became-optional", "the parameter must now be sent"),
    Rule(
        "param.became-required-with-default",
        None,
        "param.became-optional",
        "the parameter must now be sent, yet states a default",
    ),
    Rule("param.became-optional", "additive", "param.became-required", "the parameter may now be left out"),
    Rule(
        "param.required.normalised",
        "informational",
        "param.required.normalised",
        "`required` went between absent, false and null",
    ),
    Rule("param.required.invalid", "risky", "param.required.invalid", "`required` is or was not a Boolean"),
    Rule("param.replaced", "risky", "param.replaced", "the parameter's spec is or was not an object"),
    Rule("param.type.widened", "additive", "param.type.narrowed", "the new type admits more"),
    Rule("param.type.narrowed", "breaking", "param.type.widened", "the new type admits less"),
    Rule(
        "param.type.changed", "breaking", "param.type.changed", "the new type refuses values that the old one admitted"
    ),
    Rule("param.type.equivalent", "informational", "param.type.equivalent", "another type that admits the same values"),
    Rule("param.type.alias", "informational", "param.type.alias", "another name of the same type"),
    Rule("param.type.undecided", "risky", "param.type.undecided", "a type that syncd does not know"),
    Rule("param.type.missing", "risky", "param.type.missing", "the type is or was no text: nothing can be concluded"),
    *_bound("max", "the maximum"),
    *_bound("min", "the minimum"),
    *_bound("step", "the step"),
    Rule("param.step.changed", None, "param.step.changed", "the step became another of which neither is a multiple"),
    *_bound("max-length", "the greatest length"),
    *_bound("min-length", "the least length"),
    *_presence(
        "param.pattern",
        None,
        "texts must look like something; only values that are known to be sent can prove that requests break",
        "texts need no longer look like something",
        "texts must look like something else",
    ),
    *_bound("max-items", "the greatest number of elements"),
    *_bound("min-items", "the least number of elements"),
    *_presence(
        "param.items",
        None,
        "what the elements may be is now stated",
        "what the elements may be is no longer stated",
        "what the elements may be changed",
    ),
    Rule("param.nullable.added", None, "param.nullable.removed", "null may now be sent"),
    Rule("param.nullable.removed", None, "param.nullable.added", "null may no longer be sent"),
    Rule(
        "param.nullable.normalised",
        "informational",
        "param.nullable.normalised",
        "`nullable` went between absent, false and null",
    ),
    Rule(
        "param.format.changed",
        "risky",
        "param.format.changed",
        "how a value is to be written changed; whether requests break cannot be decided",
    ),
    Rule("param.enum.value-removed", None, "param.enum.value-added", "a value is no longer accepted"),
    Rule("param.enum.value-added", None, "param.enum.value-removed", "a value is newly accepted"),
    Rule(
        "param.enum.value-recased",
        None,
        "param.enum.value-recased",
        "a value is spelled differently: the old spelling is refused",
    ),
    Rule("param.enum.reordered", "informational", "param.enum.reordered", "the values stand in another order"),
    Rule("param.enum.duplicate-added", "informational", "param.enum.duplicate-removed", "a value is listed once more"),
    Rule("param.enum.duplicate-removed", "informational", "param.enum.duplicate-added", "a value is listed once less"),
    Rule(
        "param.enum.values-unpublished",
        "risky",
        "param.enum.values-unpublished",
        "the list of values is (or was) not published",
    ),
    Rule(
        "param.default.changed",
        None,
        "param.default.changed",
        "a request that leaves the parameter out gets another result",
    ),
    Rule(
        "param.default.removed",
        None,
        "param.default.added",
        "what happens when the parameter is left out is no longer stated",
    ),
    Rule(
        "param.default.added",
        "informational",
        "param.default.removed",
        "what happens when the parameter is left out is now stated",
    ),
    Rule(
        "param.default.null-absent",
        "informational",
        "param.default.null-absent",
        "the default went between null and absent",
    ),
    Rule("param.doc.changed", "informational", "param.doc.changed", "a text about the parameter changed"),
    Rule(
        "param.deprecated.normalised",
        "informational",
        "param.deprecated.normalised",
        "what marks the parameter deprecated, or not, is spelled differently",
    ),
    Rule("param.deprecated.set", "risky", "param.deprecated.cleared", "the parameter is marked deprecated"),
    Rule(
        "param.deprecated.cleared",
        "informational",
        "param.deprecated.set",
        "the parameter is no longer marked deprecated",
    ),
    Rule(
        "param.attr-misplaced",
        "informational",
        "param.attr-misplaced",
        "an attribute changed that means nothing on this type",
    ),
    *_unknown("param.attr-unknown", "risky", "an attribute of the parameter that syncd does not know"),
)

_BAND: Final = (
    Rule(
        "credits.band.raised-disjoint",
        "risky",
        "credits.band.lowered-disjoint",
        "every call is dearer than any was before",
    ),
    Rule("credits.band.raised", "risky", "credits.band.lowered", "both ends rose"),
    Rule("credits.band.ceiling-raised", "risky", "credits.band.ceiling-lowered", "the dearest call is dearer"),
    Rule("credits.band.floor-raised", "risky", "credits.band.floor-lowered", "the cheapest call is dearer"),
    Rule("credits.band.widened", "risky", "credits.band.narrowed", "the cheapest call is cheaper, the dearest dearer"),
    Rule("credits.band.narrowed", "risky", "credits.band.widened", "the cheapest call is dearer, the dearest cheaper"),
    Rule(
        "credits.band.lowered-disjoint",
        "additive",
        "credits.band.raised-disjoint",
        "every call is cheaper than any was before",
    ),
    Rule("credits.band.lowered", "additive", "credits.band.raised", "both ends fell"),
    Rule("credits.band.ceiling-lowered", "additive", "credits.band.ceiling-raised", "the dearest call is cheaper"),
    Rule("credits.band.floor-lowered", "additive", "credits.band.floor-raised", "the cheapest call is cheaper"),
    Rule("credits.band.disappeared", "risky", "credits.band.appeared", "the price is no longer stated"),
    Rule("credits.band.appeared", "informational", "credits.band.disappeared", "the price is now stated"),
    Rule(
        "credits.band.raw-changed", "informational", "credits.band.raw-changed", "the same price, spelled differently"
    ),
    Rule("credits.band.partial-changed", "risky", "credits.band.partial-changed", "the one stated end moved"),
    Rule(
        "credits.band.crossed-changed",
        "risky",
        "credits.band.crossed-changed",
        "a minimum above its maximum became another such",
    ),
    Rule(
        "credits.band.invalid-changed",
        "risky",
        "credits.band.invalid-changed",
        "a price that is no price became another such",
    ),
    *(
        Rule(
            f"credits.band.{a}-to-{b}",
            "informational" if b == "ok" else "risky",
            f"credits.band.{b}-to-{a}",
            f"the price was {a} and is {b}",
        )
        for a in ("ok", "partial", "unknown", "crossed", "invalid")
        for b in ("ok", "partial", "unknown", "crossed", "invalid")
        if a != b and {a, b} != {"ok", "unknown"}
    ),
)

BASELINE: Final = Rule(
    "catalogue.baseline", "informational", "catalogue.baseline", "the first catalogue seen with this key"
)

RULES: Final[Mapping[str, Rule]] = {rule.id: rule for rule in (BASELINE, *_ACCOUNT, *_MODEL, *_PARAM, *_BAND)}

# States with an opening and a closing. Not changes; routes may name them among `kinds` all the same.
CONDITIONS: Final[Mapping[str, Severity]] = {
    "access.rejected": "breaking",
    "access.tier-locked": "breaking",
    "access.forbidden": "breaking",
    "vendor.unreachable": "risky",
    "destination.broken": "risky",
    "listing.suspicious": "risky",
    "balance.low": "risky",
}

# No poll finds it: the balance is no part of the state. A route that names it would never match.
UNTOLD: Final = frozenset({"account.credits-balance.changed"})

KINDS: Final = (frozenset(RULES) - UNTOLD) | frozenset(CONDITIONS)
