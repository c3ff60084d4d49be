"""The Slack sink, then the daemon, against an emulator of Slack that is not ours (see `tests/emulator/npm.py`)."""

from __future__ import annotations

import itertools
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncd.core.delivery import RUNGS, CannotEverLook, CannotLook, Delivered, Found, NotFound, NotSent, Rung, Unusable
from syncd.core.message import Message
from syncd.core.secret import Secret
from syncd.demo.vendor import SimulatedVendor, made_up_models
from syncd.sinks import Parcel
from syncd.sinks.slack import SlackSink
from syncd.sinks.slack.render import EVENT, payload
from tests import hostile as vendors
from tests.emulator.npm import Emulator, Json
from tests.program import Home, until
from tests.samples import hostile, samples

MESSAGES = {**samples(), **hostile()}
MESSAGE, OTHER = MESSAGES["parameters_changed"], MESSAGES["price_changed"]

numbers = itertools.count(1)


def now() -> datetime:
    return datetime.now(UTC)


def sink_with(token: str, emulator: Emulator) -> SlackSink:
    return SlackSink(Secret(token), emulator.url, now)


@pytest.fixture
def sink(emulator: Emulator) -> SlackSink:
    return sink_with(emulator.bot, emulator)


@pytest.fixture
def parcel(emulator: Emulator) -> Callable[..., Parcel]:
    """A delivery of its own: the emulator keeps what earlier tests posted."""

    def make(message: Message = MESSAGE, channel: str = "vivix") -> Parcel:
        ident = emulator.id_of(channel)
        return Parcel(id=f"dlv_E{next(numbers)}", target=f"#{channel}", channel=ident, message=message, started=now())

    return make


def fault(found: object) -> tuple[str, str]:
    """What a person has to mend, without the hint how."""
    assert isinstance(found, Unusable), found
    return found.what, found.reason


def posted(emulator: Emulator, sent: object, channel: str = "vivix") -> Json:
    """The message as the emulator has it."""
    assert isinstance(sent, Delivered), sent
    (found,) = [one for one in emulator.messages(channel) if one["ts"] == sent.reference]
    return found


# --- posting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_every_design_is_posted_and_read_back_as_it_was_sent(emulator, sink, parcel, name):
    one = parcel(MESSAGES[name])
    found = posted(emulator, sink.send(one))
    made = payload(one.message, one.id)
    assert {field: found[field] for field in ("text", "blocks", "metadata")} == {
        field: made[field] for field in ("text", "blocks", "metadata")
    }
    assert found["user"] == emulator.user_id
    assert [block["block_id"] for block in found["blocks"]] == [f"sd:{one.id}:{n}" for n in range(len(made["blocks"]))]
    assert found["metadata"]["event_type"] == EVENT


@pytest.mark.parametrize("rung", RUNGS)
def test_every_form_is_found_again(emulator, sink, parcel, rung: Rung):
    one = replace(parcel(), rung=rung)
    sent = sink.send(one)
    assert ("metadata" in posted(emulator, sent)) == (rung == "rich")
    assert sink.look(one) == Found(sent.reference)
    assert sink.look(parcel()) == NotFound()


def test_a_note_is_read_back(emulator, sink, parcel):
    found = posted(emulator, sink.send(replace(parcel(), note="may repeat an earlier alert")))
    assert "may repeat an earlier alert" in str(found["blocks"])


def test_a_channel_is_located_by_its_name_or_its_id_be_it_private(emulator, sink, parcel):
    for name in ("vivix", "secret"):
        ident = emulator.id_of(name)
        assert sink.locate(f"#{name}") == sink.locate(ident) == ident
        posted(emulator, sink.send(parcel(channel=name)), name)


# --- editing ---------------------------------------------------------------------------------------------------------


def test_an_edit_changes_the_message_and_leaves_it_where_it_is(emulator, sink, parcel):
    ts = sink.send(parcel()).reference
    before = len(emulator.messages("vivix"))
    edit = replace(parcel(OTHER), edits=ts)
    assert sink.look(edit) == NotFound()
    assert sink.send(edit) == Delivered(ts)
    found = posted(emulator, Delivered(ts))
    made = payload(OTHER, edit.id)
    assert (found["text"], found["blocks"], found["metadata"]) == (made["text"], made["blocks"], made["metadata"])
    assert found["edited"]["user"] == emulator.user_id
    assert len(emulator.messages("vivix")) == before
    assert sink.look(edit) == Found(ts)


