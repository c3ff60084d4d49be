"""The demonstration: the real daemon, a simulated vendor that follows a script, and what to look at afterwards.

vendor (simulated, on loopback) <── polls, once a second ── daemon ──> alerts on the console
    │ follows SCRIPT                                          └──────> a SQLite file
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from syncd.app import build
from syncd.config import Config, Database, Key, Rules, Schedule, Slack, Vendor
from syncd.core.routing import Route
from syncd.core.secret import Secret
from syncd.demo.vendor import Account, Reply, SimulatedVendor, made_up_models, sample_models
from syncd.service import Service
from syncd.store import queries, schema

# Not a key of anybody: the simulated vendor accepts what it is told to.
_KEY: Final = Secret("vvx_live_simulated_key_of_the_demo")
_STEP: Final = 3.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens at the vendor."""

    what: str
    act: Callable[[Account], None]


def _unlock(account: Account) -> None:
    account.models = [*account.models, *made_up_models(1)]


def _raise_band(account: Account) -> None:
    _model(account, "wan-2.7-text-to-video")["credits_band"] = {"min": 520, "max": 1920}


def _remove_value(account: Account) -> None:
    _model(account, "grok-imagine-image-quality")["params"]["resolution"]["values"] = ["1K", "2K"]


def _require(account: Account) -> None:
    _model(account, "wan-2.7-text-to-video")["params"]["resolution"] = {
        "type": "enum",
        "values": ["720p", "1080p"],
        "required": True,
    }


def _revoke(account: Account) -> None:
    refusal = {
        "error": "KEY_REVOKED",
        "message": "This key was revoked.",
        "next": "Generate a new key in Settings.",
        "request_id": "req_simulated",
    }
    account.answer = lambda _seen: Reply.json(refusal, status=401)


def _restore(account: Account) -> None:
    account.answer = None


def _model(account: Account, slug: str) -> dict[str, Any]:
    return next(model for model in account.models if model["slug"] == slug)


SCRIPT: Final = (
    Scene("a model is unlocked", _unlock),
    Scene("the price of a model rises", _raise_band),
    Scene("a value is no longer accepted", _remove_value),
    Scene("a parameter must now be sent", _require),
    Scene("the key is revoked", _revoke),
    Scene("the key is restored", _restore),
)

QUERIES: Final = (
    "SELECT detected_at, severity, summary FROM change_log WHERE state <> 'baseline'",
    "SELECT slug, credits_min, credits_max, valid_from, valid_to FROM credit_history WHERE slug LIKE 'wan-%'",
    "SELECT param, spec, valid_from, valid_to FROM param_history WHERE slug = 'wan-2.7-text-to-video' ORDER BY 1, 3",
)


def run(file: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Play the script for so many seconds, then sum up. Raises nothing for Ctrl-C: it ends early."""
    with SimulatedVendor() as vendor:
        account = vendor.keys[_KEY.reveal()] = Account(models=sample_models())
        config = _config(file, vendor.base_url)
        schema.migrate(config.database.url)
        say(f"syncd demo: a simulated vendor at {vendor.base_url}, nothing here is real.")
        say(f"Alerts follow, for {seconds:g} seconds.\n")
        with build(config) as app:
            app.register()
            service = app.service()
            with _stopped_by_signals(service), _playing(vendor, account, service, seconds, say):
                service.run({})
            with app.store.read() as connection:
                total = queries.totals(connection)
    say(f"{total['polls']} polls, {total['changes']} changes, {total['alerts']} alerts. The history is in {file}")
    say("Try:\n")
    for query in QUERIES:
        say(f'  sqlite3 -box {file.name} "{query}"')
    # Not everybody has the sqlite3 program; everybody who reads this has syncd.
    say(f'  SYNCD_DATABASE_URL=sqlite:///{file.name} {_program()} sql "{QUERIES[0]}"')


def _program() -> str:
    """How this process was started, to be typed again."""
    if Path(sys.argv[0]).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m syncd"
    return shlex.quote(sys.argv[0])


def _config(file: Path, base_url: str) -> Config:
    second = timedelta(seconds=1)
    return Config(
        source="the demo's own",
        database=Database(f"sqlite:///{file}", auto_migrate=True),
        vendor=Vendor(base_url, timeout=5.0, max_response=16 * 1024 * 1024),
        schedule=Schedule(second, max_concurrent=4),
        keys=(Key("prod", _KEY, "acme", second, base_url, {"env": "prod"}),),
        routes=(Route("everything", "console"),),
        slack=Slack(None, "", {}),
        rules=Rules(record_only=(), unknown_params="reject", required_with_default="breaking"),
    )


@contextmanager
def _playing(
    vendor: SimulatedVendor, account: Account, service: Service, seconds: float, say: Callable[[str], None]
) -> Iterator[None]:
    """The script, on a thread of its own, which also ends the daemon."""
    over = threading.Event()
    deadline = time.monotonic() + seconds

    def play() -> None:
        for scene in SCRIPT:
            if over.wait(min(_STEP, max(0.0, deadline - time.monotonic()))) or time.monotonic() >= deadline:
                break
            say(f"--- at the vendor: {scene.what}\n")
            with vendor.lock:
                scene.act(account)
            # Otherwise a key that was refused is asked again after a quarter of an hour only.
            service.poll_now()
        over.wait(max(0.0, deadline - time.monotonic()))
        service.stop()

    player = threading.Thread(target=play, name="script")
    player.start()
    try:
        yield
    finally:
        over.set()
        player.join()


@contextmanager
def _stopped_by_signals(service: Service) -> Iterator[None]:
    """Ctrl-C ends the demo as it ends the daemon: in order."""
    earlier = {
        number: signal.signal(number, lambda _number, _frame: service.stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
