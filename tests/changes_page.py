"""docs/changes.md, made from the table of rules. Make it anew: python -m tests.changes_page > docs/changes.md."""

from __future__ import annotations

from collections.abc import Iterator

from syncd.core.findings import FINDINGS
from syncd.core.rules import CONDITIONS, RULES

HEAD = """# Kinds of change

Every change has a kind; `kinds` of a route and `record_only` name them, globs included (`param.*`). Ids are only ever
added. This page is made from the program's own table.

A severity is the caller's, who sends requests built on the old schema: **breaking**, some request that was accepted is
refused; **risky**, it may mean or cost something else, or that cannot be decided; **additive**, nothing lost; and
**informational**, nothing changed for a caller. Where it says *derived*, it follows from the values that the parameter
admits before and after: breaking if one is lost, else additive if one is gained, else informational.

| kind | severity | meaning |
|---|---|---|"""

CONDITIONS_HEAD = """
## Conditions

States with a beginning and an end, each told once.

| kind | severity |
|---|---|"""

FINDINGS_HEAD = """
## Findings

What is odd about a catalogue as it is, whatever it was before. Findings are no changes: they are worked out when you
look (`syncd models --findings`, and for an answer just read `syncd check --online`), never stored, and no route can
name them. A model without a usable slug and one that is listed twice alike are not stored either, so only
`check --online` tells of those two.

| finding | meaning |
|---|---|"""


def lines() -> Iterator[str]:
    yield HEAD
    for rule in RULES.values():
        yield f"| `{rule.id}` | {rule.severity or '*derived*'} | {rule.meaning} |"
    yield CONDITIONS_HEAD
    for kind, severity in CONDITIONS.items():
        yield f"| `{kind}` | {severity} |"
    yield FINDINGS_HEAD
    for finding, meaning in FINDINGS.items():
        yield f"| `{finding}` | {meaning} |"


def page() -> str:
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - its purpose
