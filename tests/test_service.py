"""The daemon from inside: when keys are polled, how the vendor's wishes are obeyed, what survives a bad day."""

from __future__ import annotations

import io
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from syncd.app import App, build, utc_now
from syncd.config import Config, Database, Key, Rules, Schedule, Slack, Vendor
from syncd.core.delivery import Attempted, CannotEverLook, Delivered, Looked, NotSent, Unusable
from syncd.core.message import as_text
from syncd.core.routing import Route
from syncd.core.schedule import KeySchedule, in_hash_order
from syncd.core.secret import Secret
from syncd.core.wire import Answer, NoAnswer, Request
from syncd.demo.vendor import Account, Reply, RequestSeen, SimulatedVendor, listing, made_up_models, sample_models
from syncd.errors import StoreError
from syncd.fetch import Network
from syncd.service import LOOK_AGAIN, Service
from syncd.sinks import Parcel
from syncd.store import engine, queries
from tests import hostile
from tests.test_fetch import serving_tls

if TYPE_CHECKING:
    from tests.postgres import Postgres

HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=200)


# --- a service over a real database, a real transport and a vendor on loopback ----------------------------------------


class Recorder:
    """A sink that keeps what it was sent, and does what it is told instead."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.times: list[datetime] = []
        self.instead: Callable[[], Attempted | None] = lambda: None
        self.distance = self.settles = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        other = self.instead()
        if other is not None:
            return other
        self.times.append(utc_now())
        self.texts.append(as_text(parcel.message, note=parcel.note))
        return Delivered()

    def look(self, parcel: Parcel) -> Looked:
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        return None


@pytest.fixture
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as events:
        yield events


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


def configured(
    url: str, vendor: SimulatedVendor, *keys: str, interval: timedelta = HOUR, workers: int = 4, **accounts: str
) -> Config:
    """A configuration of these keys, whose secrets the vendor knows, each on an account of its own unless given."""
    for name in keys:
        vendor.keys.setdefault(f"secret of {name}", Account(models=sample_models()))
    return Config(
        source="the test",
        database=Database(url, auto_migrate=False),
        vendor=Vendor(vendor.base_url, timeout=5.0, max_response=1 << 20),
        schedule=Schedule(interval, workers),
        keys=tuple(
            Key(name, Secret(f"secret of {name}"), accounts.get(name, name), interval, vendor.base_url, {})
            for name in keys
        ),
        routes=(Route("everything", "console"),),
        slack=Slack(None, "https://slack.example/", {}),
        rules=Rules(record_only=(), unknown_params="reject", required_with_default="breaking"),
    )


@contextmanager
def made(config: Config, sink: Recorder, **parts: Any) -> Iterator[App]:
    with build(config, stdout=io.StringIO(), **parts) as app:
        app.outbox.sinks = {"console": sink}
        app.register()
        yield app


@contextmanager
def running(app: App, **settings: Any) -> Iterator[Service]:
    """The service on a thread, stopped at the end."""
    service = app.service()
    for name, value in settings.items():
        setattr(service, name, value)
    thread = threading.Thread(target=service.run, args=[app.store.schedules()])
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(30)
        assert not thread.is_alive()


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def know_first_sight(app: App, sink: Recorder) -> None:
    """Every key was polled before, and that it is watched was told."""
    for target in app.targets:
        app.poller.poll(target)
    while app.outbox.step():
        pass
    forget_first_sight(app, sink)


def forget_first_sight(app: App, sink: Recorder) -> None:
    """Wait until it was told of every key that it is watched, and of nothing else; then forget that."""
    query = "SELECT COUNT(*) AS told FROM change_log WHERE kind = 'catalogue.baseline' AND announced_at IS NOT NULL"
    until(lambda: rows(app, query) == [{"told": len(app.targets)}])
    assert sink.texts
    assert all(text.startswith("👀 Watching ") for text in sink.texts)
    sink.texts.clear()
    sink.times.clear()


def idle(service: Service) -> None:
    """Wait until no poll is under way: a key whose poll is counts as being asked now."""
    until(lambda: service._scheduler and not any(service._scheduler._executors["default"]._instances.values()))


def asked(vendor: SimulatedVendor, name: str) -> int:
    return sum(seen.key == f"secret of {name}" for seen in vendor.requests)


def rows(app: App, query: str) -> list[dict[str, Any]]:
    with app.store.read() as connection:
        return queries.select(connection, query).dicts()


class Gate:
    """An answer that is given once `open` is set, and counts who waits for it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self, seen: RequestSeen) -> Reply:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.open.wait(10)
        with self.lock:
            self.inside -= 1
        return hostile.listing()


