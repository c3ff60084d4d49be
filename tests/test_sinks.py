"""The contract of sinks, for every kind of them: a new one is added to `PLACES`, not tested apart.

    place.sink, place.parcel    a sink and something to send with it
    place.arrived()             how many messages are there
    place.meets(fault)          what every call from now on meets instead of an answer

What one kind of sink does beside that is said in its own file.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk import WebClient

from syncd.core.delivery import (
    MAY_REPEAT,
    RUNGS,
    Ambiguous,
    Attempted,
    CannotEverLook,
    CannotLook,
    Delivered,
    Found,
    Looked,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    Rung,
    Unusable,
)
from syncd.core.message import Message
from syncd.core.secret import Secret
from syncd.sinks import Parcel, Sink
from syncd.sinks.console import ConsoleSink
from syncd.sinks.slack import SlackSink
from syncd.sinks.slack.answers import CODES, Kind
from syncd.sinks.webhook import WebhookSink
from tests import fake_slack
from tests.conftest import Clock
from tests.fake_slack import FakeSlack, Fault
from tests.samples import hostile, samples

SECRET = "verysecret"
CHANNEL = "C0ALERTS"
POSTING = ("chat.postMessage", "chat.update", "webhook")
READING = ("auth.test", "conversations.list", "conversations.info", "conversations.history", "conversations.replies")
# For sinks that meet what is hostile: what hangs is waited for.
PATIENCE = 0.4
MESSAGE = samples()["price_changed"]


@dataclass(frozen=True)
class Place:
    """See the module. `slack` is what is behind a sink that speaks HTTP; `again` makes another sink to the same end."""

    sink: Sink
    parcel: Parcel
    arrived: Callable[[], int]
    again: Callable[[], Sink]
    slack: FakeSlack | None = None

    def meets(self, fault: Fault) -> None:
        if self.slack is not None:
            self.slack.faults = {method: [fault] * 20 for method in (*POSTING, *READING)}

    def asked(self) -> list[str]:
        """The methods that were called."""
        return [] if self.slack is None else [seen.method for seen in self.slack.requests]


def parcel(target: str, channel: str, now: datetime) -> Parcel:
    return Parcel("dlv_1", target, channel, MESSAGE, now)


@contextmanager
def console(clock: Clock, timeout: float) -> Iterator[Place]:
    stream = io.StringIO()
    yield Place(
        ConsoleSink(stream),
        parcel("", "", clock()),
        lambda: stream.getvalue().count("detected "),
        lambda: ConsoleSink(stream),
    )


@contextmanager
def pipe(clock: Clock, timeout: float) -> Iterator[Place]:
    """What systemd gives the daemon."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    with os.fdopen(write, "w", encoding="utf-8") as stream, os.fdopen(read, "rb", buffering=0) as reader:
        seen = bytearray()

        def arrived() -> int:
            seen.extend(reader.read() or b"")
            return seen.decode().count("detected ")

        yield Place(ConsoleSink(stream), parcel("", "", clock()), arrived, lambda: ConsoleSink(stream))


@contextmanager
def webhook(clock: Clock, timeout: float) -> Iterator[Place]:
    with fake(clock) as slack:
        target = "env:SLACK_WEBHOOK_URL"

        def make() -> Sink:
            return WebhookSink({target: Secret(slack.webhook_url)}, clock, timeout)

        yield Place(make(), parcel(target, target, clock()), lambda: len(slack.messages(CHANNEL)), make, slack)


@contextmanager
def bot(clock: Clock, timeout: float) -> Iterator[Place]:
    with fake(clock) as slack:

        def make() -> Sink:
            return SlackSink(Secret(slack.token), slack.url, clock, timeout)

        yield Place(make(), parcel("#alerts", CHANNEL, clock()), lambda: len(slack.messages(CHANNEL)), make, slack)


@contextmanager
def fake(clock: Clock) -> Iterator[FakeSlack]:
    with FakeSlack(clock) as slack:
        slack.token = f"xoxb-{SECRET}"
        slack.hook = f"T000/B000/{SECRET}"
        slack.channel(CHANNEL, "alerts")
        yield slack


PLACES = {"console": console, "pipe": pipe, "webhook": webhook, "slack": bot}
OVER_HTTP = ("webhook", "slack")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Place]:
    with PLACES[request.param](clock, 10) as made:
        yield made


