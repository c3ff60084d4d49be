"""The laws of changes and severities (syncd/core/changes), on whole models with many parameters at once.

L9   the changes back are the changes there, each under its inverse id
L10  what is on both sides adds nothing        L12  other names change nothing but names
L11  two steps that break nothing break nothing together
T1   nothing breaking and all decided: every request of the old schema is one of the new
T2   all decided: breaking exactly if some request is lost, and its witness is one, says jsonschema
T3   nothing breaking, nothing risky: a default that somebody relies on has not moved
T4   nothing risky about the price: no price is higher      T5   nor a limit lower       T6   nor a model gone
"""

from __future__ import annotations

import copy
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from syncd.core import compat, credits
from syncd.core.canon import MISSING, canonical, decode
from syncd.core.catalog import Catalog
from syncd.core.changes import Before, Change, Policy, diff, model_changes
from syncd.core.changes.likeness import MOST_PAIRS
from syncd.core.rules import RULES
from tests import test_compat_exhaustive as gate
from tests.test_ops_laws import (
    BOUNDS,
    STEPS,
    VALUES,
    Listing,
    bands,
    catalog,
    draws,
    edit_model,
    edited,
    laws,
    listings,
    pairs,
    record,
    seeds,
)

POLICY: Final = Policy()


def between(a: Catalog, b: Catalog) -> list[Change]:
    return diff(Before(a.account, a.models), b, POLICY)


def catalogs(*listed: Listing) -> list[Catalog]:
    return [catalog(listing, random.Random(n)) for n, listing in enumerate(listed)]  # noqa: S311 - a vendor's order


# --- L9 to L12, L14 ------------------------------------------------------------------------------------------------

Identity = tuple[tuple[str, ...], str, str, str]


def stem(kind: str) -> str:
    """Ids that are one another's inverse only up to what the other side knows."""
    kind = kind.removesuffix("-with-default").removesuffix(".required").removesuffix(".optional")
    same = {
        "catalogue.duplicate-slug.resolved": "catalogue.duplicate-slug.conflicting",
        "model.returned": "model.added",
    }
    return same.get(kind, kind.replace(".zeroed", ".lowered"))


def identity(change: Change, *, inverted: bool) -> Identity:
    before, after = ("" if side is MISSING else canonical(side) for side in (change.before, change.after))
    kind, path = stem(change.kind), change.path
    if not inverted:
        return path, kind, before, after
    if change.kind == "param.renamed":
        path = (*path[:3], change.detail["replacement"])
    return path, stem(RULES[change.kind].inverse), after, before


@laws
@given(draws)
def test_l9_the_changes_back_are_the_inverse_of_the_changes_there(pair):
    a, b = catalogs(*pair)
    there = Counter(identity(change, inverted=True) for change in between(a, b))
    back = Counter(identity(change, inverted=False) for change in between(b, a))
    assert there == back


@laws
@given(draws)
def test_l10_what_stands_on_both_sides_adds_nothing(pair):
    extra = {"slug": "unrelated", "creator": "nobody", "params": {"only": {"type": "integer", "min": 3}}}
    a, b, more_a, more_b = catalogs(*pair, *((account, [*listed, extra]) for account, listed in pair))
    assert [(c.kind, c.pointer, c.severity, c.witness) for c in between(a, b)] == [
        (c.kind, c.pointer, c.severity, c.witness) for c in between(more_a, more_b)
    ]


@laws
@given(pairs, seeds)
def test_l11_two_steps_that_break_nothing_break_nothing_together(pair, seed):
    a, b, c = catalogs(*pair, edited(pair[1], random.Random(seed)))  # noqa: S311 - a vendor's edit
    first, second, both = between(a, b), between(b, c), between(a, c)
    assume(all(change.decided for change in (*first, *second)))
    if not any(change.severity == "breaking" for change in (*first, *second)):
        # A plan that goes down by way of a name nobody knows was undecided in both steps.
        assert not any(change.severity == "breaking" and change.kind != "account.tier.changed" for change in both)


