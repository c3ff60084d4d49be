"""What the daemon remembers of its keys between two polls, and who may be asked when. It knows neither clock nor timer.

    first_runs      at start
    following       a run begins: when is the next?
    not_before      a key is due: may it be asked now, or when?
    learn           a poll has ended: what does that change?
    siblings        it had news: who else is to be asked now?
    set_back        the clock was set back

The rules are those of `syncd.core.schedule`. Any thread may ask.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from syncd.core import schedule
from syncd.core.reading import Scope
from syncd.core.routing import KeyFacts
from syncd.core.schedule import NEVER_ASKED, KeySchedule, Turns
from syncd.poll import Polled

# Those who wait for the same moment do not all ask in it.
_SPREAD: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Learned:
    """What a poll changes: when its key is due next, and until when its account steps aside; None where nothing."""

    next_run: datetime | None = None
    aside: datetime | None = None


class Timetable:
    """`schedules` is what was stored of the keys when the daemon started."""

    def __init__(
        self,
        keys: Iterable[KeyFacts],
        intervals: Mapping[str, timedelta],
        schedules: Mapping[str, KeySchedule],
        now: datetime,
    ) -> None:
        self._keys = {key.name: key for key in keys}
        self._rhythms = schedule.rhythms(self._keys.values(), intervals)
        self._known = {name: schedules.get(name, NEVER_ASKED) for name in self._keys}
        # Guards what follows.
        self._lock = threading.Lock()
        self._turns = Turns(self._keys.values(), intervals)
        self._waits: dict[tuple[Scope, str], datetime] = {}
        # Until when each account stepped aside last. Not stored: a minute is over before a restart matters, and the
        # vendor's own word, once it comes to a refusal, is stored.
        self._aside: dict[str, datetime] = {}
        # When each key was last brought forward because another one had news, or had news itself.
        self._pulled: dict[str, datetime] = {}
        for name, known in self._known.items():
            if (until := schedule.waits_until(known, now)) is not None:
                self._wait(schedule.concerned(self._keys[name], known.retry_scope), until)

    def first_runs(self, now: datetime) -> Iterator[tuple[str, datetime]]:
        """Each key's first run, in the order of their hash where they are due together."""
        for position, name in enumerate(schedule.in_hash_order(self._keys)):
            first = schedule.first_run(self._known[name], self._rhythms[name].interval, now)
            yield name, first + timedelta(microseconds=position)

    def following(self, name: str, now: datetime) -> datetime:
        """When the key is due after a run that begins now, if that ends as the last one did."""
        return self.due(name, now, replace(self._known[name], last_poll_at=now))

    def due(self, name: str, now: datetime, known: KeySchedule | None = None) -> datetime:
        """When the key is due next, later than now."""
        return schedule.next_run(known or self._known[name], self._rhythms[name], now)

    def not_before(self, name: str, now: datetime) -> datetime:
        """When this key, which is due, may be asked: now or later."""
        key = self._keys[name]
        with self._lock:
            asked = [until for who in schedule.both(key) if (until := self._waits.get(who)) is not None and until > now]
            if asked:
                return max(asked) + schedule.phase(name, min(_SPREAD, self._rhythms[name].interval))
            return self._turns.take(key, now)

    def learn(self, polled: Polled, now: datetime) -> Learned:
        """Remember what became of a poll."""
        before = self._known[polled.key]
        since = before.state_since if polled.state == before.state else polled.ended
        after = KeySchedule(last_poll_at=polled.ended, state=polled.state, state_since=since, failures=polled.failures)
        self._known[polled.key] = after
        # What `following` said when this run began holds unless the key fares otherwise now.
        same = schedule.pause(after) == schedule.pause(replace(before, last_poll_at=polled.ended))
        return Learned(None if same else self.due(polled.key, now), self._heed(polled))

    def _heed(self, polled: Polled) -> datetime | None:
        """Who has to wait, because the vendor asked to or soon would."""
        key = self._keys[polled.key]
        with self._lock:
            if polled.retry is not None:
                self._wait(schedule.concerned(key, polled.retry.scope), polled.retry.at)
                return None
            remaining, last = polled.facts.rate_limit_remaining, self._aside.get(key.account)
            aside = schedule.steps_aside(remaining, polled.ended, last)
            if aside is not None:
                self._aside[key.account] = aside
                self._wait(schedule.concerned(key, "account"), aside)
            return aside

    def _wait(self, who: tuple[Scope, str], until: datetime) -> None:
        self._waits[who] = max(until, self._waits.get(who, until))

    def siblings(self, name: str, now: datetime) -> list[str]:
        """Who is to be asked now because this key had news: what changed for one has likely changed for all.

        Each key at most once in its interval, so that none costs more than twice its usual polls; and none that is
        refused, of which there is no news.
        """
        with self._lock:
            self._pulled[name] = now  # those that it pulls need not pull it in turn
            found = [
                other
                for other, key in self._keys.items()
                if key.base_url == self._keys[name].base_url and self._may_be_pulled(other, now)
            ]
            self._pulled |= dict.fromkeys(found, now)
        return found

    def _may_be_pulled(self, name: str, now: datetime) -> bool:
        if self._known[name].dead:
            return False
        last = self._pulled.get(name)
        # One in the future is a clock that was set back.
        return last is None or abs(now - last) >= self._rhythms[name].interval

    def set_back(self, by: timedelta) -> None:
        """The clock shows less than it did: waits last as long as they were meant to, and turns are taken anew."""
        with self._lock:
            self._waits = {who: until - by for who, until in self._waits.items()}
            self._aside.clear()
            self._turns.forget()
