"""The daemon: when each key is polled, who delivers, and how it all stops. The flows decide nothing of this.

    scheduler (APScheduler)   one job per key ──> a pool of poll workers ──> poll(key), one at a time per key
                                                                              │ announced something
    outbox thread             sleeps until something is due, or is woken  <───┘

Start: a key is due at max(now, last poll + interval); overdue and new keys run at once, in the order of their hash, as
many at a time as there are workers. Afterwards each key keeps a phase of its own within the interval, so that a thousand
keys do not ask in the same second.
Stop: no new polls; those under way finish, what is ready is delivered, both within the grace time.
No fault of the network, the vendor or the database ends the daemon.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from syncd.core.reading import Scope
from syncd.errors import StoreError
from syncd.outbox import Outbox, Sent
from syncd.poll import Polled, Poller, Target
from syncd.store.keys import KeySchedule

# How often the outbox looks although nobody woke it: another process may have announced something.
LOOK_AGAIN: Final = 5.0
# How long stopping may take: longer than a request's usual deadline, shorter than systemd's patience (TimeoutStopSec).
GRACE: Final = 45.0

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


class HashedPhase(BaseTrigger):  # type: ignore[misc]  # APScheduler has no annotations
    """Fires at fixed points of time, an interval apart, whose offset follows from the key's name.

    It is the same after every restart, and missed points are not made up for one by one.
    """

    def __init__(self, name: str, interval: timedelta) -> None:
        self.interval = interval
        self.phase = phase(name, interval)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next point after now. One that lies within half an interval of the last run is left out."""
        earliest = now if previous_fire_time is None else max(now, previous_fire_time + self.interval / 2)
        return next_point(earliest, self.interval, self.phase)


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


