"""Every kind of change by an example, and the rulings on the edge cases."""

# ruff: noqa: FBT003 - they are JSON's true and false, not flags
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from syncd.core import wording
from syncd.core.canon import MISSING, dumps
from syncd.core.catalog import Catalog, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff, model_changes
from syncd.core.message import flat
from syncd.core.rules import BASELINE, RULES

Json = dict[str, Any]
STRICT = Policy()


def param(**spec: Any) -> Json:
    return {"params": {"n": spec}}


def integer(**spec: Any) -> Json:
    return param(type="integer", **spec)


def text(**spec: Any) -> Json:
    return param(type="string", **spec)


def text_spec(**spec: Any) -> Json:
    return {"type": "string", **spec}


def array(items: Json, **spec: Any) -> Json:
    return param(type="array", items=items, **spec)


def texts(**spec: Any) -> Json:
    return param(type="string[]", **spec)


def enum(*values: Any, **spec: Any) -> Json:
    return param(type="enum", values=list(values), **spec)


def band(low: Any, high: Any) -> Json:
    return {"credits_band": {"min": low, "max": high}}


def limits(**rates: Any) -> Json:
    return {"rate_limit": rates}


@dataclass(frozen=True)
class Example:
    """Two sides, and what is to be said of going from one to the other."""

    kind: str
    old: Any
    new: Any
    severity: str
    place: str
    witness: Json | None = None
    decided: bool = True


def n(attribute: str = "") -> str:
    return "/models/a/params/n" + (f"/{attribute}" if attribute else "")


def of_bound(name: str, attribute: str, of: str, low: Any, high: Any, *, sends: Any) -> list[Example]:
    """The five changes of a bound whose greater value admits more; `sends` is what only that one admits."""
    spec = {"integer": integer, "string": text, "list": texts}[of]
    small, great, none = spec(**{attribute: low}), spec(**{attribute: high}), spec()
    stem, place = f"param.{name}", n(attribute)
    return [
        Example(f"{stem}.lowered", great, small, "breaking", place, {"n": sends}),
        Example(f"{stem}.raised", small, great, "additive", place),
        Example(f"{stem}.added", none, small, "breaking", place, {"n": sends}),
        Example(f"{stem}.removed", small, none, "additive", place),
        Example(f"{stem}.null-absent", spec(**{attribute: None}), none, "informational", place),
    ]


def of_opposite_bound(
    name: str, attribute: str, of: str, low: Any, high: Any, *, sends: Any, refused: Any
) -> list[Example]:
    """The same of a bound whose lesser value admits more."""
    spec = {"integer": integer, "string": text, "list": texts}[of]
    small, great, none = spec(**{attribute: low}), spec(**{attribute: high}), spec()
    stem, place = f"param.{name}", n(attribute)
    return [
        Example(f"{stem}.raised", small, great, "breaking", place, {"n": sends}),
        Example(f"{stem}.lowered", great, small, "additive", place),
        Example(f"{stem}.added", none, great, "breaking", place, {"n": refused}),
        Example(f"{stem}.removed", great, none, "additive", place),
        Example(f"{stem}.null-absent", none, spec(**{attribute: None}), "informational", place),
    ]


RATES = [
    example
    for name, attribute in (("calls-per-minute", "calls_per_minute"), ("concurrent-jobs", "concurrent_jobs"))
    for stem, place in ((f"account.rate-limit.{name}", f"/rate_limit/{attribute}"),)
    for example in (
        Example(f"{stem}.lowered", limits(**{attribute: 60}), limits(**{attribute: 30}), "risky", place),
        Example(f"{stem}.raised", limits(**{attribute: 0}), limits(**{attribute: 30}), "additive", place),
        Example(f"{stem}.zeroed", limits(**{attribute: 60}), limits(**{attribute: 0}), "breaking", place),
        Example(f"{stem}.limit-removed", limits(**{attribute: 60}), limits(), "risky", place, decided=False),
        Example(f"{stem}.limit-removed", limits(**{attribute: None}), limits(), "informational", place),
        Example(f"{stem}.limit-added", limits(**{attribute: None}), limits(**{attribute: 60}), "risky", place),
        Example(
            f"{stem}.invalid", limits(**{attribute: 60}), limits(**{attribute: "60"}), "risky", place, decided=False
        ),
        Example(
            f"{stem}.invalid", limits(**{attribute: -1}), limits(**{attribute: True}), "risky", place, decided=False
        ),
    )
]