@pytest.fixture(params=OVER_HTTP)
def far(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Place]:
    """A place that is reached over HTTP, by a sink without much patience."""
    with PLACES[request.param](clock, PATIENCE) as made:
        yield made


def is_attempted(value: object) -> bool:
    return isinstance(value, get_args(Attempted))


def is_looked(value: object) -> bool:
    return isinstance(value, get_args(Looked))


def asks(place: Place) -> list[object]:
    """Everything that never posts, once."""
    sink, sent = place.sink, place.parcel
    variants = (sent, replace(sent, thread="1.000001"), replace(sent, edits="1.000001"))
    looked: list[object] = [sink.look(one) for one in variants]
    located, found = sink.locate(sent.target), sink.probe(sent.target)
    assert all(map(is_looked, looked))
    assert isinstance(located, str | NotSent | RateLimited | Unusable)
    assert found is None or isinstance(found, Unusable)
    return [*looked, located, found]


# --- what holds in fair weather --------------------------------------------------------------------------------------


def test_what_is_delivered_has_arrived_once(place: Place):
    assert isinstance(place.sink.send(place.parcel), Delivered)
    assert place.arrived() == 1


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("note", ["", MAY_REPEAT])
def test_every_form_is_taken(place: Place, rung: Rung, note: str):
    assert isinstance(place.sink.send(replace(place.parcel, rung=rung, note=note)), Delivered)
    assert place.arrived() == 1


def test_an_answer_and_an_edit_are_taken_or_refused_as_such(place: Place):
    """A sink that knows neither posts them by themselves."""
    first = place.sink.send(place.parcel)
    assert isinstance(first, Delivered)
    there = first.reference or "1.000001"
    for part, sent in (
        ("thread", replace(place.parcel, id="dlv_2", thread=there)),
        ("edit", replace(place.parcel, id="dlv_3", edits=there)),
    ):
        assert isinstance(place.sink.send(sent), Delivered)
        gone = replace(sent, thread=sent.thread and "1.000009", edits=sent.edits and "1.000009")
        answer = place.sink.send(gone)
        assert isinstance(answer, Delivered) or (isinstance(answer, Refused) and answer.part == part)


def test_asking_never_posts(place: Place):
    asks(place)
    assert place.arrived() == 0
    assert not set(place.asked()) & set(POSTING)


def test_a_sink_that_names_what_it_posted_finds_it_and_so_does_another(place: Place):
    """Whatever is needed for looking is in the parcel: the process may have died in between."""
    sent = place.sink.send(place.parcel)
    assert isinstance(sent, Delivered)
    for sink in (place.sink, place.again()):
        looked = sink.look(place.parcel)
        assert looked == (CannotEverLook() if sent.reference is None else Found(sent.reference))


def test_what_was_not_sent_is_found_by_nobody(place: Place):
    assert isinstance(place.sink.look(place.parcel), NotFound | CannotEverLook)


def test_nothing_is_kept_between_calls(place: Place):
    place.sink.send(place.parcel)
    asks(place)
    calls = len(place.asked())
    place.sink.send(place.parcel)
    asks(place)
    assert len(place.asked()) == 2 * calls


def test_what_is_located_can_be_sent_to(place: Place):
    channel = place.sink.locate(place.parcel.target)
    assert isinstance(channel, str)
    assert isinstance(place.sink.send(replace(place.parcel, channel=channel)), Delivered)


def test_a_place_in_order_is_said_to_be(place: Place):
    assert place.sink.probe(place.parcel.target) is None


def test_distances_are_no_less_than_nothing(place: Place):
    assert place.sink.distance >= timedelta(0)
    assert place.sink.settles >= timedelta(0)


@pytest.mark.parametrize("message", [pytest.param(made, id=name) for name, made in hostile().items()])
@pytest.mark.parametrize("rung", RUNGS)
def test_whatever_a_vendor_sent_arrives(place: Place, message: Message, rung: Rung):
    assert isinstance(place.sink.send(replace(place.parcel, message=message, rung=rung)), Delivered)


# --- what every answer means -----------------------------------------------------------------------------------------

