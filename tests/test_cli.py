"""The command line as a process: what each command prints, how it exits, what it leaves alone."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd import __version__
from syncd.demo.vendor import SimulatedVendor, made_up_models
from syncd.store import lock
from tests import hostile
from tests.program import COMMAND, ROUTE, Home, until

COMMANDS = (
    *("run", "once", "demo", "check", "migrate", "forget", "status", "models", "changes"),
    *("diff", "form", "verdict", "sql", "alerts", "silence", "held"),
)
ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, vendor: SimulatedVendor) -> Home:
    vendor.keys.clear()
    return Home(tmp_path, vendor, "prod")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Two keys, a first catalogue, and then an unlocked model with a hostile name and a raised price. For reading."""
    with SimulatedVendor() as vendor:
        home = Home(tmp_path_factory.mktemp("history"), vendor, "prod", "spare")
        assert home.run("once").code == 0
        [new] = made_up_models(1)
        models = home.account("prod").models
        models.append({**new, "name": f"{ESCAPE}[31mred{ESCAPE}]0;title\x07\x9b2J", "creator": f"{ESCAPE}[2Jnobody"})
        models[1]["credits_band"] = {"min": 520, "max": 1920}
        told = home.run("once")
        assert told.code == 0
        assert ESCAPE not in told.said
        assert "simulated-image-0000" in told.out
        yield home


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.startswith("syncd: ")


# --- help and usage ---------------------------------------------------------------------------------------------------


def test_the_help_of_every_command_teaches(home):
    for command, shown in zip(COMMANDS, home.run_all(*((command, "--help") for command in COMMANDS)), strict=True):
        assert shown.code == 0
        assert shown.out.startswith(f"Usage: syncd {command}")
        paragraph = shown.out.split("\n\n")[1]
        assert re.search(r"[A-Z].{20,}[.]", paragraph, re.DOTALL), paragraph
        for option in re.findall(r"^ +(--?\S+.*)$", shown.out, re.MULTILINE):
            assert re.search(r" {2,}\S|^--\S+( <.+>)?$", option), f"{option!r} is not explained"


def test_the_help_names_every_command(home):
    shown = home.run("--help")
    assert shown.code == 0
    assert re.findall(r"^ {2}([a-z]+) ", shown.out.partition("Commands:")[2], re.MULTILINE)[: len(COMMANDS)] == [
        *COMMANDS
    ]


def test_version(home):
    assert home.run("--version").out == f"syncd {__version__}\n"


def test_no_arguments_show_the_help(home):
    shown = home.run()
    assert shown.code == 2
    assert shown.said.startswith("Usage: syncd ")


