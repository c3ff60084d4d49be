"""A history written by hand: answers made up by a test, recorded by the real `Poller` in a real database.

watch = Watch(migrated_url, clock, routes=[Route("all", "console")])
watch.answer("prod", listing(model("a", price=(10, 20))))
assert watch.rows("SELECT slug FROM current_models") == [("a",)]
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from syncd.core.changes import Policy
from syncd.core.judge import Judgement
from syncd.core.requests import SavedRequest
from syncd.core.routing import KeyFacts, Route
from syncd.core.wire import Answer, NoAnswer
from syncd.poll import Polled, Poller
from syncd.store import Store
from tests.conftest import Clock

BASE_URL = "https://vendor.example"
REQUEST_TAKES = timedelta(milliseconds=250)

# For what is about something else than holds: a removal is certain with the first complete listing without the model,
# unless the listing is suspicious.
AT_ONCE: Mapping[str, Any] = {"confirm_polls": 1, "confirm_after": timedelta(0)}


def model(slug: str, *, price: tuple[float, float] | None = (10, 20), **more: object) -> dict[str, Any]:
    """A model as the vendor lists one."""
    band = None if price is None else {"min": price[0], "max": price[1]}
    params = {"prompt": {"type": "string", "required": True, "max_length": 2000}}
    usual = {"slug": slug, "name": slug.title(), "category": "image", "creator": "Nobody", "description": "d"}
    return {**usual, "params": params, "credits_band": band, "example_request": {"model": slug}, **more}


def listing(*models: object, balance: object = 1000, **top: object) -> bytes:
    """The body of a good answer."""
    limits = {"calls_per_minute": 240, "concurrent_jobs": 5}
    content = {"tier": "pro", "credits_balance": balance, "rate_limit": limits, "models": list(models), **top}
    return json.dumps(content, separators=(",", ":")).encode()


def listing_text(*models: str, top: str = "") -> bytes:
    """The same of models' own texts, for what `json.dumps` would not write."""
    return ('{"tier":"pro","credits_balance":1000' + top + ',"models":[' + ",".join(models) + "]}").encode()


def refusal(code: str, **more: object) -> bytes:
    """The body of a refusal."""
    return json.dumps({"error": code, "message": f"no: {code}", "next": "do something", **more}).encode()


class Watch:
    """Keys that are polled by hand. `clock` moves on by `REQUEST_TAKES` with every request, and by nothing else."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        routes: Iterable[Route] = (),
        requests: Iterable[SavedRequest] = (),
        **judgement: Any,
    ) -> None:
        self.url = url
        self.clock = clock
        self.store = Store(url)
        judging = Judgement(routes=tuple(routes), **judgement)
        self.poller = Poller(self._no_network, self.store, Policy(), judging, tuple(requests))
        self.keys: dict[str, KeyFacts] = {}

    @staticmethod
    def _no_network(_: object) -> Answer:
        raise AssertionError("nothing here asks the network")

    def add(self, name: str, *, labels: Mapping[str, str] | None = None, base_url: str = BASE_URL) -> KeyFacts:
        """A key of the configuration, written into the database."""
        self.keys[name] = KeyFacts(name, "acme", base_url, labels or {}, "0123abcd")
        self.store.register(self.keys.values(), self.clock())
        return self.keys[name]

    def retire(self, name: str) -> None:
        """The configuration names the key no longer."""
        del self.keys[name]
        self.store.register(self.keys.values(), self.clock())

    def request(self, body: bytes = b"", *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer that takes its time and is not recorded yet."""
        started = self.clock()
        self.clock.now += REQUEST_TAKES
        return Answer(status, headers or {}, body, started, self.clock(), REQUEST_TAKES.total_seconds())

    def record(self, key: str, answer: Answer | NoAnswer) -> Polled:
        """Everything after the network."""
        if key not in self.keys:
            self.add(key)
        return self.poller.record(self.keys[key], answer)

    def answer(self, key: str, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Polled:
        """The key's next poll is answered so."""
        return self.record(key, self.request(body, status=status, headers=headers))

    def no_answer(self, key: str, message: str = "no answer within 20 s") -> Polled:
        """The key's next poll is not answered."""
        asked = self.request()
        return self.record(key, NoAnswer("timeout", message, asked.started, asked.ended, asked.duration))

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        """What a query on a connection of its own finds, in a form that both databases share."""
        with self.store.read() as connection:
            return [tuple(map(plain, row)) for row in connection.execute(sa.text(query), self._bound(parameters))]

    def row(self, query: str, **parameters: object) -> tuple[Any, ...]:
        """The only row it finds."""
        (only,) = self.rows(query, **parameters)
        return only

    def one(self, query: str, **parameters: object) -> Any:
        """The only value of the only row it finds."""
        (only,) = self.row(query, **parameters)
        return only

    def write(self, statement: str, **parameters: object) -> None:
        """Behind the program's back."""
        engine = sa.create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(sa.text(statement), self._bound(parameters))
        engine.dispose()

    def _bound(self, parameters: Mapping[str, object]) -> dict[str, object]:
        return {name: self._moment(value) for name, value in parameters.items()}

    def _moment(self, value: object) -> object:
        return value.strftime(FORM) if isinstance(value, datetime) and self.url.startswith("sqlite") else value

    def close(self) -> None:
        self.store.close()


@contextmanager
def watching(url: str, clock: Clock, **settings: Any) -> Iterator[Watch]:
    """A `Watch` that is closed at the end."""
    watch = Watch(url, clock, **settings)
    try:
        yield watch
    finally:
        watch.close()


FORM = "%Y-%m-%d %H:%M:%S.%f"


def plain(value: object) -> object:
    """Times as text in UTC, numbers as numbers, JSON (text here) decoded."""
    match value:
        case datetime():
            return value.astimezone(UTC).strftime(FORM)
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case str() if value[:1] in ("{", "["):
            return json.loads(value)
    return value


def at(moment: datetime) -> str:
    """The moment as `plain` shows it."""
    return moment.strftime(FORM)


def with_price(one: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    """The same model at another price."""
    return {**copy.deepcopy(one), "credits_band": {"min": low, "max": high}}
