"""`syncd diff` as a process: two saved responses, two times, two keys; and what it says of files that are none."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.cli.diff import _changes as compared
from syncd.cli.diff_report import write_rows, write_text
from syncd.cli.diff_sources import Side, Sides
from syncd.cli.output import Format, brief, encoded, escaped, write
from syncd.core.canon import canonical
from syncd.core.catalog import document
from syncd.core.changes import Policy
from syncd.core.reading import Listing, Refused
from syncd.demo.vendor import made_up_models
from syncd.providers import vivix
from syncd.store import Store, as_of
from tests import diff_page
from tests.conftest import Clock
from tests.diff_page import COMMAND, EXAMPLES, environment, on_a_terminal
from tests.watching import Watch, listing, listing_text, model, watching, with_price

A, B, C = model("a"), model("b"), model("c")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line, parse_float=Decimal) for line in self.out.splitlines()]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(row["kind"], row["severity"]) for row in self.rows]

    @property
    def notes(self) -> list[str]:
        return [line.removeprefix("note: ") for line in self.err.splitlines() if line.startswith("note: ")]


def diff(folder: Path, *arguments: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> Ended:
    done = subprocess.run(
        [*COMMAND, "diff", *arguments],
        cwd=folder,
        env=environment(folder, **(environ or {})),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ended.err, ended.err
    assert "this is a bug" not in ended.err, ended.err
    return ended


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


class Files:
    """Two saved responses in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def diff(self, old: bytes, new: bytes, *arguments: str, **environ: str) -> Ended:
        (self.folder / "old.json").write_bytes(old)
        (self.folder / "new.json").write_bytes(new)
        return diff(self.folder, "old.json", "new.json", *arguments, environ=environ)

    def write(self, name: str, content: str | bytes | dict[str, Any]) -> str:
        data = json.dumps(content) if isinstance(content, dict) else content
        (self.folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return name


def of_param(**spec: object) -> bytes:
    return listing(model("a", params={"n": spec}))


# --- the page ------------------------------------------------------------------------------------------------------


def test_what_the_page_shows_is_what_is_printed() -> None:
    text = diff_page.PAGE.read_text("utf-8")

    assert diff_page.CONSOLE.search(text)
    assert diff_page.JSON.search(text)
    assert text == diff_page.page(), "python -m tests.diff_page puts in what is printed now"


def test_the_page_shows_each_sort_of_change_with_its_severity() -> None:
    found = diff(EXAMPLES, "old.json", "new.json")

    assert sorted((row["slug"] or "", row["kind"], row["severity"]) for row in found.rows) == [
        ("", "account.credits-balance.changed", "informational"),
        ("aurora-still", "credits.band.raised", "risky"),
        ("aurora-still", "param.enum.value-removed", "breaking"),
        ("meridian-clip", "param.became-required", "breaking"),
        ("meridian-clip", "param.max.lowered", "breaking"),
        ("meridian-clip", "param.max.lowered", "informational"),
        ("tidal-voice", "model.removed", "breaking"),
        ("tidal-voice-1.0", "model.added", "additive"),
    ]
    proofs = {row["path"]: row["witness"] for row in found.rows if row["witness"]}
    assert proofs["/models/meridian-clip/params/frame_rate/max"]["frame_rate"] == 60


# --- for people ----------------------------------------------------------------------------------------------------


def test_colours_are_for_terminals_alone(files: Files) -> None:
    ended = files.diff(listing(A), listing(B), "--format", "table")
    _, screen = on_a_terminal(files.folder, "diff", "old.json", "new.json")
    _, plain = on_a_terminal(files.folder, "diff", "old.json", "new.json", NO_COLOR="1")

    assert "\x1b[" in screen
    assert re.sub(r"\x1b\[[0-9;]*m", "", screen) == plain == ended.out


def test_the_worst_comes_first_of_models_and_within_each(files: Files) -> None:
    old = listing(model("a", name="A", price=(1, 2)), B, model("c", category="image"))
    new = listing(model("a", name="AA", price=(2, 4)), model("c", category="video"), model("d"))
    lines = files.diff(old, new, "--format", "table").out.splitlines()

    assert [line for line in lines[:-1] if line and not line.startswith(" ")] == ["b", "a", "c", "d"]
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == [
        *("breaking", "risky", "informational", "risky", "additive")
    ]
    assert lines[-1] == "1 breaking, 2 risky, 1 additive, 1 informational"


def test_nothing_that_differs_is_said_to_be_so(files: Files) -> None:
    assert files.diff(listing(A, B), listing(B, A), "--format", "table").out == "no change (2 models compared)\n"
    assert files.diff(listing(A), listing(A), "--format", "json").out == "[]\n"
    assert files.diff(listing(A), listing(A)).out == ""
    assert files.diff(listing(A), listing(A), "--format", "csv").out.count("\n") == 1


def test_a_vendor_s_text_acts_on_no_terminal(files: Files) -> None:
    hostile = model("a\x1b[2Jb\u202ec", name="\x9b31mred")
    for form in ("table", "json", "jsonl"):
        out = files.diff(listing(A), listing(hostile), "--format", form).out
        assert "red" in out or form == "table"
        assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out) == []


