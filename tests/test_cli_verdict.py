"""`syncd verdict`: would this request be accepted now? As a process beside a real history, on both databases."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.demo.vendor import SimulatedVendor
from tests.conftest import Clock, sqlite_url
from tests.program import COMMAND, ROUTE, Home, Result
from tests.watching import Watch, listing, model, watching

WAN = "wan-2.7-text-to-video"
PARAMS = {
    "prompt": {"type": "string", "required": True, "max_length": 20},
    "duration": {"type": "integer", "min": 2, "max": 8, "default": 5},
    "resolution": {"type": "enum", "values": ["720p", "1080p"], "default": "1080p"},
}
GOOD = {"model": WAN, "prompt": "a harbour", "duration": 8}
COLUMNS = ["file", "key_name", "model", "verdict", "note", "problems", "mended"]
REQUESTS = f"""
[[requests]]
name = "nightly hero"
body = {{ model = "{WAN}", prompt = "a harbour", duration = 10 }}
[[requests]]
name = "thumbs"
file = "thumbs.json"
keys = ["spare"]
"""


@pytest.fixture
def watch(migrated_url: str, clock: Clock) -> Iterator[Watch]:
    with watching(migrated_url, clock) as watch:
        yield watch


@pytest.fixture
def home(tmp_path: Path, migrated_url: str, watch: Watch) -> Iterator[Home]:
    """Two keys; prod lists a model whose type of parameter nobody knows, and spare does not."""
    with SimulatedVendor() as vendor:
        yield furnished(Home(tmp_path, vendor, "prod", "spare", routes=ROUTE + REQUESTS, url=migrated_url), watch)


@pytest.fixture
def desk(tmp_path: Path, migrated_sqlite: Path, clock: Clock) -> Iterator[Home]:
    """The same, for what is not about the database."""
    url = sqlite_url(Path(shutil.copy(migrated_sqlite, tmp_path / "history.db")))
    with SimulatedVendor() as vendor, watching(url, clock) as watch:
        yield furnished(Home(tmp_path, vendor, "prod", "spare", routes=ROUTE + REQUESTS, url=url), watch)


def furnished(home: Home, watch: Watch) -> Home:
    save(home, {"model": "grok", "prompt": "a harbour"}, "thumbs.json")
    odd = {"image": {"type": "picture", "required": True}}
    watch.answer("prod", listing(model(WAN, params=PARAMS), model("grok"), model("odd", params=odd)))
    watch.answer("spare", listing(model(WAN, params=PARAMS), model("grok")))
    return home


def save(home: Home, body: Any, name: str = "body.json") -> str:
    (home.folder / name).write_text(body if isinstance(body, str) else json.dumps(body))
    return name


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.out.splitlines()]


def verdicts(result: Result) -> list[tuple[str, str, str]]:
    return [(row["file"], row["key_name"], row["verdict"]) for row in rows(result)]


def test_without_a_file_every_saved_request_is_judged_for_its_keys(home: Home):
    result = home.run("verdict")

    assert verdicts(result) == [
        ("nightly hero", "prod", "rejected"),
        ("nightly hero", "spare", "rejected"),
        ("thumbs", "spare", "accepted"),
    ]
    assert (result.code, result.err) == (1, "")


def test_one_key_alone_may_be_asked_for(desk: Home):
    assert verdicts(desk.run("verdict", "--key", "prod")) == [("nightly hero", "prod", "rejected")]


def test_a_file_is_judged_for_every_key(desk: Home):
    result = desk.run("verdict", save(desk, GOOD))

    assert rows(result) == [
        {
            "file": "body.json",
            "key_name": key,
            "model": WAN,
            "verdict": "accepted",
            "note": None,
            "problems": [],
            "mended": None,
        }
        for key in ("prod", "spare")
    ]
    assert result.code == 0


def test_every_problem_has_its_place_and_its_edit_and_the_whole_is_mended(desk: Home):
    body = {"model": WAN, "prompt": "x", "duratoin": 4, "resolution": "1080P", "seed": 1}

    (row,) = rows(desk.run("verdict", save(desk, body), "--key", "prod"))

    assert [(one["place"], one["rule"], one["decided"], one["edit"]) for one in row["problems"]] == [
        ("/duratoin", "unknown", True, {"/duratoin": None, "/duration": 4}),
        ("/resolution", "values", True, {"/resolution": "1080p"}),
        ("/seed", "unknown", True, {"/seed": None}),
    ]
    assert row["mended"] == {"model": WAN, "prompt": "x", "resolution": "1080p", "duration": 4}
    again = desk.run("verdict", save(desk, row["mended"]), "--key", "prod")
    assert (verdicts(again), again.code) == ([("body.json", "prod", "accepted")], 0)


def test_what_cannot_be_judged_is_no_rejection(desk: Home):
    result = desk.run("verdict", save(desk, {"model": "odd", "image": "x"}), "--key", "prod")

    assert (verdicts(result), result.code) == ([("body.json", "prod", "undecided")], 0)
    assert rows(result)[0]["problems"][0]["decided"] is False


def test_the_rules_of_the_configuration_count(desk: Home):
    config = desk.folder / "config.toml"
    config.write_text('[rules]\nunknown_params = "ignore"\n' + config.read_text())

    assert desk.run("verdict", save(desk, {**GOOD, "seed": 1})).code == 0


def test_a_model_that_the_key_does_not_list_is_rejected_with_the_nearest_one(home: Home):
    (row,) = rows(home.run("verdict", save(home, {**GOOD, "model": "wan-2.7-text-to-vide"}), "--key", "prod"))

    assert (row["verdict"], row["mended"]) == ("rejected", None)
    assert row["problems"] == [
        {
            "place": "/model",
            "rule": "model",
            "message": f"wan-2.7-text-to-vide is not listed for key prod; did you mean {WAN}?",
            "decided": True,
            "edit": None,
        }
    ]


def test_a_model_in_other_letters_is_mended(desk: Home):
    (row,) = rows(desk.run("verdict", save(desk, {**GOOD, "model": WAN.upper()}), "--key", "prod"))

    assert [problem["edit"] for problem in row["problems"]] == [{"/model": WAN}]


def test_another_model_may_be_tried(desk: Home):
    result = desk.run("verdict", save(desk, {"prompt": "x", "duration": 4}), "--model", WAN, "--key", "prod")
    other = desk.run("verdict", "body.json", "--model", "grok", "--key", "prod")

    assert [(row["model"], row["verdict"]) for row in rows(result)] == [(WAN, "accepted")]
    assert [problem["place"] for problem in rows(other)[0]["problems"]] == ["/duration"]
    assert (result.code, other.code) == (0, 1)


def test_a_model_that_is_missing_for_a_while_is_judged_with_a_note(home: Home, watch: Watch):
    watch.answer("prod", listing())

    result = home.run("verdict", save(home, GOOD))

    by_key = {row["key_name"]: row for row in rows(result)}
    assert [row["verdict"] for row in by_key.values()] == ["accepted", "accepted"]
    assert "missing since 2026-03-02 09:00:00 UTC: its removal waits for confirmation" in by_key["prod"]["note"]
    assert by_key["spare"]["note"] is None


def test_a_model_that_is_gone_is_not_listed(home: Home, watch: Watch):
    watch.answer("prod", listing(model("grok")))
    watch.clock.advance(minutes=30)
    watch.answer("prod", listing(model("grok")))

    assert verdicts(home.run("verdict", save(home, GOOD))) == [
        ("body.json", "prod", "rejected"),
        ("body.json", "spare", "accepted"),
    ]


def test_contents_that_conflict_must_all_accept(home: Home, watch: Watch):
    shorter = {**PARAMS, "duration": {"type": "integer", "min": 2, "max": 6}}
    watch.answer("prod", listing(model(WAN, params=PARAMS), model(WAN, params=shorter)))

    assert verdicts(home.run("verdict", save(home, GOOD), "--key", "prod")) == [("body.json", "prod", "rejected")]


def test_a_key_that_the_vendor_refuses_is_noted(home: Home, watch: Watch):
    watch.answer("prod", b'{"error": "KEY_REVOKED"}', status=401)

    (row,) = rows(home.run("verdict", save(home, GOOD), "--key", "prod"))

    assert (row["verdict"], row["note"]) == ("accepted", "the key itself is rejected: see `syncd status`")


def test_a_key_without_a_catalogue_is_an_error_after_what_the_others_say(home: Home):
    config = home.folder / "config.toml"
    config.write_text(config.read_text() + '[[keys]]\nname = "new"\nsecret = "env:NEW"\n')

    result = home.run("verdict", save(home, GOOD))

    assert [key for _, key, _ in verdicts(result)] == ["prod", "spare"]
    assert result.code == 2
    assert result.err == "syncd: no catalogue yet for key new; run `syncd once` to read it\n"


def test_standard_input_is_a_file_too(desk: Home):
    done = subprocess.run(
        [*COMMAND, "verdict", "-", "--key", "prod"],
        cwd=desk.folder,
        env=desk.environ,
        input=json.dumps(GOOD).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["file"] == "-"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.json"], "there is no file gone.json"),
        (["."], "is a directory"),
        (["broken.json"], "broken.json cannot be read as JSON: line 1 column 2"),
        (["list.json"], "list.json holds no JSON object"),
        (["twice.json"], "twice.json is not what is sent: /n: this member stands there twice"),
        (["secret.json"], "secret.json holds a literal secret"),
        (["modelless.json"], "modelless.json names no model"),
        (["modelless.json", "--model", " "], "modelless.json names no model"),
        (["good.json", "--key", "pord"], "there is no key 'pord'; configured: prod, spare"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_judged_at_all_is_said_in_one_line(
    tmp_path: Path, migrated_sqlite: Path, arguments: list[str], said: str
):
    contents = {
        "broken.json": "{",
        "list.json": "[]",
        "twice.json": '{"model": "m", "n": 1, "n": 2}',
        "secret.json": '{"model": "m", "prompt": "vvx_live_' + "a" * 30 + '"}',
        "modelless.json": '{"prompt": "x"}',
        "good.json": json.dumps(GOOD),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "prod", "spare", url=f"sqlite:///{migrated_sqlite}")
        result = home.run("verdict", *arguments)

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert said in result.err
    assert "aaaa" not in result.err


def test_without_a_file_and_without_a_saved_request_it_says_what_to_do(tmp_path: Path, migrated_sqlite: Path):
    with SimulatedVendor() as vendor:
        result = Home(tmp_path, vendor, "prod", url=f"sqlite:///{migrated_sqlite}").run("verdict")

    assert result.code == 2
    assert result.err.startswith("syncd: no request is given and none is saved; name a FILE")


def test_a_key_that_no_saved_request_is_for_is_told(desk: Home):
    config = desk.folder / "config.toml"
    config.write_text(config.read_text().replace('name = "nightly hero"', 'name = "nightly hero"\nkeys = ["spare"]'))

    result = desk.run("verdict", "--key", "prod")

    assert (result.code, result.err.partition(";")[0]) == (2, "syncd: no saved request is for key 'prod'")


def test_the_database_alone_is_enough_for_a_file(home: Home):
    save(home, GOOD)
    (home.folder / "config.toml").unlink()

    assert verdicts(home.run("verdict", "body.json")) == [
        ("body.json", "prod", "accepted"),
        ("body.json", "spare", "accepted"),
    ]


def test_no_secret_is_needed(desk: Home):
    assert desk.run("verdict", save(desk, GOOD), drop=("KEY_PROD", "KEY_SPARE")).code == 0


def test_every_format_has_the_same_columns(desk: Home):
    save(desk, {**GOOD, "duration": 9})
    lines = rows(desk.run("verdict", "body.json", "--format", "jsonl"))
    whole = json.loads(desk.run("verdict", "body.json", "--format", "json").out)
    table = list(csv.DictReader(io.StringIO(desk.run("verdict", "body.json", "--format", "csv").out)))

    assert lines == whole
    assert list(lines[0]) == list(table[0]) == COLUMNS
    assert json.loads(table[0]["problems"]) == lines[0]["problems"]
    assert json.loads(table[0]["mended"]) == lines[0]["mended"] == GOOD


def test_people_get_lines(desk: Home):
    result = desk.run("verdict", save(desk, {**GOOD, "duration": 9, "seed": 1}), "thumbs.json", "--format", "table")

    assert result.out.splitlines()[:6] == [
        f"✗ body.json · prod · {WAN}: rejected",
        "    duration is 9, the most is 8 → duration: 8",
        "    seed is no parameter of the model → leave out seed",
        f'    mended: {{"model":"{WAN}","prompt":"a harbour","duration":8}}',
        f"✗ body.json · spare · {WAN}: rejected",
        "    duration is 9, the most is 8 → duration: 8",
    ]
    assert result.out.splitlines()[-2:] == [
        "✓ thumbs.json · prod · grok: accepted",
        "✓ thumbs.json · spare · grok: accepted",
    ]


def test_a_terminal_gets_lines_without_being_asked(desk: Home):
    save(desk, GOOD)
    master, slave = pty.openpty()
    done = subprocess.Popen([*COMMAND, "verdict", "body.json"], cwd=desk.folder, env=desk.environ, stdout=slave)
    assert done.wait(60) == 0
    os.close(slave)
    shown = os.read(master, 4096).decode()
    os.close(master)

    assert shown.startswith(f"✓ body.json · prod · {WAN}: accepted")


def test_hostile_text_does_nothing_to_a_terminal(desk: Home):
    body = {"model": "a\x1b[31m\u202eb\n", "prompt": "x"}
    hidden = save(desk, {**GOOD, "prompt": "4K\u202e", "duration": 9}, "hidden.json")
    result = desk.run("verdict", save(desk, body), hidden, "--key", "prod", "--format", "table")

    assert f'mended: {{"model":"{WAN}","prompt":"4K\\u202e","duration":8}}' in result.out
    assert (result.code, "\x1b" in result.out, "\u202e" in result.out) == (1, False, False)
    assert result.out.splitlines()[0].endswith(": rejected")
