"""Every library has its reason in docs/dependencies.md and its pin in requirements.lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Which part of pyproject.toml each section of the page speaks of.
DECLARED = {
    "To run syncd": PROJECT["project"]["dependencies"],
    "With the extra `postgres`": PROJECT["project"]["optional-dependencies"]["postgres"],
    "To work on syncd": PROJECT["dependency-groups"]["dev"],
}


@pytest.mark.parametrize("section", DECLARED)
def test_each_dependency_has_a_reason_and_each_reason_a_dependency(section: str) -> None:
    assert explained(section) == sorted(map(name, DECLARED[section]))


def test_the_page_leaves_out_no_part_of_the_project() -> None:
    assert list(PROJECT["project"]["optional-dependencies"]) == ["postgres"]
    assert list(PROJECT["dependency-groups"]) == ["dev"]


def test_the_lock_pins_every_dependency() -> None:
    build = PROJECT["build-system"]["requires"]
    wanted = {name(requirement) for group in (*DECLARED.values(), build) for requirement in group}
    assert wanted - locked() == set()


def test_the_lock_names_no_place_to_download_from() -> None:
    """Where packages come from is everybody's own setting."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if "://" in line or re.match(r"\s*(-i|--(extra-)?index|--find-links)\b", line)] == []


def explained(section: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    page = (ROOT / "docs" / "dependencies.md").read_text()
    body = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return sorted(re.findall(r"^\| `([^`]+)` \|", body, flags=re.MULTILINE))


def locked() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE))


def name(requirement: str) -> str:
    """Of ``psycopg[binary]>=3.2,<4``: psycopg."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()
