"""`syncd run` as a process: what it says and where, how it stops, what is left when it is killed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from syncd import config
from syncd.app import App, build
from syncd.core.rules import KINDS
from syncd.demo.vendor import Account, Reply, RequestSeen, SimulatedVendor, listing, made_up_models
from tests import hostile
from tests.postgres import Postgres
from tests.program import Home, secret, until

MAY_REPEAT = "may repeat an earlier alert"
ALERT = re.compile(r"dlv_[0-9A-Z]{15}")


@pytest.fixture
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, vendor: SimulatedVendor) -> Home:
    made = Home(tmp_path, vendor, "prod", "spare")
    made.configure("prod", "spare", interval="1s")
    return made


def models_known(home: Home, name: str = "prod") -> int:
    return len(home.rows(f"SELECT 1 FROM current_models WHERE key_name = '{name}'")) if home.file.exists() else 0


def told_of_first_sight(home: Home) -> list[str]:
    query = "SELECT key_name FROM change_log WHERE kind = 'catalogue.baseline' AND announced_at IS NOT NULL ORDER BY 1"
    return [key for (key,) in home.rows(query)]


def unlock_a_model(account: Account) -> None:
    account.models = [*account.models, made_up_models(1)[0]]


def test_logs_go_to_standard_error_and_alerts_to_standard_output(home):
    with home.daemon() as daemon:
        until(lambda: models_known(home) == models_known(home, "spare") == 6)
        until(lambda: told_of_first_sight(home) == ["prod", "spare"])
        until(lambda: len(ALERT.findall(daemon.out)) == len(home.rows("SELECT 1 FROM alert_log")))
        assert all(line.startswith("👀 Watching ") for line in daemon.out.splitlines() if line[:1].strip())
        unlock_a_model(home.account("prod"))
        until(lambda: "simulated-image-0000" in daemon.out)
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0
        assert "simulated-image-0000" not in daemon.err
        assert "started" not in daemon.out
        assert daemon.err.splitlines()[-1].split("] ")[1].split()[0] == "stopped"
        assert "\x1b" not in daemon.err + daemon.out
    assert home.alerts() == ["sent"]


def test_json_logs_can_be_parsed(home):
    home.account("spare").answer = hostile.always(hostile.KEY_REVOKED)
    with home.daemon("--log-format", "json", "--log-level", "debug") as daemon:
        until(lambda: '"outcome": "unchanged"' in daemon.err and '"refused"' in daemon.err)
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0
        events = [json.loads(line) for line in daemon.err.splitlines()]
    assert {"started", "poll", "delivery", "stopping", "stopped"} <= {event["event"] for event in events}
    assert all({"event", "level", "timestamp"} <= event.keys() for event in events)


def test_no_secret_is_ever_written(home):
    home.account("spare").answer = hostile.always(
        hostile.refusal(
            401,
            "KEY_INVALID",
            headers=(("X-Request-Id", f"for {secret('spare')}"),),
            message=f"There is no key {secret('spare')}.",
            got=secret("spare"),
        )
    )
    with home.daemon("--log-level", "debug") as daemon:
        until(lambda: models_known(home) == 6)
        unlock_a_model(home.account("prod"))
        until(lambda: "simulated-image-0000" in daemon.out and "rejected" in daemon.out)
        daemon.send(signal.SIGTERM)
        daemon.wait()
        said = daemon.out + daemon.err
    stored = "\n".join(home.dump())
    for text in (secret("prod"), secret("spare"), "marked"):
        assert text not in said
        assert text not in stored
    for path in home.folder.glob("history.db*"):
        assert b"vvx_live_marked" not in path.read_bytes()


def test_vendor_text_cannot_forge_log_lines(home):
    home.account("spare").answer = hostile.always(
        hostile.refusal(403, "NO\x1b[2J\nforged line", headers=(("X-Request-Id", "req\x9b2J"),))
    )
    with home.daemon() as daemon:
        until(lambda: "forged" in daemon.err)
        daemon.send(signal.SIGTERM)
        daemon.wait()
        assert "\x1b" not in daemon.err + daemon.out
        assert "\x9b" not in daemon.err + daemon.out
        assert not [line for line in (daemon.err + daemon.out).splitlines() if line.startswith("forged")]


# --- signals ----------------------------------------------------------------------------------------------------------


class Gate:
    """An answer that waits until it may be given."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.inside = 0
        self.may = False

    def __call__(self, seen: RequestSeen) -> Reply:
        self.inside += 1
        return Reply(script=self._steps)

    def _steps(self) -> Iterator[bytes | float]:
        while not self.may:
            yield 0.02
        body = json.dumps(listing(self.account)).encode()
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_lets_the_poll_finish_and_the_alert_out(home, number):
    home.run("once")
    account = home.account("prod")
    unlock_a_model(account)
    gate = account.answer = Gate(account)
    with home.daemon() as daemon:
        until(lambda: gate.inside == 1)
        daemon.send(number)
        until(lambda: "stopping" in daemon.err)
        assert daemon.alive
        gate.may = True
        assert daemon.wait() == 0
        assert "simulated-image-0000" in daemon.out
    assert models_known(home) == 7


