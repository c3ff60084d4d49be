"""`syncd demo` as a process: every scene of the script is told, and what it invites to works."""

from __future__ import annotations

import re
import shlex
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.program import COMMAND, ROOT, Daemon, until

SCENES = re.compile(r"^--- at the vendor: (.+)$", re.MULTILINE)
ALERT = re.compile(r"dlv_[0-9A-Z]{15}")

# What the alert of each scene must name.
TOLD = (
    r"simulated-image-0000",
    r"wan-2\.7-text-to-video.*1920|1920.*wan-2\.7-text-to-video",
    r"grok-imagine-image-quality.*4K|4K.*grok-imagine-image-quality",
    r"wan-2\.7-text-to-video.*resolution|resolution.*wan-2\.7-text-to-video",
    r"KEY_REVOKED|reject",
    r"prod",
)


@contextmanager
def demo(folder: Path, seconds: int) -> Iterator[Daemon]:
    process = subprocess.Popen(
        [*COMMAND, "demo", "--seconds", str(seconds)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    daemon = Daemon(process)
    try:
        yield daemon
    finally:
        process.kill()
        daemon.wait()


def test_every_scene_is_told_in_order_and_the_queries_work(tmp_path):
    with demo(tmp_path, 21) as played:
        assert played.wait(60) == 0
        out, err = played.out, played.err
    assert err == ""

    beginning, *scenes = SCENES.split(out)
    names, told = scenes[::2], scenes[1::2]
    assert len(names) == len(TOLD)
    assert "nothing here is real" in beginning
    assert len(ALERT.findall(beginning)) == 1  # of the first catalogue, that syncd watches it
    assert "👀 Watching 6 models for prod\n" in beginning
    for name, text, expected in zip(names, told, TOLD, strict=True):
        assert len(ALERT.findall(text)) == 1, f"{name}: {text}"
        assert re.search(expected, text, re.DOTALL), f"{name}: {text}"

    [file] = tmp_path.glob("*.db")
    assert re.fullmatch(r"syncd-demo-\d{8}-\d{6}\.db", file.name)
    assert f"The history is in {file}" in out or str(file) in out
    assert [path.name for path in tmp_path.iterdir()] == [file.name]  # and nothing else is left

    invited = [shlex.split(line) for line in out.splitlines() if line.startswith("  sqlite3 ")]
    assert len(invited) >= 3
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        for command in invited:
            assert (tmp_path / command[-2]).samefile(file)
            assert connection.execute(command[-1]).fetchall(), command[-1]
        alerts = connection.execute(
            "SELECT delivery_id FROM alert_log WHERE state = 'sent' ORDER BY sent_at"
        ).fetchall()
        kinds = connection.execute(
            "SELECT kind FROM change_log WHERE state <> 'baseline' ORDER BY change_id"
        ).fetchall()
    assert [identity for (identity,) in alerts] == ALERT.findall(out)
    assert kinds[0] == ("model.added",)
    assert kinds[1] == ("credits.band.raised",)


def test_ctrl_c_ends_it_in_order(tmp_path):
    with demo(tmp_path, 600) as played:
        until(lambda: len(ALERT.findall(played.out)) == 2)  # of the first catalogue, and of the first scene
        played.send(signal.SIGINT)
        assert played.wait(10) == 0
        assert played.err == ""
        [file] = tmp_path.glob("*.db")
        assert file.name in SCENES.split(played.out)[-1]
        assert re.search(r"\d+ polls, 1 changes?, 2 alerts?", played.out)
