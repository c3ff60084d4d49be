"""The configuration: what a file means, every problem it can have, and that no secret is ever shown."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from syncd import config
from syncd.config import Config, Database, Detection, Key, Rules, Schedule, Slack, Vendor, files
from syncd.config.problems import LISTS, Refused
from syncd.config.requests import LARGEST_REQUEST
from syncd.config.tables import DEFAULTS
from syncd.core import rules
from syncd.core.balance import Thresholds
from syncd.core.requests import SavedRequest
from syncd.core.routing import KeyFacts, Route, sees
from syncd.core.secret import Secret
from syncd.core.slots import Slots
from syncd.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "config.example.toml"
DOCUMENTATION = ROOT / "docs" / "configuration.md"

A_KEY = "vvx_live_" + "a1" * 16
ANOTHER_KEY = "vvx_live_" + "b2" * 16
TOKEN = "xoxb-1234-abcdef"
HOOK = "https://hooks.example/services/T0/B0/abcdef"
ENVIRON = {"KEY": A_KEY, "KEY_2": ANOTHER_KEY, "KEY_3": "vvx_live_" + "c3" * 16}
WITH_SLACK = ENVIRON | {"TOKEN": TOKEN, "HOOK": HOOK}
KINDS = ("credits.band.raised", "credits.band.lowered", "model.added", "model.removed", "model.description.changed")

ONE_KEY = '[[keys]]\nname = "prod"\nsecret = "env:KEY"\n'
TWO_KEYS = f"""{ONE_KEY}labels = {{ tenant = "acme", env = "prod" }}
[[keys]]
name = "staging"
secret = "env:KEY_2"
labels = {{ tenant = "umbrella" }}
"""
SLACK = '[slack]\ntoken = "env:TOKEN"\n'
ONE_ROUTE = '[[routes]]\nname = "all"\nto = "console"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the configuration file stands; the current folder is another one, so that the two are not mixed up."""
    path = tmp_path / "etc"
    path.mkdir()
    return path


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    path = tmp_path / "cwd"
    path.mkdir()
    return path


def loaded(
    folder: Path, text: str | bytes, environ: Mapping[str, str] = ENVIRON, kinds: Collection[str] = KINDS
) -> Config:
    """What the file with this text means, read from `folder` with the current folder beside it."""
    path = folder / "config.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return config.load(path, environ, folder.parent / "cwd", known_kinds=kinds)


def problems_of(
    folder: Path, text: str | bytes, environ: Mapping[str, str] = ENVIRON, kinds: Collection[str] = KINDS
) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, environ, kinds)
    assert str(caught.value).startswith(f"{folder / 'config.toml'}: {len(caught.value.problems)} problem")
    return caught.value.problems


def only_problem_of(
    folder: Path, text: str | bytes, environ: Mapping[str, str] = ENVIRON, kinds: Collection[str] = KINDS
) -> Problem:
    problems = problems_of(folder, text, environ, kinds)
    assert len(problems) == 1, problems
    return problems[0]


# What a file means.


def test_a_file_that_names_one_key_has_every_default(folder: Path, cwd: Path) -> None:
    expected = Config(
        source=str(folder / "config.toml"),
        database=Database(url=f"sqlite:///{cwd}/syncd.db", auto_migrate=True),
        vendor=Vendor(base_url="https://getvivix.com", timeout=20.0, max_response=16 * 1024 * 1024),
        schedule=Schedule(interval=timedelta(minutes=15), max_concurrent=16),
        keys=(
            Key(
                name="prod",
                secret=Secret(A_KEY),
                account="prod",
                interval=timedelta(minutes=15),
                base_url="https://getvivix.com",
                labels={},
            ),
        ),
        routes=(),
        slack=Slack(token=None, api_url="https://slack.com/api/", webhooks={}),
        rules=Rules(record_only=(), unknown_params="reject", required_with_default="breaking"),
    )

    assert expected == loaded(folder, ONE_KEY)


def test_every_setting_is_read(folder: Path) -> None:
    text = """
        [database]
        url = "postgresql+psycopg://syncd:pass@db.example/syncd?sslmode=require"
        auto_migrate = false
        [vendor]
        base_url = "https://vivix.example:8443/"
        timeout = "250ms"
        max_response = "512KiB"
        [slack]
        token = "env:TOKEN"
        api_url = "http://127.0.0.1:9000/api"
        [schedule]
        interval = "1h"
        max_concurrent = 32
        [detection]
        confirm_removal = { polls = 3, after = "1h" }
        suspicious_drop = { share = 0.35, count = 2 }
        remind = "7d"
        [credits]
        low = 1000.5
        runway = "3d"
        [rules]
        record_only = ["model.description.*"]
        unknown_params = "ignore"
        required_with_default = "risky"
        [[keys]]
        name = "prod"
        secret = "env:KEY"
        account = "acme"
        interval = "5m"
        formerly = ["default", "main", "default"]
        base_url = "http://127.0.0.1:8080"
        labels = { tenant = "acme", env = "prod" }
        [[routes]]
        name = "breaking video"
        to = "slack:#vivix"
        kinds = ["credits.*", "model.*"]
        keys = ["prod*"]
        labels = { tenant = "acme" }
        models = ["wan-*"]
        categories = ["video"]
        min_severity = "breaking"
        min_percent = 2.5
        mention = "@here"
        group_wait = "60s"
        digest = "daily 09:00 Europe/Berlin"
        summary = "monday 17:30 America/New_York"
        [[routes]]
        name = "webhook"
        to = "webhook:env:HOOK"
        [[requests]]
        name = "nightly hero"
        body = { model = "wan", seconds = 2.50, tags = ["a", 1, true], more = { a = 1 } }
        keys = ["pr*"]
    """
    expected = Config(
        source=str(folder / "config.toml"),
        database=Database(url="postgresql+psycopg://syncd:pass@db.example/syncd?sslmode=require", auto_migrate=False),
        vendor=Vendor(base_url="https://vivix.example:8443", timeout=0.25, max_response=512 * 1024),
        schedule=Schedule(interval=timedelta(hours=1), max_concurrent=32),
        keys=(
            Key(
                name="prod",
                secret=Secret(A_KEY),
                account="acme",
                interval=timedelta(minutes=5),
                base_url="http://127.0.0.1:8080",
                labels={"tenant": "acme", "env": "prod"},
                formerly=("default", "main"),
            ),
        ),
        routes=(
            Route(
                name="breaking video",
                to="slack:#vivix",
                kinds=("credits.*", "model.*"),
                keys=("prod*",),
                labels={"tenant": "acme"},
                models=("wan-*",),
                categories=("video",),
                min_severity="breaking",
                min_percent=Decimal("2.5"),
                mention="@here",
                group_wait=timedelta(seconds=60),
                digest=Slots(time(9), zone=ZoneInfo("Europe/Berlin")),
                summary=Slots(time(17, 30), weekday=0, zone=ZoneInfo("America/New_York")),
            ),
            Route(name="webhook", to="webhook:env:HOOK"),
        ),
        slack=Slack(token=Secret(TOKEN), api_url="http://127.0.0.1:9000/api/", webhooks={"env:HOOK": Secret(HOOK)}),
        rules=Rules(record_only=("model.description.*",), unknown_params="ignore", required_with_default="risky"),
        requests=(
            SavedRequest(
                "nightly hero",
                {"model": "wan", "seconds": Decimal("2.50"), "tags": ["a", 1, True], "more": {"a": 1}},
                ("pr*",),
            ),
        ),
        detection=Detection(3, timedelta(hours=1), Decimal("0.35"), 2, timedelta(days=7)),
        credits=Thresholds(low=Decimal("1000.5"), runway=timedelta(days=3)),
    )

    assert expected == loaded(folder, text, WITH_SLACK)


def test_a_key_takes_what_it_leaves_out_from_its_name_the_schedule_and_the_vendor(folder: Path) -> None:
    text = '[vendor]\nbase_url = "https://a.example"\n[schedule]\ninterval = "1m"\n' + ONE_KEY

    (key,) = loaded(folder, text).keys

    assert (key.account, key.base_url, key.interval) == ("prod", "https://a.example", timedelta(minutes=1))


def test_a_configuration_cannot_be_changed(folder: Path) -> None:
    loaded_config = loaded(folder, TWO_KEYS)

    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded_config.keys[0].name = "other"  # type: ignore[misc]
    assert isinstance(loaded_config.keys[0].labels, MappingProxyType)


def test_globs_of_kinds_are_taken_as_they_stand_when_no_kinds_are_known(folder: Path) -> None:
    (route,) = loaded(folder, ONE_KEY + ONE_ROUTE + 'kinds = ["anything.*"]\n', kinds=()).routes

    assert route.kinds == ("anything.*",)


def test_a_mark_at_the_start_and_windows_line_ends_are_accepted(folder: Path) -> None:
    assert loaded(folder, b"\xef\xbb\xbf" + ONE_KEY.replace("\n", "\r\n").encode()).keys[0].name == "prod"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1s", timedelta(seconds=1)),
        ("1000ms", timedelta(seconds=1)),
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(days=1)),
        ("31d", timedelta(days=31)),
    ],
)
def test_an_interval_is_a_number_and_a_unit(folder: Path, written: str, expected: timedelta) -> None:
    assert expected == loaded(folder, f'{ONE_KEY}interval = "{written}"').keys[0].interval


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"1KiB"', 1024), ('"3MiB"', 3 * 1024**2), ('"1GiB"', 1024**3), ("5000", 5000), ("1_048_576", 1024**2)],
)
def test_a_size_is_a_number_and_a_unit_or_plain_bytes(folder: Path, written: str, expected: int) -> None:
    assert expected == loaded(folder, f"[vendor]\nmax_response = {written}\n{ONE_KEY}").vendor.max_response


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("https://getvivix.com/", "https://getvivix.com"),
        ("HTTPS://GetVivix.com", "https://getvivix.com"),
        ("https://vivix.example:8443", "https://vivix.example:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_base_url_is_scheme_and_host(folder: Path, written: str, expected: str) -> None:
    assert expected == loaded(folder, f'[vendor]\nbase_url = "{written}"\n{ONE_KEY}').vendor.base_url


# The database.


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("sqlite:///syncd.db", "sqlite:///{cwd}/syncd.db"),
        ("sqlite:///./data/syncd.db", "sqlite:///{cwd}/data/syncd.db"),
        ("sqlite:////var/lib/syncd/syncd.db", "sqlite:////var/lib/syncd/syncd.db"),
        ("sqlite:///my%20history.db", "sqlite:///{cwd}/my history.db"),
        ("sqlite:///50%25.db", "sqlite:///{cwd}/50%25.db"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h:5433/d?sslmode=require", "postgresql+psycopg://u:p@h:5433/d?sslmode=require"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg:///d?host=/run/postgresql", "postgresql+psycopg:///d?host=/run/postgresql"),
    ],
)
def test_a_database_url_is_made_whole(folder: Path, cwd: Path, written: str, expected: str) -> None:
    whole = expected.format(cwd=cwd)

    assert whole == loaded(folder, f'[database]\nurl = "{written}"\n{ONE_KEY}').database.url
    assert whole == loaded(folder, ONE_KEY, ENVIRON | {"SYNCD_DATABASE_URL": written}).database.url


@pytest.mark.parametrize(
    ("state_directory", "expected"),
    [
        ("/var/lib/syncd", "sqlite:////var/lib/syncd/syncd.db"),
        ("/var/lib/syncd:/var/lib/other", "sqlite:////var/lib/syncd/syncd.db"),
        (":/var/lib/syncd", "sqlite:////var/lib/syncd/syncd.db"),
        ("", "sqlite:///{cwd}/syncd.db"),
    ],
)
def test_a_relative_database_stands_in_the_state_directory(
    folder: Path, cwd: Path, state_directory: str, expected: str
) -> None:
    environ = ENVIRON | {"STATE_DIRECTORY": state_directory}

    assert expected.format(cwd=cwd) == loaded(folder, ONE_KEY, environ).database.url


def test_an_absolute_database_does_not_move_to_the_state_directory(folder: Path) -> None:
    environ = ENVIRON | {"STATE_DIRECTORY": "/var/lib/syncd", "SYNCD_DATABASE_URL": "sqlite:////srv/a.db"}

    assert loaded(folder, ONE_KEY, environ).database.url == "sqlite:////srv/a.db"


def test_the_environment_wins_over_the_file_for_the_database(folder: Path) -> None:
    text = '[database]\nurl = "mysql://never/used"\n' + ONE_KEY

    assert loaded(folder, text, ENVIRON | {"SYNCD_DATABASE_URL": "postgres://h/d"}).database.url.endswith("//h/d")
    assert only_problem_of(folder, text, ENVIRON | {"SYNCD_DATABASE_URL": ""}).place == "database.url"


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1))
def test_sqlalchemy_opens_the_file_that_was_meant_whatever_the_folder_is_called(name: str) -> None:
    folder = Path("/") / name
    environ = {"VIVIX_KEY": A_KEY}
    if not str(folder).isprintable():
        return

    url = config.load(None, environ, folder).database.url

    assert make_url(url).database == str(folder / "syncd.db")


DATABASE_PROBLEMS = {
    "another database": ("mysql://u:s3cr3t@h/d", "is not a database that syncd can use", "sqlite:///"),
    "another driver of PostgreSQL": ("postgresql+asyncpg://u:s3cr3t@h/d", "is not a database that", "+psycopg"),
    "another driver of SQLite": ("sqlite+aiosqlite:///s3cr3t.db", "is not a database that", "sqlite:///"),
    "no URL": ("s3cr3t.db", "is not a database URL", "sqlite:///"),
    "one slash": ("sqlite:/s3cr3t.db", "is not a database URL", "sqlite:///"),
    "two slashes": ("sqlite://s3cr3t.db", "has two slashes", "three before a relative path"),
    "no path": ("sqlite://", "is a database in memory", "sqlite:///"),
    "an empty path": ("sqlite:///", "is a database in memory", "sqlite:///"),
    "memory by name": ("sqlite:///:memory:", "is a database in memory", "sqlite:///"),
    "memory by option": ("sqlite:///file:s3cr3t?mode=memory&uri=true", "is a database in memory", "sqlite:///"),
    "options": ("sqlite:///s3cr3t.db?timeout=5", "holds options", "only the path"),
    "a file URI": ("sqlite:///file:s3cr3t.db", "holds options", "only the path"),
    "a tilde": ("sqlite:///~/s3cr3t.db", "starts with ~", "the whole path"),
    "a folder": ("sqlite:///s3cr3t/", "names no file", "sqlite:///"),
    "PostgreSQL without anything": ("postgresql://", "names no database", "postgresql+psycopg://"),
    "a line end": ("postgresql://u:s3cr3t@h/d\n", "holds white space or a control character", "remove it"),
    "a control character": ("sqlite:///s3cr3t\x07.db", "holds white space or a control character", "remove it"),
}