def test_new_and_overdue_keys_run_at_once_in_the_order_of_their_hash(migrated_url, vendor, sink):
    keys = [f"key-{number}" for number in range(8)]
    with made(configured(migrated_url, vendor, *keys, workers=1), sink) as app:
        two = [target for target in app.targets if target.facts.name in ("key-3", "key-6")]
        for target in two:
            app.poller.poll(target)
        vendor.forget()
        late = {name: KeySchedule(utc_now() - 2 * HOUR) for name in ("key-0", "key-1")}
        fresh = {target.facts.name: app.store.schedules()[target.facts.name] for target in two}
        service = app.service()
        thread = threading.Thread(target=service.run, args=[late | fresh])
        thread.start()
        until(lambda: len(vendor.requests) == 6)
        service.stop()
        thread.join(10)
    expected = in_hash_order(set(keys) - {"key-3", "key-6"})
    assert [str(seen.key).removeprefix("secret of ") for seen in vendor.requests] == expected


def test_never_more_requests_at_once_than_workers(migrated_url, vendor, sink):
    keys = [f"key-{number}" for number in range(10)]
    config = configured(migrated_url, vendor, *keys, workers=3)
    gate = Gate()
    for account in vendor.keys.values():
        account.answer = gate
    with made(config, sink) as app, running(app):
        until(lambda: gate.inside == 3)
        time.sleep(0.1)
        assert gate.inside == 3
        gate.open.set()
        until(lambda: len(vendor.requests) == 10)
    assert gate.most == 3


def test_one_poll_of_a_key_at_a_time_even_if_the_vendor_is_slower_than_the_interval(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "slow", interval=timedelta(milliseconds=50))
    gate = vendor.keys["secret of slow"].answer = Gate()
    with made(config, sink) as app, running(app):
        until(lambda: gate.inside == 1)
        time.sleep(0.3)
        assert gate.inside == 1
        gate.open.set()
        until(lambda: asked(vendor, "slow") >= 3)  # and it goes on
    assert gate.most == 1


@pytest.mark.parametrize("scope", ["account", "base_url"])
def test_who_is_asked_to_wait_waits_also_after_a_restart(migrated_url, vendor, sink, scope):
    """429 concerns every key of the account, 503 every key at that address."""
    answer = (
        hostile.rate_limited("3600")
        if scope == "account"
        else hostile.refusal(503, "PROVIDER_DOWN", headers=(("Retry-After", "3600"),))
    )
    with SimulatedVendor() as elsewhere:
        config = configured(
            migrated_url, vendor, "limited", "sibling", "other", interval=SOON, limited="a", sibling="a"
        )
        abroad = configured(migrated_url, elsewhere, "abroad", interval=SOON).keys
        config = Config(
            **{**{name: getattr(config, name) for name in config.__slots__}, "keys": (*config.keys, *abroad)}
        )
        vendor.keys["secret of limited"].answer = hostile.always(answer)
        waiting = {"sibling"} if scope == "account" else {"sibling", "other"}
        going_on = {"other"} if scope == "account" else set()
        with made(config, sink) as app:
            with running(app):
                until(lambda: asked(elsewhere, "abroad") >= 3)
                settled = {name: asked(vendor, name) for name in ("limited", *waiting)}
                until(lambda: asked(elsewhere, "abroad") >= 6)
                assert settled["limited"] == 1
                assert {name: asked(vendor, name) for name in settled} == settled
                assert all(asked(vendor, name) >= 4 for name in going_on)
            vendor.forget()
            elsewhere.forget()
            with running(app) as again:
                until(lambda: asked(elsewhere, "abroad") >= 3)
                again.poll_now()  # does not go over the vendor's head
                until(lambda: asked(elsewhere, "abroad") >= 5)
            assert {str(seen.key).removeprefix("secret of ") for seen in vendor.requests} == going_on


def test_a_wait_ends(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "limited", interval=SOON)
    account = vendor.keys["secret of limited"]
    account.answer = hostile.in_turn(hostile.rate_limited("1"), hostile.listing())
    with made(config, sink) as app, running(app):
        until(lambda: asked(vendor, "limited") >= 3)
    first, second, *_ = [seen.time for seen in vendor.requests]
    assert timedelta(seconds=1) <= second - first < timedelta(seconds=2)