def test_an_edit_in_the_bare_form_is_found_by_its_blocks(emulator, sink, parcel):
    """The metadata of the post stays, and names another delivery."""
    first = parcel()
    ts = sink.send(first).reference
    edit = replace(parcel(OTHER), edits=ts, rung="bare")
    assert sink.send(edit) == Delivered(ts)
    metadata = posted(emulator, Delivered(ts))["metadata"]
    assert metadata["event_payload"]["delivery_id"] == first.id
    assert sink.look(edit) == Found(ts)


def test_an_edit_of_what_is_not_there_or_not_ours_is_refused(emulator, sink, parcel):
    assert sink.send(replace(parcel(), edits="1.000001")).reason == "message_not_found"
    theirs = emulator.call("chat.postMessage", token=emulator.person, channel=emulator.id_of("vivix"), text="hello")
    refused = sink.send(replace(parcel(), edits=theirs["ts"]))
    assert (refused.part, refused.reason) == ("edit", "cant_update_message")
    assert posted(emulator, Delivered(theirs["ts"]))["text"] == "hello"


# --- threads ---------------------------------------------------------------------------------------------------------


def test_an_answer_stands_in_its_thread_alone(emulator, sink, parcel):
    ts = sink.send(parcel()).reference
    before = len(emulator.messages("vivix"))
    reply = replace(parcel(OTHER), thread=ts)
    assert sink.look(reply) == NotFound()
    sent = sink.send(reply)
    first, second = emulator.replies("vivix", ts)
    assert (first["ts"], first["reply_count"]) == (ts, 1)
    assert (second["ts"], second["thread_ts"]) == (sent.reference, ts)
    assert second["blocks"] == payload(OTHER, reply.id)["blocks"]
    assert len(emulator.messages("vivix")) == before
    assert sink.look(reply) == Found(sent.reference)


def test_an_answer_is_edited_in_its_thread(emulator, sink, parcel):
    thread = sink.send(parcel()).reference
    ts = sink.send(replace(parcel(), thread=thread)).reference
    assert sink.send(replace(parcel(OTHER), thread=thread, edits=ts)) == Delivered(ts)
    _, edited = emulator.replies("vivix", thread)
    assert edited["text"] == payload(OTHER, "x")["text"]
    assert edited["thread_ts"] == thread


# --- looking ---------------------------------------------------------------------------------------------------------


def test_it_is_found_behind_more_messages_than_stand_on_a_page(emulator, sink, parcel):
    one = parcel()
    sent = sink.send(one)
    for n in range(250):
        emulator.call("chat.postMessage", token=emulator.person, channel=emulator.id_of("vivix"), text=f"chatter {n}")
    assert sink.look(one) == Found(sent.reference)


def test_a_copy_by_somebody_else_is_not_ours(emulator, sink, parcel):
    one = parcel()
    made = payload(one.message, one.id)
    emulator.call("chat.postMessage", token=emulator.person, channel=emulator.id_of("vivix"), **made)
    assert sink.look(one) == NotFound()


# --- what is out of order --------------------------------------------------------------------------------------------


def test_a_channel_in_order(sink):
    assert sink.probe("#vivix") is None
    assert sink.probe("#secret") is None


def test_a_channel_that_nobody_has(sink, parcel):
    assert fault(sink.locate("#elsewhere")) == ("channel", "channel_not_found")
    assert fault(sink.probe("#elsewhere")) == ("channel", "channel_not_found")
    gone = replace(parcel(), channel="C0ELSEWHERE")
    assert fault(sink.send(gone)) == ("channel", "channel_not_found")
    looked = sink.look(gone)
    assert isinstance(looked, CannotLook)
    assert fault(looked.why) == ("channel", "channel_not_found")


def test_a_channel_that_the_bot_is_not_in(sink):
    assert fault(sink.probe("#deserted")) == ("channel", "not_in_channel")


def test_an_archived_channel(emulator, sink, parcel):
    emulator.call("conversations.archive", token=emulator.person, channel=emulator.create("past"))
    assert fault(sink.send(parcel(channel="past"))) == ("channel", "is_archived")
    assert fault(sink.probe("#past")) == ("channel", "is_archived")