def test_json_is_the_vendor_s_text_all_the_same(files: Files) -> None:
    name = "\x9b31m\u202ered\x1b\U000e0041"
    (row,) = files.diff(listing(A), listing(model("a", name=name))).rows
    assert row["new"] == name


def test_a_proof_is_shown_with_what_is_not_seen() -> None:
    assert brief({"resolution": "4K\u202e"}, 100) == '{"resolution":"4K\\u202e"}'
    # The sign of the kelvin, which looks like a letter and is none, stays what it is.
    assert brief("4\u212a", 100) == '"4\u212a"'
    assert brief("a" * 100, 10) == '"aaaaaaaa…'


@given(st.text())
def test_what_json_escapes_is_the_same_and_acts_on_nothing(text: str) -> None:
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == text
    assert re.findall("[\0-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\ud800-\udfff]", encoded(text)) == []


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


def test_csv_is_harmless_on_a_terminal_and_exact_elsewhere() -> None:
    hostile = "\x1b[31m\x07a\u202eb\r\nc\td"
    with redirect_stdout(Screen()) as screen:
        write(["a", "b"], [{"a": hostile, "b": True}], Format.csv)
    with redirect_stdout(StringIO()) as piped:
        write(["a", "b"], [{"a": hostile, "b": True}], Format.csv)
    assert screen.getvalue() == 'a,b\n"\ufffd[31m\ufffda\ufffdb\ufffd\nc\td",true\n'
    assert piped.getvalue() == f'a,b\n"{hostile}",true\n'


def test_a_table_that_is_piped_never_folds() -> None:
    row = {name: f"{name}-{'x' * 200}" for name in "ab"}
    with redirect_stdout(StringIO()) as piped:
        write(list(row), [row], Format.table)
    assert piped.getvalue().splitlines()[-1].split() == list(row.values())
    assert len(piped.getvalue()) < 5_000


def test_who_reads_the_first_line_alone_gets_the_answer_all_the_same(files: Files) -> None:
    files.write("old.json", listing(A))
    files.write("new.json", listing(with_price(A, 11, 22)))
    for threshold, code in (("breaking", 0), ("risky", 1)):
        reader, writer = os.pipe()
        os.close(reader)
        command = [*COMMAND, "diff", "old.json", "new.json", "--fail-on", threshold]
        done = subprocess.run(
            command, cwd=files.folder, env=environment(files.folder), stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (code, b"")


# --- for programs --------------------------------------------------------------------------------------------------


def test_a_row_has_every_field_and_null_where_there_was_nothing(files: Files) -> None:
    old, new = of_param(type="integer", min=1, max=10), of_param(type="integer", min=1)
    (row,) = files.diff(old, new).rows

    summary = row.pop("summary")
    assert "maximum 10 is gone" in summary
    assert row == {
        "kind": "param.max.removed",
        "severity": "additive",
        "slug": "a",
        "path": "/models/a/params/n/max",
        "old": 10,
        "new": None,
        "decided": True,
        "witness": None,
        "affects": [],
        "detail": row["detail"],
    }


def test_numbers_stay_exact(files: Files) -> None:
    big, fine = 10**40 + 1, "0.10000000000000000000000000000000000001"
    old = listing_text(json.dumps(A).replace('"min": 10', '"min": 1'))
    new = listing_text(json.dumps(A).replace('"min": 10', f'"min": {fine}').replace('"max": 20', f'"max": {big}'))
    ended = files.diff(old, new)

    assert ended.rows[0]["new"] == {"min": Decimal(fine), "max": big}
    assert fine in ended.out
    assert str(big) in files.diff(old, new, "--format", "csv").out


def test_the_forms_say_the_same(files: Files) -> None:
    old, new = listing(A, B), listing(with_price(A, 11, 22), C)
    as_lines = files.diff(old, new).rows
    as_json = json.loads(files.diff(old, new, "--format", "json").out, parse_float=Decimal)
    as_csv = files.diff(old, new, "--format", "csv").out.splitlines()

    assert as_json == as_lines
    assert as_csv[0].split(",") == list(as_lines[0])
    assert "true" in as_csv[1].split(",")
    assert len(as_csv) == 1 + len(as_lines)


@pytest.mark.parametrize(
    ("threshold", "code"), [("breaking", 0), ("risky", 1), ("additive", 1), ("informational", 1), (None, 0)]
)
def test_it_fails_on_what_it_is_told_to(files: Files, threshold: str | None, code: int) -> None:
    dearer = files.diff(listing(A), listing(with_price(A, 11, 22)), *(["--fail-on", threshold] if threshold else []))
    assert (dearer.code, dearer.kinds) == (code, [("credits.band.raised", "risky")])


def test_a_threshold_that_is_none_is_an_error_before_anything_is_read(files: Files) -> None:
    ended = diff(files.folder, "gone.json", "gone.json", "--fail-on", "catastrophic")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "syncd: --fail-on: 'catastrophic' is not a severity; one of breaking, risky, additive, informational\n"
    )