# Examples of the account: two envelopes without their models.
ACCOUNT = [
    Example("account.tier.changed", {"tier": "pro"}, {"tier": "free"}, "breaking", "/tier"),
    Example("account.tier.changed", {"tier": "Ultimate"}, {"tier": "standard"}, "breaking", "/tier"),
    Example("account.tier.changed", {"tier": "pro"}, {"tier": "ultimate"}, "additive", "/tier"),
    Example("account.tier.changed", {"tier": "free"}, {"tier": "standard"}, "additive", "/tier"),
    Example("account.tier.changed", {"tier": "ultimate"}, {"tier": "pro"}, "risky", "/tier"),
    Example("account.tier.changed", {"tier": "pro"}, {"tier": "gold"}, "risky", "/tier"),
    Example("account.tier.changed", {"tier": 1}, {"tier": "pro"}, "risky", "/tier"),
    Example("account.tier.recased", {"tier": "pro"}, {"tier": " Pro"}, "informational", "/tier"),
    Example("account.tier.appeared", {"tier": None}, {"tier": "pro"}, "informational", "/tier"),
    Example("account.tier.disappeared", {"tier": "pro"}, {}, "risky", "/tier"),
    Example("account.tier.disappeared", {"tier": None}, {}, "informational", "/tier"),
    *RATES,
    Example("account.rate-limit.limit-removed", limits(calls_per_minute=1), {}, "risky", "/rate_limit", decided=False),
    Example("account.rate-limit.limit-removed", {"rate_limit": None}, {}, "informational", "/rate_limit"),
    Example("account.rate-limit.limit-added", {}, limits(calls_per_minute=1), "risky", "/rate_limit", decided=False),
    Example(
        "account.attr-unknown.changed", {"rate_limit": 5}, {"rate_limit": 6}, "risky", "/rate_limit", decided=False
    ),
    Example(
        "account.credits-balance.changed",
        {"credits_balance": 12_847},
        {"credits_balance": None},
        "informational",
        "/credits_balance",
    ),
    Example("account.attr-unknown.added", {}, {"beta": 1}, "informational", "/beta"),
    Example("account.attr-unknown.removed", {"beta": 1}, {}, "informational", "/beta"),
    Example("account.attr-unknown.changed", {"beta": 1}, {"beta": True}, "informational", "/beta"),
    Example("account.attr-unknown.added", limits(), limits(burst=1), "informational", "/rate_limit/burst"),
]

MODEL = [
    Example("model.category.changed", {"category": "image"}, {"category": "video"}, "risky", "/models/a/category"),
    Example(
        "model.category.changed", {"category": "image"}, {"category": "image "}, "informational", "/models/a/category"
    ),
    Example("model.category.changed", {"category": None}, {}, "informational", "/models/a/category"),
    Example("model.category.changed", {"category": "image"}, {}, "risky", "/models/a/category"),
    Example("model.name.changed", {"name": "A"}, {"name": "B"}, "informational", "/models/a/name"),
    Example("model.creator.changed", {"creator": "A"}, {"creator": 5}, "informational", "/models/a/creator"),
    Example("model.description.changed", {"description": "A"}, {}, "informational", "/models/a/description"),
    Example(
        "model.example-request.changed",
        {"example_request": {"n": 1}},
        {"example_request": {"n": 2}},
        "informational",
        "/models/a/example_request",
    ),
    Example("model.params.replaced", param(), {"params": None}, "risky", "/models/a/params", decided=False),
    Example("model.params.replaced", {}, {"params": {}}, "risky", "/models/a/params", decided=False),
    Example("model.attr-unknown.added", {}, {"sunset": "2027"}, "risky", "/models/a/sunset", decided=False),
    Example("model.attr-unknown.removed", {"colour": 1}, {}, "informational", "/models/a/colour"),
    Example(
        "model.attr-unknown.changed", {"status": "ga"}, {"status": "off"}, "risky", "/models/a/status", decided=False
    ),
]

REQUIRED = {"type": "integer", "required": True, "min": 1}