@pytest.mark.parametrize(("written", "message", "hint"), DATABASE_PROBLEMS.values(), ids=DATABASE_PROBLEMS)
def test_a_database_url_is_refused_for(folder: Path, written: str, message: str, hint: str) -> None:
    in_file = only_problem_of(folder, f"[database]\nurl = {json.dumps(written)}\n{ONE_KEY}")
    in_environment = only_problem_of(folder, ONE_KEY, ENVIRON | {"SYNCD_DATABASE_URL": written})

    assert in_file.place == "database.url"
    assert in_environment.place == "$SYNCD_DATABASE_URL"
    for problem in (in_file, in_environment):
        assert problem.message.startswith(message)
        assert hint in problem.hint
        assert "s3cr3t" not in str(problem)


# Where the file is.


@pytest.fixture
def usual_places(tmp_path: Path, cwd: Path) -> dict[str, Path]:
    return {
        "explicit": tmp_path / "explicit.toml",
        "SYNCD_CONFIG": tmp_path / "variable.toml",
        "cwd": cwd / "config.toml",
        "xdg": tmp_path / "xdg" / "syncd" / "config.toml",
    }


@pytest.mark.parametrize("first", ["explicit", "SYNCD_CONFIG", "cwd", "xdg"])
def test_the_first_place_counts(tmp_path: Path, cwd: Path, usual_places: dict[str, Path], first: str) -> None:
    names = list(usual_places)
    there = names[names.index(first) :]
    for name in there:
        usual_places[name].parent.mkdir(parents=True, exist_ok=True)
        usual_places[name].touch()
    explicit = str(usual_places["explicit"]) if "explicit" in there else None
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    if "SYNCD_CONFIG" in there:
        environ["SYNCD_CONFIG"] = str(usual_places["SYNCD_CONFIG"])

    assert usual_places[first] == config.find(explicit, environ, cwd)


def test_a_relative_name_starts_at_the_current_folder(cwd: Path) -> None:
    (cwd / "my.toml").touch()

    assert cwd / "my.toml" == config.find("my.toml", {}, cwd)
    assert cwd / "my.toml" == config.find(None, {"SYNCD_CONFIG": "my.toml"}, cwd)


def test_the_home_folder_stands_in_for_a_missing_or_relative_xdg_folder(tmp_path: Path, cwd: Path) -> None:
    path = tmp_path / ".config" / "syncd" / "config.toml"
    path.parent.mkdir(parents=True)
    path.touch()

    assert path == config.find(None, {"HOME": str(tmp_path)}, cwd)
    assert path == config.find(None, {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}, cwd)


@pytest.mark.skipif(Path("/etc/syncd/config.toml").exists(), reason="this machine runs syncd")
def test_nothing_is_found_where_there_is_nothing(cwd: Path) -> None:
    assert config.find(None, {}, cwd) is None
    assert config.find(None, {"SYNCD_CONFIG": ""}, cwd) is None


@pytest.mark.parametrize(("explicit", "environ"), [("gone.toml", {}), (None, {"SYNCD_CONFIG": "gone.toml"})])
def test_a_file_asked_for_by_name_must_exist(cwd: Path, explicit: str | None, environ: dict[str, str]) -> None:
    (cwd / "config.toml").touch()

    with pytest.raises(ConfigError, match=re.escape(str(cwd / "gone.toml"))) as caught:
        config.find(explicit, environ, cwd)

    assert caught.value.problems[0].place == ("--config" if explicit else "$SYNCD_CONFIG")


def test_an_empty_name_is_no_name(cwd: Path) -> None:
    with pytest.raises(ConfigError, match="--config: names no file"):
        config.find("", {}, cwd)


def test_a_broken_link_is_found_and_told_rather_than_passed_over(cwd: Path) -> None:
    (cwd / "config.toml").symlink_to("gone.toml")

    path = config.find(None, {"VIVIX_KEY": A_KEY}, cwd)

    with pytest.raises(ConfigError, match="there is no file"):
        config.load(path, {"VIVIX_KEY": A_KEY}, cwd)


# Files that cannot be read.


def test_a_missing_file_is_told(cwd: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"file: there is no file {cwd}/gone.toml (check the path)")):
        config.load(Path("gone.toml"), {}, cwd)