# --- the account ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", [990, None, "plenty", [1], {"credits": 3}, True])
def test_of_two_saved_responses_the_balance_is_compared_too(files: Files, balance: object) -> None:
    (row,) = files.diff(listing(A, balance=1000), listing(A, balance=balance)).rows
    assert (row["kind"], row["severity"], row["path"], row["slug"]) == (
        *("account.credits-balance.changed", "informational", "/credits_balance"),
        None,
    )
    assert (row["old"], row["new"]) == (1000, balance)


def test_a_plan_that_changed_is_told_of_the_account(files: Files) -> None:
    ended = files.diff(listing(A), listing(A, tier="free"), "--format", "table")
    assert ended.out.startswith("the account\n  breaking       account.tier.changed: Plan pro → free\n")


# --- what is no catalogue ------------------------------------------------------------------------------------------

DEEP = '{"deep":' * 200 + "1" + "}" * 200
NO_CATALOGUE = {
    "nothing": (b"", "empty body"),
    "HTML": (b"<!doctype html><html></html>", "a page of HTML or XML where JSON was expected"),
    "text": (b"models: none", "line 1 column 1: not JSON"),
    "cut off": (listing(A, B)[:-40], "not JSON"),
    "a list": (b"[]", "not a JSON object"),
    "no models": (b'{"tier": "pro"}', "/models: missing"),
    "models null": (b'{"models": null}', "/models: not a list"),
    "models twice": (b'{"models": [], "models": [{"slug": "a"}]}', "/models: given twice"),
    "NaN": (listing_text('{"slug":"a"}', '{"slug":"b","params":{"n":{"max":NaN}}}'), "/models/1/params/n/max: NaN"),
    "Infinity": (
        listing_text('{"slug":"a","credits_band":{"max":-Infinity}}'),
        "/models/0/credits_band/max: -Infinity",
    ),
    "NaN outside": (listing_text(json.dumps(A), top=',"beta":NaN'), "/beta: NaN is not JSON"),
    "a number of 401 digits": (listing_text('{"slug":"a","n":' + "9" * 401 + "}"), "/models/0/n: a number of 401"),
    "a number without end": (listing_text('{"slug":"a","n":1e999999999}'), "/models/0/n: a number out of every"),
    "200 levels": (listing_text('{"slug":"a","params":' + DEEP + "}"), "nested deeper than 100"),
    "not UTF-8": (b'{"models":[{"slug":"\xff"}]}', "not UTF-8"),
}


@pytest.mark.parametrize(("body", "why"), NO_CATALOGUE.values(), ids=NO_CATALOGUE)
def test_what_is_no_catalogue_is_named_with_the_place_and_a_remedy(files: Files, body: bytes, why: str) -> None:
    ended = files.diff(listing(A), body)

    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("syncd: new.json is no catalogue: ")
    assert why in line
    assert line.endswith("; give the whole body of a GET /api/v1/models, as it came")


def test_a_refusal_is_no_catalogue_and_no_status_is_made_up(files: Files) -> None:
    ended = files.diff(b'{"error":"KEY_REVOKED","message":"go away"}', listing(A))
    assert ended.code == 2
    assert ended.err == (
        "syncd: old.json holds a refusal, not a catalogue: the key is rejected (KEY_REVOKED);"
        " give the whole body of a GET /api/v1/models, as it came\n"
    )


