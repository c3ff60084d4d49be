"""Writing from many threads, one process at a time, and what is said when the database does not do its work."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from syncd.core.routing import KeyFacts, Route
from syncd.core.wire import NoAnswer
from syncd.errors import LockHeld, StoreError, StoreUnavailable
from syncd.store import Store, engine, lock, schema
from syncd.store.balances import Sight
from syncd.store.tables import api_keys, destinations
from tests.conftest import Clock, sqlite_url
from tests.postgres import Postgres
from tests.watching import Watch, listing, model, watching

PROD = KeyFacts("prod", "acme", "https://vendor.example")
THREADS = 16
TIMES = 40


@pytest.fixture
def watch(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=[Route("all", "console")]) as watch:
        watch.add("prod")
        yield watch


def everywhere_at_once(work: Callable[[int], object], threads: int = THREADS) -> None:
    """Run it on so many threads that start together; the first exception is raised here."""
    gate = threading.Barrier(threads)

    def run(number: int) -> None:
        gate.wait()
        work(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run, number) for number in range(threads)]:
            done.result()


# --- threads -------------------------------------------------------------------------------------------------------


def test_no_update_of_one_key_is_lost(watch: Watch):

    def add(_: int) -> None:
        for _ in range(TIMES):
            with watch.store.begin(PROD) as tx:
                count = tx._connection.scalar(sa.select(api_keys.c.failures).where(api_keys.c.name == "prod"))
                assert count is not None
                tx._connection.execute(sa.update(api_keys).values(failures=count + 1))

    everywhere_at_once(add)
    assert watch.one("SELECT failures FROM api_keys") == THREADS * TIMES


def test_no_update_of_a_shared_row_is_lost(watch: Watch):
    watch.write("INSERT INTO destinations (spec) VALUES ('console')")
    names = [f"key-{number}" for number in range(THREADS)]
    for name in names:
        watch.add(name)

    def add(number: int) -> None:
        for _ in range(TIMES):
            with watch.store.begin(watch.keys[names[number]]) as tx:
                fence = tx._connection.scalar(sa.select(destinations.c.fence).with_for_update())
                assert fence is not None
                tx._connection.execute(sa.update(destinations).values(fence=fence + 1))

    everywhere_at_once(add)
    assert watch.one("SELECT fence FROM destinations") == THREADS * TIMES


def test_no_poll_is_lost(watch: Watch, clock: Clock):
    watch.answer("prod", listing(model("a")))
    answers = [[watch.request(listing(model("a"))) for _ in range(10)] for _ in range(THREADS)]
    everywhere_at_once(lambda number: [watch.record("prod", answer) for answer in answers[number]])
    assert watch.one("SELECT SUM(count) FROM polls") == THREADS * 10 + 1
    # Threads overtake each other here; what came too late is stale, and nothing else went wrong.
    assert {row[0] for row in watch.rows("SELECT outcome FROM polls")} <= {"changed", "unchanged", "stale"}


def test_keys_that_see_the_same_new_models_in_any_order_do_not_block_each_other(watch: Watch):
    models = [model(f"m{number}") for number in range(60)]
    names = [f"key-{number}" for number in range(THREADS)]
    for name in names:
        watch.add(name)

    def poll(number: int) -> None:
        for price in range(3):
            changed = [{**one, "credits_band": {"min": price, "max": 50}} for one in models]
            order = changed if number % 2 else changed[::-1]
            assert watch.record(names[number], watch.request(listing(*order))).good

    everywhere_at_once(poll)
    assert watch.one("SELECT COUNT(*) FROM model_versions") == 3 * len(models)
    assert watch.one("SELECT COUNT(*) FROM listings WHERE valid_to IS NULL") == THREADS * len(models)


@pytest.mark.parametrize("_again", range(5))
def test_keys_that_fail_together_open_one_condition(watch: Watch, _again: int):
    names = [f"key-{number}" for number in range(THREADS)]
    for name in names:
        watch.answer(name, listing(model("a")))
        watch.no_answer(name)
    asked = watch.request()
    answer = NoAnswer("timeout", "no answer", asked.started, asked.ended, asked.duration)
    everywhere_at_once(lambda number: watch.record(names[number], answer))
    (detail,) = watch.row("SELECT detail FROM conditions WHERE closed_at IS NULL")
    assert sorted(detail["keys"]) == sorted(names)
    edges = "SELECT edge, COUNT(*) FROM announcements WHERE condition_id IS NOT NULL GROUP BY edge ORDER BY edge"
    assert watch.rows(edges) == [("changed", 1), ("opened", 1)]


def test_keys_that_recover_together_close_it_once(watch: Watch):
    names = [f"key-{number}" for number in range(THREADS)]
    for name in names:
        watch.answer(name, listing(model("a")))
        watch.no_answer(name)
        watch.no_answer(name)
    answer = watch.request(listing(model("a")))
    everywhere_at_once(lambda number: watch.record(names[number], answer))
    detail, closed = watch.row("SELECT detail, closed_at FROM conditions")
    assert (detail["keys"], sorted(detail["recovered"])) == ({}, sorted(names))
    assert closed is not None
    edges = "SELECT edge, COUNT(*) FROM announcements WHERE condition_id IS NOT NULL GROUP BY edge ORDER BY edge"
    assert watch.rows(edges) == [("changed", 1), ("closed", 1), ("opened", 1)]


def test_some_fail_while_others_recover(watch: Watch):
    names = [f"key-{number}" for number in range(THREADS)]
    for name in names:
        watch.answer(name, listing(model("a")))
    bodies = listing(model("a"))

    def poll(number: int) -> None:
        for turn in range(8):
            asked = watch.request(bodies)
            # Each thread fails twice, then recovers, out of step with the others.
            fails = (turn + number) % 3 != 0
            failed = NoAnswer("timeout", "no answer", asked.started, asked.ended, asked.duration)
            watch.record(names[number], failed if fails else asked)

    everywhere_at_once(poll)
    for name in names:
        watch.answer(name, listing(model("a"), balance=1))
    assert watch.one("SELECT COUNT(*) FROM conditions WHERE closed_at IS NULL") == 0
    assert watch.one("SELECT COUNT(*) FROM api_keys WHERE state <> 'ok' AND name <> 'prod'") == 0


def test_what_raises_leaves_nothing_behind(watch: Watch):
    watch.answer("prod", listing(model("a")))
    tables = ("polls", "snapshots", "listings", "changes", "announcements", "model_versions", "destinations")
    before = [watch.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]

    def give_up() -> None:
        with watch.store.begin(watch.keys["prod"]) as tx:
            tx._connection.execute(sa.insert(destinations).values(spec="nowhere"))
            tx._connection.execute(sa.update(api_keys).values(failures=9))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give_up()
    assert [watch.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables] == before
    assert watch.one("SELECT failures FROM api_keys") == 0
    # And the lock is free again.
    assert watch.answer("prod", listing(model("a"))).good


def test_a_rehearsal_changes_nothing(watch: Watch):
    watch.answer("prod", listing(model("a")))
    tables = ("polls", "snapshots", "listings", "changes", "announcements", "conditions", "api_keys")
    before = [watch.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]
    with watch.store.rehearsal():
        watch.add("new")
        assert watch.answer("prod", listing(model("a"), model("b"))).announced
        assert watch.answer("new", listing()).good
    del watch.keys["new"]
    assert [watch.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables] == before


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_reader_sees_one_state_from_its_first_question_to_its_last(watch: Watch):
    with watch.store.read() as connection:
        before = connection.scalar(sa.text("SELECT COUNT(*) FROM polls"))
        watch.answer("prod", listing(model("a")))
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM polls")) == before == 0
    assert watch.one("SELECT COUNT(*) FROM polls") == 1


@pytest.mark.parametrize(
    "statement", ["DELETE FROM polls", "INSERT INTO destinations (spec) VALUES ('x')", "DROP VIEW poll_log"]
)
def test_a_reader_cannot_write(watch: Watch, statement: str):
    with pytest.raises(StoreError, match=r"read-?only"), watch.store.read() as connection:
        connection.execute(sa.text(statement))


# --- one process at a time -----------------------------------------------------------------------------------------


def holder(url: str) -> subprocess.Popen[str]:
    """Another process that holds the lock until it is killed or its input ends."""
    code = """