PARAM = [
    Example("param.added.optional", {"params": {}}, integer(), "additive", n()),
    Example("param.added.optional-with-default", {"params": {}}, integer(default=1), "additive", n()),
    Example("param.added.required", {"params": {}}, integer(required=True), "breaking", n(), {}),
    Example(
        "param.added.required-with-default", {"params": {}}, integer(required=True, default=1), "breaking", n(), {}
    ),
    Example("param.added.optional", {"params": {}}, integer(required="true"), "additive", n()),
    Example("param.removed", integer(min=2), {"params": {}}, "breaking", n(), {"n": 2}),
    Example("param.removed", integer(min=2, default=7), {"params": {}}, "breaking", n(), {"n": 7}),
    Example("param.removed", enum(), {"params": {}}, "informational", n()),
    Example("param.became-required", integer(), integer(required=True), "breaking", n("required"), {}),
    Example(
        "param.became-required-with-default",
        integer(default=1),
        integer(default=1, required=True),
        "breaking",
        n("required"),
        {},
    ),
    Example("param.became-optional", integer(required=True), integer(), "additive", n("required")),
    Example(
        "param.required.normalised", integer(required=None), integer(required=False), "informational", n("required")
    ),
    Example("param.required.invalid", integer(), integer(required="true"), "risky", n("required"), decided=False),
    Example(
        "param.required.invalid", integer(required=True), integer(required=1), "risky", n("required"), decided=False
    ),
    Example("param.replaced", {"params": {"n": None}}, integer(), "risky", n(), decided=False),
    Example("param.replaced", integer(), {"params": {"n": "a number"}}, "risky", n(), decided=False),
    # type
    Example("param.type.widened", integer(min=1, max=4), param(type="number", min=1, max=4), "additive", n("type")),
    Example("param.type.widened", enum("a", "b"), text(max_length=1), "additive", n("type")),
    Example(
        "param.type.narrowed", param(type="number", min=1), integer(min=1), "breaking", n("type"), {"n": Decimal("1.5")}
    ),
    Example("param.type.narrowed", integer(min=1, max=3), enum(1, 3), "breaking", n("type"), {"n": 2}),
    Example("param.type.equivalent", param(type="number", step=2), integer(step=2), "informational", n("type")),
    Example("param.type.changed", integer(min=1, max=2), enum("1", "2"), "breaking", n("type"), {"n": 1}),
    Example("param.type.changed", param(type="boolean"), enum("true", "false"), "breaking", n("type"), {"n": True}),
    Example("param.type.changed", enum("abc"), text(max_length=2), "breaking", n("type"), {"n": "abc"}),
    Example("param.type.equivalent", integer(min=1, max=3), enum(3, 1, 2), "informational", n("type")),
    Example("param.type.equivalent", enum(True, False), param(type="bool"), "informational", n("type")),
    Example("param.type.alias", integer(), param(type="int"), "informational", n("type")),
    Example("param.type.undecided", param(type="image"), text(), "risky", n("type"), decided=False),
    Example("param.type.undecided", param(type="enum"), text(), "risky", n("type"), decided=False),
    Example("param.type.missing", integer(), param(), "risky", n("type"), decided=False),
    Example(
        "param.type.undecided",
        text(pattern="^b$"),
        param(type="enum", values=["b"], pattern="^b$"),
        "risky",
        n("type"),
        decided=False,
    ),
    Example("param.type.missing", param(type={"a": 1}), param(type={"a": 2}), "risky", n("type"), decided=False),
    Example("param.type.alias", param(type="string[]"), array(text_spec()), "informational", n("type")),
    Example("param.type.narrowed", integer(nullable=True), param(type="int"), "breaking", n("type"), {"n": None}),
    Example("param.type.undecided", param(type="image[]"), array(text_spec()), "risky", n("type"), decided=False),
    # bounds
    *of_bound("max", "max", "integer", 3, 4, sends=4),
    *of_bound("max-length", "max_length", "string", 2, 5, sends="aaa"),
    *of_opposite_bound("min", "min", "integer", 1, 3, sends=1, refused=2),
    *of_opposite_bound("min-length", "min_length", "string", 1, 3, sends="a", refused=""),
    Example("param.step.raised", integer(step=2), integer(step=4), "breaking", n("step"), {"n": 2}),
    Example("param.step.lowered", integer(step=4), integer(step=2), "additive", n("step")),
    Example("param.step.changed", integer(step=3), integer(step=2), "breaking", n("step"), {"n": 3}),
    Example("param.step.added", integer(), integer(step=2), "breaking", n("step"), {"n": 1}),
    Example("param.step.added", integer(), integer(step=Decimal("0.5")), "informational", n("step")),
    Example("param.step.removed", integer(step=2), integer(), "additive", n("step")),
    Example("param.step.null-absent", integer(step=None), integer(), "informational", n("step")),
    Example(
        "param.max.lowered", integer(step=2, min=0, max=11), integer(step=2, min=0, max=10), "informational", n("max")
    ),
    Example("param.max.lowered", integer(max=Decimal("4.5")), integer(max=4), "informational", n("max")),
    Example("param.max.lowered", integer(min=1, max=4), integer(min=1, max=0), "breaking", n("max"), {"n": 4}),
    Example("param.max.raised", integer(min=1, max=0), integer(min=1, max=4), "additive", n("max")),
    Example("param.min-length.added", text(), text(min_length=0), "informational", n("min_length")),
    Example("param.min.lowered", integer(min=1, step=2), integer(min=0, step=2), "breaking", n("min"), {"n": 1}),
    Example(
        "param.max.lowered", param(type="image", max=2), param(type="image", max=1), "risky", n("max"), decided=False
    ),
    Example("param.min.added", integer(min="1"), integer(min=1), "risky", n("min"), decided=False),
    Example("param.max.removed", integer(max=4), integer(max=True), "risky", n("max"), decided=False),
    Example("param.max.null-absent", param(max=None), param(), "informational", n("max")),
    Example("param.attr-unknown.changed", integer(step=0), integer(step=-1), "risky", n("step"), decided=False),
    Example("param.attr-misplaced", text(max=4), text(max=3), "informational", n("max")),
    Example(
        "param.attr-misplaced",
        param(type="boolean", values=[True]),
        param(type="boolean"),
        "informational",
        n("values"),
    ),
    # values
    Example("param.enum.value-removed", enum("a", "b"), enum("a"), "breaking", n("values"), {"n": "b"}),
    Example(
        "param.enum.value-removed",
        integer(max=2, values=[1, 9]),
        integer(max=2, values=[1]),
        "informational",
        n("values"),
    ),
    Example("param.enum.value-added", enum("a"), enum("a", None), "additive", n("values")),
    Example("param.enum.value-added", enum(nullable=True), enum(None, nullable=True), "informational", n("values")),
    Example("param.enum.value-recased", enum("1K", "2K"), enum("1k", "2K"), "breaking", n("values"), {"n": "1K"}),
    Example(
        "param.enum.value-recased",
        text(max_length=2, values=["abc"]),
        text(max_length=2, values=["ABC"]),
        "informational",
        n("values"),
    ),
    Example(
        "param.enum.value-added",
        integer(max=2, values=[1]),
        integer(max=2, values=[1, 9]),
        "informational",
        n("values"),
    ),
    Example("param.enum.reordered", enum("a", "b"), enum("b", "a"), "informational", n("values")),
    Example("param.enum.duplicate-added", enum(1), enum(1, Decimal("1.0")), "informational", n("values")),
    Example("param.enum.duplicate-removed", enum("a", "b", "a"), enum("a", "b"), "informational", n("values")),
    Example(
        "param.enum.values-unpublished", enum("a"), param(type="enum", values=None), "risky", n("values"), decided=False
    ),
    Example(
        "param.enum.values-unpublished",
        param(type="enum", values=None),
        param(type="enum"),
        "informational",
        n("values"),
    ),
    Example("param.enum.values-unpublished", text(), text(values=["a"]), "breaking", n("values"), {"n": "A"}),
    Example("param.enum.values-unpublished", text(values=["a"]), text(), "additive", n("values")),
    Example("param.enum.values-unpublished", text(values="a"), text(), "risky", n("values"), decided=False),
    # default
    Example("param.default.changed", integer(default=1), integer(default=2), "risky", n("default")),
    Example("param.default.changed", integer(default=1), integer(default=True), "risky", n("default")),
    Example(
        "param.default.changed",
        integer(default=1, required=True),
        integer(default=2, required=True),
        "informational",
        n("default"),
    ),
    Example("param.default.removed", integer(default=1), integer(default=None), "risky", n("default")),
    Example("param.default.added", integer(), integer(default=2), "informational", n("default")),
    Example("param.default.null-absent", integer(), integer(default=None), "informational", n("default")),
    # the rest
    Example("param.doc.changed", integer(label="N"), integer(label="M"), "informational", n("label")),
    Example("param.deprecated.set", integer(), integer(deprecated=True), "risky", n("deprecated")),
    Example(
        "param.deprecated.cleared",
        integer(deprecated=True),
        integer(deprecated=False),
        "informational",
        n("deprecated"),
    ),
    Example("param.deprecated.normalised", integer(), integer(deprecated=False), "informational", n("deprecated")),
    Example("param.deprecated.normalised", integer(deprecated=False), integer(), "informational", n("deprecated")),
    Example("param.format.changed", text(), text(format="uri"), "risky", n("format"), decided=False),
    Example("param.format.changed", text(format=None), text(), "informational", n("format")),
    Example("param.attr-unknown.added", text(), text(charset="latin"), "risky", n("charset"), decided=False),
    Example("param.attr-unknown.removed", text(charset="latin"), text(), "risky", n("charset"), decided=False),
    Example("param.attr-unknown.changed", text(charset="a"), text(charset="b"), "risky", n("charset"), decided=False),
    # patterns
    Example("param.pattern.added", text(), text(pattern="^a"), "risky", n("pattern"), decided=False),
    Example("param.pattern.added", text(), text(pattern=".*"), "informational", n("pattern")),
    Example(
        "param.pattern.added", text(default="b"), text(default="b", pattern="^a"), "breaking", n("pattern"), {"n": "b"}
    ),
    Example("param.pattern.added", text(values=["a"]), text(values=["a"], pattern="^a"), "informational", n("pattern")),
    Example("param.pattern.added", text(), text(pattern="(?=a)"), "risky", n("pattern"), decided=False),
    Example(
        "param.pattern.added",
        text(default="a\nb"),
        text(default="a\nb", pattern="^.*$"),
        "breaking",
        n("pattern"),
        {"n": "a\nb"},
    ),
    # Whether \w holds an é, dialects do not agree.
    Example(
        "param.pattern.added",
        text(default="café"),
        text(default="café", pattern=r"^\w+$"),
        "risky",
        n("pattern"),
        decided=False,
    ),
    Example("param.pattern.added", text(), text(pattern=".{0,1000}" * 50), "risky", n("pattern"), decided=False),
    Example(
        "param.max-length.lowered",
        text(pattern="^[0-9]", max_length=3),
        text(pattern="^[0-9]", max_length=2),
        "breaking",
        n("max_length"),
        {"n": "000"},
    ),
    Example("param.removed", text(min_length=2, pattern="^.$"), {"params": {}}, "breaking", n(), decided=False),
    Example("param.pattern.removed", text(pattern="^a"), text(pattern=None), "additive", n("pattern")),
    Example("param.pattern.removed", text(pattern="(?=a)"), text(), "additive", n("pattern")),
    Example("param.pattern.changed", text(pattern="^a"), text(pattern="^b"), "risky", n("pattern"), decided=False),
    Example("param.pattern.changed", text(pattern="^a"), text(pattern=""), "additive", n("pattern")),
    Example("param.attr-misplaced", integer(pattern="^a"), integer(), "informational", n("pattern")),
    # null
    Example("param.nullable.added", integer(), integer(nullable=True), "additive", n("nullable")),
    Example("param.nullable.removed", integer(nullable=True), integer(), "breaking", n("nullable"), {"n": None}),
    Example("param.nullable.removed", enum(None, nullable=True), enum(None), "informational", n("nullable")),
    Example(
        "param.nullable.removed", param(type="x", nullable=True), param(type="x"), "risky", n("nullable"), decided=False
    ),
    Example(
        "param.nullable.normalised", integer(nullable=None), integer(nullable=False), "informational", n("nullable")
    ),
    Example(
        "param.attr-unknown.changed", integer(nullable=1), integer(nullable=2), "risky", n("nullable"), decided=False
    ),
    # lists
    *of_bound("max-items", "max_items", "list", 1, 3, sends=["a", "a"]),
    *of_opposite_bound("min-items", "min_items", "list", 1, 3, sends=["a"], refused=[]),
    Example("param.items.added", param(type="array"), array(text_spec()), "risky", n("items"), decided=False),
    Example("param.items.removed", array(text_spec()), param(type="array"), "risky", n("items"), decided=False),
    Example(
        "param.items.changed",
        array(text_spec()),
        array(text_spec(max_length=2)),
        "breaking",
        n("items"),
        {"n": ["aaa"]},
    ),
    Example("param.items.changed", array(text_spec(max_length=2)), array(text_spec()), "additive", n("items")),
    Example("param.items.changed", array(text_spec()), array(text_spec(label="L")), "informational", n("items")),
    Example(
        "param.items.changed",
        array(text_spec(), max_items=0),
        array(text_spec(max_length=2), max_items=0),
        "informational",
        n("items"),
    ),
    Example(
        "param.items.added",
        param(type="string[]"),
        param(type="string[]", items=text_spec(min_length=1)),
        "breaking",
        n("items"),
        {"n": [""]},
    ),
    Example("param.attr-misplaced", text(items=1), text(), "informational", n("items")),
    Example(
        "param.max-items.lowered",
        array(text_spec(pattern="^https://"), max_items=3),
        array(text_spec(pattern="^https://"), max_items=1),
        "risky",
        n("max_items"),
        decided=False,
    ),
    Example(
        "param.items.changed",
        array(text_spec(pattern="^a")),
        array(text_spec(pattern="^(a|b)")),
        "risky",
        n("items"),
        decided=False,
    ),
    Example(
        "param.type.narrowed",
        array({"type": "boolean", "nullable": True}, max_items=1),
        enum([], [True], [False]),
        "breaking",
        n("type"),
        {"n": [None]},
    ),
    Example("param.type.changed", text(format="uri"), integer(format="uri"), "breaking", n("type"), {"n": ""}),
    Example("param.min.lowered", integer(min=0, step=1), integer(min=-10, step=1), "additive", n("min")),
    # names
    Example(
        "param.renamed",
        {"params": {"num_images": text_spec()}},
        {"params": {"number_images": text_spec()}},
        "breaking",
        "/models/a/params/num_images",
        {"num_images": "a"},
    ),
]

