"""The one transaction of a poll: what judging needs is read here, what it decided is written here.

    begin ── lock the key ── context, before ──(diff, judge: pure, above)── apply ── commit

                    read                                     written
    catalogue       the confirmed catalogue                  the observed one
    change_rows     what is held, and what happened lately   changes; what is held a step further
    conditions      those that are open                      those that open, learn something or close
    announcements   what a destination was told before       what it is to be told
    balances        what the account spent                   what it has left
    runs                                                     the poll itself

Here is the key's own row. Statements only; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import Connection, Row, Update, bindparam, select, update

from syncd.core.catalog import Catalog
from syncd.core.changes import Before
from syncd.core.judge import Context, News
from syncd.core.judge.toggles import WINDOW
from syncd.core.routing import KeyFacts
from syncd.errors import StoreError
from syncd.store import announcements, balances, catalogue, change_rows, conditions, runs
from syncd.store.announcements import Told
from syncd.store.balances import Sight
from syncd.store.runs import Attempt
from syncd.store.tables import api_keys

# Two observations of a key are at least so far apart, whatever the clock does: intervals have an extent.
TICK: Final = timedelta(microseconds=1)

# An answer is overtaken by a request that began after its own and was applied already. One that is said to have begun
# so long after the answer ended overtook nothing: the clock was set back meanwhile.
SET_BACK: Final = timedelta(minutes=5)


# What every poll runs is built once: putting a statement together costs more than running it.
_LOCK_KEY: Final = select(api_keys).where(api_keys.c.name == bindparam("name")).with_for_update()


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(api_keys).where(api_keys.c.id == bindparam("key")).values(values)


class KeyTransaction:
    """A write transaction that holds the row of one key."""

    def __init__(self, connection: Connection, key: KeyFacts) -> None:
        self._connection = connection
        self._facts = key
        row = connection.execute(_LOCK_KEY, {"name": key.name}).one_or_none()
        if row is None:
            raise StoreError(f"key {key.name!r} is not in the database", "start syncd once with this configuration")
        self._key: Row[Any] = row

    # --- what judging needs ---

    def context(self, started: datetime, ended: datetime, sight: Sight | None) -> Context:
        """The stored facts that `judge` asks for. `started` and `ended` are of the poll's request.

        `sight` is what the answer showed of the balance, None if it failed. Either may open a condition that keys
        share, so it waits for those of other keys to be committed.
        """
        applied = self._key.applied_started_at
        stale = applied is not None and started <= applied < ended + SET_BACK
        if sight is None:
            conditions.lock_address(self._connection, self._facts.base_url)
        wallet = None if sight is None or stale else balances.look_if_new(self._connection, self._key, sight)
        return Context(
            key=self._facts,
            state=self._key.state,
            failures=self._key.failures,
            has_baseline=self._key.snapshot_id is not None,
            digest=catalogue.digest(self._connection, self._key.snapshot_id),
            stale=stale,
            held=change_rows.held(self._connection, self._key.id),
            open=conditions.open_for(self._connection, self._key.id, self._facts),
            rotated=self._rotated(),
            told_band=partial(announcements.told_band, self._connection, self._key.id),
            past=partial(change_rows.past, self._connection, self._key.id, ended - WINDOW),
            told_of=partial(announcements.told_of, self._connection),
            removal_told=partial(announcements.removal_told, self._connection, self._key.id),
            wallet=wallet,
        )

    def _rotated(self) -> bool:
        """Whether no answer to the key's new secret has been applied yet."""
        rotated, observed = self._key.rotated_at, self._key.observed_at
        return rotated is not None and observed is not None and rotated > observed

    def before(self, after: Catalog) -> Before:
        """The confirmed catalogue, as far as a comparison with `after` needs it."""
        return catalogue.before(self._connection, self._key.id, self._key.snapshot_id, after)

    # --- what judging decided ---

    def apply(self, news: News, attempt: Attempt) -> None:
        """Write everything the poll led to."""
        observed = self._observed(attempt.ended)
        snapshot = self._snapshot(news, observed)
        announcements.write(self._connection, list(self._told(news, snapshot, observed, attempt.ended)))
        last, outcome = self._key.last_poll_id, news.outcome
        run = runs.record(self._connection, self._key.id, last, attempt, outcome=outcome, snapshot=snapshot)
        values: dict[str, Any] = {"snapshot_id": snapshot, "failures": news.failures, "last_poll_id": run}
        if news.outcome in ("changed", "unchanged"):
            values |= {"applied_started_at": attempt.started, "observed_at": observed}
            if attempt.facts.balance is not None:
                values["credits_balance"] = attempt.facts.balance
        if news.state != self._key.state:
            values |= {"state": news.state, "state_since": attempt.ended}
        if news.outcome == "malformed" and attempt.rejected_body is not None:
            values["rejected_body"] = attempt.rejected_body.decode("utf-8", "replace").replace("\0", "\ufffd")
        self._update_key(values)

    def _observed(self, ended: datetime) -> datetime:
        """When the answer counts as observed: later than the one before, whatever the clock does."""
        last = self._key.observed_at
        return ended if last is None else max(ended, last + TICK)

    def _snapshot(self, news: News, observed: datetime) -> int | None:
        """The snapshot of the key's state from now on."""
        if news.outcome == "changed" and news.listing is not None:
            return catalogue.store(self._connection, self._key.id, news.listing.catalog, observed)
        known: int | None = self._key.snapshot_id
        return known

    def _told(self, news: News, snapshot: int | None, observed: datetime, now: datetime) -> Iterable[Told]:
        """Write what is told of, and say to whom."""
        yield from change_rows.write(self._connection, self._key.id, news.changes, snapshot, observed)
        yield from change_rows.step(self._connection, news.holds, observed)
        for opening in news.openings:
            yield from conditions.write_opening(self._connection, self._key.id, opening, now)
        for edit in news.edits:
            yield from conditions.write_edit(self._connection, edit, now)

    def _update_key(self, values: dict[str, Any]) -> None:
        changed = {name: value for name, value in values.items() if getattr(self._key, name) != value}
        if changed:
            given = {f"new_{name}": value for name, value in changed.items()}
            self._connection.execute(_update_of(tuple(changed)), {"key": self._key.id, **given})
