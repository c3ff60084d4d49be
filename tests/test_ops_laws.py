"""The laws of the operations (syncd/core/ops.py), on whole catalogues.

The second catalogue is an edit of the first, as a vendor would make: two independent draws hardly ever differ in one
leaf, and that is where the mistakes are. Catalogues are put together from shuffled texts, as from an answer.
"""

# ruff: noqa: S311 - random is what a vendor does
from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.core.canon import MISSING, canonical, decode, dumps, same
from syncd.core.catalog import Catalog, Listed, Memo, assemble, bodies, document
from syncd.core.changes import Before, Policy, diff, model_changes
from syncd.core.ops import Op, apply, in_order, invert, ops

# The same examples in every run: a failure here is a mistake in what was just changed, not bad luck.
laws = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

# --- catalogues ----------------------------------------------------------------------------------------------------

VALUES = ["1K", "1k", "1:1", "a.b", "", True, 1, 2, Decimal("2.0"), None, "true", "1"]
STEPS = [1, 2, 3, 4, 6, Decimal("0.5"), Decimal("1.5")]
BOUNDS = list(range(-3, 13))
SLUGS = ["fal-ai/flux.2", "fal-ai~flux", "a", "A", "models", "*", "öl/é"]
NAMES = ["n", "size", "sizes", "a/b", "~", "values", "type", "params"]
ODD = [None, True, False, 0, 1, "4", [], {}, [1], {"a": {"b": [1, True]}}, Decimal("4.0"), 10**30]

Model = dict[str, Any]
Account = dict[str, Any]
Listing = tuple[Account, list[Model]]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy's values, null, or MISSING for no key at all."""
    return st.one_of(st.just(MISSING), strategy, st.none())


def record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields).map(lambda found: {k: v for k, v in found.items() if v is not MISSING})


odd = st.sampled_from(ODD).map(copy.deepcopy)
values = st.lists(st.sampled_from(VALUES), max_size=6)
bounds = st.sampled_from(BOUNDS)
specs = record(
    type=maybe(
        st.sampled_from(
            [
                "integer",
                "int",
                "number",
                "string",
                "enum",
                "select",
                "boolean",
                "image",
                "array",
                "string[]",
                "integer[]",
            ]
        )
    ),
    required=maybe(st.booleans()),
    default=maybe(st.sampled_from(VALUES)),
    min=maybe(bounds),
    max=maybe(bounds),
    step=st.one_of(st.just(MISSING), st.sampled_from(STEPS)),
    min_length=st.one_of(st.just(MISSING), bounds),
    max_length=st.one_of(st.just(MISSING), bounds),
    values=maybe(values),
    description=maybe(st.sampled_from(["How many", "how many "])),
    pattern=st.one_of(st.just(MISSING), st.sampled_from(["^a", ".*", "(?=a)", "[", None])),
    nullable=st.one_of(st.just(MISSING), st.just(MISSING), st.sampled_from([True, False, None, "yes"])),
    items=st.one_of(
        st.just(MISSING),
        st.just(MISSING),
        st.sampled_from([{"type": "string"}, {"type": "integer", "min": 1, "max": 3}, {"type": "boolean"}, None, []]),
    ),
    min_items=st.one_of(st.just(MISSING), st.just(MISSING), st.sampled_from([0, 1, 2])),
    max_items=st.one_of(st.just(MISSING), st.just(MISSING), st.sampled_from([0, 1, 2, 3])),
    format=st.one_of(st.just(MISSING), st.just(MISSING), st.just("uri")),
)
params = st.dictionaries(st.sampled_from(NAMES), st.one_of(specs, specs, specs, odd), max_size=4)
bands = st.one_of(record(min=maybe(bounds), max=maybe(bounds)), odd)
models = record(
    slug=st.sampled_from(SLUGS),
    name=maybe(st.sampled_from(["Flux", "flux"])),
    category=maybe(st.sampled_from(["image", "video"])),
    params=st.one_of(params, params, params, odd),
    credits_band=st.one_of(st.just(MISSING), bands),
    status=st.one_of(st.just(MISSING), odd),
)
accounts = record(
    tier=maybe(st.sampled_from(["pro", "Pro", "ultimate", "free", "gold"])),
    rate_limit=st.one_of(
        st.just(MISSING),
        record(calls_per_minute=maybe(bounds), concurrent_jobs=maybe(bounds), burst=maybe(bounds)),
        odd,
    ),
    beta=st.one_of(st.just(MISSING), odd),
)
listings = st.tuples(accounts, st.lists(models, max_size=5))