def test_a_file_that_is_not_there_or_too_large_is_an_error(files: Files) -> None:
    files.write("old.json", listing(A))
    with (files.folder / "large.json").open("wb") as large:
        large.truncate(64 * 1024**2 + 1)
    os.mkfifo(files.folder / "pipe.json")
    for name, why in (
        ("gone.json", "there is no file gone.json"),
        ("large.json", "large.json is larger than 67108864 bytes"),
        (".", ". is a directory"),
        ("pipe.json", "pipe.json is no regular file"),
    ):
        ended = diff(files.folder, "old.json", name)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"syncd: {why}; ")


def test_one_of_the_two_may_come_in_on_standard_input(files: Files) -> None:
    files.write("old.json", listing(A))
    assert diff(files.folder, "old.json", "-", stdin=listing(A, B)).kinds == [("model.added", "additive")]
    assert diff(files.folder, "-", "old.json", stdin=listing(A, B)).kinds == [("model.removed", "breaking")]
    both = diff(files.folder, "-", "-", stdin=listing(A))
    assert (both.code, both.err) == (
        2,
        "syncd: standard input can be only one of the two; name a file for the other\n",
    )


# --- what is odd ---------------------------------------------------------------------------------------------------


def test_what_is_odd_and_no_change_is_told_in_every_form(files: Files) -> None:
    old = listing_text(json.dumps(A), '{"name":"nobody"}', '"text"')
    new = listing_text(json.dumps(A), json.dumps(A), '{"slug":"a","slug":"b"}', '{"slug":"c","name":"\\ud800"}')
    for form in ("table", "json", "jsonl", "csv"):
        ended = files.diff(old, new, "--format", form)
        assert ended.code == 0
        assert set(ended.notes) == {
            "old.json /models/1: model left out: no slug",
            "old.json /models/2: model left out: not an object",
            "new.json /models/1: slug listed twice, same content",
            "new.json /models/2/slug: key repeated; the last value is taken",
            "new.json /models/3/name: U+0000 or a lone surrogate, stored as U+FFFD",
        }


def test_of_very_many_oddities_the_rest_is_counted(files: Files) -> None:
    notes = files.diff(listing(A), listing(A, *[{}] * 60)).notes
    assert len(notes) == 51
    assert notes[-1] == "new.json: 10 more oddities like these"


def test_contents_in_conflict_are_told_and_are_a_change(files: Files) -> None:
    ended = files.diff(listing(A), listing(A, with_price(A, 1, 2)))
    assert [row["kind"] for row in ended.rows] == ["catalogue.duplicate-slug.conflicting"]
    assert ended.notes == ["new.json /models/1: slug listed twice, different content"]


def test_what_an_incomplete_response_does_not_list_is_told_as_unknown(files: Files) -> None:
    cut = listing(C, next_cursor="abc")
    ended = files.diff(listing(A, B), cut)
    assert ended.kinds == [("account.attr-unknown.added", "informational"), ("model.added", "additive")]
    assert ended.notes == [
        "new.json /next_cursor: looks like a cursor: the listing counts as incomplete",
        "new.json: incomplete, so 2 models that it does not list (a, b) may be there all the same",
    ]
    back = files.diff(cut, listing(A, C))
    assert "old.json: incomplete, so models that new.json adds may have been there before" in back.notes


PROSE = "about ten, give or take"
ODD_SPECS: dict[str, dict[str, object]] = {
    "prose for a bound": {"type": "integer", "min": 1, "max": PROSE},
    "a bound as text": {"type": "integer", "min": "1", "max": 10},
    "a bound that is true": {"type": "integer", "min": True, "max": 10},
    "no values": {"type": "enum", "values": None},
    "values as text": {"type": "enum", "values": "1K, 2K"},
    "numbers as values": {"type": "enum", "values": [1, 2, 2.5, None, {"a": [1]}]},
    "crossed bounds": {"type": "integer", "min": 10, "max": 1},
    "a step of nothing": {"type": "integer", "step": 0},
    "a type that is a list": {"type": ["integer", "null"]},
    "an unknown type": {"type": "image", "formats": ["png"]},
    "a list that is none": {"type": "array", "items": "string", "max_items": PROSE},
    "a pattern that is none": {"type": "string", "pattern": "(("},
    "a default of another type": {"type": "integer", "min": 1, "max": 10, "default": PROSE},
    "very large numbers": {"type": "integer", "min": -(10**398), "max": 10**399},
}
PLAIN: dict[str, object] = {"type": "integer", "min": 1, "max": 10}