def test_a_folder_is_told(cwd: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        config.load(cwd, {}, cwd)


def test_a_file_that_cannot_be_opened_is_told(cwd: Path) -> None:
    (cwd / "loop.toml").symlink_to("loop.toml")

    with pytest.raises(ConfigError, match="cannot be read: Too many levels"):
        config.load(Path("loop.toml"), {}, cwd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_told(folder: Path) -> None:
    (folder / "config.toml").touch(mode=0)

    with pytest.raises(ConfigError, match="may not be read by this user"):
        config.load(folder / "config.toml", {}, folder)


def test_what_may_never_end_is_told_and_not_waited_for(cwd: Path) -> None:
    os.mkfifo(cwd / "pipe.toml")
    for endless in ("/dev/zero", "pipe.toml"):
        with pytest.raises(ConfigError, match="is no regular file"):
            config.load(Path(endless), {}, cwd)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no place that names open files")
def test_a_pipe_of_the_shell_is_read_to_its_end_however_late_that_comes() -> None:
    ours, theirs = os.pipe()
    late = os.fdopen(theirs, "wb")
    late.write(b"late")
    writer = threading.Timer(0.05, late.close)
    writer.start()
    assert files.content(Path(f"/dev/fd/{ours}"), 100) == b"late"
    writer.join()
    os.close(ours)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no place that names open files")
def test_a_named_pipe_stays_one_under_another_name(cwd: Path) -> None:
    os.mkfifo(cwd / "pipe")
    opened = os.open(cwd / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(Refused, match="is no regular file"):
        files.content(Path(f"/dev/fd/{opened}"), 100)
    os.close(opened)


UNREADABLE_TEXTS: dict[str, tuple[str | bytes, str, str]] = {
    "not UTF-8": ('# über\n[[keys]]\nname = "ü"\n'.encode("latin-1"), "line 1", "is not UTF-8"),
    "not UTF-8 further down": (b'[[keys]]\n\nname = "\xff"\n', "line 3", "is not UTF-8"),
    "a missing quote": ('[[keys]]\nname = "prod\n', "line 2, column 13", "TOML syntax: Illegal character '\\n'"),
    "a missing value": ("[vendor]\n\ntimeout =\n", "line 3, column 10", "TOML syntax: Invalid value"),
    "text without quotes": ("[vendor]\ntimeout = 20s\n", "line 2, column 13", "TOML syntax: Expected newline"),
    "an end too early": ('[vendor]\ntimeout = "', "end of document", "TOML syntax: Unterminated string"),
    "a table twice": ("[vendor]\n[vendor]\n", "line 2, column 8", "TOML syntax: Cannot declare"),
    "a number of 5000 digits": ("a = " + "1" * 5000, "file", "cannot be read as TOML"),
    "an endless exponent": ("a = 1e99999999999999999999", "file", "cannot be read as TOML"),
    "a thousand brackets": ("a = " + "[" * 5000, "file", "cannot be read as TOML"),
}


@pytest.mark.parametrize(("text", "place", "message"), UNREADABLE_TEXTS.values(), ids=UNREADABLE_TEXTS)
def test_a_text_that_is_no_toml_is_told_with_its_place(
    folder: Path, text: str | bytes, place: str, message: str
) -> None:
    problem = only_problem_of(folder, text)

    assert place == problem.place
    assert problem.message.startswith(message)
    assert problem.hint


# Without a file.


def test_one_key_in_the_environment_is_enough(cwd: Path) -> None:
    expected = Config(
        source="environment",
        database=Database(url=f"sqlite:///{cwd}/syncd.db", auto_migrate=True),
        vendor=Vendor(base_url="https://getvivix.com", timeout=20.0, max_response=16 * 1024 * 1024),
        schedule=Schedule(interval=timedelta(minutes=15), max_concurrent=16),
        keys=(
            Key(
                name="default",
                secret=Secret(A_KEY),
                account="default",
                interval=timedelta(minutes=15),
                base_url="https://getvivix.com",
                labels={},
            ),
        ),
        routes=(Route(name="everything", to="console"),),
        slack=Slack(token=None, api_url="https://slack.com/api/", webhooks={}),
        rules=Rules(record_only=(), unknown_params="reject", required_with_default="breaking"),
    )

    assert expected == config.load(None, {"VIVIX_KEY": A_KEY}, cwd)


def test_the_environment_names_the_database_without_a_file_too(cwd: Path) -> None:
    environ = {"VIVIX_KEY": A_KEY, "SYNCD_DATABASE_URL": "postgres://h/d"}

    assert config.load(None, environ, cwd).database.url == "postgresql+psycopg://h/d"


BOT = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "#vivix"}
WEBHOOK = {"SLACK_WEBHOOK_URL": HOOK}
WEBHOOK_TO = "webhook:env:SLACK_WEBHOOK_URL"


@pytest.mark.parametrize(
    ("variables", "to", "token", "webhooks"),
    [
        ({}, "console", None, {}),
        ({"SLACK_BOT_TOKEN": "", "SLACK_CHANNEL": "", "SLACK_WEBHOOK_URL": ""}, "console", None, {}),
        (WEBHOOK, WEBHOOK_TO, None, {"env:SLACK_WEBHOOK_URL": Secret(HOOK)}),
        (BOT, "slack:#vivix", Secret(TOKEN), {}),
        (BOT | WEBHOOK, "slack:#vivix", Secret(TOKEN), {}),
        (BOT | {"SLACK_CHANNEL": "vivix"}, "slack:#vivix", Secret(TOKEN), {}),
        (BOT | {"SLACK_CHANNEL": "general"}, "slack:#general", Secret(TOKEN), {}),
        (BOT | {"SLACK_CHANNEL": "C0123456789"}, "slack:C0123456789", Secret(TOKEN), {}),
        (BOT | {"SLACK_CHANNEL": "G0123456789"}, "slack:G0123456789", Secret(TOKEN), {}),
    ],
)
def test_the_environment_says_where_alerts_go(
    cwd: Path, variables: dict[str, str], to: str, token: Secret | None, webhooks: dict[str, Secret]
) -> None:
    found = config.load(None, {"VIVIX_KEY": A_KEY} | variables, cwd)

    assert found.routes == (Route(name="everything", to=to),)
    assert found.slack == Slack(token=token, api_url="https://slack.com/api/", webhooks=webhooks)


@pytest.mark.parametrize(
    ("variables", "place", "message", "hint"),
    [
        ({"SLACK_BOT_TOKEN": TOKEN}, "$SLACK_BOT_TOKEN", "SLACK_CHANNEL is not set beside it", "set SLACK_CHANNEL, or"),
        ({"SLACK_CHANNEL": "#s3cr3t"}, "$SLACK_CHANNEL", "SLACK_BOT_TOKEN is not set", "or unset SLACK_CHANNEL"),
        (WEBHOOK | {"SLACK_BOT_TOKEN": TOKEN}, "$SLACK_BOT_TOKEN", "SLACK_CHANNEL is not set", "set SLACK_CHANNEL"),
        (WEBHOOK | {"SLACK_CHANNEL": "#a"}, "$SLACK_CHANNEL", "SLACK_BOT_TOKEN is not set", "set SLACK_BOT_TOKEN"),
        (BOT | {"SLACK_BOT_TOKEN": "s3cr3t"}, "$SLACK_BOT_TOKEN", "the environment variable SLACK_BOT_TOKEN is", "Bot"),
        (BOT | {"SLACK_CHANNEL": "#s3cr3t s3cr3t"}, "$SLACK_CHANNEL", "is no channel", "#vivix"),
        (BOT | {"SLACK_CHANNEL": "CS3"}, "$SLACK_CHANNEL", "is no channel", "C0123456789"),
        (BOT | {"SLACK_CHANNEL": "#{labels.s3cr3t}"}, "$SLACK_CHANNEL", "is no channel", "#vivix"),
        ({"SLACK_WEBHOOK_URL": "s3cr3t"}, "$SLACK_WEBHOOK_URL", "the environment variable SLACK_WEBHOOK_URL", "whole"),
    ],
)
def test_half_of_slack_in_the_environment_is_told(
    cwd: Path, variables: dict[str, str], place: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {"VIVIX_KEY": A_KEY} | variables, cwd)

    (problem,) = caught.value.problems
    assert problem.place == place
    assert problem.message.startswith(message)
    assert hint in problem.hint
    assert "s3cr3t" not in shown_by(caught.value)


def test_slack_in_the_environment_does_not_matter_beside_a_file(folder: Path) -> None:
    assert loaded(folder, ONE_KEY, ENVIRON | {"SLACK_BOT_TOKEN": "xoxb-1"}).routes == ()


@pytest.mark.parametrize("environ", [{}, {"VIVIX_KEY": ""}])
def test_with_neither_file_nor_key_the_remedy_is_told(cwd: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, environ | {"XDG_CONFIG_HOME": "/xdg"}, cwd)

    (problem,) = caught.value.problems
    for place in (f"{cwd}/config.toml", "/xdg/syncd/config.toml", "/etc/syncd/config.toml"):
        assert place in problem.message
    assert problem.hint == "set VIVIX_KEY to start at once, or copy config.example.toml to config.toml"


def test_a_bad_key_in_the_environment_is_told_by_its_variable(cwd: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {"VIVIX_KEY": "s3cr3t"}, cwd)

    (problem,) = caught.value.problems
    assert problem.place == "$VIVIX_KEY"
    assert "does not start with vvx_live_" in problem.message
    assert "s3cr3t" not in str(caught.value)


# Secrets.


@pytest.mark.parametrize("content", [A_KEY, f"{A_KEY}\n", f"{A_KEY}\r\n"])
def test_a_secret_comes_from_a_file(folder: Path, content: str) -> None:
    path = folder / "secrets" / "prod"
    path.parent.mkdir()
    path.write_bytes(content.encode())

    for reference in (f"file:{path}", "file:secrets/prod", "file:./secrets/../secrets/prod"):
        (key,) = loaded(folder, f'[[keys]]\nname = "prod"\nsecret = "{reference}"\n', {}).keys
        assert Secret(A_KEY) == key.secret


def test_a_secret_comes_from_a_credential(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prod.key").write_text(A_KEY)

    (key,) = loaded(
        folder,
        '[[keys]]\nname = "prod"\nsecret = "credential:prod.key"\n',
        {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    ).keys

    assert Secret(A_KEY) == key.secret


LITERAL = "a literal secret is refused"
SECRET_PROBLEMS = {
    "a literal": ("s3cr3t", LITERAL, '"env:NAME"'),
    "a literal key": ("vvx_live_s3cr3ts3cr3ts3cr3t", LITERAL, "revoke it"),
    "a short literal key": ("vvx_live_s3cr3t", LITERAL, "revoke it"),
    "a literal with a colon": ("s3cr3t:s3cr3t", LITERAL, '"env:NAME"'),
    "nothing": ("", LITERAL, '"env:NAME"'),
    "a form in capitals": ("ENV:KEY", LITERAL, '"env:NAME"'),
    "a literal key as a variable": ("env:vvx_live_s3cr3ts3cr3ts3cr3t", LITERAL, "revoke it"),
    "a literal key as a file": ("file:vvx_live_s3cr3ts3cr3ts3cr3t", LITERAL, "revoke it"),
    "a short literal key as a file": ("file:vvx_live_s3cr3t", "there is no file", "check the path"),
    "a variable that is not set": ("env:GONE", "the environment variable GONE is not set", "where syncd is started"),
    "a variable that is empty": ("env:EMPTY", "the environment variable EMPTY is empty", "as it was shown to you"),
    "a variable with a dollar": ("env:$KEY", "env: is not followed by the name of a variable", "without $"),
    "no variable": ("env:", "env: is not followed by the name of a variable", "env:VIVIX_KEY"),
    "another kind of secret": ("env:OTHER", "the environment variable OTHER is not a Vivix key", "copy the whole key"),
    "a space": ("env:SPACE", "the environment variable SPACE holds white space", "the secret alone"),
    "a line end": ("env:LINE", "the environment variable LINE holds white space", "the secret alone"),
    "quotes": ("env:QUOTED", "the environment variable QUOTED holds a quote", "the secret alone"),
    "a typographic quote": ("env:CURLY", "the environment variable CURLY holds a quote", "the secret alone"),
    "a control character": ("env:BELL", "the environment variable BELL holds a character", "the secret alone"),
    "an invisible character": ("env:INVISIBLE", "the environment variable INVISIBLE holds a character", "alone"),
    "a letter that is not ASCII": ("env:UMLAUT", "the environment variable UMLAUT holds a character that", "alone"),
    "bytes that are no text": ("env:BYTES", "the environment variable BYTES holds a character", "alone"),
    "a missing file": ("file:/gone/key", "there is no file /gone/key", "check the path"),
    "a folder": ("file:.", "{folder} is a directory", "name the file inside it"),
    "an empty file": ("file:empty", "the file {folder}/empty is empty", "the secret alone"),
    "a file with a line end alone": ("file:blank", "the file {folder}/blank is empty", "the secret alone"),
    "a file with two lines": ("file:two", "the file {folder}/two holds white space", "the secret alone"),
    "a file of another kind": ("file:other", "the file {folder}/other is not a Vivix key", "copy the whole key"),
    "a file that is no text": ("file:binary", "the file {folder}/binary holds a character that", "the secret alone"),
    "a file with a mark": ("file:marked", "the file {folder}/marked holds a character that", "the secret alone"),
    "a huge file": ("file:huge", "{folder}/huge is larger than", "the right file"),
    "a loop": ("file:loop", "{folder}/loop cannot be read: Too many levels", "check the path"),
    "no path": ("file:", "file: is not followed by a path", "file:/path"),
    "a path with a tilde": ("file:~/key", "file: is not followed by a path", "absolute"),
    "a path with a NUL": ("file:a\0b", "file: is not followed by a path", "absolute"),
    "no folder of credentials": ("credential:prod", "the credential prod cannot be read", "LoadCredential=prod:/path"),
    "a credential with a slash": ("credential:../key", "credential: is not followed by the name", "without slashes"),
    "a credential called dots": ("credential:..", "credential: is not followed by the name", "without slashes"),
}
BAD_SECRETS = {
    "EMPTY": "",
    "OTHER": "sk-s3cr3t",
    "SPACE": "vvx_live_s3 cr3t",
    "LINE": "vvx_live_s3cr3t\n",
    "QUOTED": '"vvx_live_s3cr3t"',
    "CURLY": "vvx_live_s3cr3t\u201d",
    "BELL": "vvx_live_s3cr3t\x07",
    "INVISIBLE": "vvx_live_s3cr3t\u200b",
    "UMLAUT": "vvx_live_s3cr3tü",
    "BYTES": "vvx_live_s3cr3t\udcff",
}


@pytest.mark.parametrize(("reference", "message", "hint"), SECRET_PROBLEMS.values(), ids=SECRET_PROBLEMS)
def test_a_secret_is_refused_for(folder: Path, reference: str, message: str, hint: str) -> None:
    (folder / "empty").touch()
    (folder / "blank").write_text("\n")
    (folder / "two").write_text("vvx_live_s3cr3t\nvvx_live_s3cr3t\n")
    (folder / "other").write_text("sk-s3cr3t")
    (folder / "binary").write_bytes(b"vvx_live_s3cr3t\xff\xfe")
    (folder / "marked").write_bytes(b"\xef\xbb\xbfvvx_live_s3cr3t")
    (folder / "huge").write_bytes(b"s3cr3t" * 20_000)
    (folder / "loop").symlink_to("loop")

    problem = only_problem_of(folder, f'[[keys]]\nname = "prod"\nsecret = {json.dumps(reference)}\n', BAD_SECRETS)

    assert problem.place == 'keys[0] "prod".secret'
    assert problem.message.startswith(message.format(folder=folder))
    assert hint in problem.hint
    assert "s3cr3t" not in str(problem)


def test_a_credential_that_was_not_passed_is_told(folder: Path, tmp_path: Path) -> None:
    text = '[[keys]]\nname = "prod"\nsecret = "credential:prod"\n'

    problem = only_problem_of(folder, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert problem.message == f"there is no file {tmp_path}/prod"
    assert problem.hint == "check LoadCredential=prod:/path in the unit"


def test_one_secret_under_two_names_is_refused(folder: Path) -> None:
    text = ONE_KEY + '[[keys]]\nname = "b"\nsecret = "env:B"\n[[keys]]\nname = "c"\nsecret = "env:C"\n'

    problems = problems_of(folder, text, {"KEY": A_KEY, "B": A_KEY, "C": A_KEY})

    assert [(problem.place, problem.message) for problem in problems] == [
        ('keys[1] "b".secret', "is the secret of keys[0] too"),
        ('keys[2] "c".secret', "is the secret of keys[0] too"),
    ]


# Reading the history needs no secret.


def read_only(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Config:
    return config.load(path, environ, cwd, known_kinds=KINDS, secrets=False)


@pytest.mark.parametrize("reference", ["env:GONE", "file:/gone/key", "credential:gone"])
def test_a_secret_that_is_not_needed_is_not_looked_up(folder: Path, cwd: Path, reference: str) -> None:
    path = folder / "config.toml"
    path.write_text("".join(f'[[keys]]\nname = "{name}"\nsecret = "{reference}"\n' for name in ("a", "b")))

    keys = read_only(path, {}, cwd).keys

    assert [(key.name, key.secret) for key in keys] == [("a", Secret("")), ("b", Secret(""))]


@pytest.mark.parametrize("reference", ["s3cr3t", "vvx_live_s3cr3ts3cr3t", "env:$KEY", "file:~/key", "credential:../a"])
def test_a_secret_that_is_not_needed_must_still_be_a_reference(folder: Path, cwd: Path, reference: str) -> None:
    path = folder / "config.toml"
    path.write_text(f'[[keys]]\nname = "prod"\nsecret = "{reference}"\n')

    with pytest.raises(ConfigError) as caught:
        read_only(path, {}, cwd)

    assert [problem.place for problem in caught.value.problems] == ['keys[0] "prod".secret']
    assert "s3cr3t" not in str(caught.value)


def test_every_other_problem_is_told_to_who_only_reads_too(folder: Path, cwd: Path) -> None:
    path = folder / "config.toml"
    path.write_text('[vendor]\ntimeout = "soon"\n')

    with pytest.raises(ConfigError) as caught:
        read_only(path, {}, cwd)

    assert [problem.place for problem in caught.value.problems] == ["vendor.timeout", "keys"]


def test_to_read_without_a_file_the_database_is_enough(cwd: Path) -> None:
    found = read_only(None, {"SYNCD_DATABASE_URL": "postgres://h/d"}, cwd)

    assert (found.keys, found.database.url) == ((), "postgresql+psycopg://h/d")


def test_to_read_without_a_file_the_key_that_started_it_is_enough(cwd: Path) -> None:
    found = read_only(None, {"VIVIX_KEY": "anything", "SLACK_WEBHOOK_URL": "anything"}, cwd)

    assert [(key.name, key.secret) for key in found.keys] == [("default", Secret(""))]
    assert found.database.url == f"sqlite:///{cwd}/syncd.db"


def test_to_read_without_anything_the_remedy_is_told(cwd: Path) -> None:
    with pytest.raises(ConfigError, match="SYNCD_DATABASE_URL is not set") as caught:
        read_only(None, {}, cwd)

    assert caught.value.problems[0].hint == "name the file with --config, or the database with SYNCD_DATABASE_URL"


# Where alerts go.


def routed(
    folder: Path, to: str, more: str = "", *, keys: str = ONE_KEY, environ: Mapping[str, str] = WITH_SLACK
) -> Config:
    """A configuration with a token and one route that leads there."""
    return loaded(folder, f'{SLACK}{keys}[[routes]]\nname = "all"\nto = {json.dumps(to)}\n{more}\n', environ)


@pytest.mark.parametrize(
    "to",
    [
        "console",
        "slack:#vivix",
        "slack:#vivix-alerts_2",
        "slack:#größe",
        "slack:C0123",
        "slack:C0123456789",
        "slack:G0123456789",
    ],
)
def test_a_route_leads_to_the_console_or_to_a_channel(folder: Path, to: str) -> None:
    found = routed(folder, to)

    assert [route.to for route in found.routes] == [to]
    assert found.slack.webhooks == {}


@pytest.mark.parametrize("reference", ["env:HOOK", "file:hook", "file:./hook", "credential:hook"])
def test_a_route_leads_to_a_webhook_whose_address_is_a_secret(folder: Path, reference: str) -> None:
    (folder / "hook").write_text(HOOK + "\n")

    found = routed(folder, f"webhook:{reference}", environ=WITH_SLACK | {"CREDENTIALS_DIRECTORY": str(folder)})

    assert [route.to for route in found.routes] == [f"webhook:{reference}"]
    assert found.slack.webhooks == {reference: Secret(HOOK)}


def test_every_webhook_is_looked_up(folder: Path) -> None:
    routes = "".join(
        f'[[routes]]\nname = "{number}"\nto = "webhook:env:{name}"\n' for number, name in enumerate(("A", "B", "A"))
    )

    found = loaded(folder, ONE_KEY + routes, ENVIRON | {"A": HOOK, "B": "http://127.0.0.1:9000/b"})

    assert found.slack.webhooks == {"env:A": Secret(HOOK), "env:B": Secret("http://127.0.0.1:9000/b")}
    assert found.slack.token is None


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "is empty"),
        ("s3cr3t", "is not an https URL"),
        ("http://hooks.slack.com/s3cr3t", "is not the address of a webhook"),
        ("http://localhost:80@s3cr3t/", "is not the address of a webhook"),
        ("https://u:s3cr3t@hooks.slack.com/", "is not the address of a webhook"),
        ("https:///s3cr3t", "names no host"),
        ("https://h.example:s3cr3t/", "is not a URL"),
        ("https://h.example/s3cr3t s3cr3t", "holds white space"),
        ('"https://h.example/s3cr3t"', "holds a quote"),
    ],
)
def test_a_webhook_is_refused_for(folder: Path, address: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        routed(folder, "webhook:env:HOOK", environ=WITH_SLACK | {"HOOK": address})

    (problem,) = caught.value.problems
    assert problem.place == 'routes[0] "all".to'
    assert problem.message.startswith(f"the environment variable HOOK {message}")
    assert problem.hint
    assert "s3cr3t" not in shown_by(caught.value)


@pytest.mark.parametrize("reference", ["env:TOKEN", "file:token", "credential:token"])
def test_a_token_is_a_secret_like_others(folder: Path, reference: str) -> None:
    (folder / "token").write_text(TOKEN + "\n")
    environ = WITH_SLACK | {"CREDENTIALS_DIRECTORY": str(folder)}

    assert loaded(folder, f'[slack]\ntoken = "{reference}"\n{ONE_KEY}', environ).slack.token == Secret(TOKEN)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "is empty"),
        ("xoxp-s3cr3t", "is not a bot token"),
        ("xoxb-s3 cr3t", "holds white space"),
        ("\u201cxoxb-s3cr3t\u201d", "holds a quote"),
    ],
)
def test_a_token_is_refused_for(folder: Path, token: str, message: str) -> None:
    problem = only_problem_of(folder, SLACK + ONE_KEY, ENVIRON | {"TOKEN": token})

    assert problem.place == "slack.token"
    assert problem.message.startswith(f"the environment variable TOKEN {message}")
    assert "s3cr3t" not in str(problem)


def test_a_token_that_cannot_be_read_is_not_told_as_missing(folder: Path) -> None:
    text = "[slack]\ntoken = 5\n" + ONE_KEY + ONE_ROUTE.replace("console", "slack:#vivix")

    assert only_problem_of(folder, text).place == "slack.token"


def test_who_only_reads_needs_neither_token_nor_webhook(folder: Path, cwd: Path) -> None:
    path = folder / "config.toml"
    path.write_text(
        f'{SLACK}{ONE_KEY}[[routes]]\nname = "a"\nto = "slack:#a"\n[[routes]]\nname = "b"\nto = "webhook:env:GONE"\n'
    )

    found = read_only(path, {}, cwd)

    assert found.slack == Slack(Secret(""), "https://slack.com/api/", {"env:GONE": Secret("")})


@pytest.mark.parametrize(
    "reference", ["env:$HOOK", "file:~/hook", "credential:../hook", "https://hooks.slack.com/services/s3cr3t"]
)
def test_a_webhook_that_is_not_needed_must_still_be_a_reference(folder: Path, cwd: Path, reference: str) -> None:
    path = folder / "config.toml"
    path.write_text(f'{ONE_KEY}[[routes]]\nname = "b"\nto = "webhook:{reference}"\n')

    with pytest.raises(ConfigError) as caught:
        read_only(path, {}, cwd)

    assert [problem.place for problem in caught.value.problems] == ['routes[0] "b".to']
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "variables", [BOT | {"SLACK_CHANNEL": "two words"}, {"SLACK_BOT_TOKEN": "anything"}, {"SLACK_CHANNEL": "#a"}, BOT]
)
def test_slack_in_the_environment_does_not_stop_who_only_reads(cwd: Path, variables: dict[str, str]) -> None:
    assert len(read_only(None, {"SYNCD_DATABASE_URL": "postgres://h/d"} | variables, cwd).routes) == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("https://slack.com/api/", "https://slack.com/api/"),
        ("https://slack.com/api", "https://slack.com/api/"),
        ("https://slack-gov.com/api/", "https://slack-gov.com/api/"),
        ("HTTPS://Slack.com/API//", "https://slack.com/API/"),
        ("https://slack.example:8443", "https://slack.example:8443/"),
        ("http://127.0.0.1:9000/api/", "http://127.0.0.1:9000/api/"),
        ("http://localhost/api", "http://localhost/api/"),
        ("http://[::1]:9000", "http://[::1]:9000/"),
    ],
)
def test_slacks_address_ends_with_a_slash(folder: Path, written: str, expected: str) -> None:
    assert loaded(folder, f'[slack]\napi_url = "{written}"\n{ONE_KEY}').slack.api_url == expected


