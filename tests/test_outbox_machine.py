"""Any order of changes, faults, deaths and restarts: every alert stands in Slack once, in the end.

A state machine of hypothesis drives the real judge, store and outbox on SQLite. Its Slack is a list of what was posted,
behind a sink that answers as the machine tells it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncd.core.delivery import (
    Ambiguous,
    Attempted,
    CannotLook,
    Delivered,
    Found,
    Looked,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    Unusable,
)
from syncd.core.requests import SavedRequest
from syncd.core.routing import Route
from syncd.demo.vendor import made_up_models
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from syncd.store import schema
from tests.conftest import Clock, sqlite_url
from tests.watching import Watch, listing, model, refusal, with_price

TO: Final = Route("everything", "slack:#alerts")
A: Final = model("a")
USES_A: Final = SavedRequest("nightly", {"model": "a", "prompt": "a harbour"})
SETTLES: Final = timedelta(seconds=25)

# What may become of a call: whether it has its effect, and what is heard of it.
FATES: Final = (
    "well",
    "lost answer",
    "lost call",
    "refused connection",
    "rate",
    "bad blocks",
    "no thread",
    "broken",
    "death",
)


class DeathError(BaseException):
    """The process ends here."""


@dataclass
class World:
    """Slack, and what its next calls come to."""

    clock: Clock
    fates: list[str] = field(default_factory=list)
    posted: list[tuple[str, str | None]] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    seen_from: dict[str, int] = field(default_factory=dict)
    broken: bool = False
    blind: int = 0
    lag: int = 0
    distance: timedelta = timedelta(minutes=2)
    settles: timedelta = SETTLES

    def locate(self, target: str) -> str:
        return f"C{target}"

    def send(self, parcel: Parcel) -> Attempted:
        if self.broken:
            return Unusable("channel", "is_archived")
        fate = self.fates.pop(0) if self.fates else "well"
        match fate:
            case "lost call":
                return Ambiguous("reset")
            case "refused connection":
                return NotSent("connection refused")
            case "rate":
                return RateLimited(self.clock() + timedelta(seconds=40), "ratelimited")
            case "bad blocks" if parcel.rung != "plain":
                return Refused("payload", "invalid_blocks")
            case "no thread" if parcel.thread is not None:
                return Refused("thread", "thread_not_found")
            case "broken":
                self.broken = True
                return Unusable("channel", "is_archived")
        self._take(parcel)
        if fate == "death":
            raise DeathError
        return Ambiguous("reset") if fate == "lost answer" else Delivered(f"ts-{parcel.id}")

    def _take(self, parcel: Parcel) -> None:
        if parcel.edits is not None:
            assert parcel.edits in {f"ts-{one}" for one, _ in self.posted}
            self.edited.append(parcel.id)
        else:
            self.posted.append((parcel.id, parcel.thread))
        self.seen_from[parcel.id] = self.lag

    def look(self, parcel: Parcel) -> Looked:
        assert self.clock() >= parcel.started + SETTLES, "looked before it could be there"
        if self.blind:
            self.blind -= 1
            return CannotLook("HTTP 503")
        if parcel.id in self.seen_from:
            if self.seen_from[parcel.id] <= 0:
                return Found(f"ts-{parcel.id}")
            self.seen_from[parcel.id] -= 1
        return NotFound()

    def probe(self, target: str) -> Unusable | None:
        return Unusable("channel", "is_archived") if self.broken else None


class Outboxes(RuleBasedStateMachine):
    """Changes come, calls fail, processes die."""

    template: Path | None = None

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        if Outboxes.template is None:
            Outboxes.template = Path(tempfile.mkdtemp()) / "template.db"
            schema.migrate(sqlite_url(Outboxes.template))
        shutil.copy(Outboxes.template, self.folder / "history.db")
        self.clock = Clock()
        self.world = World(self.clock)
        self.watch = Watch(sqlite_url(self.folder / "history.db"), self.clock, routes=[TO], requests=[USES_A])
        self.numbers = count(1)
        self.price = 10
        self.watch.answer("prod", listing(A))
        self.outbox = self.new_process()

    def new_process(self) -> Outbox:
        outbox = Outbox(
            store=self.watch.store,
            sinks={"slack": self.world},
            routes=(TO,),
            keys=dict(self.watch.keys),
            clock=self.clock,
            new_id=lambda: f"dlv_{next(self.numbers):04}",
            remind=timedelta(hours=2),
        )
        outbox.recover()
        return outbox

    # --- what happens ---

    @rule(
        what=st.sampled_from(["price", "price", "models", "gone", "gone", "rejected", "away"]), many=st.integers(1, 60)
    )
    def news(self, what: str, many: int) -> None:
        self.price += many
        a = with_price(A, self.price, 10_000)
        match what:
            case "price":
                self.watch.answer("prod", listing(a))
            case "models":
                self.watch.answer("prod", listing(a, *made_up_models(many)))
            case "gone":
                self.clock.advance(minutes=many)
                self.watch.answer("prod", listing(*made_up_models(1)))
            case "rejected":
                self.watch.answer("prod", refusal("KEY_REVOKED"), status=401)
            case "away":
                self.watch.no_answer("prod")

    @rule(fates=st.lists(st.sampled_from(FATES), max_size=3), lag=st.integers(0, 1), blind=st.integers(0, 2))
    def deliver(self, fates: list[str], lag: int, blind: int) -> None:
        """For a while, with such faults."""
        self.world.fates, self.world.lag, self.world.blind = [*fates], lag, blind
        for _ in range(6):
            due = self.outbox.next_due()
            if due is None:
                return
            self.clock.now = max(self.clock.now, due)
            try:
                self.outbox.step()
            except DeathError:
                self.outbox = self.new_process()

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    @rule()
    def process_is_restarted(self) -> None:
        self.outbox = self.new_process()

    @rule()
    def channel_is_mended(self) -> None:
        self.world.broken = False

    # --- what always holds ---

    @invariant()
    def nothing_is_told_twice(self) -> None:
        if hasattr(self, "world"):
            assert set(Counter(one for one, _ in self.world.posted).values()) <= {1}

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.fates.clear()
        self.world.broken, self.world.blind = False, 0
        self.outbox = self.new_process()
        for _ in range(500):
            self.outbox.step()
            due = self.outbox.next_due()
            if due is None:
                break
            self.clock.now = max(self.clock.now, due) + timedelta(milliseconds=1)
        else:
            raise AssertionError("it does not come to an end")
        self.everything_was_told()
        self.watch.close()
        shutil.rmtree(self.folder)

    def everything_was_told(self) -> None:
        deliveries = self.watch.rows("SELECT id, op, state FROM deliveries")
        posted = {one for one, _ in self.world.posted}
        assert all(state == "sent" for _, _, state in deliveries)
        assert {one for one, op, _ in deliveries if op == "post"} - set(self.world.edited) == posted
        left = self.watch.rows(
            "SELECT a.state, a.edge FROM announcements a LEFT JOIN deliveries d ON d.id = a.delivery_id "
            "WHERE NOT (a.state = 'sent' AND d.state = 'sent')"
            # Edits that there is nothing to edit for, and what no longer held when its turn came.
            " AND NOT (a.state = 'dropped' AND a.edge IN ('changed', 'unconfirmed', 'back', 'reminder'))"
        )
        assert left == []
        self.every_reply_was_posted()

    def every_reply_was_posted(self) -> None:
        """What was announced as being in the thread is there."""
        stored = [message for (message,) in self.watch.rows("SELECT message FROM deliveries WHERE op = 'post'")]
        promised = sum(len(message["replies"]) for message in stored if message["kind"] == "digest")
        assert sum(message["kind"] == "digest_part" for message in stored) == promised


Outboxes.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestOutboxes = Outboxes.TestCase