@laws
@given(draws)
def test_l12_other_slugs_and_names_change_nothing_else(pair):
    def renamed(listing: Listing) -> Listing:
        account, listed = copy.deepcopy(listing)
        for model in listed:
            if isinstance(model.get("slug"), str):
                model["slug"] = "zz" + model["slug"]
            if isinstance(model.get("params"), dict):
                model["params"] = {"zz" + name: spec for name, spec in model["params"].items()}
        return account, listed

    def told(found: list[Change]) -> Counter[Any]:
        # Which names are alike decides which renames are claimed, so of those only the severities are compared.
        return Counter((change.kind, change.severity) for change in found if "renamed" not in change.kind)

    a, b, other_a, other_b = catalogs(*pair, *map(renamed, pair))
    found, other = between(a, b), between(other_a, other_b)
    assume(all("renamed" not in change.kind for change in (*found, *other)))
    assert told(found) == told(other)


@laws
@given(listings)
def test_l14_the_canonical_text_of_a_canonical_text_is_itself(listing):
    (found,) = catalogs(listing)
    for listed in found.models.values():
        once = canonical(listed.body())
        assert canonical(decode(once).value) == once


# --- T1, T2: many parameters at once, by an unrelated validator ---------------------------------------------------

bounds = st.sampled_from(BOUNDS)
strings = st.sampled_from([value for value in VALUES if isinstance(value, str)])
decidable = st.one_of(
    record(type=st.just("integer"), min=bounds, max=bounds),
    record(type=st.just("number"), min=bounds, max=bounds, step=st.sampled_from([MISSING, MISSING, *STEPS])),
    record(type=st.just("integer"), max=bounds, step=st.sampled_from(STEPS)),
    record(type=st.just("string"), min_length=st.integers(0, 3), max_length=st.integers(0, 4)),
    record(type=st.just("enum"), values=st.lists(st.sampled_from(VALUES), max_size=4)),
    record(type=st.just("boolean"), nullable=st.booleans()),
    record(type=st.just("string[]"), min_items=st.integers(0, 1), max_items=st.integers(0, 2)),
)
with_use = st.builds(
    lambda spec, required, default: {**spec, **required, **default},
    decidable,
    st.sampled_from([{}, {}, {"required": True}, {"required": False}]),
    st.sampled_from([{}, {}, {"default": 1}, {"default": "1K"}]),
)
schemas = st.dictionaries(st.sampled_from(["n", "size", "seed", "mode"]), with_use, max_size=4)


def edited_schema(params: dict[str, Any], seed: int) -> dict[str, Any]:
    model: dict[str, Any] = {"slug": "m", "params": copy.deepcopy(params)}
    edit_model({}, [model], random.Random(seed))  # noqa: S311 - a vendor's edit
    return model["params"] if isinstance(model.get("params"), dict) else {}


schema_pairs = st.builds(lambda params, seed: (params, edited_schema(params, seed)), schemas, seeds)


def translated(params: Mapping[str, Any]) -> dict[str, Any]:
    """The request's schema, by the gate's translation, which has nothing of ours."""
    return {
        "type": "object",
        "properties": {name: gate._schema(spec) for name, spec in params.items()},
        "required": [name for name, spec in params.items() if spec.get("required") is True],
        "additionalProperties": False,
    }


def is_plain(params: Mapping[str, Any]) -> bool:
    """Whether JSON Schema reads the specs as syncd does: all well-formed, no grid that may begin at a minimum."""
    return all(
        isinstance(spec, dict)
        and compat.domain(spec).decided
        and not compat.anchors_matter(spec)
        and isinstance(spec.get("required", False), bool | None)
        for spec in params.values()
    )


NUMBERS: Final = [Decimal(n) / 2 for n in range(-40, 41)]


def probes(spec: Mapping[str, Any]) -> list[Any]:
    """Values around every edge there is, and those that the spec lists."""
    texts = ["a" * length for length in range(6)]
    return [*NUMBERS, *texts, *spec.get("values", ()), True, False, None, [], ["a"], ["a", "a"], ["a"] * 3]