@pytest.mark.parametrize("mention", ["@here", "@channel", "U0123456789", "W0123456789", "S0123456789"])
@pytest.mark.parametrize("to", ["slack:#vivix", "webhook:env:HOOK"])
def test_a_mention_calls_everybody_a_user_or_a_group(folder: Path, to: str, mention: str) -> None:
    (route,) = routed(folder, to, f'mention = "{mention}"').routes

    assert route.mention == mention


def test_a_mention_is_not_blamed_for_a_destination_that_cannot_be_read(folder: Path) -> None:
    text = ONE_KEY + ONE_ROUTE.replace("console", "mail:a") + 'mention = "@here"\n'

    assert only_problem_of(folder, text).place == 'routes[0] "all".to'


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("off", None),
        ("hourly", Slots()),
        ("daily 09:00 Europe/Berlin", Slots(time(9), None, BERLIN)),
        ("daily 00:00 UTC", Slots(time(0), None, ZoneInfo("UTC"))),
        ("daily  23:59  America/Argentina/Buenos_Aires", Slots(time(23, 59), None, ZoneInfo("America/Buenos_Aires"))),
    ],
)
def test_a_digest_comes_every_hour_or_every_day(folder: Path, written: str, expected: Slots | None) -> None:
    (route,) = loaded(folder, f'{ONE_KEY}{ONE_ROUTE}digest = "{written}"\n').routes

    assert same_times(route.digest, expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("off", None),
        ("daily 17:30 Europe/Berlin", Slots(time(17, 30), None, BERLIN)),
        *(
            (f"{day} 09:00 Europe/Berlin", Slots(time(9), number, BERLIN))
            for number, day in enumerate(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
        ),
    ],
)
def test_a_summary_comes_every_day_or_every_week(folder: Path, written: str, expected: Slots | None) -> None:
    (route,) = loaded(folder, f'{ONE_KEY}{ONE_ROUTE}summary = "{written}"\n').routes

    assert same_times(route.summary, expected)


def same_times(found: Slots | None, expected: Slots | None) -> bool:
    """Whether they are the same a few times on; of zones that have two names, either will do."""
    moment = datetime(2026, 3, 20, tzinfo=UTC)
    if found is None or expected is None:
        return found is expected
    return all(found.after(later) == expected.after(later) for later in (moment + timedelta(days=n) for n in range(20)))


@pytest.mark.parametrize(
    ("written", "expected"), [("0s", timedelta(0)), ("60s", timedelta(minutes=1)), ("1h", timedelta(hours=1))]
)
def test_alerts_wait_for_others_up_to_an_hour(folder: Path, written: str, expected: timedelta) -> None:
    (route,) = loaded(folder, f'{ONE_KEY}{ONE_ROUTE}group_wait = "{written}"\n').routes

    assert route.group_wait == expected


# A destination that labels fill.


def labelled(labels: Mapping[str, Mapping[str, str]]) -> str:
    """Keys with these labels; their secrets are in `MANY`."""
    return "".join(
        f'[[keys]]\nname = "{name}"\nsecret = "env:K{number}"\nlabels = {{ {inline(of_key)} }}\n'
        for number, (name, of_key) in enumerate(labels.items())
    )


def inline(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in labels.items())


MANY = WITH_SLACK | {f"K{number}": f"{A_KEY}{number}" for number in range(8)}
TENANTS = labelled(
    {
        "acme-prod": {"channel": "acme", "env": "prod"},
        "umbrella": {"channel": "umbrella", "env": "prod"},
        "acme-dev": {"channel": "acme", "env": "dev"},
        "nobody": {"env": "prod"},
    }
)


def test_labels_name_for_each_key_its_own_destination(folder: Path) -> None:
    found = routed(folder, "slack:#{labels.channel}", 'mention = "@here"', keys=TENANTS, environ=MANY).routes

    assert found == (
        Route(name="all", to="slack:#acme", labels={"channel": "acme"}, mention="@here"),
        Route(name="all", to="slack:#umbrella", labels={"channel": "umbrella"}, mention="@here"),
    )
    assert all(isinstance(route.labels, MappingProxyType) for route in found)


def test_a_filled_route_reaches_the_keys_that_filled_it_and_no_other(folder: Path) -> None:
    found = routed(folder, "slack:#{labels.channel}", keys=TENANTS, environ=MANY)

    reached = {
        key.name: [route.to for route in found.routes if sees(route, KeyFacts(key.name, "", "", key.labels))]
        for key in found.keys
    }

    assert reached == {
        "acme-prod": ["slack:#acme"],
        "umbrella": ["slack:#umbrella"],
        "acme-dev": ["slack:#acme"],
        "nobody": [],
    }


@pytest.mark.parametrize(
    ("to", "matchers", "expected"),
    [
        ("slack:#{labels.channel}", "keys = ['acme*']", {"slack:#acme": {"channel": "acme"}}),
        (
            "slack:#{labels.channel}",
            "labels = { env = 'dev' }",
            {"slack:#acme": {"env": "dev", "channel": "acme"}},
        ),
        (
            "slack:#{labels.channel}-{labels.env}",
            "",
            {
                "slack:#acme-prod": {"channel": "acme", "env": "prod"},
                "slack:#umbrella-prod": {"channel": "umbrella", "env": "prod"},
                "slack:#acme-dev": {"channel": "acme", "env": "dev"},
            },
        ),
        ("slack:#{labels.env}-{labels.env}", "keys = ['nobody']", {"slack:#prod-prod": {"env": "prod"}}),
        ("webhook:env:HOOK_{labels.env}", "labels = { env = 'dev' }", {"webhook:env:HOOK_dev": {"env": "dev"}}),
    ],
)
def test_labels_fill_for_the_keys_that_a_route_reaches(
    folder: Path, to: str, matchers: str, expected: dict[str, dict[str, str]]
) -> None:
    found = routed(folder, to, matchers, keys=TENANTS, environ=MANY | {"HOOK_dev": HOOK})

    assert {route.to: route.labels for route in found.routes} == expected
    assert len(found.routes) == len(expected)
    assert found.slack.webhooks == {to.partition(":")[2]: Secret(HOOK) for to in expected if to.startswith("webhook")}


def test_a_label_may_be_the_whole_destination(folder: Path) -> None:
    keys = labelled({"a": {"to": "console"}, "b": {"to": "slack:#b"}, "c": {"to": "webhook:env:HOOK"}})

    found = routed(folder, "{labels.to}", keys=keys, environ=MANY)

    assert [route.to for route in found.routes] == ["console", "slack:#b", "webhook:env:HOOK"]
    assert found.slack.webhooks == {"env:HOOK": Secret(HOOK)}


def test_routes_keep_their_order_when_labels_make_several_of_one(folder: Path) -> None:
    text = "".join(
        f'[[routes]]\nname = "{name}"\nto = "{to}"\n'
        for name, to in (("first", "console"), ("tenants", "slack:#{labels.channel}"), ("last", "slack:#ops"))
    )

    found = loaded(folder, SLACK + TENANTS + text, MANY).routes

    assert [(route.name, route.to) for route in found] == [
        ("first", "console"),
        ("tenants", "slack:#acme"),
        ("tenants", "slack:#umbrella"),
        ("last", "slack:#ops"),
    ]


@pytest.mark.parametrize(
    ("label", "to", "message"),
    [
        ("s3cr3t s3cr3t", "slack:#{labels.a}", "is no destination"),
        ("", "slack:#{labels.a}", "is no destination"),
        ("#s3cr3t", "slack:#{labels.a}", "is no destination"),
        ("{labels.s3cr3t}", "slack:#{labels.a}", "is no destination"),
        ("s3cr3t", "{labels.a}", "is no destination"),
        ("https://chat.example/s3cr3t", "webhook:{labels.a}", "a literal secret is refused"),
        ("$s3cr3t", "webhook:env:{labels.a}", "env: is not followed by the name of a variable"),
        ("GONE", "webhook:env:{labels.a}", "the environment variable GONE is not set"),
        ("KEY", "webhook:env:{labels.a}", "the environment variable KEY is not an https URL"),
    ],
)
def test_a_label_that_makes_no_destination_is_told_with_its_key(
    folder: Path, label: str, to: str, message: str
) -> None:
    keys = labelled({"fine": {"b": "c"}, "prod": {"a": label}})

    with pytest.raises(ConfigError) as caught:
        routed(folder, to, keys=keys, environ=MANY)

    (problem,) = caught.value.problems
    assert problem.place == 'routes[0] "all".to'
    assert problem.message.startswith(f"filled for key prod: {message}")
    assert problem.hint
    assert "s3cr3t" not in shown_by(caught.value)


def test_a_filled_route_to_slack_needs_a_token_too(folder: Path) -> None:
    text = TENANTS + ONE_ROUTE.replace("console", "slack:#{labels.channel}")

    assert only_problem_of(folder, text, MANY).message == "needs a bot token"


def test_a_mention_does_nothing_on_a_console_that_a_label_names(folder: Path) -> None:
    with pytest.raises(ConfigError, match="does nothing on console") as caught:
        routed(folder, "{labels.to}", 'mention = "@here"', keys=labelled({"a": {"to": "console"}}), environ=MANY)

    assert [problem.place for problem in caught.value.problems] == ['routes[0] "all".mention']


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ({"a": {"env": "prod"}, "b": {"tenant": "x"}}, "labels of the keys it reaches: env, tenant"),
        ({"a": {}, "b": {}}, "these keys have no labels at all: a, b"),
        ({"a": {"channel": "x"}, "b": {"team": "x"}}, "labels of the keys it reaches: channel, team"),
    ],
)
def test_labels_that_no_key_has_are_told(folder: Path, keys: dict[str, dict[str, str]], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        routed(folder, "slack:#{labels.team}-{labels.channel}", keys=labelled(keys), environ=MANY)

    (problem,) = caught.value.problems
    assert (problem.place, problem.message) == ('routes[0] "all".to', "needs labels that no key it reaches has")
    assert problem.hint == hint


@pytest.mark.parametrize(
    ("keys", "matchers", "place"),
    [
        ('[[keys]]\nname = "a b"\nsecret = "env:KEY"\nlabels = { channel = "x" }\n', "", 'keys[0] "a b".name'),
        ('[[keys]]\nname = "a"\nsecret = "env:KEY"\nlabels = { channel = 5 }\n', "", 'keys[0] "a".labels.channel'),
        (ONE_KEY, "labels = { env = 5 }", 'routes[0] "all".labels.env'),
        (ONE_KEY, "keys = []", 'routes[0] "all".keys'),
        (ONE_KEY, "keys = ['gone']", 'routes[0] "all".keys'),
        (ONE_KEY, "labels = { env = 'gone' }", 'routes[0] "all".labels'),
    ],
)
def test_labels_are_not_missed_where_another_fault_hides_them(
    folder: Path, keys: str, matchers: str, place: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        routed(folder, "slack:#{labels.channel}", matchers, keys=keys)

    assert [problem.place for problem in caught.value.problems] == [place]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=6))
def test_every_key_with_the_labels_is_reached_by_exactly_one_filled_route(values: list[tuple[str, str]]) -> None:
    keys = {f"k{number}": {"one": one, "two": two} for number, (one, two) in enumerate(values)}
    with TemporaryDirectory() as name:
        folder = Path(name) / "etc"
        folder.mkdir()
        routes = routed(folder, "slack:#{labels.one}-{labels.two}", keys=labelled(keys), environ=MANY).routes

    for key, labels in keys.items():
        (route,) = [route for route in routes if sees(route, KeyFacts(key, "", "", labels))]
        assert route.to == f"slack:#{labels['one']}-{labels['two']}"


# Every other problem: what is added to a file with one good key and one good route, and what is said about it.