def edited(listing: Listing, rng: random.Random) -> Listing:
    """The listing after one to four small changes."""
    account, listed = copy.deepcopy(listing)
    for _ in range(rng.randint(1, 4)):
        rng.choice([edit_account, edit_models, edit_model, edit_model, edit_model, edit_model])(account, listed, rng)
    return account, listed


def edit_account(account: Account, _: list[Model], rng: random.Random) -> None:
    edit_leaf(account, rng)


def edit_models(_: Account, listed: list[Model], rng: random.Random) -> None:
    match rng.choice(["drop", "duplicate", "again", "rename"]):
        case "drop" if listed:
            listed.pop(rng.randrange(len(listed)))
        case "duplicate" if listed:
            again = copy.deepcopy(rng.choice(listed))
            edit_leaf(again, rng)
            listed.append(again)
        case "again" if listed:
            listed.append(copy.deepcopy(rng.choice(listed)))
        case "rename" if listed:
            rng.choice(listed)["slug"] = rng.choice(SLUGS)
        case _:
            listed.append({"slug": rng.choice(SLUGS), "params": {}})


def edit_model(_: Account, listed: list[Model], rng: random.Random) -> None:
    if not listed:
        return
    model = rng.choice(listed)
    params = model.get("params")
    if not isinstance(params, dict) or rng.random() < 0.2:
        edit_leaf(model, rng, spared="slug")
    elif rng.random() < 0.2:
        params[rng.choice(NAMES)] = {"type": "integer", "required": rng.random() < 0.5}
    elif params and rng.random() < 0.1:
        del params[rng.choice(sorted(params))]
    elif params:
        spec = params[rng.choice(sorted(params))]
        edit_leaf(spec if isinstance(spec, dict) else model, rng, spared="slug")


def edit_leaf(fields: dict[str, Any], rng: random.Random, spared: str = "") -> None:
    keys = sorted(fields.keys() - {spared})
    if not keys:
        fields["extra"] = 1
        return
    key = rng.choice(keys)
    value = fields[key]
    if rng.random() < 0.15:
        del fields[key]
    elif isinstance(value, dict) and value and rng.random() < 0.9:
        edit_leaf(value, rng)
    elif rng.random() < 0.15:
        fields[key] = copy.deepcopy(rng.choice(ODD))
    else:
        fields[key] = moved(value, rng)


def moved(value: Any, rng: random.Random) -> Any:
    """The value's neighbour: a bound within three, another case, another spelling or type, a list edited."""
    match value:
        case bool():
            return rng.choice([not value, int(value), None])
        case int() | Decimal():
            return rng.choice(
                [value + rng.randint(-3, 3), Decimal(f"{value}.0") if isinstance(value, int) else value, value == 1]
            )
        case str():
            return rng.choice([value.swapcase(), value + " ", None])
        case list():
            return edited_list(value, rng)
    return rng.choice([{}, 1, "x"])


def edited_list(values: list[Any], rng: random.Random) -> list[Any]:
    changed = list(values)
    match rng.choice(["drop", "add", "duplicate", "shuffle", "move"]):
        case "drop" if changed:
            changed.pop(rng.randrange(len(changed)))
        case "duplicate" if changed:
            changed.insert(rng.randint(0, len(changed)), rng.choice(changed))
        case "shuffle":
            rng.shuffle(changed)
        case "move" if changed:
            changed[rng.randrange(len(changed))] = rng.choice(VALUES)
        case _:
            changed.insert(rng.randint(0, len(changed)), rng.choice(VALUES))
    return changed


def catalog(listing: Listing, rng: random.Random) -> Catalog:
    """As read from an answer that lists models and keys in any order."""
    account, listed = listing
    raws = [dumps(shuffled(model, rng)).encode() for model in listed]
    rng.shuffle(raws)
    return assemble(account, raws, Memo())


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(element, rng) for element in value] if isinstance(value, list) else value


seeds = st.integers(0, 2**32)
pairs = st.builds(lambda first, seed: (first, edited(first, random.Random(seed))), listings, seeds)
draws = st.one_of(pairs, pairs, pairs, pairs, st.tuples(listings, listings))


def documents(*listed: Listing) -> list[Any]:
    return [document(catalog(listing, random.Random(n))) for n, listing in enumerate(listed)]