def test_poll_now_asks_every_key(migrated_url, vendor, sink):
    with made(configured(migrated_url, vendor, "one", "two"), sink) as app, running(app) as service:
        until(lambda: len(vendor.requests) == 2)
        idle(service)
        service.poll_now()
        until(lambda: asked(vendor, "one") == asked(vendor, "two") == 2)


def test_a_clock_set_back_does_not_stop_the_polls(migrated_url, vendor, sink, logged):
    with made(configured(migrated_url, vendor, "one"), sink) as app, running(app, clock_watch=0.05) as service:
        until(lambda: asked(vendor, "one") == 1)
        idle(service)
        # What was the next hour is an hour further away now: the new next point has passed by the scheduler's clock.
        service.clock = lambda: utc_now() - 3 * HOUR
        until(lambda: asked(vendor, "one") >= 2)
    assert [event["seconds"] for event in logged if event["event"] == "clock.set_back"] == [10_800]


# --- news of one key -------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)  # an interval that does not pass within a test


def unlock(vendor: SimulatedVendor, *names: str) -> None:
    """Each of these keys sees one model more from now on."""
    for name in names:
        account = vendor.keys[f"secret of {name}"]
        account.models = [*account.models, made_up_models(len(account.models))[-1]]


def poll_out_of_turn(service: Service, name: str) -> None:
    """Have one key polled now, and whatever follows from that."""
    service._scheduler.modify_job(name, next_run_time=utc_now())
    at_rest(service)


def at_rest(service: Service) -> None:
    """Wait until no key is due or waits for its turn, and none is being polled."""
    until(lambda: service._scheduler and not _due(service) and not _under_way(service))  # what is due comes under way


def _due(service: Service) -> bool:
    if service._timetable._turns._given:
        return True
    return any(job.next_run_time <= utc_now() for job in service._scheduler.get_jobs())


def _under_way(service: Service) -> bool:
    return any(service._scheduler._executors["default"]._instances.values())


def polls(vendor: SimulatedVendor, *names: str) -> list[int]:
    return [asked(vendor, name) for name in names]


def test_news_of_one_key_has_the_others_of_its_vendor_asked_now(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "one", "two", "three", interval=DAY)
    with made(config, sink) as app, running(app) as service:
        at_rest(service)
        assert polls(vendor, "one", "two", "three") == [1, 1, 1]  # a first catalogue is no news of the vendor
        poll_out_of_turn(service, "one")
        assert polls(vendor, "one", "two", "three") == [2, 1, 1]  # nor is one that is as before
        unlock(vendor, "one", "two")
        poll_out_of_turn(service, "one")
        # What the second has to tell is the same news, for which nobody needs to be asked again.
        assert polls(vendor, "one", "two", "three") == [3, 2, 2]
        kinds = rows(app, "SELECT key_name FROM change_log WHERE kind = 'model.added' ORDER BY key_name")
        assert [row["key_name"] for row in kinds] == ["one", "two"]


def test_a_key_is_brought_forward_once_in_its_interval(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "one", "two", "three", interval=DAY)
    with made(config, sink) as app, running(app, clock=lambda: utc_now() - DAY) as service:
        at_rest(service)
        for _ in range(3):
            unlock(vendor, "one")
            poll_out_of_turn(service, "one")
        assert polls(vendor, "one", "two", "three") == [4, 2, 2]
        # Neither does another key bring them forward, nor the one that has had news.
        unlock(vendor, "two")
        poll_out_of_turn(service, "two")
        assert polls(vendor, "one", "two", "three") == [4, 3, 2]
        service.clock = utc_now  # an interval later
        unlock(vendor, "one")
        poll_out_of_turn(service, "one")
        assert polls(vendor, "one", "two", "three") == [5, 4, 3]


def test_a_clock_set_back_does_not_keep_keys_from_being_brought_forward(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "one", "two", interval=DAY)
    with made(config, sink) as app, running(app) as service:
        at_rest(service)
        for clock, expected in ((utc_now, [2, 2]), (lambda: utc_now() - 30 * DAY, [3, 3])):
            service.clock = clock
            unlock(vendor, "one")
            poll_out_of_turn(service, "one")
            assert polls(vendor, "one", "two") == expected


