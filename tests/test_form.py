"""The form of a model: its JSON Schema against the program's own verdicts, its rows, and the command.

The schema is held against `compat.contains`, value by value, over the small specs that the verdicts are proved on.
"""

# ruff: noqa: FBT003 - they are JSON's true and false, not flags
from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from syncd.cli.form import pretty
from syncd.core import compat
from syncd.core.canon import decode, dumps
from syncd.core.form import COLUMNS, fields, for_people, for_programs
from syncd.core.json_schema import of_request, of_spec
from syncd.core.requests import validate
from syncd.demo.vendor import SimulatedVendor, real_models, sample_models
from tests.program import Home, Result
from tests.test_compat_exhaustive import SPECS, UNIVERSE, array, enum, integer, number, string
from tests.test_findings import HOSTILE, JSON, REQUIRED

WAN = real_models()[1]
MORE: tuple[Any, ...] = (
    {"type": "int", "max": 3},
    {"type": "float", "min": 1},
    {"type": "double", "step": Decimal("0.5")},
    {"type": "select", "values": ["a", "a", 1, True]},
    {"type": "choice", "values": [0, 1, False]},
    {"type": "integer[]", "max_items": 2},
    {"type": "bool[]", "min_items": 1},
    array(array(integer(max=1), max_items=1)),
    array({"type": "image"}, max_items=1),
    {"type": "array"},
    {"type": "array", "items": "string"},
    {"type": "enum"},
    {"type": "enum", "nullable": True},
    {"type": "image", "max": 1},
    {"type": None},
    {},
    None,
    integer(max="4"),
    integer(max=4, unit="s"),
    integer(max=4, max_length=1),
    number(step=0, min=1),
    string(pattern="^a"),
    string(pattern="a{2}|^$", nullable=True),
    string(max_length=Decimal("-0.5"), nullable=True),
    string(max_length=-1, nullable=True),
    array(integer(), max_items=-1, nullable=True),
    array(integer(), min_items=Decimal("0.5"), max_items=Decimal("1.5")),
)
SMALL: tuple[Any, ...] = tuple(spec for spec in SPECS if spec is not None) + MORE


def loaded(schema: Any) -> Any:
    """The schema as any program would read it. All numbers here are binary fractions, so nothing is rounded."""
    return json.loads(dumps(schema))


def exact(value: Any) -> Any:
    """A value of the universe as syncd decodes it."""
    return Decimal(str(value)) if isinstance(value, float) else value


# --- the schema of a parameter ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SMALL)
def test_a_schema_admits_exactly_what_the_parameter_does(spec):
    schema = loaded(of_spec(spec))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    domain = compat.domain(spec)
    wrong = [value for value in UNIVERSE if validator.is_valid(value) != compat.contains(domain, exact(value))]
    assert wrong == []


TRANSLATED = [
    (string(max_length=2000, **REQUIRED), {"type": "string", "maxLength": 2000}),
    (string(min_length=Decimal("1.5"), max_length=Decimal("3.5")), {"type": "string", "minLength": 2, "maxLength": 3}),
    (string(pattern="^[a-z]+$"), {"type": "string", "pattern": "^[a-z]+$"}),
    ({"type": "int", "min": 1, "max": 4, "default": 1}, {"type": "integer", "minimum": 1, "maximum": 4, "default": 1}),
    ({"type": "float", "step": Decimal("0.1")}, {"type": "number", "multipleOf": Decimal("0.1")}),
    ({"type": "bool", "default": False}, {"type": "boolean", "default": False}),
    ({"type": "select", "values": ["1K", "2K"]}, {"enum": ["1K", "2K"]}),
    (enum("a", 1, "a", Decimal("1.0"), True), {"enum": ["a", 1, True]}),
    (integer(nullable=True, default=None), {"type": ["integer", "null"], "default": None}),
    (enum("a", nullable=True), {"enum": ["a", None]}),
    ({"type": "string[]", "max_items": 3}, {"type": "array", "maxItems": 3, "items": {"type": "string"}}),
    (
        string(description="what to draw", deprecated=True),
        {"description": "what to draw", "type": "string", "deprecated": True},
    ),
]


@pytest.mark.parametrize(("spec", "expected"), TRANSLATED)
def test_of_a_parameter(spec, expected):
    assert dumps(of_spec(spec)) == dumps(expected)


