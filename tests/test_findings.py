"""What is odd about one catalogue: each finding by example, the domains by brute force, and the two commands."""

# ruff: noqa: FBT003 - they are JSON's true and false, not flags
from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.cli import findings as shown
from syncd.core import compat, findings
from syncd.core.canon import decode, dumps
from syncd.core.catalog import Catalog, Memo, assemble, document
from syncd.core.findings import FINDINGS, of_catalog, of_model, of_spec
from syncd.core.ordinary_specs import is_ordinary
from syncd.core.routing import Route
from syncd.demo.vendor import SimulatedVendor, sample_models
from tests.conftest import Clock
from tests.program import Home
from tests.test_compat_exhaustive import SPECS, UNIVERSE, accepted, array, enum, integer, number, string
from tests.watching import Watch, listing, model, watching

HALF = Decimal("0.5")
PLACE = "/models/m/params/p"


def of(spec: Any) -> set[tuple[str, str]]:
    """The findings of a parameter, each with where below the parameter it is."""
    return {(found.id, found.place.removeprefix(PLACE)) for found in of_spec(("models", "m", "params", "p"), spec)}


# --- a parameter -----------------------------------------------------------------------------------------------------

REQUIRED = {"required": True}
DEFAULT = ("param.default-out-of-domain", "/default")
EMPTY = ("param.domain-empty", "")
UNPUBLISHED = ("param.values-unpublished", "")
TYPE = ("param.type-unknown", "/type")
UNCALLABLE = ("model.uncallable", "/models/m")