import sys
from syncd.store import lock
with lock.held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_is_gone_however_it_went(database_url: str, dialect: str):
    with holder(database_url) as other:
        with pytest.raises(LockHeld) as refused, lock.held(database_url):
            pass
        assert refused.value.hint
        if dialect == "sqlite":
            assert f"process {other.pid}" in refused.value.message
        other.send_signal(signal.SIGKILL)
        other.wait()
        for _ in range(100):  # PostgreSQL notices a moment later
            try:
                with lock.held(database_url):
                    return
            except LockHeld:
                threading.Event().wait(0.05)
    pytest.fail("the lock outlived its process")


def test_the_lock_can_be_taken_again_after_it_was_given_back(database_url: str):
    for _ in range(2):
        with lock.held(database_url), pytest.raises(LockHeld), lock.held(database_url):
            pass


def test_databases_do_not_share_a_lock(postgres: Postgres):
    with (
        postgres.database() as one,
        postgres.database() as two,
        lock.held(postgres.url(one)),
        lock.held(postgres.url(two)),
    ):
        pass


def test_whoever_holds_the_lock_can_ask_whether_it_still_does(database_url: str):
    with lock.held(database_url) as confirm:
        for _ in range(3):
            confirm()
        with pytest.raises(LockHeld), lock.held(database_url):
            pass


