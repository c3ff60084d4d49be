"""Where a process can die between a poll and the settled alert, and what Slack holds once another one has gone on.

    python -m tests.crash_points      prints the table, on a file of SQLite

A child process works on a real database and talks to a `FakeSlack` over HTTP until it is killed with signal 9 at one
point; another outbox then goes on with what it finds. Its clock jumps to whatever is due next, so that waiting costs
nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from syncd.core.routing import Route
from syncd.core.secret import Secret
from syncd.demo.vendor import made_up_models
from syncd.outbox import Outbox
from syncd.sinks.slack import SlackSink
from syncd.store import Store, schema
from syncd.store.outbox import OutboxTransaction
from tests.conftest import Clock, sqlite_url
from tests.fake_slack import FakeSlack, Fault, Json, Seen, silence
from tests.watching import Watch, listing, model, refusal, with_price

CHANNEL = "C0ALERTS"
ROUTE = Route("everything", "slack:#alerts")
A = model("a")


@dataclass(frozen=True)
class Point:
    """A place to die: the `nth` time that something is done, before or after it has its effect.

    `what` is a call to Slack, or what a transaction of the outbox is for; ``poll`` is the poll itself.
    """

    what: str
    when: str = "after"
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.what}" + (f" no. {self.nth}" if self.nth > 1 else "")


@dataclass
class Killer:
    """Kills a process when its point is reached."""

    point: Point | None
    pid: int = 0
    met: dict[str, int] = field(default_factory=dict)
    done: bool = False

    def reached(self, what: str, when: str) -> bool:
        """Count what is about to be done, or has been, and kill if it is the point."""
        if self.point is None or what != self.point.what:
            return False
        if when == "before":
            self.met[what] = self.met.get(what, 0) + 1
        if self.met.get(what, 0) != self.point.nth or when != self.point.when:
            return False
        self.done = True
        os.kill(self.pid or os.getpid(), signal.SIGKILL)
        return True


class KillingSlack(FakeSlack):
    """Slack, while the process that talks to it dies. Whoever is killed gets no answer."""

    killer = Killer(None)

    def take(self, seen: Seen) -> tuple[Fault | None, Json]:
        if self.killer.reached(seen.method, "before"):
            return silence(), {}
        fault, answer = super().take(seen)
        return (silence(), {}) if self.killer.reached(seen.method, "after") else (fault, answer)


class DyingStore:
    """A store whose process dies at a transaction of the outbox."""

    def __init__(self, store: Store, killer: Killer) -> None:
        self._store = store
        self._killer = killer

    @contextmanager
    def outbox(self) -> Iterator[OutboxTransaction]:
        with self._store.outbox() as tx:
            watched = _Watched(tx)
            yield watched  # type: ignore[misc]
            for name in watched.used:
                self._killer.reached(name, "before")
        for name in watched.used:
            self._killer.reached(name, "after")


class _Watched:
    """A transaction that remembers what it was used for."""

    def __init__(self, tx: OutboxTransaction) -> None:
        self._tx = tx
        self.used: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.used.append(name)
        return getattr(self._tx, name)


# --- scenes --------------------------------------------------------------------------------------------------------


def one_change(watch: Watch) -> None:
    """A price."""
    watch.answer("prod", listing(with_price(A, 11, 100)))


def many_changes(watch: Watch) -> None:
    """A digest and its thread."""
    watch.answer("prod", listing(A, *made_up_models(60)))


def recovery(watch: Watch) -> None:
    """A reply, and the message that told of the beginning brought up to date."""
    watch.answer("prod", listing(A))


def first_message(watch: Watch) -> None:
    """Nothing was ever sent there, and the channel's id is not known."""
    watch.answer("prod", listing(A))


SCENES = {"first message": first_message, "one change": one_change, "many changes": many_changes, "recovery": recovery}


def outbox_of(watch: Watch, slack_url: str, token: str, store: Any, name: str) -> Outbox:
    numbers = count(1)
    return Outbox(
        store=store,
        sinks={"slack": SlackSink(Secret(token), slack_url, watch.clock, timeout=2)},
        routes=watch.poller.judgement.routes,
        keys=dict(watch.keys),
        clock=watch.clock,
        new_id=lambda: f"dlv_{name}_{next(numbers):03}",
    )


def prepare(url: str, slack: FakeSlack, scene: str) -> None:
    """What was told long before: that watching began, and in one scene that the key is rejected."""
    if scene == "first message":
        return
    watch = Watch(url, Clock(_now()), routes=[ROUTE])
    watch.answer("prod", listing(A))
    go_on(watch, slack, "first")
    if scene == "recovery":
        watch.answer("prod", refusal("KEY_REVOKED"), status=401)
        go_on(watch, slack, "second")
    watch.close()


@dataclass(frozen=True)
class Life:
    """What a process is to do, and where it dies; the `first` one polls."""

    url: str
    slack_url: str
    token: str
    scene: str
    point: Point
    name: str
    first: bool


def live(life: Life) -> None:
    """The process that dies. Ends by itself only if the point was not reached."""
    point = life.point
    killer = Killer(point if "." not in point.what else None)  # the others are Slack's to reach
    watch = Watch(life.url, Clock(_now()), routes=[ROUTE])
    watch.add("prod")
    if life.first:
        SCENES[life.scene](watch)
        killer.reached("poll", "before")
        killer.reached("poll", "after")
    run(outbox_of(watch, life.slack_url, life.token, DyingStore(watch.store, killer), life.name))