# --- L1 to L7 ------------------------------------------------------------------------------------------------------


@laws
@given(listings)
def test_l1_nothing_differs_from_itself_nor_from_its_round_trip_through_json(listing):
    (a,) = documents(listing)
    assert ops(a, a) == []
    assert ops(a, decode(dumps(a)).value) == []
    assert ops(a, decode(canonical(a)).value) == []


@laws
@given(draws)
def test_l2_the_operations_lead_from_the_first_to_the_second(pair):
    a, b = documents(*pair)
    assert same(apply(a, ops(a, b)), b)


@laws
@given(draws)
def test_l2_applying_leaves_the_document_alone(pair):
    a, b = documents(*pair)
    kept = dumps(a)
    apply(a, ops(a, b))
    assert dumps(a) == kept


@laws
@given(draws)
def test_l3_the_inverse_is_what_leads_back(pair):
    a, b = documents(*pair)
    assert invert(ops(a, b)) == ops(b, a)
    assert in_order(ops(a, b)) == ops(a, b)


@laws
@given(draws)
def test_l4_there_and_back_is_where_it_began(pair):
    a, b = documents(*pair)
    found = ops(a, b)
    assert same(apply(apply(a, found), invert(found)), a)


@laws
@given(pairs, seeds)
def test_l5_two_ways_in_a_row_lead_to_the_end(pair, seed):
    third = edited(pair[1], random.Random(seed))
    a, b, c = documents(*pair, third)
    assert same(apply(apply(a, ops(a, b)), ops(b, c)), c)


@laws
@given(draws, seeds)
def test_l6_the_order_of_keys_and_models_means_nothing_even_with_a_slug_twice(pair, seed):
    account, listed = pair[0]
    again = [model for each in listed for model in edited(({}, [each]), random.Random(seed))[1]]
    one, other = (catalog((account, [*listed, *again]), random.Random(n)) for n in (seed, seed + 1))
    assert one.digest == other.digest
    assert ops(document(one), document(other)) == []
    assert {slug: each.digest for slug, each in one.models.items()} == {
        s: each.digest for s, each in other.models.items()
    }


@laws
@given(draws)
def test_l7_every_differing_leaf_lies_under_exactly_one_operation_and_no_equal_one_does(pair):
    a, b = documents(*pair)
    found = {op.path for op in ops(a, b)}
    leaves_a, leaves_b = leaves(a), leaves(b)
    for path in leaves_a.keys() | leaves_b.keys():
        if all(isinstance(at(side, path), dict) for side in (a, b)):
            continue  # an object that is empty on one side only: its keys are what differs
        differs = not same(leaves_a.get(path, MISSING), leaves_b.get(path, MISSING))
        covering = [above for above in found if path[: len(above)] == above]
        assert len(covering) == (1 if differs else 0), path