SIDES: dict[str, Any] = {
    "ok": {"min": 80, "max": 90},
    "partial": {"min": 80},
    "unknown": None,
    "crossed": {"min": 90, "max": 80},
    "invalid": "80",
}
FORMS = [
    Example(
        f"credits.band.{a}-to-{b}",
        {"credits_band": SIDES[a]},
        {"credits_band": SIDES[b]},
        "informational" if b == "ok" else "risky",
        "/models/a/credits_band",
    )
    for a in SIDES
    for b in SIDES
    if a != b and {a, b} != {"ok", "unknown"}
]
BAND = [
    Example(f"credits.band.{kind}", old, new, severity, "/models/a/credits_band")
    for kind, old, new, severity in (
        ("raised-disjoint", band(1, 2), band(3, 4), "risky"),
        ("raised", band(1, 3), band(2, 4), "risky"),
        ("ceiling-raised", band(1, 3), band(1, 4), "risky"),
        ("floor-raised", band(1, 3), band(2, 3), "risky"),
        ("widened", band(2, 3), band(1, 4), "risky"),
        ("narrowed", band(1, 4), band(2, 3), "risky"),
        ("lowered-disjoint", band(3, 4), band(1, 2), "additive"),
        ("lowered", band(2, 4), band(1, 3), "additive"),
        ("ceiling-lowered", band(1, 4), band(1, 3), "additive"),
        ("floor-lowered", band(2, 3), band(1, 3), "additive"),
        ("disappeared", band(1, 2), {"credits_band": {}}, "risky"),
        ("appeared", {}, band(1, 2), "informational"),
        ("raw-changed", {"credits_band": None}, {}, "informational"),
        ("partial-changed", {"credits_band": {"min": 1}}, {"credits_band": {"max": 1}}, "risky"),
        ("crossed-changed", band(4, 3), band(4, 2), "risky"),
        ("invalid-changed", band(-1, 3), {"credits_band": 5}, "risky"),
    )
]