def test_news_of_one_vendor_has_no_key_of_another_asked(migrated_url, vendor, sink):
    with SimulatedVendor() as elsewhere:
        config = configured(migrated_url, vendor, "one", "two", interval=DAY, one="shared", abroad="shared")
        abroad = configured(migrated_url, elsewhere, "abroad", interval=DAY, abroad="shared").keys
        with made(replace(config, keys=(*config.keys, *abroad)), sink) as app, running(app) as service:
            at_rest(service)
            unlock(vendor, "one")
            unlock(elsewhere, "abroad")
            poll_out_of_turn(service, "one")
            assert polls(vendor, "one", "two") == [2, 2]
            assert polls(elsewhere, "abroad") == [1]


def test_keys_that_were_asked_to_wait_are_not_asked_for_the_news_of_another(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "one", "free", "limited", "same", interval=DAY, limited="a", same="a")
    with made(config, sink) as app, running(app) as service:
        at_rest(service)
        vendor.keys["secret of limited"].answer = hostile.always(hostile.rate_limited("3600"))
        poll_out_of_turn(service, "limited")
        unlock(vendor, "one")
        poll_out_of_turn(service, "one")
        assert polls(vendor, "one", "free", "limited", "same") == [2, 2, 2, 1]


def test_nobody_is_asked_for_news_at_an_address_that_asked_to_wait_meanwhile(migrated_url, vendor, sink):
    with made(configured(migrated_url, vendor, "one", "down", "free", interval=DAY), sink) as app:
        with running(app) as service:
            at_rest(service)
            gate, account = Gate(), vendor.keys["secret of one"]

            def answer(seen: RequestSeen) -> Reply:
                gate(seen)
                return Reply.json(listing(account))

            account.answer = answer
            unlock(vendor, "one")
            service._scheduler.modify_job("one", next_run_time=utc_now())
            until(lambda: gate.inside == 1)
            down = hostile.refusal(503, "PROVIDER_DOWN", headers=(("Retry-After", "3600"),))
            vendor.keys["secret of down"].answer = hostile.always(down)
            service._scheduler.modify_job("down", next_run_time=utc_now())
            until(lambda: app.store.schedules()["down"].retry_at is not None and len(service._timetable._waits) == 1)
            gate.open.set()
            at_rest(service)
        assert [row["key_name"] for row in rows(app, "SELECT key_name FROM change_log WHERE kind = 'model.added'")] == [
            "one"
        ]
        assert polls(vendor, "one", "down", "free") == [2, 2, 1]


# --- politeness ------------------------------------------------------------------------------------------------------


def next_run(service: Service, name: str) -> datetime:
    at: datetime = service._scheduler.get_job(name).next_run_time
    return at


def in_minutes(service: Service, name: str) -> float:
    """How long until the key's next run."""
    return (next_run(service, name) - utc_now()) / timedelta(minutes=1)


def test_a_key_that_is_refused_is_left_alone_for_a_while_and_well_again_when_it_is_not(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "dead", "well", interval=SOON)
    account = vendor.keys["secret of dead"]
    account.answer = hostile.always(hostile.TIER_LOCKED)
    with made(config, sink) as app, running(app) as service:
        until(lambda: asked(vendor, "well") >= 4)
        assert asked(vendor, "dead") == 1
        assert 14.9 < in_minutes(service, "dead") <= 15
        unlock(vendor, "well")  # news of others is no reason
        until(lambda: rows(app, "SELECT kind FROM change_log WHERE kind = 'model.added'"))
        well = asked(vendor, "well")
        until(lambda: asked(vendor, "well") >= well + 2)
        assert asked(vendor, "dead") == 1
        service.poll_now()  # a person is
        until(lambda: asked(vendor, "dead") == 2)
        idle(service)
        assert 14.9 < in_minutes(service, "dead") < 15.5
        account.answer = None
        service.poll_now()
        until(lambda: asked(vendor, "dead") >= 5)


def test_a_refused_key_is_left_alone_across_a_restart_unless_its_secret_is_new(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "dead", "well", interval=SOON)
    vendor.keys["secret of dead"].answer = hostile.always(hostile.KEY_REVOKED)
    with made(config, sink) as app, running(app):
        until(lambda: asked(vendor, "dead") == 1 and asked(vendor, "well") >= 2)
    vendor.forget()
    with made(config, sink) as app, running(app) as service:
        until(lambda: asked(vendor, "well") >= 3)
        assert asked(vendor, "dead") == 0
        assert 14 < in_minutes(service, "dead") <= 15
    vendor.keys["another secret"] = Account(models=sample_models())
    dead, well = config.keys
    rotated = replace(config, keys=(replace(dead, secret=Secret("another secret")), well))
    with made(rotated, sink) as app, running(app):
        until(lambda: sum(seen.key == "another secret" for seen in vendor.requests) >= 3)


