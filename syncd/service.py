"""The daemon: when each key is polled, who delivers, and how it all stops. The flows decide nothing of this.

    scheduler (APScheduler)   one job per key ──> a pool of poll workers ──> poll(key), one at a time per key
                                                                              │ announced something
    outbox thread             sleeps until something is due, or is woken  <───┘

The thread that calls `run` only waits for wishes: to stop, to poll now, whatever a signal handler may not do itself.

Start: a key is due at max(now, last poll + interval); overdue and new keys run at once, in the order of their hash,
as many at a time as there are workers. Afterwards each key keeps a phase of its own within the interval, so that a
thousand keys do not ask in the same second.
Stop: no new polls; those under way finish, what is ready is delivered, both within the grace time.
No fault of the network, the vendor or the database ends the daemon.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from syncd.core.reading import Scope
from syncd.errors import LockHeld, StoreError
from syncd.outbox import Outbox, Sent
from syncd.poll import Polled, Poller, Target
from syncd.store.keys import KeySchedule

# How often the outbox looks although nobody woke it: another process may have announced something.
LOOK_AGAIN: Final = 5.0
# How long stopping may take: longer than a request's usual deadline, shorter than systemd's patience (TimeoutStopSec).
GRACE: Final = 45.0

# How often to look whether somebody set the clock back.
CLOCK_WATCH: Final = 5.0

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


class HashedPhase(BaseTrigger):  # type: ignore[misc]  # APScheduler has no annotations
    """Fires at fixed points of time, an interval apart, whose offset follows from the key's name.

    It is the same after every restart, and missed points are not made up for one by one. The first point after a run
    out of turn is kept too, however near: no key waits longer than its interval.
    """

    def __init__(self, name: str, interval: timedelta) -> None:
        self.interval = interval
        self.phase = phase(name, interval)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:  # noqa: ARG002
        """The next point after now."""
        return next_point(now, self.interval, self.phase)


def phase(name: str, interval: timedelta) -> timedelta:
    """The key's own offset within the interval, the same on every machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return interval * (int.from_bytes(digest, "big") / 2**64)


def next_point(after: datetime, interval: timedelta, offset: timedelta) -> datetime:
    """The first point of the grid that is later than `after`."""
    passed = (after - _EPOCH - offset) // interval
    return _EPOCH + offset + (passed + 1) * interval


def first_run(schedule: KeySchedule | None, interval: timedelta, now: datetime) -> datetime:
    """When a key is due at start: an interval after its last poll, at once if that has passed or it is new."""
    if schedule is None or schedule.last_poll_at is None:
        return now
    # A last poll in the future is a clock that was set back: waiting for it could take years.
    return max(now, min(schedule.last_poll_at, now) + interval)


def waiting(targets: Iterable[Target], schedules: Mapping[str, KeySchedule], now: datetime) -> dict[str, datetime]:
    """The keys whose account or address the vendor asked to leave alone, each with until when."""
    asked: dict[tuple[str | None, str], datetime] = {}
    targets = list(targets)
    for target in targets:
        known = schedules.get(target.facts.name)
        if known is not None and known.retry_at is not None and known.retry_at > now:
            who = _who(target, known.retry_scope)
            asked[who] = max(known.retry_at, asked.get(who, known.retry_at))
    found = {}
    for target in targets:
        untils = [until for scope in ("account", "base_url") if (until := asked.get(_who(target, scope))) is not None]
        if untils:
            found[target.facts.name] = max(untils)
    return found


def _who(target: Target, scope: str | None) -> tuple[Scope, str]:
    return ("account", target.facts.account) if scope == "account" else ("base_url", target.facts.base_url)