def requests(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Requests of the old schema: the smallest, and each parameter at all its probes beside it."""
    found = compat.minimal_request(old, {}, lambda name: compat.domain(old[name]))
    if found is None:
        return []
    smallest = dict(found.values)
    values = {name: [*probes(spec), *probes(new.get(name) or {})] for name, spec in old.items()}
    return [smallest, *({**smallest, name: value} for name, some in values.items() for value in some)]


def lost(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    before, after = (jsonschema.Draft202012Validator(translated(side)) for side in (old, new))
    plain = [{name: gate.plain(value) for name, value in request.items()} for request in requests(old, new)]
    return [request for request in plain if before.is_valid(request) and not after.is_valid(request)]


@laws
@given(st.one_of(schema_pairs, schema_pairs, st.tuples(schemas, schemas)))
def test_t1_and_t2_breaking_is_what_jsonschema_finds_lost(pair):
    old, new = pair
    assume(is_plain(old) and is_plain(new))
    found = model_changes("m", {"params": old}, {"params": new}, POLICY)
    assert all(change.decided for change in found)
    breaking = [change for change in found if change.severity == "breaking"]
    assert bool(breaking) == bool(lost(old, new))
    before, after = (jsonschema.Draft202012Validator(translated(side)) for side in (old, new))
    for change in breaking:
        assert change.witness is not None
        witness = {name: gate.plain(value) for name, value in change.witness.items()}
        assert before.is_valid(witness)
        assert not after.is_valid(witness)


@laws
@given(schema_pairs)
def test_t3_where_nothing_is_risky_no_default_moved_that_a_request_relies_on(pair):
    old, new = pair
    found = model_changes("m", {"params": old}, {"params": new}, POLICY)
    if any(change.severity in ("breaking", "risky") for change in found):
        return
    for name in old.keys() & new.keys():
        default = old[name].get("default") if isinstance(old[name], dict) else None
        if default is not None and not (compat.is_required(old[name]) and compat.is_required(new[name])):
            assert canonical(default) == canonical(new[name].get("default"))


# --- T4 to T6 ------------------------------------------------------------------------------------------------------

EDGES: Final[tuple[Any, ...]] = (None, 0, 1, 2, 3, Decimal("2.5"), -1, "2", True)
SMALL_BANDS: Final[list[Any]] = [
    *({"min": low, "max": high} for low in EDGES for high in EDGES),
    *({"min": low} for low in EDGES),
    *({"max": high} for high in EDGES),
    *(None, {}, [], "80", 80),
]


def test_every_move_between_small_bands_has_one_outcome_and_its_inverse():
    for a, b in itertools.product(map(credits.read_band, SMALL_BANDS), repeat=2):
        there, back = (f"credits.band.{credits.outcome(*sides)}" for sides in ((a, b), (b, a)))
        assert RULES[there].inverse == back
        assert RULES[there].severity is not None


def test_t4_what_is_not_risky_raises_no_price():
    for a, b in itertools.product(map(credits.read_band, SMALL_BANDS), repeat=2):
        if a.form == b.form == "ok" and RULES[f"credits.band.{credits.outcome(a, b)}"].severity != "risky":
            assert b.high <= a.high
            assert b.low <= a.low


@laws
@given(bands, bands)
def test_any_two_bands_are_one_change_or_none(a, b):
    found = model_changes("m", {"credits_band": a}, {"credits_band": b}, POLICY)
    assert len(found) == (canonical(a) != canonical(b))


LIMITS: Final[tuple[Any, ...]] = (MISSING, None, 0, 1, 2, Decimal("1.5"), -1, "60", True)


@pytest.mark.parametrize("name", ["calls_per_minute", "concurrent_jobs"])
def test_t5_what_neither_breaks_nor_is_risky_lowers_no_limit(name):
    for old, new in itertools.product(LIMITS, repeat=2):
        a, b = (
            catalog(({"rate_limit": {} if limit is MISSING else {name: limit}}, []), random.Random(0))  # noqa: S311
            for limit in (old, new)
        )
        if all(change.severity not in ("breaking", "risky") for change in between(a, b)):
            assert old in (MISSING, None) or canonical(old) == canonical(new) or new >= old


@laws
@given(draws)
def test_t6_where_nothing_breaks_no_model_is_gone(pair):
    a, b = catalogs(*pair)
    if not any(change.severity == "breaking" for change in between(a, b)):
        assert a.models.keys() <= b.models.keys()


def test_a_list_that_is_replaced_whole_explains_nothing_and_takes_no_time():
    side = int(MOST_PAIRS**0.5) + 1
    a, b = (
        catalog(({}, [{"slug": f"{name}-{n}", "creator": "x", "params": {}} for n in range(side)]), random.Random(0))  # noqa: S311
        for name in ("old", "new")
    )
    assert not any("replacement" in change.detail for change in between(a, b))
