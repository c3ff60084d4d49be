"""The benchmark runs and prints its table. How long anything takes is nobody's test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")


@pytest.fixture(scope="module")
def printed() -> str:
    """What a run of a tiny size prints."""
    sizes = ("--models", "10", "--large", "20", "--repeat", "1")
    command = (sys.executable, "-W", "error", "-m", "benchmarks.diff", *sizes)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def rows(table: str) -> list[list[str]]:
    """The cells of every line of a Markdown table, but the rule under its head."""
    lines = [line for line in table.splitlines() if re.match(r"\| *[^-\s]", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_it_prints_one_table_with_a_number_in_every_cell(printed):
    head, *body = rows(printed)
    assert head[1:] == ["10: none changed", "10: 5 changed", "10: one leaf of each", "20: one leaf of each"]
    assert len(body) == 8
    for _, *cells in body:
        assert [cell for cell in cells if not re.fullmatch(r"[\d,]+\.\d\d \([\d,]+\.\d\)", cell)] == []


def test_the_page_shows_the_table_of_the_same_contenders(printed):
    shown = rows(PAGE.split("```text\n")[1].split("```")[0])
    assert [row[0] for row in shown] == [row[0] for row in rows(printed)]