@dataclass
class Service:
    """Runs until `stop` is called. `intervals` gives each key's own."""

    poller: Poller
    outbox: Outbox
    targets: tuple[Target, ...]
    intervals: Mapping[str, timedelta]
    workers: int
    clock: Callable[[], datetime]
    # Raises `LockHeld` when the database belongs to another process by now.
    still_ours: Callable[[], None] = lambda: None
    grace: float = GRACE
    look_again: float = LOOK_AGAIN
    clock_watch: float = CLOCK_WATCH
    # Putting something into it is all that a signal handler does here: unlike a lock or an event it may be interrupted
    # by itself.
    _wishes: SimpleQueue[Callable[[], None] | None] = field(default_factory=SimpleQueue)
    _scheduler: BackgroundScheduler = None
    _stopping: bool = False
    taken_over: bool = field(default=False, init=False)
    # Guards the next three.
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _under_way: int = 0
    _waits: dict[tuple[Scope, str], datetime] = field(default_factory=dict)
    # When each key was last brought forward because another one had news, or had news itself.
    _pulled: dict[str, datetime] = field(default_factory=dict)
    _news: threading.Event = field(default_factory=threading.Event)
    _polls_over: threading.Event = field(default_factory=threading.Event)
    _doubtful: bool = True

    def run(self, schedules: Mapping[str, KeySchedule]) -> bool:
        """Poll and deliver until `stop`; then finish what is under way. False if the grace time did not suffice."""
        self._scheduler = self._make_scheduler(schedules)
        # A daemon: a sink that blocks for ever must not keep the process.
        sender = threading.Thread(target=self._send_until_over, name="outbox", daemon=True)
        sender.start()
        self._scheduler.start()
        log.info("started", keys=len(self.targets), workers=self.workers)
        self._grant_wishes()
        return self._drain(sender)

    def stop(self) -> None:
        """Begin to stop; may be called from a signal handler."""
        self._stopping = True
        self._wishes.put(None)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def poll_now(self) -> None:
        """Ask every key as soon as a worker is free, unless the vendor asked to wait. Also from a signal handler."""
        self.soon(self._poll_all)

    def soon(self, wish: Callable[[], None]) -> None:
        """Have the thread of `run` call this; for signal handlers, which may not even log."""
        self._wishes.put(wish)

    def _grant_wishes(self) -> None:
        """Until one is to stop."""
        skew = self._skew()
        while True:
            try:
                wish = self._wishes.get(timeout=self.clock_watch)
            except Empty:
                skew, earlier = self._skew(), skew
                if skew < earlier - 1:
                    log.warning("clock.set_back", seconds=round(earlier - skew))
                    self._rephase()
                    self._doubtful = True  # the outbox thread looks through what waits
                    self._news.set()
                if not self._is_ours():
                    self.taken_over = self._stopping = True
                    return
            else:
                if wish is None:
                    return
                wish()

    def _is_ours(self) -> bool:
        try:
            self.still_ours()
        except LockHeld as error:
            log.error("database.taken_over", error=error.message, hint="this daemon stops; the other one goes on")  # noqa: TRY400
            return False
        except StoreError as error:
            log.warning("database.away", error=error.message, hint=error.hint)
        return True

    def _skew(self) -> float:
        """How far the clock on the wall is ahead of the one that only counts."""
        return self.clock().timestamp() - monotonic()

    # --- polling ---

    def _make_scheduler(self, schedules: Mapping[str, KeySchedule]) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(self.workers)},
            # Late is better than never, once is enough, and one poll of a key at a time.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        now = self.clock()
        in_hash_order = sorted(self.targets, key=lambda target: phase(target.facts.name, timedelta(days=1)))
        for position, target in enumerate(in_hash_order):
            name, interval = target.facts.name, self.intervals[target.facts.name]
            known = schedules.get(name)
            if known is not None and known.retry_at is not None:
                self._wait(target, known.retry_scope, known.retry_at)
            # A microsecond apart: the scheduler starts due jobs in the order of their time.
            first = first_run(known, interval, now) + timedelta(microseconds=position)
            scheduler.add_job(self._tick, HashedPhase(name, interval), [target], id=name, next_run_time=first)
        return scheduler

    def _poll_all(self) -> None:
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=self.clock())

    def _rephase(self) -> None:
        """Without this, keys would wait until the clock shows again what it showed before."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=job.trigger.get_next_fire_time(None, self.clock()))

    def _tick(self, target: Target) -> None:
        """One run of a key's job: poll, unless the vendor asked to wait or syncd is stopping."""
        until = self._asked_to_wait(target)
        if until is not None:
            # Those who wait for the same moment do not all ask in it.
            spread = phase(target.facts.name, min(timedelta(seconds=10), self.intervals[target.facts.name]))
            self._scheduler.modify_job(target.facts.name, next_run_time=until + spread)
            return
        with self._lock:
            if self._stopping:
                return
            self._under_way += 1
        try:
            self._poll(target)
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()

    def _poll(self, target: Target) -> None:
        try:
            polled = self.poller.poll(target)
        except StoreError as error:
            log.warning("poll.not_stored", key=target.facts.name, error=error.message, hint=error.hint)
            return
        except Exception:
            log.exception("poll.failed", key=target.facts.name, hint="a bug: please report it; the key is polled again")
            return
        if polled.retry is not None:
            self._wait(target, polled.retry.scope, polled.retry.at)
        log_polled(polled)
        if polled.announced:
            self._news.set()
        if polled.changes:
            self._pull_siblings(target)

    def _pull_siblings(self, target: Target) -> None:
        """What changed for one key of a vendor has likely changed for the others: ask them now, to tell it together.

        Of each key at most once in its interval: no key costs more than twice its usual polls.
        """
        now = self.clock()
        with self._lock:
            if self._stopping:
                return
            self._pulled[target.facts.name] = now  # those that it pulls need not pull it in turn
        for other in self.targets:
            if other.facts.base_url == target.facts.base_url and self._may_pull(other.facts.name, now):
                self._scheduler.modify_job(other.facts.name, next_run_time=now)

    def _may_pull(self, name: str, now: datetime) -> bool:
        with self._lock:
            last = self._pulled.get(name)
            # One in the future is a clock that was set back.
            if last is not None and abs(now - last) < self.intervals[name]:
                return False
            self._pulled[name] = now
            return True

    def _wait(self, target: Target, scope: str | None, until: datetime) -> None:
        """Remember that the vendor asked everybody of this account, or at this address, to wait."""
        who = _who(target, scope)
        with self._lock:
            self._waits[who] = max(until, self._waits.get(who, until))

    def _asked_to_wait(self, target: Target) -> datetime | None:
        with self._lock:
            account = self._waits.get(("account", target.facts.account))
            address = self._waits.get(("base_url", target.facts.base_url))
        now = self.clock()
        return max((until for until in (account, address) if until is not None and until > now), default=None)

    # --- delivering ---

    def _send_until_over(self) -> None:
        while not self._polls_over.is_set():
            self._news.wait(self._send())
            self._news.clear()  # before looking, so that what is announced meanwhile is not slept over
        self._send()

    def _send(self) -> float:
        """Deliver until nothing is ready. Returns after how many seconds to look again if nobody wakes us."""
        try:
            self._recover()
            while sent := self.outbox.step():
                for one in sent:
                    log_sent(one)
                if all(one.state != "sent" for one in sent):
                    break
            due = self.outbox.next_due()
        except StoreError as error:
            log.warning("outbox.waits", error=error.message, hint=error.hint)
        except Exception:
            log.exception("outbox.failed", hint="a bug: please report it; delivery is tried again")
        else:
            wait = self.look_again if due is None else (due - self.clock()).total_seconds()
            # Something overdue is something frozen or on its way: looking at once again would spin.
            return min(self.look_again, wait) if wait > 0 else self.look_again / 10
        self._doubtful = True
        return self.look_again

    def _recover(self) -> None:
        """What a dead process or a failed step of this one was sending stays unsettled for ever unless it is marked."""
        if self._doubtful and (orphans := self.outbox.recover()):
            log.warning("deliveries.doubtful", count=orphans, why="nobody saw how sending them ended; they may repeat")
        self._doubtful = False

    # --- stopping ---

    def _drain(self, sender: threading.Thread) -> bool:
        deadline = monotonic() + self.grace
        log.info("stopping", polls_under_way=self._under_way)
        self._scheduler.pause()
        with self._lock:
            self._lock.wait_for(lambda: self._under_way == 0, timeout=self.grace)
        self._scheduler.shutdown(wait=False)
        self._polls_over.set()
        self._news.set()
        sender.join(max(0.0, deadline - monotonic()))
        log.info("stopped", polls_under_way=self._under_way, still_sending=sender.is_alive())
        return self._under_way == 0 and not sender.is_alive()


def log_polled(polled: Polled) -> None:
    """The one log line of a poll. An unchanged catalogue is not worth a line at the usual level."""
    told = {
        "key": polled.key,
        "outcome": polled.outcome,
        "ms": round(polled.duration * 1000),
        "status": polled.facts.status,
        "code": polled.facts.code,
        "request_id": polled.facts.request_id,
        "models": polled.models,
        "changes": polled.changes or None,
        "why": polled.explanation or None,
        "notes": list(polled.notes[:5]) or None,
    }
    write = log.debug if polled.outcome == "unchanged" else log.info if polled.good else log.warning
    write("poll", **{name: value for name, value in told.items() if value is not None})


def log_sent(sent: Sent) -> None:
    """The one log line of an attempt to deliver."""
    write = log.info if sent.state == "sent" else log.warning
    error = {name: text for name, text in (("error", sent.error), ("hint", sent.hint)) if text}
    write("delivery", id=sent.delivery, to=sent.destination, kind=sent.kind, state=sent.state, **error)