CONFLICTS = [
    Example("catalogue.duplicate-slug.conflicting", {}, [{"name": "A"}, {"name": "B"}], "risky", "/models/a"),
    Example(
        "catalogue.duplicate-slug.conflicting",
        {"params": None},
        [{"name": "A", "params": {}}, {"name": "B"}],
        "risky",
        "/models/a",
        decided=False,
    ),
    Example(
        "catalogue.duplicate-slug.conflicting",
        [integer(max=4), integer(max=9)],
        [integer(max=4), integer(max=3)],
        "breaking",
        "/models/a",
        {"n": 4},
    ),
    Example(
        "catalogue.duplicate-slug.conflicting",
        integer(max=4),
        [integer(max=4), integer(max=3)],
        "breaking",
        "/models/a",
        {"n": 4},
    ),
    Example(
        "catalogue.duplicate-slug.resolved",
        [integer(max=4), integer(max=3)],
        integer(max=3),
        "risky",
        "/models/a",
    ),
]

# Of whole listings: the models by their slugs.
LISTINGS = [
    Example("model.added", {}, {"a": {}}, "additive", "/models/a"),
    Example("model.removed", {"a": {}}, {}, "breaking", "/models/a", {"model": "a"}),
]

ON_ONE_MODEL = [*MODEL, *PARAM, *BAND, *FORMS, *CONFLICTS]


