"""What became of models and parameters that are gone: renamed, followed by a newer version, or something like it."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.core.canon import dumps
from syncd.core.catalog import Catalog, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff, model_changes
from syncd.core.changes.likeness import alike, pairs

Json = dict[str, Any]
WIDTH = {"width": {"type": "integer", "min": 64, "max": 2048, "default": 1024}}
PROMPT = {"prompt": {"type": "string", "required": True, "max_length": 2000}}


def model(slug: str, **fields: Any) -> Json:
    return {
        "slug": slug,
        "name": "Wan 2.6",
        "creator": "Alibaba",
        "category": "video",
        "params": {**PROMPT, **WIDTH},
        **fields,
    }


def listing(*models: Json) -> Catalog:
    return assemble({}, [dumps(one).encode() for one in models], Memo())


def between(old: Catalog, new: Catalog, policy: Policy | None = None) -> dict[tuple[str, str | None], Change]:
    return {(c.kind, c.slug): c for c in diff(Before(old.account, old.models), new, policy or Policy())}


def fate(old: list[Json], new: list[Json], slug: str = "wan-2.6") -> Json:
    """What is said of the model that is gone, beside the cause."""
    change = between(listing(*old), listing(*new))["model.removed", slug]
    assert change.severity == "breaking"
    return {name: value for name, value in change.detail.items() if name not in ("cause", "findings")}


def test_the_proof_of_a_removal_is_the_smallest_request_that_the_model_accepted():
    gone = between(listing(model("wan-2.6")), listing())["model.removed", "wan-2.6"]
    assert gone.witness == {"model": "wan-2.6", "prompt": "a"}
    never = {"slug": "wan-2.6", "params": {"size": {"type": "enum", "values": [], "required": True}}}
    assert between(listing(never), listing())["model.removed", "wan-2.6"].witness is None


# --- another slug --------------------------------------------------------------------------------------------------


def test_an_equal_model_of_another_slug_is_named_on_both_sides_and_both_stay_as_severe():
    found = between(listing(model("wan-2.6")), listing(model("wan-2.6-video", credits_band={"min": 1, "max": 2})))
    gone, new = found["model.removed", "wan-2.6"], found["model.added", "wan-2.6-video"]
    assert (gone.severity, new.severity) == ("breaking", "additive")
    assert gone.detail["replacement"] == "wan-2.6-video"
    assert gone.detail["differences"] == ["/credits_band"]
    assert new.detail["replaces"] == "wan-2.6"


def test_the_slug_in_the_example_is_no_difference():
    old, new = (model(slug, example_request={"model": slug, "prompt": "a"}) for slug in ("wan-2.6", "wan-2.6-x"))
    assert fate([old], [new])["differences"] == []


def test_a_slug_in_other_letters_is_a_rename_whatever_else_changed():
    said = fate([model("wan-2.6")], [model("WAN-2.6", creator="Wan AI", params={})])
    assert said["replacement"] == "WAN-2.6"
    assert said["differences"] == ["/creator", "/params/prompt", "/params/width"]


NO_RENAMES = {
    "another creator": [model("wan-2.6-video", creator="Somebody")],
    "no creator at all": [model("wan-2.6-video", creator=None)],
    "other parameters": [model("wan-2.6-video", params=WIDTH)],
    "neither the name nor the slug alike": [model("kling-video-pro", name="Kling")],
    "two that are as likely": [model("wan-2.6-a"), model("wan-2.6-b")],
}


@pytest.mark.parametrize("new", NO_RENAMES.values(), ids=NO_RENAMES.keys())
def test_what_is_not_certain_is_not_called_a_rename(new):
    assert "replacement" not in fate([model("wan-2.6")], new)


def test_two_that_are_gone_do_not_share_one_that_is_new():
    old = [model("wan-2.6-a"), model("wan-2.6-b")]
    assert "replacement" not in fate(old, [model("wan-2.6-c")], "wan-2.6-a")


def test_the_more_alike_of_two_is_the_one():
    new = [model("wan-2.6-video", name="Wan 2.6"), model("wan-2.6-videos", name="Another")]
    assert fate([model("wan-2.6")], new)["replacement"] == "wan-2.6-video"


def test_many_that_were_renamed_alike_are_all_found_and_long_names_take_no_time():
    old = [model(f"wan-{n}-x", name=f"Wan {n}") for n in range(90)]
    new = [model(f"vendor/wan-{n}-x", name=f"Wan {n}") for n in range(90)]
    found = between(listing(*old), listing(*new))
    assert sum("replacement" in change.detail for change in found.values()) == 90
    shouted = [model(one["slug"].upper(), name="Other", params={}) for one in old]
    found = between(listing(*old), listing(*shouted))
    assert sum("replacement" in change.detail for change in found.values()) == 90
    long = [[model(f"{n:03}" + letters * (400 // len(letters))) for n in range(30)] for letters in ("a", "ab")]
    between(listing(*long[0]), listing(*long[1]))


# --- a newer version, or something like it -------------------------------------------------------------------------


def test_the_next_version_of_the_same_line_is_its_successor():
    listed = [model(f"wan-{n}", name=f"Wan {n}", params=PROMPT) for n in ("2.5", "2.7", "3.0")]
    said = fate([model("wan-2.6"), *listed], listed)
    assert said["successor"] == "wan-2.7"


def test_an_older_version_or_another_line_is_no_successor():
    listed = [model("wan-2.5", name="Wan 2.5", params=PROMPT), model("wan-fast-3", name="Wan Fast 3", params=PROMPT)]
    assert "successor" not in fate([model("wan-2.6"), *listed], listed)


def test_what_is_much_alike_is_a_candidate_the_likeliest_first():
    near = model("wan-2.6-fast", name="Wan Fast")
    less = model("wan-animate", name="Wan Animate", params={**PROMPT, **WIDTH, "pose": {"type": "string"}})
    far = model("wan-speech", name="Wan Speech", category="audio")
    listed = [far, less, near]
    assert fate([model("wan-2.6"), *listed], listed)["replacement_candidates"] == ["wan-2.6-fast", "wan-animate"]


def test_models_gone_by_the_dozen_have_no_heirs():
    old = [model(f"wan-{n}", name=f"Wan {n}") for n in range(30)]
    rest = [model("wan-2.6-fast", name="Fast")]
    said = between(listing(*old, *rest), listing(*rest))
    assert not any("replacement_candidates" in change.detail for change in said.values())


ODD = [{"slug": "wan-x"}, {"slug": "wan-x", "name": 5, "creator": [], "params": "none", "category": {}}]


@pytest.mark.parametrize("odd", ODD)
def test_models_of_any_shape_are_compared(odd):
    assert "replacement" not in fate([model("wan-2.6")], [odd])
    assert "replacement" not in fate([odd], [model("wan-2.6")], "wan-x")
    assert ("model.removed", "wan-x") in between(listing(odd, {**odd, "extra": 1}), listing(model("wan-y")))


# --- many at once --------------------------------------------------------------------------------------------------


def findings(old: Catalog, new: Catalog) -> set[tuple[str, str]]:
    return {(c.kind, found) for c in between(old, new).values() for found in c.detail.get("findings", ())}


def test_a_list_that_empties_fills_or_loses_many_says_so_beside_each():
    every = listing(*(model(f"m{n}") for n in range(10)))
    half, few = (listing(*(model(f"m{n}") for n in range(kept))) for kept in (5, 6))
    assert findings(every, listing()) == {("model.removed", "catalogue.emptied")}
    assert findings(listing(), every) == {("model.added", "catalogue.populated")}
    assert findings(every, half) == {("model.removed", "catalogue.mass-removal")}
    assert findings(every, few) == set()


# --- parameters ----------------------------------------------------------------------------------------------------


def renames(old: Json, new: Json, policy: Policy | None = None) -> list[tuple[str, str, str]]:
    found = model_changes("m", {"params": old}, {"params": new}, policy or Policy())
    return [(c.path[3], c.detail["replacement"], c.severity) for c in found if c.kind == "param.renamed"]


NUMBER = {"type": "integer", "min": 1, "max": 4}


def test_a_parameter_that_only_changed_its_name_is_one_change():
    assert renames({"num_images": NUMBER}, {"number_images": NUMBER}) == [("num_images", "number_images", "breaking")]


def test_the_new_name_may_be_spelled_with_another_type_of_the_same_values():
    same = {"type": "int", "min": 1, "max": 4}
    assert renames({"num_images": NUMBER}, {"number_images": same})


def test_under_a_vendor_who_ignores_what_he_does_not_know_it_is_risky():
    ignoring = Policy(unknown_params="ignore")
    assert renames({"num_images": NUMBER}, {"number_images": NUMBER}, ignoring) == [
        ("num_images", "number_images", "risky")
    ]
    required = {**NUMBER, "required": True}
    assert renames({"num_images": required}, {"number_images": required}, ignoring)[0][2] == "breaking"


def test_another_name_altogether_is_the_same_parameter_if_default_and_description_are():
    described = {**NUMBER, "default": 1, "description": "How many pictures to make"}
    assert renames({"n": described}, {"pictures": described})
    assert renames({"n": {**NUMBER, "default": 1}}, {"pictures": {**NUMBER, "default": 1}}) == []


NOT_RENAMED = {
    "other values": ({"num_images": NUMBER}, {"number_images": {**NUMBER, "max": 5}}),
    "required now": ({"num_images": NUMBER}, {"number_images": {**NUMBER, "required": True}}),
    "two as likely": ({"image": NUMBER}, {"image_a": NUMBER, "image_b": NUMBER}),
    "other names": ({"width": NUMBER}, {"length": NUMBER}),
    "opposites": ({"min_steps": NUMBER}, {"max_steps": NUMBER}),
    "another number": ({"image_1": NUMBER}, {"image_2": NUMBER}),
}


@pytest.mark.parametrize(("old", "new"), NOT_RENAMED.values(), ids=NOT_RENAMED.keys())
def test_what_may_be_two_parameters_is_two_changes(old, new):
    assert renames(old, new) == []
    assert {c.kind.split(".")[1] for c in model_changes("m", {"params": old}, {"params": new}, Policy())} == {
        "added",
        "removed",
    }


def test_of_an_unknown_type_the_specs_must_be_the_same():
    image = {"type": "image", "max_size": 5}
    assert renames({"input_image": image}, {"input_images": image})
    assert renames({"input_image": image}, {"input_images": {**image, "max_size": 6}}) == []


def test_likeness_is_the_same_both_ways_round():
    assert alike("num_images", "number_images") == alike("number_images", "num_images")
    assert pairs(["a"], ["b"], lambda *_: 0) == {}


# --- what a change of a bound does to the rest ---------------------------------------------------------------------


def worst(old: Json, new: Json, **fields: Any) -> Json:
    found = model_changes("m", {"params": old, **fields}, {"params": new, **fields}, Policy())
    return dict(found[0].detail)


def test_a_default_that_the_bounds_left_behind_is_named_where_they_moved():
    assert worst({"n": {**NUMBER, "default": 4}}, {"n": {**NUMBER, "max": 3, "default": 4}})["findings"] == [
        "param.default-out-of-domain"
    ]


def test_what_was_odd_before_is_not_named_again():
    assert "findings" not in worst({"n": {**NUMBER, "default": 9}}, {"n": {**NUMBER, "max": 3, "default": 9}})


def test_an_example_that_is_refused_now_is_named_where_it_broke():
    said = worst({"n": NUMBER}, {"n": {**NUMBER, "max": 3}}, slug="m", example_request={"model": "m", "n": 4})
    assert said["findings"] == ["model.example-request-invalid"]


def test_the_worst_change_of_a_parameter_holds_it_as_it_was_and_is():
    old, new = {**NUMBER, "default": 1}, {**NUMBER, "max": 3, "default": 2}
    found = model_changes("m", {"params": {"n": old}}, {"params": {"n": new}}, Policy())
    assert [(c.kind, c.detail) for c in found] == [
        ("param.default.changed", {}),
        ("param.max.lowered", {"spec_before": old, "spec_after": new}),
    ]


ODD_NOW = [
    ({"category": "image"}, {"category": "imagery"}, "category-unknown"),
    ({"credits_band": {"min": 1, "max": 2}}, {"credits_band": {"min": 3, "max": 2}}, "credits.band-crossed"),
    ({"credits_band": {"min": 1, "max": 2}}, {"credits_band": "free"}, "credits.band-invalid"),
    ({"params": {"n": NUMBER}}, {"params": {"n": {**NUMBER, "type": None}}}, "param.type-unknown"),
    ({"params": {"n": {"type": "string"}}}, {"params": {"n": {"type": "string", "max": 4}}}, "param.attr-misplaced"),
]


@pytest.mark.parametrize(("old", "new", "finding"), ODD_NOW)
def test_what_is_odd_now_is_named_by_the_change_that_made_it_so(old, new, finding):
    (there,) = model_changes("m", old, new, Policy())
    (back,) = model_changes("m", new, old, Policy())
    assert there.detail["findings"] == [finding]
    assert "findings" not in back.detail


def test_a_limit_that_is_none_is_named_by_the_change_that_made_it_so():
    old, new = (assemble({"rate_limit": {"calls_per_minute": limit}}, [], Memo()) for limit in (60, "sixty"))
    assert between(old, new)["account.rate-limit.calls-per-minute.invalid", None].detail["findings"] == [
        "account.limit-invalid"
    ]