def test_a_poll_that_cannot_be_stored_does_not_wake_a_refused_key(migrated_url, vendor, sink, logged):
    config = configured(migrated_url, vendor, "dead", interval=SOON)
    vendor.keys["secret of dead"].answer = hostile.always(hostile.KEY_REVOKED)
    with made(config, sink) as app, running(app) as service:
        until(lambda: asked(vendor, "dead") == 1)
        idle(service)

        def broken(_: Any) -> Any:
            raise StoreError("the disk is full", "make room")

        app.poller.store.begin = broken  # type: ignore[assignment,method-assign]
        service.poll_now()
        until(lambda: any(event["event"] == "poll.not_stored" for event in logged))
        idle(service)
        assert in_minutes(service, "dead") > 14
    assert asked(vendor, "dead") == 2


def test_an_account_of_whose_limit_little_is_left_is_left_alone_for_a_minute(migrated_url, vendor, sink, logged):
    config = configured(migrated_url, vendor, "low", "same", "other", interval=SOON, low="a", same="a")
    for name in ("low", "same"):
        vendor.keys[f"secret of {name}"].calls_per_minute = 20
    with made(config, sink) as app:
        with running(app) as service:
            until(lambda: asked(vendor, "other") >= 4)
            told = polls(vendor, "low", "same")  # the second may have begun before the first was answered
            assert sorted(told) in ([0, 1], [1, 1])
            service.poll_now()
            until(lambda: asked(vendor, "other") >= 7)
            assert polls(vendor, "low", "same") == told
            assert all(0.9 < in_minutes(service, name) < 1.2 for name in ("low", "same"))
        vendor.forget()
        # A minute is not remembered across a restart.
        with running(app):
            until(lambda: sum(polls(vendor, "low", "same")) >= 1)
    said = [event for event in logged if event["event"] == "rate_limit.low"]
    assert [event["account"] for event in said] == ["a", "a"]
    assert said[0]["remaining"] == 19


def test_what_cannot_be_read_of_a_limit_keeps_nobody_waiting(migrated_url, vendor, sink):
    config = configured(migrated_url, vendor, "one", interval=SOON)
    account = vendor.keys["secret of one"]
    odd = iter(["-5", "0x3", "none", "3, 240", "9999999999", ""])
    account.answer = lambda _: Reply.json(listing(account), headers=(("X-RateLimit-Remaining", next(odd, "1e1")),))
    with made(config, sink) as app, running(app):
        until(lambda: asked(vendor, "one") >= 9)


def test_keys_of_one_account_begin_a_second_apart_and_keep_nobody_else_waiting(migrated_url, vendor, sink):
    crowd = ["one", "two", "three"]
    alone = [f"alone-{number}" for number in range(8)]
    config = configured(migrated_url, vendor, *crowd, *alone, interval=DAY, one="acme", two="acme", three="acme")
    with made(config, sink) as app, running(app) as service:
        at_rest(service)
        service.poll_now()
        until(lambda: polls(vendor, *crowd) == [2, 2, 2])
    times = [seen.time for seen in vendor.requests if str(seen.key).removeprefix("secret of ") in crowd]
    assert len(times) == 6
    # A turn is when a poll begins; its request follows within moments.
    assert all(later - earlier > timedelta(seconds=0.8) for earlier, later in pairwise(times))
    first = min(seen.time for seen in vendor.requests)
    assert sum(seen.time < first + timedelta(seconds=0.9) for seen in vendor.requests) >= len(alone)


def slept(service: Service, hours: float) -> None:
    """What the scheduler finds after the machine slept: its runs are long over, and its timer did not notice."""
    scheduler = service._scheduler
    for job in scheduler.get_jobs():
        job._modify(next_run_time=job.next_run_time - timedelta(hours=hours))
        scheduler._jobstores["default"].update_job(job)


def test_a_machine_that_slept_polls_each_key_once(migrated_url, vendor, sink, logged):
    names = ["one", "two", "three", "four"]
    config = configured(migrated_url, vendor, *names, workers=2)
    with made(config, sink) as app, running(app, clock_watch=0.05) as service:
        at_rest(service)
        slept(service, 5)
        assert polls(vendor, *names) == [1, 1, 1, 1]
        # Nobody wakes the scheduler but the watch over the clock.
        service.clock = lambda: utc_now() + 5 * HOUR
        until(lambda: len(vendor.requests) >= 8)
        service.clock = utc_now
        at_rest(service)
        assert polls(vendor, *names) == [2, 2, 2, 2]
        assert all(0 < in_minutes(service, name) <= 60 for name in names)
    assert [event["seconds"] for event in logged if event["event"] == "clock.jumped_ahead"] == [18_000]


