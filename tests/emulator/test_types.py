"""What is sent to Slack, against the types that Slack publishes for it (npm `@slack/types`), by its own compiler.

Types know names, kinds and what has to be there; no length and no count. Those are `test_limits.py`'s.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from syncd.core.delivery import RUNGS
from syncd.sinks.slack.render import payload
from tests.emulator.npm import NODE, program
from tests.samples import hostile, samples

MADE = {
    f"{name}_{rung}": payload(message, "dlv_1", rung)
    for name, message in {**samples(), **hostile()}.items()
    for rung in RUNGS
}

# Literals in place, so that a property that a type does not have is an error ("excess property").
HEAD = 'import type { KnownBlock, MessageMetadata } from "@slack/types";\n'
OPTIONS = ("--noEmit", "--strict", "--pretty", "false", "--target", "es2022", "--module", "nodenext")


def complaints(folder: Path, source: str) -> str:
    """What the compiler says of a program; nothing if it is content."""
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    (folder / "sent.mts").write_text(HEAD + source)
    done = subprocess.run([*program("tsc"), *OPTIONS, "sent.mts"], cwd=folder, capture_output=True, check=False)
    assert (done.returncode == 0) == (not done.stdout), done.stderr
    return done.stdout.decode()


def test_every_message_has_slack_s_own_types(tmp_path):
    lines = []
    for name, made in MADE.items():
        lines.append(f"export const {name}: KnownBlock[] = {json.dumps(made['blocks'])};")
        if "metadata" in made:
            lines.append(f"export const {name}_metadata: MessageMetadata = {json.dumps(made['metadata'])};")
    assert complaints(tmp_path, "\n".join(lines)) == ""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}, '"mrkdwn"'),
        ({"type": "header", "text": {"type": "plain_text", "text": "x"}, "emoji": True}, "'emoji'"),
        ({"type": "rich_text", "elements": [{"type": "text", "text": "x"}]}, "'text'"),
        (
            {"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "dots", "elements": []}]},
            "'dots'",
        ),
        ({"type": "table", "rows": [[{"type": "raw_text"}]]}, "'text'"),
        ({"type": "table", "rows": [], "column_settings": [{"align": "middle"}]}, '"middle"'),
        ({"type": "context"}, "'elements'"),
        ({"type": "tables", "rows": []}, '"tables"'),
    ],
)
def test_the_types_would_tell(tmp_path, wrong, said):
    told = complaints(tmp_path, f"export const wrong: KnownBlock[] = {json.dumps([wrong])};")
    assert "error TS" in told
    assert said.strip("'\"") in told