def test_wrong_usage(home):
    wrong = (
        ("frobnicate",),
        ("status", "--frobnicate"),
        ("sql",),
        ("models", "--format", "xml"),
        ("--log-level", "loud", "status"),
    )
    for refused in home.run_all(*wrong):
        assert (refused.code, refused.out) == (2, "")
        assert "Error: " in refused.err


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["missing", "a folder", "not TOML", "nothing at all"])
def test_a_configuration_that_cannot_be_read(home, wrong):
    path = home.folder / "other.toml"
    arguments = ["--config", str(path), "status"]
    match wrong:
        case "a folder":
            path.mkdir()
        case "not TOML":
            path.write_text("[[keys\n")
        case "nothing at all":
            (home.folder / "config.toml").unlink()
            arguments = ["status"]
    refused = home.run(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("syncd: ")
    assert wrong == "nothing at all" or str(path) in refused.err


def test_a_wrong_configuration_has_one_line_per_problem(home):
    (home.folder / "config.toml").write_text(
        '[vendor]\nbase_url = "http://example.com"\ntimeuot = "3s"\n'
        '[[keys]]\nname = "prod"\nsecret = "env:NOT_SET"\n[[keys]]\nname = "two"\nsecret = "vvx_live_literal"\n'
        '[[routes]]\nname = "r"\nto = "slak:#x"\n'
    )
    refused = home.run("run")
    assert (refused.code, refused.out) == (2, "")
    first, *problems = refused.err.splitlines()
    assert first == f"syncd: {home.folder / 'config.toml'}: {len(problems)} problems"
    for place in (
        "base_url",
        "timeuot",
        "NOT_SET",
        "never the key|literal|env:NAME",
        "slak|to",
    ):
        assert any(re.search(place, problem) for problem in problems), place
    assert "vvx_live_literal" not in refused.err


def test_debug_shows_a_traceback(home):
    refused = home.run("--debug", "--config", "missing.toml", "status")
    assert refused.code != 0
    assert "Traceback" in refused.err
    assert "ConfigError" in refused.err


@pytest.mark.parametrize("state_directory", [False, True])
def test_a_relative_database_lies_in_the_state_directory_else_here(home, state_directory):
    folder = home.folder / "state"
    folder.mkdir()
    environ = {"STATE_DIRECTORY": str(folder)} if state_directory else {}
    (home.folder / "config.toml").rename(home.folder / "state" / "other.toml")  # not where the file is
    assert home.run("--config", "state/other.toml", "migrate", environ=environ).code == 0
    assert home.file.exists() is not state_directory
    assert (folder / "history.db").exists() is state_directory


def test_without_a_file_a_key_in_the_environment_is_enough(home):
    """Nothing here asks the vendor: its address is the real one."""
    (home.folder / "config.toml").unlink()
    checked = home.run("check", environ={"VIVIX_KEY": "vvx_live_made_up"}, drop=("SYNCD_DATABASE_URL",))
    assert checked.code == 0
    assert re.search(r"^key +default \(", checked.out, re.MULTILINE)
    assert re.search(r"^route +\S+ -> console$", checked.out, re.MULTILINE)
    assert f"{home.folder}/syncd.db" in checked.out
    assert [path.name for path in home.folder.iterdir()] == []


# --- once -------------------------------------------------------------------------------------------------------------


def test_once_with_a_bad_key_and_a_bad_vendor_still_does_the_good_one(tmp_path, vendor):
    home = Home(tmp_path, vendor, "good", "revoked", "html")
    home.account("revoked").answer = hostile.always(hostile.KEY_REVOKED)
    home.account("html").answer = hostile.always(hostile.HTML_200)
    done = home.run("once")
    assert done.code == 1
    assert [line.split()[:2] for line in done.err.splitlines()] == [
        ["good", "changed"],
        ["revoked", "refused"],
        ["html", "malformed"],
    ]
    assert "KEY_REVOKED" in done.err
    assert home.rows("SELECT key_name, count(*) FROM current_models GROUP BY 1") == [("good", 6)]
    assert "revoked" in done.out  # which is told, too


def test_once_tells_first_what_it_watches_and_then_what_changed(home):
    first = home.run("once")
    assert first.code == 0
    assert first.out.splitlines()[0] == "👀 Watching 6 models for prod"
    assert first.out.count("dlv_") == 1
    assert first.err.split() == ["prod", "changed", "6", "models"]
    home.account("prod").models.append(made_up_models(1)[0])
    told = home.run("once")
    assert told.code == 0
    assert told.err.split() == ["prod", "changed", "7", "models,", "1", "change"]
    assert "simulated-image-0000" in told.out
    assert "Watching" not in told.out
    assert home.rows("SELECT kind, state FROM alert_log ORDER BY created_at, delivery_id") == [
        ("watching", "sent"),
        ("models_unlocked", "sent"),
    ]


def test_once_leaves_to_its_digest_what_waits_for_it_and_finds_nothing_amiss(home):
    later = datetime.now(UTC) + timedelta(hours=12)  # `once` would stay for a time that is near
    home.configure("prod", routes=f'{ROUTE}digest = "daily {later:%H:%M} UTC"\n')
    done = home.run("once")
    assert (done.code, done.out) == (0, "")
    assert done.err.split() == ["prod", "changed", "6", "models"]
    assert home.rows("SELECT count(*) FROM alert_log") == [(0,)]
    assert home.rows("SELECT state, delivery_id FROM announcements") == [("queued", None)]


def test_once_with_some_keys_leaves_the_others_alone(tmp_path, vendor):
    home = Home(tmp_path, vendor, "one", "two", "three")
    vendor.forget()
    done = home.run("once", "--key", "two", "--key", "one")
    assert done.code == 0
    assert [line.split()[0] for line in done.err.splitlines()] == ["one", "two"]
    assert len(vendor.requests) == 2
    assert home.rows("SELECT name, retired_at FROM api_keys ORDER BY name") == [
        ("one", None),
        ("three", None),
        ("two", None),
    ]


def test_once_leaves_alone_whom_the_vendor_asked_to_leave_alone(tmp_path, vendor):
    home = Home(tmp_path, vendor, "busy", "free")
    home.account("busy").answer = hostile.always(hostile.rate_limited("3600"))
    home.run("once")
    vendor.forget()
    again = home.run("once")
    assert again.code == 1
    assert re.search(r"^busy +not asked +the vendor asked to wait until 20", again.err, re.MULTILINE)
    assert len(vendor.requests) == 1


def test_once_says_what_was_odd(home):
    home.account("prod").answer = hostile.always(hostile.without_slug())
    assert re.search(r"^ +note +/models/\d+: model left out", home.run("once").err, re.MULTILINE)


def test_a_progress_line_that_nobody_reads_stops_nothing(tmp_path, vendor):
    home = Home(tmp_path, vendor, "one", "two")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*COMMAND, "once"], cwd=home.folder, env=home.environ, stderr=full, check=False)
    assert ended.returncode == 0
    assert home.rows("SELECT key_name, state FROM key_status") == [("one", "ok"), ("two", "ok")]