def leaves(node: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Everything that is no object, and empty objects, by path."""
    if not isinstance(node, dict) or not node:
        return {path: node}
    return {where: leaf for key, child in node.items() for where, leaf in leaves(child, (*path, key)).items()}


def at(node: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        node = node.get(key, MISSING) if isinstance(node, dict) else MISSING
    return node


# --- L8 ------------------------------------------------------------------------------------------------------------


def owned(before: Catalog, after: Catalog) -> list[Op]:
    found = diff(Before(before.account, before.models), after, Policy())
    assert all(change.ops for change in found)
    return in_order(op for change in found for op in change.ops)


@laws
@given(draws)
def test_l8_every_operation_belongs_to_exactly_one_change(pair):
    before, after = (catalog(listing, random.Random(n)) for n, listing in enumerate(pair))
    assert owned(before, after) == ops(document(before), document(after))


@laws
@given(pairs)
def test_l8_what_came_back_owns_its_arrival_and_what_changed_meanwhile(pair):
    gone, after = (catalog(listing, random.Random(n)) for n, listing in enumerate(pair))
    found = diff(Before(after.account, {}, gone.models), after, Policy())
    arrived = [change for change in found if change.kind in ("model.added", "model.returned")]
    meanwhile = [change for change in found if change not in arrived]
    assert {change.slug for change in arrived} == set(after.models)
    assert [change.slug for change in arrived if change.kind == "model.returned"] == sorted(
        after.models.keys() & gone.models.keys()
    )
    assert all(change.detail["after_absence"] for change in meanwhile)
    expected = {slug: gone.models[slug].body() for slug in after.models.keys() & gone.models.keys()}
    assert in_order(op for change in meanwhile for op in change.ops) == [
        op for slug in sorted(expected) for op in ops(expected[slug], after.models[slug].body(), ("models", slug))
    ]


@laws
@given(draws)
def test_an_incomplete_listing_proves_no_absence(pair):
    before, after = (catalog(listing, random.Random(n)) for n, listing in enumerate(pair))
    partial = Catalog(after.digest, after.account, after.models, complete=False)
    kinds = {change.kind for change in diff(Before(before.account, before.models), partial, Policy())}
    assert "model.removed" not in kinds


# --- nothing depends on the process --------------------------------------------------------------------------------

PROGRAM = """
import json, random, sys
from tests import test_ops_laws as laws
rng = random.Random(7)
spec = {"type": "enum", "values": ["1K", "1k", True, 1], "default": 1, "min": 1}
listed = [{"slug": slug, "params": {name: spec for name in laws.NAMES}} for slug in laws.SLUGS]
first = ({"tier": "pro", "rate_limit": {"calls_per_minute": 60}}, listed)
for _ in range(30):
    second = laws.edited(first, rng)
    before, after = laws.catalog(first, rng), laws.catalog(second, rng)
    for change in laws.diff(laws.Before(before.account, before.models), after, laws.Policy()):
        print(change.fingerprint, change.pointer, change.severity, laws.dumps(change.witness), len(change.ops))
    print(after.digest)
    first = second
"""


def test_l13_the_same_answer_under_any_hash_seed():
    def run(seed: str) -> str:
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = run("1")
    assert first.count("\n") > 60
    assert first == run("2")


# --- anything at all -----------------------------------------------------------------------------------------------

# Words that mean something, so that garbage gets past the first look.
words = st.sampled_from(
    [
        "type",
        "min",
        "max",
        "step",
        "values",
        "default",
        "required",
        "min_length",
        "max_length",
        "deprecated",
        "params",
        "credits_band",
        "name",
        "category",
        "integer",
        "number",
        "string",
        "enum",
        "boolean",
        "status",
        "slug",
        "4",
        "",
    ]
)
numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9),
    st.sampled_from([Decimal("1e300"), Decimal("-1e-300"), 10**399, -(10**398)]),
)
garbage = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=5)),
    max_leaves=12,
)
garbage_specs = st.dictionaries(words, garbage, max_size=6)
garbage_models = st.fixed_dictionaries(
    {"params": st.dictionaries(st.sampled_from(["p", "q"]), st.one_of(garbage_specs, garbage), max_size=2)},
    optional={"credits_band": garbage, "name": garbage, "category": garbage, "status": garbage},
)


@settings(laws, max_examples=250)
@given(st.one_of(garbage_models, garbage), st.one_of(garbage_models, garbage))
def test_no_garbage_raises_and_every_operation_is_still_owned(old, new):
    found = model_changes("m", old, new, Policy())
    assert in_order(op for change in found for op in change.ops) == ops(old, new, ("models", "m"))
    for change in found:
        assert change.fingerprint
        assert decode(dumps(change.witness)).value == change.witness


@pytest.mark.parametrize("kind", ["integer", "number", "string", "enum", "boolean"])
@settings(laws, max_examples=60)
@given(st.data())
def test_no_garbage_beside_a_known_type_raises(kind, data):
    before, after = (
        {"params": {"p": {**data.draw(garbage_specs), "type": kind, data.draw(words): data.draw(numbers)}}}
        for _ in range(2)
    )
    for change in model_changes("m", before, after, Policy()):
        assert change.severity != "breaking" or change.path[3] == "p"


@laws
@given(garbage_models, garbage_models)
def test_two_texts_read_together_are_what_each_is_alone(old, new):
    a, b = (Listed("m", "", dumps(decode(dumps(side)).value)) for side in (old, new))
    together = bodies(a, b)
    assert same(list(together), [decode(a.text).value, decode(b.text).value])
    assert same(list(together), [a.body(), b.body()])
    assert [dumps(side) for side in together] == [a.text, b.text]


def test_json_numbers_keep_their_spelling_through_a_listing():
    raw = b'{"slug": "a", "params": {"n": {"max": 4.0}}}'
    listed = assemble({}, [raw], Memo()).models["a"]
    assert json.loads(listed.text) == json.loads(raw)
    assert listed.digest == assemble({}, [raw.replace(b"4.0", b"4")], Memo()).models["a"].digest
