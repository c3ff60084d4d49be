"""The daemon: when each key is polled, who delivers, and how it all stops. The flows decide nothing of this.

    scheduler (APScheduler)   one job per key ──> a pool of poll workers ──> poll(key), one at a time per key
        ^ asks when                                 │ not yet ^                 │ announced something
    timetable (no clock) <──────────────────────────┴─────────┴── learn ────────┤
                                                                                │
    outbox thread             sleeps until something is due, or is woken  <─────┘

The thread that calls `run` only waits for wishes: to stop, to poll now, whatever a signal handler may not do itself.
Meanwhile it watches the clock.

Start: keys that are overdue or new run at once, in the order of their hash, as many at a time as there are workers.
Afterwards each key keeps a rhythm of its own, so that a thousand keys do not ask in the same second. The rules stand in
`syncd.core.schedule`, what is remembered for them in `syncd.service.timetable`.
Sleep: what was missed is polled once. A clock that jumps ahead is a machine that slept, and wakes the scheduler, whose
timer did not run meanwhile; one that was set back has every key planned anew.
Stop: no new polls; those under way finish, what is ready is delivered, both within the grace time.
No fault of the network, the vendor or the database ends the daemon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from syncd.core.routing import KeyFacts
from syncd.core.schedule import KeySchedule
from syncd.core.text import moment
from syncd.errors import LockHeld, StoreError
from syncd.outbox import Outbox, Sent
from syncd.poll import Polled, Poller, Target
from syncd.service.timetable import Timetable

# How often the outbox looks although nobody woke it: another process may have announced something.
LOOK_AGAIN: Final = 5.0
# How long stopping may take: longer than a request's usual deadline, shorter than systemd's patience (TimeoutStopSec).
GRACE: Final = 45.0

# How often to look whether the clock jumped, and by how many seconds it must have: less is a clock being corrected.
CLOCK_WATCH: Final = 5.0
_JUMP: Final = 1.0

log = structlog.get_logger()


class Following(BaseTrigger):  # type: ignore[misc]  # APScheduler has no annotations
    """Has the timetable say when a key runs next. As that is always later than now, what was missed runs once."""

    def __init__(self, timetable: Timetable, name: str) -> None:
        self._timetable, self._name = timetable, name

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:  # noqa: ARG002
        """The run after one that begins now."""
        return self._timetable.following(self._name, now)


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
    _timetable: Timetable = field(init=False)
    _stopping: bool = False
    taken_over: bool = field(default=False, init=False)
    # Guards the next one.
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _under_way: int = 0
    _news: threading.Event = field(default_factory=threading.Event)
    _polls_over: threading.Event = field(default_factory=threading.Event)
    _doubtful: bool = True

    def run(self, schedules: Mapping[str, KeySchedule]) -> bool:
        """Poll and deliver until `stop`; then finish what is under way. False if the grace time did not suffice."""
        facts = [target.facts for target in self.targets]
        self._timetable = Timetable(facts, self.intervals, schedules, self.clock())
        self._scheduler = self._make_scheduler()
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
                self._follow_clock(skew - earlier)
                if not self._is_ours():
                    self.taken_over = self._stopping = True
                    return
            else:
                if wish is None:
                    return
                wish()

    def _follow_clock(self, jumped: float) -> None:
        """The clock shows so many seconds more than have passed."""
        if abs(jumped) < _JUMP:
            return
        if jumped < 0:
            log.warning("clock.set_back", seconds=round(-jumped))
            self._plan_anew(timedelta(seconds=-jumped))
            self._doubtful = True  # the outbox thread looks through what waits
        else:
            log.info("clock.jumped_ahead", seconds=round(jumped), why="the machine slept, or its clock was set")
            self._scheduler.wakeup()
        self._news.set()

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

    def _make_scheduler(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(self.workers)},
            # Late is better than never, once is enough, and one poll of a key at a time.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        targets = {target.facts.name: target for target in self.targets}
        for name, first in self._timetable.first_runs(self.clock()):
            trigger = Following(self._timetable, name)
            scheduler.add_job(self._tick, trigger, [targets[name]], id=name, next_run_time=first)
        return scheduler

    def _poll_all(self) -> None:
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=self.clock())

    def _plan_anew(self, set_back: timedelta) -> None:
        """Without this, keys would wait until the clock shows again what it showed before."""
        self._timetable.set_back(set_back)
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=self._timetable.due(job.id, self.clock()))

    def _tick(self, target: Target) -> None:
        """One run of a key's job, unless syncd is stopping."""
        with self._lock:
            if self._stopping:
                return
            self._under_way += 1
        try:
            self._poll_or_wait(target)
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()

    def _poll_or_wait(self, target: Target) -> None:
        """Poll, unless the vendor asked to wait or others of the account go first."""
        now = self.clock()
        until = self._timetable.not_before(target.facts.name, now)
        if until > now:
            self._move({target.facts.name: until})
        else:
            self._poll(target)

    def _poll(self, target: Target) -> None:
        try:
            polled = self.poller.poll(target)
        except StoreError as error:
            log.warning("poll.not_stored", key=target.facts.name, error=error.message, hint=error.hint)
            return
        except Exception:
            log.exception("poll.failed", key=target.facts.name, hint="a bug: please report it; the key is polled again")
            return
        log_polled(polled)
        if polled.announced:
            self._news.set()
        self._learn(target.facts, polled)

    def _learn(self, key: KeyFacts, polled: Polled) -> None:
        """Move the runs that this poll is a reason to move."""
        now = self.clock()
        learned = self._timetable.learn(polled, now)
        if learned.aside is not None:
            left = polled.facts.rate_limit_remaining
            log.info("rate_limit.low", account=key.account, remaining=left, until=moment(learned.aside))
        if learned.next_run is not None:
            self._move({key.name: learned.next_run})
        if polled.changes and not self._stopping:
            self._move(dict.fromkeys(self._timetable.siblings(key.name, now), now))

    def _move(self, runs: Mapping[str, datetime]) -> None:
        """Have these keys run then. Whoever calls this is under way, so that the scheduler is not yet shut down."""
        for name, then in runs.items():
            if self._stopping:
                return
            self._scheduler.modify_job(name, next_run_time=then)

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
