"""Which saved requests a change touches: by the verdict before and after, and by each change alone."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.core import affected
from syncd.core.affected import touched
from syncd.core.canon import MISSING, dumps
from syncd.core.catalog import Catalog, Listed, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.fitting import Edit, edited
from syncd.core.ops import ops
from syncd.core.requests import SavedRequest, accepts, validate

Json = Any

laws = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
STRICT, LAX, OPEN = Policy(), Policy(unknown_params="ignore"), Policy(required_with_default="risky")


def catalog(*models: Mapping[str, Json]) -> Catalog:
    return assemble({}, [dumps(model).encode() for model in models], Memo())


def changed(
    old: Catalog, new: Catalog, saved: Iterable[SavedRequest], policy: Policy = STRICT, gone: Catalog | None = None
) -> list[Change]:
    """The changes between two catalogues, with the saved requests that they touch."""
    before = Before(old.account, old.models, {} if gone is None else gone.models)
    found = diff(before, new, policy)
    told = touched(found, before, new, saved, policy)
    assert [(change.kind, change.path) for change in told] == [(change.kind, change.path) for change in found]
    return told


def m(**params: Json) -> dict[str, Json]:
    return {"slug": "m", "params": params}


def effects(
    old: Mapping[str, Json], new: Mapping[str, Json], sent: Mapping[str, Json], policy: Policy = STRICT
) -> dict[str, dict[str, Json]]:
    """What happens to one request, by the kind of the change that does it."""
    found = changed(catalog(old), catalog(new), [SavedRequest("nightly", {"model": "m", **sent})], policy)
    touching = [change for change in found if change.affects]
    assert all(change.affects == ("nightly",) for change in touching)
    assert all("requests" not in change.detail for change in found if not change.affects)
    return {change.kind: change.detail["requests"]["nightly"] for change in touching}


def integer(**spec: Json) -> Json:
    return {"type": "integer", **spec}


def enum(*values: Json, **spec: Json) -> Json:
    return {"type": "enum", "values": list(values), **spec}


TEXT = {"type": "string"}

# --- refused now ---------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Json, ...]] = [
    # before, after, what is sent, the change that refuses it, why, what mends it
    (m(n=integer(max=12)), m(n=integer(max=10)), {"n": 12}, "param.max.lowered", "n is 12, the most is 10", {"/n": 10}),
    (m(n=integer()), m(n=integer(min=3)), {"n": 1}, "param.min.added", "n is 1, the least is 3", {"/n": 3}),
    (
        m(r=enum("1K", "8K", default="1K")),
        m(r=enum("1K", default="1K")),
        {"r": "8K"},
        "param.enum.value-removed",
        'r is "8K", which is not among "1K"',
        {"/r": "1K"},
    ),
    (
        m(r=enum("1K", "2k")),
        m(r=enum("1K", "2K")),
        {"r": "2k"},
        "param.enum.value-recased",
        'r is "2k", which is not among "1K", "2K"',
        {"/r": "2K"},
    ),
    (m(n=integer(), p=TEXT), m(p=TEXT), {"n": 1}, "param.removed", "n is no parameter of the model", {"/n": None}),
    (
        m(),
        m(n=integer(required=True, default=5)),
        {},
        "param.added.required-with-default",
        "n is required and not sent",
        {"/n": 5},
    ),
    (
        m(num_images=integer(max=4)),
        m(number_images=integer(max=4)),
        {"num_images": 3},
        "param.renamed",
        "num_images is no parameter of the model; number_images may be meant",
        {"/num_images": None, "/number_images": 3},
    ),
    (
        m(n={"type": "number"}),
        m(n=integer()),
        {"n": Decimal("1.5")},
        "param.type.narrowed",
        "n is 1.5, where a whole number is wanted",
        {"/n": 1},
    ),
    (
        m(refs={"type": "string[]"}),
        m(refs={"type": "string[]", "max_items": 1}),
        {"refs": ["a", "b"]},
        "param.max-items.added",
        "refs has 2 elements, the most is 1",
        {"/refs": ["a"]},
    ),
    (
        m(n=integer(nullable=True)),
        m(n=integer()),
        {"n": None},
        "param.nullable.removed",
        "n is null, where a whole number is wanted",
        {"/n": None},
    ),
]


@pytest.mark.parametrize(("sides", "sent", "kind", "told"), [(row[:2], *row[2:4], row[4:]) for row in REFUSED])
def test_a_request_that_a_change_refuses_is_told_with_what_mends_it(sides, sent, kind, told):
    old, new = sides
    why, edit = told
    assert effects(old, new, sent) == {kind: {"effect": "rejected", "why": why, "edit": edit}}


def test_a_change_is_blamed_for_what_it_refuses_alone_and_for_nothing_else():
    old = m(n=integer(max=12), s=integer(), r=enum("a", "b"))
    new = m(n=integer(max=10), s=integer(max=3), r=enum("a", "c"))
    found = effects(old, new, {"n": 12, "s": 3, "r": "a"})
    assert found == {"param.max.lowered": {"effect": "rejected", "why": "n is 12, the most is 10", "edit": {"/n": 10}}}
    found = effects(old, new, {"n": 12, "s": 4, "r": "b"})
    assert {kind: effect["edit"] for kind, effect in found.items()} == {
        "param.max.lowered": {"/n": 10},
        "param.max.added": {"/s": 3},
        "param.enum.value-removed": {"/r": "a"},
    }


def test_one_mistake_that_nothing_mends_is_told_without_an_edit():
    found = effects(m(n=integer(max=4)), m(n=integer(max=4, min=5, required=True)), {"n": 4})
    assert found["param.min.added"] == {"effect": "rejected", "why": "n is 4, the least is 5"}


def test_changes_that_refuse_only_together_are_blamed_together():
    # Counted from 0 or from 1: three is in steps of 1; from 2 it is not in steps of 2, nor from 0.
    old, new = m(n=integer(min=1, step=1)), m(n=integer(min=2, step=2))
    found = effects(old, new, {"n": 3})
    assert {kind: effect["effect"] for kind, effect in found.items()} == {
        "param.min.raised": "rejected",
        "param.step.raised": "rejected",
    }


def test_a_reordering_beside_a_removal_is_not_blamed_for_it():
    found = effects(m(r=enum("a", "b", "c")), m(r=enum("c", "b")), {"r": "a"})
    assert list(found) == ["param.enum.value-removed"]


def test_a_request_that_was_wrong_before_is_not_touched_by_what_makes_it_worse():
    assert effects(m(n=integer(max=4)), m(n=integer(max=3)), {"n": 5}) == {}
    assert effects(m(n=integer(max=4)), m(n=integer(max=3)), {"n": 3}) == {}


def test_what_could_not_be_judged_before_and_is_refused_now_breaks():
    found = effects(m(image={"type": "image"}), m(image={"type": "integer"}), {"image": "a.png"})
    assert found == {
        "param.type.undecided": {
            "effect": "rejected",
            "why": 'image is "a.png", where a whole number is wanted',
            "edit": {"/image": None},
        }
    }
    assert effects(m(n=integer()), m(n=integer(odd=True)), {"n": 4}) == {}


def test_parameters_that_are_published_at_last_refuse_what_they_do_not_know():
    found = effects({"slug": "m", "params": None}, m(), {"n": 4})
    edit = {"effect": "rejected", "why": "n is no parameter of the model", "edit": {"/n": None}}
    assert found == {"model.params.replaced": edit}


def test_what_could_not_be_decided_is_where_a_request_that_is_sent_proves_it():
    old, new = ({"type": "string"}, {"type": "string", "pattern": "^a"})
    prompt = {"type": "string", "required": True}
    before, after = (catalog(m(n=one, prompt=prompt, size=integer())) for one in (old, new))
    sent = {"model": "m", "n": "b", "prompt": "p", "size": 3}
    (proved,) = changed(before, after, [SavedRequest("nightly", sent)])
    assert (proved.kind, proved.severity, proved.decided) == ("param.pattern.added", "breaking", True)
    assert proved.witness == {"n": "b", "prompt": "p"}
    assert proved.affects == ("nightly",)


def test_a_request_that_matches_or_that_nobody_could_judge_before_proves_nothing():
    pattern, unknown = {"type": "string", "pattern": "^a"}, {"type": "image"}
    for old, new, value in (({"type": "string"}, pattern, "ab"), (unknown, pattern, "b")):
        (open_,) = changed(catalog(m(n=old)), catalog(m(n=new)), [SavedRequest("nightly", {"model": "m", "n": value})])
        assert (open_.severity, open_.decided, open_.witness) == ("risky", False, None)


def test_contents_that_conflict_all_must_accept():
    old = catalog(m(n=integer(max=4)))
    new = catalog(m(n=integer(max=4)), m(n=integer(max=3)))
    (change,) = changed(old, new, [SavedRequest("four", {"model": "m", "n": 4}), SavedRequest("no", {"model": "m"})])
    assert change.kind == "catalogue.duplicate-slug.conflicting"
    assert change.detail["requests"] == {
        "four": {"effect": "rejected", "why": "n is 4, the most is 3", "edit": {"/n": 3}}
    }


def test_what_a_lax_vendor_ignored_and_knows_at_last_is_refused_for_its_value():
    found = effects(m(), m(n=integer(max=10)), {"n": 12}, LAX)
    why = "n is 12, the most is 10"
    assert found == {"param.added.optional": {"effect": "rejected", "why": why, "edit": {"/n": 10}}}


def test_a_vendor_that_may_take_the_default_of_what_must_be_sent_refuses_nothing_for_certain():
    old, new = m(), m(n=integer(required=True, default=5))
    assert list(effects(old, new, {})) == ["param.added.required-with-default"]
    assert effects(old, new, {}, OPEN) == {}
    demanded = effects(old, m(n=integer(required=True)), {}, OPEN)
    assert list(demanded) == ["param.added.required"]


def test_each_of_hundreds_of_changes_is_blamed_for_its_own_parameter():
    names = [f"p{n}" for n in range(300)]
    loose, tight = (m(**{name: integer(max=most) for name in names}) for most in (10, 5))
    saved = [
        SavedRequest("all", {"model": "m", **dict.fromkeys(names, 9)}),
        SavedRequest("one", {"model": "m", "p7": 9}),
    ]
    for old, new, effect in ((loose, tight, "rejected"), (tight, loose, "accepted")):
        found = changed(catalog(old), catalog(new), saved)
        assert len(found) == len(names)
        for change in found:
            name = change.path[3]
            assert change.affects == (("all", "one") if name == "p7" else ("all",))
            told = change.detail["requests"]["all"]
            assert (told["effect"], told["why"].removeprefix("no longer so: ")) == (
                effect,
                f"{name} is 9, the most is 5",
            )


def test_a_change_alone_is_judged_by_its_own_parameter_only(monkeypatch):
    judged: list[int] = []

    def counted(body: Mapping[str, Json], *rest: Json, **options: Json) -> Json:
        judged.append(len(body))
        return validate(body, *rest, **options)

    monkeypatch.setattr(affected, "validate", counted)
    names = [f"p{n}" for n in range(20)]
    old, new = (m(**{name: integer(max=most) for name in names}) for most in (10, 5))
    changed(catalog(old), catalog(new), [SavedRequest("all", {"model": "m", **dict.fromkeys(names, 9)})])
    assert sorted(judged) == [1] * 20 + [21, 21], "once before, once after, and each parameter alone"


# --- accepted now --------------------------------------------------------------------------------------------------


def test_a_request_that_is_accepted_at_last_is_told_of_what_made_it_so():
    old, new = m(n=integer(max=10), r=enum("a")), m(n=integer(max=12), r=enum("a", "b"))
    assert effects(old, new, {"n": 12}) == {
        "param.max.raised": {"effect": "accepted", "why": "no longer so: n is 12, the most is 10"}
    }
    assert {kind: effect["effect"] for kind, effect in effects(old, new, {"n": 12, "r": "b"}).items()} == {
        "param.max.raised": "accepted",
        "param.enum.value-added": "accepted",
    }
    assert effects(old, new, {"n": 12, "r": "c"}) == {}


def test_of_several_values_that_came_only_the_one_that_is_sent_made_it_so():
    new = catalog(m(r=enum("a", "b", "c")))
    found = changed(catalog(m(r=enum("a"))), new, [SavedRequest("nightly", {"model": "m", "r": "b"})])
    assert [(change.after, change.affects) for change in found] == [("b", ("nightly",)), ("c", ())]


def test_changes_that_help_only_together_are_both_named():
    old, new = m(n=integer(max=4, values=[1])), m(n=integer(max=9, values=[1, 8]))
    found = effects(old, new, {"n": 8})
    assert {kind: effect["effect"] for kind, effect in found.items()} == {
        "param.max.raised": "accepted",
        "param.enum.value-added": "accepted",
    }


# --- whole models --------------------------------------------------------------------------------------------------

OTHER = {"slug": "other", "params": {}}
NIGHTLY = SavedRequest("nightly", {"model": "m", "n": 4})


def test_a_model_that_is_gone_refuses_what_it_accepted():
    saved = [NIGHTLY, SavedRequest("wrong", {"model": "m", "n": 5})]
    (change,) = changed(catalog(OTHER, m(n=integer(max=4))), catalog(OTHER), saved)
    assert (change.kind, change.affects) == ("model.removed", ("nightly",))
    assert change.detail["requests"] == {"nightly": {"effect": "rejected", "why": "m is no longer listed"}}


def test_what_replaces_a_model_that_is_gone_is_the_edit():
    _, removed = changed(catalog(m(n=integer())), catalog({**m(n=integer()), "slug": "M"}), [NIGHTLY])
    assert removed.detail["replacement"] == "M"
    edit = {"/model": "M"}
    assert removed.detail["requests"]["nightly"] == {"effect": "rejected", "why": "m is no longer listed", "edit": edit}


REPLACED: list[tuple[Json, Json]] = [
    # the parameters under the new slug, and the edit that makes {n: 4} one for it
    ({"n": integer(max=3), "q": integer(required=True, default=1)}, {"/model": "M", "/n": 3, "/q": 1}),
    ({"q": integer(required=True, default=1)}, {"/model": "M", "/n": None, "/q": 1}),
    ({"n": integer(), "image": {"type": "image"}}, {"/model": "M"}),
    ({"n": {"type": "image"}}, {"/model": "M"}),
    ({"n": integer(), "q": enum(required=True)}, None),
]


@pytest.mark.parametrize(("params", "edit"), REPLACED)
def test_what_a_replacement_takes_otherwise_is_part_of_the_edit_or_there_is_none(params, edit):
    _, removed = changed(catalog(m(n=integer())), catalog({"slug": "M", "params": params}), [NIGHTLY])
    assert removed.detail["requests"]["nightly"].get("edit") == edit


def test_a_replacement_that_is_not_listed_is_no_edit():
    old, new = catalog(m(n=integer())), catalog(OTHER)
    before = Before(old.account, old.models)
    found = [replace(change, detail={"replacement": "m-2"}) for change in diff(before, new, STRICT)]
    effects = [change.detail["requests"]["nightly"] for change in touched(found, before, new, [NIGHTLY], STRICT)[:1]]
    assert effects == [{"effect": "rejected", "why": "m is no longer listed"}]


@pytest.mark.parametrize(("most", "affects"), [(4, ("nightly",)), (3, ())])
def test_a_model_that_is_new_accepts_what_it_accepts(most, affects):
    (change,) = changed(catalog(), catalog(m(n=integer(max=most))), [NIGHTLY])
    assert (change.kind, change.affects) == ("model.added", affects)
    if affects:
        assert change.detail["requests"]["nightly"] == {"effect": "accepted", "why": "m is listed and accepts it"}


def test_a_model_that_is_back_is_compared_with_what_it_was():
    gone, new = catalog(m(n=integer(max=4, default=1))), catalog(m(n=integer(max=3, default=2)))
    saved = [NIGHTLY, SavedRequest("plain", {"model": "m"})]
    found = {change.kind: change for change in changed(catalog(), new, saved, gone=gone)}
    assert found["model.returned"].affects == ("plain",)
    assert found["param.max.lowered"].detail["requests"]["nightly"]["edit"] == {"/n": 3}
    assert found["param.default.changed"].detail["requests"]["plain"]["pin"] == {"n": 1}


# --- the same request, another meaning -----------------------------------------------------------------------------


def test_a_default_that_moved_is_pinned_where_the_request_leaves_it_out():
    old, new = m(n=integer(default=5)), m(n=integer(default=8))
    why = "n is 8 now where it is not sent, it was 5"
    assert effects(old, new, {}) == {"param.default.changed": {"effect": "different", "why": why, "pin": {"n": 5}}}
    assert effects(old, new, {"n": 5}) == {}
    assert effects(old, new, {"n": "x"}) == {}


def test_a_default_that_vanished_is_pinned():
    for spec in (integer(), integer(default=None)):
        why = "n has no stated default any more, it was 5"
        found = effects(m(n=integer(default=5)), m(n=spec), {})
        assert found == {"param.default.removed": {"effect": "different", "why": why, "pin": {"n": 5}}}


def test_a_default_that_is_no_longer_accepted_cannot_be_pinned():
    old, new = m(n=integer(default=5)), m(n=integer(default=8, min=6))
    assert effects(old, new, {}) == {
        "param.default.changed": {
            "effect": "different",
            "why": "n is 8 now where it is not sent, it was 5, which is no longer accepted",
        }
    }


def test_a_request_that_is_refused_now_is_also_told_to_mean_something_else_once_it_is_mended():
    old, new = (
        m(n=integer(max=4), r=enum("1K", "2K", default="1K")),
        m(n=integer(max=3), r=enum("1K", "2K", default="2K")),
    )
    assert effects(old, new, {"n": 4}) == {
        "param.max.lowered": {"effect": "rejected", "why": "n is 4, the most is 3", "edit": {"/n": 3}},
        "param.default.changed": {
            "effect": "different",
            "why": 'r is "2K" now where it is not sent, it was "1K"',
            "pin": {"r": "1K"},
        },
    }
    assert "param.default.changed" not in effects(old, new, {"n": 5})


def test_a_lax_vendor_that_refuses_one_thing_ignores_another_all_the_same():
    found = effects(m(n=integer(max=4), p=TEXT), m(n=integer(max=3)), {"n": 4, "p": "a"}, LAX)
    assert {kind: effect["effect"] for kind, effect in found.items()} == {
        "param.max.lowered": "rejected",
        "param.removed": "different",
    }


def test_what_must_be_sent_at_last_is_sent_as_it_was_while_it_was_left_out():
    old, new = m(n=integer(default=5)), m(n=integer(default=8, required=True))
    why = "n is required and not sent"
    assert list(effects(old, new, {}).values()) == [{"effect": "rejected", "why": why, "edit": {"/n": 5}}]
    new = m(n=integer(default=8, required=True, min=6))
    assert list(effects(old, new, {}).values()) == [{"effect": "rejected", "why": why, "edit": {"/n": 8}}]


def test_what_must_be_sent_and_is_sent_under_another_name_keeps_what_is_sent():
    old = m(number=integer(default=5), numbers=integer())
    found = effects(old, m(number=integer(default=8, required=True)), {"numbers": 3})
    assert {kind: effect["edit"] for kind, effect in found.items()} == {
        "param.removed": {"/numbers": None, "/number": 3},
        "param.became-required-with-default": {"/number": 3},
    }


def test_what_a_lax_vendor_no_longer_knows_is_ignored_without_a_word():
    old, new = m(n=integer(), p=TEXT), m(p=TEXT)
    why = "n is no longer known and is ignored without a word"
    assert effects(old, new, {"n": 4}, LAX) == {"param.removed": {"effect": "different", "why": why}}
    assert effects(old, new, {"p": "a"}, LAX) == {}


def test_what_a_lax_vendor_renamed_is_sent_under_its_new_name():
    (effect,) = effects(m(num_images=integer()), m(number_images=integer()), {"num_images": 3}, LAX).values()
    assert effect["effect"] == "different"
    assert effect["edit"] == {"/num_images": None, "/number_images": 3}


def test_a_request_that_sends_both_names_only_hears_that_the_old_one_is_ignored():
    sent = {"num_images": 3, "number_images": 4}
    (effect,) = effects(m(num_images=integer()), m(number_images=integer()), sent, LAX).values()
    assert effect == {"effect": "different", "why": "num_images is no longer known and is ignored without a word"}


# --- what costs nothing --------------------------------------------------------------------------------------------


class Unread(Listed):
    """A model whose text must not be looked at."""

    def body(self) -> Json:
        raise AssertionError(self.slug)


def unread(found: Catalog) -> Catalog:
    models = {slug: Unread(slug, listed.digest, "") for slug, listed in found.models.items()}
    return Catalog(found.digest, found.account, models)


def test_models_that_no_request_names_are_not_even_read():
    old, new = catalog(m(n=integer(max=4)), OTHER), catalog(m(n=integer(max=3)), OTHER)
    found = diff(Before(old.account, old.models), new, STRICT)
    before = Before(old.account, unread(old).models)
    for saved in ([], [SavedRequest("other", {"model": "other"}), SavedRequest("none", {"model": "never listed"})]):
        assert touched(found, before, unread(new), saved, STRICT) == found


def test_requests_are_told_by_name_whatever_their_order():
    saved = [SavedRequest(name, {"model": "m", "n": 4}) for name in "cab"]
    (change,) = changed(catalog(m(n=integer())), catalog(m(n=integer(max=3))), saved)
    assert change.affects == ("a", "b", "c")
    assert list(change.detail["requests"]) == ["a", "b", "c"]


def test_changes_of_the_account_touch_no_request():
    old = assemble({"tier": "pro"}, [], Memo())
    new = assemble({"tier": "free"}, [], Memo())
    (change,) = changed(old, new, [NIGHTLY])
    assert change.affects == ()


def test_what_is_told_can_be_written_as_json_whatever_the_vendor_and_the_operator_write():
    evil = "\x1b[31m\u202eevil/~\n" * 50
    old, new = m(**{evil: enum(evil, "b")}), m(**{evil: enum("b")})
    (effect,) = effects(old, new, {evil: evil}).values()
    assert "\x1b" not in effect["why"]
    assert "\n" not in effect["why"]
    assert len(effect["why"]) < 600
    assert dumps(effect)


# --- laws ----------------------------------------------------------------------------------------------------------

VALUES: st.SearchStrategy[Json] = st.sampled_from(
    [0, 1, 2, 3, 4, Decimal("1.5"), True, None, "a", "A", "", "bb", [], ["a"], ["a", 1], {}]
)
BOUNDS = st.sampled_from([None, 0, 1, 2, 3, 4, "4"])
ATTRIBUTES: dict[str, st.SearchStrategy[Json]] = {
    "type": st.sampled_from(["integer", "number", "string", "enum", "boolean", "string[]", "image"]),
    "required": st.booleans(),
    "nullable": st.booleans(),
    "default": VALUES,
    "min": BOUNDS,
    "max": BOUNDS,
    "step": st.sampled_from([1, 2, Decimal("1.5")]),
    "max_length": st.integers(0, 2),
    "min_items": st.integers(0, 2),
    "max_items": st.integers(0, 2),
    "pattern": st.sampled_from(["^a", "["]),
    "values": st.lists(VALUES, max_size=4),
    "odd": st.just(1),
}
SPEC: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {"type": ATTRIBUTES["type"]}, optional={name: value for name, value in ATTRIBUTES.items() if name != "type"}
)
NAMES = st.sampled_from(["n", "size", "sizes", "a/b"])
PARAMS = st.dictionaries(NAMES, SPEC, min_size=1, max_size=3)
BODIES = st.dictionaries(NAMES, VALUES, max_size=3)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[dict[str, Json], dict[str, Json]]:
    """A model, and what the vendor made of it: some attributes set or dropped, some parameters dropped or new."""
    old = draw(PARAMS)
    new = copy.deepcopy(old)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(NAMES)
        attribute = draw(st.sampled_from([None, *ATTRIBUTES]))
        if name not in new:
            new[name] = draw(SPEC)
        elif attribute is None:
            del new[name]
        elif attribute in new[name] and attribute != "type" and draw(st.booleans()):
            del new[name][attribute]
        else:
            new[name][attribute] = draw(ATTRIBUTES[attribute])
    return m(**old), m(**new)


def kinds_of_effect(found: Iterable[Change], name: str) -> set[str]:
    return {change.detail["requests"][name]["effect"] for change in found if name in change.affects}


@laws
@given(neighbours(), st.lists(BODIES, min_size=1, max_size=3), st.sampled_from([STRICT, LAX, OPEN]))
def test_a_request_is_rejected_by_some_change_exactly_if_it_was_not_refused_and_is(sides, bodies, policy):
    old, new = sides
    saved = [SavedRequest(str(n), {"model": "m", **body}) for n, body in enumerate(bodies)]
    found = changed(catalog(old), catalog(new), saved, policy)
    for request in saved:
        options = {"unknown_params": policy.unknown_params, "required_with_default": policy.required_with_default}
        before, after = (accepts(request.body, side, **options) for side in sides)
        kinds = kinds_of_effect(found, request.name)
        assert ("rejected" in kinds) == (before != "rejected" and after == "rejected")
        assert ("accepted" in kinds) == (before == "rejected" and after == "accepted")
        assert kinds <= {"rejected", "different"} or kinds == {"accepted"}
        assert not kinds or ops(old, new)


@laws
@given(neighbours(), BODIES)
def test_a_request_that_is_pinned_is_not_refused_and_sends_what_was_left_out(sides, body):
    old, new = sides
    for change in changed(catalog(old), catalog(new), [SavedRequest("one", {"model": "m", **body})]):
        for effect in change.detail.get("requests", {}).values():
            pin = effect.get("pin", {})
            assert not pin.keys() & body.keys()
            if pin:
                wrong = {problem.param for problem in validate({**body, **pin}, new).problems if problem.decided}
                assert not wrong & pin.keys()
                assert all(dumps(value) == dumps(old["params"][name]["default"]) for name, value in pin.items())


@laws
@given(neighbours(), BODIES)
def test_every_edit_that_is_told_together_mends_the_request(sides, body):
    old, new = sides
    found = changed(catalog(old), catalog(new), [SavedRequest("one", {"model": "m", **body})])
    told = [change.detail["requests"]["one"] for change in found if change.affects]
    rejected = [effect for effect in told if effect["effect"] == "rejected"]
    mended = validate(body, new).mended
    if not rejected or mended is None:
        return
    assert all("edit" in effect for effect in rejected)
    edits = [Edit(at, MISSING if value is None else value) for one in told for at, value in one.get("edit", {}).items()]
    assert validate(edited(body, edits), new).verdict != "rejected"


def test_the_order_of_catalogues_and_of_requests_means_nothing():
    rng = random.Random(4)  # noqa: S311 - any order will do
    models = [{"slug": f"m{n}", "params": {"n": integer(max=4 + n)}} for n in range(5)]
    changed_models = [{"slug": f"m{n}", "params": {"n": integer(max=2 + n)}} for n in range(5)]
    saved = [SavedRequest(f"r{n}", {"model": f"m{n % 5}", "n": n}) for n in range(10)]
    seen = set()
    for _ in range(5):
        for part in (models, changed_models, saved):
            rng.shuffle(part)
        found = changed(catalog(*models), catalog(*changed_models), saved)
        seen.add(dumps([[change.pointer, list(change.affects), change.detail] for change in found]))
    assert len(seen) == 1