# How a vendor may be out of reach, or of its mind. The keys of each poll every second.
FAULTS = ("unknown-name", "bad-certificate", "no-tls", "closed-port", "html", "cut-off", "server-error")


def test_no_fault_has_a_key_asked_more_often_than_its_interval(migrated_url, vendor, sink):
    counted: Counter[str] = Counter()

    def resolve(host: str, port: int) -> list[str]:
        if host == "vivix.invalid":
            counted["names looked up"] += 1
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [host]

    config = configured(migrated_url, vendor, *FAULTS, "well", interval=timedelta(seconds=1), workers=8)
    answers = {"html": hostile.HTML_200, "cut-off": hostile.cut_off(), "server-error": hostile.INTERNAL_ERROR}
    for name, answer in answers.items():
        vendor.keys[f"secret of {name}"].answer = hostile.always(answer)
    with serving_tls() as tls, closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        addresses = {
            "unknown-name": "https://vivix.invalid",
            "bad-certificate": f"https://127.0.0.1:{tls}",
            "no-tls": vendor.base_url.replace("http:", "https:"),
            "closed-port": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "server-error": vendor.base_url.replace("127.0.0.1", "localhost"),
        }
        keys = tuple(replace(key, base_url=addresses.get(key.name, key.base_url)) for key in config.keys)
        with made(replace(config, keys=keys), sink, transport=Network(resolve=resolve)) as app:
            whole = app.poller.fetch

            def fetch(request: Request) -> Answer | NoAnswer:
                secret = request.headers["Authorization"]
                assert isinstance(secret, Secret)
                counted[secret.reveal().removeprefix("Bearer secret of ")] += 1
                return whole(request)

            app.poller.fetch = fetch
            begun = time.monotonic()
            with running(app):
                until(lambda: counted["well"] >= 5)
                passed = time.monotonic() - begun
            failures = {row["name"]: row["failures"] for row in rows(app, "SELECT name, failures FROM api_keys")}
    # At once, after one second, after two more; a server error asks for half a minute.
    assert {name: counted[name] for name in FAULTS if name != "server-error"} == dict.fromkeys(FAULTS[:-1], 3)
    assert (counted["server-error"], counted["names looked up"]) == (1, 3)
    assert counted["well"] <= passed + 2
    assert failures == {**dict.fromkeys(FAULTS, 3), "server-error": 1, "well": 0}


# --- stopping --------------------------------------------------------------------------------------------------------


def test_stopping_finishes_the_poll_under_way_and_delivers_what_it_found(migrated_url, vendor, sink, logged):
    config = configured(migrated_url, vendor, "one", "queued", workers=1)
    account = vendor.keys["secret of one"]
    with made(config, sink) as app:
        know_first_sight(app, sink)
        vendor.forget()
        for known in vendor.keys.values():
            known.models.append(made_up_models(1)[0])
        gate = Gate()

        def answer(seen: RequestSeen) -> Reply:
            gate(seen)
            return Reply.json(listing(account))

        account.answer = answer
        vendor.keys["secret of queued"].answer = account.answer
        service = app.service()
        thread = threading.Thread(target=service.run, args=[{}])
        thread.start()
        until(lambda: gate.inside == 1)
        service.stop()
        time.sleep(0.05)
        assert thread.is_alive()
        gate.open.set()
        thread.join(5)
        assert not thread.is_alive()
        assert len(vendor.requests) == 1  # the other key was not begun
        assert [change["kind"] for change in rows(app, "SELECT kind FROM change_log WHERE state = 'announced'")] == [
            "model.added"
        ]
    assert len(sink.texts) == 1
    assert "simulated-image-0000" in sink.texts[0]
    assert logged[-1] == {"event": "stopped", "log_level": "info", "polls_under_way": 0, "still_sending": False}


def test_stopping_takes_no_longer_than_the_grace(migrated_url, vendor, sink):
    gate = Gate()
    config = configured(migrated_url, vendor, "one")
    vendor.keys["secret of one"].answer = gate
    results = []
    with made(config, sink) as app:
        service = app.service()
        service.grace = 0.3
        thread = threading.Thread(target=lambda: results.append(service.run({})))
        thread.start()
        until(lambda: gate.inside == 1)
        begun = time.monotonic()
        service.stop()
        thread.join(5)
        assert 0.3 <= time.monotonic() - begun < 2
        assert results == [False]
        gate.open.set()
        until(lambda: service._under_way == 0)


