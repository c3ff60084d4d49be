"""What answers an earlier message: that a model is back, or gone for certain, that a change is taken back, or settled.

From the vendor's answers to what a chat gets, on both databases: (title, the message it answers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import time, timedelta
from itertools import count
from typing import Any

import pytest

from syncd.core.delivery import Attempted, CannotEverLook, Delivered, Impossible, Looked, NotSent, Unusable
from syncd.core.message import Message, as_text
from syncd.core.requests import SavedRequest
from syncd.core.routing import Route
from syncd.core.silence import Silence
from syncd.core.slots import Slots
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from tests.conftest import Clock
from tests.watching import Watch, listing, model, with_price

A, B = model("a"), model("b")
USES_A = SavedRequest("nightly", {"model": "a", "prompt": "a harbour"})
CHAT = Route("chat", "slack:#vivix", mention="@here")
CONSOLE = Route("all", "console")


@dataclass
class Chat:
    """Keeps what it was sent, and names it if it can."""

    names: bool = True
    answers: list[Attempted] = field(default_factory=list)
    sent: list[tuple[str, str | None]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    distance: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        if self.answers:
            return self.answers.pop(0)
        if parcel.edits is None:
            self.sent.append((parcel.message.title, parcel.thread))
            self.messages.append(parcel.message)
        return Delivered(f"ts-{len(self.sent)}" if self.names else None)

    def look(self, parcel: Parcel) -> Looked:
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        return None


@dataclass
class Post:
    """A watch, its outbox, and what arrived."""

    watch: Watch
    chat: Chat
    console: Chat
    outbox: Outbox

    @property
    def clock(self) -> Clock:
        return self.watch.clock

    def poll(self, *models: dict[str, Any], key: str = "prod", **top: Any) -> None:
        self.watch.answer(key, listing(*models, **top))

    def deliver(self) -> list[tuple[str, str | None]]:
        """What the chat gets now."""
        before = len(self.chat.sent)
        while self.outbox.step():
            pass
        return self.chat.sent[before:]

    def text(self) -> str:
        return as_text(self.chat.messages[-1])


def posting(url: str, clock: Clock, *routes: Route) -> Post:
    watch = Watch(url, clock, routes=routes, requests=[USES_A])
    for key in ("prod", "spare"):
        watch.answer(key, listing(A, B))
    watch.write("DELETE FROM announcements")
    chat, console, numbers = Chat(), Chat(names=False), count(1)
    outbox = Outbox(
        store=watch.store,
        sinks={"slack": chat, "console": console},
        routes=routes,
        keys=dict(watch.keys),
        clock=clock,
        new_id=lambda: f"dlv_{next(numbers):03}",
        remind=None,
    )
    return Post(watch, chat, console, outbox)


@pytest.fixture
def post(migrated_url: str, clock: Clock) -> Iterator[Post]:
    made = posting(migrated_url, clock, CHAT, CONSOLE)
    yield made
    made.watch.close()


DOUBT = "a is not listed for prod (unconfirmed)"


# --- models that may be gone ---------------------------------------------------------------------------------------


def test_a_model_that_a_request_uses_is_told_at_once_and_its_removal_answers_that(post: Post):
    post.poll(B)
    assert post.deliver() == [(DOUBT, None)]
    assert "a · used by nightly" in post.text()
    assert post.chat.messages[-1].mentions == ("@here",)
    post.clock.advance(hours=1)
    post.poll(B)
    assert post.deliver() == [("1 model removed for prod", "ts-1")]


def test_a_model_that_is_back_is_told_in_answer_and_calls_nobody(post: Post):
    post.poll(B)
    post.deliver()
    post.clock.advance(minutes=35)
    post.poll(with_price(A, 11, 20), B)
    assert post.deliver() == [("Price up 10.0 %: a", None), ("a is listed again for prod", "ts-1")]
    assert "It was missing for 35 m." in post.text()
    assert post.chat.messages[-1].mentions == ()
    # A console has no threads: there everything is one message.
    assert [title for title, _ in post.console.sent] == [DOUBT, "1 notice and 1 change for prod"]


def test_several_models_and_keys_are_one_message(post: Post):
    for key in ("prod", "spare"):
        post.poll(B, key=key)
    assert post.deliver() == [("a is not listed for prod, spare (unconfirmed)", None)]
    post.clock.advance(minutes=5)
    for key in ("prod", "spare"):
        post.poll(A, B, key=key)
    assert post.deliver() == [("a is listed again for prod, spare", "ts-1")]


def test_a_model_that_no_request_uses_waits_in_silence(post: Post):
    post.poll(A)
    assert post.deliver() == []


def test_a_doubt_that_is_over_before_it_could_be_told_is_not_told(post: Post):
    post.poll(B)
    post.clock.advance(minutes=5)
    post.poll(A, B)
    assert post.deliver() == []
    assert post.console.sent == []
    assert post.outbox.next_due() is None


def test_a_doubt_that_was_dropped_is_not_said_to_be_over(post: Post):
    post.chat.answers = [Impossible("no")]
    post.poll(B)
    assert post.deliver() == []
    post.clock.advance(minutes=5)
    post.poll(A, B)
    assert post.deliver() == []


def test_a_removal_is_told_by_itself_where_the_doubt_never_arrived(post: Post):
    post.chat.answers = [Impossible("no")]
    post.poll(B)
    post.deliver()
    post.clock.advance(hours=1)
    post.poll(B)
    assert post.deliver() == [("1 model removed for prod", None)]


def test_a_doubt_that_is_muted_is_not_said_to_be_over(post: Post):
    with post.watch.store.outbox() as tx:
        silence = Silence(id=0, until=post.clock() + timedelta(minutes=2), author="ana", comment="maintenance")
        tx.silences.add(silence, post.clock())
    post.poll(B)
    assert post.deliver() == []
    post.clock.advance(minutes=5)
    post.poll(A, B)
    assert post.deliver() == [("A silence has ended: it muted 1 alert", None)]


def test_what_answers_an_answer_stands_in_the_same_thread(post: Post):
    """Chats know threads, and no threads within them: the removal was told as an answer itself."""
    for _ in range(2):
        post.poll(B)
        post.deliver()
        post.clock.advance(hours=1)
    post.clock.advance(days=3)
    post.poll(A, B)
    assert post.deliver() == [("1 model back for prod", "ts-1")]


def test_an_answer_that_waits_for_a_channel_is_not_lost(post: Post):
    post.poll(B)
    post.deliver()
    post.chat.answers = [NotSent("no network")]
    post.clock.advance(minutes=35)
    post.poll(A, B)
    assert post.deliver() == []
    post.clock.advance(minutes=10)
    assert post.deliver() == [("a is listed again for prod", "ts-1")]


def test_a_doubt_waits_for_nothing_and_its_end_for_company(post: Post):
    post.chat.distance = timedelta(minutes=2)
    post.poll(A, with_price(B, 12, 20))
    assert post.deliver() == [("Price up 20.0 %: b", None)]
    post.poll(with_price(B, 12, 20))
    assert post.deliver() == [(DOUBT, None)]
    post.poll(A, with_price(B, 12, 20))
    assert post.deliver() == []
    post.clock.advance(seconds=10)
    assert post.deliver() == [("a is listed again for prod", "ts-2")]


# --- taken back ----------------------------------------------------------------------------------------------------


def test_a_price_that_is_taken_back_answers_the_message_that_told_of_it(post: Post):
    post.poll(with_price(A, 12, 20), B)
    assert post.deliver() == [("Price up 20.0 %: a", None)]
    post.clock.advance(hours=2, minutes=10)
    post.poll(A, B)
    assert post.deliver() == [("Price back at 10 to 20: a", "ts-1")]
    assert "Minimum 12 → 10 (−16.7 %): back as it was after 2 h 10 m" in post.text()  # noqa: RUF001 - a minus sign
    assert post.chat.messages[-1].mentions == ()
    assert [title for title, _ in post.console.sent] == ["Price up 20.0 %: a", "Price back at 10 to 20: a"]


def test_a_change_that_is_taken_back_before_it_was_told_is_one_line(post: Post):
    post.poll(with_price(A, 12, 20), B)
    post.clock.advance(hours=2, minutes=10)
    post.poll(A, B)
    assert post.deliver() == [("Price changed and changed back: a", None)]
    assert "Minimum 10 → 12 (+20.0 %), and back after 2 h 10 m" in post.text()
    assert post.watch.rows("SELECT DISTINCT state FROM announcements") == [("sent",)]


def test_where_a_change_was_muted_that_it_is_taken_back_is_too(post: Post):
    with post.watch.store.outbox() as tx:
        silence = Silence(id=0, until=post.clock() + timedelta(minutes=2), author="ana", comment="maintenance")
        tx.silences.add(silence, post.clock())
    post.poll(with_price(A, 12, 20), B)
    post.deliver()
    post.clock.advance(hours=1)
    post.poll(A, B)
    assert [title for title, _ in post.deliver()] == ["A silence has ended: it muted 1 alert"]


# --- back and forth ------------------------------------------------------------------------------------------------


def flap(post: Post, times: int) -> None:
    for n in range(times):
        post.clock.advance(hours=1)
        post.poll(A if n % 2 else with_price(A, 12, 20), B)


def test_what_keeps_changing_is_told_once_and_then_when_it_has_settled(post: Post):
    told = []
    for n in range(5):
        post.clock.advance(hours=1)
        post.poll(A if n % 2 else with_price(A, 12, 20), B)
        told += post.deliver()
    assert told == [
        ("Price up 20.0 %: a", None),
        ("Price back at 10 to 20: a", "ts-1"),
        ("a keeps changing: credits_band", None),
    ]
    assert "credits_band changed 3 times since 2026-03-02 10:00:00 UTC; it is now 12 to 20 credits." in post.text()
    post.poll(A, B)
    post.clock.advance(hours=6, minutes=1)
    post.poll(A, B)
    assert post.deliver() == [("a has settled: credits_band", "ts-3")]
    assert "credits_band is 10 to 20 credits, after it changed" in post.text()


def test_a_model_that_keeps_coming_and_going_is_told_once_and_answered_when_it_has_settled(post: Post):
    told = []
    for n in range(6):
        for _ in range(2):
            post.poll(*([A, B] if n % 2 else [A]))
            told += post.deliver()
            post.clock.advance(hours=1)
    assert [title for title, _ in told] == [
        "1 model removed for prod",
        "1 model back for prod",
        "b keeps coming and going",
    ]
    post.clock.advance(hours=7)
    post.poll(A, B)
    (settled,) = post.deliver() or [("", None)]
    assert settled == ("b has settled", "ts-3")


def test_of_what_keeps_changing_unheard_only_that_is_told(post: Post):
    flap(post, 3)
    assert post.deliver() == [("a keeps changing: credits_band", None)]
    assert post.watch.rows("SELECT DISTINCT state FROM announcements") == [("sent",)]


def test_what_has_settled_unheard_is_told_by_itself(post: Post):
    flap(post, 4)
    post.clock.advance(hours=7)
    post.poll(A, B)
    assert post.deliver() == [("a has settled: credits_band", None)]


def test_where_there_are_no_threads_an_answer_reads_well_alone(post: Post):
    for models in ((B,), (A, B)):
        post.poll(*models)
        post.deliver()
        post.clock.advance(minutes=5)
    text = as_text(post.console.messages[-1])
    assert text.splitlines()[0] == "✅ a is listed again for prod"
    assert "Nothing was told as removed" in text


# --- what waits for a digest ---------------------------------------------------------------------------------------


def limited(length: int) -> dict[str, Any]:
    return model("a", params={"prompt": {"type": "string", "max_length": length}})


DAILY = Route("daily", "slack:#vivix", digest=Slots(time(9)))


def test_what_waits_for_its_digest_is_told_with_what_takes_it_back(migrated_url: str, clock: Clock):
    post = posting(migrated_url, clock, DAILY)
    post.poll(limited(2000), B)
    post.watch.write("DELETE FROM announcements")
    clock.advance(hours=25)
    post.poll(limited(3000), B)
    assert post.deliver() == []
    clock.advance(hours=1)
    post.poll(limited(2000), B)
    ((title, answers),) = post.deliver()
    assert (title.startswith("Parameters changed and changed back"), answers) == (True, None)
    clock.advance(days=2)
    assert post.deliver() == []
    post.watch.close()


def test_a_step_back_that_breaks_is_news_where_nobody_heard_of_the_step(migrated_url: str, clock: Clock):
    post = posting(migrated_url, clock, Route("breaking", "slack:#vivix", min_severity="breaking"))
    post.poll(limited(2000), B)
    post.watch.write("DELETE FROM announcements")
    clock.advance(hours=25)
    post.poll(limited(3000), B)
    clock.advance(hours=1)
    post.poll(limited(2000), B)
    ((title, answers),) = post.deliver()
    assert ("back" in title, answers) == (False, None)
    assert "3000 → 2000" in post.text()
    post.watch.close()