def test_a_wrong_token_posts_nothing(emulator, parcel):
    """The emulator takes it for a person without any scope; Slack says `invalid_auth`."""
    before = emulator.messages("vivix")
    sink = sink_with("xoxb-wrong", emulator)
    assert fault(sink.send(parcel())) == ("token", "missing_scope")
    assert fault(sink.locate("#vivix")) == ("token", "missing_scope")
    assert emulator.messages("vivix") == before


def test_a_token_that_may_not_post(emulator, parcel):
    sink = sink_with(emulator.mute, emulator)
    assert fault(sink.send(parcel())) == ("token", "missing_scope")
    # Without groups:read the public channels are listed all the same.
    assert sink.locate("#vivix") == emulator.id_of("vivix")
    assert sink.probe("#vivix") is None


def test_a_token_that_may_not_read(emulator, parcel):
    sink = sink_with(emulator.blind, emulator)
    one = parcel()
    posted(emulator, sink.send(one))
    assert sink.look(one) == CannotEverLook()
    assert sink.probe("#vivix") is None


def test_an_emulator_that_is_gone(tmp_path, parcel):
    with Emulator(tmp_path / "log") as gone:
        sink = sink_with(gone.bot, gone)
        one = replace(parcel(), channel=gone.id_of("vivix"))
        assert isinstance(sink.send(one), Delivered)
    assert sink.send(one) == NotSent("Connection refused")


# --- the daemon ------------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, vendor: SimulatedVendor, emulator: Emulator) -> Home:
    made = Home(tmp_path, vendor, "prod")
    made.environ["SLACK_BOT_TOKEN"] = emulator.bot
    route_to(made, emulator, "#vivix")
    return made


def route_to(home: Home, emulator: Emulator, channel: str) -> None:
    slack = f'[slack]\ntoken = "env:SLACK_BOT_TOKEN"\napi_url = "{emulator.url}"\n'
    slack += '[detection]\nconfirm_removal = { polls = 2, after = "0s" }\n'
    home.configure("prod", routes=f'{slack}[[routes]]\nname = "everything"\nto = "slack:{channel}"\n', interval="1s")


def knows_its_models(home: Home) -> bool:
    """Whether the first catalogue, which is silent, is recorded."""
    return home.file.exists() and bool(home.rows("SELECT 1 FROM current_models"))


def states(home: Home) -> list[str]:
    return [state for (state,) in home.rows("SELECT state FROM alert_log ORDER BY delivery_id")]


# What breaks requests is told at once; anything else keeps a distance of minutes from the message before it.
BROKEN, REMOVED = "wan-2.7-text-to-video", "grok-imagine-image-quality"


def break_requests(home: Home) -> None:
    """One parameter less: requests that send it are refused."""
    account = home.account("prod")
    account.models = [
        {**model, "params": {name: spec for name, spec in model["params"].items() if name != "audio"}}
        for model in account.models
    ]


def remove_a_model(home: Home) -> None:
    account = home.account("prod")
    account.models = [model for model in account.models if model["slug"] != REMOVED]


@pytest.fixture
def told(emulator: Emulator) -> Callable[..., list[Json]]:
    """What is posted from now on and names a model."""
    channel = emulator.id_of("vivix")
    first = emulator.call("chat.postMessage", token=emulator.person, channel=channel, text="a test begins")["ts"]

    def found(slug: str, channel: str = "vivix") -> list[Json]:
        time.sleep(0.1)  # asked in a loop, and the emulator counts calls
        return [one for one in emulator.messages(channel) if one["ts"] > first and slug in str(one["blocks"])]

    return found


def test_the_daemon_tells_in_slack_what_changed(emulator, home, told):
    with home.daemon() as daemon:
        until(lambda: knows_its_models(home))
        break_requests(home)
        until(lambda: told(BROKEN))
        remove_a_model(home)
        until(lambda: told(REMOVED) and set(states(home)) == {"sent"})
        daemon.send(signal.SIGTERM)
        assert daemon.wait() == 0
        assert emulator.bot not in daemon.out + daemon.err
        assert daemon.out == ""
    (broken,), (removed,) = told(BROKEN), told(REMOVED)
    assert broken["text"] == f"Breaking change: {BROKEN}"
    assert [block["type"] for block in broken["blocks"]] == ["header", "rich_text", "context"]
    assert broken["metadata"]["event_payload"]["kind"] == "parameters_changed"
    assert removed["text"] == "Breaking: 1 model removed for prod"
    log = home.rows("SELECT slack_ts FROM alert_log")
    assert {(broken["ts"],), (removed["ts"],)} <= set(log)
    assert not [line for line in home.dump() if emulator.bot in line]