ODD: list[tuple[str, Any, set[tuple[str, str]]]] = [
    ("a default above the maximum", integer(max=4, default=5), {DEFAULT}),
    ("a default below the minimum", integer(min=2, default=1), {DEFAULT}),
    ("a default off the step, however it counts", integer(min=1, step=2, default=Decimal("1.5")), {DEFAULT}),
    ("a default off the step if it counts from zero", integer(min=1, step=2, default=3), set()),
    ("a default off the step if it counts from the minimum", integer(min=1, step=2, default=4), set()),
    ("a default that is not listed", enum("a", "b", default="c"), {DEFAULT}),
    ("a default that is listed as another type", enum(1, 2, default="1"), {DEFAULT}),
    ("a default that is listed as another number", enum(1, 2, default=Decimal("1.0")), set()),
    ("a default that is too long", string(max_length=3, default="four"), {DEFAULT}),
    ("a default that is too short", string(min_length=3, default="a"), {DEFAULT}),
    ("a default that the pattern refuses", string(pattern="^a", default="b"), {DEFAULT}),
    ("a default of the wrong type", integer(default="1"), {DEFAULT}),
    ("a Boolean is no number", integer(default=True), {DEFAULT}),
    ("a default with an element that is refused", array(integer(max=3), default=[1, 4]), {DEFAULT}),
    ("a default for what nobody can judge", {"type": "image", "default": 5}, {TYPE}),
    ("a default of an enum whose values are not published", {"type": "enum", "default": "a"}, {UNPUBLISHED}),
    ("no default", integer(max=4, default=None), set()),
    ("null where it is admitted", integer(max=4, default=None, nullable=True), set()),
    ("a minimum above the maximum", integer(min=4, max=3), {EMPTY}),
    ("crossed, and the default is outside", integer(min=4, max=3, default=4), {EMPTY, DEFAULT}),
    ("crossed, but null is admitted", integer(min=4, max=3, nullable=True), set()),
    ("no whole number in between", integer(min=Decimal("1.25"), max=Decimal("1.75")), {EMPTY}),
    ("a text shorter than it must be long", string(min_length=4, max_length=2), {EMPTY}),
    ("a text of less than nothing", string(max_length=-1), {EMPTY}),
    ("an empty list of values", enum(), {EMPTY}),
    ("values that are not published", {"type": "enum"}, {UNPUBLISHED}),
    ("values that are null", {"type": "enum", "values": None}, {("param.values-unpublished", "/values")}),
    ("a list of nobody says what", {"type": "array", "max_items": 3}, {UNPUBLISHED}),
    ("a list that says it by its name", {"type": "string[]", "max_items": 3}, set()),
    ("a step with nothing on it, if it counts from zero", number(min=1, max=2, step=3), set()),
    ("more elements than are admitted", array(string(), min_items=2, max_items=1), {EMPTY}),
    ("elements that cannot be", array(enum()), {("param.domain-empty", "/items")}),
    ("elements that cannot be and must", array(enum(), min_items=1), {EMPTY, ("param.domain-empty", "/items")}),
    ("what must be sent and cannot be", {**integer(min=4, max=3), **REQUIRED}, {EMPTY, UNCALLABLE}),
    ("required, with a default", {**integer(default=1), **REQUIRED}, {("param.required-with-default", "/default")}),
    ("required, with null for a default", {**integer(default=None), **REQUIRED}, set()),
    ("listed twice", enum("a", "b", "a"), {("param.enum-duplicate", "/values")}),
    ("listed twice in two spellings", enum(1, Decimal("1.0")), {("param.enum-duplicate", "/values")}),
    ("listed as two types", enum(1, "1", True), set()),
    ("a text for a minimum", integer(min="1"), {("param.attr-type-invalid", "/min")}),
    ("a Boolean for a maximum", integer(max=True), {("param.attr-type-invalid", "/max")}),
    ("a step of zero", number(step=0), {("param.attr-type-invalid", "/step")}),
    ("values that are no list", {"type": "enum", "values": "a"}, {("param.attr-type-invalid", "/values")}),
    ("a pattern that cannot be read", string(pattern="("), {("param.attr-type-invalid", "/pattern")}),
    ("a text for required", {**string(), "required": "true"}, {("param.attr-type-invalid", "/required")}),
    ("zero for required", {**string(), "required": 0}, {("param.attr-type-invalid", "/required")}),
    ("a text for nullable", string(nullable="no"), {("param.attr-type-invalid", "/nullable")}),
    ("elements that are no spec", {"type": "array", "items": 5}, {("param.attr-type-invalid", "/items")}),
    ("a maximum of a text", string(max=5), {("param.attr-misplaced", "/max")}),
    ("a length of a list of texts", {"type": "string[]", "max_length": 5}, {("param.attr-misplaced", "/max_length")}),
    ("values of a Boolean", {"type": "boolean", "values": [True]}, {("param.attr-misplaced", "/values")}),
    ("null says nothing anywhere", string(max=None, min=None, max_length=None), set()),
    ("an attribute that is not known", integer(unit="seconds"), {("param.attr-unknown", "/unit")}),
    ("one of the elements", array(string(unit="m")), {("param.attr-unknown", "/items/unit")}),
    ("a type that is not known", {"type": "image", "max": "4", "unit": "px"}, {TYPE}),
    ("a type that is no text", {"type": ["string"]}, {TYPE}),
    ("elements of a type that is not known", array({"type": "image"}), {("param.type-unknown", "/items/type")}),
    ("no type", {"max": 4}, {("param.type-unknown", "")}),
    ("no object", None, {("param.type-unknown", "")}),
    ("a list", ["string"], {("param.type-unknown", "")}),
]


@pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_of_a_parameter(spec, expected):
    assert of(spec) == expected


ORDINARY: list[Any] = [
    *(spec for sample in sample_models() for spec in sample["params"].values()),
    string(description="a text", max_length=0, default=""),
    integer(min=None, max=3, default=3, required=False),
    number(min=0, default=HALF),
    enum("a", default="a", deprecated=True),
    {"type": "select", "values": ["a"]},
    {"type": "float", "min": HALF, "max": HALF},
    {"type": "array", "items": {"type": "integer", "min": 1}, "min_items": 1, "default": [1]},
]