def only(found: list[Change]) -> Change:
    (change,) = found
    return change


def listing(account: Json, models: Mapping[str, Json]) -> Catalog:
    return assemble(account, [dumps({"slug": slug, **body}).encode() for slug, body in models.items()], Memo())


def between(old: Catalog, new: Catalog) -> list[Change]:
    return diff(Before(old.account, old.models), new, STRICT)


def check(example: Example, change: Change) -> None:
    assert (change.kind, change.severity, change.decided) == (example.kind, example.severity, example.decided)
    assert change.pointer == example.place
    assert (None if change.witness is None else dict(change.witness)) == example.witness
    assert not re.search(r"\{[a-z_]+\}|\*\*", flat(wording.phrase(change)))
    assert wording.summary(change)


def name(example: Example) -> str:
    return example.kind


@pytest.mark.parametrize("example", ON_ONE_MODEL, ids=name)
def test_a_change_of_a_model(example):
    check(example, only(model_changes("a", example.old, example.new, STRICT)))


@pytest.mark.parametrize("example", ACCOUNT, ids=name)
def test_a_change_of_the_account(example):
    check(example, only(between(listing(example.old, {}), listing(example.new, {}))))


@pytest.mark.parametrize("example", LISTINGS, ids=name)
def test_a_change_of_the_list(example):
    check(example, only(between(listing({}, example.old), listing({}, example.new))))


def test_a_model_that_is_back_is_compared_with_what_it_was():
    before, after = listing({}, {"a": integer(max=4)}), listing({}, {"a": integer(max=3)})
    returned, lowered = diff(Before({}, {}, before.models), after, STRICT)
    check(Example("model.returned", None, None, "additive", "/models/a"), returned)
    check(Example("param.max.lowered", None, None, "breaking", n("max"), {"n": 4}), lowered)
    assert lowered.detail["after_absence"] is True
    assert "after_absence" not in returned.detail