def test_a_second_signal_ends_it_at_once(home):
    gate = home.account("prod").answer = Gate(home.account("prod"))
    with home.daemon() as daemon:
        until(lambda: gate.inside == 1)
        daemon.send(signal.SIGTERM)
        until(lambda: "stopping" in daemon.err)
        daemon.send(signal.SIGTERM)
        begun = time.monotonic()
        assert daemon.wait() == 0
        assert time.monotonic() - begun < 2
        assert "stopped" not in daemon.err


def test_other_signals(home):
    home.configure("prod", interval="1h")
    with home.daemon() as daemon:
        until(lambda: models_known(home) == 6)
        daemon.send(signal.SIGHUP)
        until(lambda: "reload.unsupported" in daemon.err)
        assert len(home.vendor.requests) == 1
        unlock_a_model(home.account("prod"))
        daemon.send(signal.SIGUSR1)
        until(lambda: "simulated-image-0000" in daemon.out)
        assert len(home.vendor.requests) == 2
        for number in [signal.SIGUSR1, signal.SIGHUP] * 20:  # however they come
            daemon.send(number)
        until(lambda: len(home.vendor.requests) > 2)
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0


def test_a_second_daemon_is_refused(home):
    with home.daemon() as daemon:
        refused = home.run("run")
        assert refused.code == 2
        assert refused.err.count("\n") == 1
        assert f"process {daemon.process.pid}" in refused.err
        assert daemon.alive
    # It was killed, which releases the lock.
    with home.daemon() as another:
        another.send(signal.SIGTERM)
        assert another.wait() == 0


def test_it_survives_that_nobody_reads_its_output_any_more(home):
    ours, theirs = os.pipe()
    home.run("once")
    unlock_a_model(home.account("prod"))
    os.close(ours)
    try:
        with home.daemon(stdout=theirs) as daemon:
            until(lambda: "Broken pipe" in daemon.err)
            seen = len(home.vendor.requests)
            until(lambda: len(home.vendor.requests) > seen + 1)
            daemon.send(signal.SIGTERM)
            assert daemon.wait() == 0
            assert "Exception ignored" not in daemon.err
    finally:
        os.close(theirs)
    assert home.alerts() == ["retry"]


def test_on_postgresql_whose_connections_break(tmp_path, vendor, postgres: Postgres, migrated_postgres):
    with postgres.database(template=migrated_postgres) as name:
        home = Home(tmp_path, vendor, "prod", url=postgres.url(name))
        home.configure("prod", interval="1s")
        with home.daemon() as daemon, postgres.connect(name) as server:
            until(lambda: server.execute("SELECT 1 FROM current_models").fetchall())
            refused = home.run("once")
            assert refused.code == 2
            assert "polls already" in refused.err
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            unlock_a_model(home.account("prod"))
            until(lambda: "simulated-image-0000" in daemon.out)
            daemon.send(signal.SIGTERM)
            assert daemon.wait() == 0
            assert "Traceback" not in daemon.err


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def full_pipe() -> tuple[int, int]:
    """A pipe into which nothing more goes: who writes to it waits."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"x" * fcntl.fcntl(theirs, fcntl.F_GETPIPE_SZ))
    except BlockingIOError:
        pass
    os.set_blocking(theirs, True)
    return ours, theirs


def test_killed_while_sending_the_alert_comes_again_and_says_so(home):
    home.run("once")
    unlock_a_model(home.account("prod"))
    ours, theirs = full_pipe()
    try:
        with home.daemon(stdout=theirs) as daemon:
            until(lambda: home.alerts() == ["sending"])
            daemon.send(signal.SIGKILL)
            daemon.wait()
    finally:
        os.close(ours)
        os.close(theirs)
    with home.daemon() as again:
        until(lambda: home.alerts() == ["sent"])
        again.send(signal.SIGTERM)
        assert again.wait() == 0
        assert again.out.count(MAY_REPEAT) == 1
        assert len(ALERT.findall(again.out)) == 1
        assert "simulated-image-0000" in again.out


def test_stopping_does_not_wait_for_ever_for_a_sink_that_blocks(home):
    """The grace time is a minute's three quarters, so this uses the second signal."""
    home.run("once")
    unlock_a_model(home.account("prod"))
    ours, theirs = full_pipe()
    try:
        with home.daemon(stdout=theirs) as daemon:
            until(lambda: home.alerts() == ["sending"])
            daemon.send(signal.SIGTERM)
            until(lambda: "stopping" in daemon.err)
            daemon.send(signal.SIGTERM)
            assert daemon.wait(5) == 0
    finally:
        os.close(ours)
        os.close(theirs)