MENTION, DIGEST, SUMMARY = (f'routes[0] "all".{setting}' for setting in ("mention", "digest", "summary"))


def to(destination: str, message: str, hint: str) -> tuple[str, str, str, str]:
    """A second route, to here."""
    return f"[[routes]]\nname = 'a'\nto = {json.dumps(destination)}", 'routes[1] "a".to', message, hint


def api_url(address: str, message: str, hint: str) -> tuple[str, str, str, str]:
    return f"[slack]\napi_url = '{address}'", "slack.api_url", message, hint


CONFIRM, AT_CONFIRM = "[detection]\nconfirm_removal = ", "detection.confirm_removal."
DROP, AT_DROP = "[detection]\nsuspicious_drop = ", "detection.suspicious_drop."

PROBLEMS = {
    "an unknown table": ("[web]\nlisten = 'a'", "web", "unknown", "known here: [database], [vendor]"),
    "a misspelt table": ("[vendors]\n", "vendors", "unknown", "did you mean [vendor]?"),
    "a misspelt list": ("[[key]]\nname = 'a'", "key", "unknown", "did you mean [[keys]]?"),
    "a setting outside of its table": ("#top\ninterval = '5m'", "interval", "unknown", "under [schedule] or [[keys]]"),
    "a strange name": ("#top\n'a b' = 1", "'a b'", "unknown", "known here:"),
    "an unknown setting": ("[database]\npool = 5", "database.pool", "unknown setting", "known here: url, auto_migrate"),
    "a misspelt setting": ("[schedule]\nintervall = '5m'", "schedule.intervall", "unknown setting", "mean interval?"),
    "a setting in the wrong table": (
        "[schedule]\ntimeout = '5s'",
        "schedule.timeout",
        "unknown setting",
        "it belongs under [vendor]; known here: interval, max_concurrent",
    ),
    "an unknown setting of a key": ("#key\nnickname = 'a'", 'keys[0] "prod".nickname', "unknown setting", "known"),
    "an unknown setting of a route": ("#route\nescalate = 'a'", 'routes[0] "all".escalate', "unknown setting", "known"),
    "a table that is a value": ("#top\nvendor = 5", "vendor", "must be a table", "write [vendor]"),
    "a table that is a list": ("[[vendor]]\n", "vendor", "must be a table", "write [vendor]"),
    "text that is a number": ("[database]\nurl = 5", "database.url", "must be text", "put it in quotes"),
    "a switch that is text": (
        "[database]\nauto_migrate = 'yes'",
        "database.auto_migrate",
        "must be true or false",
        "without quotes",
    ),
    "a duration that is a number": ("[schedule]\ninterval = 5", "schedule.interval", "is not a duration", '"20s"'),
    "a duration without unit": ("[schedule]\ninterval = '5'", "schedule.interval", "is not a duration", '"20s"'),
    "a duration with a fraction": ("[schedule]\ninterval = '1.5h'", "schedule.interval", "is not a duration", '"20s"'),
    "a duration with a space": ("[schedule]\ninterval = '5 m'", "schedule.interval", "is not a duration", '"20s"'),
    "a duration below zero": ("[schedule]\ninterval = '-5m'", "schedule.interval", "is not a duration", '"20s"'),
    "a duration in other digits": (
        "[schedule]\ninterval = '\u0665m'",
        "schedule.interval",
        "is not a duration",
        '"20s"',
    ),
    "a duration of an age": ("[schedule]\ninterval = '9999999999d'", "schedule.interval", "is not a duration", "20s"),
    "a date": ("[schedule]\ninterval = 2026-01-01", "schedule.interval", "is not a duration", '"20s"'),
    "an interval of nothing": ("[schedule]\ninterval = '0s'", "schedule.interval", "is out of range", "rate limit"),
    "a short interval": ("[schedule]\ninterval = '999ms'", "schedule.interval", "is out of range", "rate limit"),
    "a long interval": ("[schedule]\ninterval = '999999999d'", "schedule.interval", "is out of range", "31d"),
    "a short interval of a key": ("#key\ninterval = '1ms'", 'keys[0] "prod".interval', "is out of range", "rate"),
    "a timeout of nothing": ("[vendor]\ntimeout = '0ms'", "vendor.timeout", "is out of range", "20s"),
    "a long timeout": ("[vendor]\ntimeout = '301s'", "vendor.timeout", "is out of range", "to 5m"),
    "a size in another unit": ("[vendor]\nmax_response = '16MB'", "vendor.max_response", "is not a size", "MiB"),
    "a size that is a switch": ("[vendor]\nmax_response = true", "vendor.max_response", "is not a size", "MiB"),
    "a size with a fraction": ("[vendor]\nmax_response = 1.5", "vendor.max_response", "is not a size", "MiB"),
    "a size of nothing": ("[vendor]\nmax_response = 0", "vendor.max_response", "is out of range", "16MiB"),
    "a size below zero": ("[vendor]\nmax_response = -5", "vendor.max_response", "is out of range", "16MiB"),
    "a size above all": ("[vendor]\nmax_response = '2GiB'", "vendor.max_response", "is out of range", "memory"),
    "a confirmation that is no table": (
        "[detection]\nconfirm_removal = 2",
        "detection.confirm_removal",
        "must be a table",
        'write confirm_removal = { polls = 2, after = "30m" }',
    ),
    "an unknown member of a table": (
        "[detection]\nconfirm_removal = { poll = 2 }",
        "detection.confirm_removal.poll",
        "unknown setting",
        "did you mean polls?",
    ),
    "another unknown member of a table": (
        "[detection]\nsuspicious_drop = { n = 2 }",
        "detection.suspicious_drop.n",
        "unknown setting",
        "known here: share, count",
    ),
    "no polls": (CONFIRM + "{ polls = 0 }", AT_CONFIRM + "polls", "is out of range", "1 to 100"),
    "many polls": (CONFIRM + "{ polls = 101 }", AT_CONFIRM + "polls", "is out of range", "default is 2"),
    "half a poll": (CONFIRM + "{ polls = 1.5 }", AT_CONFIRM + "polls", "must be a whole", "without"),
    "a yes of polls": (CONFIRM + "{ polls = true }", AT_CONFIRM + "polls", "must be a whole", "without"),
    "a long confirmation": (CONFIRM + "{ after = '32d' }", AT_CONFIRM + "after", "is out of range", "31d"),
    "a confirmation of a number": (CONFIRM + "{ after = 5 }", AT_CONFIRM + "after", "is not a duration", "unit"),
    "a share of nothing": (DROP + "{ share = 0 }", AT_DROP + "share", "is out of range", "a fifth"),
    "a share of more than all": (DROP + "{ share = 1.01 }", AT_DROP + "share", "is out of range", "a fifth"),
    "a share in percent": (DROP + "{ share = '20%' }", AT_DROP + "share", "is not a number", "0.2"),
    "a share of no number": (DROP + "{ share = nan }", AT_DROP + "share", "is not a number", "0.2"),
    "a drop of none": (DROP + "{ count = 0 }", AT_DROP + "count", "is out of range", "at least 1"),
    "a drop of a part": (DROP + "{ count = 0.5 }", AT_DROP + "count", "must be a whole", "without"),
    "a hasty reminder": ("[detection]\nremind = '59m'", "detection.remind", "is out of range", "1h to 31d"),
    "a late reminder": ("[detection]\nremind = '32d'", "detection.remind", "is out of range", "off"),
    "a reminder that says never": ("[detection]\nremind = 'never'", "detection.remind", "is not a duration", '"off"'),
    "a reminder that is a switch": ("[detection]\nremind = false", "detection.remind", "is not a duration", '"off"'),
    "less than nothing": ("[credits]\nlow = -1", "credits.low", "is out of range", "from 0"),
    "credits in quotes": ("[credits]\nlow = '1000'", "credits.low", "is not a number", "without quotes"),
    "endless credits": ("[credits]\nlow = inf", "credits.low", "is not a number", "1000"),
    "more credits than there are": ("[credits]\nlow = 1e16", "credits.low", "is out of range", "from 0"),
    "a short runway": ("[credits]\nrunway = '59m'", "credits.runway", "is out of range", "1h to 365d"),
    "a long runway": ("[credits]\nrunway = '366d'", "credits.runway", "is out of range", "3d"),
    "a runway of days without a unit": ("[credits]\nrunway = 3", "credits.runway", "is not a duration", "unit"),
    "a former name that is none": (
        "#key\nformerly = ['a b']",
        'keys[0] "prod".formerly[0]',
        "is not a name",
        "letters",
    ),
    "a former name by itself": ("#key\nformerly = 'a'", 'keys[0] "prod".formerly', "must be a list", "formerly = ["),
    "the name it has": ("#key\nformerly = ['prod']", 'keys[0] "prod".formerly', "holds the name it has now", "before"),
    "a folder without a path": ("[[key_folders]]\n", "key_folders[0].path", "is missing", "every [[key_folders]]"),
    "a folder of one bracket": ("[key_folders]\npath = 'a'", "key_folders", "must be a list of tables", "two brackets"),
    "a folder of no name": ("[[key_folders]]\npath = ' '", "key_folders[0].path", "is not the name of a f", "keys.d"),
    "a folder that is not there": (
        "[[key_folders]]\npath = 'a'",
        "key_folders[0].path",
        "there is no folder",
        "create",
    ),
    "no workers": ("[schedule]\nmax_concurrent = 0", "schedule.max_concurrent", "is too small", "at least 1"),
    "many workers": ("[schedule]\nmax_concurrent = 33", "schedule.max_concurrent", "is too large", "at most 32"),
    "workers as text": ("[schedule]\nmax_concurrent = '5'", "schedule.max_concurrent", "must be a whole", "without"),
    "half a worker": ("[schedule]\nmax_concurrent = 1.5", "schedule.max_concurrent", "must be a whole", "without"),
    "a yes of workers": ("[schedule]\nmax_concurrent = true", "schedule.max_concurrent", "must be a whole", "without"),
    "a choice of none": (
        "[rules]\nunknown_params = 'maybe'",
        "rules.unknown_params",
        "is not one of the choices",
        'write "reject" or "ignore"',
    ),
    "another choice of none": (
        "[rules]\nrequired_with_default = 'additive'",
        "rules.required_with_default",
        "is not one of the choices",
        'write "breaking" or "risky"',
    ),
    "a list that is text": (
        "[rules]\nrecord_only = 'model.*'",
        "rules.record_only",
        "must be a list",
        'write record_only = ["…"]',
    ),
    "a list of numbers": ("[rules]\nrecord_only = [5]", "rules.record_only[0]", "must be text", "put it in quotes"),
    "a kind that does not exist": (
        "[rules]\nrecord_only = ['model.*', 'model.rmoved']",
        "rules.record_only[1]",
        "matches no kind of change",
        "did you mean model.removed?",
    ),
    "a key that is no table": ("#top\nkeys = ['a']", "keys[0]", "must be a table", "write [[keys]]"),
    "keys that are one table": ("#top\nkeys = { name = 'a' }", "keys", "must be a list of tables", "write [[keys]]"),
    "a key without a name": ("[[keys]]\nsecret = 'env:KEY_2'", "keys[1].name", "is missing", "every [[keys]] needs it"),
    "a key without a secret": ("[[keys]]\nname = 'b'", 'keys[1] "b".secret', "is missing", "every [[keys]] needs it"),
    "a secret that is a table": (
        "[[keys]]\nname = 'b'\nsecret = { value = 's3cr3t' }",
        'keys[1] "b".secret',
        "must be text",
        "put it in quotes",
    ),
    "a name with a space": (
        "[[keys]]\nname = 'a b'\nsecret = 'env:KEY_2'",
        'keys[1] "a b".name',
        "is not a name",
        "1 to 64 characters",
    ),
    "a name of nothing": ("[[keys]]\nname = ''\nsecret = 'env:KEY_2'", "keys[1].name", "is not a name", "1 to 64"),
    "a name with a line end": (
        "[[keys]]\nname = \"a\\n\"\nsecret = 'env:KEY_2'",
        "keys[1].name",
        "is not a name",
        "1 to 64",
    ),
    "a name that is too long": (
        f"[[keys]]\nname = '{'a' * 65}'\nsecret = 'env:KEY_2'",
        "keys[1].name",
        "is not a name",
        "1 to 64",
    ),
    "a name that is a number": ("[[keys]]\nname = 5\nsecret = 'env:KEY_2'", "keys[1].name", "must be text", "quotes"),
    "a name that looks like a key": (
        "[[keys]]\nname = 'vvx_live_a'\nsecret = 'env:KEY_2'",
        'keys[1] "vvx_live_…".name',
        "looks like a key",
        "choose one",
    ),
    "a name that is taken": (
        "[[keys]]\nname = 'prod'\nsecret = 'env:KEY_2'",
        'keys[1] "prod".name',
        "is the name of keys[0] too",
        "choose another",
    ),
    "an account with a space": ("#key\naccount = 'a b'", 'keys[0] "prod".account', "is not a name", "1 to 64"),
    "labels that are text": ("#key\nlabels = 'a'", 'keys[0] "prod".labels', "must be a table", "labels = { tenant"),
    "a label that is a number": ("#key\nlabels = { a = 5 }", 'keys[0] "prod".labels.a', "must be text", "in quotes"),
    "a route without a name": ("[[routes]]\nto = 'console'", "routes[1].name", "is missing", "every [[routes]]"),
    "a route to nowhere": ("[[routes]]\nname = 'a'", 'routes[1] "a".to', "is missing", "every [[routes]]"),
    "a route with a blank name": ("[[routes]]\nname = ' '\nto = 'console'", 'routes[1] " ".name', "is not a", "1 to"),
    "a route with two lines as its name": (
        "[[routes]]\nname = \"a\\nb\"\nto = 'console'",
        "routes[1].name",
        "is not a name",
        "on one line",
    ),
    "a route whose name is a number": ("[[routes]]\nname = 5\nto = 'console'", "routes[1].name", "must be text", "in"),
    "a route whose name is taken": (
        "[[routes]]\nname = 'all'\nto = 'console'",
        'routes[1] "all".name',
        "is the name of routes[0] too",
        "choose another",
    ),
    "a route to a scheme of none": to("mail:s3cr3t", "is no destination", '"slack:#channel"'),
    "a route to nothing": to("", "is no destination", '"console"'),
    "a route to the console with more": to("console:s3cr3t", "is no destination", '"console"'),
    "a route in capitals": to("SLACK:#vivix", "is no destination", '"slack:#channel"'),
    "a route to Slack without channel": to("slack:", "is no destination", '"slack:#channel"'),
    "a route to a channel without mark": to("slack:s3cr3t", "is no destination", '"slack:#channel"'),
    "a route to a channel of two words": to("slack:#s3cr3t s3cr3t", "is no destination", '"slack:#channel"'),
    "a route to a long channel": to(f"slack:#{'a' * 81}", "is no destination", '"slack:#channel"'),
    "a route to an unprintable channel": to("slack:#a\u200b", "is no destination", '"slack:#channel"'),
    "a route to a person": to("slack:U0123456789", "is no destination", '"slack:C0123456789"'),
    "a route to Slack without token": to("slack:#s3cr3t", "needs a bot token", 'token = "env:SLACK_BOT_TOKEN"'),
    "a route to a webhook without reference": to("webhook:", "is no destination", '"webhook:env:NAME"'),
    "a route to a webhook": to("webhook:https://hooks.slack.com/services/s3cr3t", LITERAL, '"env:NAME"'),
    "a route to a webhook of others": to("webhook:https://chat.example/s3cr3t", LITERAL, '"env:NAME"'),
    "a route to a webhook in a bad variable": to("webhook:env:$HOOK", "env: is not followed by the name", "without $"),
    "a route to a webhook that is not set": to("webhook:env:GONE", "the environment variable GONE is not set", "set"),
    "a route to a webhook that is a key": to(
        "webhook:env:KEY", "the environment variable KEY is not an https URL", "whole"
    ),
    "a route with other braces": to("slack:#{tenant}", "holds braces that nothing fills", "{labels.NAME}"),
    "a route with empty braces": to("slack:#{}", "holds braces that nothing fills", "{labels.NAME}"),
    "a route with a label of no name": to("slack:#{labels.}", "holds braces that nothing fills", "{labels.NAME}"),
    "a route with half a brace": to("slack:#{labels.a", "holds braces that nothing fills", "{labels.NAME}"),
    "a route with too many braces": to("slack:#{{labels.a}}", "holds braces that nothing fills", "{labels.NAME}"),
    "a route by the label of no key": to("slack:#{labels.s3cr3t}", "needs labels that no key it reaches has", "prod"),
    "a mention on the console": ("#route\nmention = '@here'", MENTION, "does nothing on console", "leave it out"),
    "a mention of a word": ("#route\nmention = 's3cr3t'", MENTION, "calls nobody", '"@channel"'),
    "a mention of everyone": ("#route\nmention = '@everyone'", MENTION, "calls nobody", '"@channel"'),
    "a mention of nobody": ("#route\nmention = ''", MENTION, "calls nobody", '"@channel"'),
    "a mention by name": ("#route\nmention = '@s3cr3t'", MENTION, "calls nobody", "the id of a user (U…)"),
    "a mention as Slack writes it": ("#route\nmention = '<@U0123456789>'", MENTION, "calls nobody", "the id"),
    "a mention of a channel": ("#route\nmention = 'C0123456789'", MENTION, "calls nobody", "the id"),
    "a mention that is too short": ("#route\nmention = 'U01234'", MENTION, "calls nobody", "the id"),
    "two mentions": ("#route\nmention = ['@here']", MENTION, "calls nobody", "the id"),
    "a wait without unit": ("#route\ngroup_wait = 60", 'routes[0] "all".group_wait', "is not a duration", '"20s"'),
    "a wait of hours": ("#route\ngroup_wait = '61m'", 'routes[0] "all".group_wait', "is out of range", "0s to 1h"),
    "a digest of a word": ("#route\ndigest = 's3cr3t'", DIGEST, "does not say when", '"hourly" or "daily 09:00'),
    "a digest of nothing": ("#route\ndigest = ''", DIGEST, "does not say when", '"off"'),
    "a digest that is a switch": ("#route\ndigest = false", DIGEST, "does not say when", '"off"'),
    "a digest once a week": ("#route\ndigest = 'monday 09:00 UTC'", DIGEST, "does not say when", '"daily 09:00'),
    "a digest in capitals": ("#route\ndigest = 'Daily 09:00 UTC'", DIGEST, "does not say when", "did you mean daily?"),
    "a digest without time": ("#route\ndigest = 'daily'", DIGEST, "is not a day, a time and a", '"daily 09:00'),
    "a digest without zone": ("#route\ndigest = 'daily 09:00'", DIGEST, "is not a day, a time and a", "Europe/Berlin"),
    "a digest with more": ("#route\ndigest = 'daily 09:00 UTC s3cr3t'", DIGEST, "is not a day, a time and a", '"daily'),
    "a digest at one digit": ("#route\ndigest = 'daily 9:00 UTC'", DIGEST, "names no time of day", "two digits each"),
    "a digest at midnight's end": ("#route\ndigest = 'daily 24:00 UTC'", DIGEST, "names no time of day", "to 23:59"),
    "a digest to the second": ("#route\ndigest = 'daily 09:00:00 UTC'", DIGEST, "names no time of day", "two digits"),
    "a digest at an odd minute": ("#route\ndigest = 'daily 09:60 UTC'", DIGEST, "names no time of day", "two digits"),
    "a digest in another alphabet": ("#route\ndigest = 'daily \u0660\u0669:00 UTC'", DIGEST, "names no time", "two"),
    "a digest in a misspelt zone": (
        "#route\ndigest = 'daily 09:00 Europe/Berln'",
        DIGEST,
        "names no time zone",
        "did you mean Europe/Berlin?",
    ),
    "a digest in a zone in small letters": (
        "#route\ndigest = 'daily 09:00 europe/berlin'",
        DIGEST,
        "names no time zone",
        "did you mean Europe/Berlin?",
    ),
    "a digest in a city": ("#route\ndigest = 'daily 09:00 tokyo'", DIGEST, "names no time", "did you mean Asia/Tokyo?"),
    "a digest in an abbreviation": ("#route\ndigest = 'daily 09:00 PST'", DIGEST, "names no time zone", "write a name"),
    "a digest in a path": ("#route\ndigest = 'daily 09:00 ../s3cr3t'", DIGEST, "names no time zone", ""),
    "a summary every hour": ("#route\nsummary = 'hourly'", SUMMARY, "does not say when", '"monday 09:00'),
    "a summary on no day": ("#route\nsummary = '09:00 UTC'", SUMMARY, "does not say when", '"monday 09:00'),
    "a summary on a misspelt day": ("#route\nsummary = 'wensday 09:00 UTC'", SUMMARY, "does not", "mean wednesday?"),
    "a summary at no time": ("#route\nsummary = 'monday noon UTC'", SUMMARY, "names no time of day", "two digits"),
    "a summary in no zone": ("#route\nsummary = 'monday 09:00 Nowhere'", SUMMARY, "names no time zone", ""),
    "a literal token": ("[slack]\ntoken = 'xoxb-s3cr3t-s3cr3t'", "slack.token", LITERAL, "revoke it"),
    "a short literal token": ("[slack]\ntoken = 'xoxb-s3cr3t'", "slack.token", LITERAL, '"env:NAME"'),
    "a token that is no text": ("[slack]\ntoken = 5", "slack.token", "must be text", "put it in quotes"),
    "a token that is not set": ("[slack]\ntoken = 'env:GONE'", "slack.token", "the environment variable GONE", "set"),
    "a token of the vendor's": ("[slack]\ntoken = 'env:KEY'", "slack.token", "the environment variable KEY is", "Bot"),
    "an unknown setting of Slack": ("[slack]\nchannel = '#a'", "slack.channel", "unknown setting", "token, api_url"),
    "Slack's address without scheme": api_url("slack.com/api/", "is not an https URL", "leave it out"),
    "Slack's address in clear text": api_url("http://slack.com/api/", "is not https", "in clear text"),
    "Slack's address in clear text to a look-alike": api_url("http://localhost:1@s3cr3t/", "holds a user name", "only"),
    "Slack's address beside this machine": api_url("http://127.0.0.1.example:80/", "is not https", "in clear text"),
    "Slack's address with a password": api_url(
        "https://u:s3cr3t@slack.com/api/", "holds a user name", "only credential"
    ),
    "Slack's address with a query": api_url("https://slack.com/api/?token=s3cr3t", "holds more than", "leave it out"),
    "Slack's address with a fragment": api_url("https://slack.com/api/#s3cr3t", "holds more than", "leave it out"),
    "Slack's address with a space": api_url("https://slack.com/ api/", "is not a URL", "leave it out"),
    "Slack's address that is a webhook": api_url(
        "https://HOOKS.slack.com/s3cr3t", "is the address of a webhook", "to ="
    ),
    "Slack's address without host": api_url("https:///api/", "names no host", "leave it out"),
    "Slack's address that is a number": ("[slack]\napi_url = 5", "slack.api_url", "is not a URL", "leave it out"),
    "an empty matcher": ("#route\nkinds = []", 'routes[0] "all".kinds', "is empty, so it matches nothing", "leave it"),
    "an empty matcher of keys": ("#route\nkeys = []", 'routes[0] "all".keys', "is empty", "leave it out"),
    "an empty matcher of labels": ("#route\nlabels = {}", 'routes[0] "all".labels', "is empty", "leave it out"),
    "an empty glob": ("#route\nmodels = ['']", 'routes[0] "all".models[0]', "is empty", '"*"'),
    "a glob that is a number": ("#route\nmodels = [5]", 'routes[0] "all".models[0]', "must be text", "in quotes"),
    "a matcher that is text": ("#route\ncategories = 'a'", 'routes[0] "all".categories', "must be a list", "write"),
    "a severity of none": (
        "#route\nmin_severity = 'high'",
        'routes[0] "all".min_severity',
        "is not one of the choices",
        'write "breaking", "risky", "additive" or "informational"',
    ),
    "a percentage as text": ("#route\nmin_percent = '5%'", 'routes[0] "all".min_percent', "is not a number", "quotes"),
    "a percentage that is a switch": ("#route\nmin_percent = true", 'routes[0] "all".min_percent', "is not a nu", "5"),
    "a percentage below zero": ("#route\nmin_percent = -0.1", 'routes[0] "all".min_percent', "is out of range", "0 to"),
    "a percentage above all": ("#route\nmin_percent = 1000.5", 'routes[0] "all".min_percent', "is out of range", "0"),
    "a percentage of no number": ("#route\nmin_percent = nan", 'routes[0] "all".min_percent', "is not a number", "2.5"),
    "an endless percentage": ("#route\nmin_percent = inf", 'routes[0] "all".min_percent', "is not a number", "2.5"),
    "a route for no kind": (
        "#route\nkinds = ['credits.bands.*']",
        'routes[0] "all".kinds[0]',
        "matches no kind of change",
        "did you mean credits.band.",
    ),
    "a route for a kind in capitals": ("#route\nkinds = ['MODEL.*']", 'routes[0] "all".kinds[0]', "matches no", "list"),
    "a route for no key": (
        "#route\nkeys = ['PROD', 'staging*']",
        'routes[0] "all".keys',
        "matches no key, so the route can never match",
        "configured keys: prod",
    ),
    "a route for no label": (
        "#route\nlabels = { tenant = 'acme' }",
        'routes[0] "all".labels',
        "no key has them all, so the route can never match",
        "keys that could: prod",
    ),
    "a URL that is a number": ("[vendor]\nbase_url = 5", "vendor.base_url", "is not a URL", "https://getvivix.com"),
    "a URL without scheme": ("[vendor]\nbase_url = 'getvivix.com'", "vendor.base_url", "is not an https URL", "https:"),
    "another scheme": ("[vendor]\nbase_url = 'ftp://a.example'", "vendor.base_url", "is not an https URL", "https:"),
    "clear text": ("[vendor]\nbase_url = 'http://a.example'", "vendor.base_url", "is not https", "in clear text"),
    "clear text to a look-alike": (
        "[vendor]\nbase_url = 'http://127.0.0.1.example'",
        "vendor.base_url",
        "is not https",
        "in clear text",
    ),
    "clear text to the local network": (
        "#key\nbase_url = 'http://192.168.0.1'",
        'keys[0] "prod".base_url',
        "is not https",
        "in clear text",
    ),
    "a path": ("[vendor]\nbase_url = 'https://a.example/api'", "vendor.base_url", "holds more than scheme", "path"),
    "a query": ("[vendor]\nbase_url = 'https://a.example?s3cr3t'", "vendor.base_url", "holds more than", "path"),
    "an empty query": ("[vendor]\nbase_url = 'https://a.example/?'", "vendor.base_url", "holds more than", "path"),
    "a fragment": ("[vendor]\nbase_url = 'https://a.example#s3cr3t'", "vendor.base_url", "holds more than", "path"),
    "a password": ("[vendor]\nbase_url = 'https://u:s3cr3t@a.example'", "vendor.base_url", "holds a user name", "only"),
    "a user": ("[vendor]\nbase_url = 'https://s3cr3t@a.example'", "vendor.base_url", "holds a user name", "only"),
    "no host": ("[vendor]\nbase_url = 'https://'", "vendor.base_url", "names no host", "https:"),
    "a host of dots": ("[vendor]\nbase_url = 'https://..'", "vendor.base_url", "names no host", "https:"),
    "half an address": ("[vendor]\nbase_url = 'https://[::1'", "vendor.base_url", "is not a URL", "https:"),
    "a strange address": ("[vendor]\nbase_url = 'https://[v1.a:b]'", "vendor.base_url", "names no host", "https:"),
    "a port above all": ("[vendor]\nbase_url = 'https://a.example:70000'", "vendor.base_url", "is not a URL", "https:"),
    "a backslash": ("[vendor]\nbase_url = 'https://a.example\\b'", "vendor.base_url", "names no host", "https:"),
    "a line end in a URL": ('[vendor]\nbase_url = "https://a.exa\\nmple"', "vendor.base_url", "is not a URL", "https:"),
    "a host that is not ASCII": ("[vendor]\nbase_url = 'https://ü.example'", "vendor.base_url", "is not a URL", "http"),
}