def test_every_rule_has_an_example_and_a_phrase():
    shown = {example.kind for example in (*ON_ONE_MODEL, *ACCOUNT, *LISTINGS)} | {"model.returned"}
    assert RULES.keys() - shown == {BASELINE.id}
    assert {kind for kind in RULES if not kind.startswith("credits.band.")} == wording.PHRASES.keys()


def test_every_rule_names_its_inverse():
    assert {rule.inverse for rule in RULES.values()} <= RULES.keys()


# --- policy --------------------------------------------------------------------------------------------------------

POLICIES = [
    (Policy(unknown_params="ignore"), integer(), {"params": {}}, "param.removed", "risky"),
    (Policy(unknown_params="ignore"), enum(), {"params": {}}, "param.removed", "informational"),
    (Policy(unknown_params="ignore"), integer(max=4), integer(max=3), "param.max.lowered", "breaking"),
    (
        Policy(required_with_default="risky"),
        {"params": {}},
        integer(required=True, default=1),
        "param.added.required-with-default",
        "risky",
    ),
    (Policy(required_with_default="risky"), {"params": {}}, integer(required=True), "param.added.required", "breaking"),
    (
        Policy(required_with_default="risky"),
        integer(default=1),
        integer(default=1, required=True),
        "param.became-required-with-default",
        "risky",
    ),
    (Policy(required_with_default="risky"), integer(), integer(required=True), "param.became-required", "breaking"),
]


@pytest.mark.parametrize(("policy", "old", "new", "kind", "severity"), POLICIES)
def test_what_the_vendor_does_not_say_the_operator_may(policy, old, new, kind, severity):
    change = only(model_changes("a", old, new, policy))
    assert (change.kind, change.severity) == (kind, severity)
    assert (change.witness is not None) == (severity == "breaking")


# --- rulings -------------------------------------------------------------------------------------------------------


def test_a_witness_holds_every_required_parameter():
    other = {"size": {"type": "enum", "values": ["1K", "2K"], "required": True}, "prompt": {"type": "string"}}
    old, new = ({"params": {**other, **side["params"]}} for side in (integer(max=4), integer(max=3)))
    assert only(model_changes("a", old, new, STRICT)).witness == {"size": "1K", "n": 4}


UNCALLABLE = {"never": {"type": "enum", "values": [], "required": True}}


def test_nothing_breaks_where_nothing_was_accepted():
    old = {"params": {**UNCALLABLE, **integer(max=4)["params"]}}
    new = {"params": {**UNCALLABLE, **integer(max=3)["params"], "more": REQUIRED}}
    found = model_changes("a", old, new, STRICT)
    assert {(change.kind, change.severity, change.witness) for change in found} == {
        ("param.max.lowered", "informational", None),
        ("param.added.required", "informational", None),
    }
    assert all(change.detail["was_uncallable"] for change in found)


def test_a_change_of_type_owns_every_constraint_that_moved_with_it_and_nothing_else():
    old = integer(min=1, max=4, default=1, label="N")
    new = param(type="number", min=0, max=3, default=2, label="M")
    found = {change.kind: change for change in model_changes("a", old, new, STRICT)}
    assert found.keys() == {"param.type.changed", "param.default.changed", "param.doc.changed"}
    assert {op.path[-1] for op in found["param.type.changed"].ops} == {"type", "min", "max"}


def test_all_values_replaced_is_told_value_by_value():
    found = model_changes("a", enum("1K", "2K"), enum("4K", "8K"), STRICT)
    assert [(change.kind, change.before, change.after) for change in found] == [
        ("param.enum.value-removed", "1K", MISSING),
        ("param.enum.value-removed", "2K", MISSING),
        ("param.enum.value-added", MISSING, "4K"),
        ("param.enum.value-added", MISSING, "8K"),
    ]


def test_a_value_put_in_front_is_one_change():
    assert [change.after for change in model_changes("a", enum(1, 2, 3), enum(0, 1, 2, 3), STRICT)] == [0]


def test_a_list_emptied_removes_each_value():
    found = model_changes("a", enum("a", "b", required=True), enum(required=True), STRICT)
    assert [change.severity for change in found] == ["breaking", "breaking"]


def test_values_are_told_apart_by_type():
    found = model_changes("a", enum(1, "1", True), enum(Decimal("1.0"), True), STRICT)
    assert [change.before for change in found] == ["1"]


def test_a_definite_violation_breaks_beside_an_unknown_attribute():
    change = only(model_changes("a", text(pattern="^a", max_length=4), text(pattern="^a", max_length=3), STRICT))
    assert (change.severity, change.witness) == ("breaking", {"n": "aaaa"})


def test_a_respelled_number_is_no_change():
    assert (
        model_changes(
            "a", {**integer(max=4), **band(80, 90)}, {**integer(max=Decimal("4.0")), **band(Decimal(80), 90)}, STRICT
        )
        == []
    )


