"""What syncd says of itself, written down once for the outbox to deliver. Calls in the right order, decides nothing."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from syncd.core.audience import Configured
from syncd.core.silence import ENDED, ended
from syncd.core.summary import SUMMARY, Period, periods, summed_up
from syncd.store.notices import Notice
from syncd.store.outbox import OutboxTransaction


def say(tx: OutboxTransaction, audience: Configured, now: datetime) -> None:
    """Write down what there is to say: the end of a silence, a summary for which it is time."""
    for silence, destination in tx.silences.ended(now):
        if tx.said(ENDED, subject := f"{silence.id}|{destination.spec}"):
            continue
        visible = partial(audience.sees, destination.spec)
        detail = ended(silence, tx.silences.muted(silence, destination, audience), visible)
        tx.say(Notice(ENDED, subject, destination.spec, detail), now)
    tx.silences.close(now)
    for period in periods(audience.routes, now):
        _sum_up(tx, audience, period, now)


def _sum_up(tx: OutboxTransaction, audience: Configured, period: Period, now: datetime) -> None:
    """Unless it was told, or nothing that may be told there was watched by then."""
    if tx.said(SUMMARY, period.subject):
        return
    keys = [key for key in audience.keys if audience.sees(period.destination, key)]
    watched = tx.summaries.watched_since(keys)
    if any(since < period.slot for since in watched.values()):
        detail = summed_up(period, keys, tx.summaries.counts(watched, period.since))
        tx.say(Notice(SUMMARY, period.subject, period.destination, detail), now)