@pytest.mark.parametrize("spec", ORDINARY)
def test_nothing_is_found_where_nothing_is_odd(spec):
    assert of(spec) == set()


def variations() -> Iterator[dict[str, Any]]:
    """Small specs, each with defaults that it admits and refuses, required and not."""
    for spec in SPECS:
        for default in (None, 0, 1, 2, 9, HALF, "", "a", "aaa", True, [], [1]):
            for required in ({}, {"required": None}, {"required": True}, {"required": 1}):
                yield {**(spec or {}), **({} if default is None else {"default": default}), **required}


def test_what_is_left_at_a_glance_has_nothing_that_a_careful_look_would_find():
    left = [spec for spec in variations() if is_ordinary(spec)]
    assert len(left) > 100
    for spec in left:
        assert list(findings._looked_at(("models", "m", "params", "p"), spec)) == [], spec


def test_every_parameter_of_the_documented_models_is_left_at_a_glance():
    assert all(is_ordinary(spec) for sample in sample_models()[:2] for spec in sample["params"].values())


# What syncd cannot read, the other validator may.
SMALL = [n for n, spec in enumerate(SPECS) if spec is not None and compat.domain(spec).decided]


def admitted(of_spec_number: int) -> list[frozenset[int]]:
    """Which values of the universe a spec admits by an unrelated validator, under each reading of the grid."""
    return [requests - {0} for requests in accepted(of_spec_number, required=True)]


@pytest.mark.parametrize("n", SMALL)
def test_a_parameter_is_empty_exactly_if_nothing_is_admitted(n):
    assert (EMPTY in of(SPECS[n])) == (not any(admitted(n)))


@pytest.mark.parametrize("n", SMALL)
def test_a_default_is_odd_exactly_if_it_is_refused(n):
    welcome = frozenset.union(*admitted(n))
    for number_of_value, value in enumerate(UNIVERSE, 1):
        default = Decimal(str(value)) if isinstance(value, float) else value
        if default is not None:
            spec = {**(SPECS[n] or {}), "default": default}
            assert (DEFAULT in of(spec)) == (number_of_value not in welcome), spec


# --- a model ---------------------------------------------------------------------------------------------------------


def found_in(**fields: Any) -> set[tuple[str, str]]:
    """The findings of a model with these fields, each with where in the model it is."""
    body = {"slug": "m", "category": "image", "params": {"n": integer(max=4)}, **fields}
    return {(found.id, found.place.removeprefix("/models/m")) for found in of_model("m", body)}


INVALID = ("model.example-request-invalid", "/example_request")

MODELS: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
    ("nothing", {}, set()),
    ("an unknown category", {"category": "film"}, {("category-unknown", "/category")}),
    ("a category in other letters", {"category": "Image"}, {("category-unknown", "/category")}),
    ("a category that is no text", {"category": ["image"]}, {("category-unknown", "/category")}),
    ("no category", {"category": None}, set()),
    ("a crossed price", {"credits_band": {"min": 9, "max": 3}}, {("credits.band-crossed", "/credits_band")}),
    ("half a price", {"credits_band": {"min": 9}}, {("credits.band-partial", "/credits_band")}),
    ("the other half", {"credits_band": {"max": 9}}, {("credits.band-partial", "/credits_band")}),
    ("a price in words", {"credits_band": "free"}, {("credits.band-invalid", "/credits_band")}),
    ("a negative price", {"credits_band": {"min": -1, "max": 3}}, {("credits.band-invalid", "/credits_band")}),
    ("no price", {"credits_band": {}}, set()),
    ("a good example", {"example_request": {"model": "m", "n": 4}}, set()),
    ("an example that is refused", {"example_request": {"model": "m", "n": 5}}, {INVALID}),
    ("an example with what the model does not know", {"example_request": {"model": "m", "q": 1}}, {INVALID}),
    (
        "an example without what must be sent",
        {"example_request": {"model": "m"}, "params": {"n": {**integer(), **REQUIRED}}},
        {INVALID},
    ),
    ("an example of another type", {"example_request": "m"}, {INVALID}),
    (
        "an example that cannot be judged",
        {"example_request": {"model": "m", "n": 1}, "params": {"n": {"type": "image"}}},
        {("param.type-unknown", "/params/n/type")},
    ),
    ("an example of a model without a schema", {"example_request": {"model": "m", "n": 1}, "params": None}, set()),
    (
        "an example for another model",
        {"example_request": {"model": "M"}},
        {("model.example-slug-mismatch", "/example_request/model")},
    ),
    ("an example for no model", {"example_request": {}}, {("model.example-slug-mismatch", "/example_request")}),
    ("no schema", {"params": None}, set()),
]


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in MODELS], ids=[row[0] for row in MODELS])
def test_of_a_model(fields, expected):
    assert found_in(**fields) == expected