ODD_BANDS: list[object] = [
    *({"min": 20, "max": 10}, {"min": -1, "max": 5}, {"min": PROSE, "max": 5}, {"min": "10", "max": "20"}),
    *({"min": 10**300}, {"lowest": 1}, "free", [], None, True),
]
ODD_SCHEMAS: list[object] = [None, [], PROSE, {"n": PROSE}, {"n": None}, {"": {}, "a/b~c": {"type": "x"}}]


@pytest.mark.parametrize(
    ("field", "plain", "odd"),
    [
        ("params", {"n": PLAIN}, [{"n": spec} for spec in ODD_SPECS.values()]),
        ("params", {"n": PLAIN}, ODD_SCHEMAS),
        ("credits_band", {"min": 10, "max": 20}, ODD_BANDS),
        ("example_request", {"model": "a"}, [None, [], PROSE, {"model": 1}]),
        ("category", "image", [None, [], 5, ""]),
    ],
    ids=["specs", "schemas", "bands", "examples", "categories"],
)
def test_nothing_is_too_odd_to_be_told(files: Files, field: str, plain: object, odd: list[object]) -> None:
    sane = listing(*({**model(f"m{n}"), field: plain} for n in range(len(odd))))
    insane = listing(*({**model(f"m{n}"), field: value} for n, value in enumerate(odd)))
    for old, new in ((sane, insane), (insane, sane)):
        ended = files.diff(old, new)
        assert (ended.code, ended.err) == (0, "")
        assert {row["slug"] for row in ended.rows} == {f"m{n}" for n in range(len(odd))}
        assert files.diff(old, new, "--format", "table").code == 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats()
    | st.sampled_from(["", "1", "a", "\ud800", "\0", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "min", "", "/~"]), inner, max_size=3)
    ),
    max_leaves=4,
)
FIELDS = ["slug", "params", "credits_band", "category", "example_request", "name", "beta"]
ATTRIBUTES = ["type", "min", "max", "step", "values", "default", "required", "items", "nullable", "pattern", "beta"]


@st.composite
def saved_responses(draw: st.DrawFn) -> bytes:
    """A response whose every part may be anything."""
    models: list[Any] = []
    for slug in draw(st.lists(st.sampled_from(["a", "A", "b", "a\ud800"]), max_size=3)):
        spec = {**PLAIN, **draw(st.dictionaries(st.sampled_from(ATTRIBUTES), JSON, max_size=2))}
        odd = draw(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=1))
        models.append(draw(st.just({**model(slug), "params": {"n": spec}, **odd}) | JSON))
    return listing(*models, **draw(st.dictionaries(st.sampled_from(["tier", "rate_limit", "beta"]), JSON, max_size=1)))


@given(saved_responses(), saved_responses())
def test_whatever_two_responses_hold_what_differs_is_told(old: bytes, new: bytes) -> None:
    readings = [vivix.listing(body) for body in (old, new)]
    sides = [Side(name, r.catalog) for name, r in zip("ab", readings, strict=True) if isinstance(r, Listing)]
    if len(sides) < len(readings):
        assert all(isinstance(r, Listing) or r.places for r in readings if not isinstance(r, Refused))
        return
    changes = compared(Sides(sides[0], sides[1], Policy(), ()))
    differ = canonical(document(sides[0].catalog)) != canonical(document(sides[1].catalog))
    assert bool(changes) == differ
    with redirect_stdout(StringIO()) as said:
        write_rows(changes, Format.jsonl)
        write_rows(changes, Format.csv)
        write_text(changes, models=1, saved=0, colour=False)
    assert said.getvalue()


def test_a_large_catalogue_is_compared_whole(files: Files) -> None:
    many = [{**one, "slug": f"m-{n}"} for n, one in enumerate(made_up_models(1) * 10_000)]
    changed = [*many[:-1], {**many[-1], "category": "else"}]
    ended = files.diff(listing(*many), listing(*reversed(changed)))
    assert [(row["slug"], row["kind"]) for row in ended.rows] == [("m-9999", "model.category.changed")]


# --- how it is asked -----------------------------------------------------------------------------------------------