def test_once_with_a_key_that_is_not_configured(home):
    refused = home.run("once", "--key", "prdo")
    assert refused.code == 2
    assert one_line(refused.err)
    assert "prdo" in refused.err
    assert "configured: prod" in refused.err


def test_a_dry_run_leaves_no_file(home):
    before = sorted(path.name for path in home.folder.iterdir())
    done = home.run("once", "--dry-run")
    assert done.code == 0
    assert done.out.startswith("👀 Watching 6 models for prod\n")
    assert done.err.split() == ["prod", "changed", "6", "models"]
    assert sorted(path.name for path in home.folder.iterdir()) == before


def test_a_dry_run_writes_nothing_and_prints_what_would_be_said(home):
    home.run("once")
    home.account("prod").models.append(made_up_models(1)[0])
    before = home.dump()
    done = home.run("once", "--dry-run")
    assert done.code == 0
    assert "simulated-image-0000" in done.out
    assert "Watching" not in done.out
    assert home.dump() == before


def test_once_beside_the_daemon_polls_nothing(home):
    home.run("migrate")
    home.vendor.forget()
    with lock.held(f"sqlite:///{home.file}"):
        refused = home.run("once")
    assert refused.code == 2
    assert one_line(refused.err)
    assert f"process {os.getpid()}" in refused.err
    assert "polls already" in refused.err
    assert home.vendor.requests == []


# --- check, migrate, status -------------------------------------------------------------------------------------------


def test_check_of_a_good_installation(home):
    checked = home.run("check", "--online")
    assert checked.code == 0
    assert checked.out.splitlines()[-2:] == [f"vendor         prod at {home.vendor.base_url}: 6 models", "all is well"]
    assert "warning" not in checked.out
    assert not home.file.exists()


def test_check_of_routes(home):
    cases = {
        "": (1, "add [[routes]]"),
        'keys = ["staging*"]\n': (2, "everything"),
        'kinds = ["credits.*"]\n': (0, "warning        no route can match a rejected key of prod"),
    }
    for number, matchers in enumerate(cases):
        home.configure("prod", routes=ROUTE + matchers if matchers else "")
        (home.folder / "config.toml").rename(home.folder / f"{number}.toml")
    checked = home.run_all(*(("--config", f"{number}.toml", "check") for number in range(len(cases))))
    for result, (code, said) in zip(checked, cases.values(), strict=True):
        assert result.code == code
        assert said in result.said


