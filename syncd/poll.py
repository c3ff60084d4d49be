"""One poll of one key, from the request to the committed verdict. Calls in the right order and decides nothing.

poll(key)
  | answer  = fetch(provider.request(key))     one request over the network, outside any transaction
  | reading = provider.read(answer, known)     pure
  | with store.begin(key) as tx:               every outcome passes through this one transaction
  |     context = tx.context()
  |     changes = diff(tx.before(), after)     pure; only for a listing
  |     changes = touched(changes, requests)   pure; each with the saved requests it breaks
  |     news    = judge(reading, changes, …)   pure
  |     tx.apply(news)
  -> Polled(outcome, …)                        logged once, by the caller
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from syncd.core import reading as readings
from syncd.core.affected import touched
from syncd.core.catalog import Memo
from syncd.core.changes import Change, Policy, diff
from syncd.core.judge import Context, Judgement, KeyState, News, judge
from syncd.core.reading import Facts, Listing, Malformed, Outcome, Reading, Refused, Retry, Same
from syncd.core.requests import SavedRequest
from syncd.core.routing import KeyFacts
from syncd.core.secret import Secret
from syncd.core.wire import Answer, NoAnswer, Request
from syncd.providers import vivix
from syncd.providers.vivix import Known
from syncd.store import Store
from syncd.store.balances import Sight
from syncd.store.poll import KeyTransaction
from syncd.store.runs import Attempt

Fetch = Callable[[Request], Answer | NoAnswer]


@dataclass(frozen=True, slots=True)
class Target:
    """A key to poll: what is public of it, and its secret."""

    facts: KeyFacts
    secret: Secret


@dataclass(frozen=True, slots=True)
class Polled:
    """What became of a poll, for a log line, a metric and the schedule. `duration` is of the request, in seconds.

    `state` is the key's from now on, `failures` its failed polls in a row.
    """

    key: str
    outcome: Outcome
    duration: float
    facts: Facts
    ended: datetime
    state: KeyState
    failures: int = 0
    explanation: str = ""
    changes: int = 0
    models: int | None = None
    announced: bool = False
    retry: Retry | None = None
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the vendor listed a catalogue."""
        return self.outcome in ("changed", "unchanged")


@dataclass
class Poller:
    """Polls keys, on any number of threads, one poll of a key at a time.

    Between polls it remembers of each key two hashes, and of all keys together the digests of the model texts seen.
    """

    fetch: Fetch
    store: Store
    policy: Policy
    judgement: Judgement
    requests: tuple[SavedRequest, ...] = ()
    known: dict[str, Known] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)

    def poll(self, target: Target) -> Polled:
        """Ask once, store what came of it, and say what it was. Raises `StoreError` if it could not be stored."""
        return self.record(target.facts, self.ask(target))

    def ask(self, target: Target) -> Answer | NoAnswer:
        """Only the network."""
        return self.fetch(vivix.request(target.facts.base_url, target.secret))

    def record(self, key: KeyFacts, answer: Answer | NoAnswer) -> Polled:
        """Everything after the network."""
        reading = vivix.read(answer, self.known.get(key.name), self.memo)
        with self.store.begin(key) as tx:
            context = tx.context(answer.started, answer.ended, self._sight(reading, answer.ended))
            if isinstance(reading, Same) and reading.digest != context.digest:
                # Somebody else has stored another state meanwhile, so "the same as last time" means nothing.
                reading = vivix.read(answer, None, self.memo)
            changes = self._changes(tx, reading, context)
            news = judge(reading, changes, context, self.judgement, answer.ended)
            tx.apply(news, _attempt(answer, reading))
        if isinstance(reading, Listing) and news.outcome in ("changed", "unchanged"):
            self.known[key.name] = Known(reading.fingerprint, reading.catalog.digest)
        return _polled(key, answer, reading, news)

    def _sight(self, reading: Reading, at: datetime) -> Sight | None:
        """What a good answer showed of the balance."""
        if not isinstance(reading, Listing | Same):
            return None
        catalog = reading.catalog if isinstance(reading, Listing) else None
        return Sight(reading.facts.balance, at, self.requests, catalog)

    def _changes(self, tx: KeyTransaction, reading: Reading, context: Context) -> list[Change]:
        if not isinstance(reading, Listing) or not context.has_baseline or context.stale:
            return []
        if reading.catalog.digest == context.digest and not any(held.is_removal for held in context.held):
            return []
        before, after = tx.before(reading.catalog), reading.catalog
        found = diff(before, after, self.policy)
        theirs = [request for request in self.requests if request.is_for(context.key.name)]
        return touched(found, before, after, theirs, self.policy)


def _attempt(answer: Answer | NoAnswer, reading: Reading) -> Attempt:
    retry = reading.retry if isinstance(reading, Refused) else None
    body = reading.body if isinstance(reading, Malformed) else None
    return Attempt(answer.started, answer.ended, answer.duration, readings.facts_of(reading), retry, body)


def _polled(key: KeyFacts, answer: Answer | NoAnswer, reading: Reading, news: News) -> Polled:
    return Polled(
        key=key.name,
        outcome=news.outcome,
        duration=answer.duration,
        facts=readings.facts_of(reading),
        ended=answer.ended,
        state=news.state,
        failures=news.failures,
        explanation="" if isinstance(reading, Listing | Same) else readings.explain(reading),
        changes=sum(change.state != "baseline" for change in news.changes),
        models=len(reading.catalog.models) if isinstance(reading, Listing) else None,
        announced=news.announced,
        retry=reading.retry if isinstance(reading, Refused) else None,
        notes=tuple(f"{note.place}: {note.what}" for note in reading.catalog.notes)
        if isinstance(reading, Listing)
        else (),
    )