def run(outbox: Outbox) -> None:
    """Deliver until nothing waits; the clock jumps to what is due next."""
    outbox.recover()
    for _ in range(1000):
        outbox.step()
        due = outbox.next_due()
        if due is None:
            return
        clock = outbox.clock
        assert isinstance(clock, Clock)
        clock.now = max(clock.now, due) + timedelta(milliseconds=1)
    raise AssertionError("it does not come to an end")


def go_on(watch: Watch, slack: FakeSlack, name: str) -> None:
    """Another process finds what was left, and goes on."""
    watch.add("prod")
    run(outbox_of(watch, slack.url, slack.token, watch.store, name))


_FORKING = multiprocessing.get_context("forkserver")


def crash(url: str, slack: KillingSlack, scene: str, point: Point, nth: int) -> bool:
    """Run a process that dies at the point. Whether it did."""
    life = Life(url, slack.url, slack.token, scene, point, f"dying{nth}", first=nth == 0)
    process = _FORKING.Process(target=live, args=(life,))
    slack.killer = Killer(point if "." in point.what else None)
    process.start()
    slack.killer.pid = process.pid or 0
    process.join(60)
    slack.killer = Killer(None)
    return process.exitcode == -signal.SIGKILL


def _now() -> datetime:
    return datetime.now(UTC)


# --- the table -----------------------------------------------------------------------------------------------------

POINTS: dict[str, tuple[Point, ...]] = {
    "first message": (
        Point("open"),
        Point("conversations.list", "before"),
        Point("conversations.list"),
        Point("locate", "before"),
        Point("locate"),
        Point("chat.postMessage"),
    ),
    "one change": (
        Point("poll"),
        Point("open", "before"),
        Point("open"),
        Point("chat.postMessage", "before"),
        Point("chat.postMessage"),
        Point("settle", "before"),
        Point("settle"),
    ),
    "many changes": (
        Point("settle"),
        Point("again"),
        Point("chat.postMessage", "before", 2),
        Point("chat.postMessage", "after", 2),
        Point("settle", "before", 2),
        Point("settle", "after", 2),
    ),
    "recovery": (
        Point("chat.postMessage"),
        Point("settle"),
        Point("open", "after", 2),
        Point("chat.update", "before"),
        Point("chat.update"),
        Point("settle", "before", 2),
    ),
}

# Where the process that goes on after a lost answer dies too.
SECOND_POINTS = (
    Point("recover", "before"),
    Point("recover"),
    Point("conversations.history"),
    Point("settle_look", "before"),
    Point("settle_look"),
)


@dataclass(frozen=True)
class Outcome:
    """What there was in the end."""

    deliveries: list[tuple[Any, ...]]
    announcements: list[tuple[Any, ...]]
    posted: dict[str, int]


def outcome(watch: Watch, slack: FakeSlack) -> Outcome:
    """The deliveries with their states, the announcements, and how often each delivery stands in Slack."""
    deliveries = watch.rows("SELECT id, op, state FROM deliveries ORDER BY created_at, id")
    announcements = watch.rows(
        "SELECT a.id, a.state, a.edge, d.state FROM announcements a LEFT JOIN deliveries d ON d.id = a.delivery_id "
        "ORDER BY a.id"
    )
    posted: dict[str, int] = {}
    for one in slack.messages(CHANNEL):
        named = one["metadata"]["event_payload"]["delivery_id"]
        posted[named] = posted.get(named, 0) + 1
    return Outcome(deliveries, announcements, posted)


def trial(url: str, scene: str, *points: Point) -> tuple[Outcome, str]:
    """Die at each of the points, one process after the other, then go on. Also the state that the next start found."""
    with KillingSlack(_now) as slack:
        slack.channel(CHANNEL, "alerts")
        prepare(url, slack, scene)
        for number, point in enumerate(points):
            assert crash(url, slack, scene, point, number), f"not reached: {point}"
        watch = Watch(url, Clock(_now()), routes=[ROUTE])
        found = watch.rows("SELECT state FROM deliveries WHERE state <> 'sent'")
        queued = watch.rows("SELECT 1 FROM announcements WHERE state = 'queued' AND delivery_id IS NULL")
        state = str(found[0][0]) if found else "queued" if queued else "sent"
        go_on(watch, slack, "after")
        result = outcome(watch, slack)
        watch.close()
    return result, state


def main() -> None:
    """Print the table."""
    row = "{:<14} {:<44} {:<10} {:<22} {}"
    sys.stdout.write(row.format("scene", "the process dies", "it left", "messages a delivery", "afterwards") + "\n")
    for scene, points in POINTS.items():
        for point in points:
            with tempfile.TemporaryDirectory() as folder:
                url = sqlite_url(Path(folder) / "history.db")
                schema.migrate(url)
                result, state = trial(url, scene, point)
            often = sorted(set(result.posted.values()))
            states = ", ".join(sorted({one[2] for one in result.deliveries}))
            line = row.format(scene, str(point), state, ", ".join(map(str, often)), states)
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