def test_every_mistake_of_an_example_has_its_sentence():
    body = {"slug": "m", "params": {"n": integer(max=4), "s": string(max_length=2)}}
    (found,) = of_model("m", {**body, "example_request": {"model": "m", "n": 5, "s": "long", "q": 1}})
    assert found.what == ("n is 5, the most is 4; s has 4 characters, the most is 2; q is no parameter of the model")


def test_contents_that_conflict_are_looked_at_one_by_one():
    good = {"slug": "a/b", "params": {}}
    crossed = {**good, "params": {"n": {**integer(min=4, max=3), **REQUIRED}}}
    assert [(found.id, found.place) for found in of_model("a/b", [good, crossed])] == [
        ("catalogue.duplicate-slug.conflicting", "/models/a~1b"),
        ("param.domain-empty", "/models/a~1b/1/params/n"),
        ("model.uncallable", "/models/a~1b/1"),
    ]


# --- a catalogue -----------------------------------------------------------------------------------------------------


def catalog(*models: Any, **account: Any) -> Catalog:
    return assemble(account, [dumps(one).encode() for one in models], Memo())


def test_of_a_catalogue():
    limits = {"calls_per_minute": -1, "concurrent_jobs": "5", "other": "x"}
    one = catalog({"slug": "a"}, {"name": "no slug"}, {"slug": "a"}, {"slug": "A "}, {"slug": "b"}, rate_limit=limits)
    assert [(found.id, found.place) for found in of_catalog(one)] == [
        ("account.limit-invalid", "/rate_limit/calls_per_minute"),
        ("account.limit-invalid", "/rate_limit/concurrent_jobs"),
        ("model.unkeyable", "/models/1"),
        ("catalogue.duplicate-slug.identical", "/models/2"),
        ("catalogue.slug-near-collision", "/models/A "),
        ("catalogue.slug-near-collision", "/models/a"),
    ]


@pytest.mark.parametrize(
    "limits", [None, {}, {"calls_per_minute": None}, {"calls_per_minute": 0, "concurrent_jobs": HALF}]
)
def test_limits_that_are_none_or_could_be(limits):
    assert of_catalog(catalog(rate_limit=limits)) == []


def test_limits_that_are_no_object():
    assert [found.id for found in of_catalog(catalog(rate_limit=[5]))] == ["account.limit-invalid"]


def test_different_contents_are_found_once():
    found = of_catalog(catalog({"slug": "a"}, {"slug": "a", "name": "A"}))
    assert [(one.id, one.place) for one in found] == [("catalogue.duplicate-slug.conflicting", "/models/a")]


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("wan-2.7", "Wan-2.7", True),
        ("wan", " wan", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("stra\u00dfe", "STRASSE", True),
        ("wan-2.7", "wan-2.6", False),
        ("wan-2", "wan_2", False),
    ],
)
def test_slugs_that_a_person_takes_for_one_another(a, b, alike):
    ids = [found.id for found in of_catalog(catalog({"slug": a}, {"slug": b}))]
    assert ids == ["catalogue.slug-near-collision"] * 2 * alike