REMARKED = [
    ({"type": "image", "max": 4}, 'the type "image" is not known'),
    (None, "is no object but null"),
    ({"type": "enum"}, "its values are not published"),
    (integer(unit="s"), "unit is not known"),
    (integer(max="4"), 'max cannot be "4"'),
    (string(max=4), "max means nothing on the type string"),
    (string(pattern="("), "pattern cannot be"),
    (string(pattern=r"^\pL+$"), "the pattern means different things to different validators"),
    (string(pattern="(?i)a"), "the pattern means different things to different validators"),
    (integer(min=4, max=3), "admits no value"),
    (string(max_length=-1), "admits no value"),
    (number(min=1, step=2), "whether the step counts from zero or from the minimum is not published"),
]


@pytest.mark.parametrize(("spec", "why"), REMARKED)
def test_what_could_not_be_translated_is_said(spec, why):
    assert why in of_spec(spec)["$comment"]


def test_of_what_is_odd_about_the_elements_they_say_it_themselves():
    made = of_spec(array({"type": "image", "unit": "px"}))
    assert "$comment" not in made
    assert made["items"] == {"$comment": 'the type "image" is not known'}


def test_a_step_that_counts_the_same_from_both_is_not_remarked():
    assert "$comment" not in of_spec(number(min=2, max=10, step=2))