@dataclass
class Service:
    """Runs until `stop` is called. `intervals` gives each key's own."""

    poller: Poller
    outbox: Outbox
    targets: tuple[Target, ...]
    intervals: Mapping[str, timedelta]
    workers: int
    clock: Callable[[], datetime]
    on_polled: Callable[[Polled], None] = lambda polled: None
    on_sent: Callable[[Sent], None] = lambda sent: None
    _waits: dict[tuple[Scope, str], datetime] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _news: threading.Event = field(default_factory=threading.Event)
    _idle: threading.Condition = field(default_factory=threading.Condition)
    _scheduler: Any = None
    _under_way: int = 0

    def run(self, schedules: Mapping[str, KeySchedule]) -> None:
        """Poll and deliver until `stop`; then finish what is under way and return."""
        orphans = self.outbox.recover()
        if orphans:
            log.warning("deliveries.doubtful", count=orphans, why="syncd ended while sending them; they may arrive twice")
        scheduler = self._scheduler = self._make_scheduler(schedules)
        sender = threading.Thread(target=self._send_until_stopped, name="outbox")
        sender.start()
        scheduler.start()
        log.info("started", keys=len(self.targets), workers=self.workers)
        self._stopping.wait()
        self._drain(scheduler, sender)

    def stop(self) -> None:
        """Begin to stop; may be called from a signal handler."""
        self._stopping.set()
        self._news.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def poll_now(self) -> None:
        """Ask every key as soon as a worker is free, unless the vendor asked to wait."""
        for job in self._scheduler.get_jobs() if self._scheduler is not None else ():
            job.modify(next_run_time=self.clock())

    # --- polling ---

    def _make_scheduler(self, schedules: Mapping[str, KeySchedule]) -> Any:
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(self.workers)},
            # Late is better than never, once is enough, and one poll of a key at a time.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        now = self.clock()
        for name, schedule in schedules.items():
            self._remember_wait(name, schedule)
        in_hash_order = sorted(self.targets, key=lambda target: phase(target.facts.name, timedelta(days=1)))
        for position, target in enumerate(in_hash_order):
            interval = self.intervals[target.facts.name]
            # A microsecond apart: the scheduler starts due jobs in the order of their time.
            first = first_run(schedules.get(target.facts.name), interval, now) + timedelta(microseconds=position)
            trigger = HashedPhase(target.facts.name, interval)
            scheduler.add_job(self._tick, trigger, [scheduler, target], id=target.facts.name, next_run_time=first)
        return scheduler

    def _remember_wait(self, name: str, schedule: KeySchedule) -> None:
        target = next((target for target in self.targets if target.facts.name == name), None)
        if target is not None and schedule.retry_at is not None and schedule.retry_scope is not None:
            subject = target.facts.account if schedule.retry_scope == "account" else target.facts.base_url
            self._wait(schedule.retry_scope, subject, schedule.retry_at)

    def _wait(self, scope: Any, subject: str, until: datetime) -> None:
        known = self._waits.get((scope, subject), until)
        self._waits[scope, subject] = max(known, until)

    def _tick(self, scheduler: Any, target: Target) -> None:
        """One run of a key's job: poll, unless the vendor asked to wait or syncd is stopping."""
        if self._stopping.is_set():
            return
        until = self._asked_to_wait(target)
        if until is not None:
            # Those who wait for the same moment do not all ask in it.
            spread = phase(target.facts.name, timedelta(seconds=min(10.0, self.intervals[target.facts.name].total_seconds())))
            scheduler.modify_job(target.facts.name, next_run_time=until + spread)
            return
        with self._idle:
            self._under_way += 1
        try:
            self._poll(target)
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _asked_to_wait(self, target: Target) -> datetime | None:
        asked = (self._waits.get(("account", target.facts.account)), self._waits.get(("base_url", target.facts.base_url)))
        until = max((moment for moment in asked if moment is not None), default=None)
        return until if until is not None and until > self.clock() else None

    def _poll(self, target: Target) -> None:
        try:
            polled = self.poller.poll(target)
        except StoreError as error:
            log.error("poll.not_stored", key=target.facts.name, error=error.message, hint=error.hint)
            return
        except Exception:
            log.exception("poll.failed", key=target.facts.name, hint="a bug in syncd: please report it; the key is polled again")
            return
        if polled.retry is not None:
            subject = target.facts.account if polled.retry.scope == "account" else target.facts.base_url
            self._wait(polled.retry.scope, subject, polled.retry.at)
        log_polled(polled)
        self.on_polled(polled)
        if polled.announced:
            self._news.set()

    # --- delivering ---

    def _send_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            self._send()
            self._news.wait(self._until_due())

    def _send(self) -> bool:
        """Deliver until nothing is ready; False if the database did not answer."""
        try:
            while sent := self.outbox.step():
                for one in sent:
                    log_sent(one)
                    self.on_sent(one)
                if any(one.state != "sent" for one in sent):
                    break
        except StoreError as error:
            log.error("outbox.waits", error=error.message, hint=error.hint)
            return False
        except Exception:
            log.exception("outbox.failed", hint="a bug in syncd: please report it; delivery is tried again")
            return False
        return True

    def _until_due(self) -> float:
        try:
            due = self.outbox.next_due()
        except StoreError:
            return LOOK_AGAIN
        wait = LOOK_AGAIN if due is None else (due - self.clock()).total_seconds()
        # Something overdue is something frozen or being sent: looking at once again would spin.
        return min(LOOK_AGAIN, wait) if wait > 0 else LOOK_AGAIN / 10

    # --- stopping ---

    def _drain(self, scheduler: Any, sender: threading.Thread) -> None:
        deadline = monotonic() + GRACE
        log.info("stopping", polls_under_way=self._under_way)
        scheduler.pause()
        with self._idle:
            self._idle.wait_for(lambda: self._under_way == 0, timeout=GRACE)
        scheduler.shutdown(wait=False)
        sender.join(max(0.0, deadline - monotonic()))
        if not sender.is_alive():
            self._send()
        log.info("stopped", polls_under_way=self._under_way)


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
    write("delivery", id=sent.delivery, to=sent.destination, kind=sent.kind, state=sent.state, **({"error": sent.error} if sent.error else {}))