def lock_holder(admin: psycopg.Connection[tuple[int]]) -> int | None:
    """The server's process whose session has the lock."""
    row = admin.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchone()
    return None if row is None else row[0]


def end_session(admin: psycopg.Connection[tuple[int]]) -> int:
    """As a restart of the server does; returns when it is over."""
    holder = lock_holder(admin)
    assert holder is not None
    admin.execute("SELECT pg_terminate_backend(%s, 10000)", (holder,))
    return holder


def test_a_file_that_is_replaced_under_the_lock_is_noticed(tmp_path: Path):
    file = tmp_path / "syncd.db"
    with lock.held(sqlite_url(file)) as confirm:
        confirm()  # the database comes into being after its lock
        file.touch()
        confirm()
        file.rename(tmp_path / "gone.db")
        with pytest.raises(LockHeld, match="gone or was replaced"):
            confirm()
        file.touch()
        with pytest.raises(LockHeld, match="gone or was replaced"):
            confirm()


def test_a_link_to_a_database_has_the_lock_of_the_database(tmp_path: Path):
    (tmp_path / "link.db").symlink_to(tmp_path / "syncd.db")
    with (
        lock.held(sqlite_url(tmp_path / "syncd.db")),
        pytest.raises(LockHeld),
        lock.held(sqlite_url(tmp_path / "link.db")),
    ):
        pass


def test_a_lock_whose_connection_ended_is_taken_again(postgres: Postgres):
    with postgres.database() as name, postgres.connect("postgres") as admin:
        with lock.held(postgres.url(name)) as confirm:
            for _ in range(3):
                before = end_session(admin)
                assert lock_holder(admin) is None
                confirm()
                assert lock_holder(admin) not in (None, before)
            with pytest.raises(LockHeld), lock.held(postgres.url(name)):
                pass
        assert lock_holder(admin) is None


def test_a_lock_that_another_took_meanwhile_is_lost_until_that_one_ends(postgres: Postgres):
    with (
        postgres.database() as name,
        postgres.connect("postgres") as admin,
        lock.held(postgres.url(name)) as confirm,
    ):
        end_session(admin)
        with lock.held(postgres.url(name)) as theirs:
            for _ in range(2):
                with pytest.raises(LockHeld, match="another syncd process works on"):
                    confirm()
            theirs()
        confirm()
        assert lock_holder(admin) is not None