PATTERNS = ["a", "^a+$", r"^\d{2,3}\.\w*$", "[^a-z]", "(?:a|b)?", r"\/\-\.", "\u00e9", "^[a-z\\]]$", r"^a\\$"]
DIALECTS = [r"\pL", r"\Qa.b\E", r"\z", r"\Aa", r"\x{10FFFF}", "(?P<n>a)", "(?s).", "[[:alpha:]]", "[^]]", r"\C"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_all_read_alike_is_kept(pattern):
    assert of_spec(string(pattern=pattern))["pattern"] == pattern
    Draft202012Validator(of_spec(string(pattern=pattern))).is_valid("a")


@pytest.mark.parametrize("pattern", DIALECTS)
def test_a_pattern_in_a_dialect_is_left_out(pattern):
    assert "pattern" not in of_spec(string(pattern=pattern))


# --- the schema of a request -----------------------------------------------------------------------------------------


def test_of_a_model():
    schema = of_request(WAN["slug"], WAN)
    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wan 2.7 Text to Video",
        "description": WAN["description"],
        "type": "object",
        "properties": {
            "model": {"const": "wan-2.7-text-to-video"},
            "prompt": {"type": "string"},
            "duration": {"default": 5, "type": "integer", "minimum": 2, "maximum": 10},
            "resolution": {"default": "1080p", "enum": ["720p", "1080p"]},
            "audio": {"default": False, "type": "boolean"},
        },
        "required": ["model", "prompt"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("sample", sample_models(), ids=lambda sample: sample["slug"])
def test_the_vendor_s_own_examples_are_valid(sample):
    schema = loaded(of_request(sample["slug"], decode(json.dumps(sample)).value))
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(sample["example_request"])
    assert not Draft202012Validator(schema).is_valid({**sample["example_request"], "frobnicate": 1})
    assert not Draft202012Validator(schema).is_valid({**sample["example_request"], "model": "another"})


def test_parameters_that_are_not_known_may_be_let_pass():
    schema = of_request(WAN["slug"], WAN, unknown_params="ignore")
    assert schema["additionalProperties"] is True
    assert Draft202012Validator(schema).is_valid({**WAN["example_request"], "frobnicate": 1})


@pytest.mark.parametrize("body", [{"slug": "m"}, {"slug": "m", "params": None}, {"slug": "m", "params": []}])
def test_a_model_whose_parameters_are_not_published(body):
    schema = of_request("m", body)
    assert "does not publish" in schema["$comment"]
    assert Draft202012Validator(schema).is_valid({"model": "m", "anything": 1})
    assert not Draft202012Validator(schema).is_valid({"anything": 1})


def test_contents_that_conflict_have_to_accept_it_all():
    variants = [{"params": {"n": integer(max=4), "a": string()}}, {"params": {"n": {**integer(min=2), **REQUIRED}}}]
    validator = Draft202012Validator(of_request("m", variants))
    cases = {
        '{"model":"m","n":3}': True,
        '{"model":"m","n":5}': False,
        '{"model":"m","n":1}': False,
        '{"model":"m"}': False,
        '{"model":"m","n":3,"a":"x"}': False,
    }
    for text, valid in cases.items():
        body = json.loads(text)
        assert validator.is_valid(body) == valid == (validate(body, variants).verdict == "accepted"), text


def test_what_names_the_model_is_no_parameter():
    schema = of_request("m", {"params": {"model": {**integer(), **REQUIRED}}})
    assert (schema["properties"], schema["required"]) == ({"model": {"const": "m"}}, ["model"])


DECIDED = [spec for spec in SMALL if compat.domain(spec).decided and not compat.anchors_matter(spec)]


@pytest.mark.parametrize("spec", DECIDED)
def test_a_request_is_valid_exactly_if_the_program_accepts_it(spec):
    model = {"slug": "m", "params": {"p": {**spec, **REQUIRED}, "q": {**spec}}}
    validator = Draft202012Validator(loaded(of_request("m", model)))
    for value in UNIVERSE[::7]:
        for sent in ({"p": value}, {"q": value}, {"p": value, "q": value}, {"p": value, "r": value}):
            verdict = validate({"model": "m", **{name: exact(one) for name, one in sent.items()}}, model).verdict
            assert validator.is_valid({"model": "m", **sent}) == (verdict == "accepted"), sent


def test_numbers_are_written_as_they_are():
    huge = "1" + "0" * 60
    text = '{"params":{"n":{"type":"number","step":0.1,"min":0.30,"max":%s,"values":[1E+2,0.1]}}}' % huge  # noqa: UP031
    written = pretty(of_request("m", decode(text).value))
    for spelled in ('"multipleOf": 0.1', '"minimum": 0.30', f'"maximum": {huge}', '"enum": [1E+2, 0.1]'):
        assert re.search(re.escape(spelled) + "[,}\n]", written), written


@settings(max_examples=300, deadline=None)
@given(HOSTILE, st.sampled_from(["reject", "ignore"]))
def test_whatever_a_vendor_lists_has_a_valid_schema_and_a_form(body, unknown_params):
    body = decode(dumps(body)).value
    for content in (body, [body, {}]):
        written = pretty(of_request("m", content, unknown_params=unknown_params))
        Draft202012Validator.check_schema(json.loads(written))
        Draft202012Validator(json.loads(written)).is_valid({"model": "m", "p": "a", "q": 1})
        for one in fields(content) or []:
            assert tuple(for_programs(one)) == COLUMNS
            dumps(for_programs(one))
            for_people(one)


@given(JSON)
def test_pretty_is_the_same_document(value):
    value = decode(dumps(value)).value
    assert dumps(decode(pretty(value)).value) == dumps(value)


# --- the rows --------------------------------------------------------------------------------------------------------


def told(spec: Any) -> dict[str, Any]:
    """A parameter as people read it, without what is empty."""
    (one,) = fields({"params": {"p": spec}}) or []
    return {name: value for name, value in for_people(one).items() if value is not None and name != "field"}


SAID = [
    (string(max_length=2000, **REQUIRED), {"kind": "string", "required": True, "bounds": "at most 2000 characters"}),
    (string(min_length=1, max_length=9), {"kind": "string", "bounds": "1 to 9 characters"}),
    (string(pattern="^a"), {"kind": "string", "bounds": "matches ^a"}),
    (integer(min=1), {"kind": "integer", "bounds": "at least 1"}),
    (
        number(min=0, max=1, step=Decimal("0.1"), default=0),
        {"kind": "number", "bounds": "0 to 1, in steps of 0.1", "default": "0"},
    ),
    (enum("1K", "1"), {"kind": "enum", "choices": '1K, "1"'}),
    (enum(*range(50)), {"kind": "enum", "choices": ", ".join(map(str, range(40))) + " and 10 more"}),
    ({"type": "string[]", "max_items": 3}, {"kind": "string[]", "bounds": "at most 3 items"}),
    (array(array({"type": "int"})), {"kind": "integer[][]"}),
    (array({"type": "image"}), {"kind": "array", "remark": 'the type "image" is not known'}),
    (integer(nullable=True, description="d"), {"kind": "integer or null", "description": "d"}),
    ({"type": "image"}, {"kind": "image", "remark": 'the type "image" is not known'}),
    (None, {"kind": "?", "remark": "is no object but null"}),
]


@pytest.mark.parametrize(("spec", "expected"), SAID)
def test_of_a_parameter_in_words(spec, expected):
    assert told(spec) == {"required": False, **expected}


def test_what_cannot_be_read_is_no_bound():
    (one,) = fields({"params": {"p": integer(max="4", min=1, max_length=3)}}) or []
    assert one.limits == {"min": 1}


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Two keys whose video model differs. For reading."""
    with SimulatedVendor() as vendor:
        home = Home(tmp_path_factory.mktemp("form"), vendor, "prod", "spare")
        home.account("spare").models[1]["params"]["duration"]["max"] = 8
        home.account("prod").models += [
            {"slug": "hidden"},
            {"slug": "late", "params": {"first": string(), "second": {**string(), **REQUIRED}, "third": string()}},
            {"slug": "twice", "params": {"n": integer(max=4)}},
            {"slug": "twice", "params": {"n": integer(max=5)}},
            {"slug": "\x1b[31mred", "params": {"\x1b[2Jn": {"type": "\x1b[2J", "description": "\x9b31m\u202e"}}},
            {"slug": "exact", "params": {"n": number(step=0.1, min=1e-7), "free": {"type": "string"}}},
        ]
        assert home.run("once").code == 0
        yield home


def wan(home: Home, *options: str, key: str = "prod") -> Result:
    return home.run("form", WAN["slug"], "--key", key, *options)


def test_a_form_for_people(home):
    shown = wan(home, "--format", "table")
    assert (shown.code, shown.err) == (0, "")
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[0] == ["field", "kind", "required", "bounds", "choices", "default"]
    assert [row[0] for row in rows[2:]] == ["prompt", "duration", "resolution", "audio"]
    assert rows[3] == ["duration", "integer", "no", "2", "to", "10", "–", "5"]  # noqa: RUF001 - the dash of tables


def test_what_must_be_sent_comes_first_for_people(home):
    table, lines = (home.run("form", "late", "--format", form) for form in ("table", "jsonl"))
    assert [line.split()[0] for line in table.out.splitlines()[2:]] == ["second", "first", "third"]
    assert [json.loads(line)["field"] for line in lines.out.splitlines()] == ["first", "second", "third"]


def test_a_form_for_programs(home):
    as_json, lines, as_csv, piped = home.run_all(
        *(("form", WAN["slug"], "--key", "prod", "--format", form) for form in ("json", "jsonl", "csv")),
        ("form", WAN["slug"], "--key", "prod"),
    )
    rows = json.loads(as_json.out)
    assert [json.loads(line) for line in lines.out.splitlines()] == rows
    assert piped.out == lines.out
    assert rows[2] == {
        **dict.fromkeys(COLUMNS),
        "field": "resolution",
        "kind": "enum",
        "required": False,
        "choices": ["720p", "1080p"],
        "default": "1080p",
        "nullable": False,
    }
    cells = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert tuple(cells[0]) == COLUMNS
    assert (cells[1]["min"], cells[1]["max"], cells[1]["default"]) == ("2", "10", "5")
    assert (cells[2]["choices"], cells[2]["default"]) == ('["720p","1080p"]', '"1080p"')
    assert (cells[0]["required"], cells[0]["default"]) == ("true", "")


def test_numbers_come_out_as_the_vendor_wrote_them(home):
    shown = home.run("form", "exact", "--format", "jsonl")
    assert '"step":0.1,' in shown.out
    assert '"min":1E-7,' in shown.out
    assert '"multipleOf": 0.1' in home.run("form", "exact", "--format", "json-schema").out


def test_the_schema_of_a_request(home):
    of_prod, of_spare = (json.loads(wan(home, "--format", "json-schema", key=key).out) for key in ("prod", "spare"))
    assert of_prod == of_request(WAN["slug"], WAN)
    assert of_spare["properties"]["duration"]["maximum"] == 8


def test_the_rules_of_the_configuration_hold(home):
    lenient = home.folder / "lenient.toml"
    lenient.write_text((home.folder / "config.toml").read_text() + '[rules]\nunknown_params = "ignore"\n')
    shown = home.run("--config", str(lenient), "form", "exact", "--format", "json-schema")
    assert json.loads(shown.out)["additionalProperties"] is True


def test_no_secret_is_needed(home):
    assert home.run("form", "exact", "--format", "json-schema", drop=("KEY_PROD", "KEY_SPARE")).code == 0


def test_a_model_that_keys_see_differently_needs_a_key(home):
    refused = home.run("form", WAN["slug"])
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "syncd: wan-2.7-text-to-video is listed with different contents; choose a key with --key: prod, spare\n"
    )


def test_a_model_that_keys_see_alike_needs_none(home):
    assert home.run("form", "grok-imagine-image-quality").code == 0


def test_a_model_that_nobody_lists(home):
    misspelled, part, strange, other, unknown = home.run_all(
        ("form", "wan-2.7-text-to-vidoe"),
        ("form", "LANTERN"),
        ("form", "\x1b[31mzzzz"),
        ("form", "exact", "--key", "spare"),
        ("form", "exact", "--key", "nobody"),
    )
    for refused in (misspelled, part, strange, other, unknown):
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.count("\n") == 1
        assert "\x1b" not in refused.err
    assert misspelled.err.startswith(
        "syncd: no model 'wan-2.7-text-to-vidoe' is listed; closest: wan-2.7-text-to-video"
    )
    assert "closest: simulated:lantern@1, late" in part.err
    assert strange.err == "syncd: no model '[31mzzzz' is listed; `syncd models` shows them all\n"
    assert other.err.startswith("syncd: no model 'exact' is listed for key spare; ")
    assert unknown.err == "syncd: there is no key 'nobody'; keys: prod, spare\n"


def test_parameters_that_are_not_published(home):
    table, schema = (home.run("form", "hidden", "--format", form) for form in ("table", "json-schema"))
    note = "syncd: the vendor does not publish the parameters of hidden\n"
    assert (table.code, table.out, table.err) == (0, "", note + "nothing to show\n")
    assert (schema.code, schema.err) == (0, note)
    assert json.loads(schema.out)["required"] == ["model"]


def test_a_model_that_is_listed_twice(home):
    schema, rows = (home.run("form", "twice", "--format", form) for form in ("json-schema", "json"))
    assert (schema.code, rows.code) == (0, 0)
    assert "listed 2 times with different contents" in schema.err
    assert sorted(one["properties"]["n"]["maximum"] for one in json.loads(schema.out)["allOf"]) == [4, 5]
    assert [(row["field"], row["variant"]) for row in json.loads(rows.out)] == [("n", 1), ("n", 2)]


def test_hostile_names_are_harmless_on_a_terminal(home):
    assert "\x1b" not in home.run("form", "\x1b[31mred", "--format", "table").said
    for form in ("jsonl", "json-schema"):
        said = home.run("form", "\x1b[31mred", "--format", form).said
        assert "\\u009b31m\\u202e" in said
        assert re.findall("[\x1b\x7f-\x9f\u202e]", said) == []


def test_nothing_is_listed_yet(tmp_path: Path):
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "prod")
        assert home.run("migrate").code == 0
        asked = home.run("form", "exact")
    assert (asked.code, asked.out) == (2, "")
    assert "no model is listed yet" in asked.err


# --- the page --------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "form.md").read_text("utf-8")


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("block", re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL), ids=["table", "schema"])
def test_the_page_shows_what_the_command_says(home, block):
    command, _, said = block.partition("\n")
    shown = home.run(*command.removeprefix("$ syncd ").split(), "--key", "prod")
    assert stripped(shown.out) == stripped(said)


def test_the_page_s_example_runs(home, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "schema.json").write_text(wan(home, "--format", "json-schema").out)
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert stripped(ran.stdout) == stripped(said)


def test_the_page_names_every_column():
    table = PAGE.partition("| column | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:])) == list(COLUMNS)


def test_tenths_are_exact_for_those_who_read_them_so():
    text = dumps(of_request("m", {"params": {"n": number(step=Decimal("0.1"))}}))
    validator = Draft202012Validator(json.loads(text, parse_float=Decimal))
    assert validator.is_valid(json.loads('{"model": "m", "n": 0.3}', parse_float=Decimal))
    assert not validator.is_valid(json.loads('{"model": "m", "n": 0.35}', parse_float=Decimal))
