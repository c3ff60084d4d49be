"""Plays a history and tells what came of it.

    step ── poll ──> poller (real) ── judge, store ──> database (real)
     │                                                    │
     └── time passes, an hour at most at a time ──> outbox (real) ──> a sink that writes down what it is given

`Parts` are the parts of the program put together here. `program.Program` is what `syncd.app` makes of a configuration.
What either of them told is read from the database by one query.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final, TypeAlias, assert_never

from syncd.core.delivery import Attempted, CannotEverLook, Delivered, Looked, Unusable
from syncd.core.message import as_text
from syncd.core.requests import SavedRequest
from syncd.core.routing import KeyFacts, Route
from syncd.core.rules import BASELINE
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from tests.conftest import Clock
from tests.simulator.history import History, Polled, Restarted, Rotated, Said, Step, Waited
from tests.watching import BASE_URL, Watch

EVERYTHING: Final = Route("everything", "slack:#all")
BREAKING: Final = Route("breaking", "slack:#oncall", min_severity="breaking")
PRICES: Final = Route("prices", "slack:#finance", kinds=("credits.band.*",), min_percent=5)  # type: ignore[arg-type]
BETA: Final = Route("beta", "slack:#beta", keys=("beta",))
ROUTES: Final = (EVERYTHING, BREAKING, PRICES, BETA)


ACCOUNT: Final = "acme"

# A process that starts takes its time.
START_TAKES: Final = timedelta(seconds=1)
_MOMENT: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator set, as far as histories differ in it. `judgement` goes to `Judgement` as it is.

    Every `look` at least the outbox is asked what is due: it reminds of what lasts.
    """

    routes: tuple[Route, ...] = ROUTES
    requests: tuple[SavedRequest, ...] = ()
    judgement: Mapping[str, Any] = field(default_factory=dict)
    look: timedelta = timedelta(hours=1)


# What it is, and of what: ("model.removed", "m0").
Item: TypeAlias = tuple[str, str]


def summed(items: Iterable[Item]) -> str:
    """``model.removed m0 m1; model.returned (7)``: in the order in which they came up."""
    of: dict[str, list[str]] = {}
    for what, whom in items:
        of.setdefault(what, []).append(whom)
    return "; ".join(f"{what} {_few(whom)}".rstrip() for what, whom in of.items())


def _few(names: list[str]) -> str:
    return " ".join(names) if len(names) <= _MOST_NAMES else f"({len(names)})"


_MOST_NAMES: Final = 4


@dataclass(frozen=True, slots=True)
class Message:
    """What a destination was given. `answers` is the number of the message that it stands under."""

    at: datetime
    to: str
    answers: int | None
    items: tuple[Item, ...]

    def __str__(self) -> str:
        said = summed(self.items)
        return said if self.answers is None else f"↳{self.answers} {said}"


@dataclass(frozen=True, slots=True)
class Counts:
    """A line of the table."""

    observed: int
    announced: int
    retracted: int
    held: int
    recorded: int
    opened: int
    closed: int
    messages: Mapping[str, int]


class World(ABC):
    """Where a history is played."""

    outbox: Outbox

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self.clock = clock
        self.settings = settings
        # Of each key, how many secrets it has had before the one of now.
        self.rotations: dict[str, int] = {}

    @abstractmethod
    def start(self) -> None:
        """A process that has just started, with the keys of `rotations`."""

    @abstractmethod
    def stop(self) -> None:
        """The process ends."""

    @abstractmethod
    def poll(self, key: str, said: Said) -> None:
        """The key is asked, and answered so."""

    @abstractmethod
    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds, in the form of `tests.watching.plain`."""

    def play(self, history: Iterable[Step]) -> None:
        """Step by step, to the end."""
        for step in history:
            match step:
                case Polled(after, said, key):
                    self.pass_time(after)
                    self.poll(key, said)
                    self.deliver()
                case Waited(after):
                    self.pass_time(after)
                case Rotated(key):
                    self.rotations[key] = self.rotations.get(key, 0) + 1
                    self._restart()
                case Restarted():
                    self._restart()
                case _:
                    assert_never(step)

    def pass_time(self, span: timedelta) -> None:
        """Wait, looking at the outbox when something is due, and now and then."""
        until = self.clock.now + span
        while self.clock.now < until:
            due = self.outbox.next_due() or until
            look = self.clock.now + self.settings.look
            self.clock.now = min(until, look, max(due, self.clock.now + _MOMENT))
            if self.clock.now < until:
                self.deliver()

    def deliver(self) -> None:
        """Everything that is due."""
        while self.outbox.step():
            pass

    def _restart(self) -> None:
        self.stop()
        self.clock.now += START_TAKES
        self.start()


@dataclass
class Notebook:
    """A sink that takes everything and writes it down."""

    taken: list[tuple[str, str]] = field(default_factory=list)
    edits: int = 0
    distance: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        if parcel.edits is not None:
            self.edits += 1
        else:
            self.taken.append((parcel.channel, as_text(parcel.message)))
        return Delivered(f"ts-{parcel.id}")

    def look(self, parcel: Parcel) -> Looked:
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        return None


class Parts(World):
    """The poller, the judge, the store and the outbox, put together; nothing asks the network."""

    def __init__(self, url: str, clock: Clock, settings: Settings) -> None:
        super().__init__(clock, settings)
        self.url = url
        self.notebook = Notebook()
        self.numbers = count(1)
        self.start()

    def start(self) -> None:
        its = self.settings
        self.watch = Watch(self.url, self.clock, routes=its.routes, requests=its.requests, **its.judgement)
        self._configure(self.rotations)
        self.outbox = Outbox(
            store=self.watch.store,
            sinks={"slack": self.notebook},
            routes=its.routes,
            keys=self.watch.keys,
            clock=self.clock,
            new_id=lambda: f"dlv_{next(self.numbers):06}",
            chance=random.Random(1),  # noqa: S311  it spreads retries
        )
        self.outbox.recover()

    def stop(self) -> None:
        self.watch.close()

    def _configure(self, names: Iterable[str]) -> None:
        """The configuration has these keys as well."""
        for name in names:
            fingerprint = f"{self.rotations[name]:08x}"
            self.watch.keys[name] = KeyFacts(name, ACCOUNT, BASE_URL, {}, fingerprint)
        self.watch.store.register(self.watch.keys.values(), self.clock())

    def poll(self, key: str, said: Said) -> None:
        if key not in self.watch.keys:
            self.rotations.setdefault(key, 0)
            self._configure([key])
        if said.status is None:
            self.watch.no_answer(key)
        else:
            self.watch.answer(key, said.body, status=said.status)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.watch.rows(query)


# --- what came of it -----------------------------------------------------------------------------------------------

# A reminder takes the place of the one before it among the announcements, so of earlier ones only the message is left.
_TOLD: Final = f"""
SELECT d.sent_at, t.spec, d.id, d.parent_id, COALESCE(a.edge, CASE WHEN o.id IS NOT NULL THEN 'reminder' END),
       c.kind, c.slug, k.name, c.path, s.kind, s.subject, n.kind