def test_check_online_of_a_rejected_key_and_a_silent_vendor(tmp_path, vendor):
    home = Home(tmp_path, vendor, "good", "revoked", "silent")
    home.account("revoked").answer = hostile.always(hostile.KEY_REVOKED)
    home.account("silent").answer = hostile.always(hostile.closed)
    checked = home.run("check", "--online")
    assert checked.code == 1
    found = [line for line in checked.out.splitlines() if line.startswith("vendor ")]
    assert len(found) == 3
    assert [": ! " in line for line in found] == [False, True, True]


def test_check_of_a_file_that_is_no_database(home):
    home.file.write_text("a shopping list, which is longer than the header of a database: " + "milk " * 300)
    checked = home.run("check")
    assert checked.code == 1
    assert re.search(r"^database +! .*not a database", checked.out, re.MULTILINE)


def test_migrate(home):
    first, second = home.run("migrate"), home.run("migrate")
    assert (first.code, second.code) == (0, 0)
    assert "it was empty" in first.out
    assert "already" in second.out
    unknown = home.run("migrate", "--to", "7777")
    assert unknown.code == 2
    assert one_line(unknown.err)


def test_status_of_a_healthy_installation(history):
    shown = history.run("status", "--format", "table")
    assert shown.code == 0
    assert re.search(r"prod +ok ", shown.out)
    assert f"database: sqlite:///{history.file}" in shown.out
    assert f"configuration: {history.folder / 'config.toml'}" in shown.out
    assert shown.out.endswith("all is well\n")


def test_status_says_what_needs_a_person(home):
    home.account("prod").answer = hostile.always(hostile.KEY_REVOKED)
    home.run("once")
    shown, asked = home.run_all(("status", "--format", "table"), ("status",))
    assert (shown.code, asked.code) == (1, 1)
    assert re.search(r"^! .*prod", shown.out, re.MULTILINE)
    assert json.loads(asked.out)["needs"]


def test_status_says_how_long_the_credits_last(home):
    home.account("prod").balance = 900
    home.run("once")
    days = [(f"2026-03-0{day}", 100) for day in range(1, 6)]
    with closing(sqlite3.connect(home.file)) as connection, connection:
        connection.execute("DELETE FROM balance_days")
        row = (
            "INSERT INTO balance_days (account, day, first, last, min, max, spent) VALUES ('prod', ?, 1, 900, 1, 1, ?)"
        )
        connection.executemany(row, days)
    shown, asked = home.run_all(("status", "--format", "table"), ("status",))
    assert re.search(r"^prod +900 +100 +about 9 days *$", shown.out, re.MULTILINE)
    [account] = json.loads(asked.out)["accounts"]
    assert (account["account"], account["burn_per_day"], account["empty_in_days"]) == ("prod", 100, 9)


def test_status_does_not_guess_how_long_the_credits_last(home):
    home.run("once")
    shown = home.run("status", "--format", "table")
    assert re.search(r"^prod +[0-9]+ +– +not known yet *$", shown.out, re.MULTILINE)  # noqa: RUF001


def test_status_misses_a_daemon_that_does_not_run(home):
    home.run("once")
    with closing(sqlite3.connect(home.file)) as connection, connection:
        connection.execute("UPDATE polls SET last_at = '2026-01-01 00:00:00.000000'")
    shown = home.run("status", "--format", "table")
    assert shown.code == 1
    assert re.search(r"^! key prod was last polled .* ago: is `syncd run` running\?$", shown.out, re.MULTILINE)


# --- questions --------------------------------------------------------------------------------------------------------