ABSURD = (
    *(None, True, 7, "ok", [], [1], {}, {"ok": None}, {"ok": "yes"}, {"ok": True}, {"ok": False}),
    *({"ok": False, "error": error} for error in (None, 7, "", "no such thing!", {"a": 1}, "x" * 5_000, "\ud800")),
    *({"ok": True, "ts": ts} for ts in (None, 1.5, True, "", "\u00b2", "9" * 5_000)),
    {"ok": True, "messages": [None, 7, {}, {"blocks": 7}, {"metadata": []}], "channels": [None, 7, {}], "channel": 7},
    {"ok": True, "has_more": True, "response_metadata": {"next_cursor": 7}},
    {"ok": True, "response_metadata": {"next_cursor": "again"}},
    {"ok": True, "bot_id": [], "user_id": {}, "response_metadata": 7},
)
PLAIN_TEXT = ("", "OK", "ok ", "no_service", "<!doctype html>", "\0", "[" * 100_000, '{"ok": true', "null", "NaN")
BROKEN = (
    *(fake_slack.rate_limited(wait) for wait in ("7", "0.5", "Mon, 02 Mar 2026 09:00:20 GMT", None, "soon", "9" * 400)),
    fake_slack.rate_limited("7", as_json=False),
    *(fake_slack.page(status) for status in (200, 204, 301, 400, 401, 404, 500, 502, 503, 504, 599, 999)),
    fake_slack.page(500, "oops"),
    fake_slack.moved("https://evil.invalid/"),
    fake_slack.moved("http://[not an address/"),
    *(fake_slack.answer(content) for content in ABSURD),
    *(fake_slack.page(200, text) for text in PLAIN_TEXT),
    *(fake_slack.raw(content) for content in (b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x15\x03\x01")),
    fake_slack.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    fake_slack.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok"),
    fake_slack.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nDate: \xff\xfe\r\n\r\nok"),
    fake_slack.cut_off(),
    fake_slack.drop_before(),
)
SLOW = (fake_slack.silence(), fake_slack.drip("head"), fake_slack.drip("body"))
# It is there; no answer says so.
LOST = (
    fake_slack.drop_after(),
    fake_slack.cut_off(commits=True),
    fake_slack.raw(b"", commits=True),
    fake_slack.page(500, "oops", commits=True),
    fake_slack.page(502, commits=True),
    fake_slack.page(200, commits=True),
    fake_slack.silence(commits=True),
    fake_slack.drip("head", commits=True),
    fake_slack.drip("body", commits=True),
)


@pytest.mark.parametrize("fault", [*BROKEN, *SLOW], ids=str)
def test_no_answer_makes_a_sink_raise_or_send_again_or_tell_a_secret(
    far: Place, fault: Fault, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.DEBUG)
    far.meets(fault)
    sent = far.sink.send(far.parcel)
    assert is_attempted(sent)
    assert len(far.asked()) == 1
    said = [sent, *asks(far)]
    assert sum(method in POSTING for method in far.asked()) == 1
    assert far.arrived() == 0
    assert SECRET not in repr(said) + caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("fault", LOST, ids=str)
def test_what_arrived_is_never_said_not_to_have(far: Place, fault: Fault):
    """Otherwise it would be sent again without being looked for."""
    far.meets(fault)
    assert isinstance(far.sink.send(far.parcel), Delivered | Ambiguous)
    assert far.arrived() == 1


@pytest.mark.parametrize("fault", [*BROKEN, *SLOW], ids=str)
def test_a_look_that_could_not_be_made_never_says_that_nothing_is_there(clock: Clock, fault: Fault):
    """Otherwise what has arrived would be sent again. What is said to be a complete answer is believed."""
    with bot(clock, PATIENCE) as place:
        place.sink.send(place.parcel)
        for method in ("auth.test", "conversations.history"):
            slack = place.slack
            assert slack is not None
            slack.faults = {method: [fault] * 20}
            looked = place.sink.look(place.parcel)
            believed = method == "conversations.history" and b'"messages"' in fault.body
            assert looked == NotFound() if believed else isinstance(looked, CannotLook)


MEANT: dict[Kind, tuple[type, ...]] = {
    "rate": (RateLimited,),
    "transient": (NotSent,),
    "ambiguous": (Ambiguous,),
    "payload": (Refused,),
    "metadata": (Refused,),
    # Of what is in no thread, and is no edit, the channel is at fault.
    "thread": (Unusable, Refused),
    "edit": (Unusable, Refused),
    "channel": (Unusable,),
    "token": (Unusable,),
}


@pytest.mark.parametrize("code", CODES)
def test_every_code_means_the_same_by_every_way(far: Place, code: str):
    is_hook = isinstance(far.sink, WebhookSink)
    far.meets(fake_slack.page(403, code) if is_hook else fake_slack.code(code))
    assert isinstance(far.sink.send(far.parcel), MEANT[CODES[code]])
    assert len(far.asked()) == 1
    asks(far)


# A few keys that are read, so that what is made up goes deeper than the first of them.
NAMES = ("ok", "ts", "error", "channel", "channels", "messages", "name", "id", "blocks", "block_id", "metadata")
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
likely = st.sampled_from(
    ["dlv_1", "alerts", CHANNEL, "B0SYNCD", "1.000001", "sd:dlv_1:0", "syncd_alert", "missing_scope"]
)
documents = st.recursive(
    scalars | likely,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), inner, max_size=6)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("kind", OVER_HTTP)
@settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=documents, ok=st.booleans())
def test_no_document_makes_a_sink_raise(kind: str, clock: Clock, content: object, *, ok: bool):
    with PLACES[kind](clock, 10) as place:
        place.meets(fake_slack.answer({**content, "ok": True} if ok and isinstance(content, dict) else content))
        assert is_attempted(place.sink.send(place.parcel))
        asks(place)