def test_news_after_the_grace_has_nobody_asked(migrated_url, vendor, sink, caplog):
    config = configured(migrated_url, vendor, "one", "two", interval=DAY)
    with made(config, sink) as app:
        know_first_sight(app, sink)
        unlock(vendor, "one")
        gate, account = Gate(), vendor.keys["secret of one"]

        def answer(seen: RequestSeen) -> Reply:
            gate(seen)
            return Reply.json(listing(account))

        account.answer = answer
        service = app.service()
        service.grace = 0.1
        thread = threading.Thread(target=service.run, args=[{}])
        thread.start()
        until(lambda: gate.inside == 1)
        service.stop()
        thread.join(5)
        gate.open.set()
        until(lambda: service._under_way == 0)
        until(lambda: not _under_way(service))
        assert rows(app, "SELECT kind FROM change_log WHERE state = 'announced'") == [{"kind": "model.added"}]
    assert caplog.messages == []  # APScheduler says here what it caught


def test_stopping_at_once_does_nothing(migrated_url, vendor, sink):
    with made(configured(migrated_url, vendor, "one"), sink) as app:
        service = app.service()
        service.stop()
        assert service.run({}) is True


# --- bad days --------------------------------------------------------------------------------------------------------


def test_a_bug_in_a_poll_does_not_stop_the_service(migrated_url, vendor, sink, logged):
    with made(configured(migrated_url, vendor, "unlucky", "lucky", interval=SOON), sink) as app:
        whole, broken = app.poller.fetch, [True]

        def fetch(request):
            if broken[0] and "unlucky" in str(request.headers["Authorization"].reveal()):
                raise RuntimeError("a bug")
            return whole(request)

        app.poller.fetch = fetch
        with running(app):
            until(lambda: asked(vendor, "lucky") >= 2)
            broken[0] = False
            until(lambda: asked(vendor, "unlucky") >= 1)
    failed = [event for event in logged if event["event"] == "poll.failed"]
    assert failed
    assert all(event["key"] == "unlucky" and event["exc_info"] for event in failed)


def test_a_bug_in_delivering_does_not_stop_the_service_nor_lose_the_alert(
    *, migrated_url, vendor, sink, logged, monkeypatch
):
    with made(configured(migrated_url, vendor, "one"), sink) as app:
        know_first_sight(app, sink)
        whole, bugs = app.outbox.step, [RuntimeError("a bug"), RuntimeError("another")]

        def step():
            if bugs:
                raise bugs.pop()
            return whole()

        monkeypatch.setattr(app.outbox, "step", step)
        vendor.keys["secret of one"].models.append(made_up_models(1)[0])
        app.poller.poll(app.targets[0])
        with running(app, look_again=0.05):
            until(lambda: sink.texts)
    assert "simulated-image-0000" in sink.texts[0]
    assert [event["event"] for event in logged if event["event"].startswith("outbox")] == ["outbox.failed"] * 2


