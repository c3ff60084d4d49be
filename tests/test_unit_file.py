"""The systemd unit: explained line by line, right about the command it starts, and accepted by systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "syncd.service"
LINES = UNIT.read_text().splitlines()
DIRECTIVE = re.compile(r"([A-Z]\w+)=(.*)")


@pytest.mark.parametrize("number", [number for number, line in enumerate(LINES) if DIRECTIVE.match(line)])
def test_a_sentence_stands_above_every_directive(number: int) -> None:
    assert re.fullmatch(r"# .+[.:]", LINES[number - 1]), f"{UNIT.name}:{number + 1} has no sentence above it"


def test_every_line_is_understood() -> None:
    """A continued or misspelt line would escape the test above."""
    rest = [line for line in LINES if line and not line.startswith(("#", "[")) and not DIRECTIVE.match(line)]
    assert rest == []


def test_it_starts_a_command_that_exists() -> None:
    program, *arguments = directives()["ExecStart"].split()
    assert Path(program).name == "syncd"
    command = [sys.executable, "-m", "syncd", *arguments, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_it_is_not_restarted_when_a_person_is_needed() -> None:
    assert directives()["RestartPreventExitStatus"] == "2"


def test_systemd_accepts_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return  # what systemd is not here to say, the tests above have looked at
    # systemd also wants the program to be there; here, any will do.
    text = UNIT.read_text().replace("/usr/local/bin/syncd", "/bin/sh")
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    result = subprocess.run([analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    # Of other units on this machine it may complain too.
    assert [line for line in result.stderr.splitlines() if UNIT.name in line] == []


def directives() -> dict[str, str]:
    return {match[1]: match[2] for line in LINES if (match := DIRECTIVE.match(line))}