def test_a_price_change_names_what_may_be_its_reason():
    old = {**integer(max=4, default=1, label="N"), **band(1, 2)}
    new = {**integer(max=8, default=2, label="M"), **band(1, 3)}
    price = next(c for c in model_changes("a", old, new, STRICT) if c.kind.startswith("credits."))
    assert price.detail == {"max_percent": Decimal("50.0"), "related": [n("default"), n("max")]}


def test_a_price_change_alone_names_nothing():
    assert "related" not in only(model_changes("a", band(1, 2), band(1, 3), STRICT)).detail


@pytest.mark.parametrize(
    ("tier", "cause"), [("free", "tier-change"), ("pro", "allowlist-or-removed"), ("PRO", "allowlist-or-removed")]
)
def test_a_change_of_plan_is_the_cause_of_removals_beside_it(tier, cause):
    found = between(listing({"tier": "pro"}, {"a": {}}), listing({"tier": tier}, {}))
    assert [change.detail["cause"] for change in found if change.kind == "model.removed"] == [cause]


def test_a_change_knows_its_model_and_category():
    change = only(
        between(
            listing({}, {"a": {"category": "image", **band(1, 2)}}),
            listing({}, {"a": {"category": "image", **band(2, 2)}}),
        )
    )
    assert (change.slug, change.category) == ("a", "image")


def test_a_fingerprint_is_of_the_content_and_not_of_the_spelling():
    def fingerprint(old: Json, new: Json) -> str:
        return only(model_changes("a", old, new, STRICT)).fingerprint

    assert fingerprint(integer(max=4), integer(max=3)) == fingerprint(integer(max=Decimal("4.0")), integer(max=3))
    assert fingerprint(integer(max=4), integer(max=3)) != fingerprint(integer(max=3), integer(max=4))
    assert fingerprint(integer(default=1), integer(default=2)) != fingerprint(integer(default=1), integer(default="2"))
    assert fingerprint(integer(default=1), integer(default=None)) != fingerprint(integer(default=1), integer())


# --- odd things ----------------------------------------------------------------------------------------------------

PROSE = ["at least 1", "", "4", None, True, [], {}, [[1]], {"a": {"b": 1}}, -1, 0, Decimal("1.5"), 10**300]
ATTRIBUTES = [
    "min",
    "max",
    "step",
    "min_length",
    "max_length",
    "values",
    "default",
    "required",
    "type",
    "deprecated",
    "format",
]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("kind", ["integer", "number", "string", "enum", "boolean", "image"])
def test_whatever_stands_where_a_number_should_is_told_and_never_raises(kind, attribute):
    for old in PROSE:
        for new in PROSE:
            before, after = ({"params": {"n": {"type": kind, attribute: value}}} for value in (old, new))
            for change in model_changes("a", before, after, STRICT):
                assert change.path[:4] == ("models", "a", "params", "n")
                assert wording.summary(change)


@pytest.mark.parametrize(
    "body", [None, 5, "a", [], [None], [[1]], {"params": []}, {"params": {"n": []}}, {"category": {}}]
)
def test_a_body_of_any_shape_is_compared(body):
    for other in ({}, integer(), [integer(), {}], body, None):
        for old, new in ((body, other), (other, body)):
            for change in model_changes("a", old, new, STRICT):
                assert change.ops
                assert wording.summary(change)


def test_text_of_the_vendor_cannot_act_in_a_phrase():
    change = only(model_changes("a", {"name": "A"}, {"name": "\x1b[31mB\u202e\n" + "x" * 1000}, STRICT))
    summary = wording.summary(change)
    assert "\x1b" not in summary
    assert "\u202e" not in summary
    assert "\n" not in summary
    assert len(summary) <= 300


def test_of_a_minimum_and_a_step_that_moved_together_only_the_step_is_blamed():
    found = model_changes("a", integer(min=0, step=1), integer(min=-10, step=2), STRICT)
    assert [(change.kind, change.severity) for change in found] == [
        ("param.min.lowered", "additive"),
        ("param.step.raised", "breaking"),
    ]


def test_a_model_that_must_be_sent_a_text_nobody_knows_can_be_called_all_the_same():
    images = {"images": {"type": "array", "required": True, "min_items": 1, "items": text_spec(pattern="^https://")}}
    old, new = ({"params": {**images, **integer(max=n)["params"]}} for n in (4, 3))
    change = only(model_changes("a", old, new, STRICT))
    assert (change.kind, change.severity, change.witness) == ("param.max.lowered", "breaking", None)
    assert "was_uncallable" not in change.detail


def test_a_slug_listed_very_often_is_not_compared_each_with_each():
    many = [integer(max=n) for n in range(60)]
    change = only(model_changes("a", many, [integer(max=n) for n in range(1, 61)], STRICT))
    assert (change.kind, change.decided) == ("catalogue.duplicate-slug.conflicting", False)
