"""Commands that answer questions, as processes: what they need, and above all what they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import sqlite_url

QUERY = "select count(*) as models from current_models"
READING = [["sql", QUERY], ["models"], ["changes"], ["status"]]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def syncd(*arguments: str, cwd: Path, **environment: str) -> Ended:
    """Run the command the way an operator's shell does, without any configuration of this machine."""
    ended = subprocess.run(
        [sys.executable, "-m", "syncd", *arguments],
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": str(cwd), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def unit_file(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A configuration whose secret only systemd can hand over."""
    path = tmp_path / "unit.toml"
    path.write_text(
        f'[database]\nurl = "{sqlite_url(migrated_sqlite)}"\n'
        '[[keys]]\nname = "prod"\nsecret = "credential:x"\n'
        '[[routes]]\nname = "all"\nto = "console"\n'
    )
    return path


@pytest.mark.parametrize("command", READING, ids=[command[0] for command in READING])
def test_a_question_needs_no_credential(tmp_path: Path, unit_file: Path, command: list[str]) -> None:
    ended = syncd("--config", str(unit_file), *command, cwd=tmp_path)

    # The key was never polled, which `status` says by its exit code.
    assert (ended.code, ended.err) == (1 if command[0] == "status" else 0, "")


def test_what_polls_does_need_it(tmp_path: Path, unit_file: Path) -> None:
    ended = syncd("--config", str(unit_file), "once", cwd=tmp_path)

    assert ended.code == 2
    assert "the credential x cannot be read: CREDENTIALS_DIRECTORY is not set" in ended.err


def test_a_question_needs_no_file_where_the_database_is_named(tmp_path: Path, migrated_sqlite: Path) -> None:
    ended = syncd("sql", QUERY, "--format", "csv", cwd=tmp_path, SYNCD_DATABASE_URL=sqlite_url(migrated_sqlite))

    assert (ended.code, ended.out.split(), ended.err) == (0, ["models", "0"], "")


@pytest.mark.skipif(Path("/etc/syncd/config.toml").exists(), reason="this machine runs syncd")
def test_a_question_to_nobody_is_answered_with_what_to_do(tmp_path: Path) -> None:
    ended = syncd("sql", QUERY, cwd=tmp_path)

    assert (ended.code, ended.out) == (2, "")
    assert "name the file with --config, or the database with SYNCD_DATABASE_URL" in ended.err
    assert "Traceback" not in ended.err


def test_every_problem_of_a_file_has_a_line_with_its_place_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[vendor]\ntimeout = "soon"\n[[keys]]\nname = "prod"\nsecret = "env:GONE"\n')

    ended = syncd("check", cwd=tmp_path)

    assert (ended.code, ended.out) == (2, "")
    first, timeout, secret = ended.err.splitlines()
    assert first == f"syncd: {tmp_path}/config.toml: 2 problems"
    assert timeout.startswith("  vendor.timeout: is not a duration (write a whole number")
    assert secret.startswith('  keys[0] "prod".secret: the environment variable GONE is not set (set it')