def test_a_message_about_what_is_over_says_so_and_its_thread_does(emulator, home, told):
    with home.daemon() as daemon:
        until(lambda: knows_its_models(home))
        home.account("prod").answer = vendors.always(vendors.KEY_REVOKED)
        until(lambda: told("KEY_REVOKED"))
        home.account("prod").answer = None
        daemon.send(signal.SIGUSR1)  # a key that is refused is asked again only after a while
        # An end waits a while for others that end soon after.
        until(lambda: "edited" in told("KEY_REVOKED")[0] and told("KEY_REVOKED")[0].get("reply_count") == 1, 60)
    (message,) = told("KEY_REVOKED")
    assert "Over: Key prod is rejected (401)" in message["blocks"][0]["text"]["text"]
    _, reply = emulator.replies("vivix", message["ts"])
    assert reply["text"] == "Informational: Key prod works again"
    assert reply["ts"] not in [one["ts"] for one in emulator.messages("vivix")]


def test_more_than_fits_is_in_the_thread(emulator, home, told):
    first, *others = made_up_models(60)
    home.account("prod").models = [first]
    with home.daemon():
        until(lambda: knows_its_models(home))
        # One breaks requests, so that it is told at once, and the others with it.
        home.account("prod").models = [{**first, "params": {}}, *others]
        until(lambda: told(first["slug"]))
        (message,) = told(first["slug"])
        # One after the other; the last names the last model.
        until(lambda: others[-1]["slug"] in str(emulator.replies("vivix", message["ts"])[1:]))
    assert [block["type"] for block in message["blocks"]] == ["header", "rich_text", "table", "rich_text", "context"]
    _, *replies = emulator.replies("vivix", message["ts"])
    assert len(replies) > 1
    named = "".join(str(reply["blocks"]) for reply in replies)
    assert all(one["slug"] in named for one in others)


def test_what_was_told_is_not_told_again_by_the_next_process(emulator, home, told):
    assert home.run("once").code == 0
    break_requests(home)
    assert home.run("once").code == 0
    assert len(told(BROKEN)) == 1
    with home.daemon():
        remove_a_model(home)
        until(lambda: told(REMOVED))
    assert (len(told(BROKEN)), len(told(REMOVED))) == (1, 1)


def five_minutes_pass(home: Home) -> None:
    """So often a destination that is out of order is asked whether it works again."""
    with closing(sqlite3.connect(home.file)) as connection, connection:
        assert connection.execute("UPDATE destinations SET frozen_until = NULL WHERE frozen_until > 0").rowcount == 1
        connection.execute("UPDATE deliveries SET retry_at = started_at WHERE state = 'retry'")


def knows_a_change(home: Home) -> bool:
    return bool(home.rows("SELECT 1 FROM change_log WHERE slug IS NOT NULL"))


def test_a_wrong_token_loses_nothing(emulator, home, told):
    home.environ["SLACK_BOT_TOKEN"] = "xoxb-wrong"
    with home.daemon() as daemon:
        until(lambda: knows_its_models(home))
        break_requests(home)
        until(lambda: "missing_scope" in daemon.err and knows_a_change(home))
        assert daemon.alive
    assert told(BROKEN) == []
    assert not {"sent", "dead"} & set(states(home))
    home.environ["SLACK_BOT_TOKEN"] = emulator.bot
    five_minutes_pass(home)
    with home.daemon():
        until(lambda: told(BROKEN) and set(states(home)) == {"sent"})
    assert len(told(BROKEN)) == 1


def test_a_channel_that_nobody_has_yet_loses_nothing(emulator, home, told):
    route_to(home, emulator, "#later")
    with home.daemon() as daemon:
        until(lambda: knows_its_models(home))
        break_requests(home)
        until(lambda: "channel_not_found" in daemon.err and knows_a_change(home))
        assert daemon.alive
    emulator.create("later")
    five_minutes_pass(home)
    with home.daemon():
        until(lambda: told(BROKEN, "later"))
    assert len(told(BROKEN, "later")) == 1