def test_every_format(history):
    forms = ("table", "json", "jsonl", "csv")
    table, as_json, lines, as_csv = history.run_all(*(("models", "--format", form) for form in forms))
    assert {result.code for result in (table, as_json, lines, as_csv)} == {0}
    rows = json.loads(as_json.out)
    assert len(rows) == 13
    assert rows[0]["params"]["prompt"]["type"] == "string"
    assert [json.loads(line) for line in lines.out.splitlines()] == rows
    header, *cells = csv.reader(io.StringIO(as_csv.out))
    assert header == list(rows[0])
    assert [row[1] for row in cells] == [row["slug"] for row in rows]
    assert [line.split()[1] for line in table.out.splitlines()[2:] if line.startswith(("prod", "spare"))] == [
        row["slug"] for row in rows
    ]


def test_questions_of_every_kind_can_be_read_by_a_program(history):
    status, changes = history.run_all(("status", "--format", "json"), ("changes", "--format", "csv"))
    [shown] = json.loads(status.out)
    assert [key["key_name"] for key in shown["keys"]] == ["prod", "spare"]
    assert [row["kind"] for row in csv.DictReader(io.StringIO(changes.out))] == ["model.added", "credits.band.raised"]


def test_models_now_and_then(history):
    [[change]] = history.rows("SELECT min(detected_at) FROM change_log WHERE state <> 'baseline'")
    at = (datetime.fromisoformat(change) - timedelta(milliseconds=1)).isoformat()
    now, then, few = history.run_all(
        ("models",), ("models", "--at", at), ("models", "--key", "prod", "--category", "video")
    )
    assert [len(result.out.splitlines()) for result in (now, then, few)] == [13, 12, 1]
    assert {json.loads(line)["credits_max"] for line in now.out.splitlines() if "wan-2.7" in line} == {1440, 1920}
    assert {json.loads(line)["credits_max"] for line in then.out.splitlines() if "wan-2.7" in line} == {1440}
    assert json.loads(few.out)["slug"] == "wan-2.7-text-to-video"


FILTERS: dict[tuple[str, ...], set[str]] = {
    ("--kind", "credits.*", "--key", "prod"): {"credits.band.raised"},
    ("--model", "simulated-*", "--since", "1h"): {"model.added"},
    ("--severity", "breaking"): set(),
    ("--since", "2099-01-01"): set(),
    ("--held",): set(),
}


def test_changes_can_be_filtered(history):
    found = history.run_all(*(("changes", *options) for options in FILTERS))
    assert [result.code for result in found] == [0] * len(FILTERS)
    kinds = [{json.loads(line)["kind"] for line in result.out.splitlines()} for result in found]
    assert kinds == list(FILTERS.values())


def test_a_filter_that_means_nothing(history):
    for refused in history.run_all(
        ("changes", "--since", "soon"),
        ("changes", "--since", "999999d"),
        ("models", "--at", "0001-01-01T00:00:00+23:59"),
        ("changes", "--severity", "terrible"),
    ):
        assert refused.code == 2
        assert one_line(refused.err)


# --- sql --------------------------------------------------------------------------------------------------------------


def test_sql_refuses_what_is_no_question(sql_home):
    for refused in sql_home.run_all(
        ("sql", "SELEC 1"), ("sql", "DELETE FROM api_keys"), ("sql", "COMMIT; DELETE FROM api_keys")
    ):
        assert (refused.code, refused.out) == (2, "")
        assert one_line(refused.err)


def test_sql_takes_a_query_that_begins_with_a_remark(sql_home):
    asked = sql_home.run("sql", "-- how many?\nSELECT 1 AS one")
    assert (asked.code, json.loads(asked.out)) == (0, {"one": 1})


def test_sql_attaches_no_file(history):
    refused = history.run("sql", "ATTACH DATABASE 'other.db' AS other")
    assert refused.code == 2
    assert not (history.folder / "other.db").exists()