def text_with(addition: str) -> str:
    """A good file with this added where its first line says: at the top, to the key, to the route, or as a table."""
    where, _, rest = addition.partition("\n")
    match where:
        case "#top":
            own_keys = rest.startswith("keys")
            return "\n".join([rest, *([] if own_keys else [ONE_KEY]), ONE_ROUTE])
        case "#key":
            return f"{ONE_KEY}{rest}\n{ONE_ROUTE}"
        case "#route":
            return f"{ONE_KEY}{ONE_ROUTE}{rest}\n"
        case _:
            return f"{ONE_KEY}{ONE_ROUTE}{addition}\n"


@pytest.mark.parametrize(("addition", "place", "message", "hint"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_file_is_refused_for(folder: Path, addition: str, place: str, message: str, hint: str) -> None:
    problem = problems_of(folder, text_with(addition))[0]

    assert place == problem.place
    assert problem.message.startswith(message)
    assert hint in problem.hint
    assert "s3cr3t" not in str(problem)


@pytest.mark.parametrize("case", PROBLEMS)
def test_one_mistake_is_told_once(folder: Path, case: str) -> None:
    only_problem_of(folder, text_with(PROBLEMS[case][0]))


@pytest.mark.parametrize("text", ["", ONE_ROUTE, "keys = []"])
def test_a_file_without_keys_is_refused(folder: Path, text: str) -> None:
    problem = only_problem_of(folder, text)

    assert (problem.place, problem.message) == ("keys", "there is no key to watch")


@pytest.mark.parametrize(
    ("matchers", "place"),
    [
        ("keys = ['staging']\nlabels = { tenant = 'acme' }", "labels"),
        ("labels = { tenant = 'umbrella', env = 'prod' }", "labels"),
        ("keys = ['dev', 'test']\nlabels = { tenant = 'acme' }", "keys"),
    ],
)
def test_the_matchers_of_a_route_must_meet_in_one_key(folder: Path, matchers: str, place: str) -> None:
    problem = only_problem_of(folder, f"{TWO_KEYS}{ONE_ROUTE}{matchers}\n")

    assert problem.place == f'routes[0] "all".{place}'


@pytest.mark.parametrize(
    "matchers",
    [
        "keys = ['s*', 'gone']",
        "keys = ['[ps]*']\nlabels = { tenant = 'umbrella' }",
        "labels = { tenant = 'acme', env = 'prod' }",
        "kinds = ['*']\nmin_percent = 0",
        "kinds = ['credits.band.*', 'model.added']\nmin_percent = 1000",
    ],
)
def test_a_route_that_reaches_a_key_is_fine(folder: Path, matchers: str) -> None:
    assert len(loaded(folder, f"{TWO_KEYS}{ONE_ROUTE}{matchers}\n").routes) == 1


def test_a_route_is_not_blamed_for_a_key_that_cannot_be_read(folder: Path) -> None:
    text = "[[keys]]\nname = 'prod one'\nsecret = 'env:KEY'\n" + ONE_ROUTE + "keys = ['prod*']\n"

    assert only_problem_of(folder, text).place == 'keys[0] "prod one".name'


def test_keys_listed_in_a_hint_are_not_endless(folder: Path) -> None:
    keys = "".join(f'[[keys]]\nname = "k{n}"\nsecret = "env:K{n}"\n' for n in range(20))
    environ = {f"K{n}": f"{A_KEY}{n}" for n in range(20)}

    problem = only_problem_of(folder, f"{keys}{ONE_ROUTE}keys = ['x']\n", environ)

    assert problem.hint.endswith("k7 and 12 more")


def test_all_problems_are_told_together(folder: Path) -> None:
    text = """
        colour = "red"
        [database]
        url = "mysql://h/d"
        [vendor]
        timeout = "soon"
        base_url = "http://a.example"
        [schedule]
        max_concurrent = 99
        [rules]
        unknown_params = "maybe"
        [slack]
        token = "env:GONE"
        api_url = "http://a.example"
        [[keys]]
        name = "prod"
        secret = "env:GONE"
        interval = "0s"
        [[keys]]
        name = "prod"
        secret = "vvx_live_s3cr3ts3cr3t"
        labels = { a = 1 }
        [[keys]]
        name = "third"
        secret = "env:KEY"
        colour = "red"
        [[keys]]
        nmae = "fourth"
        secret = "env:KEY"
        [[routes]]
        name = "all"
        to = "mail:a"
        kinds = ["nothing"]
        mention = "@everyone"
        digest = "sometimes"
        summary = "never"
        [[routes]]
        name = "all"
        to = "console"
        min_severity = "high"
        min_percent = -1
    """

    assert {problem.place for problem in problems_of(folder, text)} == {
        "colour",
        "database.url",
        "vendor.timeout",
        "vendor.base_url",
        "schedule.max_concurrent",
        "rules.unknown_params",
        "slack.token",
        "slack.api_url",
        'keys[0] "prod".secret',
        'keys[0] "prod".interval',
        'keys[1] "prod".secret',
        'keys[1] "prod".labels.a',
        'keys[1] "prod".name',
        'keys[2] "third".colour',
        "keys[3].nmae",
        "keys[3].name",
        "keys[3].secret",  # the same as that of keys[2]
        'routes[0] "all".to',
        'routes[0] "all".mention',
        'routes[0] "all".digest',
        'routes[0] "all".summary',
        'routes[0] "all".kinds[0]',
        'routes[1] "all".name',
        'routes[1] "all".min_severity',
        'routes[1] "all".min_percent',
    }


# Saved requests.

ONE_REQUEST = f'{ONE_KEY}[[requests]]\nname = "hero"\n'
IN_A_FILE = ONE_REQUEST + 'file = "hero.json"\n'


def problem_with_file(folder: Path, content: str | bytes) -> Problem:
    """The only problem where hero.json holds this."""
    (folder / "hero.json").write_bytes(content.encode() if isinstance(content, str) else content)
    problem = only_problem_of(folder, IN_A_FILE)
    assert problem.place == 'requests[0] "hero".file'
    return problem


def problem_with_body(folder: Path, body: str) -> Problem:
    """The only problem where the body is written so."""
    return only_problem_of(folder, f"{ONE_REQUEST}body = {body}\n")


def test_a_saved_request_is_read_from_a_file_beside_the_configuration(folder: Path) -> None:
    (folder / "requests").mkdir()
    (folder / "requests" / "hero.json").write_bytes(
        b'\xef\xbb\xbf{"model": "wan", "seconds": 2.50, "seed": 123456789012345678901234567890}'
    )

    (request,) = loaded(folder, ONE_REQUEST + 'file = "requests/hero.json"').requests

    body = {"model": "wan", "seconds": Decimal("2.50"), "seed": 123456789012345678901234567890}
    assert request == SavedRequest("hero", body, ("*",))


def test_a_saved_request_may_stand_in_a_file_anywhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hero.json").write_text('{"model": "wan"}')

    (request,) = loaded(folder, f'{ONE_REQUEST}file = "{tmp_path}/hero.json"').requests

    assert request.model == "wan"


def test_a_saved_request_in_the_configuration_means_what_the_same_json_means(folder: Path) -> None:
    (folder / "b.json").write_text('{"model": "wan", "n": 1, "step": 0.10, "at": "2026-05-01", "tags": ["x", true]}')
    body = '{ model = "wan", n = 1, step = 0.10, at = "2026-05-01", tags = ["x", true] }'
    text = f'{ONE_REQUEST}body = {body}\n[[requests]]\nname = "b"\nfile = "b.json"\n'

    one, other = loaded(folder, text).requests

    assert one.body == other.body


@pytest.mark.parametrize("setting", ["", 'file = "hero.json"\nbody = { model = "wan" }'])
def test_a_saved_request_has_either_a_file_or_a_body(folder: Path, setting: str) -> None:
    problem = only_problem_of(folder, ONE_REQUEST + setting)

    assert problem.place == 'requests[0] "hero"'
    assert problem.message == ("has both file and body" if setting else "has neither file nor body")
    assert "either file" in problem.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be read as JSON: line 1 column 1: not JSON"),
        ('{"model": "wan", }', "cannot be read as JSON: line 1 column"),
        (b'{"model": "\xff"}', "cannot be read as JSON: byte 11: not UTF-8"),
        ('{"model": "wan", "n": NaN}', "cannot be read as JSON: /n: NaN is not JSON"),
        ('{"model": "wan", "n": -Infinity}', "cannot be read as JSON: /n: -Infinity is not JSON"),
        ('{"model": "wan", "n": 1e999999}', "cannot be read as JSON: /n: a number out of every sensible range"),
        ('{"model": "wan", "a": ' + "[" * 200 + "]" * 200 + "}", "nested deeper than 100"),
        ('{"model": "wan", "a": ' + "[" * 200_000, "nested deeper than 100"),
        ('{"model": "wan", "a": {"n": 1, "n": 2}}', "is not what is sent: /a/n: this member stands there twice"),
        ('{"model": "wan", "a": "\\u0000"}', "is not what is sent: /a: U+0000 or a lone surrogate"),
        ('[{"model": "wan"}]', "holds no JSON object"),
        ("null", "holds no JSON object"),
        ('{"prompt": "x"}', "names no model"),
        ('{"model": 5}', "names no model"),
        ('{"model": " "}', "names no model"),
        (b"[" + b" " * LARGEST_REQUEST, f"is larger than {LARGEST_REQUEST} bytes"),
    ],
    ids=lambda value: None if isinstance(value, bytes) or len(value) > 60 else value,
)
def test_a_file_that_holds_no_request_is_named_with_what_is_wrong(
    folder: Path, content: str | bytes, said: str
) -> None:
    problem = problem_with_file(folder, content)

    assert problem.message.startswith(str(folder / "hero.json"))
    assert said in problem.message
    assert problem.hint


