"""A request against a model: every mistake is named, and mended by the smallest edit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.core import compat
from syncd.core.canon import MISSING, canonical, decode, dumps, same
from syncd.core.requests import Edit, Judged, RequiredWithDefault, SavedRequest, accepts, validate
from tests.test_compat_exhaustive import REQUESTS, SPECS, accepted, model, readings

Json = Any

laws = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

PARAMS: dict[str, Json] = {
    "prompt": {"type": "string", "required": True, "max_length": 20, "default": "a forest"},
    "negative_prompt": {"type": "string", "min_length": 3},
    "style": {"type": "string", "values": ["vivid", "natural"], "default": "natural"},
    "resolution": {"type": "enum", "values": ["1K", "2K", "4K"], "default": "2K"},
    "ratio": {"type": "enum", "values": ["1:1", "16:9"]},
    "level": {"type": "enum", "values": [1, 2, 4]},
    "twins": {"type": "enum", "values": ["hd", "HD"]},
    "duration": {"type": "integer", "min": 2, "max": 10, "default": 5},
    "strength": {"type": "number", "min": 0, "max": 1, "step": Decimal("0.25")},
    "audio": {"type": "boolean", "default": False},
    "seed": {"type": "integer"},
    "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "never": {"type": "integer", "min": 3, "max": 1},
    "number_results": {"type": "integer", "max": 4, "nullable": True},
    "reference_images": {"type": "string[]", "min_items": 1, "max_items": 3},
    "sizes": {"type": "array", "items": {"type": "integer", "max": 9}},
}
MODEL = {"slug": "m", "params": PARAMS}
GOOD = {"model": "m", "prompt": "a misty forest"}


def judged(*, strict: bool = True, **sent: Json) -> Judged:
    return validate({**GOOD, **sent}, MODEL, unknown_params="reject" if strict else "ignore")


# --- one mistake at a time -----------------------------------------------------------------------------------------

LEFT_OUT = MISSING
NOTHING = None
ACCEPTED = [
    {},
    {"duration": 2, "resolution": "4K", "audio": True},
    {"duration": Decimal("4.0"), "strength": Decimal("0.75"), "level": Decimal("2.0")},
    {"seed": -(10**399), "prompt": "", "number_results": None},
    {"reference_images": ["a"], "sizes": [], "code": "ABC"},
]
MISTAKES = [
    # what is sent, the rule, the sentence, what mends it
    ({"duration": 12}, "max", "duration is 12, the most is 10", 10),
    ({"duration": 10**400}, "max", "duration is ≈ 1.00e+400, the most is 10", 10),
    ({"duration": -3}, "min", "duration is -3, the least is 2", 2),
    ({"duration": Decimal("7.5")}, "type", "duration is 7.5, where a whole number is wanted", 7),
    ({"duration": "4"}, "type", 'duration is "4", where a whole number is wanted', 4),
    ({"duration": "40"}, "type", 'duration is "40", where a whole number is wanted', 10),
    ({"duration": "as long as it takes"}, "type", "where a whole number is wanted", 5),
    ({"duration": True}, "type", "duration is true, where a whole number is wanted", 5),
    ({"duration": [[[]]]}, "type", "duration is a list of 1 element, where a whole number is wanted", 5),
    ({"duration": {"s": 4}}, "type", "duration is an object, where a whole number is wanted", 5),
    ({"duration": None}, "null", "duration is null, where a whole number is wanted", LEFT_OUT),
    ({"seed": "lucky"}, "type", 'seed is "lucky", where a whole number is wanted', LEFT_OUT),
    ({"strength": Decimal("0.3")}, "step", "strength is 0.3, which is not in steps of 0.25", Decimal("0.25")),
    ({"strength": (1.0).as_integer_ratio()[0] + 8}, "max", "strength is 9, the most is 1", 1),
    ({"resolution": "4k"}, "values", 'resolution is "4k", which is not among "1K", "2K", "4K"', "4K"),
    ({"resolution": " 1K\n"}, "values", 'resolution is " 1K "', "1K"),
    ({"resolution": "8192K"}, "values", "is not among", "2K"),
    ({"ratio": "16/9"}, "values", "is not among", "16:9"),
    ({"ratio": "whatever you like"}, "values", "is not among", "1:1"),
    ({"ratio": None}, "null", "ratio is null, where one of its values is wanted", LEFT_OUT),
    ({"level": "4"}, "values", 'level is "4", which is not among 1, 2, 4', 4),
    ({"level": 3}, "values", "level is 3, which is not among 1, 2, 4", 2),
    ({"level": True}, "values", "level is true, which is not among 1, 2, 4", 1),
    ({"twins": "HD!"}, "values", "is not among", "HD"),
    ({"style": "VIVID"}, "values", "is not among", "vivid"),
    ({"audio": "true"}, "type", 'audio is "true", where true or false is wanted', True),
    ({"audio": "False "}, "type", "where true or false is wanted", False),
    ({"audio": 1}, "type", "audio is 1, where true or false is wanted", False),
    ({"prompt": 4}, "type", "prompt is 4, where a text is wanted", "4"),
    ({"prompt": Decimal("4.50")}, "type", "prompt is 4.5, where a text is wanted", "4.5"),
    ({"prompt": None}, "null", "prompt is null, where a text is wanted", "a forest"),
    ({"prompt": "x" * 21}, "max_length", "prompt has 21 characters, the most is 20", "x" * 20),
    ({"negative_prompt": "a"}, "min_length", "negative_prompt has 1 character, the least is 3", "aaa"),
    ({"negative_prompt": "no"}, "min_length", "negative_prompt has 2 characters, the least is 3", LEFT_OUT),
    ({"code": " ABC "}, "pattern", 'code is " ABC ", which does not match ^[A-Z]{3}$', "ABC"),
    ({"code": "abc"}, "pattern", "which does not match", LEFT_OUT),
    ({"never": 2}, "max", "never is 2, the most is 1", LEFT_OUT),
    ({"number_results": 5}, "max", "number_results is 5, the most is 4", 4),
    ({"reference_images": []}, "min_items", "reference_images has 0 elements, the least is 1", LEFT_OUT),
    ({"reference_images": list("abcd")}, "max_items", "reference_images has 4 elements, the most is 3", list("abc")),
    ({"reference_images": "a"}, "type", 'reference_images is "a", where a list is wanted', ["a"]),
    ({"resolution": ["1K"]}, "values", "resolution is a list of 1 element", "1K"),
    ({"colour": "red"}, "unknown", "colour is no parameter of the model", LEFT_OUT),
]


@pytest.mark.parametrize("sent", ACCEPTED)
def test_what_the_parameters_admit_is_accepted(sent):
    assert judged(**sent) == Judged("accepted")


@pytest.mark.parametrize(("sent", "rule", "sentence", "mended"), MISTAKES)
def test_a_mistake_is_named_and_mended(sent, rule, sentence, mended):
    ((name, _),) = sent.items()
    found = judged(**sent)
    assert found.verdict == "rejected"
    problem = next(p for p in found.problems if p.rule == rule)
    assert problem.place == f"/{name}"
    assert sentence in problem.message
    assert problem.edit == Edit(f"/{name}", mended)
    expected = {**GOOD, **sent, name: mended}
    assert same(found.mended, {key: value for key, value in expected.items() if value is not MISSING})


def test_problems_of_one_value_share_one_edit():
    found = judged(strength=Decimal("1.1"))
    assert [problem.rule for problem in found.problems] == ["max", "step"]
    assert {problem.edit for problem in found.problems} == {Edit("/strength", Decimal(1))}


def test_the_sentences_say_no_more_than_people_read():
    spec = {"type": "enum", "values": [f"value {n}" for n in range(500)]}
    (problem,) = validate({"n": "prose " * 10_000}, {"params": {"n": spec}}).problems
    assert len(problem.message) < 300
    assert problem.message.endswith("and 492 more")


@pytest.mark.parametrize(
    ("value", "sentence"), [("\x1b[31m\u202eevil", 'n is "[31mevil"'), ("a\nb", 'n is "a b"'), ("", 'n is ""')]
)
def test_what_is_sent_and_what_the_vendor_names_does_not_act_on_a_terminal(value, sentence):
    (problem,) = validate({"n": value}, {"params": {"n": {"type": "integer"}}}).problems
    assert problem.message.startswith(sentence)
    (problem,) = validate({"\x1b[2Jn": 1}, {"params": {}}).problems
    assert problem.message == "[2Jn is no parameter of the model"
    assert problem.place == "/\x1b[2Jn"


RISKY: RequiredWithDefault = "risky"


@pytest.mark.parametrize("unknown", ["reject", "ignore"])
def test_a_vendor_that_may_take_the_default_leaves_open_what_is_missing(unknown):
    listed = {"params": {"n": {"type": "integer", "required": True, "default": 5}}}
    found = validate({}, listed, unknown_params=unknown, required_with_default=RISKY)
    (problem,) = found.problems
    assert (found.verdict, problem.rule, problem.decided, problem.edit) == ("undecided", "missing", False, None)
    assert problem.message == "n is required and not sent; the vendor may take its default"
    assert accepts({}, listed, required_with_default=RISKY) == "undecided"
    assert accepts({}, listed) == validate({}, listed).verdict == "rejected"


def test_no_vendor_fills_in_what_has_no_default_in_some_content():
    demanded: Json = {"type": "integer", "required": True}
    for listing in (
        {"params": {"n": demanded}},
        [{"params": {"n": {**demanded, "default": 5}}}, {"params": {"n": demanded}}],
    ):
        assert validate({}, listing, required_with_default=RISKY).verdict == "rejected"


# --- what must be sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"type": "integer", "default": 5}, 5),
        ({"type": "integer", "default": 5, "max": 4, "min": 1}, 1),
        ({"type": "enum", "values": [None, "b"]}, "b"),
        ({"type": "boolean"}, True),
        ({"type": "image"}, "example"),
        ({"type": "string", "pattern": "^x-\\d+$", "default": "x-1"}, "x-1"),
    ],
)
def test_a_missing_parameter_is_given_its_default_or_a_value(spec, value):
    found = validate({}, {"params": {"n": {**spec, "required": True}}})
    (problem,) = (p for p in found.problems if p.decided)
    assert (problem.rule, problem.message) == ("missing", "n is required and not sent")
    assert problem.edit == Edit("/n", value)
    assert found.mended == {"n": value}


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "integer", "min": 4, "max": 3},
        {"type": "enum", "values": []},
        {"type": "string", "min_length": 10**9},
        {"type": "string", "pattern": "^x-\\d+$"},
    ],
)
def test_nothing_is_made_up_where_nothing_can_be_sent(spec):
    found = validate({}, {"params": {"n": {**spec, "required": True}}})
    assert [(p.rule, p.edit) for p in found.problems] == [("missing", None)]
    assert (found.verdict, found.mended) == ("rejected", None)


def test_one_mistake_that_nothing_mends_leaves_no_mended_body():
    params = {"never": {"type": "integer", "min": 3, "max": 1, "required": True}, "n": {"type": "integer", "max": 4}}
    found = validate({"n": 5, "never": 2}, {"params": params})
    assert {p.place: p.edit for p in found.problems} == {"/n": Edit("/n", 4), "/never": None}
    assert found.mended is None


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("num_results", "number_results"), ("Duration", "duration"), ("negativePrompt", "negative_prompt")],
)
def test_a_misspelled_parameter_is_renamed_if_its_value_is_admitted(sent, meant):
    value: Json = "a cat" if "prompt" in meant.lower() else 3
    found = judged(**{sent: value})
    (problem,) = found.problems
    assert problem.message == f"{sent} is no parameter of the model; {meant} may be meant"
    assert problem.edits == (Edit(f"/{sent}", MISSING), Edit(f"/{meant}", value))
    assert found.mended == {**GOOD, meant: value}


def test_a_name_is_not_corrected_to_one_that_is_sent_or_whose_values_it_has_not():
    assert judged(num_results=3, number_results=1).mended == {**GOOD, "number_results": 1}
    assert judged(num_results="many").mended == GOOD
    assert judged(wholly_else=1).mended == GOOD


def test_a_misspelled_required_parameter_is_mended_once():
    found = validate({"promt": "a cat"}, MODEL)
    assert {p.rule: p.edits for p in found.problems} == {
        "unknown": (Edit("/promt", MISSING), Edit("/prompt", "a cat")),
        "missing": (Edit("/prompt", "a cat"),),
    }
    assert found.mended == {"prompt": "a cat"}


def test_two_misspellings_are_not_taken_for_one_parameter():
    found = validate({"durations": 4, "duratio": 5, "prompt": "a"}, MODEL)
    assert found.mended == {"prompt": "a", "duration": 4}


def test_a_vendor_that_ignores_what_it_does_not_know_is_sent_anything_but_still_what_it_demands():
    assert judged(strict=False, colour="red").verdict == "accepted"
    found = validate({"promt": "a cat"}, MODEL, unknown_params="ignore")
    assert [(p.rule, p.edit) for p in found.problems] == [("missing", Edit("/prompt", "a cat"))]


def test_the_model_is_no_parameter():
    assert validate({"model": "m"}, {"params": {}}).verdict == "accepted"
    assert validate({"model": 4}, {"params": {"model": {"type": "string", "required": True}}}).verdict == "accepted"


def test_names_are_escaped_in_places():
    found = validate({"a/b~c": 1}, {"params": {}})
    assert found.problems[0].place == "/a~1b~0c"
    assert found.mended == {}


def test_a_name_that_no_place_can_spell_is_refused_and_not_mended():
    found = validate({"\ud800": 1}, {"params": {}})
    assert (found.verdict, found.mended) == ("rejected", None)


def test_where_hardly_a_name_is_right_none_is_taken_for_another():
    params = {f"free_{n}": {"type": "integer"} for n in range(51)}
    few = {f"fre_{n}": 1 for n in range(49)}
    assert validate(few, {"params": params}).mended == {f"free_{n}": 1 for n in range(49)}
    assert validate({f"fre_{n}": 1 for n in range(51)}, {"params": params}).mended == {}


def test_a_long_name_is_corrected_in_its_case_alone():
    name = "n" * 65
    listed = {"params": {name: {"type": "integer"}}}
    assert validate({name.upper(): 1}, listed).mended == {name: 1}
    assert validate({name + "m": 1}, listed).mended == {}


# --- lists ---------------------------------------------------------------------------------------------------------


def test_an_element_is_mended_where_it_stands():
    found = judged(reference_images=["a", 2, "c"], sizes=[12, 4, "3"])
    assert [(p.place, p.rule, p.message, p.edit) for p in found.problems] == [
        ("/reference_images/1", "type", "reference_images/1 is 2, where a text is wanted",
         Edit("/reference_images/1", "2")),
        ("/sizes/0", "max", "sizes/0 is 12, the most is 9", Edit("/sizes/0", 9)),
        ("/sizes/2", "type", 'sizes/2 is "3", where a whole number is wanted', Edit("/sizes/2", 3)),
    ]  # fmt: skip
    assert found.mended == {**GOOD, "reference_images": ["a", "2", "c"], "sizes": [9, 4, 3]}


def test_an_element_that_nothing_mends_leaves_its_list():
    found = judged(reference_images=["a", None, {}, 4])
    assert {p.place: p.edit for p in found.problems} == dict.fromkeys(
        ["/reference_images", "/reference_images/1", "/reference_images/2", "/reference_images/3"],
        Edit("/reference_images", ["a", "4"]),
    )
    assert found.mended == {**GOOD, "reference_images": ["a", "4"]}


def test_lists_of_lists_are_mended_at_any_depth():
    spec = {"type": "array", "items": {"type": "array", "max_items": 2, "items": {"type": "integer[]"}}}
    found = validate({"n": [[[1, "2"]], [[], [], ["x"]]]}, {"params": {"n": spec}})
    assert [(p.place, p.rule) for p in found.problems] == [
        ("/n/0/0/1", "type"),
        ("/n/1", "max_items"),
        ("/n/1/2/0", "type"),
    ]
    assert found.mended == {"n": [[[1, 2]], [[], []]]}


def test_of_many_wrong_elements_the_first_are_told_and_the_others_counted():
    listed = {"params": {"n": {"type": "integer[]"}}}
    found = validate({"n": [1, *["x"] * 20]}, listed)
    assert (len(found.problems), found.mended) == (20, {"n": [1]})
    found = validate({"n": ["2"] * 1500}, listed)
    assert (found.verdict, len(found.problems), found.mended) == ("rejected", 21, None)
    assert {problem.edit for problem in found.problems} == {None}
    assert (found.problems[-1].place, found.problems[-1].rule) == ("/n", "items")
    assert found.problems[-1].message == "n has 1480 more elements that would be refused"


def test_of_many_elements_that_cannot_be_judged_one_that_is_refused_still_refuses():
    listed = {"params": {"n": {"type": "array", "items": {"type": "integer", "odd": True}}}}
    found = validate({"n": [1] * 50}, listed)
    assert (found.verdict, len(found.problems)) == ("undecided", 21)
    assert found.problems[-1].message == "whether 30 more elements of n would be accepted cannot be told"
    found = validate({"n": [*[1] * 50, "x"]}, listed)
    assert (found.verdict, found.problems[-1].message) == ("rejected", "n has 1 more element that would be refused")


def test_a_default_of_the_list_stands_in_for_an_empty_one():
    spec = {"type": "string[]", "min_items": 1, "default": ["a"]}
    assert validate({"n": []}, {"params": {"n": spec}}).mended == {"n": ["a"]}


def test_elements_that_nothing_is_known_of_are_told_one_by_one():
    spec = {"type": "array", "items": {"type": "image"}, "max_items": 2}
    found = validate({"n": ["a", "b"]}, {"params": {"n": spec}})
    assert [(p.place, p.rule) for p in found.problems] == [("/n/0", "undecided"), ("/n/1", "undecided")]
    assert found.verdict == "undecided"
    assert validate({"n": ["a", "b", "c"]}, {"params": {"n": spec}}).mended == {"n": ["a", "b"]}


def test_a_default_with_an_element_that_is_refused_mends_nothing():
    spec = {"type": "array", "items": {"type": "string", "max_length": 1}, "default": ["ab"], "min_items": 1}
    assert validate({}, {"params": {"n": {**spec, "required": True}}}).mended == {"n": ["a"]}


# --- what cannot be judged -----------------------------------------------------------------------------------------

UNCLEAR = [
    # spec, value, in the sentence
    ({"type": "image"}, "a.png", 'the type "image" is not known'),
    ({}, 1, "it has no type"),
    ("integer", 1, "its description is not an object"),
    (None, 1, "its description is not an object"),
    ({"type": "integer", "multiple_of": 4}, 3, "multiple_of is 4"),
    ({"type": "integer", "max": "4"}, 3, 'max is "4"'),
    ({"type": "integer", "step": 0}, 3, "step is 0"),
    ({"type": "string", "pattern": "(?=a)"}, "a", 'pattern is "(?=a)"'),
    ({"type": "string", "format": "uri"}, "a", 'format is "uri"'),
    ({"type": "enum"}, "a", "its values are not published"),
    ({"type": "enum", "values": "a, b"}, "a", "its values are not published"),
    ({"type": "array"}, ["a"], "its values are not published"),
    ({"type": "integer", "step": 2, "min": 1}, 3, "counted from 0 or from the minimum 1"),
    ({"type": "integer", "step": 2, "min": 1}, 4, "counted from 0 or from the minimum 1"),
]


@pytest.mark.parametrize(("spec", "value", "sentence"), UNCLEAR)
def test_what_is_not_understood_is_left_open_and_said(spec, value, sentence):
    found = validate({"n": value}, {"params": {"n": spec}})
    assert (found.verdict, found.mended) == ("undecided", None)
    (problem,) = found.problems
    assert (problem.place, problem.rule, problem.decided, problem.edit) == ("/n", "undecided", False, None)
    assert sentence in problem.message


def test_a_definite_mistake_refuses_whatever_else_is_unclear():
    params = {"n": {"type": "integer", "max": 4, "odd": True}, "image": {"type": "image"}}
    found = validate({"n": 5, "image": "a.png"}, {"params": params})
    assert (found.verdict, found.mended) == ("rejected", {"n": 4, "image": "a.png"})
    assert [(p.rule, p.decided) for p in found.problems] == [("max", True), ("undecided", False)]


@pytest.mark.parametrize("spec", ["integer", None, 4, {"type": "integer", "required": "yes"}])
def test_whether_a_parameter_must_be_sent_may_be_unclear(spec):
    found = validate({}, {"params": {"n": spec}})
    assert [(p.place, p.rule, p.decided) for p in found.problems] == [("/n", "undecided", False)]


@pytest.mark.parametrize(
    "body", [{}, {"params": None}, {"params": []}, {"params": "none"}, None, 4, "m", [], [None], [[]]]
)
def test_parameters_that_are_not_published_leave_everything_open(body):
    found = validate({"model": "m", "anything": [1]}, body)
    assert [(p.place, p.rule, p.decided) for p in found.problems] == [("", "schema", False)]
    assert found.verdict == "undecided"


def test_no_parameters_is_not_the_same_as_none_published():
    assert validate({"n": 1}, {"params": {}}).verdict == "rejected"


def test_a_step_beside_a_minimum_refuses_what_is_off_both_its_grids():
    spec = {"type": "integer", "step": 4, "min": 1}
    found = validate({"n": 7}, {"params": {"n": spec}})
    assert [(p.rule, p.decided) for p in found.problems] == [("step", True)]
    # Nothing lies on both grids, so the nearest of either it is.
    assert found.mended == {"n": 8}


# --- contents that conflict ----------------------------------------------------------------------------------------


def both(first: Json, second: Json, **sent: Json) -> Judged:
    return validate(sent, [{"params": first}, {"params": second}])


def test_conflicting_contents_must_all_accept():
    low, high = {"type": "integer", "max": 4}, {"type": "integer", "min": 3}
    assert both({"n": low}, {"n": high}, n=3).verdict == "accepted"
    found = both({"n": low}, {"n": high}, n=1)
    assert ([p.rule for p in found.problems], found.mended) == (["min"], {"n": 3})
    found = both({"n": low}, {"n": {"type": "integer", "step": 3}}, n=5)
    assert ([p.rule for p in found.problems], found.mended) == (["max", "step"], {"n": 3})


def test_what_one_content_makes_of_a_number_is_fitted_into_the_other():
    assert both({"n": {"type": "integer", "step": 3}}, {"n": {"type": "integer", "min": 4}}, n=0).mended == {"n": 6}


def test_every_content_has_its_say_about_what_only_some_know():
    found = both({"n": {"type": "integer"}}, {}, n="x")
    assert [(p.rule, p.edit) for p in found.problems] == [
        ("unknown", Edit("/n", MISSING)),
        ("type", Edit("/n", MISSING)),
    ]
    assert found.problems[0].message == "n is no parameter of some of the contents listed under this slug"
    assert found.mended == {}


def test_what_one_content_demands_and_another_refuses_cannot_be_mended():
    must = {"n": {"type": "integer", "required": True}}
    found = both(must, {})
    assert ([(p.rule, p.edit) for p in found.problems], found.mended) == ([("missing", None)], None)
    found = both(must, {}, n=1)
    assert ([(p.rule, p.edit) for p in found.problems], found.mended) == ([("unknown", None)], None)


def test_a_content_that_does_not_publish_its_parameters_leaves_open_what_the_other_accepts():
    bodies = [{"params": {"n": {"type": "integer"}}}, {"params": None}]
    assert validate({"n": 1}, bodies).verdict == "undecided"
    assert validate({"n": "x"}, bodies).verdict == "rejected"


# --- saved requests ------------------------------------------------------------------------------------------------


def test_a_saved_request_names_its_model_and_its_keys():
    request = SavedRequest("nightly", {"model": "m", "n": 4}, ("prod-*", "dev"))
    assert (request.model, request.params) == ("m", {"n": 4})
    assert [name for name in ("prod-1", "dev", "dev-2", "Prod-1") if request.is_for(name)] == ["prod-1", "dev"]
    assert SavedRequest("any", {"model": 4}).model == ""
    assert SavedRequest("any", {}).is_for("whatever")


# --- the gate: an unrelated validator agrees on every small spec ---------------------------------------------------


def exact(request: Mapping[str, Json]) -> dict[str, Json]:
    """The request as syncd decodes it: no binary fractions."""
    return {name: Decimal(value) if isinstance(value, float) else value for name, value in request.items()}


def plain(request: Mapping[str, Json]) -> dict[str, Json]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in request.items()}


@cache
def verdicts(number: int, *, required: bool) -> list[Judged]:
    """What is said of every request of the universe by that small spec."""
    listed = model(SPECS[number], required=required)
    return [validate(exact(request), listed) for request in REQUESTS]


def is_read(spec: Json) -> bool:
    """Whether syncd can read all of the spec; one is a pattern with lookahead, which it cannot."""
    return spec is None or compat.domain(spec).decided


@pytest.mark.parametrize("required", [False, True])
def test_the_verdict_is_that_of_an_unrelated_validator_and_open_where_the_readings_of_the_grid_differ(required):
    wrong = []
    for number, spec in enumerate(SPECS):
        from_zero, from_minimum = accepted(number, required=required)
        for n, found in enumerate(verdicts(number, required=required)):
            agreed = "accepted" if n in from_zero else "rejected"
            expected = agreed if (n in from_zero) == (n in from_minimum) else "undecided"
            left_open = found.verdict == "undecided" and not is_read(spec)
            if found.verdict != expected and not left_open:
                wrong.append(f"{spec} {REQUESTS[n]}: {found.verdict}, not {expected}")
    assert wrong == []


@pytest.mark.parametrize("required", [False, True])
def test_whatever_can_be_mended_is_and_the_unrelated_validator_accepts_it(required):
    wrong = []
    for number, spec in enumerate(SPECS):
        sides = readings(number, required=required)
        possible = {n for side in accepted(number, required=required) for n in side}
        # Null mends nothing: where an edit is written as JSON, it stands for leaving the parameter out.
        can_be_mended = any(REQUESTS[n].get("p", "") is not None for n in possible)
        for request, found in zip(REQUESTS, verdicts(number, required=required), strict=True):
            mends = found.mended is None or any(side.accepts(plain(found.mended)) for side in sides)
            if not mends and is_read(spec):
                wrong.append(f"{spec} {request} is mended to {found.mended}")
            # Of texts that an unreadable pattern narrows none is made up.
            if found.mended is None and found.verdict == "rejected" and can_be_mended and is_read(spec):
                wrong.append(f"{spec} {request} is not mended")
    assert wrong == []


# --- laws ----------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(-20, 20),
    st.decimals(-20, 20, places=2),
    st.sampled_from([10**399, -(10**398), Decimal("1E-300"), Decimal("-0.0")]),
)
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.one_of(
    st.text(LETTERS, max_size=6), st.sampled_from(["1K", "1k", "true", "4", "4.5", "1e400", "\u202e", "0", "-1"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=6,
)
TYPES = st.sampled_from(["integer", "number", "string", "enum", "boolean", "select", "array", "string[]", "image", 4])
BOUNDS = st.one_of(st.integers(-5, 15), st.sampled_from([Decimal("0.5"), "4", None]))


def spec_of(items: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": TYPES},
        optional={
            "required": st.sampled_from([True, False, "yes"]),
            "default": VALUES,
            "nullable": st.booleans(),
            "min": BOUNDS,
            "max": BOUNDS,
            "step": st.sampled_from([1, 2, 3, Decimal("0.5"), Decimal("1.5"), 0]),
            "min_length": st.integers(0, 4),
            "max_length": st.integers(0, 5),
            "min_items": st.integers(0, 2),
            "max_items": st.integers(0, 3),
            "pattern": st.sampled_from(["^a+$", "[", ".*", "4"]),
            "values": st.lists(VALUES, max_size=4),
            "items": items,
            "odd": VALUES,
        },
    )


SPEC = st.one_of(spec_of(st.one_of(VALUES, spec_of(VALUES))), VALUES)
NAMES = st.sampled_from(["n", "size", "sizes", "a/b", "~", "model", "number_results", "num_results"])
MODELS = st.fixed_dictionaries({"params": st.dictionaries(NAMES, SPEC, max_size=4)})
LISTINGS = st.one_of(MODELS, st.lists(MODELS, min_size=2, max_size=2), VALUES)
BODIES = st.dictionaries(NAMES, VALUES, max_size=4)
REQUIRED: tuple[RequiredWithDefault, ...] = ("breaking", RISKY)


@laws
@given(BODIES, LISTINGS, st.sampled_from(["reject", "ignore"]))
def test_nothing_raises_and_what_is_mended_is_not_refused(body, listing, unknown):
    before = canonical([body, listing])
    found = validate(body, listing, unknown_params=unknown)
    assert canonical([body, listing]) == before
    for required in REQUIRED:
        whole = validate(body, listing, unknown_params=unknown, required_with_default=required)
        assert accepts(body, listing, unknown_params=unknown, required_with_default=required) == whole.verdict
    decided = {problem.decided for problem in found.problems}
    assert found.verdict == ("rejected" if True in decided else "undecided" if decided else "accepted")
    for problem in found.problems:
        assert problem.decided or not problem.edits
        assert "\n" not in problem.message
    if found.mended is not None:
        assert found.verdict == "rejected"
        again = validate(found.mended, listing, unknown_params=unknown)
        assert again.verdict != "rejected"
        # It is JSON that can be sent.
        assert same(decode(dumps(found.mended)).value, found.mended)


@laws
@given(BODIES, MODELS)
def test_nothing_is_edited_that_is_not_wrong(body, listing):
    found = validate(body, listing)
    if found.mended is not None:
        wrong = {problem.place for problem in found.problems if problem.decided}
        for name in body:
            place = "/" + name.replace("~", "~0").replace("/", "~1")
            if not any(p == place or p.startswith(place + "/") for p in wrong):
                assert same(found.mended[name], body[name])


@laws
@given(NUMBERS, BOUNDS, BOUNDS, st.sampled_from([None, 1, 3, Decimal("0.5")]))
def test_no_admitted_number_is_nearer_than_the_one_that_mends(value, low, high, step):
    spec = {"type": "number", "min": low, "max": high, "step": step, "required": True}
    found = validate({"n": value}, {"params": {"n": spec}})
    if found.mended is None:
        return
    away = abs(Fraction(found.mended["n"]) - Fraction(value))
    quarters = (Fraction(n, 2) for n in range(-60, 61))
    admitted = (
        number
        for number in quarters
        if any(
            compat.contains(compat.domain(spec, grid_at_min=at_min), Decimal(number.numerator) / number.denominator)
            for at_min in (False, True)
        )
    )
    assert all(abs(number - Fraction(value)) >= away for number in admitted)
