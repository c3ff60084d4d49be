"""What docs/diff.md shows, printed by the program. Put it in anew: python -m tests.diff_page.

Between ``$ syncd …`` and the end of a `console` block stands what a terminal shows, without colours; a `json` block is
the row of the change with the same kind and path.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "diff.md"
EXAMPLES = ROOT / "docs" / "examples"
COMMAND = (sys.executable, "-W", "error", "-m", "syncd")

CONSOLE = re.compile(r"```console\n\$ syncd (.*)\n((?:(?!```).*\n)*)```")
JSON = re.compile(r"```json\n((?:(?!```).*\n)*)```")


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **more}


def on_a_terminal(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """The command as a person meets it: its exit code, and everything that came on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=environment(folder, **environ), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.extend(_everything(ours)))
    reader.start()
    code = process.wait(60)
    reader.join(10)
    os.close(ours)
    return code, b"".join(seen).decode().replace("\r\n", "\n")


def _everything(terminal: int) -> Iterator[bytes]:
    """Linux answers EIO where the other end has closed."""
    try:
        while part := os.read(terminal, 4096):
            yield part
    except OSError:
        return


def printed(command: str) -> tuple[int, str]:
    """What a command line of the page does, in the folder of the examples."""
    return on_a_terminal(EXAMPLES, *shlex.split(command), NO_COLOR="1")


def row_like(shown: Mapping[str, Any]) -> str:
    """The row of the change that a block of JSON shows, spelled for people."""
    done = subprocess.run(
        [*COMMAND, "diff", "old.json", "new.json"],
        cwd=EXAMPLES,
        env=environment(EXAMPLES),
        capture_output=True,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    (row,) = (row for row in rows if (row["kind"], row["path"]) == (shown["kind"], shown["path"]))
    return json.dumps(row, ensure_ascii=False, indent=2)


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text("utf-8")
    text = CONSOLE.sub(lambda block: f"```console\n$ syncd {block[1]}\n{printed(block[1])[1]}```", text)
    return JSON.sub(lambda block: f"```json\n{row_like(json.loads(block[1]))}\n```", text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