def test_a_database_that_is_locked_for_a_while(*, migrated_sqlite, tmp_path, vendor, sink, logged, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    file = tmp_path / "syncd.db"
    file.write_bytes(migrated_sqlite.read_bytes())

    @contextmanager
    def gone() -> Iterator[None]:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    recovers(configured(f"sqlite:///{file}", vendor, "one", "two", interval=SOON), vendor, sink, logged, gone)


def test_a_database_server_that_goes_and_comes_back(
    *, postgres: Postgres, migrated_postgres, vendor, sink, logged, monkeypatch
):
    with postgres.database(template=migrated_postgres) as name, postgres.connect("postgres") as admin:

        @contextmanager
        def gone() -> Iterator[None]:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        recovers(configured(postgres.url(name), vendor, "one", "two", interval=SOON), vendor, sink, logged, gone)


def recovers(config: Config, vendor: SimulatedVendor, sink: Recorder, logged: list[Any], gone: Any) -> None:
    """Polls that cannot be stored are said to be so, and afterwards everything goes on as if nothing had been."""
    with made(config, sink) as app, running(app, look_again=0.2):
        forget_first_sight(app, sink)
        with gone():
            for name in ("one", "two"):
                vendor.keys[f"secret of {name}"].models.append(made_up_models(1)[0])
            until(lambda: {e["key"] for e in logged if e["event"] == "poll.not_stored"} == {"one", "two"})
            until(lambda: any(e["event"] == "outbox.waits" for e in logged))
            assert not sink.texts
        told = (
            "SELECT key_name FROM change_log WHERE kind = 'model.added' AND announced_at IS NOT NULL ORDER BY key_name"
        )
        until(lambda: rows(app, told) == [{"key_name": "one"}, {"key_name": "two"}])
    assert "simulated-image-0000" in "".join(sink.texts)
    assert all(event["hint"] for event in logged if event["event"] in ("poll.not_stored", "outbox.waits"))
    assert not [event for event in logged if event["event"] in ("poll.failed", "outbox.failed")]


def test_an_alert_whose_fate_could_not_be_written_is_not_stuck(migrated_url, vendor, sink, monkeypatch):
    """The database fails between sending and settling: the delivery must not block its destination for ever."""
    from syncd.errors import StoreUnavailable  # noqa: PLC0415 - only this test fakes one
    from syncd.store.outbox import OutboxTransaction  # noqa: PLC0415

    settle, failures = OutboxTransaction.settle, list[Exception]()

    def failing(self, *arguments):
        if failures:
            raise failures.pop()
        return settle(self, *arguments)

    monkeypatch.setattr(OutboxTransaction, "settle", failing)
    with made(configured(migrated_url, vendor, "one"), sink) as app, running(app, look_again=0.1) as service:
        forget_first_sight(app, sink)
        failures.append(StoreUnavailable("gone"))
        vendor.keys["secret of one"].models.append(made_up_models(1)[0])
        idle(service)
        service.poll_now()
        until(lambda: len(sink.texts) == 2)
        until(lambda: rows(app, "SELECT state FROM alert_log WHERE kind <> 'watching'") == [{"state": "sent"}])
    assert all("simulated-image-0000" in text for text in sink.texts)
    assert "may repeat" not in sink.texts[0]
    assert "may repeat" in sink.texts[1]


# --- the outbox thread ------------------------------------------------------------------------------------------------


def test_an_announcement_wakes_the_outbox(migrated_url, vendor, sink):
    with made(configured(migrated_url, vendor, "one"), sink) as app, running(app) as service:
        forget_first_sight(app, sink)
        vendor.keys["secret of one"].models.append(made_up_models(1)[0])
        idle(service)
        service.poll_now()
        until(lambda: sink.texts)
        detected = rows(app, "SELECT detected_at FROM change_log WHERE kind = 'model.added'")[0]["detected_at"]
    assert sink.times[0] - datetime.fromisoformat(detected + "+00:00") < timedelta(seconds=1)


def test_what_another_process_announces_is_seen_within_five_seconds(migrated_url, vendor, sink):
    assert LOOK_AGAIN == 5
    config = configured(migrated_url, vendor, "one")
    with made(config, sink) as app, running(app, look_again=0.5):
        forget_first_sight(app, sink)
        vendor.keys["secret of one"].models.append(made_up_models(1)[0])
        with build(config) as other:
            assert other.poller.poll(other.targets[0]).announced
        begun = time.monotonic()
        until(lambda: sink.texts)
        assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize("state", ["frozen", "unsettled"])
def test_the_outbox_does_not_spin(migrated_url, vendor, sink, state, monkeypatch):
    """Something is overdue and cannot be sent: that is looked at now and then, not all the time."""
    with made(configured(migrated_url, vendor, "one"), sink) as app:
        know_first_sight(app, sink)
        sink.instead = lambda: NotSent("not today")
        vendor.keys["secret of one"].models.append(made_up_models(1)[0])
        app.poller.poll(app.targets[0])
        with app.store._write() as connection:
            if state == "frozen":
                far = "2099-01-01 00:00:00.000000" + ("" if engine.is_sqlite(app.store.url) else "+00")
                connection.exec_driver_sql(f"UPDATE destinations SET frozen_until = '{far}'")
        steps = []
        whole = app.outbox.step

        def step():
            steps.append(time.monotonic())
            if state == "unsettled" and len(steps) == 2:
                # Something more becomes due while the first is on its way and told to wait for long.
                with app.store._write() as connection:
                    connection.exec_driver_sql("UPDATE deliveries SET state = 'sending', retry_at = NULL")
                vendor.keys["secret of one"].models.append(made_up_models(2)[1])
                app.poller.poll(app.targets[0])
            return whole()

        monkeypatch.setattr(app.outbox, "step", step)
        with running(app):
            time.sleep(1.2)
        assert 1 <= len(steps) <= 6