def test_while_the_server_is_away_nothing_is_known_of_the_lock(postgres: Postgres):
    with postgres.database() as name, postgres.connect("postgres") as admin:
        with lock.held(postgres.url(name)) as confirm:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            end_session(admin)
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="not currently accepting connections"):
                    confirm()
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            confirm()
            assert lock_holder(admin) is not None
            end_session(admin)
        # Leaving with a connection that ended is no error either.
        assert lock_holder(admin) is None


def test_a_connection_that_broke_unnoticed_by_the_server_is_not_another_process(postgres: Postgres):
    with postgres.database() as name, lock.held(postgres.url(name)) as confirm:
        with unplugged(confirm):
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="a broken connection still holds the process lock"):
                    confirm()
        for _ in range(100):  # the server notices a moment later
            try:
                confirm()
            except StoreUnavailable:
                threading.Event().wait(0.05)
            else:
                return
    pytest.fail("the lock was never taken again")


@contextmanager
def unplugged(confirm: lock.Confirm) -> Iterator[None]:
    """The lock's connection is dead at this end, and alive as far as the server can see."""
    connection = confirm.__self__._connection  # type: ignore[attr-defined]
    number = connection.connection.driver_connection.pgconn.socket
    kept = os.dup(number)
    ours, theirs = socket.socketpair()
    theirs.close()
    os.dup2(ours.fileno(), number)
    ours.close()
    try:
        yield
    finally:
        os.close(kept)


def test_reading_needs_no_lock(watch: Watch):
    with lock.held(watch.url):
        assert watch.one("SELECT COUNT(*) FROM polls") == 0