def test_sql_answers(sql_home):
    query = "SELECT 1 AS one, 'a' AS two, NULL AS three, 1.5 AS four, 7 AS one, '[/b]' AS \"[/x]\""
    rows, table = sql_home.run_all(("sql", query), ("sql", query, "--format", "table"))
    assert json.loads(rows.out) == {"one": 1, "two": "a", "three": None, "four": 1.5, "one_2": 7, "[/x]": "[/b]"}
    assert "[/x]" in table.out
    assert "[/b]" in table.out


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sql_home(request, history, tmp_path_factory) -> Iterator[Home]:
    if request.param == "sqlite":
        yield history
        return
    postgres = request.getfixturevalue("postgres")
    with postgres.database(template=request.getfixturevalue("migrated_postgres")) as name:
        yield Home(tmp_path_factory.mktemp("sql"), history.vendor, "prod", url=postgres.url(name))


# --- terminals and pipes ----------------------------------------------------------------------------------------------


def on_a_terminal(home: Home, *arguments: str, **environ: str) -> str:
    """What a person would see, escape sequences and all."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=home.folder,
        env={**home.environ, "TERM": "xterm-256color", **environ},
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux tells that the other side was closed
        pass
    finally:
        os.close(ours)
        process.wait(30)
    return shown.decode()


SETS_COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")


def test_a_terminal_gets_a_table_without_anything_of_the_vendors_that_acts(history):
    shown = on_a_terminal(history, "sql", "SELECT slug, name, creator FROM current_models")
    assert "─" in shown
    assert re.search(r"simulated-image-0000 +\[31mred\]0;title2J +\[2Jnobody", shown)
    for harmful in ("\x1b[31m", "\x1b]", "\x1b[2J", "\x07", "\x9b"):
        assert harmful not in shown


def test_no_color(history):
    assert ESCAPE not in re.sub(r"\x1b\[1m|\x1b\[0m", "", on_a_terminal(history, "models", NO_COLOR="1"))


def test_what_is_piped_has_no_escapes(history):
    piped = history.run("models", "--format", "table", environ={"TERM": "xterm-256color"})
    assert "simulated-image-0000" in piped.out
    assert ESCAPE not in piped.out


def test_a_terminal_that_knows_only_ascii(history):
    narrow = history.run("models", "--format", "table", environ={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert narrow.code == 0
    assert narrow.out.isascii()


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_a_reader_that_leaves_early(history, form):
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT i FROM n"
    process = subprocess.Popen(
        [*COMMAND, "sql", many, "--format", form],
        cwd=history.folder,
        env=history.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    process.wait(30)


def test_output_that_cannot_be_written(history):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "models", "--format", "csv"],
            cwd=history.folder,
            env=history.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "No space left" in done.stderr


# --- databases that are not what they should be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "state", "hint"),
    [
        ("status", "missing", "no such file"),
        ("models", "empty", "syncd migrate"),
        ("changes", "newer", "newer"),
        ("sql", "something else", "not a database"),
        ("sql", "in a folder that is missing", "does not exist|no such file"),
    ],
)
def test_reading_what_cannot_be_read(home, migrated_sqlite, command, state, hint):
    environ = {}
    match state:
        case "empty":
            with closing(sqlite3.connect(home.file)) as connection:
                connection.execute("CREATE TABLE other (a)")
        case "newer":
            shutil.copy(migrated_sqlite, home.file)
            with closing(sqlite3.connect(home.file, isolation_level=None)) as connection:
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
        case "something else":
            home.file.write_bytes(b"PK\x03\x04" * 1000)
        case "in a folder that is missing":
            environ["SYNCD_DATABASE_URL"] = "sqlite:///no/such/folder.db"
    home.environ |= environ
    refused = home.run(command, *(["SELECT 1"] if command == "sql" else []))
    assert (refused.code, refused.out) == (2, "")
    assert one_line(refused.err)
    assert re.search(hint, refused.err)
    assert "; " in refused.err  # and what to do about it


def test_a_daemon_that_is_stopped_while_it_starts_just_ends(home):
    with home.daemon(started=False) as daemon:
        until(home.file.exists)
        daemon.process.terminate()
        assert daemon.wait() == 0