FORMS = "; write syncd diff OLD.json NEW.json, or --key NAME --from TIME [--to TIME], or --key NAME --against NAME\n"
WRONG = {
    "": "there is nothing to compare",
    "old.json": "two files are compared, not 1",
    "a b c": "two files are compared, not 3",
    "old.json new.json --key k": "files are compared with each other, not with what a key listed",
    "old.json --from 7d": "files are compared with each other, not with what a key listed",
    "--key k": "--key alone says nothing to compare with",
    "--from 7d": "--from is about a key, and none is given",
    "--against k": "--against is about a key, and none is given",
    "--key k --to 7d": "--to needs --from",
    "--key k --against l --from 7d": "--against compares two keys as they are now, which does not go with --from",
    "--key k --against l --to 7d": "--against compares two keys as they are now, which does not go with --to",
}


@pytest.mark.parametrize(("line", "fault"), WRONG.items(), ids=WRONG)
def test_what_does_not_go_together_is_answered_with_what_does(tmp_path: Path, line: str, fault: str) -> None:
    ended = diff(tmp_path, *line.split())
    assert (ended.code, ended.out, ended.err) == (2, "", f"syncd: {fault}{FORMS}")


# --- rules and requests --------------------------------------------------------------------------------------------

KEY = '[[keys]]\nname = "prod"\nsecret = "env:GONE"\n'
LENIENT = '[rules]\nunknown_params = "ignore"\n'
WITH, WITHOUT = of_param(type="integer"), listing(model("a", params={}))


def test_a_configuration_counts_only_if_it_was_named(files: Files) -> None:
    files.write("config.toml", KEY + LENIENT)
    files.write("broken.toml", "no toml")
    strict = ("param.removed", "breaking")

    assert files.diff(WITH, WITHOUT).kinds == [strict]
    assert files.diff(WITH, WITHOUT, SYNCD_CONFIG="config.toml").kinds != [strict]
    assert files.diff(WITH, WITHOUT, SYNCD_CONFIG="").kinds == [strict]
    assert files.diff(WITH, WITHOUT, SYNCD_CONFIG="broken.toml").code == 2


def test_a_request_that_is_touched_is_named_with_why(files: Files) -> None:
    files.write("hero.json", {"model": "a", "n": 9})
    files.write("small.json", {"model": "a", "n": 2})
    both = ("--request", "hero.json", "--request", "small.json")
    old, new = of_param(type="integer", max=10), of_param(type="integer", max=5)
    (row,) = files.diff(old, new, *both).rows

    assert row["affects"] == ["hero.json"]
    assert row["detail"]["requests"]["hero.json"]["effect"] == "rejected"
    text = files.diff(old, new, *both, "--format", "table").out
    assert "your request hero.json breaks: n is 9, the most is 5" in text
    assert text.endswith("1 breaking; 1 of 2 saved requests affected\n")


def test_requests_of_a_configuration_that_was_named_count_too(files: Files) -> None:
    requests = '[[requests]]\nname = "nightly"\nbody = { model = "a", n = 9 }\n'
    files.write("config.toml", KEY + requests)
    old, new = of_param(type="integer", max=10), of_param(type="integer", max=5)

    assert files.diff(old, new).rows[0]["affects"] == []
    assert files.diff(old, new, SYNCD_CONFIG="config.toml").rows[0]["affects"] == ["nightly"]


def test_what_several_changes_ask_of_a_request_is_told_once(files: Files) -> None:
    files.write("hero.json", {"model": "a", "n": 9, "m": 9})
    old, new = (listing(model("a", params={key: {"type": "integer", "max": most} for key in "nm"})) for most in (9, 5))
    text = files.diff(old, new, "--request", "hero.json", "--format", "table").out

    assert text.count("your request hero.json breaks: ") == 2
    assert re.findall("to mend it, (.*)", text) == ['send {"m":5,"n":5}']


def test_a_request_may_come_in_on_standard_input_where_no_side_does(files: Files) -> None:
    files.write("old.json", of_param(type="integer", max=10))
    files.write("new.json", of_param(type="integer", max=5))
    body = b'{"model": "a", "n": 9}'
    assert diff(files.folder, "old.json", "new.json", "--request", "-", stdin=body).rows[0]["affects"] == [
        "standard input"
    ]
    twice = diff(files.folder, "old.json", "-", "--request", "-", stdin=body)
    assert (twice.code, twice.out) == (2, "")
    assert twice.err.startswith("syncd: standard input is a response already")