def test_a_file_of_the_greatest_size_is_read(folder: Path) -> None:
    body = b'{"model": "wan"}'
    (folder / "hero.json").write_bytes(body + b" " * (LARGEST_REQUEST - len(body)))

    assert loaded(folder, IN_A_FILE).requests[0].model == "wan"


def test_a_file_that_is_not_there_or_is_none_is_told(folder: Path) -> None:
    assert "there is no file" in only_problem_of(folder, IN_A_FILE).message
    (folder / "hero.json").mkdir()
    assert "is a directory" in only_problem_of(folder, IN_A_FILE).message
    (folder / "hero.json").rmdir()
    os.mkfifo(folder / "hero.json")
    assert "is no regular file" in only_problem_of(folder, IN_A_FILE).message


@pytest.mark.parametrize("name", ["", "  ", "a\\u0000b", "a\\nb"])
def test_the_name_of_a_file_is_one_that_can_be_shown(folder: Path, name: str) -> None:
    assert only_problem_of(folder, f'{ONE_REQUEST}file = "{name}"').message == "is not the name of a file"


@pytest.mark.parametrize(
    ("body", "place", "said"),
    [
        ("{ prompt = 'x' }", "", "names no model"),
        ("{ model = 5 }", ".model", "is not the slug of a model"),
        ("{ model = '' }", ".model", "is not the slug of a model"),
        ("{ model = 'wan', at = 2026-05-01 }", ".at", "is a date or a time"),
        ("{ model = 'wan', at = 2026-05-01T10:00:00Z }", ".at", "is a date or a time"),
        ("{ model = 'wan', a = [{ b = 10:00:00 }] }", ".a[0].b", "is a date or a time"),
        ("{ model = 'wan', n = nan }", ".n", "is no number that JSON knows"),
        ("{ model = 'wan', n = [1, -inf] }", ".n[1]", "is no number that JSON knows"),
        ("{ model = 'wan', n = 1e999999 }", ".n", "is a number out of every sensible range"),
        ("{ model = 'wan', n = 0x" + "f" * 5000 + " }", ".n", "is a number out of every sensible range"),
        ("{ model = 'wan', a = " + "[" * 110 + "]" * 110 + " }", ".a", "is nested too deep"),
        ('{ model = "wan", a = "\\u0000" }', "", "U+0000"),
        ("'wan'", "", "must be a table"),
    ],
    ids=lambda value: value if len(value) < 60 else None,
)
def test_a_body_that_is_no_json_is_named_with_its_place(folder: Path, body: str, place: str, said: str) -> None:
    problem = problem_with_body(folder, body)

    assert problem.place == f'requests[0] "hero".body{place}'
    assert said in problem.message
    assert problem.hint


def test_a_saved_request_is_for_a_key_that_there_is(folder: Path) -> None:
    text = f"{TWO_KEYS}[[requests]]\nname = 'hero'\nbody = {{ model = 'wan' }}\nkeys = ['pord', 'live*']\n"

    problem = only_problem_of(folder, text)

    assert (problem.place, problem.hint) == ('requests[0] "hero".keys', "configured keys: prod, staging")
    assert loaded(folder, text.replace("live*", "stag*")).requests[0].keys == ("pord", "stag*")


def test_every_problem_with_saved_requests_is_told_at_once(folder: Path) -> None:
    text = f"""{ONE_KEY}
        [[requests]]
        name = "hero"
        file = "gone.json"
        keys = []
        [[requests]]
        name = "hero"
        body = {{ prompt = "x" }}
        [[requests]]
        file = 5
        boddy = {{ model = "wan" }}
    """

    found = {problem.place: problem for problem in problems_of(folder, text)}

    assert set(found) == {
        'requests[0] "hero".file',
        'requests[0] "hero".keys',
        'requests[1] "hero".name',
        'requests[1] "hero".body',
        "requests[2].name",
        "requests[2].file",
        "requests[2].boddy",
    }
    assert found["requests[2].boddy"].hint == "did you mean body?"
    assert "requests[0] too" in found['requests[1] "hero".name'].message


def test_who_does_not_ask_for_requests_is_not_stopped_by_a_file(folder: Path, cwd: Path) -> None:
    path = folder / "config.toml"
    path.write_text(f"{IN_A_FILE}[[requests]]\nname = 'b'\nbody = {{ model = 'wan' }}\n")

    assert config.load(path, {}, cwd, secrets=False).requests == ()
    with pytest.raises(ConfigError, match="there is no file"):
        config.load(path, {}, cwd, secrets=False, requests=True)
    (folder / "hero.json").write_text('{"model": "grok"}')
    saved = config.load(path, {}, cwd, secrets=False, requests=True).requests
    assert [request.model for request in saved] == ["grok", "wan"]