def test_nothing_is_odd_about_the_sample_catalogue():
    models = decode(json.dumps(sample_models())).value
    assert of_catalog(catalog(*models, rate_limit={"calls_per_minute": 240})) == []


def test_every_finding_has_its_example():
    shown_here = {kind for _, _, found in (*ODD, *MODELS) for kind, _ in found}
    whole = {
        *("account.limit-invalid", "model.unkeyable", "catalogue.slug-near-collision"),
        *("catalogue.duplicate-slug.identical", "catalogue.duplicate-slug.conflicting"),
    }
    assert shown_here | whole == FINDINGS.keys()


TEXTS = st.text(max_size=4) | st.sampled_from(["type", "\x1b[31m", "\u202e", "a/b~c", "p" * 600])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=2) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*compat.CONSTRAINTS, *compat.ANNOTATIONS, "nullable", "format", "constructor"])
HOSTILE_SPEC = st.deferred(
    lambda: st.dictionaries(NAMES, JSON, max_size=6).flatmap(
        lambda spec: st.sampled_from([*compat.ALIASES, "string[]", "image", None]).map(
            lambda kind: {**spec, "type": kind}
        )
    )
)
HOSTILE = st.fixed_dictionaries(
    {"params": st.dictionaries(TEXTS, HOSTILE_SPEC | JSON, max_size=3) | JSON},
    optional={"credits_band": JSON, "category": JSON, "example_request": JSON, "slug": JSON},
)


@settings(max_examples=300, deadline=None)
@given(HOSTILE, TEXTS)
def test_whatever_a_vendor_lists_can_be_looked_at(body, slug):
    body = decode(dumps({**body, "slug": slug or "s"})).value
    slug = body["slug"]
    whole = {"models": {slug: body}}
    for found in of_model(slug, body):
        assert found.id in FINDINGS
        assert found.what
        assert "\n" not in found.what
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", found.what)
        assert len(found.what) < 2000
        assert leads_somewhere(whole, found.place), found


def leads_somewhere(at: Any, place: str) -> bool:
    """Whether a JSON Pointer finds something in a document."""
    for segment in place.split("/")[1:]:
        name = segment.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list):
            at = at[int(name)]
        elif isinstance(at, dict) and name in at:
            at = at[name]
        else:
            return False
    return True


def test_places_of_conflicting_contents_lead_into_the_document():
    one = catalog({"slug": "a", "params": {"n": enum()}}, {"slug": "a", "params": {"n": {}}})
    assert all(leads_somewhere(document(one), found.place) for found in of_catalog(one))


# --- what is stored --------------------------------------------------------------------------------------------------

CROSSED = model("crossed", params={"n": integer(min=4, max=3)}, example_request=None)
FILM = model("film", category="film", params={}, example_request=None)
CALM = model("calm", params={}, example_request=None)


@pytest.fixture
def watch(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("all", "console")]) as watch:
        yield watch


def rows(watch: Watch, **chosen: Any) -> list[tuple[Any, ...]]:
    with watch.store.read() as connection:
        found = shown.rows(connection, key=chosen.get("key"), category=chosen.get("category"))
    return [tuple(row[name] for name in ("key_name", "slug", "finding", "place")) for row in found]


def test_the_findings_of_every_key(watch):
    watch.answer("prod", listing(CROSSED, FILM, CALM, {**CALM, "slug": "CALM"}))
    watch.answer("test", listing(CROSSED, rate_limit={"calls_per_minute": -1}))
    empty = ("param.domain-empty", "/models/crossed/params/n")
    film = ("prod", "film", "category-unknown", "/models/film/category")
    alike = [("prod", slug, "catalogue.slug-near-collision", f"/models/{slug}") for slug in ("CALM", "calm")]
    limit = ("test", None, "account.limit-invalid", "/rate_limit/calls_per_minute")
    prod, test = ("prod", "crossed", *empty), ("test", "crossed", *empty)
    assert sorted(rows(watch), key=repr) == sorted([*alike, prod, film, limit, test], key=repr)
    assert rows(watch, key="test") == [limit, test]
    assert rows(watch, key="test", category="image") == [test]
    assert rows(watch, category="film") == [film]
    assert rows(watch, key="nobody") == []