def test_a_request_that_was_refused_before_too_is_noted(files: Files) -> None:
    files.write("hero.json", {"model": "a", "n": 20})
    ended = files.diff(of_param(type="integer", max=10), of_param(type="integer", max=5), "--request", "hero.json")
    assert ended.rows[0]["affects"] == []
    assert ended.notes == ["request hero.json is refused by both sides: n is 20, the most is 5"]


def test_a_request_is_noted_as_refused_only_by_the_rules_that_count(files: Files) -> None:
    files.write("config.toml", KEY + '[rules]\nrequired_with_default = "risky"\n')
    files.write("hero.json", {"model": "a"})
    sides = (
        of_param(type="integer", max=10, default=1, required=True),
        of_param(type="integer", max=5, default=1, required=True),
    )
    (refused,) = files.diff(*sides, "--request", "hero.json").notes
    assert "refused by both sides" in refused
    assert files.diff(*sides, "--request", "hero.json", SYNCD_CONFIG="config.toml").notes == []


def test_a_request_that_nothing_can_touch_is_said_to_be_so(files: Files) -> None:
    files.write("typo.json", {"model": "aa", "n": 9})
    ended = files.diff(listing(A), listing(A), "--request", "typo.json")
    assert ended.notes == ["request typo.json: neither side lists aa, so nothing touches it"]
    arrived = files.diff(listing(A), listing(A, model("aa", params={"n": PLAIN})), "--request", "typo.json")
    assert (arrived.notes, arrived.rows[0]["affects"]) == ([], ["typo.json"])


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"model": 1}', '{"model": "a", "n": NaN}', '{"model":"a","model":"b"}']
)
def test_a_request_that_is_none_is_an_error(files: Files, content: str) -> None:
    files.write("odd.json", content)
    ended = files.diff(listing(A), listing(A), "--request", "odd.json")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("syncd: --request: odd.json ")


# --- the history ---------------------------------------------------------------------------------------------------


@pytest.fixture
def watch(migrated_url: str) -> Iterator[Watch]:
    """A key that is watched since nine o'clock, a day before any machine that runs this."""
    with watching(migrated_url, Clock(datetime(2025, 3, 2, 9, tzinfo=UTC))) as watch:
        watch.add("prod")
        yield watch


def ask(watch: Watch, folder: Path, *arguments: str) -> Ended:
    return diff(folder, *arguments, environ={"SYNCD_DATABASE_URL": watch.url})


def hourly(watch: Watch, key: str, *bodies: bytes) -> list[str]:
    """Answer the key once an hour; a time shortly after each answer."""
    times = []
    for body in bodies:
        watch.answer(key, body)
        times.append(watch.clock.advance(minutes=1).isoformat())
        watch.clock.advance(minutes=59)
    return times


def test_what_was_listed_at_any_time_is_put_together_again(watch: Watch) -> None:
    bodies = [
        listing(A, B),
        listing(with_price(A, 1, 2), C),
        listing(C, tier="ultimate"),
        listing(A, A, with_price(A, 1, 3), B),
        listing(),
        listing(A, B),
    ]
    times = hourly(watch, "prod", *bodies)
    with closing(Store(watch.url)) as store, store.read() as connection:
        key = as_of.keys(connection)["prod"]
        for time, body in zip(times, bodies, strict=True):
            reading = vivix.listing(body)
            assert isinstance(reading, Listing)
            found = as_of.catalogue(connection, key, datetime.fromisoformat(time))
            assert found is not None
            assert (found.digest, found.complete) == (reading.catalog.digest, True)
            assert {slug: one.body() for slug, one in found.models.items()} == {
                slug: one.body() for slug, one in reading.catalog.models.items()
            }
        now = as_of.catalogue(connection, key, None)
        assert now is not None
        assert sorted(now.models) == ["a", "b"]


def test_two_times_of_a_key_are_compared(watch: Watch, tmp_path: Path) -> None:
    first, second, third = hourly(watch, "prod", listing(A, B), listing(with_price(A, 11, 22), B), listing(A, C))

    ended = ask(watch, tmp_path, "--key", "prod", "--from", first, "--to", second)
    assert (ended.kinds, ended.err) == ([("credits.band.raised", "risky")], "")
    removed, added = ("model.removed", "breaking"), ("model.added", "additive")
    assert sorted(ask(watch, tmp_path, "--key", "prod", "--from", first).kinds) == [added, removed]
    table = ask(watch, tmp_path, "--key", "prod", "--from", third, "--format", "table")
    assert table.out == "no change (2 models compared)\n"


