"""The composition root: every part is made here, once, from a configuration.

The transport and the clock are the only doors to the outside world, so a test that gives its own holds all of it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

import structlog

from syncd.config import Config, Key
from syncd.core.judge import Judgement
from syncd.core.routing import KeyFacts
from syncd.core.secret import Secret
from syncd.core.wire import Answer, NoAnswer, Request
from syncd.fetch import Fetcher
from syncd.outbox import Outbox
from syncd.poll import Fetch, Poller, Target
from syncd.service import Service
from syncd.sinks import Sink
from syncd.sinks.console import ConsoleSink
from syncd.store import Store

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger()

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class App:
    """Everything that works together, made and not yet started."""

    config: Config
    store: Store
    poller: Poller
    outbox: Outbox
    targets: tuple[Target, ...]
    clock: Clock

    def register(self) -> None:
        """Write the configuration's keys into the database."""
        formerly = {key.name: key.formerly for key in self.config.keys if key.formerly}
        self.store.register([target.facts for target in self.targets], self.clock(), formerly)

    def service(self, still_ours: Callable[[], None] = lambda: None) -> Service:
        """The daemon over these parts; `still_ours` is the lock's `Confirm`."""
        return Service(
            poller=self.poller,
            outbox=self.outbox,
            targets=self.targets,
            intervals={key.name: key.interval for key in self.config.keys},
            workers=self.config.schedule.max_concurrent,
            clock=self.clock,
            still_ours=still_ours,
        )


@contextmanager
def build(
    config: Config,
    *,
    transport: httpx.BaseTransport | None = None,
    clock: Clock = utc_now,
    stdout: TextIO | None = None,
    rehearsal: bool = False,
) -> Iterator[App]:
    """Put the parts together; leaving the block closes them. The database must be at this program's schema.

    In a `rehearsal` every alert goes to the console, wherever it is meant for.
    """
    store = Store(config.database.url)
    fetcher = Fetcher(
        timeout=config.vendor.timeout,
        max_response=config.vendor.max_response,
        connections=config.schedule.max_concurrent,
        clock=clock,
        transport=transport,
    )
    try:
        store.open()
        console = ConsoleSink(stdout or sys.stdout)
        sinks = dict.fromkeys(SCHEMES, console) if rehearsal else _sinks(config, clock, console)
        yield _assemble(config, store, fetcher, clock, sinks)
    finally:
        fetcher.close()
        store.close()


def _assemble(config: Config, store: Store, fetcher: Fetcher, clock: Clock, sinks: Mapping[str, Sink]) -> App:
    rules = config.rules
    targets = tuple(Target(facts_of(key), key.secret) for key in config.keys)
    outbox = Outbox(
        store=store,
        sinks=sinks,
        routes=config.routes,
        keys={target.facts.name: target.facts for target in targets},
        clock=clock,
        new_id=lambda: delivery_id(clock()),
        record_only=tuple(rules.record_only),
        on_fault=_log_fault,
        remind=config.detection.remind,
    )
    poller = Poller(discreet(fetcher.get), store, rules.policy, judgement_of(config), config.requests)
    return App(config, store, poller, outbox, targets, clock)


def judgement_of(config: Config) -> Judgement:
    """How polls are judged, and what a person decides by hand."""
    detection = config.detection
    return Judgement(
        routes=config.routes,
        record_only=tuple(config.rules.record_only),
        confirm_polls=detection.confirm_polls,
        confirm_after=detection.confirm_after,
        drop_share=detection.drop_share,
        drop_count=detection.drop_count,
        credits=config.credits,
    )


def facts_of(key: Key) -> KeyFacts:
    """What is public of a configured key."""
    return KeyFacts(key.name, key.account, key.base_url, key.labels, key.secret.fingerprint)


def _log_fault(destination: str, error: Exception) -> None:
    hint = "a bug: please report it; what waits there is tried again"
    log.error("outbox.failed", to=destination, hint=hint, exc_info=error)


# A shorter secret could be a word of the catalogue; no vendor gives out such keys.
_NO_WORD: Final = 12


def discreet(fetch: Fetch) -> Fetch:
    """Answers without the secret: a vendor that quotes the key it refuses must not bring it into history and alerts."""

    def get(request: Request) -> Answer | NoAnswer:
        answer = fetch(request)
        if isinstance(answer, NoAnswer):
            return answer
        for value in request.headers.values():
            if isinstance(value, Secret) and len(secret := value.reveal().removeprefix("Bearer ")) >= _NO_WORD:
                answer = _without(secret, answer)
        return answer

    return get


def _without(secret: str, answer: Answer) -> Answer:
    hidden = "(the key)"
    headers = {name: value.replace(secret, hidden) for name, value in answer.headers.items()}
    return replace(answer, headers=headers, body=answer.body.replace(secret.encode(), hidden.encode()))


SCHEMES: Final = ("console", "slack", "webhook")


def _sinks(config: Config, clock: Clock, console: Sink) -> Mapping[str, Sink]:
    """Who sends where, by the scheme of the destination. Slack's library is loaded only where a route needs it."""
    sinks = {"console": console}
    if config.slack.token is not None:
        from syncd.sinks.slack import SlackSink  # noqa: PLC0415

        sinks["slack"] = SlackSink(config.slack.token, config.slack.api_url, clock)
    if config.slack.webhooks:
        from syncd.sinks.webhook import WebhookSink  # noqa: PLC0415

        sinks["webhook"] = WebhookSink(config.slack.webhooks, clock)
    return sinks


# Crockford's alphabet: no letter that looks like a digit, so an id can be read out aloud.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def delivery_id(now: datetime) -> str:
    """A short id whose order is the order of time: nine letters of milliseconds and six of chance."""
    stamp, letters = int(now.timestamp() * 1000), []
    for _ in range(9):
        stamp, rest = divmod(stamp, 32)
        letters.append(_ALPHABET[rest])
    return "dlv_" + "".join(reversed(letters)) + "".join(secrets.choice(_ALPHABET) for _ in range(6))