# --- the door ------------------------------------------------------------------------------------------------------

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
fileserver:/export /srv/share nfs4 rw,vers=4.2 0 0
//nas/data /mnt/with\\040space cifs rw 0 0
tmpfs /srv/share/fast tmpfs rw 0 0
user@host: /home/me fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv/share", "nfs4"),
        ("/srv/share/deep/er", "nfs4"),
        ("/srv/shared", "ext4"),
        ("/srv/share/fast/x", "tmpfs"),
        ("/mnt/with space/x", "cifs"),
        ("/home/me/db", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder(tmp_path: Path, folder: str, kind: str):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert engine.file_system(Path(folder), mounts) == kind


def test_a_file_on_a_network_file_system_is_refused(tmp_path: Path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} nfs rw 0 0\n")
    with pytest.raises(StoreError, match=r"network file system \(nfs\).*use PostgreSQL"):
        engine.check_place(tmp_path / "syncd.db", mounts)


def test_where_the_system_names_no_mounts_any_folder_will_do(tmp_path: Path):
    engine.check_place(tmp_path / "syncd.db", tmp_path / "absent")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    url = sqlite_url(tmp_path / "absent" / "syncd.db")
    for open_it in (lambda: Store(url), lambda: schema.migrate(url), lambda: lock.held(url).__enter__()):
        with pytest.raises(StoreError, match="absent does not exist; create it"):
            open_it()


def test_a_file_that_is_not_there_is_not_made_by_asking(tmp_path: Path):
    store = Store(sqlite_url(tmp_path / "syncd.db"))
    with pytest.raises(StoreError, match=r"no such file; .*syncd migrate"):
        store.open()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    file = tmp_path / "syncd.db"
    file.write_bytes(b"a letter to my landlord, " * 200)
    url = sqlite_url(file)
    store = Store(url)
    for use_it in (store.open, lambda: schema.migrate(url), lambda: store.register([], Clock()())):
        with pytest.raises(StoreError, match=r"not a database; database\.url names a file that is something else"):
            use_it()
    store.close()
    assert file.read_bytes().startswith(b"a letter")


def test_a_database_that_is_not_migrated_says_so(database_url: str):
    if database_url.startswith("sqlite"):
        sqlite3.connect(engine.sqlite_path(database_url)).execute("CREATE TABLE x (y)").connection.close()
    store = Store(database_url)
    with pytest.raises(StoreError, match=r"has no syncd schema yet.*syncd migrate"):
        store.open()
    store.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so root becomes nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that nobody can walk into: pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="syncd-test-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)


def test_a_read_only_file_can_be_read_and_says_why_it_cannot_be_written(public_folder: Path, migrated_sqlite: Path):
    file = public_folder / "syncd.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    file.chmod(0o444)
    with unprivileged():
        store = Store(sqlite_url(file))
        store.open()
        with pytest.raises(StoreUnavailable, match="readonly database; give the user syncd runs as write permission"):
            store.register([PROD], Clock()())
        store.close()


def test_a_read_only_folder_says_so(public_folder: Path):
    public_folder.chmod(0o555)
    url = sqlite_url(public_folder / "syncd.db")
    with unprivileged():
        for use_it in (lambda: schema.migrate(url), lambda: lock.held(url).__enter__()):
            with pytest.raises(StoreUnavailable, match="write permission"):
                use_it()


# --- a database that does not answer -------------------------------------------------------------------------------


def test_a_file_that_another_process_keeps_locked_is_unavailable(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    file = tmp_path / "syncd.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    store = Store(sqlite_url(file))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked; another process writes to it"):
            store.register([], Clock()())
        with store.read() as connection:  # readers go on
            connection.execute(sa.text("SELECT COUNT(*) FROM poll_log"))
        other.execute("ROLLBACK")
    store.register([], Clock()())
    store.close()


def test_a_lock_that_a_forgotten_session_holds_is_not_waited_for_without_end(
    postgres: Postgres, migrated_postgres: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 1)
    with postgres.database(migrated_postgres) as name, watching(postgres.url(name), clock) as watch:
        watch.add("prod")
        with postgres.connect(name) as forgotten, forgotten.transaction():
            forgotten.execute("SELECT * FROM api_keys FOR UPDATE")
            with pytest.raises(StoreUnavailable, match=r"lock timeout.*; another session holds a lock"):
                watch.answer("prod", listing())
        assert watch.answer("prod", listing()).good


SECRETS = ("hunter2", "s3cret", "c3rt")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://syncd:hunter2@127.0.0.1:1/syncd",
        "postgresql+psycopg://syncd@127.0.0.1:1/syncd?password=s3cret&sslpassword=c3rt",
        "postgresql+psycopg:///syncd?host=/nowhere/at/all&user=syncd&password=s3cret",
    ],
)
def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_told(url: str):
    store = Store(url)
    attempts: list[Callable[[], object]] = [
        store.open,
        lambda: store.begin(PROD).__enter__(),
        lambda: store.outbox().__enter__(),
        store.schedules,
        lambda: engine.ping(url),
        lambda: schema.migrate(url),
        lambda: lock.held(url).__enter__(),
        lambda: store.rehearsal().__enter__(),
    ]
    for attempt in attempts:
        with pytest.raises(StoreUnavailable) as raised:
            attempt()
        assert raised.value.retryable
        assert "check that the database is up" in raised.value.hint
        assert "syncd" in raised.value.message
        assert not [secret for secret in SECRETS if secret in str(raised.value)]
    assert not [secret for secret in SECRETS if secret in store.where]
    store.close()


def test_a_server_that_restarts_is_used_again(postgres: Postgres, migrated_postgres: str, clock: Clock):
    with postgres.database(migrated_postgres) as name, watching(postgres.url(name), clock) as watch:
        watch.answer("prod", listing(model("a")))
        with postgres.connect("postgres") as admin:
            # As a restart does: every connection ends.
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(query, (name,))
            assert watch.answer("prod", listing(model("b"))).outcome == "changed"

            def interrupted() -> None:
                with watch.store.begin(watch.keys["prod"]) as tx:
                    admin.execute(query, (name,))
                    tx.context(clock(), clock(), Sight(None, clock()))

            with pytest.raises(StoreUnavailable):
                interrupted()
        clock.advance(minutes=1)
        assert watch.answer("prod", listing(model("b"))).outcome == "unchanged"