def test_a_model_that_had_gone_before_has_returned(watch: Watch, tmp_path: Path) -> None:
    _, absent, _ = hourly(watch, "prod", listing(A, B), listing(A), listing(A, with_price(B, 11, 22)))
    assert ask(watch, tmp_path, "--key", "prod", "--from", absent).kinds == [
        ("model.returned", "additive"),
        ("credits.band.raised", "risky"),
    ]


def test_before_its_first_catalogue_a_key_has_none(watch: Watch, tmp_path: Path) -> None:
    hourly(watch, "prod", listing(A))
    ended = ask(watch, tmp_path, "--key", "prod", "--from", "2025-03-02T09:00:00Z", "--fail-on", "breaking")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "syncd: key 'prod' had no catalogue at 2025-03-02 09:00:00 UTC: the first is of 2025-03-02 09:00:00 UTC;"
        " give a time from 2025-03-02T09:00:00.250000+00:00 on\n"
    )
    remedy = re.findall(r"from (\S+) on", ended.err)[0]
    assert ask(watch, tmp_path, "--key", "prod", "--from", remedy).code == 0


def test_a_key_that_is_not_known_or_was_never_read_is_an_error(watch: Watch, tmp_path: Path) -> None:
    watch.add("spare")
    hourly(watch, "prod", listing(A))
    unknown = ask(watch, tmp_path, "--key", "prodd", "--from", "7d")
    assert (unknown.code, unknown.err) == (2, "syncd: there is no key 'prodd' in the history; keys: prod, spare\n")
    new = ask(watch, tmp_path, "--key", "prod", "--against", "spare")
    assert new.code == 2
    assert new.err.startswith("syncd: key 'spare' has no catalogue yet; ")


@pytest.mark.parametrize(
    ("times", "fault"),
    [
        (("--from", "soon"), "'soon' is not a time; write 7d, 12h"),
        (("--from", "2199-01-01"), "--from 2199-01-01 00:00:00 UTC is yet to come"),
        (
            ("--from", "2025-03-02T12:00", "--to", "2025-03-02T11:00"),
            "--from 2025-03-02 12:00:00 UTC is later than --to",
        ),
    ],
)
def test_a_time_that_says_nothing_is_an_error(tmp_path: Path, times: tuple[str, ...], fault: str) -> None:
    ended = diff(tmp_path, "--key", "prod", *times)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"syncd: {fault}")


def test_two_keys_are_compared(watch: Watch, tmp_path: Path) -> None:
    hourly(watch, "prod", listing(A, B))
    hourly(watch, "spare", listing(A, tier="ultimate"))
    ended = ask(watch, tmp_path, "--key", "prod", "--against", "spare", "--fail-on", "breaking")
    assert (ended.code, ended.kinds) == (1, [("account.tier.changed", "additive"), ("model.removed", "breaking")])


def test_what_a_key_s_incomplete_listing_left_out_has_not_gone(watch: Watch, tmp_path: Path) -> None:
    first, _ = hourly(watch, "prod", listing(A, B), listing(A, C, next_cursor="x"))
    ended = ask(watch, tmp_path, "--key", "prod", "--from", first)
    assert [row["kind"] for row in ended.rows] == ["account.attr-unknown.added", "model.added"]
    assert ended.notes == [
        "prod now: the answer was incomplete; what was listed before and not by it counts as still listed"
    ]
    hourly(watch, "spare", listing(A, model("d")))
    against = ask(watch, tmp_path, "--key", "spare", "--against", "prod")
    assert "model.removed" not in {row["kind"] for row in against.rows}
    assert against.notes == [
        "prod now: incomplete, so 1 model that it does not list (d) may be there all the same",
    ]


def test_the_requests_of_that_key_are_held_against_its_history(watch: Watch, tmp_path: Path) -> None:
    first, _ = hourly(watch, "prod", of_param(type="integer", max=10), of_param(type="integer", max=5))
    requests = "".join(
        f'[[requests]]\nname = "{name}"\nkeys = ["{key}"]\nbody = {{ model = "a", n = 9 }}\n'
        for name, key in (("ours", "prod"), ("theirs", "spare"))
    )
    (tmp_path / "config.toml").write_text(KEY + KEY.replace("prod", "spare") + requests)
    (row,) = ask(watch, tmp_path, "--key", "prod", "--from", first).rows
    assert row["affects"] == ["ours"]