def test_findings_are_those_of_now(watch):
    watch.answer("prod", listing(CROSSED, FILM))
    watch.clock.advance(hours=1)
    watch.answer("prod", listing({**CROSSED, "params": {}}, FILM))
    assert [row[1] for row in rows(watch)] == ["film"]
    watch.clock.advance(hours=1)
    watch.answer("prod", listing())
    assert [row[1] for row in rows(watch)] == ["film"], "its removal is held"
    watch.retire("prod")
    assert rows(watch) == []


def test_an_example_that_is_wrong_throughout_is_told_in_a_few_words():
    sent = {f"n{n}": n for n in range(500)}
    (found,) = of_model("m", {"slug": "m", "params": {}, "example_request": {"model": "m", **sent}})
    assert found.id == "model.example-request-invalid"
    assert found.what.startswith("n0 is no parameter of the model; n1 is")
    assert found.what.endswith("n7 is no parameter of the model; 492 more")


def test_what_is_listed_twice_is_found_in_what_was_kept(watch):
    watch.answer("prod", listing(CALM, {**CALM, "name": "another"}))
    assert rows(watch) == [("prod", "calm", "catalogue.duplicate-slug.conflicting", "/models/calm")]


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, vendor: SimulatedVendor) -> Home:
    vendor.keys.clear()
    return Home(tmp_path, vendor, "prod")


def test_models_with_findings(home):
    assert home.run("once").code == 0
    silent = home.run("models", "--findings", "--format", "table")
    assert (silent.code, silent.out, silent.err) == (0, "", "nothing to show\n")
    home.account("prod").models[0]["params"]["number_results"]["default"] = 9
    home.account("prod").models[1]["category"] = "\x1b[31mfilm"
    home.run("once")

    table, lines, as_csv, image, then = home.run_all(
        ("models", "--findings", "--format", "table"),
        ("models", "--findings", "--format", "jsonl"),
        ("models", "--findings", "--format", "csv"),
        ("models", "--findings", "--category", "image", "--key", "prod", "--format", "json"),
        ("models", "--findings", "--at", "7d"),
    )

    assert {table.code, lines.code, as_csv.code, image.code} == {0}
    assert "\x1b" not in table.out
    default = {
        "key_name": "prod",
        "slug": "grok-imagine-image-quality",
        "finding": "param.default-out-of-domain",
        "place": "/models/grok-imagine-image-quality/params/number_results/default",
        "what": "the default is 9, the most is 4",
    }
    assert json.loads(lines.out.splitlines()[0]) == default
    assert [row["finding"] for row in csv.DictReader(io.StringIO(as_csv.out))] == [
        "param.default-out-of-domain",
        "category-unknown",
    ]
    assert json.loads(image.out) == [default]
    assert (then.code, then.out) == (2, "")
    assert then.err == "syncd: --findings is about the catalogue as it is now; leave out --at\n"


def test_check_online_tells_of_findings_and_is_well_all_the_same(home):
    odd = [{"slug": f"odd-{n}", "category": "film"} for n in range(11)]
    home.account("prod").models += [*odd, {"name": "\x1b[31mno slug"}]

    checked = home.run("check", "--online")

    said = [line.removeprefix("finding").strip() for line in checked.out.splitlines() if line.startswith("finding")]
    assert checked.code == 0
    assert said[0] == "model.unkeyable at /models/17: model left out: no slug"
    assert said[1].startswith('category-unknown at /models/odd-0/category: "film" is none of image, ')
    assert (len(said), said[-1]) == (11, "and 2 more: syncd models --findings")
    assert checked.out.splitlines()[-1] == "all is well"
    assert not home.file.exists()