FROM deliveries d
JOIN destinations t ON t.id = d.destination_id
LEFT JOIN announcements a ON a.delivery_id = d.id
LEFT JOIN announcements o ON a.id IS NULL AND o.delivery_id = d.parent_id AND o.edge = 'opened'
LEFT JOIN changes c ON c.id = a.change_id
LEFT JOIN api_keys k ON k.id = c.key_id
LEFT JOIN conditions s ON s.id = COALESCE(a.condition_id, o.condition_id)
LEFT JOIN notices n ON n.id = a.notice_id
WHERE d.state = 'sent' AND d.op = 'post' AND COALESCE(a.id, o.id) IS NOT NULL
  AND COALESCE(c.kind, '') <> '{BASELINE.id}'
ORDER BY d.sent_at, d.id, a.id
"""


def messages(world: World) -> dict[str, list[Message]]:
    """What each destination was told, message by message, but for the first: that a key is watched."""
    found: dict[str, dict[str, tuple[datetime, str | None, list[Item]]]] = {}
    for at, spec, delivery, parent, *what in world.rows(_TOLD):
        items = found.setdefault(spec, {}).setdefault(delivery, (at, parent, []))[2]
        items.append(_item(what))
    return {spec: list(_numbered(spec, sent)) for spec, sent in found.items()}


def _numbered(spec: str, sent: Mapping[str, tuple[datetime, str | None, list[Item]]]) -> Iterable[Message]:
    numbers = {delivery: number for number, delivery in enumerate(sent, 1)}
    for at, parent, items in sent.values():
        # 0 is a message that is not counted.
        yield Message(at, spec, None if parent is None else numbers.get(parent, 0), tuple(items))


def _item(row: Iterable[str | None]) -> Item:
    edge, kind, slug, key, path, condition, subject, notice = row
    if kind is not None:
        return " ".join(filter(None, [_of(key, kind), edge])), slug or path or ""
    if condition is not None:
        whose = str(subject).partition(":")[2]
        known = whose in ("prod", ACCOUNT) or whose.startswith("http")
        return f"{condition} {edge}", "" if known else whose
    return str(notice), ""


def _of(key: str | None, kind: str) -> str:
    return kind if key == "prod" else f"{key}: {kind}"


def told(world: World) -> dict[str, list[str]]:
    """The same as text, for people and for comparing."""
    return {spec: [str(message) for message in sent] for spec, sent in messages(world).items()}


def recorded(world: World, state: str) -> str:
    """The changes that are in this state."""
    query = """
        SELECT k.name, c.kind, COALESCE(c.slug, c.path), c.state FROM changes c
        JOIN api_keys k ON k.id = c.key_id WHERE c.state <> 'baseline' ORDER BY c.id
    """
    return summed((_of(key, kind), what) for key, kind, what, its in world.rows(query) if its == state)


def counts(world: World) -> Counts:
    """The line of the table."""
    states = dict(world.rows("SELECT state, COUNT(*) FROM changes WHERE state <> 'baseline' GROUP BY state"))
    ((opened, closed),) = world.rows("SELECT COUNT(*), COUNT(closed_at) FROM conditions")
    return Counts(
        observed=sum(states.values()),
        announced=states.get("announced", 0),
        retracted=states.get("retracted", 0),
        held=states.get("held", 0),
        recorded=states.get("recorded", 0),
        opened=opened,
        closed=closed,
        messages={spec: len(sent) for spec, sent in messages(world).items()},
    )


def simulate(url: str, history: History, settings: Settings) -> Parts:
    """The world after the history. Whoever asks for it stops it."""
    parts = Parts(url, Clock(), settings)
    try:
        parts.play(history)
    except BaseException:
        parts.stop()
        raise
    return parts
