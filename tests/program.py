"""The program as its users meet it: a process with a configuration, an environment and a vendor on loopback.

home = Home(tmp_path, vendor, "prod", "spare")     a folder with config.toml; the vendor knows the keys' secrets
home.run("status")                                 -> Result(code, out, err)
with home.daemon() as daemon: …                    `syncd run`, ended at the end
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncd.demo.vendor import Account, SimulatedVendor, sample_models

ROOT = Path(__file__).parents[1]
# Warnings are errors in the processes too.
COMMAND = (sys.executable, "-W", "error", "-m", "syncd")

ROUTE = '[[routes]]\nname = "everything"\nto = "console"\n'


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class Home:
    """A folder from which the program is run."""

    def __init__(
        self, folder: Path, vendor: SimulatedVendor, *names: str, routes: str = ROUTE, url: str = "sqlite:///history.db"
    ) -> None:
        self.folder = folder
        self.file = folder / "history.db"
        self.vendor = vendor
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "SYNCD_DATABASE_URL": url,
        }
        for name in names:
            self.environ[f"KEY_{name.upper()}"] = secret(name)
            vendor.keys.setdefault(secret(name), Account(models=sample_models()))
        self.configure(*names, routes=routes)

    def configure(self, *names: str, routes: str = ROUTE, interval: str = "1h") -> None:
        """Write config.toml."""
        keys = "".join(f'[[keys]]\nname = "{name}"\nsecret = "env:KEY_{name.upper()}"\n' for name in names)
        vendor = f'[vendor]\nbase_url = "{self.vendor.base_url}"\ntimeout = "5s"\n'
        schedule = f'[schedule]\ninterval = "{interval}"\n'
        (self.folder / "config.toml").write_text(vendor + schedule + keys + routes)

    def account(self, name: str) -> Account:
        """What the vendor shows to the key."""
        return self.vendor.keys[secret(name)]

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None, drop: tuple[str, ...] = ()) -> Result:
        """Run a command to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**{name: value for name, value in self.environ.items() if name not in drop}, **(environ or {})},
            capture_output=True,
            timeout=60,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        if "--debug" not in arguments:
            assert "Traceback" not in result.said, result.said
        return result

    def run_all(self, *commands: tuple[str, ...]) -> list[Result]:
        """Several commands at a time, for those that only read."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda command: self.run(*command), commands))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the file with nothing of ours."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()

    def alerts(self) -> list[str]:
        """The state of every alert, but for those that keys are watched from now on."""
        found = self.rows("SELECT state FROM alert_log WHERE kind <> 'watching' ORDER BY created_at, delivery_id")
        return [state for (state,) in found]

    def dump(self) -> list[str]:
        """Everything that is in the file."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)) as connection:
            return list(connection.iterdump())

    @contextmanager
    def daemon(self, *options: str, stdout: int | None = None, started: bool = True) -> Iterator[Daemon]:
        """`syncd run`. Whatever happens, no process is left."""
        process = subprocess.Popen(
            [*COMMAND, *options, "run"],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
        )
        daemon = Daemon(process)
        try:
            if started:
                until(lambda: "started" in daemon.err or not daemon.alive)
                assert daemon.alive, daemon.err
            yield daemon
        finally:
            process.kill()
            daemon.wait()


class Daemon:
    """A running process whose output is collected as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._said: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._collect, args=[name], daemon=True)
            for name in self._said
            if getattr(process, name) is not None
        ]
        for reader in self._readers:
            reader.start()

    def _collect(self, name: str) -> None:
        stream = getattr(self.process, name)
        with stream:
            for line in stream:
                self._said[name].append(line.decode())

    @property
    def out(self) -> str:
        return "".join(self._said["stdout"])

    @property
    def err(self) -> str:
        return "".join(self._said["stderr"])

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit code."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        return code


def secret(name: str) -> str:
    """A made-up secret that could be searched for."""
    return f"vvx_live_marked{name:_<20}"