def test_killed_between_the_commit_and_the_delivery_the_alert_comes_once(home):
    home.run("once")
    with inside(home) as app:
        unlock_a_model(home.account("prod"))
        for target in app.targets:
            app.poller.record(target.facts, app.poller.ask(target))
    assert home.alerts() == []
    with home.daemon() as daemon:
        until(lambda: home.alerts() == ["sent"])
        seen = len(home.vendor.requests)
        until(lambda: len(home.vendor.requests) >= seen + 2)
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0
        assert len(ALERT.findall(daemon.out)) == 1
        assert "simulated-image-0000" in daemon.out
        assert MAY_REPEAT not in daemon.out


@contextmanager
def inside(home: Home) -> Iterator[App]:
    """The same parts over the same database, in this process."""
    assert home.run("migrate").code == 0
    found = config.load(home.folder / "config.toml", home.environ, home.folder, known_kinds=KINDS)
    with build(found) as app:
        app.register()
        yield app


def test_killed_again_and_again_under_load(tmp_path, vendor):
    names = [f"k{number}" for number in range(6)]
    home = Home(tmp_path, vendor, *names)
    home.configure(*names, interval="1s")
    moving = [True]

    def changing(account: Account) -> hostile.Answer:
        def answer(_seen: RequestSeen) -> Reply:
            band = account.models[1]["credits_band"]
            if moving[0]:
                account.models[1]["credits_band"] = {"min": band["min"], "max": band["max"] + 100}
            return Reply.json(listing(account))

        return answer

    for name in names:
        home.account(name).answer = changing(home.account(name))
    said = ""
    for pause in (0.0, 0.3, 0.6, 0.9, 1.2):
        with home.daemon() as daemon:
            seen = len(vendor.requests)
            until(partial(asked_since, vendor, seen))
            time.sleep(pause)
            daemon.send(signal.SIGKILL)
            daemon.wait()
            said += daemon.out
    moving[0] = False
    with home.daemon() as daemon:
        seen = len(vendor.requests)
        until(lambda: len(vendor.requests) > seen + 2 * len(names))
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0
        said += daemon.out

    assert home.rows("PRAGMA integrity_check") == [("ok",)]
    assert home.rows("PRAGMA foreign_key_check") == []
    assert home.rows(OVERLAPPING) == []
    assert home.rows("SELECT count(*) FROM listings WHERE valid_to <= valid_from") == [(0,)]
    told = home.rows(
        "SELECT key_name, old_value, new_value, announced_at FROM change_log WHERE slug LIKE 'wan-%' ORDER BY change_id"
    )
    assert len(told) >= 2 * len(names)
    assert all(announced for *_, announced in told)
    for name in names:
        steps = [(json.loads(old), json.loads(new)) for key, old, new, _ in told if key == name]
        assert [old for old, _ in steps[1:]] == [new for _, new in steps[:-1]]  # no committed step is missing
        assert steps[-1][1] == home.account(name).models[1]["credits_band"]
    delivered = {identity for (identity,) in home.rows("SELECT delivery_id FROM alert_log WHERE state = 'sent'")}
    assert home.rows("SELECT count(*) FROM alert_log WHERE state <> 'sent'") == [(0,)]
    shown = ALERT.findall(said)
    assert set(shown) == delivered
    assert len(shown) - len(delivered) <= said.count(MAY_REPEAT)


def asked_since(vendor: SimulatedVendor, seen: int) -> bool:
    return len(vendor.requests) > seen


OVERLAPPING = """
SELECT a.slug FROM listings a JOIN listings b ON a.key_id = b.key_id AND a.slug = b.slug AND a.id <> b.id
WHERE a.valid_from <= b.valid_from AND (a.valid_to IS NULL OR a.valid_to > b.valid_from)
"""