def test_what_stands_in_the_configuration_is_looked_at_by_everybody(folder: Path, cwd: Path) -> None:
    path = folder / "config.toml"
    path.write_text(f"{ONE_REQUEST}body = {{ prompt = 'x' }}\n")

    with pytest.raises(ConfigError, match="names no model"):
        config.load(path, {}, cwd, secrets=False)


@pytest.mark.parametrize(
    "content",
    [
        '{"model": "wan", "prompt": "KEY"}',
        '{"model": "wan", "KEY": 1}',
        '{"model": "wan", "a": [{"b": "x KEY y"}]}',
        # Escaped, so that no search of the file finds it.
        '{"model": "wan", "a": "\\u0076vx_live_MARKMARKMARKMARKMARK"}',
        '{"model": "wan", "KEY": NaN}',
        '{"model": "wan", "KEY": 1, "KEY": 2}',
        '{"model": "wan", "a": KEY}',
    ],
)
def test_a_literal_secret_in_a_request_s_file_is_refused_and_not_shown(folder: Path, content: str) -> None:
    (folder / "hero.json").write_text(content.replace("KEY", MARKED_KEY).replace("MARK", MARK))

    with pytest.raises(ConfigError) as caught:
        loaded(folder, IN_A_FILE)

    assert MARK not in shown_by(caught.value)
    readable = "NaN" not in content and ": KEY" not in content
    assert ("holds a literal secret" in str(caught.value)) == readable


def test_a_literal_secret_in_a_body_is_told_once(folder: Path) -> None:
    problem = problem_with_body(folder, f'{{ model = "{MARKED_KEY}", prompt = "x" }}')

    assert (problem.place, MARK in str(problem)) == ('requests[0] "hero".body.model', False)
    assert problem.message.startswith("a literal secret is refused")


# Names that keys had before.


def test_a_former_name_belongs_to_nobody_else(folder: Path) -> None:
    spare = '[[keys]]\nname = "spare"\nsecret = "env:KEY_2"\n'
    taken = only_problem_of(folder, f'{ONE_KEY}formerly = ["spare"]\n{spare}')
    assert (taken.place, taken.message) == ('keys[0] "prod".formerly', "holds the name of keys[1]")
    claimed = only_problem_of(folder, f'{ONE_KEY}formerly = ["old"]\n{spare}formerly = ["older", "old"]\n')
    assert (claimed.place, claimed.message) == ('keys[1] "spare".formerly', "holds a name that keys[0] had too")


# Settings that are tables, and those that are off.


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("confirm_removal = { polls = 5 }", Detection(confirm_polls=5)),
        ("confirm_removal = { after = '0s' }", Detection(confirm_after=timedelta(0))),
        ("confirm_removal = {}", Detection()),
        ("suspicious_drop = { share = 1 }", Detection(drop_share=Decimal(1))),
        ("suspicious_drop = { count = 1 }", Detection(drop_count=1)),
        ("remind = 'off'", Detection(remind=None)),
        ("[detection.confirm_removal]\npolls = 100\nafter = '31d'", Detection(100, timedelta(days=31))),
    ],
)
def test_each_part_of_detection_may_be_given_alone(folder: Path, written: str, expected: Detection) -> None:
    assert loaded(folder, f"[detection]\n{written}\n{ONE_KEY}").detection == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("low = 0", Thresholds(low=Decimal(0))),
        ("low = 2.50", Thresholds(low=Decimal("2.50"))),
        ("runway = '1h'", Thresholds(runway=timedelta(hours=1))),
        ("", Thresholds()),
    ],
)
def test_each_threshold_may_be_given_alone(folder: Path, written: str, expected: Thresholds) -> None:
    assert loaded(folder, f"[credits]\n{written}\n{ONE_KEY}").credits == expected


def test_every_problem_within_a_table_is_told_at_once(folder: Path) -> None:
    text = "[detection]\nconfirm_removal = { polls = 0, after = 5, x = 1 }\nsuspicious_drop = { share = 2 }\n"

    assert {problem.place for problem in problems_of(folder, text + ONE_KEY)} == {
        *(f"detection.confirm_removal.{name}" for name in ("polls", "after", "x")),
        "detection.suspicious_drop.share",
    }


# No secret is ever shown.

MARK = "m4rk3d"
MARKED_KEY = f"vvx_live_{MARK * 5}"
MARKED = [MARKED_KEY, f"vvx_live_{MARK}", f"xoxb-{MARK}", f"https://hooks.slack.com/services/{MARK}"]
EVERY_SETTING = [(table, name) for table, names in config.settings().items() for name in names]


def shown_by(error: ConfigError) -> str:
    context = [error.__cause__, error.__context__]
    return "\n".join([str(error), repr(error), *map(repr, context), *traceback.format_exception(error)])


def as_toml(tables: Mapping[str, dict[str, str] | list[dict[str, str]]]) -> str:
    """Enough TOML for these tests: JSON's text, numbers and lists are TOML's too."""
    lines: list[str] = []
    for table, content in tables.items():
        for values in content if isinstance(content, list) else [content]:
            lines.append(f"[[{table}]]" if isinstance(content, list) else f"[{table}]")
            lines += [f"{json.dumps(name)} = {value}" for name, value in values.items()]
    return "\n".join(lines)


@pytest.mark.parametrize("marked", MARKED)
@pytest.mark.parametrize("shape", ['"{}"', '["{}"]', '{{ a = "{}" }}', '{{ "{}" = "a" }}', '[[{{ a = ["{}"] }}]]'])
@pytest.mark.parametrize(("table", "setting"), EVERY_SETTING)
def test_a_secret_in_the_place_of_any_setting_is_not_shown(
    folder: Path, table: str, setting: str, shape: str, marked: str
) -> None:
    tables: dict[str, dict[str, str]] = {
        "keys": {"name": '"prod"', "secret": '"env:KEY"'},
        "routes": {"name": '"all"', "to": '"console"'},
        **({"requests": {"name": '"hero"'}} if table == "requests" else {}),
    }
    tables.setdefault(table, {})[setting] = shape.format(marked)
    text = as_toml({name: [values] if name in LISTS else values for name, values in tables.items()})

    try:
        shown = repr(loaded(folder, text))
    except ConfigError as error:
        shown = shown_by(error)
    else:
        # Names, labels and globs are free text: there only what is surely a key of the vendor is refused.
        assert marked != MARKED_KEY
        assert setting in {"labels", "models", "categories", "name", "account", "formerly"}
        return

    assert MARK not in shown


@pytest.mark.parametrize("marked", MARKED)
@pytest.mark.parametrize(
    "text",
    [
        '"{}" = 1',
        '["{}"]',
        '[["{}"]]',
        '[vendor]\n"{}" = 1',
        '[vendor."{}"]\na = 1',
        '[[keys]]\n"{}" = 1',
        '[[keys]]\nname = "{}"\n[[keys]]\nname = "{}"',
        '[[keys]]\nname = "a"\nsecret = {}',
        '[[keys]]\nname = "a"\nsecret = "{}',
        '[[keys]]\nname = "a"\n"{}" = 1\n"{}" = 2',
        '["{}"]\n["{}"]',
        'a = {{ "{}" = 1, "{}" = 2 }}',
        'keys = "{}"',
        'keys = ["{}"]',
        '[database]\nurl = "sqlite://{}"',
        '[database]\nurl = "postgres+x://u:{}@h/d"',
        '[vendor]\nbase_url = "https://u:{}@h"',
    ],
)
def test_a_secret_in_the_place_of_anything_is_not_shown(folder: Path, text: str, marked: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text.replace("{}", marked).replace("{{", "{").replace("}}", "}"))

    assert MARK not in shown_by(caught.value)


def test_a_literal_key_is_refused_wherever_it_stands(folder: Path) -> None:
    text = f'{ONE_KEY}labels = {{ a = "x {MARKED_KEY}" }}\n[[routes]]\nname = "{MARKED_KEY}"\nto = "console"\n'

    problems = problems_of(folder, text)

    assert [problem.place for problem in problems] == ['keys[0] "prod".labels.a', "routes[0].name"]
    assert all(problem.message.startswith("a literal secret is refused") for problem in problems)
    assert all("revoke it" in problem.hint for problem in problems)


def test_a_literal_token_or_webhook_is_refused_wherever_it_stands(folder: Path) -> None:
    for literal in (f"xoxb-12-{MARK * 2}", f"https://hooks.slack.com/services/T/{MARK}"):
        text = f'{ONE_KEY}labels = {{ a = "x {literal}" }}\n[[routes]]\nname = "{literal}"\nto = "{literal}"\n'

        problems = problems_of(folder, text)

        assert [problem.place for problem in problems] == ['keys[0] "prod".labels.a', "routes[0].name", "routes[0].to"]
        assert all(problem.message.startswith("a literal secret is refused") for problem in problems)
        assert MARK not in str(problems)


def test_a_loaded_configuration_shows_no_secret(folder: Path) -> None:
    hook = ONE_ROUTE.replace("console", "webhook:env:HOOK")
    text = f'[database]\nurl = "postgresql://u:{MARK}@h/d"\n{SLACK}{ONE_KEY}{hook}'

    shown = loaded(folder, text, {"KEY": MARKED_KEY, "TOKEN": f"xoxb-{MARK}", "HOOK": f"https://h.example/{MARK}"})

    assert MARK in shown.database.url
    assert shown.keys[0].secret.reveal() == MARKED_KEY
    assert shown.slack.token is not None
    assert MARK in shown.slack.token.reveal()
    assert MARK in shown.slack.webhooks["env:HOOK"].reveal()
    assert MARK not in f"{shown} {shown!r} {shown.database} {shown.keys} {shown.slack}"


def test_a_loaded_configuration_is_not_pickled(folder: Path) -> None:
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        dataclasses.asdict(loaded(folder, ONE_KEY))


# The documentation and the example hold every setting.


def test_the_example_is_loaded_without_problems(cwd: Path) -> None:
    example = config.load(EXAMPLE, {"VIVIX_KEY": A_KEY}, cwd, known_kinds=rules.KINDS)

    assert [key.name for key in example.keys] == ["prod"]
    assert [route.name for route in example.routes] == ["everything", "prices", "breaking video"]


def test_what_is_commented_out_in_the_example_is_good_too(folder: Path) -> None:
    text = re.sub(r"^# (\[\[|[a-z_]+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "staging").write_text(ANOTHER_KEY)
    (folder / "keys.d").mkdir()
    (folder / "keys.d" / "tenant").write_text(ENVIRON["KEY_3"])
    (folder / "requests").mkdir()
    (folder / "requests" / "thumbs.json").write_text('{"model": "grok-imagine-image"}')

    example = loaded(
        folder, text, {"VIVIX_KEY": A_KEY, "SLACK_BOT_TOKEN": TOKEN, "SLACK_WEBHOOK_URL": HOOK}, rules.KINDS
    )

    assert [key.name for key in example.keys] == ["prod", "staging", "tenant"]
    assert example.credits == Thresholds(low=Decimal(1000), runway=timedelta(days=3))
    assert [route.to for route in example.routes[3:]] == ["slack:#vivix", WEBHOOK_TO, "slack:#acme"]
    assert [request.name for request in example.requests] == ["nightly hero", "thumbnails"]


def test_the_example_says_the_defaults(folder: Path, cwd: Path) -> None:
    example = config.load(EXAMPLE, {"VIVIX_KEY": A_KEY}, cwd)
    default = loaded(folder, ONE_KEY)

    for table in ("database", "vendor", "schedule", "slack", "detection", "credits", "rules"):
        assert getattr(default, table) == getattr(example, table)
    assert example.routes[0] == dataclasses.replace(loaded(folder, ONE_KEY + ONE_ROUTE).routes[0], name="everything")


@pytest.mark.parametrize(("table", "setting"), EVERY_SETTING)
def test_a_setting_stands_in_the_example_with_a_sentence(table: str, setting: str) -> None:
    # A table that nobody needs is commented out with its heading.
    text = re.sub(r"^# (\[\[\w+\]\])$", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    lines = [line for section in sections(text, table) for line in section.splitlines()]

    assert any(re.match(rf"(# )?{setting} = .+ # .{{10}}", line) or names_a_table(setting, line) for line in lines)


def names_a_table(setting: str, line: str) -> bool:
    """The name of an item needs no sentence in each of them."""
    return setting == "name" and line.startswith("name = ")


@pytest.mark.parametrize(("table", "setting"), EVERY_SETTING)
def test_a_setting_stands_in_the_documentation_with_its_default(table: str, setting: str) -> None:
    (section,) = sections(DOCUMENTATION.read_text(), table, heading="## ")
    default = DEFAULTS.get(table, {}).get(setting)

    (row,) = re.findall(rf"^\| `{setting}` \|(.+)\|(.+)\|(.+)\|$", section, re.MULTILINE)

    assert all(cell.strip() for cell in row)
    assert default is None or as_written(default).strip('"') == row[1].strip(" `")


def as_written(default: object) -> str:
    """As TOML has it."""
    if not isinstance(default, dict):
        return str(default) if isinstance(default, Decimal) else json.dumps(default)
    return "{ " + ", ".join(f"{name} = {as_written(value)}" for name, value in default.items()) + " }"


def test_the_documentation_describes_no_setting_that_is_not_there() -> None:
    tables = re.findall(r"^## \[+(\w+)\]+$", DOCUMENTATION.read_text(), re.MULTILINE)
    rows = {
        (table, setting)
        for table in tables
        for section in sections(DOCUMENTATION.read_text(), table, heading="## ")
        for setting in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    }

    assert rows == set(EVERY_SETTING)


def sections(text: str, table: str, heading: str = "") -> list[str]:
    """What stands below each heading of this table, up to the next heading."""
    parts = re.split(rf"^({re.escape(heading)}\[+\w+\]+)$", text, flags=re.MULTILINE)
    return [body for title, body in zip(parts[1::2], parts[2::2], strict=True) if title.strip("#[] ") == table]


def test_nothing_but_the_configuration_needs_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys, syncd.errors, syncd.core.secret; assert 'pydantic' not in sys.modules; "
        "import syncd.config; assert 'pydantic' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