# --- a console that is out of order ----------------------------------------------------------------------------------


def closed(stack: ExitStack) -> TextIO:
    stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - closed is what it is to be
    stream.close()
    return stream


def closed_in_memory(stack: ExitStack) -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def detached(stack: ExitStack) -> TextIO:
    stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - closed below what is handed out
    stack.callback(stream.detach().close)
    return stream


def full_disk(stack: ExitStack) -> TextIO:
    return stack.enter_context(Path("/dev/full").open("w", encoding="utf-8"))


def full_pipe(stack: ExitStack) -> TextIO:
    read, write = os.pipe()
    stack.callback(os.close, read)
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        for _ in itertools.count():
            os.write(write, b"x" * 4096)
    return stack.enter_context(os.fdopen(write, "w", encoding="utf-8"))


def pipe_without_reader(stack: ExitStack) -> TextIO:
    read, write = os.pipe()
    os.close(read)
    return stack.enter_context(os.fdopen(write, "w", encoding="utf-8"))


@pytest.mark.parametrize("make", [closed, closed_in_memory, detached, full_disk, full_pipe, pipe_without_reader])
def test_no_stream_makes_the_console_raise(make: Callable[[ExitStack], TextIO], clock: Clock):
    with ExitStack() as stack:
        sink, sent = ConsoleSink(make(stack)), parcel("", "", clock())
        answer = sink.send(sent)
        assert isinstance(answer, NotSent)
        assert answer.reason.startswith("console: ")
        assert (sink.locate(""), sink.look(sent), sink.probe("")) == ("", CannotEverLook(), None)


# --- secrets ---------------------------------------------------------------------------------------------------------


def everything_of(value: object, depth: int = 4) -> Iterator[str]:
    """What a debugger or a crash report would show of it and of what it is made of, but for slack_sdk's own client."""
    yield f"{value} {value!r} {value!s}"
    if not depth or isinstance(value, WebClient) or not type(value).__module__.startswith("syncd.sinks"):
        return
    yield repr(vars(value))
    for one in vars(value).values():
        yield from everything_of(one, depth - 1)


def test_no_representation_shows_a_secret(place: Place):
    place.sink.send(place.parcel)
    assert SECRET not in " ".join(everything_of(place.sink))


def test_what_an_answer_repeats_of_a_secret_is_not_repeated(far: Place):
    """A proxy's page may quote the address that was asked for."""
    for fault in (fake_slack.page(404, f"<p>No such page: /services/{SECRET}</p>"), fake_slack.code(f"no {SECRET}")):
        far.meets(fault)
        assert SECRET not in repr([far.sink.send(far.parcel), *asks(far)])
